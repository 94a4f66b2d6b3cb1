# SPDX-License-Identifier: Apache-2.0
"""
A graph as an SVG picture that people can read: what needs stands left of what is needed.

`drawn` draws any boxes and lines, `to_svg` those of a catalogue's graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from bifrost.catalogue.edge_values import STRENGTHS
from bifrost.catalogue.graphs import GraphEdge, Node, NodeInfo, Subgraph
from bifrost.catalogue.layout import Layout, layered
from bifrost.catalogue.markup import cut, markup

_WIDTH: Final = 176.0
_HEIGHT: Final = 40.0
_GAP: Final = 18.0
_BEND: Final = 16.0
_MARGIN: Final = 24.0
_TITLE: Final = 30.0
_BETWEEN: Final = 80.0
_LEGEND_ROW: Final = 24.0
_LEAST_WIDTH: Final = 560.0
# Characters that fit into a box.
_NAME: Final = 21
_KIND: Final = 26
# Fills that dark text can be read on, told apart by people who see few colours.
_FILLS: Final = (
    "#cfe3f5",
    "#fbe0a6",
    "#bfe8d3",
    "#f6cfda",
    "#dcd3f2",
    "#f6f0a4",
    "#f3cdb0",
    "#d9dee4",
    "#b3e3ea",
    "#d9e8b4",
)
_OTHER: Final = "#ffffff"
_DASHES: Final = {"strong": "none", "weak": "8 5", "reference": "1.5 4"}
_MEANINGS: Final = {"strong": "required", "weak": "optional", "reference": "informational"}
_HEAD: Final = """\
<style>
text { font-family: Helvetica, Arial, sans-serif; fill: #1b1f24; }
.name { font-size: 13px; font-weight: bold; }
.kind, .legend { font-size: 11px; fill: #4a5159; }
.title { font-size: 15px; font-weight: bold; }
.edge { fill: none; stroke: #57606a; stroke-width: 1.4; }
.box { stroke: #57606a; stroke-width: 1; }
.root { stroke: #1b1f24; stroke-width: 2.5; }
.gone { text-decoration: line-through; }
</style>
<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" \
orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z" fill="#57606a"/></marker></defs>"""


class Box(NamedTuple):
    """
    What stands for one thing.

    Attributes:
        name: In bold; cut where it is long.
        kind: Under it; says the colour of the box, too.
        note: Behind the kind, such as `v3`.
        tip: All there is to say, shown in a tooltip.
        is_root: Whether it is what the picture is about.
        is_gone: Whether its name is struck through.
    """

    name: str
    kind: str
    note: str = ""
    tip: str = ""
    is_root: bool = False
    is_gone: bool = False


class Line(NamedTuple):
    """From one box to another, by their places: of which strength, and what it stands for."""

    source: int
    target: int
    strength: str
    said: str


def to_svg(graph: Subgraph, title: str = "") -> str:
    """
    Return a picture of *graph*, an SVG document.

    Boxes are coloured by the type of the asset, lines are solid, dashed or dotted by strength. What
    is cut short, and what a line stands for, is said in tooltips. It grows with the graph, and is
    meant for up to some hundred nodes.
    """
    nodes = sorted(graph.nodes)
    index = {node: place for place, node in enumerate(nodes)}
    boxes = [_node(node, graph.nodes[node], node in graph.roots) for node in nodes]
    return drawn(boxes, [_edge(edge, index) for edge in graph.edges], title)


def drawn(boxes: Sequence[Box], lines: Iterable[Line], title: str = "") -> str:
    """
    Return a picture of *boxes* and *lines* between them, an SVG document, as `to_svg`.

    Lines of one strength between the same two boxes are drawn as one, whose tooltip says all of
    them.
    """
    merged = _merged(lines)
    loops = [line for line in merged if line.source == line.target]
    merged = [line for line in merged if line.source != line.target]
    ends = [(line.source, line.target) for line in merged]
    layout = layered(len(boxes), ends, room=_HEIGHT + _GAP, bend_room=_BEND)
    lefts = _lefts(layout, ends)
    fills = _fills(box.kind for box in boxes)
    width = max(max(lefts, default=0.0) + _WIDTH, _LEAST_WIDTH)
    top = _MARGIN + (_TITLE if title else 0.0)
    legend, legend_height = _legend(fills, width)
    body = [
        *(
            _curve(line, layout, bends, lefts)
            for line, bends in zip(merged, layout.bends, strict=True)
        ),
        *(_loop(line, layout, lefts) for line in loops),
        *(_box(box, fills, _corner(place, layout, lefts)) for place, box in enumerate(boxes)),
    ]
    size = (width + 2 * _MARGIN, top + layout.height + legend_height + _MARGIN)
    return _document(title, size, (top, body), (top + layout.height, legend))


def _document(
    title: str,
    size: tuple[float, float],
    body: tuple[float, Iterable[str]],
    legend: tuple[float, Iterable[str]],
) -> str:
    width, height = size
    caption = title or "relationships"
    heading = f'<text class="title" x="{_MARGIN:g}" y="34">{markup(title)}</text>' if title else ""
    groups = [
        f'<g transform="translate({_MARGIN:g} {_n(top)})">\n' + "\n".join(parts) + "\n</g>"
        for top, parts in (body, legend)
    ]
    return "\n".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>',
            (
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
                f'viewBox="0 0 {_n(width)} {_n(height)}" role="img">'
            ),
            f"<title>{markup(caption)}</title>",
            _HEAD,
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            heading,
            *groups,
            "</svg>\n",
        )
    )


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _node(node: Node, info: NodeInfo, is_root: bool) -> Box:
    version = f"version {node.number}" if node.number else "any version"
    state = ", deprecated" if info.deprecated else ""
    return Box(
        info.name,
        info.asset_type,
        note=f"v{node.number}" if node.number else "",
        tip=f"{info.name}\n{info.asset_type}, {version}{state}\n{node.reference}",
        is_root=is_root,
        is_gone=info.deprecated,
    )


def _edge(edge: GraphEdge, index: dict[Node, int]) -> Line:
    purpose = f": {edge.purpose}" if edge.purpose else ""
    how = f"pins {edge.version}" if edge.is_pinned else f"floats, {edge.version or 'newest'}"
    said = f"{edge.kind or 'relationship'}{purpose} ({edge.strength}, {how})"
    return Line(index[edge.source], index[edge.target], edge.strength, said)


def _merged(lines: Iterable[Line]) -> list[Line]:
    said: dict[tuple[int, int, str], set[str]] = {}
    for line in lines:
        said.setdefault((line.source, line.target, line.strength), set()).add(line.said)
    return [Line(*ends, "\n".join(sorted(texts))) for ends, texts in sorted(said.items())]


def _lefts(layout: Layout, ends: Iterable[tuple[int, int]]) -> list[float]:
    """Return the left side of each layer; many edges have room to turn between two of them."""
    turning = [0] * (max(layout.layers, default=0) + 1)
    for one, other in ends:
        first, last = sorted((layout.layers[one], layout.layers[other]))
        for layer in range(first, last):
            turning[layer] += 1
    lefts = [0.0]
    for count in turning[:-1]:
        lefts.append(lefts[-1] + _WIDTH + _BETWEEN + min(4.0 * count, 160.0))
    return lefts


def _corner(place: int, layout: Layout, lefts: Sequence[float]) -> tuple[float, float]:
    return lefts[layout.layers[place]], layout.heights[place] - _HEIGHT / 2


def _fills(types: Iterable[str]) -> dict[str, str]:
    counted: dict[str, int] = {}
    for kind in types:
        counted[kind] = counted.get(kind, 0) + 1
    # The commonest types have colours of their own.
    common = sorted(counted, key=lambda kind: (-counted[kind], kind))
    return {
        kind: _FILLS[place] if place < len(_FILLS) else _OTHER for place, kind in enumerate(common)
    }


def _box(box: Box, fills: dict[str, str], corner: tuple[float, float]) -> str:
    left, top = corner
    kind = cut(box.kind, _KIND - 6) + (f" · {box.note}" if box.note else "")
    middle = _n(left + _WIDTH / 2)
    return (
        f'<g class="node"><title>{markup(box.tip)}</title>'
        f'<rect class="box{" root" if box.is_root else ""}" x="{_n(left)}" y="{_n(top)}" '
        f'width="{_WIDTH:g}" height="{_HEIGHT:g}" rx="5" fill="{fills[box.kind]}"/>'
        f'<text class="name{" gone" if box.is_gone else ""}" text-anchor="middle" '
        f'x="{middle}" y="{_n(top + 17)}">{markup(cut(box.name, _NAME))}</text>'
        f'<text class="kind" text-anchor="middle" x="{middle}" y="{_n(top + 32)}">'
        f"{markup(kind)}</text></g>"
    )


def _curve(line: Line, layout: Layout, bends: Sequence[float], lefts: Sequence[float]) -> str:
    first, last = line.source, line.target
    turned = layout.layers[first] > layout.layers[last]
    if turned:
        first, last = last, first
    layer = layout.layers[first]
    x, y = lefts[layer] + _WIDTH, layout.heights[first]
    path = [f"M{_n(x)} {_n(y)}"]
    for bend in (*bends, layout.heights[last]):
        layer += 1
        path.append(_turn((x, y), (lefts[layer], bend)))
        x, y = lefts[layer] + _WIDTH, bend
        path.append(f"H{_n(x)}")
    # Level past what it passes, but not into the box that it ends at.
    return _path(line, " ".join(path[:-1]), "start" if turned else "end")


def _turn(start: tuple[float, float], end: tuple[float, float]) -> str:
    middle = (start[0] + end[0]) / 2
    return f"C{_n(middle)} {_n(start[1])} {_n(middle)} {_n(end[1])} {_n(end[0])} {_n(end[1])}"


def _loop(line: Line, layout: Layout, lefts: Sequence[float]) -> str:
    left, top = _corner(line.source, layout, lefts)
    right = left + _WIDTH - 14
    way = f"M{_n(right - 22)} {_n(top)} v-5 q0 -4 4 -4 h14 q4 0 4 4 V{_n(top)}"
    return _path(line, way, "end")


def _path(line: Line, way: str, arrow: str) -> str:
    return (
        f'<path class="edge" d="{way}" stroke-dasharray="{_DASHES[line.strength]}" '
        f'marker-{arrow}="url(#arrow)"><title>{markup(line.said)}</title></path>'
    )


def _legend(fills: dict[str, str], width: float) -> tuple[list[str], float]:
    """Return what colours and lines mean, in rows, and their height."""
    entries = [
        (f'<rect class="box" y="3" width="16" height="12" rx="2" fill="{fill}"/>', 22.0, kind)
        for kind, fill in fills.items()
        if fill != _OTHER
    ]
    if len(fills) > len(entries):
        other = f'<rect class="box" y="3" width="16" height="12" rx="2" fill="{_OTHER}"/>'
        entries.append((other, 22.0, "other types"))
    lines = [
        (
            (
                f'<path class="edge" d="M0 9 H38" stroke-dasharray="{_DASHES[strength]}" '
                'marker-end="url(#arrow)"/>'
            ),
            46.0,
            f"{strength} ({_MEANINGS[strength]})",
        )
        for strength in STRENGTHS
    ]
    found, top = [], _LEGEND_ROW
    for group in (entries, lines):
        left = 0.0
        for mark, indent, text in group:
            label = cut(text or "no type", _KIND)
            wide = indent + 7.0 * len(label) + 18.0
            if left and left + wide > width:
                left, top = 0.0, top + _LEGEND_ROW
            found.append(
                f'<g transform="translate({_n(left)} {_n(top)})">{mark}<text class="legend" '
                f'x="{indent:g}" y="13">{markup(label)}</text></g>'
            )
            left += wide
        top += _LEGEND_ROW
    return found, top
