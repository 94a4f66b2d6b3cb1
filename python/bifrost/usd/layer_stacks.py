# SPDX-License-Identifier: Apache-2.0
"""Which of a folder's layers may compose together, from what they name. Nothing is composed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bifrost.usd.ordering import Graph


class LayerStacks:
    """
    The layer stacks that there may be: of every layer, with all of its sublayers.

    Args:
        named: For each layer, the layers that it names, whatever for.
        sublayers: For each layer, those among them that are its sublayers.
    """

    def __init__(self, named: Graph, sublayers: Graph) -> None:
        self._sublayers, self._named = sublayers, named
        self._above, self._namers = _reversed(sublayers), _reversed(named)
        self._together: dict[str, set[str]] = {}

    def together(self, layer: str) -> set[str]:
        """Return the layers that may come into one layer stack with *layer*, itself included."""
        if layer not in self._together:
            roots = _reached((layer,), self._above)
            self._together[layer] = _reached(roots, self._sublayers)
        return self._together[layer]

    def stronger(self, layer: str) -> set[str]:
        """Return the layers of all stacks that may bring *layer* in, by whatever arcs."""
        return _reached(_reached((layer,), self._namers), self._sublayers)

    def weaker(self, layer: str) -> set[str]:
        """Return the layers that may be brought in by the stacks that *layer* is in."""
        return _reached(self.together(layer), self._named)


def _reversed(graph: Graph) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, used in graph.items():
        for other in used:
            found.setdefault(other, []).append(name)
    return found


def _reached(start: Iterable[str], after: Mapping[str, Iterable[str]]) -> set[str]:
    waiting = list(start)
    reached = set(waiting)
    for each in waiting:
        for other in after.get(each, ()):
            if other not in reached:
                reached.add(other)
                waiting.append(other)
    return reached
