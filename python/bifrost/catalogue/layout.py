# SPDX-License-Identifier: Apache-2.0
"""
Where the boxes of a graph go: in layers from left to right, most arrows rightwards, few crossings.

The method of Sugiyama, Tagawa and Toda (1981): break cycles, put each node a layer behind its
predecessors, sort the layers by the means of their neighbours, then move nodes level with these. A
long edge has a bend in each layer that it passes, which takes up room there as a node does: edges run
between boxes and never through them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

_SWEEPS: Final = 12

Edge = tuple[int, int]


class Layout(NamedTuple):
    """
    Where everything is.

    Attributes:
        layers: The number of each node's layer, the leftmost is 0.
        heights: The middle of each node, from 0 downwards.
        bends: Of each edge the heights in the layers that it passes, from left to right.
        height: Of all of it.
    """

    layers: list[int]
    heights: list[float]
    bends: list[list[float]]
    height: float


def layered(count: int, edges: Sequence[Edge], *, room: float, bend_room: float) -> Layout:
    """
    Lay out the nodes 0 to *count* - 1.

    Args:
        count: How many nodes there are.
        edges: Pairs of nodes; those of a node to itself have no place.
        room: The height that a node takes, the gap to the next one included.
        bend_room: The height that an edge takes where it passes a layer.
    """
    forward = _acyclic(count, edges)
    layers = _layers(count, forward)
    chains, layer_of = _chains(forward, layers)
    order = _ordered(layer_of, chains)
    rooms = [room if node < count else bend_room for node in range(len(layer_of))]
    heights = _heights(order, chains, rooms)
    bends = [[heights[node] for node in chain[1:-1]] for chain in chains]
    bottom = max((heights[node] + rooms[node] / 2 for node in range(len(rooms))), default=0.0)
    return Layout(layers, heights[:count], bends, bottom)


def _acyclic(count: int, edges: Sequence[Edge]) -> list[Edge]:
    """Return *edges*, turned round where they lead back to where a depth-first search came from."""
    follow: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        follow[source].append(target)
    incoming = {target for source, target in edges if source != target}
    # From nodes that nothing leads to, as far as there are any: they belong to the left.
    starts = sorted(range(count), key=lambda node: node in incoming)
    finished = _finishing_order(starts, follow)
    return [
        (source, target) if finished[source] >= finished[target] else (target, source)
        for source, target in edges
    ]


def _finishing_order(starts: Sequence[int], follow: list[list[int]]) -> list[int]:
    """Return when a depth-first search is done with each node: later than with what follows it."""
    finished = [-1] * len(follow)
    seen = set[int]()
    done = 0
    for start in starts:
        stack = [(start, iter(follow[start]))] if start not in seen else []
        seen.add(start)
        while stack:
            node, ends = stack[-1]
            for end in ends:
                if end not in seen:
                    seen.add(end)
                    stack.append((end, iter(follow[end])))
                    break
            else:
                finished[node] = done
                done += 1
                stack.pop()
    return finished


def _layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """Return the layer of each node: the length of the longest way to it."""
    follow: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in edges:
        if source != target:
            follow[source].append(target)
            waiting[target] += 1
    starts = [node for node in range(count) if not waiting[node]]
    layers = [0] * count
    ready = list(starts)
    for node in ready:
        for end in follow[node]:
            layers[end] = max(layers[end], layers[node] + 1)
            waiting[end] -= 1
            if not waiting[end]:
                ready.append(end)
    # What nothing leads to stands just left of what it leads to: shorter edges.
    for node in starts:
        layers[node] = min((layers[end] for end in follow[node]), default=1) - 1
    return layers


def _chains(edges: Sequence[Edge], layers: list[int]) -> tuple[list[list[int]], list[int]]:
    """Return each edge as nodes of consecutive layers, and every node's layer, bends included."""
    layer_of = list(layers)
    chains = []
    for source, target in edges:
        passed = range(layers[source] + 1, layers[target])
        first = len(layer_of)
        layer_of.extend(passed)
        chains.append([source, *range(first, first + len(passed)), target])
    return chains, layer_of


class _Neighbours(NamedTuple):
    left: list[list[int]]
    right: list[list[int]]


