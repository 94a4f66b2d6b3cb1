# SPDX-License-Identifier: Apache-2.0
"""
Previews: a small layer, or a picture, that stands for a file and needs nothing beside it.

| kind | is | where there is none |
|---|---|---|
| `proxy` | the file's `purpose=proxy` geometry, flattened, without materials | `bounds` |
| `bounds` | a box round its geometry | `card` |
| `image` | a picture, as the thumbnail | `card` |
| `card` | its card | |

A preview layer has the file's default prim by name, type and kind, its up axis, unit and time codes,
so that it can be referenced in the file's place.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from pxr import Gf, Sdf, Tf, Usd, UsdGeom, Vt

from bifrost.errors import BifrostError, Code, InvalidTraitsException
from bifrost.replacing import replace_file
from bifrost.usd.arcs import asset_paths, is_asset_valued, property_fields
from bifrost.usd.colours import NEUTRAL, Colour, Colours
from bifrost.usd.description import start_time, world_bounds
from bifrost.usd.file_checks import is_usd
from bifrost.usd.lifetimes import outlived, used_layers
from bifrost.usd.opening import opened, reason
from bifrost.usd.shapes import shapes
from bifrost.usd.surfaces import box
from bifrost.usd.thumbnail import card_of, thumbnail

KINDS: Final = ("proxy", "bounds", "image", "card")
_LAYERS: Final = ("usdc", "usda", "usd")
_PICTURE_SIZE: Final = (1024, 1024)
_ROOT: Final = "Preview"
_MOST_PRIMS: Final = 100_000
# Instances in instances.
_DEEPEST: Final = 8

_STAGE_KEYS: Final = (
    *("upAxis", "metersPerUnit", "kilogramsPerUnit", "startTimeCode", "endTimeCode"),
    *("timeCodesPerSecond", "framesPerSecond"),
)
_ELSEWHERE: Final = ("material:binding", "skel:", "collection:")
_EVERYTHING: Final = Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)


def preview(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    kind: str = "proxy",
    name: str = "",
    asset_type: str = "",
) -> Path:
    """
    Write a file's preview, and return where: *out* with the extension of what it became.

    *out*'s own extension is kept where it is one that the preview can have. The file is written
    beside it first and then put in place, whole.

    Args:
        path: The file.
        out: Where to.
        kind: One of `KINDS`; where there is none of that kind, the next best.
        name: The asset's name, for a card.
        asset_type: Its type, likewise.

    Raises:
        InvalidTraitsException: there is no such *kind*.
        BifrostError: the preview can't be written.
    """
    if kind not in KINDS:
        raise InvalidTraitsException(
            f"a preview is one of {', '.join(KINDS)}, not {kind[:80]!r}", code=Code.INVALID_TRAITS
        )
    place = Path(out)
    layer = _layer(path, kind) if is_usd(path) else None
    if layer is not None:
        suffix = place.suffix if place.suffix[1:] in _LAYERS else ".usdc"
        return _export(layer, place.with_suffix(suffix))
    width, height = _PICTURE_SIZE
    if kind == "card":
        content = card_of(path, name, asset_type, width, height)
    else:
        content = thumbnail(path, name=name, asset_type=asset_type, width=width, height=height)
    return _write(content, place.with_suffix(".png"))


def _layer(path: str | os.PathLike[str], kind: str) -> Sdf.Layer | None:
    if kind not in ("proxy", "bounds"):
        return None
    try:
        with opened(path) as stage:
            proxy = _proxy(stage) if kind == "proxy" else None
            return proxy or _bounds(stage)
    except (BifrostError, Tf.ErrorException):
        return None  # what can't be opened gets a card, as its thumbnail does


def _proxy(stage: Usd.Stage) -> Sdf.Layer | None:
    """Return the stage's proxy geometry as one layer; None where it has none."""
    stage = _expanded(stage)
    proxies = list(_proxies(stage))
    if not proxies:
        return None
    painted = _painted(stage, proxies)
    mask = Usd.StagePopulationMask([prim.GetPath() for prim in proxies])
    with Usd.StageCacheContext(Usd.BlockStageCaches):
        part = Usd.Stage.OpenMasked(
            stage.GetRootLayer(), stage.GetSessionLayer(), mask, Usd.Stage.LoadAll
        )
    layer = part.Flatten(addSourceFileComment=False)
    _strip(layer)
    for place, colour in painted.items():
        prim = layer.GetPrimAtPath(place)
        if prim is not None and "primvars:displayColor" not in prim.properties:
            _paint(prim, colour)
    _state(layer, stage)
    return layer


def _expanded(stage: Usd.Stage) -> Usd.Stage:
    """Return *stage*, or one of the same root layer in which all prims of instances are plain ones."""
    instances = _instances(stage)
    if not instances:
        return stage
    session = Sdf.Layer.CreateAnonymous()
    with Usd.StageCacheContext(Usd.BlockStageCaches):
        expanded = Usd.Stage.Open(stage.GetRootLayer(), session, Usd.Stage.LoadAll)
    for _ in range(_DEEPEST):
        with Sdf.ChangeBlock():
            for place in instances:
                Sdf.CreatePrimInLayer(session, place).instanceable = False
        instances = _instances(expanded)
        if not instances:
            break
    return outlived(expanded, *used_layers(expanded))


def _instances(stage: Usd.Stage) -> list[Sdf.Path]:
    return [prim.GetPath() for prim in stage.Traverse() if prim.IsInstance()]


