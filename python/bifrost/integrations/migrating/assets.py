# SPDX-License-Identifier: Apache-2.0
"""
Taking an old storage tree into the catalogue: ids, version numbers and dates stay, and so do the files.

A batch of assets is one transaction, and what is in the catalogue already is never written again: a run
that was killed is finished by the next one, and a run after the last finds nothing to do.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost.catalogue import Catalogue, Publication, VersionRecord
from bifrost.catalogue.store import digest_of
from bifrost.errors import AssetException, ConfigurationError
from bifrost.integrations.migrating.tree import OldAsset, OldVersion, Trouble, assets_in
from bifrost.model.entity_reference import reference_for
from bifrost.publishing.preparing import mime_type_of

Progress = Callable[[int, int | None], None]
"""Called on the calling thread with how many versions are done, and of how many."""

# What a kill may lose: so many versions, or so many bytes, that were read and not yet recorded.
_BATCH_VERSIONS: Final = 200
_BATCH_BYTES: Final = 1 << 30
_THREADS: Final = min(4, os.cpu_count() or 1)
_DEPENDENCY: Final = "dependency"
_PAGE: Final = 1_000
_LAYERS: Final = frozenset((".usd", ".usda", ".usdc"))
_OF_ASSETS: Final = ("description", "tags")
# What has no place of its own in the catalogue: kept as it was, under these names.
_KEPT: Final = {
    "status": "old_status",
    "thumbnail_path": "old_thumbnail_path",
    "created_at": "old_created_at",
    "modified_at": "old_modified_at",
}


@dataclass(slots=True)
class AssetReport:
    """
    What taking over a tree came to.

    Attributes:
        directory: The tree's absolute path.
        dry_run: Whether it was only looked at.
        assets: How many assets it has.
        registered: References to the versions that were registered, or would be.
        unchanged: How many versions the catalogue had already.
        relationships: How many relationships were added, or would be.
        redated: (reference, date) of versions older than their predecessors: the catalogue has them
            with their predecessor's date.
        left_out: (path, reason) of what is no version of an asset.
        troubles: (reference or path, reason) of what could not be taken over.
        seconds: How long it took.
    """

    directory: str
    dry_run: bool
    assets: int = 0
    registered: list[str] = field(default_factory=list)
    unchanged: int = 0
    relationships: int = 0
    redated: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[Trouble] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can say it."""
        return asdict(self)


