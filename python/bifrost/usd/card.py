# SPDX-License-Identifier: Apache-2.0
"""
The picture of an asset that nothing can be drawn of: its name, its type, and its outline.

The outline is that of the boxes round its geometry. The same asset makes the same bytes; the type
decides the colour.
"""

from __future__ import annotations

import colorsys
import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pxr import Gf, Usd

from bifrost.usd.description import world_bounds
from bifrost.usd.shapes import Shape, boxed, shapes
from bifrost.usd.surfaces import box
from bifrost.usd.view import View, eye, projected, view_of

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

Point = tuple[float, float]

_MOST_BOXES: Final = 400
_TOP, _BOTTOM = (52, 57, 66), (30, 33, 39)
_INK, _FAINT = (240, 242, 245), (158, 166, 178)
# Where the text begins, as a part of the height; a part of the smaller side that stays free.
TEXT_AT: Final = 0.70
_EDGE: Final = 0.06
_EDGES: Final = (
    (0, 1),
    (2, 3),
    (4, 5),
    (6, 7),
    (0, 2),
    (1, 3),
    (4, 6),
    (5, 7),
    (0, 4),
    (1, 5),
    (2, 6),
    (3, 7),
)


class Silhouette(NamedTuple):
    """
    An outline, in parts of a picture: 0, 0 is its upper left corner and 1, 1 its lower right.

    Attributes:
        boxes: The outlines of the boxes round parts of the geometry.
        around: The edges of the box round all of it.
    """

    boxes: tuple[tuple[Point, ...], ...]
    around: tuple[tuple[Point, Point], ...]


