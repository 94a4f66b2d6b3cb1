# SPDX-License-Identifier: Apache-2.0
"""
A copy of one layer with other asset paths in it: text stays text, crate stays crate.

The copy is made by `UsdUtils.ModifyAssetPaths`, which keeps every value's type. What it does harm
to is kept out of its hands or put back: variable expressions, which it replaces by what they
evaluate to; empty elements of arrays and the offsets of sublayers, which it drops; and value clips,
for whose templates it looks at the disk.
"""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pxr import Sdf, Tf, UsdUtils, Vt

from bifrost.usd.arcs import (
    CLIP_TEMPLATE,
    AssetPathUse,
    Kind,
    is_asset_valued,
    is_expression,
    metadata,
    uses,
)
from bifrost.usd.folder import is_uri
from bifrost.usd.text_rewriting import replaced

_CRATE: Final = b"PXR-USDC"
_PLACEHOLDER: Final = "bifrost-placeholder:"
_PROMOTION: Final = 10_000
_MOST_FRAMES: Final = 1_000_000
_PLACE: Final = Sdf.Path("/A")
# Without these a property is none.
_REQUIRED: Final = ("custom", "typeName", "variability")


class Frame(NamedTuple):
    """One file that a clip template stands for: its path, its time, and when it becomes active."""

    path: str
    time: float
    active: float


def rewrite(
    source: str, target: str, paths: Mapping[str, str], *, kept: Container[str] = ()
) -> list[str]:
    """
    Write the layer *source* to the file *target*, with new asset paths for those in *paths*.

    Where a clip template has no new path but its frames have, the clip set is written out into the
    explicit `assetPaths`, `times` and `active` that USD would derive. Returns the templates for
    which that can't be done, because they are *kept*, or their times are another layer's opinions;
    they stay.

    Raises:
        pxr.Tf.ErrorException: the layer can't be read.
        OSError: *source* is gone; or the file can't be written, or would have one sublayer twice.
    """
    layer = _opened(source)
    left: list[str] = []
    found = set(uses(layer))
    offsets = list(layer.subLayerOffsets)
    clips = _take_clips(layer) if any(use.kind is Kind.CLIP for use in found) else {}
    delicate = {use.path for use in found if use.kind is Kind.METADATA and _is_delicate(use.path)}
    kept_back = _take_metadata(layer, paths) if delicate else []
    placeholders = _put_placeholders(layer, found)

    def new_path(path: str) -> str:
        return placeholders[path] if path in placeholders else paths.get(path, path)

    UsdUtils.ModifyAssetPaths(layer, new_path, keepEmptyPathsInArrays=True)
    if len(layer.subLayerPaths) != len(offsets):
        why = "two of its sublayers would have one path, and Sdf keeps only one"
        raise OSError(errno.EINVAL, why, source)
    for number, offset in enumerate(offsets):
        layer.subLayerOffsets[number] = offset
    for path, key, held in kept_back:
        _copy_field(held, _place_in_held(path), layer, path, key)
    for path, value in clips.items():
        layer.GetPrimAtPath(path).SetInfo("clips", _clips(value, paths, kept, left))
    _export(layer, target, format_arguments(source))
    return left


def templates_left(
    source: str, paths: Mapping[str, str], *, kept: Container[str] = ()
) -> list[str]:
    """Return the templates that `rewrite` would leave in the layer *source*. Raises as it does."""
    left: list[str] = []
    for clips in _take_clips(_opened(source)).values():
        _clips(clips, paths, kept, left)
    return left


def _opened(source: str) -> Sdf.Layer:
    layer = Sdf.Layer.OpenAsAnonymous(source)
    if layer is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), source)
    return layer


