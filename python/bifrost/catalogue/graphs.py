# SPDX-License-Identifier: Apache-2.0
"""Graphs as plain values, and what can be read off them without asking the database again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bifrost.catalogue.edge_values import STRENGTHS
from bifrost.model.entity_reference import reference_for


class Node(NamedTuple):
    """
    A version of an asset.

    Attributes:
        asset_id: The asset's id.
        number: The version's number; 0 for the whole asset.
    """

    asset_id: str
    number: int = 0

    @property
    def reference(self) -> str:
        """The entity reference that means it."""
        return reference_for(self.asset_id, self.number or None)


class NodeInfo(NamedTuple):
    """What is known about a node's asset."""

    name: str
    asset_type: str
    latest_version: int
    deprecated: bool


class GraphEdge(NamedTuple):
    """
    An edge between two nodes.

    Attributes:
        source: Where it starts.
        target: Where it leads today.
        version: As it is written: a number's digits, a tag, or None where it floats.
        kind: `sublayer`, `reference`, `texture`…
        strength: `strong`, `weak` or `reference`.
        purpose: What it is for, or "".
        origin: `file` where a version's file says so, `added` where somebody did.
        metadata_json: What else it says, a JSON object.
    """

    source: Node
    target: Node
    version: str | None = None
    kind: str = ""
    strength: str = STRENGTHS[0]
    purpose: str = ""
    origin: str = "file"
    metadata_json: str = "{}"

    @property
    def is_pinned(self) -> bool:
        """Whether it leads to one version for ever."""
        return self.version is not None and self.version.isdigit()


class Subgraph(NamedTuple):
    """
    What is reached from somewhere.

    Attributes:
        roots: Where the walk began.
        nodes: Every node that was reached, the roots among them.
        edges: Every edge that was followed, each once.
        backwards: Whether it was walked against the arrows.
    """

    roots: tuple[Node, ...]
    nodes: dict[Node, NodeInfo]
    edges: list[GraphEdge]
    backwards: bool = False

    def steps(self, strengths: Iterable[str] = STRENGTHS) -> dict[Node, list[GraphEdge]]:
        """Return the edges of these strengths by the node that a walk follows them from."""
        wanted = frozenset(strengths)
        found: dict[Node, list[GraphEdge]] = {}
        for edge in self.edges:
            if edge.strength in wanted:
                found.setdefault(self.near_end(edge), []).append(edge)
        return found

    def near_end(self, edge: GraphEdge) -> Node:
        """Return the node from which a walk follows *edge*."""
        return edge.target if self.backwards else edge.source

    def far_end(self, edge: GraphEdge) -> Node:
        """Return the node that a walk comes to by *edge*."""
        return edge.source if self.backwards else edge.target

    def distances(self, strengths: Iterable[str] = STRENGTHS) -> dict[Node, int]:
        """Return how many edges of these strengths away each node is, nearest first."""
        steps = self.steps(strengths)
        found = dict.fromkeys(self.roots, 0)
        level, distance = list(found), 0
        while level:
            distance += 1
            following = []
            for node in level:
                for edge in steps.get(node, ()):
                    end = self.far_end(edge)
                    if end not in found:
                        found[end] = distance
                        following.append(end)
            level = following
        return found

    def strengths(self) -> dict[Node, str]:
        """
        Return the strength with which each node depends on the roots, or they on it.

        That of the weakest edge on the way, on the strongest of the ways.
        """
        found: dict[Node, str] = {}
        for rank, strength in enumerate(STRENGTHS):
            for node in self.distances(STRENGTHS[: rank + 1]):
                found.setdefault(node, strength)
            if len(found) == len(self.nodes):
                break
        return found

    def path(self, is_end: Callable[[Node], bool]) -> list[GraphEdge] | None:
        """Return the edges of a shortest way from a root to a node that *is_end*; None for none."""
        steps = self.steps()
        came: dict[Node, GraphEdge | None] = dict.fromkeys(self.roots)
        level = list(self.roots)
        while level:
            for node in level:
                if is_end(node):
                    return self._way_to(node, came)
            following = []
            for node in level:
                for edge in steps.get(node, ()):
                    end = self.far_end(edge)
                    if end not in came:
                        came[end] = edge
                        following.append(end)
            level = following
        return None

    def _way_to(self, node: Node, came: dict[Node, GraphEdge | None]) -> list[GraphEdge]:
        way = []
        while (edge := came[node]) is not None:
            way.append(edge)
            node = self.near_end(edge)
        return way if self.backwards else way[::-1]

    def within(self, depth: int) -> Subgraph:
        """Return the part that is at most *depth* edges away from the roots."""
        near = {node: far for node, far in self.distances().items() if far <= depth}
        steps = self.steps()
        return self._replace(
            nodes={node: self.nodes[node] for node in near},
            edges=[edge for node in near if near[node] < depth for edge in steps.get(node, ())],
        )

    def only(self, kept: Callable[[Node], bool]) -> Subgraph:
        """Return the part whose nodes are *kept*; roots stay."""
        roots = frozenset(self.roots)
        nodes = {node: info for node, info in self.nodes.items() if node in roots or kept(node)}
        return self._replace(
            nodes=nodes,
            edges=[edge for edge in self.edges if edge.source in nodes and edge.target in nodes],
        )

    def through(self, kept: Callable[[Node], bool]) -> Subgraph:
        """Return the part that is reached from roots that are *kept* by way of nodes that are."""
        roots = tuple(filter(kept, self.roots))
        return self._replace(roots=roots).only(kept).within(len(self.nodes))

    def leading_to(self, wanted: Callable[[Node, NodeInfo], bool]) -> Subgraph:
        """Return the part from which the walk comes to a *wanted* node."""
        arrivals: dict[Node, list[Node]] = {}
        for edge in self.edges:
            arrivals.setdefault(self.far_end(edge), []).append(self.near_end(edge))
        level = [node for node, info in self.nodes.items() if wanted(node, info)]
        found = set(level)
        while level:
            starts = {start for node in level for start in arrivals.get(node, ())}
            level = [start for start in starts if start not in found]
            found.update(level)
        return self.only(found.__contains__)
