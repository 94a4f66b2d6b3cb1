# SPDX-License-Identifier: Apache-2.0
"""The catalogue's public face: each method one transaction over the modules beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from bifrost.catalogue import assets, publishing, relationships
from bifrost.catalogue.database import Database
from bifrost.catalogue.records import (
    NEWEST,
    AssetRecord,
    Dependency,
    Dependent,
    Outcome,
    Publication,
    VersionPolicy,
    VersionRecord,
)


class Catalogue:
    """
    Assets, versions, locations and dependencies in one database.

    Every method may be called from any thread, and raises `CatalogueError` where the database
    fails: locked, damaged, out of room. Methods that take a batch need one round trip for any size.
    """

    def __init__(self, database: Database, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    def open(
        cls, url: str, *, lock_timeout_s: float = 10.0, clock: Callable[[], float] = time.time
    ) -> Catalogue:
        """
        Open the catalogue at *url* (`sqlite:///<path>`); make it where there is none.

        A catalogue of an older schema is upgraded, in one transaction.

        Args:
            url: Which catalogue.
            lock_timeout_s: Seconds to wait for another process's write.
            clock: Tells the time of publications, in seconds since the epoch.

        Raises:
            ConfigurationError: *url* names no file.
            CatalogueError: it can't be used: locked, damaged, of a newer schema, not a catalogue,
                in a folder that can't be written to. The message says which, and what to do.
        """
        return cls(Database.open(url, lock_timeout_s), clock)

    @property
    def path(self) -> Path:
        """The file it lives in."""
        return self._database.path

    def resolve(
        self, queries: Sequence[tuple[str, str | None]], policy: VersionPolicy = NEWEST
    ) -> list[Outcome]:
        """
        Return one outcome for each (asset id, version) of *queries*, in order.

        A version is a number's digits, `latest`, a status, or None for what *policy* says.
        """
        with self._database.read() as connection:
            return assets.resolve(connection, queries, policy)

    def closure(
        self, roots: Sequence[tuple[str, str | None]], policy: VersionPolicy = NEWEST
    ) -> list[tuple[str, str | None]]:
        """
        Return every (asset id, version) that opening *roots* asks for, themselves first.

        They are as the files say them: what floats still floats. Cycles end.
        """
        with self._database.read() as connection:
            return relationships.closure(connection, roots, policy)

    def publish(self, publications: Sequence[Publication]) -> list[VersionRecord]:
        """
        Write the next version of each asset, all or none; return one record for each, in order.

        Assets are made as needed. A publication whose checksum, location and dependencies are those
        of the newest version makes no new one: its record is that version's, with `is_new` False.

        Raises:
            InvalidReferenceException: an id, or a dependency's version, can't be in a reference.
            InvalidTraitsException: a value can't be stored; the message names it.
            AssetNotFoundException: a dependency names what is neither there nor in the batch.
        """
        batch = publishing.checked(publications)
        with self._database.write() as connection:
            return publishing.publish(connection, batch, int(self._clock() * 1_000_000))

    def versions(self, asset_id: str) -> list[VersionRecord]:
        """Return every version of the asset, newest first; nothing for an unknown asset."""
        with self._database.read() as connection:
            return assets.all_versions(connection, asset_id)

    def dependencies(self, asset_id: str, version: int) -> list[Dependency]:
        """Return what that version needs, in its file's order."""
        with self._database.read() as connection:
            return relationships.dependencies_of(connection, asset_id, version)

    def dependents(self, asset_id: str) -> list[Dependent]:
        """Return every version that needs the asset, by asset id, its newest version first."""
        with self._database.read() as connection:
            return relationships.dependents_of(connection, asset_id)

    def assets(
        self, *, after: str = "", limit: int = 100, asset_type: str | None = None
    ) -> list[AssetRecord]:
        """Return up to *limit* assets by id; the last one's id is the next page's *after*."""
        with self._database.read() as connection:
            return assets.listing(connection, after, limit, asset_type)

    def suggestions(self, asset_id: str, limit: int = 5) -> list[str]:
        """Return up to *limit* existing ids that may have been meant, likeliest first."""
        with self._database.read() as connection:
            return assets.suggestions(connection, asset_id, limit)

    def change_number(self) -> int:
        """Return a number that grows with each committed change; 0 for an empty catalogue."""
        with self._database.read() as connection:
            return assets.change_number(connection)

    def changed_since(self, number: int) -> set[str]:
        """Return the ids of the assets that changed after `change_number()` was *number*."""
        with self._database.read() as connection:
            return assets.changed_since(connection, number)

    def close(self) -> None:
        """Close the database's connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
