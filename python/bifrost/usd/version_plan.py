# SPDX-License-Identifier: Apache-2.0
"""Which versions edited layers become, and which they were made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pxr import Sdf

from bifrost.catalogue import AssetRecord, Catalogue, VersionRecord
from bifrost.catalogue.records import file_of
from bifrost.catalogue.store import digest_of
from bifrost.errors import AssetNotFoundException, Code, ConflictException, not_found
from bifrost.forks import Mutex
from bifrost.model.entity_reference import LATEST, parse, reference_for
from bifrost.model.permissions import User
from bifrost.publishing import Draft
from bifrost.publishing.drafts import AS_IT_IS
from bifrost.usd.publish_units import Unit

_NEW_TYPE: Final = "layer"
# By the files of published versions, as which version this process published them last, and from which
# layer in memory: one that was closed and opened again is as its file says. Process-wide, as layers are.
_mutex: Final = Mutex()
_published: Final[dict[str, tuple[str, int, int]]] = {}


class Planned(NamedTuple):
    """
    What one unit becomes.

    Attributes:
        unit: The unit.
        number: The number of the version that it becomes.
        asset: The asset, if it is there.
        newest: Its newest version, if there is one.
    """

    unit: Unit
    number: int
    asset: AssetRecord | None
    newest: VersionRecord | None

    def draft(self, comment: str) -> Draft:
        """Return the draft of it, without its file."""
        unit, asset, newest = self.unit, self.asset, self.newest
        return Draft(
            unit.asset_id,
            asset.name if asset else unit.asset_id,
            asset.asset_type if asset else unit.asset_type or _NEW_TYPE,
            "",
            comment=comment,
            expected_version=newest.number if newest else 0,
            population_masks=newest.properties.get("populationMasks", {}) if newest else {},
            kept=AS_IT_IS if asset else (),
        )


class Plan:
    """
    What *units* become.

    Args:
        catalogue: The catalogue. It is asked a few questions, however many units there are.
        units: What is to be published.
        allow_outdated: Whether edits of another version than the newest become the next one.
        user: Who publishes, and may read what is suggested for an asset that is not there.

    Raises:
        AssetNotFoundException: an asset isn't there, and nobody said that it is new.
        ConflictException: two of them are the same asset; or one is there, and of another type.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        units: Sequence[Unit],
        *,
        allow_outdated: bool = False,
        user: User | None = None,
    ) -> None:
        self._catalogue, self._allow_outdated = catalogue, allow_outdated
        _check_different(units)
        ids = [unit.asset_id for unit in units]
        found = catalogue.found(ids)
        numbers = catalogue.next_numbers(ids)
        newest = catalogue.resolve([(asset_id, LATEST) for asset_id in ids])
        self._planned: dict[Unit, Planned] = {}
        self._numbers: dict[Unit, int] = {}
        self._by_id = {unit.asset_id: unit for unit in units}
        for unit, record in zip(units, newest, strict=True):
            _check_type(catalogue, unit, found.get(unit.asset_id), user)
            self._planned[unit] = Planned(
                unit,
                numbers[unit.asset_id],
                found.get(unit.asset_id),
                record if isinstance(record, VersionRecord) else None,
            )
            self._numbers[unit] = numbers[unit.asset_id]

    def of(self, unit: Unit) -> Planned:
        """Return what *unit*, one of those to be published, becomes."""
        return self._planned[unit]

    def number(self, unit: Unit) -> int | None:
        """Return the version that arcs to *unit* are to name; None where they stay as they are."""
        if unit in self._numbers:
            return self._numbers[unit]
        return unit.origin.number if unit.origin else None

    def unit_of(self, reference: str) -> Unit | None:
        """Return the unit of the asset whose newest version *reference* means; None where there is none."""
        parsed = parse(reference)
        if parsed.version not in (None, LATEST) or parsed.representation or parsed.publish:
            return None
        return self._by_id.get(parsed.asset_id)

    def is_there_already(self, unit: Unit, main: Path) -> bool:
        """
        Whether what was written for *unit* is its newest version; that is then what arcs name.

        What was published once from layers that are still edited in memory is.
        """
        newest = self._planned[unit].newest
        if newest is None or not _is_same(newest, main):
            return False
        self._numbers[unit] = newest.number
        return True

    def check_base(self, unit: Unit) -> None:
        """Raise `ConflictException` where *unit* was made of another version than the newest."""
        newest = self._planned[unit].newest
        if self._allow_outdated or newest is None or self._numbers[unit] == newest.number:
            return
        base = self._base(unit, newest)
        if base is not None and base != newest.number:
            raise ConflictException(
                f"{unit.name} was made of version {base} of {unit.asset_id}, which is at version "
                f"{newest.number}: look at what changed and edit that, or publish with "
                "allow_outdated=True",
                asset_uri=reference_for(unit.asset_id),
                code=Code.CONFLICT,
                details={"expected_version": base, "newest_version": newest.number},
            )

    def _base(self, unit: Unit, newest: VersionRecord) -> int | None:
        """Return the version that *unit* was made of; None where nobody knows."""
        if unit.origin is not None:
            return unit.origin.number if unit.origin.asset_id == unit.asset_id else None
        if not unit.is_published:
            return None
        with _mutex:
            asset_id, layer, number = _published.get(unit.path, ("", 0, 0))
        if asset_id == unit.asset_id and layer == _layer_at(unit.path):
            return number
        if file_of(newest.location) == Path(unit.path):
            return newest.number
        versions = self._catalogue.versions(unit.asset_id)
        return next((v.number for v in versions if file_of(v.location) == Path(unit.path)), None)