def silhouette(stage: Usd.Stage, aspect: float = 1.0) -> Silhouette | None:
    """
    Return the outline of a stage's geometry; None where it has none.

    Where only models' `extentsHint` are known, as behind payloads that open nothing, theirs.

    Args:
        stage: The stage.
        aspect: Width by height of the picture that it is for.
    """
    seen = [boxed(shape) for shape in shapes(stage)]
    if not seen:
        bounds = world_bounds(stage, hinted=True)
        if bounds is None:
            return None
        seen = [Shape(box(bounds.GetMin(), bounds.GetMax()), Gf.Matrix4d(1))]
    around = _around(seen)
    view = view_of([around], eye(stage, seen), max(1, round(1000 * aspect)), 1000)
    if view is None:
        return None
    step = -(-len(seen) // _MOST_BOXES)
    outlines = tuple(_hull(_placed(shape, view)) for shape in seen[::step])
    corners = _placed(around, view)
    return Silhouette(outlines, tuple((corners[a], corners[b]) for a, b in _EDGES))


def card(
    name: str, asset_type: str, width: int, height: int, outline: Silhouette | None = None
) -> Image:
    """Return a card of this size; what can't be printed of *name* and *asset_type* is left out."""
    from PIL import ImageDraw

    # Twice as large, and then made smaller: Pillow draws without soft edges.
    large = backdrop(2 * width, 2 * height, _TOP, _BOTTOM)
    draw = ImageDraw.Draw(large)
    accent = _accent(asset_type)
    if outline is not None:
        _draw_outline(draw, outline, accent, 2 * width, round(2 * height * TEXT_AT))
    else:
        _draw_nothing(draw, accent, 2 * width, round(2 * height * TEXT_AT))
    _draw_text(draw, _printable(name) or "unnamed", _printable(asset_type), accent, large.size)
    return large.reduce(2)


def backdrop(
    width: int, height: int, top: tuple[int, int, int], bottom: tuple[int, int, int]
) -> Image:
    """Return a picture that goes from one colour to another, downwards."""
    from PIL import Image

    column = bytes(
        round(a + (b - a) * row / max(1, height - 1))
        for row in range(height)
        for a, b in zip(top, bottom, strict=True)
    )
    return Image.frombytes("RGB", (1, height), column).resize((width, height))


def _draw_outline(
    draw: ImageDraw, outline: Silhouette, accent: tuple[int, int, int], width: int, height: int
) -> None:
    def at(point: Point) -> Point:
        return point[0] * width, point[1] * height

    line = max(2, round(min(width, height) / 160))
    for hull in outline.boxes:
        if len(hull) > 2:
            draw.polygon([at(point) for point in hull], fill=accent)
    for hull in outline.boxes:
        points = [at(point) for point in (*hull, *hull[:1])]
        draw.line(points, fill=_darker(accent), width=max(1, line // 2))
    for a, b in outline.around:
        draw.line((*at(a), *at(b)), fill=_FAINT, width=line)


def _draw_nothing(draw: ImageDraw, accent: tuple[int, int, int], width: int, height: int) -> None:
    """Draw a sheet of paper with a folded corner: a file, whatever is in it."""
    tall = height * 0.62
    wide, fold = tall * 0.76, tall * 0.24
    left, top = (width - wide) / 2, (height - tall) / 2 + height * 0.04
    right, bottom = left + wide, top + tall
    sheet = [(left, top), (right - fold, top), (right, top + fold), (right, bottom), (left, bottom)]
    draw.polygon(sheet, fill=accent)
    corner = [(right - fold, top), (right, top + fold), (right - fold, top + fold)]
    draw.polygon(corner, fill=_darker(accent))


def _draw_text(
    draw: ImageDraw,
    name: str,
    asset_type: str,
    accent: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    width, height = size
    edge = _EDGE * min(size)
    room = width - 2 * edge
    top = height * TEXT_AT
    draw.rectangle((edge, top, edge + min(size) * 0.12, top + min(size) * 0.012), fill=accent)
    font, text = _fitted(name, room, 0.125 * height)
    top += 0.04 * height
    draw.text((edge, top), text, font=font, fill=_INK)
    font, text = _fitted(asset_type, room, 0.07 * height)
    draw.text((edge, top + 0.145 * height), text, font=font, fill=_FAINT)


def _fitted(text: str, room: float, height: float) -> tuple[Any, str]:
    """Return a font and the text, smaller or cut where it is too wide."""
    # More letters than this fit in no card, and measuring a megabyte takes its time.
    text = text if len(text) <= 200 else text[:199] + "…"
    for size in (height, 0.8 * height, 0.62 * height):
        font = _font(size)
        if font.getlength(text) <= room:
            return font, text
    kept = len(text)
    shown = text
    while kept > 1 and font.getlength(shown) > room:
        kept -= 1
        # Out of the middle: names of one show differ at their ends.
        shown = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
    return font, shown


def _font(size: float) -> Any:
    from PIL import ImageFont

    # The font that Pillow brings: those of the machine would make other bytes on each.
    return ImageFont.load_default(max(4.0, size))


def _printable(text: object) -> str:
    # The font has no accents; what it lacks altogether is a box.
    apart = unicodedata.normalize("NFKD", str(text)[:10_000])
    kept = (ch for ch in apart if not unicodedata.combining(ch))
    return " ".join("".join(ch if ch.isprintable() else " " for ch in kept).split())


def _accent(asset_type: object) -> tuple[int, int, int]:
    text = str(asset_type).encode(errors="replace")
    hue = hashlib.sha256(text).digest()[0] / 256
    red, green, blue = colorsys.hls_to_rgb(hue, 0.60, 0.42)
    return round(255 * red), round(255 * green), round(255 * blue)


def _darker(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (round(channel * 0.62) for channel in colour)
    return red, green, blue


def _placed(shape: Shape, view: View) -> list[Point]:
    corners = projected(shape, view)
    return [(round(x / view.width, 5), round(y / view.height, 5)) for x, y, _ in corners]


def _around(seen: Iterable[Shape]) -> Shape:
    bounds = Gf.Range3d()
    for shape in seen:
        flat = shape.surface.points
        for at in range(0, len(flat), 3):
            bounds.UnionWith(shape.to_world.Transform(Gf.Vec3d(*flat[at : at + 3])))
    return Shape(box(bounds.GetMin(), bounds.GetMax()), Gf.Matrix4d(1))


def _hull(points: Sequence[Point]) -> tuple[Point, ...]:
    """Return the corners of the convex outline of *points*, in order."""
    ordered = sorted(set(points))

    def half(way: Iterable[Point]) -> list[Point]:
        hull: list[Point] = []
        for point in way:
            while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0:
                hull.pop()
            hull.append(point)
        return hull[:-1]

    return (*half(ordered), *half(reversed(ordered))) if len(ordered) > 2 else tuple(ordered)


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
