# SPDX-License-Identifier: Apache-2.0
"""
Versions as OpenAssetIO describes them: one small function for each trait.

A trait that has nothing to say is left out, which tells the host so; a property that isn't known is
not set. Properties are set by id and not through MediaCreation's views, which cost three times as much.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

from openassetio.trait import TraitsData

from bifrost.catalogue.records import VersionRecord, from_microseconds
from bifrost.manager import metadata, stages
from bifrost.manager.facts import Facts, Needs
from bifrost.manager.vocabulary import (
    ASSET_TYPE,
    DEPRECATION,
    ENTITY,
    FILE_INFO,
    FRAMES,
    LOCATION,
    MASKS,
    METADATA,
    METADATA_KEYS,
    NAME,
    ORIGINAL,
    PERMISSIONS,
    PREVIEW,
    SCHEMAS,
    SOURCE_PATH,
    SPATIAL,
    STAGE,
    STATUS,
    THUMBNAIL,
    VARIANT_SETS,
    VERSION,
    VERSION_INFO,
)
from bifrost.model.entity_reference import AssetReference, reference_for

Write = Callable[[TraitsData, AssetReference, VersionRecord, Facts], None]

_SHA256_DIGITS: Final = 64


class Writer(NamedTuple):
    """
    How a trait is filled.

    Attributes:
        write: Adds it to the data, or leaves it out.
        needs: What that is made from, besides the version's record.
        always: Whether every version has the trait.
    """

    write: Write
    needs: Needs = Needs.NOTHING
    always: bool = False


def writers_for(traits: AbstractSet[str]) -> tuple[list[Write], Needs]:
    """Return what fills *traits*, and what that needs."""
    needs, writes = Needs.NOTHING, []
    for trait, writer in WRITERS.items():
        if trait in traits:
            writes.append(writer.write)
            needs |= writer.needs
    others = traits - WRITERS.keys()
    if others:
        writes.append(partial(_as_published, others))
    return writes, needs


def traits_of(asked: AssetReference, record: VersionRecord, facts: Facts) -> set[str]:
    """Return what can be resolved of a version; *facts* has what `TRAITS_NEED`."""
    data = TraitsData()
    for write in _SOMETIMES:
        write(data, asked, record, facts)
    found: set[str] = data.traitSet()
    return found | _ALWAYS | facts.published(record).keys()


def _as_published(
    traits: AbstractSet[str],
    data: TraitsData,
    _asked: AssetReference,
    record: VersionRecord,
    facts: Facts,
) -> None:
    """Say again what the publisher said in traits that mean nothing to us."""
    published = facts.published(record)
    for trait in traits & published.keys():
        stages.repeat(data, trait, published[trait])


def iso(moment: datetime) -> str:
    """Return *moment* as OpenAssetIO's texts have times: ISO 8601, in UTC."""
    return moment.isoformat().replace("+00:00", "Z")


def _entity(data: TraitsData, _asked: AssetReference, _record: VersionRecord, _f: Facts) -> None:
    data.addTrait(ENTITY)


def _location(data: TraitsData, _asked: AssetReference, record: VersionRecord, _f: Facts) -> None:
    if record.location:
        data.setTraitProperty(LOCATION, "location", record.location)
        data.setTraitProperty(LOCATION, "isTemplated", record.templated)
        if record.mime_type:
            data.setTraitProperty(LOCATION, "mimeType", record.mime_type)


def _version(data: TraitsData, asked: AssetReference, record: VersionRecord, _f: Facts) -> None:
    data.setTraitProperty(VERSION, "specifiedTag", asked.version or "")
    data.setTraitProperty(VERSION, "stableTag", str(record.number))


def _name(data: TraitsData, _asked: AssetReference, record: VersionRecord, _f: Facts) -> None:
    data.setTraitProperty(NAME, "name", record.name)
    data.setTraitProperty(NAME, "qualifiedName", record.asset_id)


def _asset_type(data: TraitsData, _asked: AssetReference, record: VersionRecord, _f: Facts) -> None:
    data.setTraitProperty(ASSET_TYPE, "name", record.asset_type)


def _original(data: TraitsData, _asked: AssetReference, record: VersionRecord, _f: Facts) -> None:
    if record.location:
        data.addTrait(ORIGINAL)


def _file_info(data: TraitsData, _asked: AssetReference, record: VersionRecord, _f: Facts) -> None:
    if record.location:
        file_info(data, record.checksum, record.size)


def file_info(data: TraitsData, checksum: str, size: int) -> None:
    """Say what is known of a file; nothing where that is nothing."""
    if checksum:
        data.setTraitProperty(FILE_INFO, "checksum", checksum)
        if len(checksum) == _SHA256_DIGITS:
            data.setTraitProperty(FILE_INFO, "checksumAlgorithm", "sha256")
    if size:
        data.setTraitProperty(FILE_INFO, "size", size)


