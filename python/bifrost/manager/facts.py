# SPDX-License-Identifier: Apache-2.0
"""What a batch needs to know beyond its version records, read only where something asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, Final

from bifrost.catalogue.records import AssetRecord, Representation, VersionRecord
from bifrost.model.permissions import User

if TYPE_CHECKING:
    from bifrost.catalogue import Catalogue
    from bifrost.catalogue.access import Access
    from bifrost.catalogue.status import StatusRecord


class Needs(Flag):
    """What a trait is filled from, besides the version's own record."""

    NOTHING = 0
    ASSETS = auto()
    REPRESENTATIONS = auto()
    STATUSES = auto()
    ACCESS = auto()


_NO_REPRESENTATIONS: Final[Mapping[str, Representation]] = {}


class Facts:
    """
    What one batch needs. For one call, and one thread.

    Args:
        catalogue: Where it is read.
        user: Who asks.
        records: The versions of the batch.
        needs: What to read: one statement for each, however large the batch.
    """

    def __init__(
        self, catalogue: Catalogue, user: User, records: Iterable[VersionRecord], needs: Needs
    ) -> None:
        self._properties: dict[str, dict[str, Any]] = {}
        self._assets: dict[str, AssetRecord] = {}
        self._representations: dict[tuple[str, int], dict[str, Representation]] = {}
        self._statuses: dict[tuple[str, int], StatusRecord] = {}
        self._access: Access | None = None
        if needs is Needs.NOTHING:
            return
        versions = list(dict.fromkeys((record.asset_id, record.number) for record in records))
        if Needs.ASSETS in needs:
            self._assets = catalogue.found(dict.fromkeys(asset_id for asset_id, _ in versions))
        if Needs.REPRESENTATIONS in needs:
            self._representations = catalogue.representations(versions)
        if Needs.STATUSES in needs:
            self._statuses = catalogue.statuses(versions)
        if Needs.ACCESS in needs:
            self._access = catalogue.access(user, {asset_id for asset_id, _ in versions})

    def asset(self, record: VersionRecord) -> AssetRecord | None:
        """Return the version's asset; None where it was deleted a moment ago."""
        return self._assets.get(record.asset_id)

    def representations(self, record: VersionRecord) -> Mapping[str, Representation]:
        """Return the version's representations, by name."""
        return self._representations.get((record.asset_id, record.number), _NO_REPRESENTATIONS)

    def status(self, record: VersionRecord) -> StatusRecord | None:
        """Return where the version stands; None where it was deleted a moment ago."""
        return self._statuses.get((record.asset_id, record.number))

    def may(self, record: VersionRecord, action: str) -> bool:
        """Return whether who asks may do *action* with the version's asset."""
        return self._access is None or self._access.allow(record.asset_id, action)

    def properties(self, record: VersionRecord) -> dict[str, Any]:
        """Return what was read from the version's file; parsed once, so not to be changed."""
        text = record.properties_json
        found = self._properties.get(text)
        if found is None:
            found = self._properties[text] = _shaped(json.loads(text))
        return found

    def published(self, record: VersionRecord) -> dict[str, dict[str, Any]]:
        """Return the traits that the publisher gave and Bifrost has no place of its own for."""
        traits: dict[str, dict[str, Any]] = self.properties(record).get("traits") or {}
        return traits

    def stage(self, record: VersionRecord) -> dict[str, Any] | None:
        """Return what the version's USD stage is; None where its file is none."""
        stage: dict[str, Any] | None = self.properties(record).get("usd") or None
        return stage


def _shaped(properties: dict[str, Any]) -> dict[str, Any]:
    """Return *properties* without what has another shape than ours: a publisher may say anything."""
    for key in ("frames", "usd"):
        if not isinstance(properties.get(key, {}), dict):
            del properties[key]
    if "traits" in properties:
        properties["traits"] = _traits(properties["traits"])
    return properties


def _traits(pairs: Any) -> dict[str, dict[str, Any]]:
    try:
        found = {trait: dict(values) for trait, values in pairs}
    except (TypeError, ValueError):
        return {}
    return {
        trait: values
        for trait, values in found.items()
        if isinstance(trait, str)
        and all(isinstance(key, str) for key in values)
        and all(isinstance(value, (str, int, float)) for value in values.values())
    }
