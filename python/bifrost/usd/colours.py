# SPDX-License-Identifier: Apache-2.0
"""The colour that a prim's faces have at a glance: its material's, else its `displayColor`."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from pxr import Gf, Sdf, Tf, Usd, UsdGeom, UsdShade

Colour = tuple[float, float, float]
"""Red, green and blue, linear, from 0 to 1."""

NEUTRAL: Final[Colour] = (0.45, 0.45, 0.46)

_BASE_COLOURS: Final = ("diffuseColor", "base_color", "baseColor", "diffuse_color", "color")
_MOST_SHADERS: Final = 32
_MOST_TEXTURE_PIXELS: Final = 70_000_000


class Painted(NamedTuple):
    """
    The colours of one surface.

    Attributes:
        colour: Of every face that has none of its own.
        faces: One for each face, or nothing.
        points: One for each point, or nothing.
    """

    colour: Colour = NEUTRAL
    faces: Sequence[Colour | None] = ()
    points: Sequence[Colour] = ()


class Colours:
    """Finds colours at one time; each material and each texture is read once."""

    def __init__(self, time: Usd.TimeCode) -> None:
        self._time = time
        self._materials: dict[str, Colour | None] = {}
        self._bindings = UsdShade.MaterialBindingAPI

    def of(self, prim: Usd.Prim, faces: int) -> Painted:
        """Return the colours of a prim with so many faces. Never raises for what is authored."""
        painted = self._displayed(prim, faces)
        with contextlib.suppress(Tf.ErrorException):
            bound = self._bound(prim)
            if bound is not None:
                painted = Painted(bound)
            painted = self._with_subsets(prim, faces, painted)
        return painted

    def _displayed(self, prim: Usd.Prim, faces: int) -> Painted:
        try:
            primvar = UsdGeom.Gprim(prim).GetDisplayColorPrimvar()
            values = primvar.ComputeFlattened(self._time) if primvar.HasValue() else None
        except Tf.ErrorException:
            return Painted()
        colours = [_sound(value) for value in values or ()]
        if not colours:
            return Painted()
        if len(colours) == 1:
            return Painted(colours[0])
        kind = primvar.GetInterpolation()
        if kind == UsdGeom.Tokens.uniform and len(colours) == faces:
            return Painted(colours[0], faces=colours)
        if kind in (UsdGeom.Tokens.vertex, UsdGeom.Tokens.varying):
            return Painted(colours[0], points=colours)
        # Face-varying seams are finer than a thumbnail.
        return Painted(_mean(colours))

    def _with_subsets(self, prim: Usd.Prim, faces: int, painted: Painted) -> Painted:
        own: list[Colour | None] = []
        for subset in UsdGeom.Subset.GetAllGeomSubsets(UsdGeom.Imageable(prim)):
            colour = self._bound(subset.GetPrim())
            indices = subset.GetIndicesAttr().Get(self._time)
            if colour is None or not indices:
                continue
            own = own or list(painted.faces) or [None] * faces
            for index in indices:
                if 0 <= index < faces:
                    own[index] = colour
        return painted._replace(faces=own) if own else painted

    def _bound(self, prim: Usd.Prim) -> Colour | None:
        material, _ = self._bindings(prim).ComputeBoundMaterial()
        if not material:
            return None
        key = str(material.GetPath())
        if key not in self._materials:
            self._materials[key] = self._material(material)
        return self._materials[key]

    def _material(self, material: UsdShade.Material) -> Colour | None:
        for context in ("", "mtlx"):
            surface = material.ComputeSurfaceSource(context)[0]
            for name in _BASE_COLOURS if surface else ():
                found = surface.GetInput(name)
                if found and (colour := self._value(found)) is not None:
                    return colour
        return None

    def _value(self, shading_input: UsdShade.Input) -> Colour | None:
        for attribute in shading_input.GetValueProducingAttributes():
            if UsdShade.Output.IsOutput(attribute):
                shader = UsdShade.ConnectableAPI(attribute.GetPrim())
                return next(filter(None, map(average_of_picture, _files(shader))), None)
            value = attribute.Get(self._time)
            if isinstance(value, Gf.Vec3f | Gf.Vec3d | Gf.Vec3h):
                return _sound(value)
        return None


def _files(shader: UsdShade.ConnectableAPI) -> Iterator[str]:
    """Yield the picture files that a shader network reads, the nearest first."""
    waiting, seen = [shader], set[str]()
    for each in waiting:
        if len(seen) >= _MOST_SHADERS or str(each.GetPath()) in seen:
            continue
        seen.add(str(each.GetPath()))
        for shading_input in each.GetInputs():
            for attribute in shading_input.GetValueProducingAttributes():
                if UsdShade.Output.IsOutput(attribute):
                    waiting.append(UsdShade.ConnectableAPI(attribute.GetPrim()))
                elif isinstance(path := attribute.Get(), Sdf.AssetPath):
                    yield path.resolvedPath or _first_tile(path.path, attribute)


def _first_tile(path: str, attribute: Usd.Attribute) -> str:
    layer = next((spec.layer for spec in attribute.GetPropertyStack()), None)
    anchored = layer.ComputeAbsolutePath(path) if layer and path else path
    return str(anchored).replace("<UDIM>", "1001")


def average_of_picture(path: str) -> Colour | None:
    """Return a picture file's average colour, linear; None where it can't be read."""
    if not path:
        return None
    from PIL import Image

    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > _MOST_TEXTURE_PIXELS:
                return None
            picture.draft("RGB", (64, 64))  # JPEG: decode small
            small = picture.convert("RGB").resize((16, 16), Image.Resampling.BOX)
    except Exception:  # noqa: BLE001  Pillow raises whatever its many formats' readers raise
        return None
    pixels = list(zip(*[iter(small.tobytes())] * 3, strict=True))
    return _mean([_linear(pixel) for pixel in pixels])


def _linear(pixel: tuple[int, ...]) -> Colour:
    red, green, blue = ((value / 255) ** 2.2 for value in pixel)
    return red, green, blue


def _mean(colours: Sequence[Colour]) -> Colour:
    red, green, blue = (math.fsum(channel) / len(colours) for channel in zip(*colours, strict=True))
    return red, green, blue


def _sound(value: Any) -> Colour:
    red, green, blue = (
        min(1.0, max(0.0, float(channel))) if math.isfinite(channel) else 0.0 for channel in value
    )
    return red, green, blue
