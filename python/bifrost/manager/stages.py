# SPDX-License-Identifier: Apache-2.0
"""
USD stages as OpenAssetIO describes them, from what was read of the file when it was published.

What no file says, because it is none of USD's, is what its publisher said.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from openassetio.trait import TraitsData

from bifrost.catalogue.records import VersionRecord
from bifrost.manager.facts import Facts
from bifrost.manager.vocabulary import (
    FRAMES,
    MASKS,
    SCHEMAS,
    SOURCE_PATH,
    SPATIAL,
    STAGE,
    VARIANT_SETS,
)
from bifrost.model.entity_reference import AssetReference

FRAME_KEYS: Final = {
    "startFrame": ("start", int),
    "endFrame": ("end", int),
    "inFrame": ("in", int),
    "outFrame": ("out", int),
    "step": ("step", int),
    "framesPerSecond": ("frames_per_second", float),
}
"""The properties of FrameRanged: the key of each in a version's `frames`, and its type."""

_STAGE_KEYS: Final = {
    "defaultPrim": ("default_prim", str),
    "upAxis": ("up_axis", str),
    "metersPerUnit": ("meters_per_unit", float),
    "startTimeCode": ("start_time_code", float),
    "endTimeCode": ("end_time_code", float),
    "timeCodesPerSecond": ("time_codes_per_second", float),
    "framesPerSecond": ("frames_per_second", float),
    "layers": ("layers", int),
    "prims": ("prims", int),
    "instances": ("instances", int),
    "references": ("references", int),
    "payloads": ("payloads", int),
}
_TOO_LARGE: Final = 1 << 63  # OpenAssetIO's integers have 64 bits


def as_property(value: Any, kind: type) -> Any:
    """Return *value* as a property of that type; None where it is none: a publisher may say anything."""
    if kind is str:
        return value if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        made = kind(value)
    except (OverflowError, ValueError):  # infinite, or no number
        return None
    return None if kind is int and (made != value or abs(made) >= _TOO_LARGE) else made


def repeat(data: TraitsData, trait: str, properties: dict[str, Any] | None) -> None:
    """Say what a publisher said; nothing where they said nothing."""
    if properties is None:
        return
    data.addTrait(trait)
    for key, value in properties.items():
        data.setTraitProperty(trait, key, value)


def frames(data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts) -> None:
    """Say which frames the content has values for, and how fast they are shown."""
    found = facts.properties(record).get("frames") or {}
    for name, (key, kind) in FRAME_KEYS.items():
        value = as_property(found.get(key), kind)
        if value is not None:
            data.setTraitProperty(FRAMES, name, value)


def spatial(data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts) -> None:
    """Say which way is up and how long a unit is; USD is right-handed."""
    described = facts.stage(record)
    if described is None:
        repeat(data, SPATIAL, facts.published(record).get(SPATIAL))
        return
    data.setTraitProperty(SPATIAL, "handedness", "right")
    if up_axis := as_property(described.get("up_axis"), str):
        data.setTraitProperty(SPATIAL, "upAxis", up_axis.lower())
    if meters := as_property(described.get("meters_per_unit"), float):
        data.setTraitProperty(SPATIAL, "metersPerUnit", meters)


def source_path(
    data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts
) -> None:
    """Say which prim to start from."""
    described = facts.stage(record)
    path = described and as_property(described.get("default_prim"), str)
    if path:
        data.setTraitProperty(SOURCE_PATH, "path", path)
    else:
        repeat(data, SOURCE_PATH, facts.published(record).get(SOURCE_PATH))


def stage(data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts) -> None:
    """Say how the stage is set up, how large it is, and whether it is accessible."""
    described = facts.stage(record)
    if described is None:
        return
    whole = not described.get("unresolved") and not described.get("problems")
    data.setTraitProperty(STAGE, "readable", whole)
    data.setTraitProperty(STAGE, "writable", facts.may(record, "publish"))
    for name, (key, kind) in _STAGE_KEYS.items():
        value = as_property(described.get(key), kind)
        if value is not None:
            data.setTraitProperty(STAGE, name, value)
    data.setTraitProperty(STAGE, "rootPrims", _json(described.get("root_prims", [])))
    if described.get("extent") is not None:
        data.setTraitProperty(STAGE, "extent", _json(described["extent"]))


def masks(data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts) -> None:
    """Say which selections of prims the publisher named."""
    found = facts.properties(record).get("populationMasks")
    if found:
        data.setTraitProperty(MASKS, "masks", _json(found))


def variant_sets(
    data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts
) -> None:
    """Say which variant sets there are; nothing where there are none."""
    described = facts.stage(record)
    if described is not None and described.get("variant_sets"):
        data.setTraitProperty(VARIANT_SETS, "variantSets", _json(described["variant_sets"]))


def schemas(data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts) -> None:
    """Say which schemas the prims have."""
    described = facts.stage(record)
    if described is None:
        return
    prims = described.get("root_prims")
    kinds = Counter(
        str(prim["kind"])
        for prim in (prims if isinstance(prims, list) else [])
        if isinstance(prim, dict) and prim.get("kind")
    )
    data.setTraitProperty(SCHEMAS, "typed", _json(described.get("schemas", {})))
    data.setTraitProperty(SCHEMAS, "applied", _json(described.get("applied_schemas", {})))
    data.setTraitProperty(SCHEMAS, "kinds", _json(kinds))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
