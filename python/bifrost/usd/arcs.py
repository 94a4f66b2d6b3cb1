# SPDX-License-Identifier: Apache-2.0
"""
The asset paths that one layer holds, in every place where USD lets one stand.

Two readers, both silent, read-only and without a single look at the disk or the resolver:
`asset_paths` is exact and says what each path is for; `composition_paths` knows only what opening a
stage asks for, and is the one for walking thousands of layers before composition.

USD's own `UsdUtils.ExtractExternalReferences` was tried and left: it lumps attributes, metadata
and clips together with references, replaces a variable expression by what it evaluates to, looks
for clip directories on the disk and warns when there is none, as for entity references there isn't.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, Final, NamedTuple

from pxr import Sdf


class Kind(StrEnum):
    """What an asset path is for: the kind of the dependency that it makes."""

    SUBLAYER = "sublayer"
    REFERENCE = "reference"
    PAYLOAD = "payload"
    CLIP = "clip"
    ATTRIBUTE = "attribute"
    METADATA = "metadata"
    INHERIT = "inherit"
    SPECIALIZE = "specialize"
    """The last two name prims and no files: `bifrost.usd.extraction` finds them, this module doesn't."""


class AssetPathUse(NamedTuple):
    """One asset path as it is authored, and one use of it."""

    path: str
    kind: Kind

    @property
    def is_template(self) -> bool:
        """Whether the path is a pattern from which USD derives the names of value clips."""
        return self.kind is Kind.CLIP and "#" in self.path


CLIP_TEMPLATE: Final = "templateAssetPath"

_LIST_OPS: Final = {"references": Kind.REFERENCE, "payload": Kind.PAYLOAD}
# Nearly every spec has some of these and none can hold an asset path. Reading a value into Python
# costs a microsecond and more, so they are told apart by name.
_NEVER: Final = frozenset(
    (
        *("active", "apiSchemas", "colorManagementSystem", "colorSpace", "comment"),
        *("connectionPaths", "custom", "defaultPrim", "displayName", "documentation"),
        *("elementSize", "endTimeCode", "framesPerSecond", "hidden", "inheritPaths"),
        *("instanceable", "interpolation", "kind", "layerRelocates", "metersPerUnit"),
        *("permission", "primOrder", "propertyOrder", "relocates", "specializes", "specifier"),
        *("startTimeCode", "subLayerOffsets", "targetPaths", "timeCodesPerSecond", "typeName"),
        *("upAxis", "variability", "variantSelection", "variantSetNames"),
    )
)
_ASSET_TYPES: Final = frozenset((Sdf.ValueTypeNames.Asset, Sdf.ValueTypeNames.AssetArray))
_VALUES: Final = ("default", "timeSamples", "spline")
# Dictionaries that their schemas give texts and numbers alone.
_NO_ASSETS: Final = frozenset(("limits", "sdrMetadata", "symmetryArguments", "uiHints"))
_HOLD_ASSETS: Final = frozenset(("VtDictionary", "SdfAssetPath", "VtArray<SdfAssetPath>"))


def asset_paths(layer: Sdf.Layer) -> list[AssetPathUse]:
    """
    Return every asset path in *layer* once for each kind of use, sorted.

    Paths are as authored: relative ones relative, file format arguments and `[package paths]` kept,
    variable expressions with their backticks, the files of a clip template as the template. Items
    that a list operation deletes count; empty paths don't. Nothing is opened but *layer* itself.
    """
    # Sorted, for Sdf lists an object's fields in an order that differs from process to process.
    return sorted(use for use in set(uses(layer)) if use.path)


def composition_paths(layer: Sdf.Layer) -> list[str]:
    """
    Return the paths that composing *layer* opens: sublayers, references, payloads, in variants too.

    One call into C++, five times cheaper than `asset_paths`. Clips and asset values are not among
    them, nor are deleted items.
    """
    return [path for path in layer.GetCompositionAssetDependencies() if path]


def is_asset_valued(spec: Sdf.PropertySpec) -> bool:
    """Whether a property's values are asset paths."""
    return isinstance(spec, Sdf.AttributeSpec) and spec.typeName in _ASSET_TYPES


def may_hold_assets(key: str) -> bool:
    """Whether metadata of this name may hold asset paths; a property's values are none."""
    return key not in _NEVER and key not in _VALUES