def _proxies(stage: Usd.Stage) -> Iterator[Usd.Prim]:
    walk = Usd.PrimRange(stage.GetPseudoRoot(), _EVERYTHING)
    for number, prim in enumerate(walk):
        if number >= _MOST_PRIMS:
            return
        is_geometry = prim.IsA(UsdGeom.Gprim) or prim.IsA(UsdGeom.PointInstancer)
        if is_geometry and UsdGeom.Imageable(prim).ComputePurpose() == UsdGeom.Tokens.proxy:
            yield prim


def _painted(stage: Usd.Stage, proxies: Sequence[Usd.Prim]) -> dict[Sdf.Path, Colour]:
    """Return the colours that materials give, by prim: the materials themselves stay behind."""
    colours = Colours(start_time(stage))
    found = {prim.GetPath(): colours.of(prim, 0).colour for prim in proxies if _is_gprim(prim)}
    return {place: colour for place, colour in found.items() if colour != NEUTRAL}


def _is_gprim(prim: Usd.Prim) -> bool:
    return bool(prim.IsA(UsdGeom.Gprim))


def _paint(prim: Sdf.PrimSpec, colour: Colour) -> None:
    attribute = Sdf.AttributeSpec(prim, "primvars:displayColor", Sdf.ValueTypeNames.Color3fArray)
    attribute.default = Vt.Vec3fArray([Gf.Vec3f(*colour)])
    attribute.SetInfo("interpolation", str(UsdGeom.Tokens.constant))


def _strip(layer: Sdf.Layer) -> None:
    """Take everything out of a flattened layer that leads to a file or to what is not there."""
    paths: list[Sdf.Path] = []
    layer.Traverse(Sdf.Path.absoluteRootPath, paths.append)
    with Sdf.ChangeBlock():
        for place in paths:
            spec = layer.GetObjectAtPath(place)
            if isinstance(spec, Sdf.RelationshipSpec) and spec.name.startswith(_ELSEWHERE):
                spec.owner.RemoveProperty(spec)
            elif isinstance(spec, Sdf.AttributeSpec):
                if is_asset_valued(spec):
                    spec.owner.RemoveProperty(spec)
                else:
                    _clear(spec)
            elif isinstance(spec, Sdf.PrimSpec | Sdf.RelationshipSpec):
                _clear(spec)
    for key in ("customLayerData", "colorConfiguration"):
        layer.pseudoRoot.ClearInfo(key)
    assert not asset_paths(layer)


def _clear(spec: Sdf.Spec) -> None:
    for key in (*property_fields(), "clips", "sdrMetadata", "userDocBrief"):
        if spec.HasInfo(key):
            spec.ClearInfo(key)


def _bounds(stage: Usd.Stage) -> Sdf.Layer | None:
    """Return a layer with a box round the stage's geometry; None where it has none."""
    around = world_bounds(stage) or world_bounds(stage, hinted=True)
    if around is None:
        return None
    layer = Sdf.Layer.CreateAnonymous(".usda")
    made = Usd.Stage.Open(layer)
    _state(layer, stage)
    default = stage.GetDefaultPrim()
    name = default.GetName() if default else _ROOT
    root = made.DefinePrim(f"/{name}", "Xform")
    if default and (kind := Usd.ModelAPI(default).GetKind()):
        Usd.ModelAPI(root).SetKind(kind)
    made.SetDefaultPrim(root)
    _draw_box(UsdGeom.Mesh.Define(made, f"/{name}/Bounds"), around, _average_colour(stage))
    return layer


def _draw_box(mesh: UsdGeom.Mesh, around: Gf.Range3d, colour: Colour) -> None:
    # In the world's coordinates, under a prim that moves nothing: where the geometry is today.
    surface = box(around.GetMin(), around.GetMax())
    points = [Gf.Vec3f(*surface.points[at : at + 3]) for at in range(0, len(surface.points), 3)]
    mesh.CreatePointsAttr(points)
    mesh.CreateFaceVertexCountsAttr(list(surface.counts))
    mesh.CreateFaceVertexIndicesAttr(list(surface.corners))
    mesh.CreateExtentAttr([Gf.Vec3f(around.GetMin()), Gf.Vec3f(around.GetMax())])
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreatePurposeAttr(UsdGeom.Tokens.proxy)
    mesh.CreateDisplayColorAttr([Gf.Vec3f(*colour)])


def _average_colour(stage: Usd.Stage) -> Colour:
    seen = shapes(stage)
    if not seen:
        return NEUTRAL
    channels = zip(*(shape.painted.colour for shape in seen), strict=True)
    red, green, blue = (math.fsum(channel) / len(seen) for channel in channels)
    return red, green, blue


def _state(layer: Sdf.Layer, stage: Usd.Stage) -> None:
    """Give *layer* the settings of *stage* that decide how it is seen when it is referenced."""
    for key in _STAGE_KEYS:
        if stage.HasAuthoredMetadata(key):
            layer.pseudoRoot.SetInfo(key, stage.GetMetadata(key))


def _export(layer: Sdf.Layer, place: Path) -> Path:
    beside = place.with_name(f".{place.stem}.{secrets.token_hex(8)}{place.suffix}")
    try:
        if not layer.Export(str(beside)):
            raise BifrostError(f"{place}: the preview can't be written")
        beside.replace(place)
    except (Tf.ErrorException, OSError) as error:
        raise BifrostError(f"{place}: the preview can't be written: {reason(error)}") from error
    finally:
        beside.unlink(missing_ok=True)
    return place


def _write(content: bytes, place: Path) -> Path:
    try:
        replace_file(place, content)
    except OSError as error:
        raise BifrostError(f"{place}: the preview can't be written: {reason(error)}") from error
    return place
