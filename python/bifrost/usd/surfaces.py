# SPDX-License-Identifier: Apache-2.0
"""The points and faces of one prim, whatever its schema; what has none of its own is a box."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from pxr import Tf, Usd, UsdGeom


class Surface(NamedTuple):
    """
    Something to draw in its own space.

    Attributes:
        points: x, y, z of one point after the other.
        counts: How many corners each face has; empty for points without faces, 2 for a line.
        corners: The points' numbers, face by face.
        width: For points and lines, how thick they are, in the same space.
    """

    points: Sequence[float]
    counts: Sequence[int]
    corners: Sequence[int]
    width: float = 0.0


def surface_of(prim: Usd.Prim, time: Usd.TimeCode) -> Surface | None:
    """Return what is to be drawn of a prim; None where it is malformed, or empty."""
    read = next((read for schema, read in _READERS.items() if prim.IsA(schema)), _box)
    try:
        surface = read(prim, time)
    except (Tf.ErrorException, TypeError, ValueError, OverflowError):
        return None
    return surface if surface is not None and _is_sound(surface) else None


def _is_sound(surface: Surface) -> bool:
    points, counts, corners, _ = surface
    if not points or not math.isfinite(math.fsum(points[:3]) + sum(points)):
        return False
    if not counts:
        return True
    return (
        min(counts) >= 0
        and sum(counts) <= len(corners)
        and min(corners, default=0) >= 0
        and 3 * max(corners, default=0) + 2 < len(points)
    )


def _flat(array: Any) -> list[float]:
    """Return an array of vectors as one list; its memory is read, not its elements."""
    view = memoryview(array)
    return [] if not view.nbytes else view.cast("B").cast(view.format or "f").tolist()  # type: ignore[call-overload]


def _numbers(array: Any) -> list[int]:
    return [] if not array else memoryview(array).tolist()


def _mesh(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    mesh = UsdGeom.Mesh(prim)
    return Surface(
        _flat(mesh.GetPointsAttr().Get(time)),
        _numbers(mesh.GetFaceVertexCountsAttr().Get(time)),
        _numbers(mesh.GetFaceVertexIndicesAttr().Get(time)),
    )


def _points(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    points = UsdGeom.Points(prim)
    widths = points.GetWidthsAttr().Get(time)
    width = sum(widths) / len(widths) if widths else 0.0
    return Surface(_flat(points.GetPointsAttr().Get(time)), (), (), width)


def _curves(prim: Usd.Prim, time: Usd.TimeCode) -> Surface | None:
    # Through the control points: nobody sees the difference in a thumbnail.
    curves = UsdGeom.Curves(prim)
    points = _flat(curves.GetPointsAttr().Get(time))
    counts = _numbers(curves.GetCurveVertexCountsAttr().Get(time))
    if 3 * sum(counts) > len(points) or min(counts, default=0) < 0:
        return None  # before anybody counts to two thousand million
    corners: list[int] = []
    start = 0
    for count in counts:
        for number in range(start, start + count - 1):
            corners += (number, number + 1)
        start += count
    widths = curves.GetWidthsAttr().Get(time)
    width = sum(widths) / len(widths) if widths else 0.0
    return Surface(points, [2] * (len(corners) // 2), corners, width)


def _patch(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    patch = UsdGeom.NurbsPatch(prim)
    across, along = patch.GetUVertexCountAttr().Get(time), patch.GetVVertexCountAttr().Get(time)
    return _grid(_flat(patch.GetPointsAttr().Get(time)), across, along)


def _tetrahedra(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    mesh = UsdGeom.TetMesh(prim)
    faces = _flat(mesh.GetSurfaceFaceVertexIndicesAttr().Get(time))
    corners = [int(number) for number in faces]
    return Surface(_flat(mesh.GetPointsAttr().Get(time)), [3] * (len(corners) // 3), corners)


def _cube(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    half = UsdGeom.Cube(prim).GetSizeAttr().Get(time) / 2
    return box((-half,) * 3, (half,) * 3)


def _sphere(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    radius = UsdGeom.Sphere(prim).GetRadiusAttr().Get(time)
    return _revolved([*_arc(radius, 0.0, -90, 90)], "Z")


def _cylinder(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    low, high, half, axis = _tube(prim, time)
    return _revolved([(0.0, -half), (low, -half), (high, half), (0.0, half)], axis)


def _cone(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    low, _, half, axis = _tube(prim, time)
    return _revolved([(0.0, -half), (low, -half), (0.0, half)], axis)


def _capsule(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    low, high, half, axis = _tube(prim, time)
    return _revolved([*_arc(low, -half, -90, 0), *_arc(high, half, 0, 90)], axis)


def _plane(prim: Usd.Prim, time: Usd.TimeCode) -> Surface:
    plane = UsdGeom.Plane(prim)
    x, y = plane.GetWidthAttr().Get(time) / 2, plane.GetLengthAttr().Get(time) / 2
    axis = str(plane.GetAxisAttr().Get(time))
    corners = [(-x, -y, 0.0), (x, -y, 0.0), (-x, y, 0.0), (x, y, 0.0)]
    return _grid([value for each in corners for value in _turned(each, axis)], 2, 2)


def _box(prim: Usd.Prim, time: Usd.TimeCode) -> Surface | None:
    extent = UsdGeom.Boundable.ComputeExtentFromPlugins(UsdGeom.Boundable(prim), time)
    extent = extent or UsdGeom.Boundable(prim).GetExtentAttr().Get(time)
    return box(extent[0], extent[1]) if extent and len(extent) == 2 else None


def box(low: Sequence[float], high: Sequence[float]) -> Surface:
    """Return a box between two corners."""
    ends = (low, high)
    points = [float(ends[number >> axis & 1][axis]) for number in range(8) for axis in range(3)]
    faces = (0, 2, 3, 1, 4, 5, 7, 6, 0, 1, 5, 4, 2, 6, 7, 3, 0, 4, 6, 2, 1, 3, 7, 5)
    return Surface(points, [4] * 6, faces)


_Reader = Callable[[Usd.Prim, Usd.TimeCode], Surface | None]
_READERS: Final[dict[Any, _Reader]] = {
    UsdGeom.Mesh: _mesh,
    UsdGeom.Cube: _cube,
    UsdGeom.Sphere: _sphere,
    UsdGeom.Cylinder: _cylinder,
    UsdGeom.Cylinder_1: _cylinder,
    UsdGeom.Cone: _cone,
    UsdGeom.Capsule: _capsule,
    UsdGeom.Capsule_1: _capsule,
    UsdGeom.Plane: _plane,
    UsdGeom.Points: _points,
    UsdGeom.Curves: _curves,
    UsdGeom.NurbsPatch: _patch,
    UsdGeom.TetMesh: _tetrahedra,
}

_AROUND: Final = 32


def _tube(prim: Usd.Prim, time: Usd.TimeCode) -> tuple[float, float, float, str]:
    """Return the radii below and above, half the height, and the axis of a round prim."""

    def value(name: str) -> Any:
        return prim.GetAttribute(name).Get(time)

    low, high = value("radius"), value("radius")
    if low is None:
        low, high = value("radiusBottom"), value("radiusTop")
    return low, high, value("height") / 2, str(value("axis"))


def _arc(radius: float, height: float, start: int, end: int) -> Iterator[tuple[float, float]]:
    for degrees in range(start, end + 1, 10):
        angle = math.radians(degrees)
        yield radius * math.cos(angle), height + radius * math.sin(angle)


def _revolved(profile: Sequence[tuple[float, float]], axis: str) -> Surface:
    """Return the surface that (radius, height) pairs make round an axis."""
    points: list[float] = []
    for radius, height in profile:
        for number in range(_AROUND + 1):
            angle = 2 * math.pi * number / _AROUND
            around = (radius * math.cos(angle), radius * math.sin(angle), height)
            points += _turned(around, axis)
    return _grid(points, _AROUND + 1, len(profile))


def _turned(point: tuple[float, float, float], axis: str) -> tuple[float, float, float]:
    """Return a point given for the axis Z as one for *axis*, the same way round."""
    x, y, z = point
    return {"X": (z, x, y), "Y": (y, z, x)}.get(axis, point)


def _grid(points: Sequence[float], across: int, along: int) -> Surface:
    if 3 * across * along > len(points):
        raise ValueError(f"{across} by {along} points, and {len(points) // 3} are there")
    corners: list[int] = []
    for row in range(along - 1):
        for column in range(across - 1):
            first = row * across + column
            corners += (first, first + 1, first + across + 1, first + across)
    return Surface(points, [4] * (len(corners) // 4), corners)
