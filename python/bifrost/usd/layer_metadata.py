# SPDX-License-Identifier: Apache-2.0
"""
What a layer says of itself, without composing a stage: one file is read, and none that it names.

What USD takes a stage's settings from is its root layer alone, so they are those in force. Prims are
those that are written here, in variants too; what arcs would bring is not among them.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from pxr import Sdf, Tf, UsdGeom

from bifrost.errors import AssetException
from bifrost.usd import file_checks, opening
from bifrost.usd.description import MOST_PRIMS

_MOST_NAMED: Final = 1_000
_DEEPEST: Final = 100  # dictionaries; what reads JSON mostly gives up before a thousand
# What a layer may say of its stage: our name, and what is in force where it says nothing.
_SETTINGS: Final[dict[str, tuple[str, Any]]] = {
    "upAxis": ("up_axis", str(UsdGeom.GetFallbackUpAxis())),
    "metersPerUnit": ("meters_per_unit", 0.01),
    "kilogramsPerUnit": ("kilograms_per_unit", 1.0),
    "startTimeCode": ("start_time_code", None),
    "endTimeCode": ("end_time_code", None),
    "framesPerSecond": ("frames_per_second", 24.0),
    "timeCodesPerSecond": ("time_codes_per_second", 24.0),
    "comment": ("comment", ""),
    "documentation": ("documentation", ""),
    "owner": ("owner", ""),
    "customLayerData": ("custom_layer_data", {}),
    "expressionVariables": ("expression_variables", {}),
}
# The extension `.usd` says neither.
_ENCODINGS: Final = {"usdz": "package", "usdc": "binary", "usda": "text"}
_SPECIFIERS: Final = {
    Sdf.SpecifierDef: "def",
    Sdf.SpecifierOver: "over",
    Sdf.SpecifierClass: "class",
}


def read(path: str, asset_uri: str = "", *, most_prims: int = MOST_PRIMS) -> dict[str, Any]:
    """
    Return what the layer in a file says of itself, as JSON can say it.

    | key | is |
    |---|---|
    | `encoding` | `text`, `binary`, `package`, or what another file format calls itself |
    | `size` | the file's, in bytes |
    | `default_prim` | its path as the layer names it, or None |
    | `up_axis`, `meters_per_unit`, `kilograms_per_unit` | in force, whether authored or not |
    | `start_time_code`, `end_time_code` | None where not authored |
    | `time_codes_per_second`, `frames_per_second` | in force |
    | `comment`, `documentation`, `owner` | texts, "" where there are none |
    | `custom_layer_data`, `expression_variables` | dictionaries; asset paths as they are written |
    | `authored` | which of all these the layer itself states |
    | `sublayers` | `path`, `offset` and `scale` of each, strongest first |
    | `relocates` | how many there are |
    | `root_prims` | `path`, `type`, `kind` and `specifier` of each |
    | `prims`, `specifiers` | how many, and of each specifier |
    | `schemas`, `applied_schemas`, `kinds` | how many prims have which |
    | `problems` | what is wrong with it although USD can open it |
    | `truncated` | whether there was more than *most_prims*, or than can be named one by one |

    The file is read from the disk; unsaved edits that this process has of it don't show. Any thread.

    Raises:
        LayerException: USD can't open it; about *asset_uri*.
        LocationException: there is no such file.
    """
    try:
        layer = opening.root_layer(path)
        return {**_file(layer, path), **_said(layer), **_counted(layer, most_prims)}
    except AssetException as error:
        raise about(asset_uri, error) from error.__cause__
    except (Tf.ErrorException, UnicodeDecodeError) as error:  # damage that shows up late
        raise about(asset_uri, file_checks.no_usd(path, opening.reason(error))) from error


def about(asset_uri: str, error: AssetException) -> AssetException:
    """Return what reading a file raised as what it means for the entity that the file belongs to."""
    if error.asset_uri or not asset_uri:
        return error
    return type(error)(error.message, asset_uri=asset_uri, code=error.code, details=error.details)


def _file(layer: Sdf.Layer, path: str) -> dict[str, Any]:
    found = (
        name for each, name in _ENCODINGS.items() if Sdf.FileFormat.FindById(each).CanRead(path)
    )
    return {
        "encoding": next(found, str(layer.GetFileFormat().formatId)),
        "size": os.stat(path).st_size,  # noqa: PTH116  any kind of path
    }


def _said(layer: Sdf.Layer) -> dict[str, Any]:
    root = layer.pseudoRoot
    stated = {key: root.GetInfo(key) for key in _SETTINGS if root.HasInfo(key)}
    if "framesPerSecond" in stated:  # what USD itself falls back to
        fallback = {"time_codes_per_second": _plain(stated["framesPerSecond"])}
    else:
        fallback = {}
    default = layer.GetDefaultPrimAsPath() if layer.defaultPrim else Sdf.Path.emptyPath
    return {
        "default_prim": None if default.isEmpty else str(default),
        **{name: _plain(value) for name, value in _SETTINGS.values()},
        **fallback,
        **{_SETTINGS[key][0]: _plain(value) for key, value in stated.items()},
        "authored": [
            *(["default_prim"] if layer.defaultPrim else []),
            *(_SETTINGS[key][0] for key in stated),
        ],
        "sublayers": [
            {"path": path, "offset": _plain(offset.offset), "scale": _plain(offset.scale)}
            for path, offset in zip(layer.subLayerPaths, layer.subLayerOffsets, strict=True)
        ],
        "relocates": len(layer.relocates) if layer.HasRelocates() else 0,
        "problems": list(_problems(layer, default)),
    }


def _problems(layer: Sdf.Layer, default: Sdf.Path) -> Iterator[str]:
    if layer.defaultPrim and default.isEmpty:
        yield f"its default prim {layer.defaultPrim!r} is no prim path"
    elif layer.defaultPrim and not layer.subLayerPaths and not layer.GetPrimAtPath(default):
        yield f"its default prim <{default}> is not there: arcs to this layer bring nothing"
    own = {layer.identifier, layer.realPath}
    for path in layer.subLayerPaths:
        if path and str(layer.ComputeAbsolutePath(path)) in own:
            yield f"it is its own sublayer: @{path}@"


def _counted(layer: Sdf.Layer, most_prims: int) -> dict[str, Any]:
    typed: Counter[str] = Counter()
    applied: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    specifiers: Counter[str] = Counter()
    walk = _prims(layer)
    for prim in islice(walk, most_prims):
        specifiers[_SPECIFIERS[prim.specifier]] += 1
        typed.update(filter(None, (prim.typeName,)))
        kinds.update(filter(None, (prim.kind,)))
        applied.update(_applied(prim))
    roots = list(layer.rootPrims)
    return {
        "root_prims": [_root(prim) for prim in roots[:_MOST_NAMED]],
        "prims": specifiers.total(),
        "specifiers": dict(sorted(specifiers.items())),
        "schemas": dict(sorted(typed.items())),
        "applied_schemas": dict(sorted(applied.items())),
        "kinds": dict(sorted(kinds.items())),
        "truncated": next(walk, None) is not None or len(roots) > _MOST_NAMED,
    }


def _prims(layer: Sdf.Layer) -> Iterator[Sdf.PrimSpec]:
    waiting = list(reversed(list(layer.rootPrims)))
    while waiting:
        prim = waiting.pop()
        yield prim
        waiting.extend(reversed(list(_below(prim))))


def _below(prim: Sdf.PrimSpec) -> Iterator[Sdf.PrimSpec]:
    waiting = [prim]  # variants may nest deeper than functions can
    while waiting:
        each = waiting.pop()
        yield from each.nameChildren
        waiting += [
            variant.primSpec
            for variant_set in each.variantSets.values()
            for variant in variant_set.variants.values()
        ]


def _applied(prim: Sdf.PrimSpec) -> list[str]:
    if not prim.HasInfo("apiSchemas"):
        return []
    return list(prim.GetInfo("apiSchemas").GetAppliedItems())


def _root(prim: Sdf.PrimSpec) -> dict[str, str]:
    return {
        "path": str(prim.path),
        "type": prim.typeName,
        "kind": prim.kind,
        "specifier": _SPECIFIERS[prim.specifier],
    }


def _plain(value: Any, depth: int = 0) -> Any:
    """Return what USD says as JSON can say it; numbers that are none as text, what is too deep as "…"."""
    value = "…" if depth > _DEEPEST else value
    if value is None or isinstance(value, bool | int | str):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Sdf.AssetPath):
        return value.authoredPath
    if isinstance(value, Mapping):
        return {str(key): _plain(held, depth + 1) for key, held in value.items()}
    try:
        return [_plain(each, depth + 1) for each in value]
    except TypeError:  # a quaternion, a path, a time code…
        return str(value)
