# SPDX-License-Identifier: Apache-2.0
"""Other files that stand for a version, as entities of their own: `?representation=thumbnail`."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from openassetio.trait import TraitsData

from bifrost.catalogue.records import Representation, VersionRecord, shown
from bifrost.manager.facts import Facts
from bifrost.manager.questions import Code, Unanswerable
from bifrost.manager.vocabulary import (
    ENTITY,
    FILE_INFO,
    IMAGE,
    LOCATION,
    NAME,
    PIXELS,
    PROXY,
    REPRESENTATION,
    VERSION,
)
from bifrost.manager.writers import file_info
from bifrost.model.entity_reference import AssetReference, reference_for

Write = Callable[[TraitsData, AssetReference, VersionRecord, Representation], None]


def chosen(
    asked: AssetReference, record: VersionRecord, facts: Facts
) -> Representation | Unanswerable:
    """Return the representation that was asked for, or why there is none."""
    there = facts.representations(record)
    name = asked.representation or ""
    if name in there:
        return there[name]
    message = (
        f"version {record.number} of asset {shown(record.asset_id)} has no representation "
        f"{name!r}; it has {', '.join(there) or 'none'}"
    )
    return Unanswerable(Code.kEntityResolutionError, message)


def traits_of(
    asked: AssetReference, record: VersionRecord, representation: Representation
) -> set[str]:
    """Return what can be resolved of a representation."""
    data = TraitsData()
    for write in WRITERS.values():
        write(data, asked, record, representation)
    found: set[str] = data.traitSet()
    return found


def described(
    asked: AssetReference, record: VersionRecord, facts: Facts, traits: AbstractSet[str]
) -> TraitsData | Unanswerable:
    """Return what *traits* say of the representation that was asked for, or why there is none."""
    representation = chosen(asked, record, facts)
    if isinstance(representation, Unanswerable):
        return representation
    data = TraitsData()
    for trait, write in WRITERS.items():
        if trait in traits:
            write(data, asked, record, representation)
    return data


def is_image(representation: Representation) -> bool:
    """Whether it is a picture, and no layer or anything else."""
    return representation.mime_type.startswith("image/")


def _entity(data: TraitsData, _a: AssetReference, _v: VersionRecord, _r: Representation) -> None:
    data.addTrait(ENTITY)


def _location(data: TraitsData, _a: AssetReference, _v: VersionRecord, of: Representation) -> None:
    data.setTraitProperty(LOCATION, "location", of.location)
    data.setTraitProperty(LOCATION, "isTemplated", False)
    if of.mime_type:
        data.setTraitProperty(LOCATION, "mimeType", of.mime_type)


def _version(
    data: TraitsData, asked: AssetReference, record: VersionRecord, _r: Representation
) -> None:
    data.setTraitProperty(VERSION, "specifiedTag", asked.version or "")
    data.setTraitProperty(VERSION, "stableTag", str(record.number))


def _name(data: TraitsData, _a: AssetReference, record: VersionRecord, of: Representation) -> None:
    data.setTraitProperty(NAME, "name", record.name)
    data.setTraitProperty(NAME, "qualifiedName", f"{record.asset_id} {of.name}")


def _file_info(data: TraitsData, _a: AssetReference, _v: VersionRecord, of: Representation) -> None:
    file_info(data, of.checksum, of.size)


def _representation(
    data: TraitsData, _a: AssetReference, record: VersionRecord, of: Representation
) -> None:
    data.setTraitProperty(REPRESENTATION, "name", of.name)
    original = reference_for(record.asset_id, record.number)
    data.setTraitProperty(REPRESENTATION, "original", original)
    if isinstance(of.properties.get("generator"), str):
        data.setTraitProperty(REPRESENTATION, "generator", of.properties["generator"])


def _proxy(data: TraitsData, _a: AssetReference, _v: VersionRecord, of: Representation) -> None:
    # A picture of a model has not the model's content: it is none of MediaCreation's proxies.
    if of.name == "preview" and not is_image(of):
        data.setTraitProperty(PROXY, "label", of.name)


def _image(data: TraitsData, _a: AssetReference, _v: VersionRecord, of: Representation) -> None:
    if is_image(of):
        data.addTrait(IMAGE)


def _pixels(data: TraitsData, _a: AssetReference, _v: VersionRecord, of: Representation) -> None:
    width, height = of.properties.get("width"), of.properties.get("height")
    if is_image(of) and isinstance(width, int) and isinstance(height, int):
        data.setTraitProperty(PIXELS, "displayWindowWidth", width)
        data.setTraitProperty(PIXELS, "displayWindowHeight", height)
        data.setTraitProperty(PIXELS, "pixelAspectRatio", 1.0)


WRITERS: Final[dict[str, Write]] = {
    ENTITY: _entity,
    LOCATION: _location,
    VERSION: _version,
    NAME: _name,
    FILE_INFO: _file_info,
    REPRESENTATION: _representation,
    PROXY: _proxy,
    IMAGE: _image,
    PIXELS: _pixels,
}
