# SPDX-License-Identifier: Apache-2.0
"""
From `conditions` to SQLAlchemy Core, the same for both databases. Every value is bound.

A condition is compiled for the rows of `assets` that somebody else found, and so that no database
gets the idea to find them by it: which index finds the rows is decided in `planning`, that knows
more. (SQLite's planner has no idea how many rows a tag has, and PostgreSQL's guesses that a page of
100 is always near.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from bifrost.catalogue.query.conditions import (
    All,
    Any_,
    Compare,
    Condition,
    Edge,
    Exists,
    Not,
    Search,
)
from bifrost.catalogue.query.fields import Field
from bifrost.catalogue.query.text import ESCAPE, holds_all
from bifrost.catalogue.schema import assets, metadata_values, relationships, search_texts, versions


class Unindexed(sa.ColumnElement[Any]):
    """A column that SQLite uses no index for; PostgreSQL has statistics, and needs no such hint."""

    inherit_cache = True
    __visit_name__ = "unindexed"
    _traverse_internals = [  # noqa: RUF012  SQLAlchemy's own are lists
        ("column", sa.sql.visitors.InternalTraversal.dp_clauseelement)
    ]

    def __init__(self, column: sa.ColumnElement[Any]) -> None:
        self.column = column
        self.type = column.type


@compiles(Unindexed)
def _unindexed(element: Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.process(element.column, **options))


@compiles(Unindexed, "sqlite")
def _unindexed_in_sqlite(element: Unindexed, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.column, **options)}"


def holds(condition: Condition, asset: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return whether *condition* holds for a row of *asset*, an alias of `assets`. Never null."""
    return _COMPILERS[type(condition)](condition, asset)


def column_of(field: Field, asset: sa.FromClause) -> sa.ColumnElement[Any]:
    """Return the value of a *field* that is no metadata; null for a version's before the first."""
    if field.column:
        return asset.c[field.column]
    newest = versions.alias()
    return (
        sa.select(newest.c[field.version_column])
        .where(newest.c.asset == asset.c.key, newest.c.number == asset.c.latest_version)
        .correlate(asset)
        .scalar_subquery()
    )


def compared(
    column: sa.ColumnElement[Any], operator: str, values: tuple[Any, ...]
) -> sa.ColumnElement[bool]:
    """Return how *column* compares with *values*."""
    return _COMPARISONS[operator](column, values)


def values_that(
    compare: Compare | Exists, values: sa.FromClause, seen: Callable[[Any], Any] = lambda it: it
) -> sa.ColumnElement[bool]:
    """
    Return whether a row of *values* (`metadata_values`) is at the path, and compares so.

    *seen* is `Unindexed` where the rows are found by their asset.
    """
    at_path = values.c.path == compare.field.path
    if isinstance(compare, Exists):
        return at_path
    by_type: dict[type, list[Any]] = {}
    for value in compare.values:
        by_type.setdefault(type(value), []).append(value)
    # A comparison for each type among the operands: other types never match.
    of_types = (
        _TYPES[type_](values, seen, compare.operator, tuple(operands))
        for type_, operands in by_type.items()
    )
    return at_path & sa.or_(sa.false(), *of_types)


def ends(edge: Edge, edges: sa.FromClause) -> tuple[Any, Any]:
    """Return the columns of *edges* with the asset in question and with the other one."""
    if edge.incoming:
        return edges.c.to_asset, edges.c.asset
    return edges.c.asset, edges.c.to_asset


def edges_of(edge: Edge, edges: sa.FromClause, other: sa.FromClause | None) -> list[Any]:
    """Return the conditions on a row of *edges* (`relationships`) and the asset at its other end."""
    found: list[Any] = []
    if edge.kinds is not None:
        found.append(edges.c.kind.in_(edge.kinds))
    if edge.purposes is not None:
        found.append(edges.c.purpose.in_(edge.purposes))
    if edge.strengths is not None:
        found.append(edges.c.strength.in_(edge.strengths))
    if other is not None and edge.assets is not None:
        found.append(other.c.id.in_(edge.assets))
    if other is not None and edge.other is not None:
        found.append(holds(edge.other, other))
    return found


