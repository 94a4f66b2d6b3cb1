# SPDX-License-Identifier: Apache-2.0
"""
Bringing a folder of real files into the catalogue.

Every file becomes an asset with a version: where it lies, or, with `rewrite`, as a read-only copy
in which every asset path between the files is an entity reference. What layers name becomes their
dependencies.

The copy keeps the folder's tree and names, so that whatever stays a relative path (in formats that
USD can't write, in paths whose target is missing) means the same there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from bifrost.catalogue import Catalogue, Publication, VersionRecord
from bifrost.catalogue.records import file_of
from bifrost.context import login_name
from bifrost.errors import ConfigurationError
from bifrost.model.entity_reference import reference_for
from bifrost.publishing.preparing import mime_type_of
from bifrost.usd.copying import Copy, Made, UnreadableSource
from bifrost.usd.folder import Folder, asset_ids, id_candidates
from bifrost.usd.linking import Linking
from bifrost.usd.survey import (
    PACKAGE,
    Progress,
    Survey,
    digest_of_tiles,
    extension,
    in_threads,
    survey,
)


@dataclass(frozen=True, slots=True)
class IngestReport:
    """
    What an ingest found and did. Names are relative to the folder, with `/` between the parts.

    Attributes:
        directory: The folder's absolute path.
        out: The absolute path of the rewritten copy, or "".
        assets: How many assets the folder's files are, UDIM sets included.
        layers: How many of the files USD could read as layers.
        published: Pinned references to the versions that were made.
        unchanged: How many assets have the content and the dependencies they had before.
        dependencies: How many dependencies the assets' newest versions have.
        roots: Layers that name others and that none names: what one would open.
        missing: (layer, path) of the paths that lead to nothing. They stay as they are, but that the
            copy has those absolute that lead out of the folder.
        outside: (layer, path) of the paths that lead out of the folder. The copy has them absolute, but
            for those that the search path finds.
        untouched: (layer, path, reason) of the paths that could not be rewritten, or not be pinned, or
            for which the copy has files that are gone from the folder.
        superseded: (file, reference) of files that are what they were when they were ingested last, and
            of whose assets somebody published another version since. That one stays the newest.
        unreadable: (file, reason) of files that could not be read, or not as layers.
        left_out: (file, reason) of what was not registered at all.
        seconds: How long it took.
    """

    directory: str
    out: str
    assets: int
    layers: int
    published: tuple[str, ...]
    unchanged: int
    dependencies: int
    roots: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]
    outside: tuple[tuple[str, str], ...]
    untouched: tuple[tuple[str, str, str], ...]
    superseded: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    left_out: tuple[tuple[str, str], ...]
    seconds: float

    @property
    def new_versions(self) -> int:
        """How many versions were made."""
        return len(self.published)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON can say it."""
        return {**asdict(self), "new_versions": self.new_versions}


def ingest(
    directory: str | os.PathLike[str],
    catalogue: Catalogue,
    *,
    rewrite: str | os.PathLike[str] | None = None,
    pin: bool = False,
    progress: Progress | None = None,
) -> IngestReport:
    """
    Register every file under *directory*; a second run makes versions only of what changed.

    Without *rewrite* no byte and no mode of any file changes. With it, the copy's files are the
    assets' locations. They hold the newest version's content: a re-run replaces what changed.

    Args:
        directory: The folder.
        catalogue: Where to register.
        rewrite: The folder of the copy. Each file in it is replaced whole or not at all.
        pin: Whether references name the version that they mean today; those in a circle float.
        progress: Told how far it is.

    Raises:
        ConfigurationError: *directory* is no folder, or *rewrite* can't be the copy's.
        CatalogueError: the catalogue can't be written to.
        OSError: the copy can't be written.
    """
    started = time.perf_counter()
    if not Path(directory).is_dir():
        raise ConfigurationError(f"{os.fspath(directory)}: there is no such folder to ingest")
    folder = Folder(directory)
    # Not `Path.resolve`: locations name links as they were given.
    out = None if rewrite is None else Path(os.path.abspath(rewrite))  # noqa: PTH100
    copy = None if out is None else Copy(out, folder)
    progress = progress or _silent
    run = _Run(survey(folder, progress), catalogue, copy, pin)
    if copy is not None:
        copy.refuse_foreign(run.files, run.is_copied)
    with copy or contextlib.nullcontext():
        run.register(progress)
    return run.report(time.perf_counter() - started)


