# SPDX-License-Identifier: Apache-2.0
"""
Which assets a condition leaves, where an index finds them: statements of one column, `key`.

A key may come more than once, and what a candidate leaves is still to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.query.compile import (
    column_of,
    compared,
    edges_of,
    ends,
    reached,
    values_that,
)
from bifrost.catalogue.query.conditions import (
    All,
    Any_,
    Compare,
    Condition,
    Edge,
    Exists,
    conjuncts,
)
from bifrost.catalogue.query.fields import Field
from bifrost.catalogue.schema import assets, metadata_values, relationships


class Candidate(NamedTuple):
    """
    What an index leaves of the assets.

    Attributes:
        keys: Their keys.
        rest: What is still to hold for those.
        compares: What the index compares, if it is one of the assets' own columns.
    """

    keys: sa.Select[Any]
    rest: Condition
    compares: tuple[Compare, ...] = ()


def candidates(condition: Condition) -> Iterator[Candidate]:
    """Yield what each part of *condition* leaves that an index knows."""
    parts = list(conjuncts(condition))
    by_column: dict[Field, list[int]] = {}
    for i, part in enumerate(parts):
        if isinstance(part, Compare) and part.field.indexed and part.operator != "$like":
            by_column.setdefault(part.field, []).append(i)
        elif (keys := _keys(part)) is not None:
            yield Candidate(keys, _without(parts, [i] if _is_exact(part) else []))
    for field, places in by_column.items():
        # Both ends of a range together.
        compares = tuple(part for part in (parts[i] for i in places) if isinstance(part, Compare))
        yield Candidate(_in_column(field, compares), _without(parts, places), compares)


def _without(parts: Sequence[Condition], places: Sequence[int]) -> Condition:
    return All(tuple(part for i, part in enumerate(parts) if i not in places))


def _is_exact(part: Condition) -> bool:
    match part:
        case Compare() | Exists():
            return True
        case Edge():
            return part.other is None or part.transitive
        case Any_(parts):
            return all(map(_is_exact, parts))
    return False


def _keys(part: Condition) -> sa.Select[Any] | None:
    """Return what *part* leaves; None where no index knows."""
    match part:
        case Compare():
            return _of_compare(part)
        case Exists():
            return _in_metadata(part)
        case Edge():
            return _at_edge(part)
        case Any_(parts):
            return _of_any(parts)
        case All():
            return next((found.keys for found in candidates(part)), None)
    return None


def _of_compare(part: Compare) -> sa.Select[Any] | None:
    if part.operator == "$like":
        return None
    if part.field.path:
        return None if None in part.values else _in_metadata(part)
    return _in_column(part.field, [part]) if part.field.indexed else None


def _of_any(parts: Sequence[Condition]) -> sa.Select[Any] | None:
    found = [keys for keys in map(_keys, parts) if keys is not None]
    if not found or len(found) < len(parts):
        return None
    return sa.select(sa.union_all(*found).subquery().c.key)


def _in_column(field: Field, compares: Iterable[Compare]) -> sa.Select[Any]:
    owner = assets.alias()
    column = column_of(field, owner)
    return sa.select(owner.c.key.label("key")).where(
        *(compared(column, each.operator, each.values) for each in compares)
    )


def _in_metadata(part: Compare | Exists) -> sa.Select[Any]:
    values = metadata_values.alias()
    return sa.select(values.c.asset.label("key")).where(values_that(part, values))


def _at_edge(edge: Edge) -> sa.Select[Any] | None:
    """Return the assets at the near ends of the edges of those that the edge's filter may mean."""
    if edge.transitive and (edge.assets is not None or edge.other is not None):
        return reached(edge) if edge.assets is not None else None
    others = assets.alias()
    if edge.assets is not None:
        there: sa.Select[Any] | None = sa.select(others.c.key).where(others.c.id.in_(edge.assets))
    else:
        there = _keys(edge.other) if edge.other is not None else None
    if there is None:
        return None
    other, edges, source = there.subquery(), relationships.alias(), assets.alias()
    near, far = ends(edge, edges)
    start = other.join(edges, far == other.c.key).join(source, source.c.key == edges.c.asset)
    return (
        sa.select(near.label("key"))
        .select_from(start)
        .where(edges.c.number.in_((0, source.c.latest_version)), *edges_of(edge, edges, None))
    )
