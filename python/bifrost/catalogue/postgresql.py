# SPDX-License-Identifier: Apache-2.0
"""
A catalogue on a PostgreSQL server, in a schema of its own called `bifrost`.

Reads run outside a transaction, one statement each. Writers come one after the other, as in SQLite:
the log of changes has to grow in the order of the commits, and no version takes a number twice. The lock
is an advisory one of the transaction; it goes with the connection, whatever becomes of the process.
"""

from __future__ import annotations

import math
import re
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from bifrost.catalogue.backend import Trouble
from bifrost.catalogue.location import without_password
from bifrost.errors import CatalogueError, ConfigurationError

SCHEMA: Final = "bifrost"
# "Bfst", so that another program's lock is never ours.
_WRITERS: Final = 0x42667374
_CONNECT_TIMEOUT_S: Final = 10
_GRACE_S: Final = 5.0


class PostgresqlBackend:
    """
    Attributes:
        path: None: there is no file.
        name: How messages name the catalogue; no password in it.
    """

    def __init__(self, url: str, lock_timeout_s: float, statement_timeout_s: float) -> None:
        self.path: Path | None = None
        self.name = without_password(url)
        self._url = url
        self._lock_timeout_s = lock_timeout_s
        self._statement_timeout_s = statement_timeout_s

    def using(self) -> AbstractContextManager[None]:
        """Return nothing that does anything: a child opens connections of its own beside its parent's."""
        return nullcontext()

    def engine(self) -> sa.Engine:
        """
        Return a new engine.

        Raises:
            ConfigurationError: psycopg is not installed, or the URL can't be read.
        """
        try:
            from bifrost.catalogue import patience

            url = sa.make_url(self._url).set(drivername=patience.DRIVER)
            engine = sa.create_engine(
                url,
                poolclass=QueuePool,
                pool_size=8,
                max_overflow=24,
                pool_timeout=self._lock_timeout_s,
                # A connection that the server dropped while it was idle is noticed and replaced.
                pool_pre_ping=True,
                connect_args={"autocommit": True, **self._patience()},
            )
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "a catalogue on PostgreSQL needs psycopg: pip install 'bifrost-usd[postgres]'"
            ) from error
        except (sa.exc.ArgumentError, ValueError) as error:
            raise ConfigurationError(f"the catalogue's URL: {error}") from error
        sa.event.listen(engine, "connect", self._on_connect)
        sa.event.listen(engine, "begin", _on_begin)
        return engine

    def revision(self, connection: sa.Connection) -> str | None:
        """
        Return the schema's revision; None where there is no catalogue yet.

        Raises:
            CatalogueError: there is a schema of our name that is not ours.
        """
        table = f"SELECT to_regclass('{SCHEMA}.alembic_version')"
        if connection.exec_driver_sql(table).scalar() is None:
            there = f"SELECT count(*) FROM pg_tables WHERE schemaname = '{SCHEMA}'"  # noqa: S608
            if not connection.exec_driver_sql(there).scalar_one():
                return None
            # Another process may have made the catalogue between the two: all its tables come at once.
            if connection.exec_driver_sql(table).scalar() is None:
                raise CatalogueError(
                    f"{self.name}: its schema '{SCHEMA}' is not a Bifrost catalogue: name another "
                    "database in catalogue.url"
                )
        revision = f"SELECT version_num FROM {SCHEMA}.alembic_version"  # noqa: S608  a constant
        return str(connection.exec_driver_sql(revision).scalar_one())

    def prepare(self, connection: sa.Connection) -> None:
        """Make a fresh database ours."""
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")

    def tune(self, connection: sa.Connection) -> None:
        """Nothing to do."""

    def explain(self, error: BaseException | None) -> Trouble:
        """Return what *error* of the driver means."""
        text = str(error).strip().partition("\n")[0]
        state = str(getattr(error, "sqlstate", None) or _state_of_refusal(error, text))
        advice, passes = _ADVICE.get(state) or _ADVICE.get(state[:2]) or ("{error}", False)
        return Trouble(
            advice.format(
                error=text, lock=self._lock_timeout_s, statement=self._statement_timeout_s
            ),
            passes,
        )

    def _patience(self) -> dict[str, Any]:
        """Return how long to wait for a server that says nothing at all."""
        statement_s = self._statement_timeout_s
        short_s = min(statement_s or _CONNECT_TIMEOUT_S, _CONNECT_TIMEOUT_S)
        return {
            "connect_timeout": math.ceil(short_s),
            "ping_s": short_s,
            # A server that is alive ends a statement by itself, and says so.
            "patience_s": statement_s + min(statement_s, _GRACE_S) if statement_s else None,
        }

    def _on_connect(self, connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET search_path TO {SCHEMA}, public")
            cursor.execute("SET timezone TO 'UTC'")
            # A version that was told of must not be lost by a crash of the server; who asks for more
            # than `on`, for replicas, gets it.
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) "
                "WHERE current_setting('synchronous_commit') = 'off'"
            )
            # Ours are short statements whose cost is overestimated: compiling them takes longer.
            cursor.execute("SET jit TO off")
            cursor.execute(f"SET lock_timeout TO {round(self._lock_timeout_s * 1000)}")
            cursor.execute(f"SET statement_timeout TO {round(self._statement_timeout_s * 1000)}")


def _state_of_refusal(error: BaseException | None, text: str) -> str:
    """Return the SQLSTATE of a connection that was refused: libpq passes on the server's words only."""
    if "OperationalError" not in {each.__name__ for each in type(error).__mro__}:
        return "unknown"
    return next((state for words, state in _REFUSALS.items() if re.search(words, text)), "")


# In English, as servers speak by default; in another language the database can't be reached, which
# is true too.
_REFUSALS: Final = {
    'database ".*" does not exist': "3D000",
    'role ".*" does not exist|authentication failed|pg_hba.conf': "28000",
    "permission denied for database": "42501",
    "too many (clients|connections)|connection slots": "53300",
    "starting up|shutting down|in recovery": "57P03",
}
# By SQLSTATE, or its class (https://www.postgresql.org/docs/current/errcodes-appendix.html). No state
# at all: the connection was never made, or is gone.
_ADVICE: Final[dict[str, tuple[str, bool]]] = {
    "": ("the database can't be reached: {error}", True),
    "08": ("the connection to the database is gone: {error}", True),
    "28": ("the database refuses the user: {error}", False),
    "3D": ("there is no such database ({error}): create it, or correct catalogue.url", False),
    "40": ("the database undid the transaction ({error}); try again", True),
    "42501": ("the database's user may not do that: {error}", False),
    "53": ("the database is out of resources: {error}", True),
    "53100": ("the database's disk is full; nothing was changed", False),
    "55P03": (
        (
            "the catalogue is locked: another process has been writing for more than {lock:g} s; try "
            "again, raise catalogue.lock_timeout_s, or end the process that holds it"
        ),
        True,
    ),
    "57": ("the database is going down or not up yet: {error}", True),
    "57014": (
        "a statement took longer than {statement:g} s; raise catalogue.statement_timeout_s",
        False,
    ),
    "58": ("reading or writing the database failed: {error}", False),
    "XX": ("the database is damaged ({error}): restore it from a backup", False),
}


def _on_begin(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("bifrost_write"):
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")