@cache
def property_fields() -> tuple[str, ...]:
    """
    Return the metadata of properties that may hold asset paths; plug-ins may register more.

    Asking a property for these by name takes a third of listing what it has.
    """
    layer = Sdf.Layer.CreateAnonymous(".usda")
    prim = Sdf.CreatePrimInLayer(layer, "/A")
    specs = (
        Sdf.AttributeSpec(prim, "a", Sdf.ValueTypeNames.Asset),
        Sdf.RelationshipSpec(prim, "r"),
    )
    keys = {
        key
        for spec in specs
        for key in spec.GetMetaDataInfoKeys()
        if spec.GetTypeForInfo(key).typeName in _HOLD_ASSETS
    }
    return tuple(sorted(keys - _NO_ASSETS))


def is_expression(path: str) -> bool:
    """Whether *path* is a variable expression, whose meaning depends on the stage that reads it."""
    return path.startswith("`")


def uses(layer: Sdf.Layer) -> Iterator[AssetPathUse]:
    """Yield every use of an asset path, repeated and empty ones included; value clips hold an empty one."""
    paths: list[Sdf.Path] = []
    # Sdf calls back for each spec, children first; collecting is the cheapest thing to do there.
    layer.Traverse(Sdf.Path.absoluteRootPath, paths.append)
    for path in reversed(paths):
        yield from uses_at(layer, path)


def uses_at(layer: Sdf.Layer, path: Sdf.Path) -> Iterator[AssetPathUse]:
    """Yield the uses of asset paths in one prim, property or variant of *layer*, none below it."""
    if path.IsPropertyPath():
        yield from _in_property(layer, path)
    elif (prim := layer.GetPrimAtPath(path)) is not None:
        yield from _in_prim(prim)


def metadata(spec: Sdf.Spec) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of what *spec* says that may hold asset paths, its values aside."""
    for key in spec.ListInfoKeys():
        if may_hold_assets(key):
            yield key, spec.GetInfo(key)


def _in_prim(prim: Sdf.PrimSpec) -> Iterator[AssetPathUse]:
    for key, value in metadata(prim):
        if key in _LIST_OPS:
            yield from _made(_listed(value), _LIST_OPS[key])
        elif key == "subLayers":
            yield from _made(value, Kind.SUBLAYER)
        elif key == "clips":
            yield from _made((*_held(value), *_templates(value), ""), Kind.CLIP)
        else:
            yield from _made(_held(value), Kind.METADATA)


def _in_property(layer: Sdf.Layer, path: Sdf.Path) -> Iterator[AssetPathUse]:
    spec = layer.GetPropertyAtPath(path)
    for key in filter(spec.HasInfo, property_fields()):
        yield from _made(_held(spec.GetInfo(key)), Kind.METADATA)
    if is_asset_valued(spec):
        for key in filter(spec.HasInfo, _VALUES):
            yield from _made(_held(spec.GetInfo(key)), Kind.ATTRIBUTE)


def _made(paths: Iterable[str], kind: Kind) -> Iterator[AssetPathUse]:
    return (AssetPathUse(path, kind) for path in paths)


def _listed(operation: Any) -> Iterator[str]:
    for items in (
        operation.explicitItems, operation.addedItems, operation.prependedItems,
        operation.appendedItems, operation.deletedItems, operation.orderedItems,
    ):  # fmt: skip
        for item in items:
            yield item.assetPath


def _held(value: Any) -> Iterator[str]:
    """Yield the asset paths in a value: one, an array, a dictionary, time samples."""
    waiting = [value]  # dictionaries may nest deeper than functions can
    for each in waiting:
        if isinstance(each, Sdf.AssetPath):
            yield each.authoredPath
        elif isinstance(each, Sdf.AssetPathArray):
            yield from (item.authoredPath for item in each)
        elif isinstance(each, Mapping):
            waiting.extend(each.values())


def _templates(clips: Any) -> Iterator[str]:
    if not isinstance(clips, Mapping):
        return
    for clip_set in clips.values():
        if isinstance(clip_set, Mapping) and isinstance(clip_set.get(CLIP_TEMPLATE), str):
            yield clip_set[CLIP_TEMPLATE]
