# SPDX-License-Identifier: Apache-2.0
"""Work put off until later is done once, in its time, and survives work that fails."""

import threading
import time

import pytest

from bifrost.usd import later as module
from bifrost.usd.later import Later

# No test waits for this long unless it fails.
LIMIT_S = 20.0
NEVER_S = 3600.0


class Job:
    """Notes that it ran, and where."""

    def __init__(self):
        self.done = threading.Event()
        self.threads = []

    def __call__(self):
        self.threads.append(threading.current_thread().name)
        self.done.set()


@pytest.fixture
def later():
    return Later()


@pytest.fixture(autouse=True)
def quiet_threads(monkeypatch):
    """Judge a failing job by what the next one sees, not by what the interpreter prints."""
    monkeypatch.setattr(threading, "excepthook", lambda _: None)


def test_a_job_runs_on_a_thread_of_its_own(later):
    """
    Who puts it never waits for it.
    """
    job = Job()
    later.put("a", 0.0, job)

    assert job.done.wait(LIMIT_S)
    assert ["bifrost-later"] == job.threads


def test_the_thread_is_a_daemon(later):
    """
    It never keeps a process from ending.
    """
    daemons = []
    done = threading.Event()
    later.put("a", 0.0, lambda: (daemons.append(threading.current_thread().daemon), done.set()))

    assert done.wait(LIMIT_S)
    assert [True] == daemons


def test_jobs_run_when_they_are_due_not_when_they_were_put(later):
    """
    The sooner one first.
    """
    order = []
    done = threading.Event()
    later.put("late", 0.05, lambda: (order.append("late"), done.set()))
    later.put("soon", 0.0, lambda: order.append("soon"))

    assert done.wait(LIMIT_S)
    assert ["soon", "late"] == order


def test_a_job_put_again_replaces_the_earlier_one(later):
    """
    A hundred answers are one write.
    """
    jobs = [Job() for _ in range(5)]
    for job in jobs:
        later.put("a", NEVER_S, job)
    later.run_all()

    assert [0, 0, 0, 0, 1] == [len(job.threads) for job in jobs]


def test_a_job_that_is_put_again_and_again_runs(later):
    """
    What is worked at without a pause is recorded all the same.
    """
    job = Job()
    end = time.monotonic() + LIMIT_S
    while not job.done.wait(0.01) and time.monotonic() < end:
        later.put("a", NEVER_S, job, within_s=0.1)

    assert job.done.is_set()


def test_a_job_that_is_due_sooner_wakes_the_thread(later):
    """
    It does not sleep until the earlier one's time.
    """
    later.put("late", NEVER_S, Job())
    job = Job()
    later.put("soon", 0.0, job)

    assert job.done.wait(LIMIT_S)


def test_a_thread_without_jobs_ends_and_another_follows(later, monkeypatch):
    """
    A session that was replaced leaves no thread behind.
    """
    monkeypatch.setattr(module, "_IDLE_S", 0.01)
    threads = []
    for name in range(2):
        job = Job()
        later.put(name, 0.0, lambda: threads.append(threading.current_thread()))
        later.put((name, "done"), 0.0, job)
        assert job.done.wait(LIMIT_S)
        threads[-1].join(LIMIT_S)
        assert not threads[-1].is_alive()

    assert threads[0] is not threads[1]


def test_run_all_runs_what_waits_here_and_now(later):
    """
    At the end of the process nothing is lost.
    """
    jobs = [Job(), Job()]
    for name, job in enumerate(jobs):
        later.put(name, NEVER_S, job)
    later.run_all()
    later.run_all()

    assert [[threading.current_thread().name]] * 2 == [job.threads for job in jobs]


def test_a_job_may_put_another(later):
    """
    No lock is held while one runs.
    """
    job = Job()
    later.put("a", 0.0, lambda: later.put("b", 0.0, job))

    assert job.done.wait(LIMIT_S)


def test_a_job_that_fails_does_not_stop_the_next(later):
    """
    A full disk while one closure is written must not end the recording of all others.
    """
    failed = threading.Event()

    def fail():
        failed.set()
        raise OSError("the disk is full")

    later.put("a", 0.0, fail)
    assert failed.wait(LIMIT_S)
    job = Job()
    later.put("b", 0.0, job)

    assert job.done.wait(2.0)


def test_at_the_end_a_job_that_fails_does_not_stop_the_others(later):
    """
    `run_all` runs each, and does not raise into the interpreter's exit.
    """

    def fail():
        raise OSError("the disk is full")

    job = Job()
    later.put("a", NEVER_S, fail)
    later.put("b", NEVER_S, job)
    later.run_all()

    assert job.done.is_set()


def test_a_forked_child_starts_over(later):
    """
    Its parent's jobs are its parent's, and its thread is its own.
    """
    inherited, own = Job(), Job()
    later.put("a", NEVER_S, inherited)
    later.after_fork()
    later.put("b", 0.0, own)

    assert own.done.wait(LIMIT_S)
    later.run_all()
    assert [] == inherited.threads


def test_sixteen_threads_lose_no_job(later):
    """
    Every name put is run once in the end.
    """
    counts = [0] * 1600

    def put(first):
        for name in range(first, first + 100):
            later.put(name, 0.0, lambda name=name: counts.__setitem__(name, counts[name] + 1))

    threads = [threading.Thread(target=put, args=(first,)) for first in range(0, 1600, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    last = Job()
    later.put("last", 0.0, last)
    assert last.done.wait(LIMIT_S)
    later.run_all()

    assert {1} == set(counts)
