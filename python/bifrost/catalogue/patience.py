# SPDX-License-Identifier: Apache-2.0
"""
SQLAlchemy's dialect of PostgreSQL, on connections that don't wait for ever.

A server that is stopped in its tracks and a network that swallows what is sent break no connection: who
waits for a reply waits on, and the server's `statement_timeout` ends nothing that it never ran. So each
wait is bounded on this side, too. And a reply that was damaged on its way raises what reading it happens to
raise, which is the database's error all the same. A module apart: it imports psycopg.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

DRIVER: Final = "postgresql+bifrost"
"""What a URL begins with whose connections are these."""
_R = TypeVar("_R")


class _Cursor(psycopg.Cursor[Any]):
    """A cursor whose rows can't be read with any error but psycopg's."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        with _reading(self.connection):
            return super().fetchone()

    def fetchmany(self, size: int = 0) -> list[Any]:
        """Return the next rows."""
        with _reading(self.connection):
            return super().fetchmany(size)

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        with _reading(self.connection):
            return super().fetchall()


class PatientConnection(psycopg.Connection[Any]):
    """
    A connection that is closed when a reply is not complete in time, or can't be read.

    Attributes:
        patience_s: Seconds that one statement's reply may take; None for ever.
    """

    patience_s: float | None = None

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """
        Consume a generator of psycopg's; every statement does so, here.

        Raises:
            psycopg.OperationalError: `patience_s` passed, or the reply is damaged. The connection is closed.
        """
        if self.patience_s is not None:
            gen = self._bounded(gen, self.patience_s)
        with _reading(self):
            return super().wait(gen, *args, **options)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Wait no longer than *seconds* for each statement meanwhile."""
        before, self.patience_s = self.patience_s, seconds
        try:
            yield
        finally:
            self.patience_s = before

    def _bounded(self, gen: Generator[Any, Any, _R], patience_s: float) -> Generator[Any, Any, _R]:
        """Yield what *gen* yields, which is resumed some times a second even if nothing came."""
        until = monotonic() + patience_s
        try:
            state = next(gen)
            while True:
                ready = yield state
                if monotonic() > until:
                    # Half a reply may be on its way: nobody can use this connection any more.
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no reply within {patience_s:g} s")
                state = gen.send(ready)
        except StopIteration as done:
            result: _R = done.value
            return result


class PatientDialect(PGDialect_psycopg):
    """
    Takes two arguments more in `connect_args`, in seconds.

    `patience_s` is the connections'; `ping_s` how long a connection from the pool may take to show that it
    is alive.
    """

    supports_statement_cache = True

    def connect(self, *args: Any, **params: Any) -> Any:
        """Return a new connection."""
        patience_s, self._ping_s = params.pop("patience_s"), params.pop("ping_s")
        with _reading():
            connection = PatientConnection.connect(*args, cursor_factory=_Cursor, **params)
        connection.patience_s = patience_s
        return connection

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Return whether the connection is alive, or raise."""
        with dbapi_connection.patience(self._ping_s):
            return bool(super().do_ping(dbapi_connection))  # type: ignore[no-untyped-call]


@contextmanager
def _reading(connection: psycopg.Connection[Any] | None = None) -> Iterator[None]:
    """Take what reading a damaged reply raises for the database's failure; close *connection* then."""
    try:
        yield
    except UnicodeEncodeError:
        raise  # of what was to be sent
    except (ValueError, LookupError, struct.error) as error:
        if connection is not None:
            connection.pgconn.finish()
        raise psycopg.OperationalError(f"a reply can't be read: {error}") from error


sa.dialects.registry.register(DRIVER.replace("+", "."), __name__, PatientDialect.__name__)
