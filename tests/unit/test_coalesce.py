# SPDX-License-Identifier: Apache-2.0
"""What many ask for at the same time is asked for once, and everybody is answered."""

import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from bifrost.context import Context
from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.pipeline.coalesce import Coalesce

# No test waits for this long unless it fails.
LIMIT_S = 20.0
THREADS = 16


class Manager:
    """Answers when its gate is open; remembers what it was asked."""

    def __init__(self):
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.asked = []
        self.error = None

    def handle(self, request):
        self.asked.append(request.references)
        self.entered.release()
        assert self.gate.wait(LIMIT_S)
        if self.error:
            raise self.error
        number = len(self.asked)
        return Reply.by_reference(request, lambda reference: (reference, number))


@pytest.fixture
def manager():
    return Manager()


@pytest.fixture
def coalesce(manager):
    return Coalesce(manager)


@pytest.fixture
def pool(manager):
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool
        manager.gate.set()


def request(*references, operation=Operation.RESOLVE, context=None, **options):
    return Request(operation, references, (context or Context()).snapshot(), **options)


def eventually(condition):
    end = monotonic() + LIMIT_S
    while not condition():
        assert monotonic() < end
        threading.Event().wait(0.001)


def waiters(coalesce):
    """Count the threads that wait for others' flights."""
    with coalesce._lock:
        return sum(len(flight.landed._cond._waiters) for flight in coalesce._flights.values())


def join(coalesce, pool, requests):
    """Start *requests*, all of which wait for flights of others."""
    before = waiters(coalesce)
    futures = [pool.submit(coalesce.handle, each) for each in requests]
    eventually(lambda: waiters(coalesce) == before + len(futures))
    return futures


def under_way(coalesce, manager, pool, each):
    """Start a request and return when it is in the manager."""
    future = pool.submit(coalesce.handle, each)
    assert manager.entered.acquire(timeout=LIMIT_S)
    return future


def test_sixteen_threads_ask_once(coalesce, manager, pool):
    """
    One flight, and its answer for everybody.
    """
    first = under_way(coalesce, manager, pool, request("a"))
    others = join(coalesce, pool, [request("a")] * (THREADS - 1))
    manager.gate.set()

    replies = [each.result(LIMIT_S) for each in [first, *others]]

    assert [("a",)] == manager.asked
    assert {(("a", 1),)} == {reply.outcomes for reply in replies}


def test_only_what_nobody_asks_for_is_asked(coalesce, manager, pool):
    """
    A batch that overlaps with another's takes part of its answers from there.
    """
    first = under_way(coalesce, manager, pool, request("a", "b"))
    second = under_way(coalesce, manager, pool, request("b", "c", "a", "c"))
    manager.gate.set()

    assert [("a", "b"), ("c",)] == manager.asked
    assert ("a", "b") == tuple(name for name, _ in first.result(LIMIT_S).outcomes)
    assert ("b", "c", "a", "c") == tuple(name for name, _ in second.result(LIMIT_S).outcomes)


def test_requests_that_need_each_other_both_end(coalesce, manager, pool):
    """
    Each asks for its own before it waits for the other's.
    """
    first = under_way(coalesce, manager, pool, request("a", "x"))
    second = under_way(coalesce, manager, pool, request("b", "a"))
    third = under_way(coalesce, manager, pool, request("x", "b", "c"))
    manager.gate.set()

    assert 3 == len([each.result(LIMIT_S) for each in (first, second, third)])


def test_duplicates_in_a_request_are_asked_once(coalesce, manager):
    """
    And answered wherever they stand.
    """
    manager.gate.set()

    reply = coalesce.handle(request("a", "b", "a"))

    assert [("a", "b")] == manager.asked
    assert ("a", "b", "a") == tuple(name for name, _ in reply.outcomes)


@pytest.mark.parametrize(
    "other",
    [
        request("a", operation=Operation.EXISTS),
        request("a", context=Context(user="ada")),
        request("a", context=Context(access_token="t")),
        request("a", fresh=True),
    ],
    ids=["operation", "user", "token", "fresh"],
)
def test_other_questions_are_not_the_same(coalesce, manager, pool, other):
    """
    Another operation, another principal; and a fresh one is not served by what was asked before.
    """
    first = under_way(coalesce, manager, pool, request("a"))
    second = under_way(coalesce, manager, pool, other)
    manager.gate.set()

    assert [first.result(LIMIT_S).request, second.result(LIMIT_S).request] == [request("a"), other]
    assert [("a",), ("a",)] == manager.asked


def test_a_fresh_request_is_joined_by_those_that_come_after_it(coalesce, manager, pool):
    """
    And it outlives the flight that it overtook.
    """
    under_way(coalesce, manager, pool, request("a"))
    under_way(coalesce, manager, pool, request("a", fresh=True))
    (third,) = join(coalesce, pool, [request("a")])
    manager.gate.set()

    third.result(LIMIT_S)
    assert 2 == len(manager.asked)


def test_when_a_flight_is_over_the_next_one_asks_again(coalesce, manager):
    """
    This is no cache.
    """
    manager.gate.set()
    coalesce.handle(request("a"))
    coalesce.handle(request("a"))

    assert [("a",), ("a",)] == manager.asked
    assert {} == coalesce._flights


