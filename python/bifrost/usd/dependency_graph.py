# SPDX-License-Identifier: Apache-2.0
"""What a root depends on as a graph: which layer names what, and a picture of it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pxr import Sdf

from bifrost.catalogue.picture import Box, Line, drawn
from bifrost.catalogue.strengths import parse as strengths_in
from bifrost.catalogue.strengths import strength_of
from bifrost.model.entity_reference import parse
from bifrost.session import Session, current
from bifrost.usd.arcs import Kind, asset_paths, is_expression
from bifrost.usd.dependencies import Found, anchored, answers_of, walk


@dataclass(frozen=True, slots=True)
class Need:
    """
    That a layer names something.

    Attributes:
        source: What names: the reference or absolute path of a layer.
        target: What is named, likewise.
        kind: What for: `sublayer`, `payload`, `attribute`…
        strength: `strong`, `weak` or `reference`: `catalogue.strengths`.
    """

    source: str
    target: str
    kind: str
    strength: str


@dataclass(frozen=True, slots=True)
class DependencyGraph:
    """
    A root and all it depends on.

    Attributes:
        found: The root and everything under it, in the order in which it is met, as `dependencies`.
        needs: Which of them names which, each once for each kind.
    """

    found: tuple[Found, ...]
    needs: tuple[Need, ...]

    def to_svg(self, title: str = "") -> str:
        """
        Return a picture, an SVG document: coloured by what things are for, lines drawn by strength.

        What did not resolve is struck through. For up to some hundred things, as
        `catalogue.picture`, which draws it.
        """
        places = {each.reference: place for place, each in enumerate(self.found)}
        lines = [
            Line(places[need.source], places[need.target], need.strength, _said(need))
            for need in self.needs
        ]
        return drawn([_box(each) for each in self.found], lines, title)


def dependency_graph(root: str, session: Session | None = None) -> DependencyGraph:
    """
    Return *root*, a file or an entity reference, and everything it depends on, as `dependencies`.

    Needs no plugin. One round trip for each breadth.

    Raises:
        ConfigurationError: `catalogue.strengths` or `BIFROST_CONTEXT` can't be read.
    """
    asked = session or current()
    strengths = strengths_in(asked.settings.catalogue.strengths)
    named: dict[str, list[tuple[str, Kind]]] = {}

    def read(layer: Sdf.Layer) -> Mapping[str, str]:
        uses = list(_uses(layer))
        named[layer.realPath] = uses
        return dict(uses)

    found = walk([root], answers_of(asked), read)
    needs = [
        Need(each.reference, target, str(kind), strength_of(strengths, kind))
        for each in found
        for target, kind in named.get(each.path, ())
    ]
    return DependencyGraph(tuple(found), tuple(dict.fromkeys(needs)))


def _uses(layer: Sdf.Layer) -> Iterable[tuple[str, Kind]]:
    return (
        (anchored(use.path, layer), use.kind)
        for use in asset_paths(layer)
        if not use.is_template and not is_expression(use.path)
    )


def _said(need: Need) -> str:
    return f"{need.kind} ({need.strength})"


def _box(found: Found) -> Box:
    lines = (
        f"{found.kind} {found.reference}",
        f"version {found.version}" if found.version else "",
        found.path if found.path != found.reference else "",
        found.problem,
    )
    return Box(
        _name(found.reference),
        found.kind,
        note=f"v{found.version}" if found.version else "",
        tip="\n".join(filter(None, lines)),
        is_root=found.kind == "root",
        is_gone=bool(found.problem),
    )


def _name(reference: str) -> str:
    try:
        whole = parse(reference).asset_id
    except ValueError:  # a path, or another manager's reference
        whole = reference
    return posixpath.basename(whole) or whole
