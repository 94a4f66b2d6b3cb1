# SPDX-License-Identifier: Apache-2.0
"""Asking again: only what may succeed, no longer than there is time, with waits that grow."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bifrost.context import Context
from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.pipeline.retry import Retry

DOWN = Failure(Code.UNAVAILABLE, "down", retryable=True)
GONE = Failure(Code.NOT_FOUND, "gone")
BASE_S, MAX_S = 0.1, 2.0


class World:
    """A manager, a clock and a sleep: each call takes no time, each sleep all that it says."""

    def __init__(self, *answers, attempts=3, base_s=BASE_S, max_s=MAX_S):
        self.answers = list(answers)
        self.asked = []
        self.slept = []
        self.now = 100.0
        self.retry = Retry(self, attempts, base_s, max_s, sleep=self.sleep, clock=lambda: self.now)

    def handle(self, request):
        self.asked.append(request.references)
        answer = self.answers.pop(0) if self.answers else {}
        return Reply.by_reference(
            request, lambda reference: answer.get(reference, reference.upper())
        )

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def ask(self, *references, **options):
        request = Request(Operation.RESOLVE, references, Context().snapshot(), **options)
        return self.retry.handle(request).outcomes


def down(**details):
    return Failure(Code.UNAVAILABLE, "down", retryable=True, details=details)


def test_a_good_answer_is_asked_for_once():
    """
    Nothing to mend, nothing to wait for.
    """
    world = World()

    assert ("A", "B") == world.ask("a", "b")
    assert ([("a", "b")], []) == (world.asked, world.slept)


def test_only_what_may_pass_is_asked_again():
    """
    Answers and definite failures stay as they are.
    """
    world = World({"b": DOWN, "c": GONE}, {"b": "mended"})

    assert ("A", "mended", GONE, "mended") == world.ask("a", "b", "c", "b")
    assert [("a", "b", "c", "b"), ("b",)] == world.asked


def test_each_attempt_asks_for_what_is_left():
    """
    The batch shrinks as elements come right.
    """
    world = World({"a": DOWN, "b": DOWN}, {"b": DOWN})

    assert ("A", "B") == world.ask("a", "b")
    assert [("a", "b"), ("a", "b"), ("b",)] == world.asked


def test_the_attempts_are_counted_with_the_first():
    """
    `retry.attempts` is how often the manager is asked in all, and the failure says so.
    """
    world = World(*[{"a": DOWN}] * 9, attempts=4)

    assert (down(attempt=4),) == world.ask("a")
    assert 4 == len(world.asked)


@pytest.mark.parametrize("attempts", [0, 1])
def test_without_attempts_left_nothing_is_asked_again(attempts):
    """
    0 and 1 turn retrying off.
    """
    world = World({"a": DOWN}, attempts=attempts)

    assert (DOWN,) == world.ask("a")
    assert ([("a",)], []) == (world.asked, world.slept)


@settings(max_examples=30)
@given(st.integers(2, 12))
def test_waits_grow_with_jitter_up_to_the_longest(attempts):
    """
    Between 0 and base * 2^n, never above the longest.
    """
    world = World(*[{"a": DOWN}] * attempts, attempts=attempts)
    world.ask("a")

    limits = [min(MAX_S, BASE_S * 2**number) for number in range(attempts - 1)]
    assert len(limits) == len(world.slept)
    assert [] == [
        wait for wait, most in zip(world.slept, limits, strict=True) if not 0 <= wait <= most
    ]


def test_waits_are_not_in_step():
    """
    A farm that lost its server must not come back as one.
    """
    waits = set()
    for _ in range(20):
        world = World({"a": DOWN})
        world.ask("a")
        waits.update(world.slept)

    assert len(waits) > 10


def test_no_wait_outlasts_the_deadline():
    """
    An answer nobody waits for any more is not asked for.
    """
    world = World(*[{"a": DOWN}] * 99, attempts=99, base_s=1.0, max_s=1.0)

    world.ask("a", deadline_s=3.0)

    assert sum(world.slept) < 3.0
    assert len(world.asked) < 99


def test_without_time_nothing_is_asked_again():
    """
    A deadline of 0 s is a deadline.
    """
    world = World({"a": DOWN})

    assert (DOWN,) == world.ask("a", deadline_s=0.0)
    assert [] == world.slept


def test_a_manager_that_says_when_is_believed():
    """
    The longest `retry_after` of what is asked again, where that is longer than our own wait.
    """
    world = World({"a": down(retry_after=5.0), "b": down(retry_after=7.0)})

    assert ("A", "B") == world.ask("a", "b")
    assert [7.0] == world.slept


def test_a_manager_that_says_later_than_the_deadline_is_not_waited_for():
    """
    Failing now is better than failing at the deadline.
    """
    world = World({"a": down(retry_after=60.0)})

    world.ask("a", deadline_s=30.0)

    assert [] == world.slept


def test_what_is_not_asked_again_does_not_make_the_others_wait():
    """
    A definite failure's `retry_after` is the caller's business.
    """
    limited = Failure(Code.CONFLICT, "locked", details={"retry_after": 60.0})
    world = World({"a": DOWN, "b": limited})

    assert ("A", limited) == world.ask("a", "b", deadline_s=30.0)
    assert sum(world.slept) <= BASE_S


def test_the_rest_of_the_question_stays():
    """
    Who asks, how long it may take, whether caches count.
    """
    requests = []

    class Manager:
        def handle(self, request):
            requests.append(request)
            return Reply.of(request, DOWN)

    request = Request(Operation.EXISTS, ("a",), Context(user="ada").snapshot(), 9.0, fresh=True)
    Retry(Manager(), 2, 0.0, 0.0, sleep=lambda _: None).handle(request)

    assert [request, request] == requests


def test_an_exception_is_not_retried():
    """
    Exceptions are for what asking again can't mend.
    """
    calls = []

    class Manager:
        def handle(self, request):
            calls.append(request)
            raise KeyError("a defect")

    with pytest.raises(KeyError):
        Retry(Manager(), 3, 0.0, 0.0).handle(
            Request(Operation.RESOLVE, ("a",), Context().snapshot())
        )
    assert 1 == len(calls)
