# SPDX-License-Identifier: Apache-2.0
"""Asking in parts: sizes that learn, as many at once as a manager bears, and an end at any moment."""

import contextvars
import hashlib
import threading
import time

import pytest

from bifrost.context import Context
from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.pipeline.batching import CANCELLED, Batch, Batching, BatchSize
from bifrost.pipeline.deadline import Deadline
from bifrost.pipeline.workers import Meter

LIMIT_S = 20.0
DOWN = Failure(Code.UNAVAILABLE, "down", retryable=True)


class Manager:
    """Answers in capitals; notes how large the parts were and how many were in it at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.parts = []
        self.inside = self.most_inside = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)

    def handle(self, request):
        with self.lock:
            self.parts.append(len(request.references))
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        self.entered.release()
        assert self.gate.wait(LIMIT_S)
        with self.lock:
            self.inside -= 1
        return Reply.by_reference(request, self.answer)

    def answer(self, reference):
        return reference.upper()


@pytest.fixture
def manager():
    manager = Manager()
    yield manager
    manager.gate.set()


@pytest.fixture
def batching(manager):
    batching = Batching(manager, max_workers=4)
    yield batching
    manager.gate.set()
    batching.close()


def request(count, batch=None):
    names = tuple(f"a{number}" for number in range(count))
    return Request(Operation.EXISTS, names, Context().snapshot(), batch=batch)


def fixed(size, **options):
    return Batch(BatchSize(size, adaptive=False), **options)


def test_without_a_batch_it_is_one_round_trip(batching, manager):
    """
    Opening a stage asks for thousands of references and wants one question.
    """
    assert 5000 == len(batching.handle(request(5000)).outcomes)
    assert [5000] == manager.parts


@pytest.mark.parametrize(("count", "size"), [(10, 3), (9, 3), (3, 3), (1, 3), (250, 100)])
def test_a_batch_is_cut_and_answered_in_order(batching, manager, count, size):
    """
    Parts are as large as they may be, the last one as large as what is left.
    """
    asked = request(count, fixed(size))

    assert tuple(map(str.upper, asked.references)) == batching.handle(asked).outcomes
    assert sorted(manager.parts, reverse=True) == [size] * (count // size) + [
        rest for rest in (count % size,) if rest
    ]


@pytest.mark.parametrize(("workers", "most"), [(None, 4), (2, 2), (1, 1), (99, 4)])
def test_no_more_parts_at_once_than_the_manager_bears(batching, manager, workers, most):
    """
    What the caller wants is bounded by what the manager's settings allow.
    """
    manager.gate.clear()
    thread = threading.Thread(
        target=batching.handle, args=(request(40, fixed(1, workers=workers)),)
    )
    thread.start()
    for _ in range(most):
        assert manager.entered.acquire(timeout=LIMIT_S)
    manager.gate.set()
    thread.join(LIMIT_S)

    assert 40 == len(manager.parts)
    assert most == manager.most_inside


class Computing:
    """Takes a processor for a while."""

    def handle(self, request):
        spin(0.02)
        return Reply.by_reference(request, str.upper)


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


class Waiting:
    """Answers the first part after a while, and the others only once two of them are in it."""

    def __init__(self):
        self.first = threading.Event()
        self.two = threading.Barrier(2, timeout=LIMIT_S)

    def handle(self, request):
        if not self.first.is_set():
            assert not threading.Event().wait(0.05)  # so long the manager thinks about it
            self.first.set()
        else:
            self.two.wait()
        return Reply.by_reference(request, str.upper)


@pytest.fixture
def pipeline():
    """Build a pipeline as a session does: a batch's parts are answered on further threads."""
    opened = []

    def build(manager):
        deadline = Deadline(manager, LIMIT_S, 4)
        opened.append(Batching(deadline, max_workers=4))
        opened.append(deadline)
        return opened[-2]

    yield build
    for stage in opened:
        stage.close()


def test_what_a_manager_computes_on_another_thread_is_the_batch_s(pipeline):
    """
    OpenAssetIO's BAL answers from memory, in Python: asking it four at once takes longer than one.

    Guards against: measuring the thread that waits for the one that computes.
    """
    meter = Meter()

    def ask():
        meter.start()
        pipeline(Computing()).handle(request(2))

    contextvars.copy_context().run(ask)
    assert meter.processor_s >= 0.02


def test_a_busy_process_asks_a_waiting_manager_for_many_at_once(pipeline):
    """
    A shot is prefetched while USD's threads parse its layers and a viewer draws.

    Guards against: taking the host's own work for the manager's.
    """
    over = threading.Event()

    def draw():
        while not over.is_set():
            hashlib.sha256(bytes(1_000_000))  # native code, as USD is: without the GIL

    drawing = [threading.Thread(target=draw) for _ in range(4)]
    for thread in drawing:
        thread.start()
    try:
        reply = pipeline(Waiting()).handle(request(10, fixed(2)))  # the first, and two times two
    finally:
        over.set()
        for thread in drawing:
            thread.join()
    assert [outcome for outcome in reply.outcomes if isinstance(outcome, Failure)] == []


