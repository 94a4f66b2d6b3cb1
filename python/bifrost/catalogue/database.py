# SPDX-License-Identifier: Apache-2.0
"""
The catalogue's database: connections, transactions, and what its troubles are called.

Reads run outside a transaction, one statement each. Writes take SQLite's write lock at once (BEGIN
IMMEDIATE): a transaction that starts as a reader and turns writer fails at once where another
writer was faster, whatever the timeout.
"""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from bifrost.catalogue import schema
from bifrost.catalogue.location import path_of
from bifrost.errors import CatalogueError
from bifrost.tiers.fork import reset_in_child

# "Bfst" in the file's header, so that another program's database is never taken for ours.
APPLICATION_ID: Final = 0x42667374

# Two connections that write and checkpoint at once could corrupt a WAL database before this release
# ("the WAL-reset bug", https://sqlite.org/wal.html).
_SAFE_WAL: Final = (3, 51, 3)


class Database:
    """
    One catalogue file, opened. Any thread may use it; a forked child opens connections of its own.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path, lock_timeout_s: float) -> None:
        self.path = path
        self._lock_timeout_s = lock_timeout_s
        self._engine = _engine(path, lock_timeout_s)
        self._writer = self._engine.execution_options(bifrost_write=True)
        reset_in_child(self)

    @classmethod
    def open(cls, url: str, lock_timeout_s: float) -> Database:
        """
        Open the catalogue at *url*; make the file, its folder and its schema where there are none.

        Raises:
            ConfigurationError: *url* is not `sqlite:///<path>`.
            CatalogueError: the file can't be used; the message says why and what to do.
        """
        path = path_of(url)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogueError(f"{path}: its folder can't be made: {error.strerror}") from error
        database = cls(path, lock_timeout_s)
        try:
            database._prepare()
        except BaseException:
            database.close()
            raise
        return database

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """
        Lend a connection for reading, statement by statement.

        Raises:
            CatalogueError: the database failed.
        """
        with self._classified(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """
        Lend a connection in a transaction that holds the write lock; an exception undoes it all.

        Raises:
            CatalogueError: the database failed.
        """
        with self._classified(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def after_fork(self) -> None:
        """
        Forget the connections that a forked child inherited.

        A child must neither use nor close them (https://sqlite.org/howtocorrupt.html, 2.6).
        """
        self._engine.dispose(close=False)

    def _prepare(self) -> None:
        with self.read() as connection:
            revision = _revision(connection, self.path)
        if revision is None:
            self._create()
        elif revision > schema.REVISION:
            raise CatalogueError(
                f"{self.path}: its schema is {revision}, this Bifrost knows up to "
                f"{schema.REVISION}: use a newer Bifrost, or another catalogue"
            )
        elif revision < schema.REVISION:
            self._upgrade()
        with self.read() as connection:
            _choose_journal(connection, self.path)

    def _create(self) -> None:
        with self.write() as connection:
            # Another process may have been faster while this one waited for the lock.
            if _revision(connection, self.path) is None:
                schema.create(connection)
                connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")

    def _upgrade(self) -> None:
        from bifrost.catalogue import migrations

        with self.write() as connection:
            migrations.upgrade(connection)

    @contextmanager
    def _classified(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise CatalogueError(self._explain(error.orig)) from error

    def _explain(self, error: BaseException | None) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        advice = _ADVICE.get(code, "{error}").format(
            error=error, timeout=self._lock_timeout_s, folder=self.path.parent
        )
        return f"{self.path}: {advice}"


# By SQLite's primary result code (https://sqlite.org/rescode.html).
_ADVICE: Final = {
    sqlite3.SQLITE_BUSY: (
        "the catalogue is locked: another process has been writing for more than {timeout:g} s; "
        "try again, raise catalogue.lock_timeout_s, or end the process that holds it"
    ),
    sqlite3.SQLITE_LOCKED: "the catalogue is locked by this very process; try again",
    sqlite3.SQLITE_CORRUPT: (
        "the catalogue is damaged ({error}): restore it from a backup, or move it away and ingest "
        "again"
    ),
    sqlite3.SQLITE_NOTADB: (
        "not a catalogue ({error}): name another file in catalogue.url, or move this one away"
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the catalogue can't be opened: check that it is a file and that {folder} may be written to"
    ),
    sqlite3.SQLITE_READONLY: (
        "the catalogue can't be written to: check the permissions of the file and of {folder}"
    ),
    sqlite3.SQLITE_PERM: "the catalogue can't be opened: check its permissions",
    sqlite3.SQLITE_FULL: "the disk is full; nothing was changed",
    sqlite3.SQLITE_IOERR: "reading or writing the catalogue failed ({error}): check its disk",
}


def driver() -> ModuleType:
    """
    Return the SQLite driver to use: the standard library's, or pysqlite3 where that one is too old.

    Where neither is new enough the standard library's is used, without WAL.
    """
    if sqlite3.sqlite_version_info < _SAFE_WAL:
        try:
            return importlib.import_module("pysqlite3.dbapi2")
        except ImportError:
            pass
    return sqlite3


def _engine(path: Path, lock_timeout_s: float) -> sa.Engine:
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        module=driver(),
        # A thread that finds the pool empty opens one more: readers never wait for each other.
        poolclass=QueuePool,
        pool_size=8,
        max_overflow=-1,
        connect_args={"timeout": lock_timeout_s, "check_same_thread": False},
    )
    sa.event.listen(engine, "connect", _on_connect)
    sa.event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: object) -> None:
    # The driver's own idea of transactions is switched off: `_on_begin` says when one starts.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")


def _on_begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("bifrost_write"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _revision(connection: sa.Connection, path: Path) -> str | None:
    """Return the schema's revision, None for an empty file."""
    application = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    if application == APPLICATION_ID:
        revision = connection.execute(_REVISION).scalar()
        if revision is None:
            raise CatalogueError(f"{path}: the catalogue is damaged: restore it from a backup")
        return str(revision)
    if application or connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
        raise CatalogueError(
            f"{path}: a database, but not a Bifrost catalogue: name another file in catalogue.url"
        )
    return None


_REVISION: Final = sa.select(schema.alembic_version.c.version_num)


def _choose_journal(connection: sa.Connection, path: Path) -> None:
    """
    Use write-ahead logging where it is safe: on a local disk, with a SQLite that has the fix.

    The mode is the file's own, so that it is changed for all who open it. Who can't change it (the
    file is busy or may only be read) leaves it as it is.
    """
    from bifrost.tiers.filesystem import is_local

    current = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    safe = driver().sqlite_version_info >= _SAFE_WAL and is_local(path)
    wanted = "wal" if safe else "delete"
    if current != wanted:
        try:
            connection.exec_driver_sql(f"PRAGMA journal_mode = {wanted}")
        except sa.exc.OperationalError:
            return
