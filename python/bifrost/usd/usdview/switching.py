# SPDX-License-Identifier: Apache-2.0
"""
Showing another version of an asset in an open stage, by an opinion in its session layer. No Qt.

The session layer gets the whole list of references (or payloads) that the layers under it compose to,
with one of them at another version: so their order stays, and nothing but the session layer is edited.
It is as good as what the opened layers themselves bring in. What an asset brings in by layers of its
own is out of a session layer's reach, and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from pxr import Pcp, Sdf, Usd

from bifrost.errors import AccessModeException, AssetException, Code, LayerException
from bifrost.model.entity_reference import is_asset_reference, parse, reference_for
from bifrost.usd.folder import is_uri, split_path
from bifrost.usd.usdview.subjects import Brought, brought_in

_FIELDS: Final = {
    Pcp.ArcTypeReference: ("references", Sdf.ReferenceListOp),
    Pcp.ArcTypePayload: ("payload", Sdf.PayloadListOp),
}
_LISTS: Final = ("addedItems", "prependedItems", "appendedItems", "deletedItems", "orderedItems")
_CUSTOM: Final = "customData"
# What the prim brought in before the first switch, in the session layer's custom data of it.
_MARK: Final = "bifrostSwitchedFrom"


class Switched(NamedTuple):
    """
    That another version is shown.

    Attributes:
        prim_path: The prim that brings the asset in.
        before: What it brought in.
        after: What it brings in now.
    """

    prim_path: str
    before: str
    after: str


class _Place(NamedTuple):
    """Where an arc is authored: the path of its spec in every layer, and the field."""

    path: Sdf.Path
    field: str
    make_list: Any


def switch(stage: Usd.Stage, prim_path: str, new: str) -> Switched:
    """
    Bring *new* in where the prim at *prim_path*, or one above it, brings another version of it in.

    Edits the session layer alone; where *new* doesn't come in, nothing stays edited. What follows the
    entity reference in the arc (a member of a package, format arguments), its target prim and its offset
    stay. On the thread that edits the stage.

    Raises:
        AccessModeException: the entity is the stage's root, or is brought in by another entity, or
            there is no session layer that may be edited.
        LayerException: *new* doesn't compose there; the message says why.
        AssetException: nothing at the prim brings the asset in.
    """
    brought = _brought(stage, prim_path, new)
    session = _session(stage, brought.name)
    place = _place(brought)
    path = brought.prim.GetPath()
    before, tail = split_path(brought.name)
    target = new + tail
    items = list(_with_new(brought, place, target))
    kept = _state(session, place)
    with Sdf.ChangeBlock():
        spec = Sdf.CreatePrimInLayer(session, place.path)
        spec.SetInfo(place.field, place.make_list.CreateExplicit(items))
        if _mark(spec) is None:
            spec.SetInfoDictionaryValue(_CUSTOM, _MARK, before)
    if not _is_there(stage, path, target):
        _put_back(session, place, kept)
        raise LayerException(
            f"{new} doesn't come in at {path}: it has no default prim, or not the "
            "prim that is asked for, or can't be read; nothing was changed",
            asset_uri=new,
            code=Code.NOT_A_LAYER,
        )
    return Switched(str(path), before, new)


def restore(stage: Usd.Stage, prim_path: str, reference: str) -> Switched:
    """
    Take back what `switch` did where the prim, or one above it, brings the asset of *reference* in.

    Raises:
        AccessModeException: nothing was switched there.
        AssetException: nothing at the prim brings the asset in.
    """
    brought = _brought(stage, prim_path, reference)
    session = _session(stage, brought.name)
    place = _place(brought)
    spec = session.GetPrimAtPath(place.path)
    before = _mark(spec) if spec else None
    if before is None:
        raise _refused(
            f"{brought.prim.GetPath()} shows what the layers say: nothing was switched", brought
        )
    _put_back(session, place, None)
    return Switched(str(brought.prim.GetPath()), split_path(brought.name)[0], before)


def _brought(stage: Usd.Stage, prim_path: str, reference: str) -> Brought:
    prim = stage.GetPrimAtPath(prim_path) if prim_path else None
    asset = _asset(reference)
    found = brought_in(prim) if prim else ()
    brought = next((each for each in found if _asset(each.name) == asset), None)
    if brought is None:
        raise AssetException(
            f"{prim_path or 'the root layer'}: no reference or payload brings {asset} in there. Of the "
            "stage's root, open another version instead; a sublayer can't be taken away",
            asset_uri=reference,
            code=Code.ACCESS,
        )
    if not brought.arc.IsIntroducedInRootLayerStack():
        owner = brought.arc.GetIntroducingLayer().identifier
        raise _refused(
            f"{split_path(brought.name)[0]} is brought in by {owner}, which is an asset's own: a session "
            "layer can't reach in there. Move a working copy instead: "
            "`bifrost_host.retarget(layer, old, new)`, then publish it",
            brought,
        )
    return brought


def _asset(reference: str) -> str:
    """Return *reference* without a version, where it is one of our own."""
    base = split_path(reference)[0]
    if not is_asset_reference(base):
        return base
    asked = parse(base)
    return reference_for(asked.asset_id, None, asked.representation)


def _session(stage: Usd.Stage, name: str) -> Sdf.Layer:
    session = stage.GetSessionLayer()
    if session is None or not session.permissionToEdit:
        raise AccessModeException(
            "the stage has no session layer that may be edited, so nothing can be switched",
            asset_uri=name,
            code=Code.ACCESS,
        )
    return session


def _place(brought: Brought) -> _Place:
    field, make_list = _FIELDS[brought.arc.GetArcType()]
    return _Place(brought.arc.GetIntroducingPrimPath(), field, make_list)


def _with_new(brought: Brought, place: _Place, target: str) -> Iterator[Any]:
    """Yield the list as it composes, each once, with what is brought in at *target*."""
    stack = brought.arc.GetIntroducingNode().layerStack
    authored = brought.arc.GetIntroducingListEditor()[1]
    meant = _anchored(authored, brought.arc.GetIntroducingLayer())
    seen = set()
    for item, offset in _composed(stack, place):
        path = target if item == meant else item.assetPath
        made = type(item)(path, item.primPath, offset * item.layerOffset, **_extra(item))
        if made not in seen:
            seen.add(made)
            yield made


def _composed(stack: Any, place: _Place) -> list[tuple[Any, Sdf.LayerOffset]]:
    """
    Return the items that the layers of *stack* compose to, with the offset of the layer of each.

    As `PcpComposeSiteReferences` does it: lists are applied from the weakest layer on, paths count as
    they are anchored to their layers, offsets as they are written.
    """
    items: list[Any] = []
    offsets: dict[Any, Sdf.LayerOffset] = {}
    for layer, offset in reversed(list(zip(stack.layers, stack.layerOffsets, strict=True))):
        spec = layer.GetPrimAtPath(place.path)
        if spec and spec.HasInfo(place.field):
            listed = _anchored_list(spec.GetInfo(place.field), layer, place)
            offsets.update(dict.fromkeys(_brings(listed), offset))
            items = listed.ApplyOperations(items)
    return [(each, offsets[each]) for each in items]


def _anchored_list(listed: Any, layer: Sdf.Layer, place: _Place) -> Any:
    if listed.isExplicit:
        return place.make_list.CreateExplicit([_anchored(i, layer) for i in listed.explicitItems])
    made = place.make_list()
    for name in _LISTS:
        setattr(made, name, [_anchored(each, layer) for each in getattr(listed, name)])
    return made


def _brings(listed: Any) -> list[Any]:
    names = ("explicitItems",) if listed.isExplicit else _LISTS[:3]
    return [each for name in names for each in getattr(listed, name)]


def _anchored(item: Any, layer: Sdf.Layer) -> Any:
    path = item.assetPath
    if path and not is_uri(split_path(path)[0]) and not path.startswith("`"):
        path = layer.ComputeAbsolutePath(path)
    return type(item)(path, item.primPath, item.layerOffset, **_extra(item))


def _extra(item: Any) -> dict[str, Any]:
    return {"customData": item.customData} if isinstance(item, Sdf.Reference) else {}


def _is_there(stage: Usd.Stage, path: Sdf.Path, target: str) -> bool:
    prim = stage.GetPrimAtPath(path)
    return any(
        each.prim == prim and each.name == target and each.arc.HasSpecs()
        for each in brought_in(prim)
    )


def _state(session: Sdf.Layer, place: _Place) -> tuple[Any, Any] | None:
    """Return what the session layer says there already, or None."""
    spec = session.GetPrimAtPath(place.path)
    if not spec or not spec.HasInfo(place.field):
        return None
    return spec.GetInfo(place.field), _mark(spec)


def _put_back(session: Sdf.Layer, place: _Place, state: tuple[Any, Any] | None) -> None:
    spec = session.GetPrimAtPath(place.path)
    with Sdf.ChangeBlock():
        if state is None:
            spec.ClearInfo(place.field)
        else:
            spec.SetInfo(place.field, state[0])
        if (state is None or state[1] is None) and _mark(spec) is not None:
            del spec.customData[_MARK]
    session.ScheduleRemoveIfInert(spec)


def _mark(spec: Sdf.PrimSpec) -> str | None:
    found = spec.customData.get(_MARK)
    return None if found is None else str(found)


def _refused(message: str, brought: Brought) -> AccessModeException:
    return AccessModeException(message, asset_uri=split_path(brought.name)[0], code=Code.ACCESS)