def test_a_size_grows_while_the_latency_per_element_falls():
    """
    And stays where growing does not pay any more.
    """
    size = BatchSize(10)
    for elements, seconds in ((10, 1.0), (20, 1.0), (40, 1.0), (80, 2.0)):
        size.note(elements, seconds, failed=False)

    assert (80, 3, 0) == (size.current, size.grown, size.shrunk)


def test_a_size_shrinks_when_a_part_fails():
    """
    By half each time, never below one; afterwards it learns anew.
    """
    size = BatchSize(8)
    for _ in range(5):
        size.note(size.current, 30.0, failed=True)
    assert (1, 3) == (size.current, size.shrunk)

    size.note(1, 0.01, failed=False)
    assert 2 == size.current


def test_a_size_shrinks_when_elements_take_much_longer_than_before():
    """
    The manager is under load: asking for less at once gives others a chance.
    """
    size = BatchSize(16)
    size.note(16, 1.6, failed=False)
    size.note(32, 32.0, failed=False)

    assert (16, 1, 1) == (size.current, size.grown, size.shrunk)


def test_a_smaller_part_than_asked_for_says_nothing():
    """
    The last part is as large as what was left.
    """
    size = BatchSize(100)
    size.note(3, 0.000_001, failed=False)

    assert 100 == size.current


def test_a_fixed_size_stays(batching, manager):
    """
    Whatever the manager does.
    """
    manager.answer = lambda _: DOWN
    batching.handle(request(12, fixed(4)))

    assert [4, 4, 4] == manager.parts


def test_failing_parts_make_the_next_ones_smaller(batching, manager):
    """
    An outage of a whole part is counted, and shows in the stats.
    """
    manager.answer = lambda _: DOWN
    batching.handle(request(64, Batch(BatchSize(16), workers=1)))

    assert [16, 8, 4, 2, 1] == manager.parts[:5]
    assert (4, 1) == (batching.stats()["shrunk"], batching.stats()["size"])


def test_progress_is_told_after_each_part(batching):
    """
    In the asking thread, with how many were answered just now.
    """
    told = []
    here = threading.get_ident()

    def progress(count):
        told.append((count, threading.get_ident() == here))

    batching.handle(request(10, fixed(4, progress=progress)))

    assert [(2, True), (4, True), (4, True)] == sorted(told)


def test_cancelling_ends_it_with_what_is_answered(batching, manager):
    """
    What was not asked any more says so; nothing that is remembered as an answer.
    """
    batch = fixed(2, workers=1, progress=lambda _: batch.cancel())

    outcomes = batching.handle(request(10, batch)).outcomes

    assert ("A0", "A1") == outcomes[:2]
    assert all(outcome is CANCELLED for outcome in outcomes[2:])
    assert CANCELLED.retryable
    assert not CANCELLED.is_outage


def test_cancelling_from_elsewhere_does_not_wait_for_what_is_under_way(batching, manager):
    """
    A manager that hangs is no reason to wait.
    """
    manager.gate.clear()
    batch = fixed(2)
    replies = []
    thread = threading.Thread(target=lambda: replies.append(batching.handle(request(100, batch))))
    thread.start()
    assert manager.entered.acquire(timeout=LIMIT_S)
    batch.cancel()
    thread.join(LIMIT_S)

    assert all(outcome is CANCELLED for outcome in replies[0].outcomes)


@pytest.mark.parametrize("count", [2, 10])
def test_what_progress_raises_ends_the_batch_and_is_kept_for_the_caller(batching, count):
    """
    After what is answered was handed on: a cache keeps it.
    """

    def progress(_):
        raise ValueError("the window was closed")

    batch = fixed(2, workers=1, progress=progress)

    outcomes = batching.handle(request(count, batch)).outcomes

    assert ("A0", "A1") == outcomes[:2]
    assert isinstance(batch.error, ValueError)


def test_what_a_manager_raises_is_raised(batching, manager):
    """
    A defect is no outage.
    """

    def broken(_):
        raise ZeroDivisionError("a defect")

    manager.answer = broken
    batch = fixed(2)
    batching.handle(request(10, batch))

    assert isinstance(batch.error, ZeroDivisionError)


def test_a_closed_one_does_not_hang(batching, manager):
    """
    The process is ending: nothing is asked any more.
    """
    batching.close()

    outcomes = batching.handle(request(10, fixed(2))).outcomes

    assert all(outcome is CANCELLED for outcome in outcomes)


def test_what_a_batch_of_many_windows_did_is_counted_once(batching, manager):
    """
    One caller's batch may be many requests, whose parts grow on.
    """
    batch = Batch(BatchSize(4), workers=1)
    for _ in range(3):
        batching.handle(request(8, batch))

    stats = batching.stats()
    assert len(manager.parts) == stats["parts"]
    assert (batch.size.grown, batch.size.shrunk) == (stats["grown"], stats["shrunk"])
