# SPDX-License-Identifier: Apache-2.0
"""
The trait names of earlier releases, which hosts may still ask `resolve` for.

They are filled as they were: flat texts, and paths where MediaCreation's traits have URLs. No entity
lists them as its traits, and no policy names them.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from openassetio.trait import TraitsData
from openassetio.utils import FileUrlPathConverter

from bifrost import deprecation
from bifrost.catalogue.records import VersionRecord
from bifrost.manager import writers
from bifrost.manager.facts import Facts, Needs
from bifrost.manager.vocabulary import LOCATION, NAME, PERMISSIONS, THUMBNAIL, VERSION
from bifrost.manager.writers import Write, Writer, iso
from bifrost.model.entity_reference import AssetReference

LOCATABLE: Final = "locatableContent"
VERSIONED: Final = "versionedContent"
DEFAULT_NAME: Final = "defaultName"
DEFAULT_THUMBNAIL: Final = "defaultThumbnail"
MANAGEMENT_POLICY: Final = "managementPolicy"

REPLACED_BY: Final = {
    LOCATABLE: LOCATION,
    VERSIONED: VERSION,
    DEFAULT_NAME: NAME,
    DEFAULT_THUMBNAIL: THUMBNAIL,
    MANAGEMENT_POLICY: PERMISSIONS,
}
"""For each old name the trait to ask for instead."""

ALLOWED: Final = {"canUpdate": "write", "canDelete": "delete", "canModifyRelationships": "relate"}
"""The properties of `managementPolicy`, and the permission that each stands for."""


def warn_of(traits: AbstractSet[str]) -> None:
    """Warn of the old names among *traits*, at the line that asked."""
    for trait in sorted(traits & REPLACED_BY.keys()):
        deprecation.warn(deprecation.message(trait, REPLACED_BY[trait]))


def writers_for(traits: AbstractSet[str]) -> tuple[list[Write], Needs]:
    """Return what fills *traits*, old names among them, and what that needs."""
    writes, needs = writers.writers_for(traits)
    for trait in traits & REPLACED_BY.keys():
        writes.append(_WRITERS[trait].write)
        needs |= _WRITERS[trait].needs
    return writes, needs


def _location(data: TraitsData, _asked: AssetReference, record: VersionRecord, _f: Facts) -> None:
    if record.location:
        data.setTraitProperty(LOCATABLE, "location", _path(record.location))


def _version(data: TraitsData, _asked: AssetReference, record: VersionRecord, _f: Facts) -> None:
    data.setTraitProperty(VERSIONED, "version", str(record.number))
    data.setTraitProperty(VERSIONED, "created", iso(record.created))
    data.setTraitProperty(VERSIONED, "createdBy", record.created_by)
    data.setTraitProperty(VERSIONED, "comment", record.comment)


def _name(data: TraitsData, _asked: AssetReference, record: VersionRecord, _f: Facts) -> None:
    data.setTraitProperty(DEFAULT_NAME, "name", record.name)


def _thumbnail(
    data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts
) -> None:
    picture = facts.representations(record).get("thumbnail")
    if picture is not None:
        data.setTraitProperty(DEFAULT_THUMBNAIL, "thumbnail", _path(picture.location))


def _policy(data: TraitsData, _asked: AssetReference, record: VersionRecord, facts: Facts) -> None:
    for key, permission in ALLOWED.items():
        data.setTraitProperty(MANAGEMENT_POLICY, key, facts.may(record, permission))


def _path(url: str) -> str:
    return str(FileUrlPathConverter().pathFromUrl(url))


_WRITERS: Final = {
    LOCATABLE: Writer(_location),
    VERSIONED: Writer(_version),
    DEFAULT_NAME: Writer(_name),
    DEFAULT_THUMBNAIL: Writer(_thumbnail, Needs.REPRESENTATIONS),
    MANAGEMENT_POLICY: Writer(_policy, Needs.ACCESS),
}