class _Run:
    """One ingest, from the survey on."""

    def __init__(self, found: Survey, catalogue: Catalogue, copy: Copy | None, pin: bool) -> None:
        self._survey, self._catalogue, self._copy = found, catalogue, copy
        self._newest: dict[str, VersionRecord] = {}
        self._before: dict[str, VersionRecord] = {}
        self._ids = self._identified()
        held = copy.held if copy else lambda _: []
        self._linking = Linking(found, self._ids, catalogue, pin=pin, held=held)
        self._made: dict[str, Made] = {}
        self._records: list[VersionRecord] = []
        self._superseded: list[str] = []
        self._edges = 0
        self._user = login_name()
        self._total = len(self._ids)

    @property
    def files(self) -> list[str]:
        """The files that could be read."""
        return [name for name in self._ids if name in self._survey.folder.files]

    def is_copied(self, name: str) -> bool:
        """Whether some version of the asset has its file where the copy has this one."""
        if self._copy is None:
            return False
        path = Path(self._copy.path(name))
        if name not in self._before:  # a file that has become a folder
            return bool(self._catalogue.located([path.as_uri()]))
        newest = self._before[name]
        return path == file_of(newest.location) or any(
            path == file_of(version.location)
            for version in self._catalogue.versions(newest.asset_id)
        )

    def register(self, progress: Progress) -> None:
        """Make the copy, if there is to be one, and publish every file."""
        for batch in self._linking.batches():
            self._make_all([name for name in batch if name in self._survey.folder.files], progress)
            progress("registering", len(self._made), self._total)
            there = [name for name in batch if name in self._ids]
            self._publish({name: self._publication(name) for name in there})
        progress("registering", self._total, self._total)

    def _make_all(self, files: list[str], progress: Progress) -> None:
        """Make *files*. What can't be read any more is dropped, and what names it made again."""
        while files:
            lost: dict[str, str] = {}
            for name, made in zip(files, in_threads(self._make, files), strict=True):
                progress(
                    "writing files" if self._copy else "preparing", len(self._made), self._total
                )
                if isinstance(made, Made):
                    self._made[name] = made
                else:
                    lost[name] = made
            if not lost:
                return
            known = {name for name, _ in self._survey.unreadable}
            self._survey.unreadable.extend(each for each in lost.items() if each[0] not in known)
            dropped = self._linking.drop(lost, self._catalogue)
            graph = self._linking.graph
            files = [each for each in files if each not in lost and dropped & set(graph[each])]

    def _publish(self, publications: dict[str, Publication]) -> None:
        kept = [name for name, each in publications.items() if self._is_superseded(name, each)]
        records = {name: self._before[name] for name in kept}
        rest = {name: each for name, each in publications.items() if name not in records}
        records.update(zip(rest, self._catalogue.publish(list(rest.values())), strict=True))
        for name, record in records.items():
            self._linking.published(name, record.number)
        self._records += records.values()
        self._superseded += kept

    def _is_superseded(self, name: str, publication: Publication) -> bool:
        """Whether nothing changed since the last ingest, and somebody else's version came after it."""
        before = self._before.get(name)
        if before is None or before.number == self._newest[name].number:
            return False
        was = file_of(before.location), before.checksum, before.templated
        if was != (Path(publication.path), publication.checksum, publication.templated):
            return False
        needed = self._catalogue.dependencies(before.asset_id, before.number)
        return needed == list(publication.dependencies)

    def report(self, seconds: float) -> IngestReport:
        """Return what was found and done."""
        folder, linking = self._survey.folder, self._linking
        published = [reference_for(rec.asset_id, rec.number) for rec in self._records if rec.is_new]
        untouched = {*linking.untouched(copied=self._copy is not None), *self._templates_left()}
        return IngestReport(
            directory=folder.root,
            out=str(self._copy.out) if self._copy else "",
            assets=len(self._ids),
            layers=len(self._survey.links),
            published=tuple(published),
            unchanged=len(self._records) - len(published),
            dependencies=self._edges,
            roots=tuple(linking.roots()),
            missing=tuple(sorted(set(linking.missing(self._catalogue)))),
            outside=tuple(sorted(set(linking.outside()))),
            untouched=tuple(sorted(untouched)),
            superseded=tuple(sorted(self._references_to_newest(self._superseded))),
            unreadable=tuple(sorted(self._survey.unreadable)),
            left_out=tuple(sorted(folder.left_out)),
            seconds=round(seconds, 3),
        )

    def _identified(self) -> dict[str, str]:
        names = list(self._survey.checksums)
        asked = list(dict.fromkeys(each for name in names for each in id_candidates(name)))
        outcomes = self._catalogue.resolve([(asset_id, None) for asset_id in asked])
        known = {out.asset_id: out for out in outcomes if isinstance(out, VersionRecord)}
        ingested = {asset_id: self._last_ingested(record) for asset_id, record in known.items()}
        owners = {asset_id: record.metadata.get("source") for asset_id, record in ingested.items()}
        ids = asset_ids(names, owners.get)
        self._newest = {name: known[each] for name, each in ids.items() if each in known}
        self._before = {name: ingested[record.asset_id] for name, record in self._newest.items()}
        return ids

    def _last_ingested(self, newest: VersionRecord) -> VersionRecord:
        """Return the last version that an ingest made of *newest*'s asset; if none did, *newest*."""
        if "source" in newest.metadata:
            return newest
        versions = self._catalogue.versions(newest.asset_id)
        return next((each for each in versions if "source" in each.metadata), newest)

    def _references_to_newest(self, names: list[str]) -> Iterator[tuple[str, str]]:
        for name in names:
            newest = self._newest[name]
            yield name, reference_for(newest.asset_id, newest.number)

    def _make(self, name: str) -> Made | str:
        """Return what became of a file; a text says why it can't be read."""
        checksum = self._survey.checksums[name]
        if self._copy is None:
            return Made(checksum, self._survey.folder.files[name].size, {"source": name}, [])
        before = self._before.get(name)
        known = before and {**before.metadata, "checksum": before.checksum}
        try:
            edits, templates = self._linking.edits(name), self._linking.templates(name)
            return self._copy.make(name, checksum, edits, templates, known)
        except UnreadableSource as error:
            return str(error)

    def _publication(self, name: str) -> Publication:
        folder = self._survey.folder
        templated = name not in folder.files
        made = self._tiles_made(name) if templated else self._made[name]
        mime_type = _mime_type(name)
        dependencies = self._linking.dependencies(name)
        self._edges += len(dependencies)
        return Publication(
            asset_id=self._ids[name],
            name=PurePosixPath(name).stem,
            asset_type=self._asset_type(name, mime_type),
            path=str(self._copy.path(name)) if self._copy else folder.path(name),
            checksum=made.checksum,
            size=made.size,
            mime_type=mime_type,
            templated=templated,
            dependencies=dependencies,
            comment=f"ingested from {folder.path(name)}",
            created_by=self._user,
            metadata=made.origin,
        )

    def _tiles_made(self, pattern: str) -> Made:
        tiles = [tile for tile in self._survey.folder.tiles(pattern) if tile in self._made]
        checksum = digest_of_tiles((tile, self._made[tile].checksum) for tile in tiles)
        size = sum(self._made[tile].size for tile in tiles)
        return Made(checksum, size, {"source": pattern}, [])

    def _asset_type(self, name: str, mime_type: str) -> str:
        if name in self._survey.links:
            return "package" if extension(name) == PACKAGE else "layer"
        return "texture" if mime_type.startswith("image/") else "resource"

    def _templates_left(self) -> Iterator[tuple[str, str, str]]:
        for layer, made in self._made.items():
            may = self._linking.templates(layer) if made.left else {}
            for template in made.left:
                why = "without start, end and stride beside it"
                if not may.get(template, True):
                    why = "of which another layer or prim may say more"
                yield layer, template, f"a clip template {why}"


def _mime_type(name: str) -> str:
    return mime_type_of(PurePosixPath(name)) or "application/octet-stream"


def _silent(_: str, __: int, ___: int) -> None:
    pass
