# SPDX-License-Identifier: Apache-2.0
"""The variant sets of a stage's prims: what they offer, what is selected, and whose opinion that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Final, TypedDict

from pxr import Pcp, Sdf, Usd

from bifrost.usd.folder import is_uri
from bifrost.usd.stage_references import names_on, told_on

EVERYWHERE: Final = Usd.TraverseInstanceProxies(Usd.PrimAllPrimsPredicate)
"""Every prim, those in instances under the paths that they have there."""

# Sets in variants of sets in variants…: deeper than anybody's, and than answers could be kept or written.
_DEEPEST: Final = 32


class Source(TypedDict):
    """
    Where the opinion comes from that a variant is selected, or with "" that none is.

    `arc` is how the layer gets there: `session`, `local` (the root layer and its sublayers),
    `reference`, `payload`, `inherit`, `specialize`, `variant` (inside another variant), `relocate`; or
    `fallback`, where nobody has an opinion but the process has fallbacks, and the rest is "".
    """

    arc: str
    layer: str
    """The layer's identifier."""
    path: str
    """The prim's path in that layer."""
    reference: str
    """The entity that brought the layer, by the reference that named it; "" where none did."""
    version: str
    """The entity's version."""


class Branch(TypedDict):
    """A variant set that is inside a variant."""

    variants: list[str]
    nested: dict[str, dict[str, Branch]]


class VariantSet(TypedDict):
    """A variant set of a prim, as it is composed now."""

    variants: list[str]
    """Their names, sorted."""
    selection: str
    """The one selected, "" for none. It may be one that there isn't."""
    source: Source | None
    """Whose opinion that is; None where nobody has one."""
    nested: dict[str, dict[str, Branch]]
    """By variant, the sets that selecting it brings, 32 deep; variants that bring none are left out."""
    instance: str
    """The path of the instance that the prim is inside of, where USD has no opinions; "" for none."""


def variant_sets(prim: Usd.Prim, asset_uri: str = "") -> dict[str, VariantSet]:
    """
    Return the variant sets of *prim* by name, in order of strength.

    Nested sets count as the prim's own where the variant that brings them is selected. Every other
    variant's are read from the layers that have a say in the prim; what such a variant would
    reference is not looked into.

    Args:
        prim: The prim.
        asset_uri: The reference to what the root layer is, where it may be open under its file's name.
    """
    return _Reader(prim.GetStage(), asset_uri).sets_of(prim)


def all_variant_sets(stage: Usd.Stage, asset_uri: str = "") -> dict[str, dict[str, VariantSet]]:
    """
    Return what `variant_sets` does for every prim that has some, by path, in the stage's order.

    Prims in instances are among them, under the paths that they have there.
    """
    reader = _Reader(stage, asset_uri)
    everywhere = Usd.PrimRange(stage.GetPseudoRoot(), EVERYWHERE)
    return {
        str(prim.GetPath()): reader.sets_of(prim) for prim in everywhere if prim.HasVariantSets()
    }


def matching(
    found: dict[str, dict[str, VariantSet]], variant_set: str | None, variant: str | None
) -> dict[str, dict[str, VariantSet]]:
    """Return of what `all_variant_sets` found the sets of that name that have that variant."""
    if variant_set is None and variant is None:
        return found
    kept = {
        path: {
            name: each
            for name, each in sets.items()
            if variant_set in (None, name) and (variant is None or variant in each["variants"])
        }
        for path, sets in found.items()
    }
    return {path: sets for path, sets in kept.items() if sets}


def nested_in(
    specs: Iterable[Any], name: str, deepest: int = _DEEPEST
) -> dict[str, dict[str, Branch]]:
    """
    Return by variant the sets inside the set *name* of prim or variant *specs*, all their branches.

    Sets that are inside of more than *deepest* others are left out.
    """
    if not deepest:
        return {}
    inside: dict[str, list[Any]] = {}
    for variant in (each for spec in specs for each in _variants(spec, name)):
        if variant.variantSets:
            inside.setdefault(variant.name, []).append(variant)
    return {variant: _branches(brought, deepest) for variant, brought in sorted(inside.items())}


def _branches(specs: Sequence[Any], deepest: int) -> dict[str, Branch]:
    names = dict.fromkeys(name for spec in specs for name in _names(spec))
    return {
        name: {
            "variants": sorted({each.name for spec in specs for each in _variants(spec, name)}),
            "nested": nested_in(specs, name, deepest - 1),
        }
        for name in names
    }


