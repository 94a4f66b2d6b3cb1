# SPDX-License-Identifier: Apache-2.0
"""The catalogue's database: connections, transactions, and what its troubles are called."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bifrost.catalogue import indexing, schema
from bifrost.catalogue.backend import Backend
from bifrost.catalogue.location import path_of
from bifrost.catalogue.sqlite import SqliteBackend
from bifrost.errors import CatalogueError
from bifrost.forks import reset_in_child


class Database:
    """One catalogue, opened. Any thread may use it; a forked child opens connections of its own."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._engine = backend.engine()
        self._writer = self._engine.execution_options(bifrost_write=True)
        reset_in_child(self)

    @classmethod
    def open(
        cls, url: str, lock_timeout_s: float = 10.0, statement_timeout_s: float = 60.0
    ) -> Database:
        """
        Open the catalogue at *url*; make its schema, and in SQLite its file, where there is none.

        Raises:
            ConfigurationError: *url* is neither `sqlite:///<path>` nor `postgresql://…`.
            CatalogueError: it can't be used; the message says why and what to do.
        """
        database = cls(_backend(url, lock_timeout_s, statement_timeout_s))
        try:
            database._prepare()
        except BaseException:
            database.close()
            raise
        return database

    @property
    def path(self) -> Path | None:
        """The catalogue's file; None on a server."""
        return self._backend.path

    @property
    def name(self) -> str:
        """How messages name the catalogue; no password in it."""
        return self._backend.name

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """
        Lend a connection for reading, statement by statement.

        Raises:
            CatalogueError: the database failed.
        """
        with self._classified(), self._backend.using(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """
        Lend a connection in a transaction that holds the write lock; an exception undoes it all.

        Raises:
            CatalogueError: the database failed.
        """
        with self._classified(), self._backend.using(), self._writer.begin() as connection:
            yield connection

    def connections(self) -> dict[str, int]:
        """Return how many connections are open, and how many of them are `in_use` now."""
        pool: Any = self._engine.pool
        used = int(pool.checkedout())
        return {"open": used + int(pool.checkedin()), "in_use": used}

    def close(self) -> None:
        """Close every connection."""
        # Refused where a fork left connections that must not be closed.
        with suppress(CatalogueError), self._backend.using():
            self._engine.dispose()

    def after_fork(self) -> None:
        """Forget the connections that a forked child inherited: it must neither use nor close them."""
        self._engine.dispose(close=False)

    def _prepare(self) -> None:
        with self.read() as connection:
            revision = self._backend.revision(connection)
        if revision is None:
            self._create()
        elif revision > schema.REVISION:
            raise CatalogueError(
                f"{self.name}: its schema is {revision}, this Bifrost knows up to "
                f"{schema.REVISION}: use a newer Bifrost, or another catalogue"
            )
        elif revision < schema.REVISION:
            self._upgrade()
        with self.read() as connection:
            self._backend.tune(connection)

    def _create(self) -> None:
        with self.write() as connection:
            # Another process may have been faster while this one waited for the lock.
            if self._backend.revision(connection) is None:
                self._backend.prepare(connection)
                schema.create(connection)

    def _upgrade(self) -> None:
        from bifrost.catalogue import migrations

        with self.write() as connection:
            if (self._backend.revision(connection) or "") < schema.REVISION:
                migrations.upgrade(connection)
                indexing.rebuild(connection)

    @contextmanager
    def _classified(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            trouble = self._backend.explain(error.orig)
            raise CatalogueError(
                f"{self.name}: {trouble.advice}", retryable=trouble.passes
            ) from error
        except json.JSONDecodeError as error:  # only what the database has is read as JSON in here
            raise CatalogueError(
                f"{self.name}: a record can't be read ({error}): `bifrost catalogue check` says more"
            ) from error
        except sa.exc.TimeoutError as error:
            raise CatalogueError(
                f"{self.name}: every connection is in use; try again", retryable=True
            ) from error


def _backend(url: str, lock_timeout_s: float, statement_timeout_s: float) -> Backend:
    path = path_of(url)
    if path is not None:
        return SqliteBackend(path, lock_timeout_s)
    from bifrost.catalogue.postgresql import PostgresqlBackend

    return PostgresqlBackend(url, lock_timeout_s, statement_timeout_s)