def _version_info(
    data: TraitsData, _asked: AssetReference, record: VersionRecord, _f: Facts
) -> None:
    data.setTraitProperty(VERSION_INFO, "number", record.number)
    data.setTraitProperty(VERSION_INFO, "created", iso(record.created))
    data.setTraitProperty(VERSION_INFO, "comment", record.comment)
    if record.created_by:
        data.setTraitProperty(VERSION_INFO, "author", record.created_by)
    if record.metadata_json != "{}":
        data.setTraitProperty(VERSION_INFO, "metadata", record.metadata_json)


def _status(data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts) -> None:
    status = facts.status(record)
    if status is None:
        return
    data.setTraitProperty(STATUS, "stage", status.status)
    data.setTraitProperty(STATUS, "moves", json.dumps(status.moves))
    moves = [
        {**move._asdict(), "at": iso(from_microseconds(move.at_us))} for move in status.history
    ]
    for move in moves:
        del move["at_us"]
    data.setTraitProperty(STATUS, "history", json.dumps(moves, ensure_ascii=False))
    if moves:
        last = moves[-1]
        for key, name in (("by", "changedBy"), ("at", "changedAt"), ("reason", "reason")):
            data.setTraitProperty(STATUS, name, last[key])


def _deprecation(
    data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts
) -> None:
    asset = facts.asset(record)
    if asset is not None and asset.deprecated:
        data.addTrait(DEPRECATION)


def _permissions(
    data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts
) -> None:
    for action in ("read", "write", "publish", "approve", "relate", "delete"):
        data.setTraitProperty(PERMISSIONS, action, facts.may(record, action))


def _metadata(
    data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts
) -> None:
    asset = facts.asset(record)
    if asset is not None:
        for key, value, _kind in metadata.flat(asset.metadata):
            data.setTraitProperty(METADATA, key, value)


def _metadata_keys(
    data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts
) -> None:
    asset = facts.asset(record)
    kinds = {key: kind for key, _, kind in metadata.flat(asset.metadata)} if asset else {}
    if kinds:
        data.setTraitProperty(METADATA_KEYS, "keys", json.dumps(kinds, ensure_ascii=False))


def _thumbnail(
    data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts
) -> None:
    picture = facts.representations(record).get("thumbnail")
    if picture is None:
        return
    reference = reference_for(record.asset_id, record.number, picture.name)
    data.setTraitProperty(THUMBNAIL, "reference", reference)
    for key in ("width", "height"):
        if isinstance(picture.properties.get(key), int):
            data.setTraitProperty(THUMBNAIL, key, picture.properties[key])


def _preview(data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts) -> None:
    preview = facts.representations(record).get("preview")
    if preview is not None:
        reference = reference_for(record.asset_id, record.number, preview.name)
        data.setTraitProperty(PREVIEW, "reference", reference)
        data.setTraitProperty(PREVIEW, "mimeType", preview.mime_type)


# In the order in which a person reads them; the first four are what opening a stage asks for.
WRITERS: Final[dict[str, Writer]] = {
    ENTITY: Writer(_entity, always=True),
    LOCATION: Writer(_location),
    VERSION: Writer(_version, always=True),
    NAME: Writer(_name, always=True),
    ASSET_TYPE: Writer(_asset_type, always=True),
    ORIGINAL: Writer(_original),
    FILE_INFO: Writer(_file_info),
    VERSION_INFO: Writer(_version_info, always=True),
    STATUS: Writer(_status, Needs.STATUSES, always=True),
    DEPRECATION: Writer(_deprecation, Needs.ASSETS),
    PERMISSIONS: Writer(_permissions, Needs.ACCESS, always=True),
    METADATA: Writer(_metadata, Needs.ASSETS),
    METADATA_KEYS: Writer(_metadata_keys, Needs.ASSETS),
    THUMBNAIL: Writer(_thumbnail, Needs.REPRESENTATIONS),
    PREVIEW: Writer(_preview, Needs.REPRESENTATIONS),
    FRAMES: Writer(stages.frames),
    SPATIAL: Writer(stages.spatial),
    SOURCE_PATH: Writer(stages.source_path),
    STAGE: Writer(stages.stage, Needs.ACCESS),
    MASKS: Writer(stages.masks),
    VARIANT_SETS: Writer(stages.variant_sets),
    SCHEMAS: Writer(stages.schemas),
}

_ALWAYS: Final = frozenset(trait for trait, writer in WRITERS.items() if writer.always)
_SOMETIMES: Final = [writer.write for writer in WRITERS.values() if not writer.always]
# Whether a version has a trait depends on no rule: `usd.Stage` says who may write, and is there anyway.
TRAITS_NEED: Final = Needs.ASSETS | Needs.REPRESENTATIONS
