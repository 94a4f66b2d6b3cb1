# SPDX-License-Identifier: Apache-2.0
"""
A picture of a USD file's geometry, in a three-quarter view, drawn by ourselves.

usd-core brings no renderer. What counts here is to be recognised: flat shading by three lights,
colours of materials and `displayColor`, the same bytes for the same file on every run.

Work is bounded by counting, not by the clock, so that a busy machine draws the same picture: a
surface with more faces than the pixels it covers can show is drawn as an even choice of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from pxr import Usd

from bifrost.usd.canvas import Canvas, Corner, Ramp, packed
from bifrost.usd.colours import Colour
from bifrost.usd.shapes import Shape, shapes
from bifrost.usd.view import View, eye, projected, view_of

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_FACES: Final = 150_000
# How many faces for each pixel that a shape's outline covers: the first that is not too many.
_DENSITIES: Final = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.02, 0.0)
_FEWEST: Final = 24
_MOST_PIXELS: Final = 1_200_000

# Where each light comes from, seen by the eye (right, up, towards it), and how strong it is.
_LIGHTS: Final = (
    (-0.45, 0.65, 0.61, 0.95),
    (0.80, 0.15, 0.58, 0.35),
    (0.10, 0.95, -0.30, 0.25),
)
_AMBIENT: Final = 0.16
_BRIGHTEST: Final = 1.4
_LEVELS: Final = 120
# The cosine of the angle at which faces meet in an edge.
_CREASE: Final = math.cos(math.radians(33))
# How dark it is beside what is nearer, and how far that reaches, for each pixel of width.
_DARKENING: Final = 4
_REACH: Final = 0.008

Corners = Sequence[Corner] | Mapping[int, Corner]


def picture(stage: Usd.Stage, width: int, height: int) -> Image | None:
    """
    Return a picture of a stage with an alpha channel; None where there is nothing to see.

    A very large one is made as large as is bearable, in the proportions asked for.
    """
    smaller = min(1.0, math.sqrt(_MOST_PIXELS / (width * height)))
    width, height = max(1, int(width * smaller)), max(1, int(height * smaller))
    seen = shapes(stage)
    if not seen:
        return None
    finer = 2 if 4 * width * height <= _MOST_PIXELS else 1
    view = view_of(seen, eye(stage, seen), width * finer, height * finer)
    if view is None:
        return None
    canvas = Canvas(view.width, view.height)
    _Painter(canvas, view).draw(seen)
    drawn = _contrasted(canvas)
    return drawn.reduce(finer) if finer > 1 else drawn


def _contrasted(canvas: Canvas) -> Image:
    """Return the picture, darker round what is nearer: grey things before grey things show."""
    from PIL import Image, ImageChops, ImageFilter

    depths = canvas.depths()
    blurred = depths.filter(ImageFilter.GaussianBlur(max(1.0, canvas.width * _REACH)))
    shade = ImageChops.subtract(blurred, depths).point(
        [max(90, 255 - _DARKENING * n) for n in range(256)]
    )
    *channels, alpha = canvas.image().split()
    darker = [ImageChops.multiply(channel, shade) for channel in channels]
    return Image.merge("RGBA", (*darker, alpha))


class _Painter:
    """Draws shapes on one canvas."""

    def __init__(self, canvas: Canvas, view: View) -> None:
        self._canvas, self._view = canvas, view
        self._ramps: dict[Colour, list[int]] = {}

    def draw(self, seen: Sequence[Shape]) -> None:
        """
        Draw them all, with no more than about `MOST_FACES` faces.

        What is finer than its pixels gives up faces first: a floor's few large ones are all needed.
        """
        sizes = [_size(shape) for shape in seen]
        pixels = [self._pixels(shape) for shape in seen]
        for density in _DENSITIES:
            most = [max(_FEWEST, int(area * density)) for area in pixels]
            if sum(map(min, sizes, most)) <= MOST_FACES:
                break
        for shape, faces in zip(seen, most, strict=True):
            self._shape(shape, faces)

    def _pixels(self, shape: Shape) -> float:
        points = shape.surface.points
        corners = projected(shape, self._view, max(1, len(points) // 600))
        across = max(c[0] for c in corners) - min(c[0] for c in corners)
        down = max(c[1] for c in corners) - min(c[1] for c in corners)
        return min(across * down, float(self._view.width * self._view.height)) + 1

    def _shape(self, shape: Shape, most: int) -> None:
        counts, numbers = shape.surface.counts, shape.surface.corners
        if not counts:
            self._dots(shape, most)
        elif len(counts) > most:
            self._sampled(shape, -(-len(counts) // most))
        elif counts[0] == 2:
            self._lines(shape)
        else:
            corners = projected(shape, self._view)
            faces = list(_faces(counts, numbers))
            normals = [_normal(each, corners) for _, each in faces]
            smooth = _smooth(faces, normals, len(corners))
            for (face, each), normal in zip(faces, normals, strict=True):
                if len(each) > 2:
                    steps = [_step(normal, smooth[number]) for number in each]
                    self._face([corners[n] for n in each], steps, self._ramp(shape, face, each))

    def _face(self, corners: Sequence[Corner], steps: Sequence[float], ramp: Ramp) -> None:
        for third in range(2, len(corners)):
            chosen = (corners[0], corners[third - 1], corners[third])
            self._canvas.triangle(chosen, (steps[0], steps[third - 1], steps[third]), ramp)

    def _sampled(self, shape: Shape, step: int) -> None:
        """Draw an even choice of faces as squares that cover for the others."""
        points, counts, numbers, _ = shape.surface
        chosen = [(face, each) for face, each in _faces(counts, numbers, step) if len(each) > 2]
        wanted = list(dict.fromkeys(number for _, each in chosen for number in each))
        flat = [points[at] for number in wanted for at in range(3 * number, 3 * number + 3)]
        thinner = Shape(shape.surface._replace(points=flat), shape.to_world, shape.painted)
        corners = dict(zip(wanted, projected(thinner, self._view), strict=True))
        normals = [_normal(each, corners) for _, each in chosen]
        outward = _outward([corners[each[0]] for _, each in chosen], normals)
        wider = 1.4 * math.sqrt(step)
        for (face, each), normal in zip(chosen, normals, strict=True):
            if normal[2] * outward >= 0:
                colour = self._ramp(shape, face, each)[int(_step(normal, normal))]
                side = min(14.0, max(2.0, _side(each, corners) * wider))
                self._canvas.square(_middle(each, corners), side, colour)

    def _lines(self, shape: Shape) -> None:
        corners = projected(shape, self._view)
        width = min(12.0, max(2.0, shape.surface.width * self._view.scale))
        for face, each in _faces(shape.surface.counts, shape.surface.corners):
            colour = self._ramp(shape, face, each)[_LEVELS * 3 // 4]
            self._canvas.line(corners[each[0]], corners[each[1]], width, colour)

    def _dots(self, shape: Shape, most: int) -> None:
        corners = projected(shape, self._view)
        width = min(32.0, max(2.0, shape.surface.width * self._view.scale))
        for number in range(0, len(corners), -(-len(corners) // most)):
            colour = self._ramp(shape, 0, (number,))[_LEVELS * 3 // 4]
            self._canvas.square(corners[number], width, colour)

    def _ramp(self, shape: Shape, face: int, numbers: Sequence[int]) -> list[int]:
        painted = shape.painted
        base = painted.colour
        if painted.faces and face < len(painted.faces):
            base = painted.faces[face] or base
        elif painted.points and numbers[0] < len(painted.points):
            base = painted.points[numbers[0]]
        if base not in self._ramps:
            levels = (step * _BRIGHTEST / _LEVELS for step in range(_LEVELS + 1))
            self._ramps[base] = [packed(*(channel * lit for channel in base)) for lit in levels]
        return self._ramps[base]


def _size(shape: Shape) -> int:
    return len(shape.surface.counts) or len(shape.surface.points) // 3


def _faces(
    counts: Sequence[int], numbers: Sequence[int], step: int = 1
) -> Iterator[tuple[int, Sequence[int]]]:
    starts = list(accumulate(counts, initial=0))
    for face in range(0, len(counts), step):
        yield face, numbers[starts[face] : starts[face + 1]]


def _normal(numbers: Sequence[int], corners: Corners) -> Corner:
    """Return a face's normal, of any length; y counts upwards in it."""
    if len(numbers) < 3:
        return (0.0, 0.0, 0.0)
    (ax, ay, az), (bx, by, bz) = corners[numbers[0]], corners[numbers[1]]
    cx, cy, cz = corners[numbers[-1 if len(numbers) < 5 else len(numbers) // 2]]
    ux, uy, uz, vx, vy, vz = bx - ax, ay - by, bz - az, cx - ax, ay - cy, cz - az
    return (uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx)


def _smooth(
    faces: Sequence[tuple[int, Sequence[int]]], normals: Sequence[Corner], points: int
) -> list[Corner]:
    """Return a normal for each point, from the faces round it."""
    xs, ys, zs = [0.0] * points, [0.0] * points, [0.0] * points
    for (_, each), (x, y, z) in zip(faces, normals, strict=True):
        # All faces count alike: a box's long sides must not bend towards each other.
        length = math.sqrt(x * x + y * y + z * z) or 1.0
        for number in each:
            xs[number] += x / length
            ys[number] += y / length
            zs[number] += z / length
    return list(zip(xs, ys, zs, strict=True))


def _step(face: Corner, point: Corner) -> float:
    """Return the step of a ramp for a corner of a face, seen from whichever side."""
    fx, fy, fz = face
    nx, ny, nz = point
    along = fx * nx + fy * ny + fz * nz
    length = math.sqrt(nx * nx + ny * ny + nz * nz)
    if along <= _CREASE * length * math.sqrt(fx * fx + fy * fy + fz * fz):
        nx, ny, nz = face  # an edge that is meant to be one
        length = math.sqrt(nx * nx + ny * ny + nz * nz)
    if not length:
        return 0.0
    if fz < 0:
        length = -length
    lit = _AMBIENT
    for x, y, z, strength in _LIGHTS:
        facing = (nx * x + ny * y + nz * z) / length
        if facing > 0:
            lit += strength * facing
    return min(lit / _BRIGHTEST, 1.0) * _LEVELS


def _outward(corners: Sequence[Corner], normals: Sequence[Corner]) -> int:
    """Return 1 or -1 where faces' normals point out of or into a body; 0 where it is open."""
    middle = [math.fsum(axis) / len(corners) for axis in zip(*corners, strict=True)]
    total = size = 0.0
    for (x, y, z), (nx, ny, nz) in zip(corners, normals, strict=True):
        # The normals count y upwards.
        part = (x - middle[0]) * nx - (y - middle[1]) * ny + (z - middle[2]) * nz
        total += part
        size += abs(part)
    return 0 if abs(total) < 0.6 * size else 1 if total > 0 else -1


def _middle(numbers: Sequence[int], corners: Corners) -> Corner:
    count = len(numbers)
    x, y, z = (sum(axis) / count for axis in zip(*(corners[n] for n in numbers), strict=True))
    return x, y, z


def _side(numbers: Sequence[int], corners: Corners) -> float:
    xs, ys = [corners[n][0] for n in numbers], [corners[n][1] for n in numbers]
    return math.sqrt((max(xs) - min(xs)) * (max(ys) - min(ys)))