def _names(spec: Any) -> list[str]:
    return [each.name for each in spec.variantSets.values()]


def _variants(spec: Any, name: str) -> list[Any]:
    sets = spec.variantSets
    return list(sets[name].variantList) if name in sets else []


class _Reader:
    """Reads sets and opinions from one stage, and what they have in common once."""

    def __init__(self, stage: Usd.Stage, asset_uri: str) -> None:
        self._stage = stage
        self._root = stage.GetRootLayer()
        self._root_name = asset_uri if is_uri(asset_uri) else self._root.identifier
        self._local = set(stage.GetLayerStack(includeSessionLayers=False))
        self._entities: dict[str, tuple[str, str]] = {}
        self._prototypes: dict[Sdf.Path, dict[str, VariantSet]] = {}

    def sets_of(self, prim: Usd.Prim) -> dict[str, VariantSet]:
        """Return the sets of *prim*."""
        if not prim.IsInstanceProxy():
            return self._read(prim)
        known, instance = prim.GetPrimInPrototype().GetPath(), _instance(prim)
        if known not in self._prototypes:
            self._prototypes[known] = self._read(prim)
        return {
            name: {**each, "variants": each["variants"][:], "instance": instance}
            for name, each in self._prototypes[known].items()
        }

    def _read(self, prim: Usd.Prim) -> dict[str, VariantSet]:
        if not prim.HasVariantSets():
            return {}
        sets, specs = prim.GetVariantSets(), prim.GetPrimStack()
        return {
            name: self._described(prim, sets.GetVariantSet(name), specs) for name in sets.GetNames()
        }

    def _described(
        self, prim: Usd.Prim, variant_set: Usd.VariantSet, specs: Sequence[Any]
    ) -> VariantSet:
        name, selection = variant_set.GetName(), variant_set.GetVariantSelection()
        return {
            "variants": list(variant_set.GetVariantNames()),
            "selection": selection,
            "source": self._source(prim, name, selection, specs),
            "nested": nested_in(specs, name),
            "instance": "",
        }

    def _source(
        self, prim: Usd.Prim, name: str, selection: str, specs: Sequence[Any]
    ) -> Source | None:
        spec = next((each for each in specs if name in each.variantSelections), None)
        if spec is not None:
            return self._opinion(prim, spec)
        if selection:
            return {"arc": "fallback", "layer": "", "path": "", "reference": "", "version": ""}
        return None

    def _opinion(self, prim: Usd.Prim, spec: Sdf.PrimSpec) -> Source:
        node = prim.GetPrimIndex().GetNodeProvidingSpec(spec)
        arc = self._arc(spec.layer, node)
        reference, version = ("", "") if arc == "session" else self._entity(spec.layer, node)
        return {
            "arc": arc,
            "layer": spec.layer.identifier,
            "path": str(spec.path),
            "reference": reference,
            "version": version,
        }

    def _arc(self, layer: Sdf.Layer, node: Any) -> str:
        if node and node.arcType != Pcp.ArcTypeRoot:
            return str(node.arcType.displayName)
        return "local" if layer in self._local else "session"

    def _entity(self, layer: Sdf.Layer, node: Any) -> tuple[str, str]:
        """Return reference and version of the nearest entity on the way from *layer* to the root."""
        found = self._named(layer)
        while not found[0] and node:
            found = self._named(node.layerStack.identifier.rootLayer)
            node = node.parent
        return found

    def _named(self, layer: Sdf.Layer) -> tuple[str, str]:
        """Return the reference that names *layer* and its version; of other layers ("", "")."""
        # The root was asked about by name; what the stage is opened of may be another.
        is_root = layer == self._root
        name = self._root_name if is_root else self._name_of(layer)
        if name not in self._entities:
            told = told_on(self._stage, name, layer)
            if not told and is_root and is_uri(name) and not layer.anonymous:
                told = {"entityReference": name}
            found = str(told.get("entityReference", "")), str(told.get("version", ""))
            self._entities[name] = found
        return self._entities[name]

    @cached_property
    def _name_of(self) -> Callable[[Sdf.Layer], str]:
        return names_on(self._stage)


def _instance(prim: Usd.Prim) -> str:
    """Return the path of the outermost instance that *prim* is inside of."""
    while prim.IsInstanceProxy():
        prim = prim.GetParent()
    return str(prim.GetPath())
