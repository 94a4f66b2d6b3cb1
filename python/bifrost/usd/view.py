# SPDX-License-Identifier: Apache-2.0
"""From where geometry is looked at, and where that puts its points in a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from pxr import Gf, Usd, UsdGeom

from bifrost.usd.canvas import Corner
from bifrost.usd.shapes import Shape

_MARGIN: Final = 0.07
_AZIMUTH: Final = 33.0
# Degrees above the horizon: for what stands, and for what lies.
_ELEVATIONS: Final = (18.0, 38.0)
_SAMPLED_POINTS: Final = 1_500


class View(NamedTuple):
    """
    How the world lies in the picture.

    Attributes:
        to_eye: From the world to right, up and towards the eye.
        scale: Pixels for each unit.
        x: The picture's middle, in units to the right.
        y: Likewise, in units up.
        width: Of the picture, in pixels.
        height: Likewise.
    """

    to_eye: Gf.Matrix4d
    scale: float
    x: float
    y: float
    width: int
    height: int


def eye(stage: Usd.Stage, seen: Sequence[Shape]) -> Gf.Matrix4d:
    """Return the turn from the world to right, up, and towards the eye."""
    upright = Gf.Matrix4d(1)
    if UsdGeom.GetStageUpAxis(stage) == UsdGeom.Tokens.z:
        upright.SetRotate(Gf.Rotation(Gf.Vec3d(1, 0, 0), -90))
    size = _bounds(seen, upright).GetSize()
    lies = size[1] < 0.35 * max(size[0], size[2])
    azimuth, elevation = math.radians(_AZIMUTH), math.radians(_ELEVATIONS[lies])
    right = (math.cos(azimuth), 0.0, -math.sin(azimuth))
    towards = (
        math.sin(azimuth) * math.cos(elevation),
        math.sin(elevation),
        math.cos(azimuth) * math.cos(elevation),
    )
    up = Gf.Cross(Gf.Vec3d(*towards), Gf.Vec3d(*right))
    turn = Gf.Matrix4d(1)
    for axis, column in enumerate((right, up, towards)):
        turn.SetColumn(axis, Gf.Vec4d(*column, 0))
    return upright * turn


def view_of(seen: Sequence[Shape], to_eye: Gf.Matrix4d, width: int, height: int) -> View | None:
    """Return the view in which *seen* fills the picture but for a margin."""
    box = _bounds(seen, to_eye)
    size, middle = box.GetSize(), box.GetMidpoint()
    if not math.isfinite(max(size)) or max(size) <= 0:
        return None
    scales = [
        pixels * (1 - 2 * _MARGIN) / extent
        for pixels, extent in ((width, size[0]), (height, size[1]))
        if extent > 0
    ]
    if not scales or not math.isfinite(min(scales)):
        return None
    return View(to_eye, min(scales), middle[0], middle[1], width, height)


def projected(shape: Shape, view: View, step: int = 1) -> list[Corner]:
    """Return where a shape's points are in the picture, or every *step*th of them."""
    xx, xy, xz, _, yx, yy, yz, _, zx, zy, zz, _, ox, oy, oz, _ = _in_picture(shape, view)
    flat = shape.surface.points
    return [
        (
            x * xx + y * yx + z * zx + ox,
            x * xy + y * yy + z * zy + oy,
            x * xz + y * yz + z * zz + oz,
        )
        for x, y, z in zip(flat[:: 3 * step], flat[1 :: 3 * step], flat[2 :: 3 * step], strict=True)
    ]


def _in_picture(shape: Shape, view: View) -> list[float]:
    # Pixels: y downwards, and depth on the same scale, so that normals are true.
    scale = view.scale
    place = Gf.Matrix4d(1).SetScale(Gf.Vec3d(scale, -scale, scale))
    offset = Gf.Vec3d(view.width / 2 - view.x * scale, view.height / 2 + view.y * scale, 0)
    place.SetTranslateOnly(offset)
    matrix = shape.to_world * view.to_eye * place
    return [matrix[row][column] for row in range(4) for column in range(4)]


def _bounds(seen: Sequence[Shape], matrix: Gf.Matrix4d) -> Gf.Range3d:
    box = Gf.Range3d()
    for shape in seen:
        flat = shape.surface.points
        step = 3 * max(1, len(flat) // 3 // _SAMPLED_POINTS)
        placed = shape.to_world * matrix
        for at in range(0, len(flat) - 2, step):
            box.UnionWith(placed.Transform(Gf.Vec3d(*flat[at : at + 3])))
    return box
