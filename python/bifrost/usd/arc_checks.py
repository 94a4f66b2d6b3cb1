# SPDX-License-Identifier: Apache-2.0
"""What arcs a layer can hold, and in which order they are written into it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, Final

from pxr import Sdf

from bifrost.errors import Code, ConflictException, InvalidTraitsException
from bifrost.usd.arc_sources import check_editable
from bifrost.usd.arcs import Kind, is_asset_valued
from bifrost.usd.extraction import LIST_FIELDS, OPERATIONS, Arc

_PRIM_ONLY: Final = (Kind.INHERIT, Kind.SPECIALIZE)
_MAX_POSITION: Final = 1_000_000
# Attributes before metadata: a property that has both is made with its own type.
_ORDER: Final = (*LIST_FIELDS, Kind.SUBLAYER, Kind.ATTRIBUTE, Kind.CLIP, Kind.METADATA)


def checked(layer: Sdf.Layer, arcs: Iterable[Arc]) -> list[Arc]:
    """
    Return *arcs*, each once, in the order in which they are written; all of them can be.

    Raises:
        As `authoring.author`.
    """
    check_editable(layer)
    wanted = list(dict.fromkeys(arcs))
    for arc in wanted:
        _check(arc)
        _check_place(layer, arc)
    return sorted(wanted, key=_written_order)


def place_of(arc: Arc) -> tuple[Any, ...]:
    """Return the list, array or field that *arc* stands in, as it is ordered among others."""
    time = -math.inf if arc.time is None else arc.time
    return _ORDER.index(arc.kind), arc.path, arc.property_name, arc.field, time, arc.operation


def type_of(arc: Arc) -> Sdf.ValueTypeName:
    """Return the type of the attribute that holds *arc*."""
    names = Sdf.ValueTypeNames
    return names.Asset if arc.position is None else names.AssetArray


def _written_order(arc: Arc) -> tuple[Any, ...]:
    return *place_of(arc), _MAX_POSITION if arc.position is None else arc.position


def _check(arc: Arc) -> None:
    """Refuse an arc that no layer can hold."""
    problem = next(_problems(arc), "")
    if problem:
        raise invalid(arc, problem)


def _problems(arc: Arc) -> Iterator[str]:
    if arc.kind not in _ORDER:
        yield f"expected a kind of {', '.join(_ORDER)}, got {arc.kind!r}"
    if (why := _path_problem(arc.path, at_root=arc.kind not in LIST_FIELDS)) is not None:
        yield why
    if arc.target_prim and (why := _path_problem(arc.target_prim, at_root=False)) is not None:
        yield f"its target prim: {why}"
    if not arc.target.isprintable() or "@@@" in arc.target:
        yield f"{arc.target!r} can't be written as an asset path"
    if not (math.isfinite(arc.offset) and math.isfinite(arc.scale) and arc.scale > 0):
        yield f"expected a finite offset and a scale above 0, got {arc.offset} and {arc.scale}"
    if arc.position is not None and not 0 <= arc.position < _MAX_POSITION:
        yield f"expected a position from 0 up, got {arc.position}"
    yield from _kind_problems(arc)


def _kind_problems(arc: Arc) -> Iterator[str]:
    if arc.kind in LIST_FIELDS:
        if arc.operation not in OPERATIONS:
            yield f"expected an operation of {', '.join(OPERATIONS)}, got {arc.operation!r}"
        if arc.kind in _PRIM_ONLY and (arc.target or not arc.target_prim):
            yield f"an {arc.kind} names a prim of the same layers, and no file"
    elif arc.kind is Kind.SUBLAYER:
        if not arc.target or arc.path != "/":
            yield "a sublayer is named by the layer itself, and names a file"
    elif not arc.target or not arc.field:
        yield "it names no file, or no field to stand in"
    elif arc.property_name and not Sdf.Path.IsValidNamespacedIdentifier(arc.property_name):
        yield f"{arc.property_name!r} can't be a property's name"
    elif arc.kind is Kind.ATTRIBUTE and (not arc.property_name or arc.path == "/"):
        yield "no attribute is named"


def _path_problem(path: str, *, at_root: bool) -> str | None:
    """Return why *path* is no place for an arc; None if it is one."""
    valid, why = Sdf.Path.IsValidPathString(path)
    if not valid:
        return f"{path!r} is no prim path: {why or 'it is empty'}"
    parsed = Sdf.Path(path)
    if at_root and parsed == Sdf.Path.absoluteRootPath:
        return None
    is_place = parsed.IsAbsolutePath() and (
        parsed.IsPrimPath()
        or (parsed.IsPrimVariantSelectionPath() and all(parsed.GetVariantSelection()))
    )
    return None if is_place else f"expected the absolute path of a prim, got {path!r}"


def _check_place(layer: Sdf.Layer, arc: Arc) -> None:
    """Refuse what would throw away something that is there."""
    prim = layer.GetPrimAtPath(arc.path)
    if prim is None:
        return
    if arc.kind in LIST_FIELDS and arc.operation == "explicit":
        field = LIST_FIELDS[arc.kind]
        if prim.HasInfo(field) and not prim.GetInfo(field).isExplicit:
            raise _conflict(arc, "an explicit list would take the place of the one that is there")
    there = prim.properties.get(arc.property_name) if arc.property_name else None
    if arc.kind is not Kind.ATTRIBUTE or there is None:
        return
    if not is_asset_valued(there) or there.typeName != type_of(arc):
        raise _conflict(arc, f"there is a property of that name, no {type_of(arc)}")


def invalid(arc: Arc, why: str) -> InvalidTraitsException:
    """Return what to raise of an arc that can't be written."""
    return InvalidTraitsException(
        f"{arc.kind} {arc.target or arc.target_prim} at {arc.path}: {why}",
        asset_uri=arc.reference,
        code=Code.INVALID_TRAITS,
    )


def _conflict(arc: Arc, why: str) -> ConflictException:
    return ConflictException(
        f"{arc.kind} {arc.target or arc.target_prim} at {arc.path}: {why}",
        asset_uri=arc.reference,
        code=Code.CONFLICT,
    )
