# SPDX-License-Identifier: Apache-2.0
"""A second manager answers in an outage: what it recognises, and under its own name."""

from pathlib import Path

import pytest

from bifrost.context import Context
from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.pipeline.fallback import Fallback

DOWN = Failure(Code.UNAVAILABLE, "down", retryable=True)
LATE = Failure(Code.DEADLINE, "late")
NOT_FOUND = Failure(Code.NOT_FOUND, "no such asset")
FOREIGN = Failure(Code.FOREIGN_REFERENCE, "not ours")
DENIED = Failure(Code.PERMISSION_DENIED, "not you")


class Manager:
    """Answers as it is told to; remembers what it was asked."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def handle(self, request):
        self.asked.append((request.operation, request.references))
        return Reply.by_reference(request, self.answers.__getitem__)


def resolution(name, manager="second"):
    return Resolution(name, f"/{manager}/{name}", manager=manager)


def ask(first, second, *names, operation=Operation.RESOLVE):
    second = second if isinstance(second, Manager) else Manager(second)
    fallback = Fallback(Manager(first), second, clock=lambda: 1000.0)
    reply = fallback.handle(Request(operation, names, Context().snapshot()))
    return reply.outcomes, second.asked, fallback.served


@pytest.mark.parametrize("outage", [DOWN, LATE])
def test_what_met_an_outage_is_asked_of_the_second(outage):
    """
    In one round trip; the answer says whose it is, and is asked for again soon.
    """
    outcomes, asked, served = ask(
        {"a": outage, "b": resolution("b", "first"), "c": outage},
        {"a": resolution("a"), "c": resolution("c")},
        "a", "b", "c",
    )  # fmt: skip

    assert ["second", "first", "second"] == [each.manager for each in outcomes]
    assert ["fallback", "manager", "fallback"] == [each.tier for each in outcomes]
    assert 1000.0 < outcomes[0].expires <= 1060.0
    assert [(Operation.RESOLVE, ("a", "c"))] == asked
    assert 2 == served


@pytest.mark.parametrize("failure", [NOT_FOUND, DENIED])
def test_an_answer_is_an_answer(failure):
    """
    What the first manager denies, or does not have, no other one may give.
    """
    outcomes, asked, _ = ask({"a": failure}, {"a": resolution("a")}, "a")

    assert (failure,) == outcomes
    assert [] == asked


def test_only_what_it_recognises():
    """
    A reference is a string of one manager; another may make anything of it.
    """
    outcomes, _, served = ask(
        {"a": DOWN, "b": DOWN}, {"a": FOREIGN, "b": resolution("b")}, "a", "b"
    )

    assert (DOWN, "second", 1) == (outcomes[0], outcomes[1].manager, served)


def test_what_the_second_raises_leaves_the_first_failure():
    class Plugin(Manager):
        def handle(self, _request):
            raise RuntimeError("of a plugin")

    outcomes, _, served = ask({"a": DOWN}, Plugin({}), "a")

    assert ((DOWN,), 0) == (outcomes, served)


def test_where_the_second_has_no_answer_the_first_failure_stands():
    """
    It says what is wrong: the outage.
    """
    outcomes, _, served = ask({"a": DOWN}, {"a": NOT_FOUND}, "a")

    assert (DOWN,) == outcomes
    assert 0 == served


def test_paths_and_other_questions_too():
    """
    `LOCATE` is what caches answer: managers are asked to resolve.
    """
    located, asked, _ = ask({"a": DOWN}, {"a": resolution("a")}, "a", operation=Operation.LOCATE)
    assert (Path("/second/a"),) == located
    assert [(Operation.RESOLVE, ("a",))] == asked

    exists, asked, _ = ask({"a": DOWN}, {"a": True}, "a", operation=Operation.EXISTS)
    assert (True,) == exists
    assert [(Operation.EXISTS, ("a",))] == asked
