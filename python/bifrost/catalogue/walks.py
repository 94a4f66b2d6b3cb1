# SPDX-License-Identifier: Apache-2.0
"""
The part of the graph that is reached from somewhere, in one statement.

A node is a version of an asset: what floats is followed to the version it means today. The number 0
stands for the whole asset: where an asset has no version yet, and, in walks against the arrows, for
any of its versions, because what was added to the whole asset holds for all of them.

What somebody may not read is as if it weren't there: what is behind it is not reached.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from bifrost.catalogue.access import readable
from bifrost.catalogue.dialect import driver_rows, each_row, number_item, text_item
from bifrost.catalogue.edge_values import ORIGINS, STRENGTHS, strength_mask
from bifrost.catalogue.graphs import GraphEdge, Node, NodeInfo, Subgraph
from bifrost.catalogue.records import NEWEST, End, VersionPolicy
from bifrost.catalogue.relationships import (
    number_of,
    of_strengths,
    policy_parameters,
    split,
    version_of,
)
from bifrost.catalogue.schema import Text, assets, relationships
from bifrost.model.permissions import User

# Walked with their distances up to here; cut to size afterwards from there on. (A node is walked
# once for each distance it has: in a graph with cycles they never end.)
_MAX_COUNTED: Final = 16


_DEPTH: Final = sa.bindparam("depth", type_=sa.Integer)
_edge = relationships.alias("edge")
_node = assets.alias("node")
_target = assets.alias("target")
_WHOLE: Final = sa.literal_column("0", sa.Integer)


def _given() -> sa.Select[Any]:
    root = each_row("roots", "root")
    number = number_of(
        assets, sa.cast(number_item(root, 1), sa.Integer), sa.cast(text_item(root, 2), Text)
    )
    return sa.select(
        assets.c.key.label("asset"),
        sa.func.coalesce(number, _WHOLE).label("number"),
        _WHOLE.label("depth"),
    ).join_from(root, assets, assets.c.id == text_item(root, 0))


def _all() -> sa.Select[Any]:
    return sa.select(
        assets.c.key.label("asset"), assets.c.latest_version.label("number"), _WHOLE.label("depth")
    )


def _meant(edge: sa.FromClause, target: sa.FromClause) -> sa.ColumnElement[int]:
    """Return the number of the version that *edge* leads to today."""
    return sa.func.coalesce(number_of(target, edge.c.to_number, edge.c.to_tag), _WHOLE)


def _forth(walk: sa.CTE) -> sa.ColumnElement[bool]:
    return (_edge.c.asset == walk.c.asset) & _edge.c.number.in_([_WHOLE, walk.c.number])


def _back(walk: sa.CTE) -> sa.ColumnElement[bool]:
    return (_edge.c.to_asset == walk.c.asset) & (
        (walk.c.number == 0) | (_meant(_edge, _target) == walk.c.number)
    )


def _walk(start: sa.Select[Any], backwards: bool) -> sa.CTE:
    walk = start.cte("walk", recursive=True)
    # Uncounted, a node is at most walked twice: a root that is found again.
    deeper = sa.case((_DEPTH.is_(None), sa.literal_column("1")), else_=walk.c.depth + 1)
    target = _target.c.key == _edge.c.to_asset
    if backwards:
        step = sa.select(_edge.c.asset, _edge.c.number, deeper).select_from(
            walk.join(_target, _target.c.key == walk.c.asset).join(_edge, _back(walk))
        )
    else:
        step = sa.select(_target.c.key, _meant(_edge, _target), deeper).select_from(
            walk.join(_edge, _forth(walk)).join(_target, target)
        )
    # UNION, not UNION ALL: what was walked before is not walked again, so that cycles end.
    return walk.union(step.where(of_strengths(_edge), _inside(walk)))


def _inside(walk: sa.CTE) -> sa.ColumnElement[bool]:
    return _DEPTH.is_(None) | (walk.c.depth < _DEPTH)


_EDGE: Final = (
    _edge.c.asset,
    _edge.c.number,
    _edge.c.position,
    _edge.c.to_asset,
    _edge.c.to_number,
    _edge.c.to_tag,
    _edge.c.kind,
    _edge.c.strength,
    _edge.c.purpose,
    _edge.c.origin,
    _edge.c.metadata,
)
_INFO: Final = (
    _node.c.id,
    _node.c.name,
    _node.c.type,
    _node.c.latest_version,
    _node.c.deprecated,
)


def _statement(start: sa.Select[Any], *, backwards: bool) -> sa.Select[Any]:
    walk = _walk(start, backwards)
    # Each node with each of its edges, a node without edges once: all of it in one statement.
    if backwards:
        matches = _back_from(walk)
        meant: sa.ColumnElement[int] = walk.c.number
    else:
        matches = _forth(walk)
        meant = _meant(_edge, _target)
    nodes = walk.join(_node, _node.c.key == walk.c.asset)
    edges = nodes.outerjoin(_edge, matches & of_strengths(_edge) & _inside(walk))
    if not backwards:
        edges = edges.outerjoin(_target, _target.c.key == _edge.c.to_asset)
    return sa.select(walk.c.asset, walk.c.number, walk.c.depth, *_INFO, meant, *_EDGE).select_from(
        edges
    )


def _back_from(walk: sa.CTE) -> sa.ColumnElement[bool]:
    return (_edge.c.to_asset == walk.c.asset) & (
        (walk.c.number == 0) | (_meant(_edge, _node) == walk.c.number)
    )


_FORTH: Final = _statement(_given(), backwards=False)
_FORTH_FROM_ALL: Final = _statement(_all(), backwards=False)
_BACK: Final = _statement(_given(), backwards=True)


def _reaches() -> sa.Select[Any]:
    number = sa.bindparam("number", type_=sa.Integer)
    walk = _walk(_given(), backwards=False)
    return (
        sa.select(walk.c.number)
        .join_from(walk, assets, assets.c.key == walk.c.asset)
        .where(assets.c.id == sa.bindparam("asset_id"), (number == 0) | (walk.c.number == number))
        .limit(1)
    )


_REACHES: Final = _reaches()

Roots = Iterable[End]


def forth(
    connection: sa.Connection,
    roots: Roots | None,
    *,
    policy: VersionPolicy = NEWEST,
    depth: int | None = None,
    strengths: Iterable[str] | None = None,
    user: User | None = None,
) -> Subgraph:
    """
    Return what *roots* need, to any depth or to *depth* edges away.

    Roots that don't exist are not in it. None for roots: every asset's newest version. One statement;
    with a *user*, those of `access.read` too.
    """
    if roots is None:
        found = _subgraph(connection, _FORTH_FROM_ALL, [], policy, None, strengths)
        return _seen(connection, found, user)
    pairs = [split(*root) for root in roots]
    found = _subgraph(connection, _FORTH, pairs, policy, depth, strengths)
    return _seen(connection, found, user, depth)


def back(
    connection: sa.Connection,
    roots: Roots,
    *,
    policy: VersionPolicy = NEWEST,
    depth: int | None = None,
    strengths: Iterable[str] | None = None,
    user: User | None = None,
) -> Subgraph:
    """
    Return what needs *roots*, to any depth or to *depth* edges away. As many statements as `forth`.

    A root without a version is the whole asset: any of its versions.
    """
    pairs = [split(asset_id, "0" if version is None else version) for asset_id, version in roots]
    found = _subgraph(connection, _BACK, pairs, policy, depth, strengths)
    return _seen(connection, found, user, depth)


def _seen(
    connection: sa.Connection, found: Subgraph, user: User | None, depth: int | None = None
) -> Subgraph:
    """Return the part of *found* that *user* may read and that is at most *depth* edges away then."""
    if user is not None:
        may_read = readable(connection, user, {node.asset_id for node in found.nodes})
        if not all(may_read(node.asset_id) for node in found.nodes):
            found = found.through(lambda node: may_read(node.asset_id))
    return found if depth is None else found.within(depth)


def reaches(
    connection: sa.Connection, start: tuple[str, str | None], end: Node, strengths: Iterable[str]
) -> bool:
    """Whether *start* needs *end* by edges of these strengths, or is it. One statement."""
    parameters = _parameters([split(*start)], NEWEST, None, strengths)
    parameters |= {"asset_id": end.asset_id, "number": end.number}
    return connection.execute(_REACHES, parameters).first() is not None


def _parameters(
    roots: Sequence[tuple[str, int | None, str | None]],
    policy: VersionPolicy,
    depth: int | None,
    strengths: Iterable[str] | None,
) -> dict[str, Any]:
    return {
        "roots": json.dumps(roots),
        "depth": None if depth is None or depth > _MAX_COUNTED else depth,
        "strengths": strength_mask(strengths),
        **policy_parameters(policy),
    }


def _subgraph(
    connection: sa.Connection,
    statement: sa.Select[Any],
    roots: Sequence[tuple[str, int | None, str | None]],
    policy: VersionPolicy,
    depth: int | None,
    strengths: Iterable[str] | None,
) -> Subgraph:
    backwards = statement is _BACK
    rows = driver_rows(connection, statement, _parameters(roots, policy, depth, strengths))
    places: dict[tuple[int, int], Node] = {}
    nodes: dict[Node, NodeInfo] = {}
    found_roots = []
    for row in rows:
        if row[:2] not in places:
            node = places[row[:2]] = Node(row[3], row[1])
            nodes[node] = NodeInfo(row[4], row[5], row[6], bool(row[7]))
        if row[2] == 0:
            found_roots.append(places[row[:2]])
    # An edge may come before the node that it leads to.
    edges: dict[tuple[int, ...], GraphEdge] = {}
    for row in rows:
        far = places.get(row[9:11] if backwards else (row[12], row[8]))
        if far is not None:  # else there is no edge, or it leads to nothing
            near = places[row[:2]]
            ends = (far, near) if backwards else (near, far)
            edges[row[:2] + row[9:12]] = _edge_between(*ends, row[13:])
    return Subgraph(tuple(dict.fromkeys(found_roots)), nodes, list(edges.values()), backwards)


def _edge_between(source: Node, target: Node, said: Sequence[Any]) -> GraphEdge:
    number, tag, kind, strength, purpose, origin, metadata = said
    return GraphEdge(
        source,
        target,
        version_of(number, tag),
        kind,
        STRENGTHS[strength],
        purpose,
        ORIGINS[origin],
        metadata,
    )