def migrate(
    directory: str | os.PathLike[str],
    catalogue: Catalogue,
    *,
    records: Mapping[str, Mapping[str, Any]] | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> AssetReport:
    """
    Register every version in the old tree at *directory* that the catalogue doesn't have yet.

    Files are read once, for their checksums, and stay where they are. Any number of runs, one after the
    other or at once, come to what one does.

    Args:
        directory: The tree, `{directory}/{asset_id}/v{NNN}/…`.
        catalogue: Where to register.
        records: What is known of assets besides, by id: `tree.read_records`.
        dry_run: Look only.
        progress: Told how far it is.

    Raises:
        ConfigurationError: *directory* is no folder.
        CatalogueError: the catalogue can't be written to. What was registered before stays.
        OSError: *directory* can't be listed.
    """
    started = time.perf_counter()
    # Not `Path.resolve`: locations name links as they were given.
    root = Path(os.path.abspath(directory))  # noqa: PTH100
    if not root.is_dir():
        raise ConfigurationError(f"{os.fspath(directory)}: there is no such folder")
    report = AssetReport(str(root), dry_run)
    found = list(assets_in(root, records or {}, report.left_out))
    report.assets = len(found)
    _Run(catalogue, report, found, progress or _silent).run()
    report.seconds = round(time.perf_counter() - started, 3)
    return report


class _Wanted(NamedTuple):
    """A version that the catalogue doesn't have."""

    asset: OldAsset
    version: OldVersion
    size: int

    @property
    def reference(self) -> str:
        return reference_for(self.asset.asset_id, self.version.number)


class _Run:
    def __init__(
        self, catalogue: Catalogue, report: AssetReport, found: list[OldAsset], progress: Progress
    ) -> None:
        self._catalogue, self._report, self._found = catalogue, report, found
        self._progress = progress
        self._total = sum(len(asset.versions) for asset in found)
        self._done = 0

    def run(self) -> None:
        self._progress(0, self._total)
        for batch in self._batches():
            self._register(self._wanted(batch))
            self._done += sum(len(asset.versions) for asset in batch)
            self._progress(self._done, self._total)
        # Behind all versions: whoever is needed is there by then.
        for batch in self._batches():
            self._relate(batch)

    def _batches(self) -> Iterator[list[OldAsset]]:
        batch: list[OldAsset] = []
        versions = size = 0
        for asset in self._found:
            batch.append(asset)
            versions += len(asset.versions)
            size += sum(_size(version.file) or 0 for version in asset.versions)
            if versions >= _BATCH_VERSIONS or size >= _BATCH_BYTES:
                yield batch
                batch, versions, size = [], 0, 0
        if batch:
            yield batch

    def _wanted(self, batch: Sequence[OldAsset]) -> list[_Wanted]:
        """Return what of *batch* is to be registered; what can't be goes into the report."""
        pairs = [(asset, version) for asset in batch for version in asset.versions]
        queries = [(asset.asset_id, str(version.number)) for asset, version in pairs]
        known = dict(zip(queries, self._catalogue.resolve(queries), strict=True))
        following = self._catalogue.next_numbers(asset.asset_id for asset in batch)
        wanted: list[_Wanted] = []
        stopped: set[str] = set()
        for (asset, version), query in zip(pairs, queries, strict=True):
            there = known[query]
            size = _size(version.file)
            if isinstance(there, VersionRecord):
                self._compare(there, version, size)
            elif asset.asset_id in stopped:
                self._trouble(asset, version, "an earlier version can't be read: it waits for that")
            elif size is None:
                # A later version would close the door on this one.
                stopped.add(asset.asset_id)
                self._trouble(asset, version, f"{version.file} can't be read")
            elif version.number < following[asset.asset_id]:
                newest = following[asset.asset_id] - 1
                self._trouble(asset, version, f"the catalogue is at version {newest} already")
            else:
                wanted.append(_Wanted(asset, version, size))
        return wanted

    def _compare(self, there: VersionRecord, version: OldVersion, size: int | None) -> None:
        reference = reference_for(there.asset_id, there.number)
        if there.location != version.file.as_uri():
            why = f"the catalogue has another file for it, {there.location or 'none'}"
            self._report.troubles.append((reference, why))
        elif there.size != size:
            why = f"{version.file} is not what was registered any more"
            self._report.troubles.append((reference, why))
        else:
            self._report.unchanged += 1

    def _trouble(self, asset: OldAsset, version: OldVersion, why: str) -> None:
        self._report.troubles.append((reference_for(asset.asset_id, version.number), why))

    def _register(self, wanted: Sequence[_Wanted]) -> None:
        if self._report.dry_run:
            self._report.registered += [each.reference for each in wanted]
            return
        by_asset: dict[str, list[Publication]] = {}
        for each, checksum in self._digests(wanted):
            publications = by_asset.setdefault(each.asset.asset_id, [])
            if isinstance(checksum, OSError):
                self._trouble(each.asset, each.version, checksum.strerror or str(checksum))
                publications.append(_GAP)
            elif _GAP not in publications:
                publications.append(_publication(each, checksum))
        batch = [[each for each in all_of if each is not _GAP] for all_of in by_asset.values()]
        self._publish([each for each in batch if each])

    def _digests(self, wanted: Sequence[_Wanted]) -> Iterator[tuple[_Wanted, str | OSError]]:
        # Reading takes nearly all of the time: it is what the bar shows.
        with ThreadPoolExecutor(_THREADS) as pool:
            digests = pool.map(_digest_or_error, (each.version.file for each in wanted))
            for done, pair in enumerate(zip(wanted, digests, strict=True), 1):
                self._progress(self._done + done, self._total)
                yield pair

    def _publish(self, assets: Sequence[list[Publication]]) -> None:
        """Register the versions of some assets: all in one transaction, or each asset in its own."""
        if not assets:
            return
        try:
            self._record(
                self._catalogue.publish([each for asset in assets for each in asset]), assets
            )
        except AssetException as error:
            if len(assets) > 1:
                for asset in assets:
                    self._publish([asset])
            elif self._is_there(assets[0]):  # another run was faster
                self._report.unchanged += len(assets[0])
            else:
                what = reference_for(assets[0][0].asset_id)
                self._report.troubles.append((what, error.message))

    def _is_there(self, publications: Sequence[Publication]) -> bool:
        queries = [(each.asset_id, str(each.number)) for each in publications]
        found = self._catalogue.resolve(queries)
        return all(
            isinstance(there, VersionRecord) and there.location == Path(each.path).as_uri()
            for there, each in zip(found, publications, strict=True)
        )

    def _record(self, made: list[VersionRecord], assets: Sequence[list[Publication]]) -> None:
        asked = (each for asset in assets for each in asset)
        for record, publication in zip(made, asked, strict=True):
            reference = reference_for(record.asset_id, record.number)
            self._report.registered.append(reference)
            if record.created_us != publication.created_us:
                self._report.redated.append((reference, record.created.isoformat()))

    # Relationships

    def _relate(self, assets: Sequence[OldAsset]) -> None:
        wanted = {
            asset.asset_id: edges for asset in assets if (edges := _dependencies(asset.record))
        }
        there = self._related(list(wanted))
        for asset_id, edges in wanted.items():
            for (target, kind), is_optional in edges.items():
                if (target, kind) not in there[asset_id]:
                    self._add(asset_id, target, kind, is_optional)

    def _related(self, ids: Sequence[str]) -> dict[str, set[tuple[str, str]]]:
        """Return what each asset as a whole, no version of it, is related to: (id, kind)."""
        asked = [(asset_id, None) for asset_id in ids]
        pages = self._catalogue.relationships_of_each(asked, limit=_PAGE) if asked else []
        found: dict[str, set[tuple[str, str]]] = {}
        for asset_id, page in zip(ids, pages, strict=True):
            edges = list(page)
            if len(page) == _PAGE:
                edges += self._catalogue.every_relationship_of(asset_id, after=page[-1].cursor)
            found[asset_id] = {(edge.to_id, edge.kind) for edge in edges if not edge.from_number}
        return found

    def _add(self, source: str, target: str, kind: str, is_optional: bool) -> None:
        try:
            if not self._report.dry_run:
                ends = (source, None), (target, None)
                self._catalogue.add_relationship(*ends, kind, {"optional": is_optional})
            self._report.relationships += 1
        except AssetException as error:
            if (target, kind) not in self._related([source])[source]:
                what = f"{reference_for(source)} -> {reference_for(target)}"
                self._report.troubles.append((what, error.message))


_GAP: Final = Publication("", "", "", "")


def _dependencies(record: Mapping[str, Any]) -> dict[tuple[str, str], bool]:
    """Return what a record says that its asset needs, (id, kind), and whether it can do without."""
    listed = record.get("dependencies")
    found: dict[tuple[str, str], bool] = {}
    for each in listed if isinstance(listed, list) else ():
        target = each.get("dependent_asset_id") if isinstance(each, dict) else None
        if isinstance(target, str) and target:
            kind = str(each.get("dependency_type") or _DEPENDENCY)
            found.setdefault((target, kind), bool(each.get("optional")))
    return found


def _publication(wanted: _Wanted, checksum: str) -> Publication:
    asset, version, record = wanted.asset, wanted.version, wanted.asset.record
    mime_type = mime_type_of(version.file)
    return Publication(
        asset_id=asset.asset_id,
        name=_text(record, "name") or asset.asset_id,
        asset_type=_text(record, "asset_type") or _asset_type(version.file, mime_type),
        path=str(version.file),
        checksum=checksum,
        size=wanted.size,
        mime_type=mime_type,
        comment=version.comment,
        created_by=version.created_by,
        asset_metadata=_metadata(record),
        number=version.number,
        created_us=version.created_us,
    )


def _metadata(record: Mapping[str, Any]) -> dict[str, Any]:
    own = record.get("metadata")
    kept = {new: record[old] for old, new in _KEPT.items() if record.get(old)}
    said = {key: record[key] for key in _OF_ASSETS if record.get(key)}
    return {**(own if isinstance(own, dict) else {}), **kept, **said}


def _asset_type(file: Path, mime_type: str) -> str:
    if file.suffix.lower() in _LAYERS:
        return "layer"
    if file.suffix.lower() == ".usdz":
        return "package"
    return "texture" if mime_type.startswith("image/") else "resource"


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _size(file: Path) -> int | None:
    try:
        return file.stat().st_size
    except OSError:
        return None


def _digest_or_error(file: Path) -> str | OSError:
    try:
        return digest_of(file)
    except OSError as error:
        return error


def _silent(_: int, __: int | None) -> None:
    pass
