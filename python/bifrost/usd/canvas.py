# SPDX-License-Identifier: Apache-2.0
"""
A picture with a depth for each pixel, drawn by plain Python.

Sorting whole faces by depth was tried first and left: a floor's one large face hides what stands on
its far half. NumPy would be some times as fast, and would be a dependency for thumbnails alone.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.Image import Image

Corner = tuple[float, float, float]
"""x and y in pixels from the upper left, and z in pixels towards the eye."""

Ramp = Sequence[int]
"""A colour from dark to light, each step as `packed` made it."""

_FAR: Final = -math.inf


class Canvas:
    """
    A transparent picture on which nearer things hide farther ones.

    Attributes:
        width: In pixels.
        height: In pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._depth = array("d", [_FAR]) * (width * height)
        self._pixels = array("I", bytes(4 * width * height))

    def triangle(
        self, corners: Sequence[Corner], steps: tuple[float, float, float], ramp: Ramp
    ) -> None:
        """Fill a triangle, shaded from corner to corner; *steps* are steps of *ramp*."""
        (ax, ay, az), b, c = corners
        bx, by, bz = b[0] - ax, b[1] - ay, b[2] - az
        cx, cy, cz = c[0] - ax, c[1] - ay, c[2] - az
        area = bx * cy - cx * by
        if -1e-9 < area < 1e-9:
            return
        z_right, z_down = (bz * cy - cz * by) / area, (cz * bx - bz * cx) / area
        lit, bs, cs = steps[0], steps[1] - steps[0], steps[2] - steps[0]
        lit_right, lit_down = (bs * cy - cs * by) / area, (cs * bx - bs * cx) / area
        for row, first, last in self._rows(corners):
            right, down = first + 0.5 - ax, row + 0.5 - ay
            start = row * self.width + first
            z = az + right * z_right + down * z_down
            if bs or cs:
                shade = lit + right * lit_right + down * lit_down
                self._shaded(start, last - first, (z, z_right), (shade, lit_right), ramp)
            else:
                self._span(start, last - first, z, z_right, ramp[int(lit)])

    def square(self, corner: Corner, side: float, colour: int) -> None:
        """Fill a square round a point; at least the pixel that it is in."""
        x, y, z = corner
        first, top = math.floor(x - side / 2 + 0.5), math.floor(y - side / 2 + 0.5)
        size = max(1, math.floor(side + 0.5))
        last, bottom = min(self.width, first + size), min(self.height, top + size)
        first = max(0, first)
        for row in range(max(0, top), bottom):
            self._span(row * self.width + first, last - first, z, 0.0, colour)

    def line(self, a: Corner, b: Corner, width: float, colour: int) -> None:
        """Draw a line of *width* pixels."""
        longer = max(abs(b[0] - a[0]), abs(b[1] - a[1]))
        steps = min(4 * (self.width + self.height), math.ceil(longer))
        for step in range(steps + 1):
            t = step / steps if steps else 0.0
            x, y, z = (p + (q - p) * t for p, q in zip(a, b, strict=True))
            self.square((x, y, z), width, colour)

    def image(self) -> Image:
        """Return the picture, with an alpha channel."""
        from PIL import Image

        size = (self.width, self.height)
        return Image.frombytes("RGBA", size, self._pixels.tobytes())

    def depths(self) -> Image:
        """Return how near things are as a grey picture: 255 the nearest, 0 where there is nothing."""
        from PIL import Image

        depth = array("f", self._depth)
        near, far = max(depth), min(filter(_FAR.__lt__, depth), default=0.0)
        scale = 254 / (near - far) if near > far else 1.0
        # What is not there is negative, and becomes 0.
        picture = Image.frombytes("F", (self.width, self.height), depth.tobytes())
        return picture.point(lambda z: z * scale + (1 - far * scale)).convert("L")

    def _rows(self, corners: Sequence[Corner]) -> list[tuple[int, int, int]]:
        """Return (row, first pixel, pixel after the last) of a triangle, within the picture."""
        (x0, y0, _), (x1, y1, _), (x2, y2, _) = sorted(corners, key=_height)
        long = (x2 - x0) / (y2 - y0) if y2 > y0 else 0.0
        upper = (x1 - x0) / (y1 - y0) if y1 > y0 else 0.0
        lower = (x2 - x1) / (y2 - y1) if y2 > y1 else 0.0
        rows = []
        for row in range(max(0, math.ceil(y0 - 0.5)), min(self.height, math.ceil(y2 - 0.5))):
            y = row + 0.5
            left = x0 + (y - y0) * long
            right = x0 + (y - y0) * upper if y < y1 else x1 + (y - y1) * lower
            if left > right:
                left, right = right, left
            first = math.ceil(left - 0.5) if left > 0 else 0
            last = math.ceil(right - 0.5) if right < self.width else self.width
            if first < last:
                rows.append((row, first, last))
        return rows

    def _span(self, start: int, length: int, z: float, slope: float, colour: int) -> None:
        depth, pixels = self._depth, self._pixels
        for index in range(start, start + length):
            if z > depth[index]:
                depth[index] = z
                pixels[index] = colour
            z += slope

    def _shaded(
        self,
        start: int,
        length: int,
        depth_and_slope: tuple[float, float],
        step_and_slope: tuple[float, float],
        ramp: Ramp,
    ) -> None:
        depth, pixels, most = self._depth, self._pixels, len(ramp) - 1
        (z, z_slope), (step, step_slope) = depth_and_slope, step_and_slope
        for index in range(start, start + length):
            if z > depth[index]:
                depth[index] = z
                # A pixel's middle may lie a hair outside the triangle.
                pixels[index] = ramp[int(step) if 0 < step < most else 0 if step <= 0 else most]
            z += z_slope
            step += step_slope


def packed(red: float, green: float, blue: float) -> int:
    """Return a linear colour as `Canvas` takes it, encoded as sRGB."""
    channels = bytes((*map(_encoded, (red, green, blue)), 255))
    return int.from_bytes(channels, sys.byteorder)


def _encoded(linear: float) -> int:
    value = min(1.0, max(0.0, linear))
    curved = 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055
    return round(255 * curved)


def _height(corner: Corner) -> float:
    return corner[1]
