# SPDX-License-Identifier: Apache-2.0
"""
Edges that somebody adds to those of the files: adding, changing, removing.

An edge is known by where it starts (an asset, or one version of it), where it leads (an asset, and
the version or the tag as it is written) and its kind. A strong edge never closes a cycle of strong
ones. Every write logs a change of the asset that the edge starts at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from bifrost.catalogue import changes, walks
from bifrost.catalogue.edge_ends import Ends, ends_of, find
from bifrost.catalogue.edge_values import (
    ORIGINS,
    STRENGTHS,
    STRONG,
    EdgeValues,
    Relationship,
    checked_kind,
    checked_text,
    checked_values,
    to_json,
)
from bifrost.catalogue.graphs import GraphEdge, Node
from bifrost.catalogue.records import End
from bifrost.catalogue.relationships import ADDED, FROM_FILE, version_of
from bifrost.catalogue.schema import relationships
from bifrost.errors import (
    Code,
    ConflictException,
    UnsupportedOperationException,
    not_found,
)
from bifrost.model.entity_reference import reference_for
from bifrost.model.permissions import User, name_of

DEPENDENCY: Final = "dependency"
"""The relationship_type of an edge for which none is given."""

_STRONG_ONLY: Final = STRENGTHS[:1]


def add(
    connection: sa.Connection,
    source: End,
    target: End,
    relationship_type: str = DEPENDENCY,
    metadata: Mapping[str, Any] | None = None,
    *,
    user: User | None = None,
    now_us: int,
) -> Relationship:
    """
    Add an edge within the caller's transaction; return it.

    Args:
        connection: It holds the write lock.
        source: With a number the edge belongs to that version, without to the whole asset.
        target: With a number it is pinned, with a tag or nothing it floats.
        relationship_type: A word of the caller's.
        metadata: `purpose`; `optional` (true: weak) or `strength` (which wins) of `strong`, `weak`
            and `reference`; and whatever else JSON can say in 64 kB.
        user: Who adds it, and may read what is suggested for an end that is not there.
        now_us: The time, in microseconds since the epoch.

    Raises:
        AssetNotFoundException: an end is not there; suggestions among its details.
        ConflictException: the edge is there already, or a strong one would close a strong cycle; its
            detail `exists` says which.
        InvalidReferenceException: the source is a tag, or both ends are one asset.
        InvalidTraitsException: the relationship_type or the metadata can't be stored.
    """
    uri = reference_for(*source)
    kind = checked_kind(relationship_type, uri)
    values = checked_values(metadata, uri)
    by = name_of(user)
    checked_text(by, "created_by", uri)
    ends = ends_of(connection, source, target, kind, user)
    if find(connection, ends) is not None:
        raise ConflictException(
            f"there is a {ends} already: update it instead",
            asset_uri=ends.uri,
            code=Code.CONFLICT,
            details={"exists": True},
        )
    strength = STRONG if values.strength is None else values.strength
    if strength == STRONG:
        _check_acyclic(connection, ends)
    row = _new_row(connection, ends, values._replace(strength=strength), by, now_us)
    connection.execute(sa.insert(relationships), row)
    changes.record(connection, [ends.from_key], now_us)
    return _relationship(ends, row)


def update(
    connection: sa.Connection,
    source: End,
    target: End,
    relationship_type: str = DEPENDENCY,
    metadata: Mapping[str, Any] | None = None,
    *,
    replace: bool = False,
    user: User | None = None,
    now_us: int,
) -> Relationship:
    """
    Change what an added edge says, within the caller's transaction; return it.

    Keys of *metadata* are set and the others stay, a key whose value is None goes; with *replace*
    the edge says *metadata* and nothing else.

    Raises:
        AssetNotFoundException: there is no such edge.
        ConflictException: it would become strong and close a strong cycle.
        UnsupportedOperationException: a version's file says it; that is written once.
        InvalidTraitsException: the metadata can't be stored.
    """
    uri = reference_for(*source)
    kind = checked_kind(relationship_type, uri)
    ends, row = _there(connection, source, target, kind, user)
    old = _relationship(ends, row)
    merged = dict(metadata or {}) if replace else _merged(old.metadata, metadata or {})
    values = checked_values(merged, uri)
    strength = STRONG if values.strength is None else values.strength
    if strength == STRONG != row["strength"]:
        _check_acyclic(connection, ends)
    new = {
        "strength": strength,
        "purpose": values.purpose or "",
        "metadata": to_json(values.metadata, uri),
    }
    connection.execute(sa.update(relationships).where(*_IS_IT).values(new), _place(row))
    changes.record(connection, [ends.from_key], now_us)
    return _relationship(ends, {**row, **new})


def remove(
    connection: sa.Connection,
    source: End,
    target: End,
    relationship_type: str = DEPENDENCY,
    *,
    user: User | None = None,
    now_us: int,
) -> Relationship:
    """
    Remove an added edge within the caller's transaction; return what it was.

    Raises:
        AssetNotFoundException: there is no such edge.
        UnsupportedOperationException: a version's file says it; that is written once.
    """
    kind = checked_kind(relationship_type, reference_for(*source))
    ends, row = _there(connection, source, target, kind, user)
    connection.execute(sa.delete(relationships).where(*_IS_IT), _place(row))
    changes.record(connection, [ends.from_key], now_us)
    return _relationship(ends, row)


def _merged(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(new, Mapping):
        return new
    # The strength was said in one of two ways; the new way replaces the old.
    if new.keys() & {"optional", "strength"}:
        old.pop("optional", None)
        old.pop("strength", None)
    return {key: value for key, value in {**old, **new}.items() if value is not None}


def _there(
    connection: sa.Connection, source: End, target: End, kind: str, user: User | None
) -> tuple[Ends, dict[str, Any]]:
    """Return the added edge of these ends, and its row."""
    ends = ends_of(connection, source, target, kind, user)
    row = find(connection, ends)
    if row is None:
        raise not_found(f"there is no {ends}", ends.uri)
    if row["origin"] == FROM_FILE:
        raise UnsupportedOperationException(
            f"the {ends} is what that version's file says, which is written once: publish a new "
            "version instead",
            asset_uri=ends.uri,
            code=Code.UNSUPPORTED,
        )
    return ends, row


_IS_IT: Final = tuple(
    relationships.c[name] == sa.bindparam(f"its_{name}") for name in ("asset", "number", "position")
)


def _place(row: Mapping[str, Any]) -> dict[str, Any]:
    return {f"its_{name}": row[name] for name in ("asset", "number", "position")}


_NEXT_POSITION: Final = sa.select(
    sa.func.coalesce(sa.func.max(relationships.c.position) + 1, 0)
).where(
    relationships.c.asset == sa.bindparam("asset"), relationships.c.number == sa.bindparam("number")
)


def _new_row(
    connection: sa.Connection, ends: Ends, values: EdgeValues, by: str, now_us: int
) -> dict[str, Any]:
    place = {"asset": ends.from_key, "number": ends.from_number}
    return {
        **place,
        "position": connection.execute(_NEXT_POSITION, place).scalar_one(),
        "to_asset": ends.to_key,
        "to_number": ends.to_number,
        "to_tag": ends.to_tag,
        "kind": ends.kind,
        "strength": values.strength,
        "origin": ADDED,
        "purpose": values.purpose or "",
        "metadata": json.dumps(values.metadata, ensure_ascii=False),
        "created": now_us,
        "created_by": by,
    }


def _relationship(ends: Ends, row: Mapping[str, Any]) -> Relationship:
    return Relationship(
        from_id=ends.source[0],
        from_number=row["number"],
        to_id=ends.target[0],
        to_version=version_of(row["to_number"], row["to_tag"]),
        kind=row["kind"],
        strength=STRENGTHS[row["strength"]],
        purpose=row["purpose"],
        metadata_json=row["metadata"],
        origin=ORIGINS[row["origin"]],
        created_us=row["created"],
        created_by=row["created_by"],
    )


def _check_acyclic(connection: sa.Connection, ends: Ends) -> None:
    """Refuse a strong edge from whose target strong edges lead back to its source."""
    source = Node(ends.source[0], ends.from_number)
    if not walks.reaches(connection, ends.target, source, _STRONG_ONLY):
        return
    # Rare, so that the way back is looked for only now.
    there = walks.forth(connection, [ends.target], strengths=_STRONG_ONLY)
    way = there.path(lambda node: node[0] == source[0] and source[1] in (0, node[1])) or []
    raise ConflictException(
        f"a strong {ends} would close a cycle of strong relationships: {_spelled(source, way)}; "
        "make one of them weak",
        asset_uri=ends.uri,
        code=Code.CONFLICT,
        details={"exists": False},
    )


def _spelled(source: Node, way: list[GraphEdge]) -> str:
    nodes = [way[0].source, *(edge.target for edge in way)] if way else []
    return " -> ".join(node.reference for node in (source, *nodes))
