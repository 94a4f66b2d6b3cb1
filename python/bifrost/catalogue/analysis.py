# SPDX-License-Identifier: Apache-2.0
"""
What depends on what, near and far: dependencies, dependents, impact, paths, differences.

Where a *user* is given, what they may not read is as if it weren't there, and there are statements to
find that out (`access.read`); None asks without rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from bifrost.catalogue import walks
from bifrost.catalogue.edge_values import STRENGTHS
from bifrost.catalogue.graphs import GraphEdge, Node, NodeInfo, Subgraph
from bifrost.catalogue.records import NEWEST, End, VersionPolicy
from bifrost.model.permissions import User


class Reached(NamedTuple):
    """
    A version that another depends on, or that depends on it, however far away.

    Attributes:
        asset_id: Its asset.
        number: Its number; 0 for the whole asset.
        name: The asset's display name.
        asset_type: The asset's type.
        distance: How many edges away, at least.
        strength: That of the weakest edge on the way, on the strongest of the ways.
    """

    asset_id: str
    number: int
    name: str
    asset_type: str
    distance: int
    strength: str


class Affected(NamedTuple):
    """
    An asset that a change of another one affects.

    Attributes:
        asset_id: The asset that is affected.
        numbers: Its versions that are, ascending; 0 where what was added to the whole asset is why.
        name: Its display name.
        asset_type: Its type.
        distance: How many edges away, at least; 1 is directly.
        strength: That of the weakest edge on the way, on the strongest of the ways.
        follows: Whether a new version reaches it by itself; else every way to it begins with a pin
            to a version that stays.
        through: The assets next to it on its shortest ways.
    """

    asset_id: str
    numbers: tuple[int, ...]
    name: str
    asset_type: str
    distance: int
    strength: str
    follows: bool
    through: tuple[str, ...]

    @property
    def is_direct(self) -> bool:
        """Whether nothing stands between."""
        return self.distance == 1


class GraphDiff(NamedTuple):
    """
    How the graph of one version differs from that of another.

    Attributes:
        added: Edges that only the second has.
        removed: Edges that only the first has.
        changed: Edges of both, as they were and as they are: another version, strength, purpose or
            metadata.
    """

    added: tuple[GraphEdge, ...]
    removed: tuple[GraphEdge, ...]
    changed: tuple[tuple[GraphEdge, GraphEdge], ...]


def dependencies(
    connection: sa.Connection,
    roots: Iterable[End],
    *,
    depth: int | None = None,
    strengths: Iterable[str] | None = None,
    policy: VersionPolicy = NEWEST,
    user: User | None = None,
) -> list[Reached]:
    """
    Return what *roots* need, nearest first, then by id; themselves not. One statement.

    Args:
        connection: Whose catalogue.
        roots: Where to begin.
        depth: How many edges away at most; None for any.
        strengths: Only along edges of these strengths; None for all.
        policy: What floating means.
        user: Who asks.
    """
    return _reached(
        walks.forth(connection, roots, depth=depth, strengths=strengths, policy=policy, user=user)
    )


def dependents(
    connection: sa.Connection,
    roots: Iterable[End],
    *,
    depth: int | None = None,
    strengths: Iterable[str] | None = None,
    every_version: bool = False,
    user: User | None = None,
) -> list[Reached]:
    """
    Return what needs *roots*, nearest first, then by id; themselves not. One statement.

    Args:
        connection: Whose catalogue.
        roots: What is needed; without a version, any version of it.
        depth: How many edges away at most; None for any.
        strengths: Only along edges of these strengths; None for all.
        every_version: Earlier versions too, that no newest version needs.
        user: Who asks.
    """
    found = walks.back(connection, roots, depth=depth, strengths=strengths, user=user)
    return _reached(found if every_version else found.leading_to(_is_current))


def _is_current(node: Node, info: NodeInfo) -> bool:
    return node.number in (0, info.latest_version)


def _reached(found: Subgraph) -> list[Reached]:
    strengths = found.strengths()
    reached = [
        Reached(*node, *found.nodes[node][:2], distance, strengths[node])
        for node, distance in found.distances().items()
        if distance
    ]
    return sorted(reached, key=lambda each: (each.distance, each.asset_id, each.number))


def impact(
    connection: sa.Connection,
    asset_id: str,
    version: str | None = None,
    *,
    depth: int | None = None,
    strengths: Iterable[str] | None = None,
    user: User | None = None,
) -> list[Affected]:
    """
    Return the assets that changing one would affect, nearest first, then by id. One statement.

    Those whose newest version needs it, by whatever way, and those whose earlier versions do where
    a newest version needs these.

    Args:
        connection: Whose catalogue.
        asset_id: What would change.
        version: Only this version of it would (be deprecated, lose its file); None for a new version
            or anything else about the asset.
        depth: How many edges away at most; None for any.
        strengths: Only along edges of these strengths; None for all.
        user: Who asks.
    """
    found = walks.back(
        connection, [(asset_id, version)], depth=depth, strengths=strengths, user=user
    )
    found = found.leading_to(_is_current)
    return _affected(found, asset_id)


def _affected(found: Subgraph, asset_id: str) -> list[Affected]:
    distances = found.distances()
    strengths = found.strengths()
    roots = frozenset(found.roots)
    # A pin holds the asset where it is; what floats to it takes the change up and hands it on.
    floating = [edge for edge in found.edges if edge.target not in roots or not edge.is_pinned]
    following = found._replace(edges=floating).distances()
    versions: dict[str, list[Node]] = {}
    for node, distance in distances.items():
        if distance and node.asset_id != asset_id:
            versions.setdefault(node.asset_id, []).append(node)
    through = _next_hops(found, distances)
    affected = [
        Affected(
            affected_id,
            tuple(sorted(node.number for node in nodes)),
            *found.nodes[nodes[0]][:2],
            distance=min(distances[node] for node in nodes),
            strength=min((strengths[node] for node in nodes), key=STRENGTHS.index),
            follows=any(node in following for node in nodes),
            through=tuple(sorted({hop for node in nodes for hop in through.get(node, ())})),
        )
        for affected_id, nodes in versions.items()
    ]
    return sorted(affected, key=lambda each: (each.distance, each.asset_id))


def _next_hops(found: Subgraph, distances: dict[Node, int]) -> dict[Node, set[str]]:
    """Return the assets that each dependent's shortest ways come through first."""
    hops: dict[Node, set[str]] = {}
    for edge in found.edges:
        if distances.get(edge.source) == distances.get(edge.target, -2) + 1:
            hops.setdefault(edge.source, set()).add(edge.target.asset_id)
    return hops


