# SPDX-License-Identifier: Apache-2.0
"""
The arcs of a root layer and of every layer under it, and which of them lead nowhere or in a circle.

Breadth by breadth through the layers, as `dependencies` goes: one request for all the entity references
of a breadth. No stage is composed and no plugin is needed; circles end.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Final

from pxr import Sdf

from bifrost.catalogue.strengths import DEFAULTS, Strengths
from bifrost.errors import AssetException
from bifrost.model.reply import Failure
from bifrost.usd.arcs import Kind, is_expression
from bifrost.usd.dependencies import Breadth
from bifrost.usd.extraction import Arc, arcs_of
from bifrost.usd.file_checks import why_not
from bifrost.usd.folder import UDIM, has_tiles, is_uri, split_path
from bifrost.usd.opening import layer_below
from bifrost.usd.survey import PACKAGE, extension, in_threads

# Handing one over takes as long as opening a small layer.
_AT_ONCE: Final = 32
_FOLLOWED: Final = (Kind.SUBLAYER, Kind.REFERENCE, Kind.PAYLOAD)


class Walk:
    """
    One walk from a root: `arcs`, and the `layers` that were opened, by file.

    Args:
        root: A file or an entity reference.
        answer: Asked once for each breadth.
        strengths: How strongly each kind of arc binds.

    Attributes:
        arcs: In the order in which their layers are met. `problem` says of each why its target is not
            there, or that it closes a circle. Value clip templates, variable expressions and what lies
            in a package are not looked at.
        layers: The layers, the root first.
    """

    def __init__(self, root: str, answer: Breadth, strengths: Strengths = DEFAULTS) -> None:
        self._answer = answer
        self._strengths = strengths
        self._places: dict[str, tuple[str, str]] = {}  # (file, problem) of each name
        self.layers: dict[str, Sdf.Layer] = {}
        self.problem = ""
        self._held: dict[str, list[tuple[Arc, str]]] = {}  # each with what it names, anchored
        # Not `Path.resolve`: USD leaves links alone.
        name = root if is_uri(root) else os.path.abspath(root)  # noqa: PTH100
        waiting = [name]
        while waiting:
            waiting = self._breadth(waiting)
        self.problem = self._places[name][1]
        self.arcs = self._judged()

    def _breadth(self, names: list[str]) -> list[str]:
        """Open the layers of *names*; return what those name that is not known yet."""
        self._locate(names)
        files = list(dict.fromkeys(self._places[name][0] for name in names))
        formats = Sdf.FileFormat.FindAllFileFormatExtensions()
        new = [path for path in files if path not in self.layers and extension(path) in formats]
        parts = [new[at : at + _AT_ONCE] for at in range(0, len(new), _AT_ONCE)]
        opened = chain.from_iterable(in_threads(_opened_each, parts))
        for path, (layer, problem) in zip(new, opened, strict=True):
            if layer is None:
                self._fail(path, problem)
            else:
                self.layers[path] = layer
                self._held[path] = list(_named(layer, self._strengths))
        targets = dict.fromkeys(name for path in new for _, name in self._held.get(path, ()))
        return [name for name in targets if name and name not in self._places]

    def _locate(self, names: Iterable[str]) -> None:
        references = [name for name in names if is_uri(name)]
        outcomes: Mapping[str, object] = self._answer(references) if references else {}
        for name in names:
            outcome = outcomes.get(name)
            if name not in outcomes:
                self._places[name] = _file(name)
            elif isinstance(outcome, Failure):
                self._places[name] = ("", outcome.message)
            else:
                self._places[name] = (str(getattr(outcome, "path", "")), "")

    def _fail(self, path: str, problem: str) -> None:
        for name, (place, _) in self._places.items():
            if place == path:
                self._places[name] = (path, problem)

    def _judged(self) -> list[Arc]:
        circles = dict(self._circles())
        return [
            arc._replace(problem=problem)
            if (problem := self._problem(path, arc, name, circles))
            else arc
            for path, arcs in self._held.items()
            for arc, name in arcs
        ]

    def _problem(
        self, path: str, arc: Arc, name: str, circles: Mapping[tuple[str, str], str]
    ) -> str:
        place, problem = self._places.get(name, ("", ""))
        if problem or arc.kind not in _FOLLOWED:
            return problem
        return circles.get((path, place), "")

    def _circles(self) -> Iterator[tuple[tuple[str, str], str]]:
        """Yield ((layer, target), what to say) of arcs that lead back to a layer above."""
        follow = {path: list(dict.fromkeys(self._followed(path))) for path in self.layers}
        done: set[str] = set()
        for root in self.layers:
            way: list[str] = []
            waiting = [] if root in done else [(root, iter(follow[root]))]
            while waiting:
                path, targets = waiting[-1]
                if len(way) < len(waiting):
                    way.append(path)
                    done.add(path)
                target = next(targets, None)
                if target is None:
                    waiting.pop()
                    way.pop()
                elif target in way:
                    yield (path, target), _told([*way[way.index(target) :], target])
                elif target not in done:
                    waiting.append((target, iter(follow[target])))

    def _followed(self, path: str) -> Iterator[str]:
        for arc, name in self._held[path]:
            place = self._places.get(name, ("", ""))[0]
            if arc.kind in _FOLLOWED and arc.operation != "deleted" and place in self.layers:
                yield place


def _told(way: list[str]) -> str:
    return f"closes a circle of layers: {' -> '.join(way)}"


def _named(layer: Sdf.Layer, strengths: Strengths) -> Iterator[tuple[Arc, str]]:
    """Yield (arc, what it names, anchored); "" where that is up to the stage or in a package."""
    in_package = extension(layer.realPath) == PACKAGE
    for arc in arcs_of(layer, strengths):
        is_open = arc.is_template or is_expression(arc.target) or in_package
        base = split_path(arc.target)[0] if arc.target and not is_open else ""
        yield arc, base if not base or is_uri(base) else str(layer.ComputeAbsolutePath(base))


def _file(path: str) -> tuple[str, str]:
    # Not `Path.is_file`: that raises over a name that is too long, or a folder that can't be searched.
    if os.path.isfile(path) or (UDIM in path and has_tiles(path)):  # noqa: PTH113
        return path, ""
    return "", "no regular file" if os.path.exists(path) else "no such file"  # noqa: PTH110


def _opened_each(paths: Iterable[str]) -> list[tuple[Sdf.Layer | None, str]]:
    return [_opened(path) for path in paths]


def _opened(path: str) -> tuple[Sdf.Layer | None, str]:
    try:
        return layer_below(path), ""
    except AssetException as error:
        return None, why_not(error)
