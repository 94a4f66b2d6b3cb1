# SPDX-License-Identifier: Apache-2.0
"""
Arcs as relationships, and relationships as arcs.

A relationship is between two assets and says with its type and metadata what an arc says with its place:

| metadata | default | is |
|---|---|---|
| `prim_path` | | where the arc stands, `/Set/Chair`; none for sublayers |
| `variants` | none | the variants it lies in: `{"/Set": {"look": "red"}}` |
| `target_prim` | the default prim | which prim of the target |
| `operation` | `prepended` | into which list |
| `position` | behind the others | where in the list, array or among the sublayers, from 0 |
| `offset`, `scale` | 0, 1 | how the target's time codes are moved and scaled |
| `property` | | the attribute that holds it |
| `field` | `["default"]` for attributes | where in the prim or property: `["customData", "manual"]` |
| `time` | | the time code of a time sample |
| `arcs` | | a list of these, where one asset is used in several places |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pxr import Sdf

from bifrost.errors import Code, InvalidTraitsException
from bifrost.usd.arcs import Kind
from bifrost.usd.extraction import LIST_FIELDS, Arc

KINDS: Final = tuple(kind for kind in Kind if kind not in (Kind.INHERIT, Kind.SPECIALIZE))
"""The relationship types that can be written as arcs."""
_ARCS: Final = "arcs"
_NUMBERS: Final = ("offset", "scale", "time")
_TEXTS: Final = ("prim_path", "target_prim", "operation", "property")
_KEYS: Final = frozenset((*_NUMBERS, *_TEXTS, "position", "variants", "field"))
_DEFAULT_FIELDS: Final = {Kind.ATTRIBUTE: ("default",)}


def relationships_of(arcs: Iterable[Arc]) -> list[dict[str, Any]]:
    """
    Return what to add for *arcs*: arguments of `add_relationship`, without where they start.

    One for each asset and kind, in the order of the arcs. Arcs that name no entity are left out.
    """
    found: dict[tuple[str, str], list[Arc]] = {}
    for arc in arcs:
        if arc.reference and arc.kind in KINDS:
            found.setdefault((arc.target, arc.kind), []).append(arc)
    return [
        {
            "to_uri": target,
            "relationship_type": str(kind),
            "metadata": {"strength": group[0].strength, **_metadata(group)},
        }
        for (target, kind), group in found.items()
    ]


def arcs_from(relationships: Iterable[Mapping[str, Any]]) -> list[Arc]:
    """
    Return the arcs that relationships say.

    Args:
        relationships: As `get_relationships_with_metadata` returns them, or as the arguments of
            `add_relationship`.

    Raises:
        InvalidTraitsException: one can't be an arc; names it and says why.
    """
    return [arc for relationship in relationships for arc in _arcs(relationship)]


def is_arc(relationship: Mapping[str, Any]) -> bool:
    """Whether a relationship says enough of where it stands to be written into a layer."""
    metadata = relationship.get("metadata") or {}
    kind = _first(relationship, "type", "relationship_type")
    has_place = kind == Kind.SUBLAYER or bool(metadata.keys() & {"prim_path", _ARCS})
    return kind in KINDS and has_place


def _metadata(arcs: Sequence[Arc]) -> dict[str, Any]:
    places = [_place(arc) for arc in arcs]
    return places[0] if len(places) == 1 else {_ARCS: places}


def _place(arc: Arc) -> dict[str, Any]:
    said = {
        "prim_path": "" if arc.path == "/" else arc.prim_path,
        "variants": arc.variants,
        "target_prim": arc.target_prim,
        "operation": arc.operation,
        "position": arc.position,
        "offset": arc.offset,
        "scale": None if arc.scale == 1 else arc.scale,
        "property": arc.property_name,
        "field": list(arc.field),
        "time": arc.time,
    }
    return {
        key: value
        for key, value in said.items()
        if value or (value == 0 and key in ("position", "time") and value is not None)
    }


def _arcs(relationship: Mapping[str, Any]) -> Iterator[Arc]:
    target = str(_first(relationship, "to", "to_uri"))
    name = str(_first(relationship, "type", "relationship_type"))
    metadata = relationship.get("metadata") or {}
    if name not in KINDS:
        raise _no_arc(target, name, f"expected a type of {', '.join(KINDS)}")
    places = metadata.get(_ARCS, (metadata,))
    if isinstance(places, str) or not isinstance(places, Sequence):
        raise _no_arc(target, name, "arcs: expected a list")
    for place in places:
        yield _arc(Kind(name), target, place)


def _arc(kind: Kind, target: str, place: Any) -> Arc:
    if not isinstance(place, Mapping):
        raise _no_arc(target, kind, f"arcs: expected mappings, got {place!r}")
    said = {key: value for key, value in place.items() if key in _KEYS and value is not None}
    for key, value in said.items():
        if problem := _problem(key, value):
            raise _no_arc(target, kind, f"{key}: expected {problem}, got {value!r}")
    return Arc(
        kind,
        layer="",
        path=_path(kind, target, said),
        target=target,
        target_prim=said.get("target_prim", ""),
        operation=said.get("operation", "prepended") if kind in LIST_FIELDS else "",
        position=said.get("position"),
        offset=float(said.get("offset", 0.0)),
        scale=float(said.get("scale", 1.0)),
        property_name=said.get("property", ""),
        field=tuple(said.get("field", _DEFAULT_FIELDS.get(kind, ()))),
        time=said.get("time"),
    )


def _path(kind: Kind, target: str, said: Mapping[str, Any]) -> str:
    path = str(said.get("prim_path", ""))
    if not path:
        if kind in LIST_FIELDS or kind is Kind.ATTRIBUTE:
            raise _no_arc(target, kind, "prim_path is missing: on which prim?")
        return "/"
    if not said.get("variants") or not Sdf.Path.IsValidPathString(path)[0]:
        return path  # what doesn't parse is refused where it is written
    return _with_variants(kind, target, Sdf.Path(path), said["variants"])


def _with_variants(
    kind: Kind, target: str, path: Sdf.Path, variants: Mapping[str, Mapping[str, str]]
) -> str:
    placed = Sdf.Path.absoluteRootPath
    left = dict(variants)
    for prefix in path.GetPrefixes():
        placed = placed.AppendChild(prefix.name)
        for variant_set, variant in left.pop(str(prefix), {}).items():
            placed = placed.AppendVariantSelection(variant_set, variant)
    if left or placed.isEmpty:
        raise _no_arc(target, kind, f"variants: not above {path}: {', '.join(left) or variants}")
    return str(placed)


def _problem(key: str, value: Any) -> str:
    """Return what was expected instead of *value*, or ""."""
    if key in _NUMBERS:
        return "" if isinstance(value, int | float) and not isinstance(value, bool) else "a number"
    if key == "position":
        return "" if isinstance(value, int) and not isinstance(value, bool) else "a whole number"
    if key == "variants":
        return "" if _are_variants(value) else "{prim path: {variant set: variant}}"
    if key == "field":
        is_list = isinstance(value, Sequence) and not isinstance(value, str)
        return "" if is_list and all(isinstance(each, str) for each in value) else "a list of texts"
    return "" if isinstance(value, str) else "a text"


def _are_variants(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(prim, str)
        and isinstance(selections, Mapping)
        and all(isinstance(each, str) for pair in selections.items() for each in pair)
        for prim, selections in value.items()
    )


def _first(mapping: Mapping[str, Any], *keys: str) -> Any:
    return next((mapping[key] for key in keys if key in mapping), "")


def _no_arc(target: str, kind: str, why: str) -> InvalidTraitsException:
    return InvalidTraitsException(
        f"the {kind or 'relationship'} to {target or 'nothing'} can't be written as an arc: {why}",
        asset_uri=target,
        code=Code.INVALID_TRAITS,
    )
