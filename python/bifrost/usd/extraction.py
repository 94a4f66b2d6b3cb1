# SPDX-License-Identifier: Apache-2.0
"""
The arcs that a layer holds, each with the place where it stands.

`arcs.asset_paths` tells which paths a layer names; this tells where, exactly enough for
`authoring.author` to put every one of them back. Layers are read as they are authored: variants that are
not selected, inactive prims and payloads that are not loaded included. Nothing is resolved.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from pxr import Sdf

from bifrost.catalogue.strengths import DEFAULTS, Strengths, strength_of
from bifrost.usd.arcs import (
    CLIP_TEMPLATE,
    Kind,
    is_asset_valued,
    is_expression,
    may_hold_assets,
    property_fields,
)
from bifrost.usd.folder import UDIM, is_uri, split_path

OPERATIONS: Final = ("explicit", "added", "prepended", "appended", "deleted", "ordered")
_ITEMS: Final = tuple((operation, f"{operation}Items") for operation in OPERATIONS)
LIST_FIELDS: Final[Mapping[Kind, str]] = {
    Kind.REFERENCE: "references",
    Kind.PAYLOAD: "payload",
    Kind.INHERIT: "inheritPaths",
    Kind.SPECIALIZE: "specializes",
}
"""The fields of a prim that are list operations, by the kind of their arcs."""
_LISTED: Final = {field: kind for kind, field in LIST_FIELDS.items()}


class Arc(NamedTuple):
    """
    One place in a layer that names another layer, file or prim.

    Attributes:
        kind: What it is for.
        layer: The identifier of the layer that holds it.
        path: The prim's path in that layer, with the variants that it lies in: `/Set{look=red}Chair`.
            `/` for what the layer itself says.
        target: The asset path as authored; "" where only a prim of the same layer stack is named.
        target_prim: The path of the prim that is meant; "" for the default prim.
        operation: One of `OPERATIONS`, of kinds that are lists; else "".
        position: Its place in that list, array or among the sublayers, from 0; None where it stands alone.
        offset: By how many time codes the target is moved.
        scale: By what its time codes are multiplied.
        property_name: The attribute's or relationship's name; "" for the prim.
        field: Where in the prim, property or layer: (`default`,), (`customData`, `manual`)…; () for lists.
        time: The time code of a time sample, else None.
        strength: `strong`, `weak` or `reference`: how strongly it binds.
        problem: Why the target is not there, where that was looked at; "" else.
    """

    kind: Kind
    layer: str
    path: str
    target: str
    target_prim: str = ""
    operation: str = ""
    position: int | None = None
    offset: float = 0.0
    scale: float = 1.0
    property_name: str = ""
    field: tuple[str, ...] = ()
    time: float | None = None
    strength: str = "strong"
    problem: str = ""

    @property
    def prim_path(self) -> str:
        """The prim's path without variants."""
        return str(Sdf.Path(self.path).StripAllVariantSelections())

    @property
    def variants(self) -> dict[str, dict[str, str]]:
        """The variants that it lies in, outermost first: `{prim path: {variant set: variant}}`."""
        found: dict[str, dict[str, str]] = {}
        for prefix in Sdf.Path(self.path).GetPrefixes():
            if prefix.IsPrimVariantSelectionPath():
                prim = str(prefix.StripAllVariantSelections())
                variant_set, variant = prefix.GetVariantSelection()
                found.setdefault(prim, {})[variant_set] = variant
        return found

    @property
    def reference(self) -> str:
        """The entity reference that it names; "" where it names a plain path or a prim."""
        base = split_path(self.target)[0]
        return base if is_uri(base) and not is_expression(self.target) else ""

    @property
    def is_internal(self) -> bool:
        """Whether it names a prim of the same layer stack and no file."""
        return not self.target

    @property
    def is_udim(self) -> bool:
        """Whether it names a set of texture tiles."""
        return UDIM in self.target

    @property
    def is_template(self) -> bool:
        """Whether it is a pattern from which USD derives the names of value clips."""
        return self.kind is Kind.CLIP and "#" in self.target

    @property
    def package_member(self) -> str:
        """The path of the file inside the usdz package that it names, or ""."""
        tail = split_path(self.target)[1]
        return tail[1 : tail.index("]")] if tail.startswith("[") and "]" in tail else ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it, with what its attributes imply."""
        return {
            **self._asdict(),
            "kind": str(self.kind),
            "field": list(self.field),
            "offset": _number(self.offset),
            "scale": _number(self.scale),
            "prim_path": self.prim_path,
            "variants": self.variants,
            "reference": self.reference,
            "is_udim": self.is_udim,
            "package_member": self.package_member,
        }


def arcs_of(layer: Sdf.Layer, strengths: Strengths = DEFAULTS) -> list[Arc]:
    """
    Return every arc that *layer* holds, sorted by where it stands.

    Arcs that a list operation deletes count, as for `arcs.asset_paths`; empty asset paths don't.
    """
    return read(layer, strengths)[0]


def read(layer: Sdf.Layer, strengths: Strengths = DEFAULTS) -> tuple[list[Arc], list[str]]:
    """Return what `arcs_of` does, and the paths of all prims that *layer* says something about."""
    reader = _Reader(layer, strengths)
    found = reader.read()
    # Sdf lists fields in an order that differs from process to process.
    return sorted(found, key=order), reader.prims


class _Reader:
    """One reading of one layer."""

    def __init__(self, layer: Sdf.Layer, strengths: Strengths) -> None:
        self._layer = layer
        self._name = layer.identifier
        self._strengths = strengths
        self._found: list[Arc] = []
        self.prims: list[str] = []

    def read(self) -> list[Arc]:
        """Read it, and return its arcs in no order."""
        paths: list[Sdf.Path] = []
        # Sdf calls back for each spec; collecting is the cheapest thing to do there. Walking the views
        # of children and properties takes three times as long.
        self._layer.Traverse(Sdf.Path.absoluteRootPath, paths.append)
        for path in self._read_properties(paths):
            if (prim := self._layer.GetPrimAtPath(path)) is not None:
                self.prims.append(name := str(path))
                self._read_prim(name, prim)
        return self._found

    def _read_properties(self, paths: Iterable[Sdf.Path]) -> list[Sdf.Path]:
        """Read those of *paths* that are of properties; return the others."""
        others: list[Sdf.Path] = []
        # Most of a scene is attributes, none of whose fields are arcs: what is asked of every one of
        # them is most of what reading a layer takes.
        is_property, spec_at = Sdf.Path.IsPropertyPath, self._layer.GetObjectAtPath
        has, fields = Sdf.Spec.HasInfo, property_fields()
        for path in paths:
            if not is_property(path):
                others.append(path)
                continue
            spec = spec_at(path)
            for key in fields:
                if has(spec, key):
                    self._read_value(
                        spec.GetInfo(key), Kind.METADATA, _prim(path), path.name, (key,)
                    )
            if is_asset_valued(spec):
                self._read_attribute(_prim(path), path.name, spec)
        return others

    def _read_attribute(self, path: str, name: str, spec: Sdf.AttributeSpec) -> None:
        if spec.HasInfo("default"):
            self._read_value(spec.GetInfo("default"), Kind.ATTRIBUTE, path, name, ("default",))
        if spec.HasInfo("timeSamples"):
            for time, value in spec.GetInfo("timeSamples").items():
                self._read_value(value, Kind.ATTRIBUTE, path, name, ("timeSamples",), time)

    def _read_prim(self, path: str, prim: Sdf.PrimSpec) -> None:
        for key in prim.ListInfoKeys():
            if key in _LISTED:
                self._read_list(prim.GetInfo(key), _LISTED[key], path)
            elif key == "subLayers":
                self._read_sublayers()
            elif may_hold_assets(key):
                kind = Kind.CLIP if key == "clips" else Kind.METADATA
                self._read_value(prim.GetInfo(key), kind, path, "", (key,))

    def _read_sublayers(self) -> None:
        paths, offsets = list(self._layer.subLayerPaths), list(self._layer.subLayerOffsets)
        for position, (target, offset) in enumerate(zip(paths, offsets, strict=True)):
            if target:
                self._add(
                    Kind.SUBLAYER, "/", target,
                    position=position, offset=offset.offset, scale=offset.scale,
                )  # fmt: skip

    def _read_list(self, operations: Any, kind: Kind, path: str) -> None:
        for operation, name in _ITEMS:
            for position, item in enumerate(getattr(operations, name)):
                if isinstance(item, Sdf.Path):
                    target, prim, offset = "", item, _IDENTITY
                else:
                    target, prim, offset = item.assetPath, item.primPath, item.layerOffset
                self._add(
                    kind, path, target, str(prim), operation, position, offset.offset, offset.scale
                )

    def _read_value(
        self,
        value: Any,
        kind: Kind,
        path: str,
        name: str,
        field: tuple[str, ...],
        time: float | None = None,
    ) -> None:
        waiting = [(value, field)]  # dictionaries may nest deeper than functions can
        for held, at in waiting:
            if isinstance(held, Mapping):
                waiting.extend((each, (*at, key)) for key, each in held.items())
                continue
            for target, position in _targets(held, kind, at):
                self._add(
                    kind, path, target, position=position, property_name=name, field=at, time=time
                )  # fmt: skip

    def _add(self, kind: Kind, path: str, target: str, *args: Any, **more: Any) -> None:
        more["strength"] = strength_of(self._strengths, kind)
        self._found.append(Arc(kind, self._name, path, target, *args, **more))


_IDENTITY: Final = Sdf.LayerOffset()


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)  # JSON has no infinity


def _targets(value: Any, kind: Kind, field: tuple[str, ...]) -> list[tuple[str, int | None]]:
    if isinstance(value, Sdf.AssetPath):
        found: list[tuple[str, int | None]] = [(value.authoredPath, None)]
    elif isinstance(value, Sdf.AssetPathArray):
        found = [(item.authoredPath, position) for position, item in enumerate(value)]
    elif kind is Kind.CLIP and field[-1] == CLIP_TEMPLATE and isinstance(value, str):
        found = [(value, None)]
    else:
        found = []
    return [(target, position) for target, position in found if target]


def _prim(path: Sdf.Path) -> str:
    return str(path.GetPrimOrPrimVariantSelectionPath())


def order(arc: Arc) -> tuple[Any, ...]:
    """Return by what arcs of one layer are sorted."""
    return (
        arc.path,
        arc.property_name,
        arc.kind,
        arc.field,
        float("-inf") if arc.time is None else arc.time,
        OPERATIONS.index(arc.operation) if arc.operation else -1,
        -1 if arc.position is None else arc.position,
        arc.target,
    )
