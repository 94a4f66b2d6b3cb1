# SPDX-License-Identifier: Apache-2.0
"""
Each operation during each fault of each server: what is promised in `fault_matrix.py` is what happens.

Every run tries a few faults. `--rounds 1` tries them all, Redis's over both databases; with
`--record-faults` it writes what it found into docs/faults.json, from which `make docs` makes the page.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from bifrost.testing.postgresql import PostgresqlServer
from bifrost.testing.proxy import FaultyProxy
from bifrost.testing.redis import RedisServer

sys.path.insert(0, str(Path(__file__).parent))
import fault_world as world
from fault_matrix import MATRIX, OPERATIONS, holds
from faults_to_order import FAULTS, Site

RECORD = Path(__file__).resolve().parents[2] / "docs" / "faults.json"
# Few, so that all of them can be taken.
CONNECTIONS = 20
ROWS = [
    (server, fault, database)
    for server, table in MATRIX.items()
    for fault in table.faults
    for database in (("sqlite", "postgresql") if server == "redis" else ("",))
]


@pytest.fixture(scope="module")
def postgresql():
    """A server with few connections, and with a port that a proxy can stand before."""
    with PostgresqlServer(loopback=True, max_connections=CONNECTIONS) as server:
        yield server


@pytest.fixture
def record(request):
    """Write down a row's outcomes, where that is asked for; what was recorded of other rows stays."""

    def note(server, fault, outcomes):
        if not request.config.getoption("record_faults"):
            return
        known = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
        known.setdefault(server, {})[fault] = outcomes
        rows = {
            each: {name: known.get(each, {}).get(name, {}) for name in table.faults}
            for each, table in MATRIX.items()
        }
        written = RECORD.with_suffix(".new")
        written.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        written.replace(RECORD)

    return note


@pytest.fixture(params=ROWS, ids="-".join)
def row(request, rounds):
    """A server, a fault, and on which database."""
    server, fault, database = request.param
    is_short = MATRIX[server].faults[fault].is_short and database != "postgresql"
    if not is_short and not rounds(0):
        pytest.skip("in the long form: --rounds 1")
    return request.param


@pytest.fixture
def site_world(row, request, tmp_path, seed):
    """The world of a row, its process at work."""
    server, _, database = row
    if server == "manager":
        with world.ManagerWorld(tmp_path) as made:
            yield made
        return
    postgresql = request.getfixturevalue("postgresql") if database != "sqlite" else None
    kind = over_postgresql if server == "postgresql" else over_redis
    with kind(tmp_path, postgresql, Random(seed)) as made:
        yield made


@contextmanager
def over_postgresql(folder, postgresql, rng):
    past = postgresql.catalogue()
    with FaultyProxy("127.0.0.1", postgresql.port) as proxy:
        through = past.replace(f":{postgresql.port}/", f":{proxy.port}/")
        site = Site(proxy, postgresql, rng)
        with world.CatalogueWorld(folder, site, through, past) as made:
            yield made
    postgresql.drop(past)


@contextmanager
def over_redis(folder, postgresql, rng):
    url = f"sqlite:///{folder / 'catalogue.sqlite'}" if not postgresql else postgresql.catalogue()
    with RedisServer() as server, FaultyProxy("127.0.0.1", server.port) as proxy:
        site = Site(proxy, server, rng)
        shared = f"redis://127.0.0.1:{proxy.port}"
        with world.CatalogueWorld(folder, site, url, redis=shared) as made:
            yield made


def found_in(site_world, fault):
    """Return what comes of each operation, each in a fault of its own that is over before the next."""
    found = {}
    for operation in OPERATIONS:
        if operation == "afterwards":
            break
        found[operation] = site_world.outcome(operation, fault)
        recovered = site_world.asked("recovered", world.HANGS_S + world.START_S)
        assert "as before" == recovered, f"after {operation}, {found}: {site_world.said()}"
    return {**found, "afterwards": site_world.asked("afterwards", world.START_S)}


def test_what_is_promised_is_what_happens(row, site_world, record, seed):
    """
    Every operation comes back in time, says the truth, and is as good as ever when the fault is over.
    """
    server, name, _ = row
    expected = MATRIX[server].faults[name].expected

    found = found_in(site_world, FAULTS[server][name])

    seen = {
        operation: expected[operation] if holds(expected[operation], outcome) else outcome
        for operation, outcome in found.items()
    }
    record(server, name, seen)
    assert expected == seen, f"--seed {seed}\n{site_world.said()}"


def test_every_promise_has_a_fault_that_tries_it():
    """
    And no fault is without a promise.
    """
    assert {server: set(table.faults) for server, table in MATRIX.items()} == {
        server: set(faults) for server, faults in FAULTS.items()
    }


def test_what_is_promised_is_what_was_recorded():
    """
    The page shows what tests have seen: who changes a promise runs them, and writes that down.
    """
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))

    assert recorded == {
        server: {name: fault.expected for name, fault in table.faults.items()}
        for server, table in MATRIX.items()
    }, "pytest tests/faults/test_fault_matrix.py --rounds 1 --record-faults"
