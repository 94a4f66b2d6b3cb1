# SPDX-License-Identifier: Apache-2.0
"""
Writing versions. Each is written once, and a batch is written whole or not at all.

A batch is checked (`checks.checked`), then planned against what is there (`_Plan`), then written with one
statement for each table, however large it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from bifrost.catalogue import assets as reading
from bifrost.catalogue import indexing, relationships
from bifrost.catalogue.checks import Checked, metadata_json
from bifrost.catalogue.edge_values import STRENGTHS
from bifrost.catalogue.records import (
    NEWEST,
    AssetRecord,
    Dependency,
    Publication,
    Staged,
    VersionRecord,
    shown,
)
from bifrost.catalogue.schema import assets, changes, versions
from bifrost.catalogue.schema import relationships as edges_table
from bifrost.catalogue.store import Store, unusable
from bifrost.catalogue.strengths import DEFAULTS, Strengths, strength_of
from bifrost.errors import (
    AssetNotFoundException,
    Code,
    ConflictException,
)
from bifrost.model.entity_reference import LATEST, reference_for
from bifrost.model.permissions import User

_PLACING: Final = 16


def publish(
    connection: sa.Connection,
    batch: Sequence[Checked],
    now_us: int,
    store: Store,
    first_stage: str,
    strengths: Strengths = DEFAULTS,
    *,
    user: User | None = None,
) -> tuple[list[VersionRecord], Placed]:
    """
    Write *batch* within the caller's transaction; return one record for each, and what was placed.

    A publication that changes nothing makes no version: its record is the newest one's. Staged files
    are put in place last, when nothing else can fail but the database. Suggestions are of what *user*
    may read.

    Raises:
        AssetNotFoundException: a dependency names what is neither there nor in the batch.
        ConflictException: an `expected_version` is no longer the newest.
        StorageException: files can't be put in place. What was placed is taken back.
    """
    plan = _Plan(connection, batch, now_us, store, first_stage, strengths, user=user)
    records = [plan.add(item) for item in batch]
    # Answered only where the transaction is alive, and with it the lock.
    placed = Placed(store, plan.moves, lambda: connection.execute(sa.select(1)))
    try:
        placed.place()
        plan.write()
    except BaseException:
        placed.take_back()
        raise
    return records, placed


class Placed:
    """
    The files that a batch put in place, for taking them back when its transaction is undone.

    A server that ends the connection lets go of the lock, and whoever held it learns of it with the
    next statement. So nothing that lies in a place is overwritten; it is moved only where
    *check_locked* doesn't raise, and comes back when the transaction fails.
    """

    def __init__(
        self,
        store: Store,
        moves: Sequence[tuple[Staged, str, int]],
        check_locked: Callable[[], object],
    ) -> None:
        self._store = store
        self._moves = moves
        self._check_locked = check_locked
        self._done: list[tuple[Staged, str, int]] = []
        self._occupied: list[tuple[Staged, str, int]] = []
        self._displaced: list[tuple[Path, Path]] = []

    def place(self) -> None:
        """Rename every staged folder to its place."""
        if len(self._moves) < 2:  # no threads: a process that ends has none to give any more
            for move in self._moves:
                self._place(move)
        else:
            # Each waits for the disk, which takes many at once. All are tried, so that `_done` has all.
            with ThreadPoolExecutor(_PLACING) as pool:
                list(pool.map(self._place, self._moves))
        for move in self._occupied:
            self._displace(move)

    def _place(self, move: tuple[Staged, str, int]) -> None:
        try:
            self._store.place(*move)
        except FileExistsError:
            self._occupied.append(move)
        else:
            self._done.append(move)

    def _displace(self, move: tuple[Staged, str, int]) -> None:
        """Place *move* where a publish that crashed has left its files."""
        staged, asset_id, number = move
        folder = self._store.folder_of(asset_id, number)
        self._check_locked()
        try:
            self._displaced.append((self._store.put_back(folder), folder))
            self._store.place(staged, asset_id, number)
        except OSError as error:
            raise unusable(error) from error
        self._done.append(move)

    def take_back(self) -> None:
        """Rename what was placed back to where it was staged, and what gave way for it into its place."""
        while self._done:
            self._store.take_back(*self._done.pop())
        while self._displaced:
            self._store.put_again(*self._displaced.pop())


class _Plan:
    """What a batch comes to, given what is there. The caller holds the write lock."""

    def __init__(
        self,
        connection: sa.Connection,
        batch: Sequence[Checked],
        now_us: int,
        store: Store,
        first_stage: str,
        strengths: Strengths,
        *,
        user: User | None,
    ) -> None:
        self._connection = connection
        self._user = user
        self._now_us = now_us
        self._store = store
        self._first_stage = first_stage
        self._strengths = strengths
        self.moves: list[tuple[Staged, str, int]] = []
        ids = list(dict.fromkeys(item.publication.asset_id for item in batch))
        self._assets = reading.found(connection, ids)
        self._there = dict(self._assets)
        self._newest = _newest(connection, ids)
        self._published = dict(self._newest)
        fresh = [asset_id for asset_id in ids if asset_id not in self._there]
        self._last = reading.last_deleted(connection, fresh) if fresh else {}
        self._edges = {
            asset_id: tuple(edges)
            for asset_id, edges in relationships.latest_dependencies(
                connection, self._newest
            ).items()
        }
        self._versions: list[tuple[VersionRecord, tuple[Dependency, ...]]] = []
        self._changed: dict[str, None] = {}

    def add(self, item: Checked) -> VersionRecord:
        """Return the version that *item* becomes, or the newest one where nothing changed."""
        asset_id = item.publication.asset_id
        item = self._with_what_is_kept(item)
        newest = self._newest.get(asset_id)
        _check_expected(item.publication, newest)
        if newest is not None and item.publication.number is None and self._is_same(newest, item):
            publication = item.publication
            record = newest._replace(name=publication.name, asset_type=publication.asset_type)
        else:
            record = self._next(newest, item)
            self._versions.append((record, item.dependencies))
            self._edges[asset_id] = item.dependencies
        self._record_asset(record, item)
        self._newest[asset_id] = record._replace(is_new=False)
        return record

    def _with_what_is_kept(self, item: Checked) -> Checked:
        publication, there = item.publication, self._assets.get(item.publication.asset_id)
        if there is None or not publication.kept:
            return item
        if "name" in publication.kept:
            publication = publication._replace(name=there.name)
        if "asset_type" in publication.kept:
            publication = publication._replace(asset_type=there.asset_type)
        return item._replace(publication=publication)

    def _record_asset(self, record: VersionRecord, item: Checked) -> None:
        before = self._assets.get(record.asset_id)
        metadata = before.metadata_json if before else "{}"
        if item.asset_metadata:
            merged = {**json.loads(metadata), **item.asset_metadata}
            metadata = metadata_json(record.asset_id, merged)
        after = AssetRecord(
            record.asset_id,
            record.name,
            record.asset_type,
            before.created_us if before else record.created_us,
            record.number,
            max(before.modified_us if before else 0, self._time(item)),
            before.created_by if before else record.created_by,
            before.deprecated if before else False,
            before.status if before and not record.is_new else self._first_stage,
            metadata,
        )
        if (
            before is None
            or record.is_new
            or after._replace(modified_us=0) != before._replace(modified_us=0)
        ):
            self._assets[record.asset_id] = after
            self._changed[record.asset_id] = None

    def _is_same(self, newest: VersionRecord, item: Checked) -> bool:
        publication = item.publication
        if publication.staged is None and newest.location != item.location:
            return False
        return (
            newest.checksum == publication.checksum
            and newest.templated == publication.templated
            and newest.properties.get("files") == publication.properties.get("files")
            and _says_nothing_new(publication, newest)
            and self._edges.get(newest.asset_id, ()) == item.dependencies
        )

    def _next(self, newest: VersionRecord | None, item: Checked) -> VersionRecord:
        publication = item.publication
        number = self._number(newest, publication)
        return VersionRecord(
            asset_id=publication.asset_id,
            number=number,
            name=publication.name,
            asset_type=publication.asset_type,
            location=self._location(item, number),
            mime_type=publication.mime_type,
            templated=publication.templated,
            size=publication.size,
            checksum=publication.checksum,
            # A clock that was set back must not put a version before its predecessor.
            created_us=max(self._time(item), newest.created_us) if newest else self._time(item),
            created_by=publication.created_by,
            comment=publication.comment,
            metadata_json=item.metadata_json,
            properties_json=item.properties_json,
            is_new=True,
        )

    def _number(self, newest: VersionRecord | None, publication: Publication) -> int:
        last = newest.number if newest else self._last.get(publication.asset_id, 0)
        if publication.number is None:
            return last + 1
        if publication.number <= last:
            raise ConflictException(
                f"asset {shown(publication.asset_id)} is at version {last}: a version "
                f"{publication.number} can't come in any more",
                asset_uri=reference_for(publication.asset_id, publication.number),
                code=Code.CONFLICT,
                details={"newest_version": last},
            )
        return publication.number

    def _time(self, item: Checked) -> int:
        created_us = item.publication.created_us
        return self._now_us if created_us is None else created_us

    def _location(self, item: Checked, number: int) -> str:
        staged = item.publication.staged
        if staged is None:
            return item.location
        self.moves.append((staged, item.publication.asset_id, number))
        folder = self._store.folder_of(item.publication.asset_id, number)
        return (folder / staged.main).as_uri()

    def write(self) -> None:
        """Write it all. Raises `AssetNotFoundException` for a dependency on nothing."""
        if not self._changed:
            return
        self._write_assets()
        targets = (edge.asset_id for _, edges in self._versions for edge in edges)
        keys = reading.keys(self._connection, dict.fromkeys([*self._changed, *targets]))
        self._execute(sa.insert(versions), [_version_row(keys, rec) for rec, _ in self._versions])
        self._write_dependencies(keys)
        indexing.replace(
            self._connection,
            [self._indexed(keys, each) for each in self._changed if self._is_described_anew(each)],
        )
        self._execute(
            sa.insert(changes),
            [{"asset": keys[asset_id], "at": self._now_us} for asset_id in self._changed],
        )

    def _is_described_anew(self, asset_id: str) -> bool:
        # A next version seldom changes what its asset is found by, and indexing is a third of it all.
        before, after = self._there.get(asset_id), self._assets[asset_id]
        if before is None or (
            (before.name, before.asset_type, before.metadata_json)
            != (after.name, after.asset_type, after.metadata_json)
        ):
            return True
        return _variants(self._published.get(asset_id)) != _variants(self._newest.get(asset_id))

    def _indexed(self, keys: dict[str, int], asset_id: str) -> indexing.Indexed:
        asset = self._assets[asset_id]
        return indexing.Indexed(
            keys[asset_id],
            asset_id,
            asset.name,
            asset.asset_type,
            asset.metadata,
            _variants(self._newest.get(asset_id)),
        )

    def _write_assets(self) -> None:
        rows = [_asset_row(self._assets[asset_id]) for asset_id in self._changed]
        there = [row for row in rows if row["id"] in self._there]
        fresh = [row for row in rows if row["id"] not in self._there]
        self._execute(sa.insert(assets), fresh)
        self._execute(_MOVE_ON, [{f"new_{key}": row[key] for key in row} for row in there])

    def _write_dependencies(self, keys: dict[str, int]) -> None:
        rows, pins = [], {}
        for record, edges in self._versions:
            for position, edge in enumerate(edges):
                if edge.asset_id not in keys:
                    raise _dangling(self._connection, record, edge, self._user)
                number = reading.as_number(edge.version)
                if number is not None:
                    pins[edge.asset_id, edge.version] = (record, edge)
                strength = STRENGTHS.index(strength_of(self._strengths, edge.kind))
                rows.append(_dependency_row(keys, record, position, edge, number, strength))
        self._execute(sa.insert(edges_table), rows)
        self._check_pins(pins)

    def _check_pins(
        self, pins: dict[tuple[str, str | None], tuple[VersionRecord, Dependency]]
    ) -> None:
        # After the versions are written, so that a batch may pin what it makes itself.
        if not pins:
            return
        found = reading.resolve(self._connection, list(pins), NEWEST)
        for outcome, (record, edge) in zip(found, pins.values(), strict=True):
            if not isinstance(outcome, VersionRecord):
                raise _dangling(self._connection, record, edge, self._user)

    def _execute(self, statement: sa.Executable, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(statement, rows)


def _says_nothing_new(publication: Publication, newest: VersionRecord) -> bool:
    """Whether what a publisher said, and no file does, is what is recorded, or nothing."""
    given = publication.properties
    # Of a stage's frames the file speaks; what is read from it may change with the release.
    keys = ("traits",) if "usd" in given else ("traits", "frames")
    return all(key not in given or given[key] == newest.properties.get(key) for key in keys)


def _variants(version: VersionRecord | None) -> list[str]:
    return [] if version is None else indexing.variants_of(version.properties_json)


def _newest(connection: sa.Connection, ids: Sequence[str]) -> dict[str, VersionRecord]:
    found = reading.resolve(connection, [(asset_id, LATEST) for asset_id in ids], NEWEST)
    return {out.asset_id: out for out in found if isinstance(out, VersionRecord)}


def check_expected(connection: sa.Connection, publications: Sequence[Publication]) -> None:
    """Raise `ConflictException` where an `expected_version` is not the newest now."""
    if any(publication.expected_version is not None for publication in publications):
        newest = _newest(connection, [publication.asset_id for publication in publications])
        for publication in publications:
            _check_expected(publication, newest.get(publication.asset_id))


def _check_expected(publication: Publication, newest: VersionRecord | None) -> None:
    expected, number = publication.expected_version, newest.number if newest else 0
    if expected is not None and expected != number:
        raise ConflictException(
            f"asset {shown(publication.asset_id)} is at version {number}, not at {expected}: "
            "somebody published in between; look at what changed and publish again",
            asset_uri=reference_for(publication.asset_id),
            code=Code.CONFLICT,
            details={"expected_version": expected, "newest_version": number},
        )


_MOVE_ON: Final = (
    sa.update(assets)
    .where(assets.c.id == sa.bindparam("new_id"))
    .values(
        name=sa.bindparam("new_name"),
        type=sa.bindparam("new_type"),
        modified=sa.bindparam("new_modified"),
        latest_version=sa.bindparam("new_latest_version"),
        status=sa.bindparam("new_status"),
        metadata=sa.bindparam("new_metadata"),
    )
)


def _asset_row(asset: AssetRecord) -> dict[str, Any]:
    return {
        "id": asset.asset_id,
        "name": asset.name,
        "type": asset.asset_type,
        "created": asset.created_us,
        "modified": asset.modified_us,
        "created_by": asset.created_by,
        "deprecated": asset.deprecated,
        "latest_version": asset.latest_version,
        "status": asset.status,
        "metadata": asset.metadata_json,
    }


def _version_row(keys: dict[str, int], record: VersionRecord) -> dict[str, Any]:
    return {
        "asset": keys[record.asset_id],
        "number": record.number,
        "location": record.location,
        "mime_type": record.mime_type,
        "templated": record.templated,
        "size": record.size,
        "checksum": record.checksum,
        "created": record.created_us,
        "created_by": record.created_by,
        "comment": record.comment,
        "metadata": record.metadata_json,
        "properties": record.properties_json,
    }


def _dependency_row(
    keys: dict[str, int],
    record: VersionRecord,
    position: int,
    edge: Dependency,
    number: int | None,
    strength: int,
) -> dict[str, Any]:
    return {
        "asset": keys[record.asset_id],
        "number": record.number,
        "position": position,
        "to_asset": keys[edge.asset_id],
        "to_number": number,
        "to_tag": edge.version if number is None else None,
        "kind": edge.kind,
        "strength": strength,
        "created": record.created_us,
        "created_by": record.created_by,
    }


def _dangling(
    connection: sa.Connection, record: VersionRecord, edge: Dependency, user: User | None
) -> AssetNotFoundException:
    reference = reference_for(edge.asset_id, edge.version)
    message = (
        f"asset {shown(record.asset_id)} needs {reference}, which is neither in the catalogue nor "
        "in this batch: publish it before or with it"
    )
    return reading.not_there(connection, edge.asset_id, message, reference, user)
