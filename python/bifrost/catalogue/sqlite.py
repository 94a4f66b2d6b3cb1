# SPDX-License-Identifier: Apache-2.0
"""
A catalogue in one SQLite file.

Reads run outside a transaction, one statement each. Writes take SQLite's write lock at once (BEGIN
IMMEDIATE): a transaction that starts as a reader and turns writer fails at once where another
writer was faster, whatever the timeout.
"""

from __future__ import annotations

import importlib
import sqlite3
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from bifrost.catalogue import schema
from bifrost.catalogue.backend import Trouble
from bifrost.catalogue.sqlite_forks import SQLITE
from bifrost.errors import CatalogueError
from bifrost.folders import make_folder

# "Bfst" in the file's header, so that another program's database is never taken for ours.
APPLICATION_ID: Final = 0x42667374

# Two connections that write and checkpoint at once could corrupt a WAL database before this release
# ("the WAL-reset bug", https://sqlite.org/wal.html).
_SAFE_WAL: Final = (3, 51, 3)


class SqliteBackend:
    """
    Attributes:
        path: The file.
        name: How messages name the catalogue.
    """

    def __init__(self, path: Path, lock_timeout_s: float) -> None:
        self.path: Path | None = path
        self.name = str(path)
        self._file = path
        self._lock_timeout_s = lock_timeout_s
        try:
            make_folder(path.parent)
        except OSError as error:
            raise CatalogueError(f"{path}: its folder can't be made: {error.strerror}") from error

    def using(self) -> AbstractContextManager[None]:
        """Return what keeps the process from being forked meanwhile."""
        return SQLITE.inside(self.name)

    def engine(self) -> sa.Engine:
        """Return a new engine; readers never wait for each other."""
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(self._file)),
            module=driver(),
            # A thread that finds the pool empty opens one more.
            poolclass=QueuePool,
            pool_size=8,
            max_overflow=-1,
            connect_args={"timeout": self._lock_timeout_s, "check_same_thread": False},
        )
        sa.event.listen(engine, "connect", _on_connect)
        sa.event.listen(engine, "begin", _on_begin)
        SQLITE.guard(engine)
        return engine

    def revision(self, connection: sa.Connection) -> str | None:
        """
        Return the schema's revision, None for an empty file.

        Raises:
            CatalogueError: the file is another program's.
        """
        application = connection.exec_driver_sql(_APPLICATION).scalar_one()
        tables = "SELECT count(*) FROM sqlite_master"
        if not application and not connection.exec_driver_sql(tables).scalar_one():
            return None
        # Again: another process may have made the catalogue between the two.
        if connection.exec_driver_sql(_APPLICATION).scalar_one() == APPLICATION_ID:
            revision = connection.execute(_REVISION).scalar()
            if revision is None:
                raise CatalogueError(
                    f"{self.name}: the catalogue is damaged: restore it from a backup"
                )
            return str(revision)
        raise CatalogueError(
            f"{self.name}: a database, but not a Bifrost catalogue: name another file in "
            "catalogue.url"
        )

    def prepare(self, connection: sa.Connection) -> None:
        """Make a fresh database ours."""
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")

    def tune(self, connection: sa.Connection) -> None:
        """
        Use write-ahead logging where it is safe: on a local disk, with a SQLite that has the fix.

        The mode is the file's own, so that it is changed for all who open it. Who can't change it
        (the file is busy or may only be read) leaves it as it is.
        """
        from bifrost.tiers.filesystem import is_local

        current = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
        safe = driver().sqlite_version_info >= _SAFE_WAL and is_local(self._file)
        wanted = "wal" if safe else "delete"
        if current != wanted:
            try:
                connection.exec_driver_sql(f"PRAGMA journal_mode = {wanted}")
            except sa.exc.OperationalError:
                return

    def explain(self, error: BaseException | None) -> Trouble:
        """Return what *error* of the driver means."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        advice = _ADVICE.get(code, "{error}").format(
            error=error, timeout=self._lock_timeout_s, folder=self._file.parent
        )
        return Trouble(advice, code in _PASSING)


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


_APPLICATION: Final = "PRAGMA application_id"
_REVISION: Final = sa.select(schema.alembic_version.c.version_num)
_MOST_LOG_BYTES: Final = 64 << 20
_PASSING: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

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


def _on_connect(connection: Any, _record: object) -> None:
    # The driver's own idea of transactions is switched off: `_on_begin` says when one starts.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA trusted_schema = OFF")
    # What the log grew to while somebody read for long is given back when it starts over.
    connection.execute(f"PRAGMA journal_size_limit = {_MOST_LOG_BYTES}")


def _on_begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("bifrost_write"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