def path(
    connection: sa.Connection,
    source: End,
    target: End,
    *,
    strengths: Iterable[str] | None = None,
    user: User | None = None,
) -> list[GraphEdge] | None:
    """
    Return the edges of a shortest way by which *source* needs *target*; None where it doesn't.

    One statement. A target without a number is any version of the asset.
    """
    target_id, version = target
    found = walks.forth(connection, [source], strengths=strengths, user=user)
    return found.path(
        lambda node: node.asset_id == target_id and (version is None or str(node.number) == version)
    )


def diff(
    connection: sa.Connection,
    before: End,
    after: End,
    *,
    strengths: Iterable[str] | None = None,
    user: User | None = None,
) -> GraphDiff:
    """
    Return how what *after* needs differs from what *before* needs, at any depth.

    Edges are told apart by the assets at their ends and by their kind. Two statements.
    """
    old = walks.forth(connection, [before], strengths=strengths, user=user)
    new = walks.forth(connection, [after], strengths=strengths, user=user)
    return difference(old.edges, new.edges)


def difference(old: Iterable[GraphEdge], new: Iterable[GraphEdge]) -> GraphDiff:
    """Return how the edges *new* differ from *old*, each in the order of the ends' ids."""
    before, after = _by_identity(old), _by_identity(new)
    added: list[GraphEdge] = []
    removed: list[GraphEdge] = []
    changed: list[tuple[GraphEdge, GraphEdge]] = []
    for identity in sorted(before.keys() | after.keys()):
        gone, come = _without_equals(before.get(identity, []), after.get(identity, []))
        pairs = min(len(gone), len(come))
        changed.extend(zip(gone[:pairs], come[:pairs], strict=True))
        removed.extend(gone[pairs:])
        added.extend(come[pairs:])
    return GraphDiff(tuple(added), tuple(removed), tuple(changed))


def _by_identity(edges: Iterable[GraphEdge]) -> dict[tuple[str, str, str], list[GraphEdge]]:
    found: dict[tuple[str, str, str], list[GraphEdge]] = {}
    for edge in edges:
        identity = (edge.source.asset_id, edge.target.asset_id, edge.kind)
        found.setdefault(identity, []).append(edge)
    return found


def _without_equals(
    old: list[GraphEdge], new: list[GraphEdge]
) -> tuple[list[GraphEdge], list[GraphEdge]]:
    """Return those of each list that the other doesn't have, the source's own version aside."""
    # The version that an edge starts at is another one wherever its file was written anew.
    rest = [edge[1:] for edge in new]
    gone = []
    for edge in sorted(old, key=_order):
        if edge[1:] in rest:
            rest.remove(edge[1:])
        else:
            gone.append(edge)
    come = []
    for edge in sorted(new, key=_order):
        if edge[1:] in rest:
            rest.remove(edge[1:])
            come.append(edge)
    return gone, come


def _order(edge: GraphEdge) -> tuple[str, ...]:
    return (str(edge.source.number), str(edge.target.number), *map(str, edge[2:]))