def _all(condition: All, asset: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.and_(sa.true(), *(holds(part, asset) for part in condition.parts))


def _any(condition: Any_, asset: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.or_(sa.false(), *(holds(part, asset) for part in condition.parts))


def _not(condition: Not, asset: sa.FromClause) -> sa.ColumnElement[bool]:
    return sa.not_(holds(condition.part, asset))


def _compare(condition: Compare, asset: sa.FromClause) -> sa.ColumnElement[bool]:
    field = condition.field
    if field.path:
        return _some_value(condition, asset)
    column = column_of(field, asset)
    if field.version_column:
        # An asset without a version has none to compare: false, never null.
        return sa.func.coalesce(compared(column, condition.operator, condition.values), sa.false())
    return compared(Unindexed(column), condition.operator, condition.values)


def _some_value(condition: Compare | Exists, asset: sa.FromClause) -> sa.ColumnElement[bool]:
    values = metadata_values.alias()
    return _exists(
        sa.select(sa.literal_column("1"))
        .where(values.c.asset == Unindexed(asset.c.key), values_that(condition, values, Unindexed))
        .correlate(asset)
    )


def _search(condition: Search, asset: sa.FromClause) -> sa.ColumnElement[bool]:
    texts = search_texts.alias()
    return _exists(
        sa.select(sa.literal_column("1"))
        .where(texts.c.asset == Unindexed(asset.c.key), holds_all(condition.words, texts))
        .correlate(asset)
    )


def _edge(condition: Edge, asset: sa.FromClause) -> sa.ColumnElement[bool]:
    if condition.transitive and (condition.assets is not None or condition.other is not None):
        return Unindexed(asset.c.key).in_(reached(condition))
    edges, other = relationships.alias(), assets.alias()
    near, far = ends(condition, edges)
    source = other if condition.incoming else asset
    looks_far = condition.incoming or condition.assets is not None or condition.other is not None
    start = edges.join(other, other.c.key == far) if looks_far else edges
    return _exists(
        sa.select(sa.literal_column("1"))
        .select_from(start)
        .where(
            near == Unindexed(asset.c.key),
            edges.c.number.in_((0, source.c.latest_version)),
            *edges_of(condition, edges, other if looks_far else None),
        )
        .correlate(asset)
    )


def reached(edge: Edge) -> sa.Select[Any]:
    """Return the keys (column `key`) of the assets that have such an edge, or several in a row."""
    other = assets.alias()
    there = sa.select(other.c.key.label("key"))
    if edge.assets is not None:
        there = there.where(other.c.id.in_(edge.assets))
    if edge.other is not None:
        there = there.where(holds(edge.other, other))
    # The first step is apart from the others: who is asked about is among the answers only where a
    # cycle leads back.
    walk = _step(edge, there.cte()).cte(recursive=True)
    walk = walk.union(_step(edge, walk))
    return sa.select(walk.c.key)


def _step(edge: Edge, start: sa.CTE) -> sa.Select[Any]:
    """Return the keys at the near ends of the edges whose far ends are in *start*."""
    edges, source = relationships.alias(), assets.alias()
    near, far = ends(edge, edges)
    return (
        sa.select(near.label("key"))
        .select_from(
            start.join(edges, far == start.c.key).join(source, source.c.key == edges.c.asset)
        )
        .where(edges.c.number.in_((0, source.c.latest_version)), *edges_of(edge, edges, None))
    )


def _exists(statement: sa.Select[Any]) -> sa.ColumnElement[bool]:
    # With an offset it stays what it is: a question about each row in turn. Both databases would
    # else turn it into a join, and start from the wrong end.
    return sa.exists(statement.limit(sa.literal_column("1")).offset(sa.literal_column("0")))


def _texts(values: sa.FromClause, seen: Any, operator: str, operands: tuple[Any, ...]) -> Any:
    return compared(seen(values.c.text), operator, operands)


def _numbers(values: sa.FromClause, seen: Any, operator: str, operands: tuple[Any, ...]) -> Any:
    return compared(seen(values.c.number), operator, operands) & (values.c.kind == "n")


def _flags(values: sa.FromClause, seen: Any, operator: str, operands: tuple[Any, ...]) -> Any:
    numbers = tuple(map(float, operands))
    return compared(seen(values.c.number), operator, numbers) & (values.c.kind == "b")


def _nulls(values: sa.FromClause, _: Any, __: str, ___: tuple[Any, ...]) -> Any:
    return values.c.kind == "z"


_TYPES: Final = {str: _texts, float: _numbers, bool: _flags, type(None): _nulls}
_COMPARISONS: Final[dict[str, Callable[[Any, tuple[Any, ...]], sa.ColumnElement[bool]]]] = {
    "$in": lambda column, values: column == values[0] if len(values) == 1 else column.in_(values),
    "$gt": lambda column, values: column > values[0],
    "$gte": lambda column, values: column >= values[0],
    "$lt": lambda column, values: column < values[0],
    "$lte": lambda column, values: column <= values[0],
    # Without case for the letters a to z, on both: SQLite knows no others, PostgreSQL's collation
    # "C" neither.
    "$like": lambda column, values: column.ilike(values[0], escape=ESCAPE),
}
_COMPILERS: Final[dict[type, Callable[[Any, sa.FromClause], sa.ColumnElement[bool]]]] = {
    All: _all,
    Any_: _any,
    Not: _not,
    Compare: _compare,
    Exists: _some_value,
    Search: _search,
    Edge: _edge,
}
