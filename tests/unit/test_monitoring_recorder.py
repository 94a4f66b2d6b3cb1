# SPDX-License-Identifier: Apache-2.0
"""What is counted is what happened, to the last call, and percentiles are as exact as promised."""

import math
import os
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.model.request import Operation
from bifrost.monitoring.recorder import BOUNDS, OTHER, SHOWN_BOUNDS, Recorder, no_calls
from bifrost.testing.clock import Clock

# Two neighbouring bounds are so far apart at most.
WIDTH = 1.06


def exact_percentile(durations, share):
    """The smallest duration that *share* of all don't exceed."""
    return sorted(durations)[max(1, math.ceil(share * len(durations))) - 1]


def of(durations):
    recorder = Recorder()
    for seconds in durations:
        recorder.record("resolve", seconds)
    return recorder.stats()["resolve"]


def test_an_operation_that_was_recorded_has_all_its_numbers():
    """
    Three calls: sums, the mean and the extremes are exact.
    """
    recorder = Recorder()
    recorder.record("resolve", 0.010, elements=100)
    recorder.record("resolve", 0.020, elements=50, failures=["not_found", "not_found", "access"])
    recorder.record("resolve", 0.060, elements=50, failures={"not_found": 2})

    stats = recorder.stats()["resolve"]

    assert {"not_found": 4, "access": 1} == stats["failures"]
    assert (3, 200, 97.5) == (stats["count"], stats["elements"], stats["success_rate"])
    assert pytest.approx(30.0) == stats["avg_duration_ms"]
    assert pytest.approx(60.0) == stats["max_ms"]
    assert pytest.approx(0.090) == stats["total_s"]


def test_an_operation_that_was_never_called_has_zeros_and_no_failures():
    """
    Everything succeeded that was asked: nothing.
    """
    stats = no_calls()

    assert 100.0 == stats.pop("success_rate")
    assert {} == stats.pop("failures")
    assert {0} == set(stats.values())


def test_a_single_call_is_its_own_percentiles():
    """
    What lies in one bucket is bounded by what was really seen.
    """
    stats = of([0.0123])

    assert pytest.approx([12.3] * 3) == [stats[name] for name in ("p50_ms", "p95_ms", "p99_ms")]


@given(st.lists(st.floats(1e-6, 9e3), min_size=1, max_size=300), st.randoms())
def test_percentiles_are_those_of_the_durations_to_the_width_of_a_bucket(durations, rng):
    """
    Whatever the distribution and the order.
    """
    rng.shuffle(durations)
    stats = of(durations)

    for share, name in ((0.50, "p50_ms"), (0.95, "p95_ms"), (0.99, "p99_ms")):
        exact = exact_percentile(durations, share)
        assert exact / WIDTH <= stats[name] / 1e3 <= exact * WIDTH


def test_percentiles_of_a_heavy_tail_are_right():
    """
    Ten thousand durations as they are in life: most short, a few a thousand times as long.
    """
    rng = random.Random(20)
    durations = [rng.lognormvariate(-7, 1.5) for _ in range(10_000)]
    stats = of(durations)

    for share, name in ((0.50, "p50_ms"), (0.95, "p95_ms"), (0.99, "p99_ms")):
        assert pytest.approx(exact_percentile(durations, share), rel=0.06) == stats[name] / 1e3


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, 1e-9, 1e7, math.inf])
def test_a_duration_off_the_scale_is_counted(seconds):
    """
    A clock that was set back, a call of months.
    """
    stats = of([seconds])

    assert 1 == stats["count"]
    assert stats["p99_ms"] >= 0.0


def test_prometheus_is_shown_what_was_counted():
    """
    Each bucket holds what took no longer than its bound says, the bound included.
    """
    durations = [1e-7, 1e-5, 1.1e-5, 0.25, 0.2500001, 99.0, 5_000.0]
    recorder = Recorder()
    for seconds in durations:
        recorder.record("resolve", seconds, elements=2, failures=["late"])

    histogram = recorder.histograms()["resolve"]

    assert [*SHOWN_BOUNDS, math.inf] == [bound for bound, _ in histogram.buckets]
    assert set(SHOWN_BOUNDS) <= set(BOUNDS)
    for bound, number in histogram.buckets:
        assert sum(seconds <= bound for seconds in durations) == number, bound
    assert (7, 14, {"late": 7}) == (histogram.calls, histogram.elements, histogram.failures)
    assert pytest.approx(sum(durations)) == histogram.seconds


def test_names_and_codes_are_bounded():
    """
    Somebody who names operations after assets fills neither the memory nor a metrics server.
    """
    recorder = Recorder()
    for number in range(2_000):
        recorder.record(f"bake asset_{number}", 0.1, failures=[f"code_{number}"])
        recorder.record("bake", 0.1, failures=[f"code_{number}"])

    stats = recorder.stats()

    assert 501 >= len(stats)
    assert 4_000 == sum(each["count"] for each in stats.values())
    assert 51 >= len(stats["bake"]["failures"])
    assert 2_000 == sum(stats["bake"]["failures"].values())
    assert stats[OTHER]["count"] > 1_000


def test_a_name_is_a_text_that_can_be_sent():
    """
    Long ones are cut, lone surrogates replaced, and an enumeration's member is its text.
    """
    recorder = Recorder()
    for name in ("x" * 5_000, "a\udcffb", Operation.RESOLVE, "resolve", 7):
        recorder.record(name, 0.1)

    assert {"x" * 100, "a?b", "resolve", "7"} == recorder.stats().keys()
    assert 2 == recorder.stats()["resolve"]["count"]


def test_a_recorder_that_is_off_counts_nothing():
    """
    And goes on where it stopped.
    """
    recorder = Recorder(clock=Clock())
    recorder.enabled = False
    recorder.record("resolve", 0.1)
    assert {} == recorder.stats()

    recorder.enabled = True
    recorder.record("resolve", 0.1)
    assert 1 == recorder.stats()["resolve"]["count"]

    recorder.reset()
    assert {} == recorder.stats()


def test_no_call_of_many_threads_is_lost():
    """
    Eight threads record while two read: the sums are exact, and no reading goes backwards.
    """
    recorder = Recorder()
    calls, threads = 5_000, 8
    done = threading.Event()
    readings = []

    def record(number):
        for _ in range(calls):
            recorder.record(f"operation {number % 3}", 0.001, elements=2, failures=["late"])

    def read():
        while not done.is_set():
            readings.append(sum(each["count"] for each in recorder.stats().values()))
            recorder.histograms()

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=record, args=(number,)) for number in range(threads)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join(60)
    done.set()
    for thread in readers:
        thread.join(60)

    stats = recorder.stats().values()
    assert calls * threads == sum(each["count"] for each in stats)
    assert calls * threads == sum(each["failures"]["late"] for each in stats)
    assert 2 * calls * threads == sum(each["elements"] for each in stats)
    assert max(readings) <= calls * threads


def test_a_forked_child_starts_over():
    """
    Even where the fork came in the middle of a record, holding the locks.
    """
    recorder = Recorder()
    recorder.record("resolve", 0.1)
    with recorder._lock:
        child = os.fork()
        if child == 0:
            recorder.after_fork()
            recorder.record("resolve", 0.2)
            os._exit(0 if recorder.stats()["resolve"]["count"] == 1 else 1)
    _, status = os.waitpid(child, 0)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert 1 == recorder.stats()["resolve"]["count"]