def test_a_flight_that_crashes_lets_the_others_know(coalesce, manager, pool):
    """
    The one who asked gets the exception, those who waited a failure that may be asked again.
    """
    first = under_way(coalesce, manager, pool, request("a"))
    (second,) = join(coalesce, pool, [request("a")])
    manager.error = RuntimeError("a defect")
    manager.gate.set()

    assert manager.error is first.exception(LIMIT_S)
    (outcome,) = second.result(LIMIT_S).outcomes
    assert (Code.UNAVAILABLE, True) == (outcome.code, outcome.retryable)
    assert {} == coalesce._flights


def test_failures_are_shared_like_answers(coalesce, manager, pool):
    """
    An outage is met once.
    """
    down = Failure(Code.UNAVAILABLE, "down", retryable=True)
    handle = manager.handle
    manager.handle = lambda each: handle(each) and Reply.of(each, down)
    first = under_way(coalesce, manager, pool, request("a"))
    (second,) = join(coalesce, pool, [request("a")])
    manager.gate.set()

    assert [(down,), (down,)] == [each.result(LIMIT_S).outcomes for each in (first, second)]


@pytest.mark.parametrize(
    ("first", "second", "joins"),
    [(0.5, None, False), (0.5, 1.0, False), (1.0, 1.0, True), (1.0, 0.5, True), (None, 9.0, True)],
)
def test_nobody_waits_with_who_has_less_time(coalesce, manager, pool, first, second, joins):
    """
    It would be told that the time is up when its own is not.
    """
    leader = pool.submit(coalesce.handle, request("a", deadline_s=first))
    assert manager.entered.acquire(timeout=LIMIT_S)
    other = pool.submit(coalesce.handle, request("a", deadline_s=second))
    eventually(lambda: waiters(coalesce) == 1 if joins else len(manager.asked) == 2)
    manager.gate.set()

    assert leader.result(LIMIT_S).outcomes[0][0] == other.result(LIMIT_S).outcomes[0][0] == "a"
    assert len(manager.asked) == (1 if joins else 2)


def test_who_says_nothing_has_the_time_that_the_manager_is_given(manager, pool):
    coalesce = Coalesce(manager, deadline_s=1.0)
    leader = pool.submit(coalesce.handle, request("a"))
    assert manager.entered.acquire(timeout=LIMIT_S)

    other = pool.submit(coalesce.handle, request("a", deadline_s=LIMIT_S))

    eventually(lambda: len(manager.asked) == 2)
    manager.gate.set()
    assert ["a", "a"] == [each.result(LIMIT_S).outcomes[0][0] for each in (leader, other)]


@pytest.mark.parametrize("deadline_s", [None, LIMIT_S])
def test_who_waited_for_one_that_gave_up_asks_again_in_the_time_that_is_left(
    coalesce, manager, pool, deadline_s
):
    """The other's time began earlier, and a manager that answers late for it answers these in time."""
    handle, late = manager.handle, Failure(Code.DEADLINE, "not answered in time")

    def late_once(each):
        reply = handle(each)
        return Reply.of(each, late) if len(manager.asked) == 1 else reply

    manager.handle = late_once
    first = under_way(coalesce, manager, pool, request("a", deadline_s=deadline_s))
    (second,) = join(coalesce, pool, [request("a", deadline_s=deadline_s)])
    manager.gate.set()

    assert (late,) == first.result(LIMIT_S).outcomes
    assert (("a", 2),) == second.result(LIMIT_S).outcomes


def test_waiting_for_another_is_bounded_by_the_own_deadline(coalesce, manager, pool):
    """
    Who has a tenth of a second does not wait for one who has half a minute.
    """
    under_way(coalesce, manager, pool, request("a"))
    second = pool.submit(coalesce.handle, request("a", deadline_s=0.05))

    try:
        (outcome,) = second.result(2.0).outcomes
        assert Code.DEADLINE == outcome.code
    finally:
        manager.gate.set()


def test_nobody_waits_for_a_parent_s_flight_after_a_fork(coalesce, manager, pool):
    """
    In a child nobody will land it.
    """
    under_way(coalesce, manager, pool, request("a"))
    coalesce.after_fork()
    manager.gate.set()

    assert (("a", 2),) == coalesce.handle(request("a")).outcomes


def test_an_empty_request_is_answered(coalesce, manager):
    """
    With nothing, by nobody.
    """
    assert () == coalesce.handle(request()).outcomes
    assert [] == manager.asked


def test_sixteen_threads_with_overlapping_batches_are_all_answered(coalesce, manager, pool):
    """
    Whatever the timing, each gets the answers to its own references in its own order.
    """
    manager.gate.set()
    names = [f"r{number}" for number in range(40)]
    batches = [tuple(names[start : start + 12]) for start in range(28)] * 20

    replies = list(pool.map(lambda batch: coalesce.handle(request(*batch)), batches))

    assert batches == [tuple(name for name, _ in reply.outcomes) for reply in replies]
    assert {} == coalesce._flights
