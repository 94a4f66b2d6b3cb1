# SPDX-License-Identifier: Apache-2.0
"""Fixtures that every kind of test shares: a home of its own, and processes that use the plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from bifrost.testing.postgresql import PostgresqlServer
from bifrost.testing.redis import RedisServer
from bifrost.testing.show import Show

REPOSITORY = Path(__file__).resolve().parents[1]
# Whatever a test starts is over by then, or it hangs.
PROCESS_LIMIT_S = 120.0


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what makes the tests of load, kills and chance as long as somebody has time for."""
    group = parser.getgroup("bifrost", "load, kills and chance")
    group.addoption("--rounds", type=int, help="repeat tests of chance so often; a few times else")
    group.addoption(
        "--seconds", type=float, help="keep tests of load up so long; a few seconds else"
    )
    group.addoption(
        "--seed", type=int, default=1, help="where chance begins (default: %(default)s)"
    )
    group.addoption(
        "--record-faults", action="store_true", help="write what faults did into docs/faults.json"
    )


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How often a test of chance repeats: as often as it gives for every day, or `--rounds`."""
    asked: int | None = request.config.getoption("rounds")
    return lambda short: short if asked is None else asked


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> Callable[[float], float]:
    """How long a test of load goes on: as long as it gives for every day, or `--seconds`."""
    asked: float | None = request.config.getoption("seconds")
    return lambda short: short if asked is None else asked


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Where a test's chance begins: `--seed`. Who fails says it, so that the same can happen again."""
    return int(request.config.getoption("seed"))


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A `BIFROST_HOME` of the test's own, so that no test sees another's cache or the user's."""
    home = tmp_path / "bifrost_home"
    monkeypatch.setenv("BIFROST_HOME", str(home))
    for variable in ("OPENASSETIO_DEFAULT_CONFIG", "OPENASSETIO_PLUGIN_PATH", "BIFROST_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    yield home
    from bifrost import session

    if (made := session.current_if_any()) is not None:
        made.close()
    session.use(None)


@pytest.fixture
def show(own_home: Path, tmp_path: Path) -> Show:
    """An empty show, in the catalogue of the test's own home."""
    return Show(tmp_path / "show")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """A real PostgreSQL server, one for all tests of a process. Tests that end it make their own."""
    with PostgresqlServer() as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis server, one for all tests of a process. Tests that end it make their own."""
    with RedisServer() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue_url(request: pytest.FixtureRequest, own_home: Path) -> Iterator[str]:
    """The URL of an empty catalogue of the test's own, on each kind of database."""
    if request.param == "sqlite":
        yield f"sqlite:///{own_home / 'data' / 'catalogue.sqlite'}"
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    url = server.catalogue()
    yield url
    server.drop(url)


def plugin_env(home: Path, **extra: str) -> dict[str, str]:
    """Return the environment of a process that finds the plugin and keeps everything in *home*."""
    from bifrost.usd import env

    return {
        **os.environ,
        "BIFROST_HOME": str(home),
        "PXR_PLUGINPATH_NAME": str(env.description()),
        **extra,
    }


@pytest.fixture
def run_python(own_home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Python source in a clean process that has the plugin; fails the test if it hangs."""

    def run(
        source: str,
        *arguments: str | Path,
        home: Path = own_home,
        check: bool = True,
        limit_s: float = PROCESS_LIMIT_S,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        completed = subprocess.run(
            [sys.executable, "-c", source, *map(str, arguments)],
            env=plugin_env(home, **(env or {})),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
        if check:
            assert completed.returncode == 0, completed.stdout + completed.stderr
        return completed

    return run