def _neighbours(count: int, chains: Sequence[Sequence[int]]) -> _Neighbours:
    found = _Neighbours([[] for _ in range(count)], [[] for _ in range(count)])
    for chain in chains:
        for one, next_one in pairwise(chain):
            if one != next_one:
                found.left[next_one].append(one)
                found.right[one].append(next_one)
    return found


def _ordered(layer_of: Sequence[int], chains: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the nodes of each layer from top to bottom, so that few edges cross."""
    order: list[list[int]] = [[] for _ in range(max(layer_of, default=-1) + 1)]
    for node, layer in enumerate(layer_of):
        order[layer].append(node)
    neighbours = _neighbours(len(layer_of), chains)
    best, fewest = order, _crossings(order, neighbours.right)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        order = _swept(best if sweep % 4 == 0 else order, neighbours, rightwards=sweep % 2 == 0)
        crossings = _crossings(order, neighbours.right)
        if crossings < fewest:
            best, fewest = order, crossings
    return best


def _swept(order: list[list[int]], neighbours: _Neighbours, *, rightwards: bool) -> list[list[int]]:
    """Return the layers sorted one after the other by the means of their neighbours' places."""
    places = [0.0] * len(neighbours.left)
    for layer in order:
        for place, node in enumerate(layer):
            places[node] = place
    towards = neighbours.left if rightwards else neighbours.right
    swept = [list(layer) for layer in order]
    for layer in swept if rightwards else reversed(swept):
        means = {
            node: sum(places[other] for other in towards[node]) / len(towards[node])
            if towards[node]
            else places[node]
            for node in layer
        }
        layer.sort(key=means.__getitem__)
        for place, node in enumerate(layer):
            places[node] = place
    return swept


def _crossings(order: Sequence[Sequence[int]], right: Sequence[Sequence[int]]) -> int:
    """Return how many edges cross: inversions, counted in a Fenwick tree."""
    places = {node: place for layer in order for place, node in enumerate(layer)}
    total = 0
    for layer, following in pairwise(order):
        ends = [place for node in layer for place in sorted(places[end] for end in right[node])]
        tree = [0] * (len(following) + 1)
        for seen, end in enumerate(ends):
            total += seen - _sum(tree, end + 1)
            place = end + 1
            while place < len(tree):
                tree[place] += 1
                place += place & -place
    return total


def _sum(tree: Sequence[int], place: int) -> int:
    total = 0
    while place:
        total += tree[place]
        place -= place & -place
    return total


def _heights(
    order: Sequence[Sequence[int]], chains: Sequence[Sequence[int]], rooms: Sequence[float]
) -> list[float]:
    """Return the height of each node: level with its neighbours, as far as there is room."""
    heights = [0.0] * len(rooms)
    for layer in order:
        _spread(layer, [0.0] * len(layer), rooms, heights)
    left, right = _neighbours(len(rooms), chains)
    for sweep in range(_SWEEPS):
        rightwards = sweep % 2 == 0
        for layer in order if rightwards else reversed(order):
            wanted = []
            for node in layer:
                # The last sweeps look both ways, so that neither side looks thrown together.
                near = (
                    (left if rightwards else right)[node]
                    if sweep < _SWEEPS - 2
                    else [
                        *left[node],
                        *right[node],
                    ]
                )
                mean = sum(heights[other] for other in near) / len(near) if near else heights[node]
                wanted.append(mean)
            _spread(layer, wanted, rooms, heights)
    top = min((heights[node] - rooms[node] / 2 for node in range(len(rooms))), default=0.0)
    return [height - top for height in heights]


def _spread(
    layer: Sequence[int], wanted: Sequence[float], rooms: Sequence[float], heights: list[float]
) -> None:
    """
    Set the heights of the layer's nodes as near to *wanted* as their order and room allow.

    Least squares: neighbours that would be too near become a block at their mean.
    """
    offset, offsets = 0.0, []
    for before, node in zip([None, *layer], layer, strict=False):
        offset += 0.0 if before is None else (rooms[before] + rooms[node]) / 2
        offsets.append(offset)
    blocks: list[tuple[float, int]] = []
    for place, height in enumerate(wanted):
        total, size = height - offsets[place], 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / size:
            more, others = blocks.pop()
            total, size = total + more, size + others
        blocks.append((total, size))
    place = 0
    for total, size in blocks:
        for _ in range(size):
            heights[layer[place]] = total / size + offsets[place]
            place += 1
