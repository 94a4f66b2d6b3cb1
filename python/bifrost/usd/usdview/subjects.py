# SPDX-License-Identifier: Apache-2.0
"""What a selection in usdview means: the entity that a prim, or a layer, comes from. No Qt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pxr import Pcp, Sdf, Usd

from bifrost.errors import AssetNotFoundException, Code
from bifrost.model.entity_reference import (
    is_asset_reference,
    parse,
    reference_for,
    without_format_args,
)
from bifrost.usd.folder import is_uri, split_path
from bifrost.usd.permissions import lock_of
from bifrost.usd.stage_references import names_on, told_on

_ENTITY_ARCS: Final = (Pcp.ArcTypeReference, Pcp.ArcTypePayload)


class Subject(NamedTuple):
    """
    An entity, or a plain file, in a stage. Values alone: it may go to another thread.

    Attributes:
        title: What was selected, for people: `prim /World/Chair`, `layer chair.usda`.
        reference: The entity reference, as the stage names it; "" for a plain file.
        version: The version that the stage has of it; "" where the manager has none.
        name: Its display name, or "".
        manager: The manager that resolved it, or "".
        tier: The tier of the caches that answered, or "".
        path: Its file; "" for a layer in memory.
        prim_path: The prim that brings it in; "" where it is the root layer or a sublayer, or a layer was
            selected.
        why: Why its layer may not be edited, and what to do instead; or "".
    """

    title: str
    reference: str = ""
    version: str = ""
    name: str = ""
    manager: str = ""
    tier: str = ""
    path: str = ""
    prim_path: str = ""
    why: str = ""

    @property
    def pinned(self) -> str:
        """The reference to the very version that the stage has, where our catalogue has a number of it."""
        reference = without_format_args(self.reference)
        if not is_asset_reference(reference) or not self.version.isdecimal():
            return reference
        asked = parse(reference)
        return reference_for(asked.asset_id, self.version, asked.representation)

    def at(self, version: str) -> str:
        """Return the reference to another version of it, with whatever follows the version."""
        asked = parse(without_format_args(self.reference))
        return reference_for(asked.asset_id, version, asked.representation)


class Brought(NamedTuple):
    """A reference or payload that brings an entity in: the prim that has it, its name, the arc."""

    prim: Usd.Prim
    name: str
    arc: Usd.CompositionArc


def selected(stage: Usd.Stage, prim: Usd.Prim | None, layer: Sdf.Layer | None) -> list[Subject]:
    """
    Return what is selected: the entity of the prim, and that of the layer where there is one.

    Asks nobody. On the thread that edits the stage.

    Raises:
        AssetNotFoundException: neither is selected, or the prim comes from no entity and there is no
            layer to tell of.
    """
    found = []
    if prim and not prim.IsPseudoRoot():
        try:
            found.append(of_prim(prim))
        except AssetNotFoundException:
            if layer is None:
                raise
    elif layer is None:
        found.append(of_root(stage))
    if layer is not None:
        found.append(of_layer(stage, layer))
    return found


def of_prim(prim: Usd.Prim) -> Subject:
    """
    Return the entity that *prim* comes from: the nearest that it or a prim above it brings in, else the
    sublayer or root that defines it.

    Raises:
        AssetNotFoundException: it comes from none, or its payload isn't loaded.
    """
    stage = prim.GetStage()
    brought = next(brought_in(prim), None)
    if brought is not None:
        layer = brought.arc.GetTargetLayer()
        told = _subject(stage, f"prim {prim.GetPath()}", brought.name, layer)
        return told._replace(prim_path=str(brought.prim.GetPath()))
    if not prim.IsLoaded():
        raise _no_asset(prim, "its payload isn't loaded; load it, then ask again")
    layer = _defining(prim) or stage.GetRootLayer()
    found = _subject(stage, f"prim {prim.GetPath()}", layer.identifier, layer)
    if not found.reference:
        raise _no_asset(prim, "nothing that it is made of names an entity; the stage is of files")
    return found


def of_root(stage: Usd.Stage, title: str = "the stage") -> Subject:
    """Return what *stage* was opened from: an entity, or a plain file."""
    layer = stage.GetRootLayer()
    return _subject(stage, title, layer.identifier, layer)


def of_layer(stage: Usd.Stage, layer: Sdf.Layer) -> Subject:
    """Return the entity that *layer* of *stage* is; a plain file where it is none."""
    return _subject(stage, f"layer {layer.GetDisplayName()}", names_on(stage)(layer), layer)


def entities(stage: Usd.Stage) -> list[Subject]:
    """Return every entity that a layer of *stage* is, by reference."""
    layers = [each for each in stage.GetUsedLayers() if not each.anonymous]
    names = [*map(names_on(stage), layers)]
    found = [_subject(stage, name, name, each) for name, each in zip(names, layers, strict=True)]
    return sorted(each for each in found if each.reference)


def brought_in(prim: Usd.Prim) -> Iterator[Brought]:
    """
    Yield what brings entities in, on *prim* first, then on the prims above it; the strongest first.

    Of entities that are inside of another, the outermost comes first.
    """
    while prim and not prim.IsPseudoRoot():
        for arc in _arcs(prim):
            name = _name(arc)
            if name:
                yield Brought(prim, name, arc)
        prim = prim.GetParent()


def _defining(prim: Usd.Prim) -> Sdf.Layer | None:
    """Return the entity's layer that defines *prim*, the strongest; else one that has opinions of it."""
    specs = [each for each in prim.GetPrimStack() if is_uri(each.layer.identifier)]
    specs = [each for each in specs if not each.layer.anonymous]
    defining = [each for each in specs if each.specifier == Sdf.SpecifierDef]
    return next((each.layer for each in defining + specs), None)


def _no_asset(prim: Usd.Prim, why: str) -> AssetNotFoundException:
    return AssetNotFoundException(
        f"{prim.GetPath()} comes from no asset: {why}", code=Code.NOT_FOUND
    )


def _arcs(prim: Usd.Prim) -> list[Usd.CompositionArc]:
    query = Usd.PrimCompositionQuery(prim)
    wanted = Usd.PrimCompositionQuery.Filter()
    wanted.dependencyTypeFilter = Usd.PrimCompositionQuery.DependencyTypeFilter.Direct
    query.filter = wanted
    return [each for each in query.GetCompositionArcs() if each.GetArcType() in _ENTITY_ARCS]


def _name(arc: Usd.CompositionArc) -> str:
    """Return the entity reference that *arc* names; "" where it names a file, or its own layers."""
    authored = arc.GetIntroducingListEditor()[1].assetPath
    # A layer has the name under which it was opened first in this process, so that comes second.
    names = (authored, arc.GetTargetLayer().identifier) if authored else ()
    return next((each for each in names if is_uri(split_path(each)[0])), "")


def _subject(stage: Usd.Stage, title: str, name: str, layer: Sdf.Layer) -> Subject:
    base = split_path(name)[0]
    lock = lock_of(layer)
    plain = Subject(title, path=layer.realPath, why=lock.why if lock else "")
    if layer.anonymous or not is_uri(base):
        return plain
    told = told_on(stage, name, layer)
    return plain._replace(
        reference=base,
        **{key: str(told.get(key, "")) for key in ("version", "name", "manager", "tier")},
    )