def frames(clip_set: Mapping[str, Any]) -> list[Frame] | None:
    """
    Return the files that USD derives from a clip set's template, whether they exist or not.

    The same arithmetic as `_DeriveClipInfo` in OpenUSD's `usd/clipSetDefinition.cpp`. None when the
    set does not say start, end and stride itself, its template is malformed, or it stands for more than
    a million files.
    """
    keys = ("templateStartTime", "templateEndTime", "templateStride")
    said: list[Any] = [*map(clip_set.get, keys), clip_set.get("templateActiveOffset", 0.0)]
    if not all(map(_is_number, said)):  # a layer may hold anything there
        return None
    start, end, stride, offset = said
    directory, slash, base = str(clip_set.get(CLIP_TEMPLATE, "")).rpartition("/")
    tokens = base.split(".")
    hashes = [i for i, token in enumerate(tokens) if token and not token.strip("#")]
    if stride <= 0 or start > end or (end - start) / stride >= _MOST_FRAMES:
        return None
    if "" in tokens or len(hashes) not in (1, 2) or hashes[-1] - hashes[0] != len(hashes) - 1:
        return None
    return [
        Frame(directory + slash + _frame_name(tokens, hashes, time), time, active)
        for time, active in _times(start, end, stride, offset)
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _times(start: float, end: float, stride: float, offset: float) -> Iterator[tuple[float, float]]:
    # USD counts in ten-thousandths so that fractional strides don't drift; so must this.
    promoted = start * _PROMOTION
    while promoted <= end * _PROMOTION:
        yield promoted / _PROMOTION, (promoted + offset * _PROMOTION) / _PROMOTION
        promoted += stride * _PROMOTION


def _frame_name(tokens: list[str], hashes: list[int], time: float) -> str:
    named = list(tokens)
    named[hashes[0]] = f"{math.trunc(time):0{len(tokens[hashes[0]])}d}"
    if len(hashes) > 1:
        named[hashes[1]] = f"{time:.{len(tokens[hashes[1]])}f}".partition(".")[2]
    return ".".join(named)


def _specs(layer: Sdf.Layer) -> list[Sdf.Spec]:
    paths: list[Sdf.Path] = []
    layer.Traverse(Sdf.Path.absoluteRootPath, paths.append)
    return [spec for spec in map(layer.GetObjectAtPath, paths) if spec]


def _take_clips(layer: Sdf.Layer) -> dict[Sdf.Path, Any]:
    """Remove the value clips of every prim; return what they were."""
    clips = {}
    for spec in _specs(layer):
        if not isinstance(spec, Sdf.PropertySpec) and spec.HasInfo("clips"):
            clips[spec.path] = spec.GetInfo("clips")
            spec.ClearInfo("clips")
    return clips


def _clips(
    clips: Mapping[str, Any], paths: Mapping[str, str], kept: Container[str], left: list[str]
) -> dict[str, Any]:
    return {
        name: _clip_set(value, paths, kept, left) if isinstance(value, Mapping) else value
        for name, value in clips.items()
    }


def _clip_set(
    clip_set: Mapping[str, Any], paths: Mapping[str, str], kept: Container[str], left: list[str]
) -> dict[str, Any]:
    rewritten: dict[str, Any] = _replaced(clip_set, paths)
    template = clip_set.get(CLIP_TEMPLATE)
    if not isinstance(template, str) or not template:
        return rewritten
    derived = frames(clip_set)
    found = [frame for frame in derived or () if frame.path in paths]
    # A reference would ask the resolver for every frame that isn't there, and warn about each.
    is_plain = not is_uri(paths.get(template, template))
    if template in paths and (is_plain or derived is None or len(found) == len(derived)):
        rewritten[CLIP_TEMPLATE] = paths[template]
    elif found and template not in kept:
        _write_out(rewritten, found, paths)
    else:
        left.append(template)
    return rewritten


def _write_out(clip_set: dict[str, Any], found: list[Frame], paths: Mapping[str, str]) -> None:
    start, end = clip_set["templateStartTime"], clip_set["templateEndTime"]
    offset = clip_set.get("templateActiveOffset")
    times = [(frame.time, frame.time) for frame in found]
    if offset is not None:
        # USD adds a knot at either end, so that times before the first file's can be asked for.
        before, after = start - abs(offset), end + abs(offset)
        times = [(before, before), *times, (after, after)]
    for key in [key for key in clip_set if key.startswith("template")]:
        del clip_set[key]
    clip_set["assetPaths"] = Sdf.AssetPathArray([Sdf.AssetPath(paths[f.path]) for f in found])
    clip_set["times"] = Vt.Vec2dArray(times)
    clip_set["active"] = Vt.Vec2dArray([(frame.active, i) for i, frame in enumerate(found)])


def _put_placeholders(layer: Sdf.Layer, found: set[AssetPathUse]) -> dict[str, str]:
    """Put placeholders where `ModifyAssetPaths` would do harm; return what each stands for."""
    peculiar = {use.path for use in found if is_expression(use.path)}
    if AssetPathUse("", Kind.ATTRIBUTE) in found:
        peculiar.add("")
    placeholders = {path: f"{_PLACEHOLDER}{i}" for i, path in enumerate(sorted(peculiar))}
    if not placeholders:
        return {}
    for number, path in enumerate(layer.subLayerPaths):
        layer.subLayerPaths[number] = placeholders.get(path, path)
    for spec in _specs(layer):
        if not isinstance(spec, Sdf.PropertySpec):
            _replace_arcs(layer.GetPrimAtPath(spec.path), placeholders)
        elif is_asset_valued(spec):
            _replace_values(layer, spec, placeholders)
    return {placeholder: path for path, placeholder in placeholders.items()}


def _replace_arcs(prim: Sdf.PrimSpec | None, paths: Mapping[str, str]) -> None:
    # `layer.UpdateCompositionAssetDependency` was tried: it passes over expressions.
    def replaced(arc: Any) -> Any:
        path = arc.assetPath
        return type(arc)(paths[path], *_rest(arc)) if path and path in paths else arc

    if prim is not None:
        prim.referenceList.ModifyItemEdits(replaced)
        prim.payloadList.ModifyItemEdits(replaced)


def _rest(arc: Sdf.Reference | Sdf.Payload) -> Iterator[Any]:
    yield from (arc.primPath, arc.layerOffset)
    if isinstance(arc, Sdf.Reference):
        yield arc.customData


def _replace_values(layer: Sdf.Layer, spec: Sdf.AttributeSpec, paths: Mapping[str, str]) -> None:
    if spec.HasDefaultValue():
        spec.default = _replaced(spec.default, paths)
    for time in layer.ListTimeSamplesForPath(spec.path):
        value = layer.QueryTimeSample(spec.path, time)
        layer.SetTimeSample(spec.path, time, _replaced(value, paths))


def _is_delicate(path: str) -> bool:
    return not path or is_expression(path)


def _take_metadata(
    layer: Sdf.Layer, paths: Mapping[str, str]
) -> list[tuple[Sdf.Path, str, Sdf.Layer]]:
    """
    Remove the metadata with expressions, or with empty elements of arrays; return it with new *paths*.

    Each as (spec, key, a layer that holds nothing else). Between layers USD copies it with the types
    that it has; Python can't tell a float from a double, or a token from a string.
    """
    taken = []
    for spec in _specs(layer):
        for key in [key for key, value in metadata(spec) if _has_delicate(value)]:
            held = _held_alone(layer, spec.path, key)
            renewed = Sdf.Layer.CreateAnonymous(".usda")
            renewed.ImportFromString(replaced(held.ExportToString(), paths))
            taken.append((spec.path, key, renewed))
            spec.ClearInfo(key)
    return taken


def _has_delicate(value: Any) -> bool:
    waiting = [value]
    for each in waiting:
        if isinstance(each, Mapping):
            waiting.extend(each.values())
        elif isinstance(each, Sdf.AssetPathArray):
            if any(not item.authoredPath for item in each):
                return True
            waiting.extend(each)
        elif isinstance(each, Sdf.AssetPath) and is_expression(each.authoredPath):
            return True
    return False


def _held_alone(layer: Sdf.Layer, path: Sdf.Path, key: str) -> Sdf.Layer:
    held = Sdf.Layer.CreateAnonymous(".usda")
    Sdf.CreatePrimInLayer(held, _PLACE)
    _copy_field(layer, path, held, _place_in_held(path), key, *_REQUIRED)
    return held


def _place_in_held(path: Sdf.Path) -> Sdf.Path:
    if path.IsPropertyPath():
        return _PLACE.AppendProperty(path.name)
    return path if path == Sdf.Path.absoluteRootPath else _PLACE


def _copy_field(
    source: Sdf.Layer, path: Sdf.Path, target: Sdf.Layer, target_path: Sdf.Path, *keys: str
) -> None:
    def is_copied(_: Any, field: str, *__: Any) -> bool:
        return field in keys

    def has_copied_children(*_: Any) -> bool:
        return False

    Sdf.CopySpec(source, path, target, target_path, is_copied, has_copied_children)


def _replaced(value: Any, paths: Mapping[str, str]) -> Any:
    if isinstance(value, Sdf.AssetPath):
        path = value.authoredPath
        return Sdf.AssetPath(paths.get(path, path)) if path else value
    if isinstance(value, Sdf.AssetPathArray):
        paths_in = (item.authoredPath for item in value)
        return Sdf.AssetPathArray([Sdf.AssetPath(paths.get(path, path)) for path in paths_in])
    if isinstance(value, Mapping):
        return {key: _replaced(held, paths) for key, held in value.items()}
    return value


def _export(layer: Sdf.Layer, target: str, arguments: dict[str, str]) -> None:
    try:
        written = layer.Export(target, args=arguments)
    except Tf.ErrorException as error:
        raise OSError(f"{target}: {error}") from error
    if not written:
        raise OSError(f"{target}: USD could not write it")


def format_arguments(source: str) -> dict[str, str]:
    """Return what keeps a copy of the file *source* as it is: text, or crate."""
    # Only `.usd` can be either; for every other extension the name says it all.
    if not source.lower().endswith(".usd"):
        return {}
    with Path(source).open("rb") as file:
        return {"format": "usdc" if file.read(len(_CRATE)) == _CRATE else "usda"}