def note_published(unit: Unit, number: int) -> None:
    """Remember that what this process has of *unit* is version *number* now, whatever its file is."""
    if unit.is_published:
        with _mutex:
            _published[unit.path] = (unit.asset_id, _layer_at(unit.path), number)


def _layer_at(path: str) -> int:
    layer = Sdf.Layer.Find(path)
    return hash(layer) if layer else 0


def _is_same(newest: VersionRecord, main: Path) -> bool:
    if main.stat().st_size != newest.size or digest_of(main) != newest.checksum:
        return False
    folder = main.parent
    files = {each["name"]: each["checksum"] for each in newest.properties.get("files", ())}
    there = [path for path in folder.rglob("*") if path.is_file() and path != main]
    return len(there) == len(files) and all(
        files.get(path.relative_to(folder).as_posix()) == digest_of(path) for path in there
    )


def _check_different(units: Iterable[Unit]) -> None:
    by_id: dict[str, Unit] = {}
    for unit in units:
        other = by_id.setdefault(unit.asset_id, unit)
        if other is not unit:
            raise ConflictException(
                f"{other.name} and {unit.name} would both be the next version of {unit.asset_id}: "
                "undo the edits of one of them",
                asset_uri=reference_for(unit.asset_id),
                code=Code.CONFLICT,
            )


def _check_type(
    catalogue: Catalogue, unit: Unit, asset: AssetRecord | None, user: User | None
) -> None:
    if asset is None:
        if not unit.asset_type and not unit.is_given:
            raise _no_asset(catalogue, unit, user)
    elif unit.asset_type not in ("", asset.asset_type):
        raise ConflictException(
            f"{unit.asset_id} is there already, and a {asset.asset_type}, no {unit.asset_type}: choose "
            "another id, or leave out the type to make its next version",
            asset_uri=reference_for(unit.asset_id),
            code=Code.CONFLICT,
        )


def _no_asset(catalogue: Catalogue, unit: Unit, user: User | None) -> AssetNotFoundException:
    return not_found(
        f"the catalogue has no asset {unit.asset_id!r}: correct the reference, or say of which type the "
        f"new asset is: {reference_for(unit.asset_id)}?type=model",
        reference_for(unit.asset_id),
        map(reference_for, catalogue.suggestions(unit.asset_id, user=user)),
    )
