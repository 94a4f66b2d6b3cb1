# SPDX-License-Identifier: Apache-2.0
"""In which order files can be published, so that each finds what it names already there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import TopologicalSorter

Graph = Mapping[str, Sequence[str]]
"""For each file, the files that it names."""


def levels(graph: Graph) -> list[list[str]]:
    """
    Return the files in batches: each names only files of its own cycle or of earlier batches.

    Files that name each other in a circle are always in one batch.
    """
    cycle_of = cycles(graph)
    members: dict[str, list[str]] = {}
    for name, cycle in cycle_of.items():
        members.setdefault(cycle, []).append(name)
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for cycle, names in members.items():
        needs = {cycle_of[used] for name in names for used in graph.get(name, ())}
        sorter.add(cycle, *(needs - {cycle}))
    sorter.prepare()
    batches = []
    while sorter.is_active():
        ready = sorter.get_ready()
        batches.append(sorted(name for cycle in ready for name in members[cycle]))
        sorter.done(*ready)
    return batches


def cycles(graph: Graph) -> dict[str, str]:
    """
    Return for each file the name of its cycle; a file in none is a cycle of its own.

    Tarjan's strongly connected components, without recursion: a chain of layers may be long.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    cycle_of: dict[str, str] = {}
    open_names: list[str] = []
    for root in graph:
        if root in index:
            continue
        work: list[tuple[str, Iterator[str]]] = []
        _enter(root, graph, index, low, open_names, work)
        while work:
            name, used = work[-1]
            for other in used:
                if other not in index:
                    _enter(other, graph, index, low, open_names, work)
                    break
                if other not in cycle_of:
                    low[name] = min(low[name], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    _close(name, open_names, cycle_of)
    return cycle_of


def _enter(
    name: str,
    graph: Graph,
    index: dict[str, int],
    low: dict[str, int],
    open_names: list[str],
    work: list[tuple[str, Iterator[str]]],
) -> None:
    index[name] = low[name] = len(index)
    open_names.append(name)
    work.append((name, iter(graph.get(name, ()))))


def _close(name: str, open_names: list[str], cycle_of: dict[str, str]) -> None:
    while name not in cycle_of:
        cycle_of[open_names.pop()] = name
