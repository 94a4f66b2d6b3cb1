# SPDX-License-Identifier: Apache-2.0
"""
Writing arcs into a layer: those that `extraction.arcs_of` found, those that relationships say.

Everything is checked before anything is written, and written in one block of changes: a stage that has
the layer open composes once. What is there already stays as it is. The layer is not saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from pxr import Sdf, Tf

from bifrost.usd.arc_checks import checked, invalid, place_of, type_of
from bifrost.usd.arc_sources import check_editable
from bifrost.usd.arcs import CLIP_TEMPLATE, Kind
from bifrost.usd.extraction import LIST_FIELDS, Arc
from bifrost.usd.survey import reason

_LIST_OPS: Final = {
    Kind.REFERENCE: Sdf.ReferenceListOp,
    Kind.PAYLOAD: Sdf.PayloadListOp,
    Kind.INHERIT: Sdf.PathListOp,
    Kind.SPECIALIZE: Sdf.PathListOp,
}


def author(
    layer: Sdf.Layer, arcs: Iterable[Arc], *, specifier: Sdf.Specifier = Sdf.SpecifierDef
) -> list[Arc]:
    """
    Write *arcs* into *layer*, and return those that were not there yet.

    An arc goes to its position in its list, or behind what is there. Where a layer's list is explicit,
    what would be prepended or appended is put into that. Attributes that are missing are made, of type
    `asset`. `arc.layer`, `strength` and `problem` mean nothing here.

    Args:
        layer: To be edited, not saved.
        arcs: In any order.
        specifier: Of prims that are made because an arc stands on them; their parents' too.

    Raises:
        InvalidTraitsException: an arc can't be written: a path that doesn't parse, no such operation…;
            names the arc. Nothing was written.
        ConflictException: an explicit list would take the place of what is there; or an attribute is
            there, of another type. Nothing was written.
        PermissionDeniedException: the layer may not be edited.
    """
    wanted = checked(layer, arcs)
    made: list[Arc] = []
    try:
        with Sdf.ChangeBlock():
            for _, group in groupby(wanted, key=place_of):
                made += _author_group(layer, list(group), specifier)
    except Tf.ErrorException as error:
        raise invalid(wanted[0], reason(error)) from error
    return made


def replace(layer: Sdf.Layer, targets: Mapping[Arc, str]) -> None:
    """
    Give arcs of *layer*, as `extraction.arcs_of` found them, other targets; all else about them stays.

    Raises:
        PermissionDeniedException: the layer may not be edited.
    """
    check_editable(layer)
    with Sdf.ChangeBlock():
        for arc, target in targets.items():
            if arc.kind is Kind.SUBLAYER:
                _replace_sublayer(layer, arc, target)
            elif arc.kind in LIST_FIELDS:
                _replace_item(layer, arc, target)
            else:
                _set_value(layer, arc._replace(target=target), Sdf.SpecifierOver)


def item_of(arc: Arc) -> Any:
    """Return what stands for *arc*, a reference, payload, inherit or specialize, in its list."""
    if arc.kind in (Kind.INHERIT, Kind.SPECIALIZE):
        return Sdf.Path(arc.target_prim)
    offset = Sdf.LayerOffset(arc.offset, arc.scale)
    kind = Sdf.Reference if arc.kind is Kind.REFERENCE else Sdf.Payload
    return kind(arc.target, Sdf.Path(arc.target_prim) if arc.target_prim else Sdf.Path(), offset)


def _author_group(layer: Sdf.Layer, arcs: list[Arc], specifier: Sdf.Specifier) -> list[Arc]:
    """Write arcs of one place, and return those that were not there yet."""
    first = arcs[0]
    if first.kind is Kind.SUBLAYER:
        return _author_sublayers(layer, arcs)
    if first.kind in LIST_FIELDS:
        return _author_list(_prim(layer, first, specifier), arcs)
    return [arc for arc in arcs if _set_value(layer, arc, specifier)]


def _author_sublayers(layer: Sdf.Layer, arcs: list[Arc]) -> list[Arc]:
    made = []
    for arc in arcs:
        if arc.target not in list(layer.subLayerPaths):
            place = _index(arc, len(layer.subLayerPaths))
            layer.subLayerPaths.insert(place, arc.target)
            layer.subLayerOffsets[place] = Sdf.LayerOffset(arc.offset, arc.scale)
            made.append(arc)
    return made


def _author_list(prim: Sdf.PrimSpec, arcs: list[Arc]) -> list[Arc]:
    field = LIST_FIELDS[arcs[0].kind]
    operations = prim.GetInfo(field) if prim.HasInfo(field) else _LIST_OPS[arcs[0].kind]()
    name = f"{_operation(operations, arcs[0])}Items"
    items = list(getattr(operations, name))
    there = set(items)
    made = []
    for arc in arcs:
        if (item := item_of(arc)) not in there:
            items.insert(_index(arc, len(items)), item)
            there.add(item)
            made.append(arc)
    if made:
        setattr(operations, name, items)
        prim.SetInfo(field, operations)
    return made


def _operation(operations: Any, arc: Arc) -> str:
    """Return into which list *arc* goes."""
    is_placed = arc.operation in ("added", "prepended", "appended")
    return "explicit" if operations.isExplicit and is_placed else arc.operation


def _index(arc: Arc, count: int) -> int:
    return count if arc.position is None else min(arc.position, count)


def _prim(layer: Sdf.Layer, arc: Arc, specifier: Sdf.Specifier) -> Sdf.PrimSpec:
    if arc.path == "/":
        return layer.pseudoRoot
    path = Sdf.Path(arc.path)
    missing = [each for each in path.GetPrefixes() if layer.GetPrimAtPath(each) is None]
    prim = Sdf.CreatePrimInLayer(layer, path)
    for each in missing:
        if each.IsPrimPath():
            layer.GetPrimAtPath(each).specifier = specifier
    return prim


def _set_value(layer: Sdf.Layer, arc: Arc, specifier: Sdf.Specifier) -> bool:
    """Put the target of *arc* where it says; return whether that changed anything."""
    spec: Any = _prim(layer, arc, specifier)
    if arc.property_name:
        spec = spec.properties.get(arc.property_name) or _made_property(spec, arc)
    before = _value(layer, spec, arc)
    after = _put(before, arc)
    if after == before:
        return False
    if arc.time is not None:
        layer.SetTimeSample(spec.path, arc.time, after)
    elif len(arc.field) == 1:
        spec.SetInfo(arc.field[0], after)
    else:
        # Entry by entry, so that their neighbours keep their types: Python has one kind of number.
        entry = _within(spec.GetInfo(arc.field[0]), arc.field[1:], after)[arc.field[1]]
        spec.SetInfoDictionaryValue(arc.field[0], arc.field[1], entry)
    return True


def _made_property(prim: Sdf.PrimSpec, arc: Arc) -> Sdf.AttributeSpec:
    names = Sdf.ValueTypeNames
    # Opaque has no value: what is made for its metadata alone.
    kind = names.Opaque if arc.kind is not Kind.ATTRIBUTE else type_of(arc)
    return Sdf.AttributeSpec(prim, arc.property_name, kind)


def _value(layer: Sdf.Layer, spec: Sdf.Spec, arc: Arc) -> Any:
    if arc.time is not None:
        there = arc.time in layer.ListTimeSamplesForPath(spec.path)
        return layer.QueryTimeSample(spec.path, arc.time) if there else None
    value = spec.GetInfo(arc.field[0]) if spec.HasInfo(arc.field[0]) else None
    for key in arc.field[1:]:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _put(value: Any, arc: Arc) -> Any:
    """Return *value* with the target of *arc* at its position."""
    if arc.position is None:
        return arc.target if arc.field[-1] == CLIP_TEMPLATE else Sdf.AssetPath(arc.target)
    paths = [item.authoredPath for item in value] if isinstance(value, Sdf.AssetPathArray) else []
    paths += [""] * (arc.position + 1 - len(paths))
    paths[arc.position] = arc.target
    return Sdf.AssetPathArray([Sdf.AssetPath(path) for path in paths])


def _within(value: Any, keys: Sequence[str], new: Any) -> dict[str, Any]:
    """Return a copy of the dictionary *value* with *new* at *keys*."""
    key, *rest = keys
    copy = dict(value) if isinstance(value, Mapping) else {}
    copy[key] = _within(copy.get(key), rest, new) if rest else new
    return copy


def _replace_sublayer(layer: Sdf.Layer, arc: Arc, target: str) -> None:
    place = _index(arc, len(layer.subLayerPaths))
    offset = layer.subLayerOffsets[place]
    layer.subLayerPaths[place] = target
    layer.subLayerOffsets[place] = offset  # Sdf drops it


def _replace_item(layer: Sdf.Layer, arc: Arc, target: str) -> None:
    prim, field, name = layer.GetPrimAtPath(arc.path), LIST_FIELDS[arc.kind], arc.operation
    operations = prim.GetInfo(field)
    items = list(getattr(operations, f"{name}Items"))
    place = _index(arc, len(items))
    old = items[place]
    more = (old.customData,) if isinstance(old, Sdf.Reference) else ()
    items[place] = type(old)(target, old.primPath, old.layerOffset, *more)
    setattr(operations, f"{name}Items", items)
    prim.SetInfo(field, operations)
