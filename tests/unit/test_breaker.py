# SPDX-License-Identifier: Apache-2.0
"""A manager that is down is left alone, and asked by exactly one whether it is back."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bifrost.context import Context
from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.pipeline.breaker import Breaker

# No test waits for this long unless it fails.
LIMIT_S = 20.0
THREADS = 16
FAILURES, COOLDOWN_S = 3, 10.0
DOWN = Failure(Code.UNAVAILABLE, "down", retryable=True)
LATE = Failure(Code.DEADLINE, "late")
GONE = Failure(Code.NOT_FOUND, "gone")


class Manager:
    """Answers with *outcome* when its gate is open, or raises it."""

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.outcome = "fine"
        self.asked = 0

    def handle(self, request):
        self.asked += 1
        self.entered.release()
        assert self.gate.wait(LIMIT_S)
        outcome = {"up": "fine", "down": DOWN}.get(request.references[0], self.outcome)
        if isinstance(outcome, Exception):
            raise outcome
        return Reply.of(request, outcome)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def manager():
    return Manager()


@pytest.fixture
def breaker(manager, clock):
    return Breaker(manager, FAILURES, COOLDOWN_S, clock=clock)


@pytest.fixture
def pool(manager):
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool
        manager.gate.set()


def request(*references):
    return Request(Operation.RESOLVE, references or ("a", "b"), Context().snapshot())


def opened(breaker, manager):
    """Make the breaker open, as an outage does."""
    manager.outcome = DOWN
    for _ in range(FAILURES):
        breaker.handle(request())
    assert "open" == breaker.state
    manager.asked = 0
    manager.entered = threading.Semaphore(0)


def test_closed_it_passes_everything(breaker, manager):
    """
    Answers and definite failures are both signs of life.
    """
    for manager.outcome in ["fine", GONE] * FAILURES:
        assert (manager.outcome, manager.outcome) == breaker.handle(request()).outcomes

    assert ("closed", FAILURES * 2) == (breaker.state, manager.asked)


@pytest.mark.parametrize("failure", [DOWN, LATE])
def test_outages_in_a_row_open_it(breaker, manager, failure):
    """
    The last of them still reaches who asked as it is.
    """
    manager.outcome = failure
    states = []
    for _ in range(FAILURES):
        assert (failure, failure) == breaker.handle(request()).outcomes
        states.append(breaker.state)

    assert ["closed", "closed", "open"] == states


def test_a_sign_of_life_starts_the_count_anew(breaker, manager):
    """
    Only outages in a row count.
    """
    for manager.outcome in [DOWN, DOWN, GONE] * 3:
        breaker.handle(request())

    assert "closed" == breaker.state


def test_open_it_answers_at_once_and_says_when_to_come_back(breaker, manager, clock):
    """
    The manager is not asked, every element fails, and nobody is told to retry at once.
    """
    opened(breaker, manager)
    clock.now += 4.0

    reply = breaker.handle(request())

    assert 0 == manager.asked
    assert [(Code.UNAVAILABLE, False, {"retry_after": 6.0})] * 2 == [
        (each.code, each.retryable, each.details) for each in reply.outcomes
    ]
    assert "6 s" in reply.outcomes[0].message


def test_after_the_cooldown_one_that_is_answered_closes_it(breaker, manager, clock):
    """
    Open, half-open, closed.
    """
    opened(breaker, manager)
    clock.now += COOLDOWN_S
    assert "half-open" == breaker.state
    manager.outcome = "fine"

    assert ("fine", "fine") == breaker.handle(request()).outcomes
    assert "closed" == breaker.state


def test_after_the_cooldown_one_that_fails_opens_it_again(breaker, manager, clock):
    """
    For another whole cooldown.
    """
    opened(breaker, manager)
    clock.now += COOLDOWN_S
    breaker.handle(request())

    clock.now += COOLDOWN_S - 0.001
    assert "open" == breaker.state
    breaker.handle(request())
    assert 1 == manager.asked


def test_sixteen_threads_probe_once(breaker, manager, clock, pool):
    """
    Exactly one is let through, and the others are answered while it is under way.
    """
    opened(breaker, manager)
    clock.now += COOLDOWN_S
    manager.gate.clear()
    manager.outcome = "fine"
    barrier = threading.Barrier(THREADS)

    def ask(_):
        barrier.wait(LIMIT_S)
        reply = breaker.handle(request())
        return reply.outcomes[0]

    futures = [pool.submit(ask, number) for number in range(THREADS)]
    assert manager.entered.acquire(timeout=LIMIT_S)
    while sum(each.done() for each in futures) < THREADS - 1:
        threading.Event().wait(0.001)
    manager.gate.set()
    outcomes = [each.result(LIMIT_S) for each in futures]

    assert 1 == manager.asked
    assert 1 == outcomes.count("fine")
    assert "closed" == breaker.state


def test_a_straggler_lets_no_second_probe_through(breaker, manager, clock, pool):
    """
    A call from before the outage that fails late says nothing about the probe under way.
    """
    manager.gate.clear()
    straggler = pool.submit(breaker.handle, request("down"))
    assert manager.entered.acquire(timeout=LIMIT_S)
    other = Manager()
    other.outcome = DOWN
    breaker._inner = other
    opened(breaker, other)
    clock.now += COOLDOWN_S
    other.gate.clear()
    probe = pool.submit(breaker.handle, request())
    assert other.entered.acquire(timeout=LIMIT_S)

    manager.gate.set()
    straggler.result(LIMIT_S)
    clock.now += COOLDOWN_S
    second = pool.submit(breaker.handle, request())
    try:
        assert Code.UNAVAILABLE == second.result(2.0).outcomes[0].code
        assert 1 == other.asked
    finally:
        other.gate.set()
        probe.result(LIMIT_S)


def test_stragglers_do_not_put_the_probe_off(breaker, manager, clock, pool):
    """
    The cooldown counts from the opening, however many calls of before come back failed.
    """
    manager.gate.clear()
    stragglers = [pool.submit(breaker.handle, request("down")) for _ in range(3)]
    for _ in stragglers:
        assert manager.entered.acquire(timeout=LIMIT_S)
    other = Manager()
    breaker._inner = other
    opened(breaker, other)
    clock.now += COOLDOWN_S - 1.0
    manager.gate.set()
    for each in stragglers:
        each.result(LIMIT_S)
    clock.now += 1.0

    assert "half-open" == breaker.state


def test_a_call_that_raises_counts_as_an_outage(breaker, manager):
    """
    And raises; a probe that raises lets another one probe later.
    """
    manager.outcome = ValueError("a defect")
    for _ in range(FAILURES):
        with pytest.raises(ValueError, match="a defect"):
            breaker.handle(request())

    assert "open" == breaker.state


def test_a_probe_that_raises_is_not_the_last(breaker, manager, clock):
    """
    After another cooldown somebody probes again.
    """
    opened(breaker, manager)
    manager.outcome = ValueError("a defect")
    clock.now += COOLDOWN_S
    with pytest.raises(ValueError, match="a defect"):
        breaker.handle(request())
    manager.outcome = "fine"
    clock.now += COOLDOWN_S

    assert ("fine", "fine") == breaker.handle(request()).outcomes


@pytest.mark.parametrize(
    ("outcomes", "outage"),
    [
        ((DOWN,), True),
        ((DOWN, LATE), True),
        ((DOWN, GONE), False),
        ((DOWN, "fine"), False),
        ((False,), False),
        ((), False),
    ],
)
def test_an_outage_is_when_nothing_came_back(outcomes, outage):
    """
    One answer among failures is a sign of life.
    """
    names = tuple("abc"[: len(outcomes)])

    request = Request(Operation.RESOLVE, names, Context().snapshot())

    assert outage is Reply(request, outcomes).is_outage


def test_many_threads_leave_it_closed_or_open_but_never_stuck(breaker, manager, clock, pool):
    """
    However outages and answers interleave, after a cooldown an answer closes it.
    """

    def ask(number):
        clock.now += 1.0
        return breaker.handle(request("down" if number % 5 else "up"))

    list(pool.map(ask, range(2000)))
    clock.now += COOLDOWN_S
    breaker.handle(request("up"))

    assert "closed" == breaker.state
