# SPDX-License-Identifier: Apache-2.0
"""Requests and replies: one outcome for each reference, in the order they were asked."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.context import Context
from bifrost.errors import AssetNotFoundException, Code, NetworkErrorException
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.monitoring.recorder import Recorder
from bifrost.pipeline.observe import Observe

NOT_FOUND = Failure(Code.NOT_FOUND, "no such asset", details={"suggestions": ["hero"]})
DOWN = Failure(Code.UNAVAILABLE, "down", retryable=True)
REFERENCES = st.lists(st.sampled_from("abcde"))


def asking(*references, **options):
    return Request(Operation.RESOLVE, references, Context().snapshot(), **options)


@pytest.mark.parametrize("outcomes", [(), (1,), (1, 2, 3)])
def test_a_reply_has_one_outcome_for_each_reference(outcomes):
    """
    Fewer or more would shift answers to the wrong references.
    """
    with pytest.raises(ValueError, match="outcomes for 2 references"):
        Reply(asking("a", "b"), outcomes)


@given(REFERENCES)
def test_order_and_duplicates_are_kept(references):
    """
    A reply can be zipped with what was asked.
    """
    reply = Reply.by_reference(asking(*references), str.upper)

    assert [(each, each.upper()) for each in references] == list(reply.items())


@given(REFERENCES, st.lists(st.sampled_from("abcde"), unique=True))
def test_a_patched_reply_has_the_newer_outcomes_in_place(references, again):
    """
    What was asked again replaces its outcome wherever it stands; what wasn't asked stays.
    """
    reply = Reply.by_reference(asking(*references), str.upper)
    newer = Reply.by_reference(asking(*again), lambda reference: reference * 2)

    expected = tuple(each * 2 if each in again else each.upper() for each in references)
    assert Reply(reply.request, expected) == reply.patched(newer)


def test_an_outage_is_a_failure_for_each_reference():
    """
    `Reply.of` says the same of all of them.
    """
    reply = Reply.of(asking("a", "b"), DOWN)

    assert (DOWN, DOWN) == reply.outcomes
    assert {"a": DOWN, "b": DOWN} == reply.failures()


def test_failures_are_told_from_answers():
    """
    False, an empty set and None are answers.
    """
    reply = Reply(asking("a", "b", "c"), (False, frozenset(), NOT_FOUND))

    assert {"c": NOT_FOUND} == reply.failures()


def test_a_failure_becomes_its_exception():
    """
    With the reference, the message and the details.
    """
    error = NOT_FOUND.exception("bifrost:///assets/herro")

    assert AssetNotFoundException is type(error)
    assert ("bifrost:///assets/herro", "no such asset", ["hero"]) == (
        error.asset_uri,
        error.message,
        error.suggestions,
    )
    assert NetworkErrorException is type(DOWN.exception("a"))


def test_an_exception_s_details_are_its_own():
    """
    A failure is a value that many callers share.
    """
    NOT_FOUND.exception("a").details["suggestions"] = None

    assert {"suggestions": ["hero"]} == NOT_FOUND.details


def test_the_same_question_about_fewer_references():
    """
    `only` keeps who asks, how long it may take and whether caches count.
    """
    request = asking("a", "b", deadline_s=2.0, fresh=True)

    assert asking("b", deadline_s=2.0, fresh=True) == request.only(["b"])


@pytest.mark.parametrize("value", [asking("a"), NOT_FOUND, Reply.of(asking("a"), DOWN)])
def test_they_are_values(value):
    """
    What crosses threads can't be changed on the way.
    """
    field = dataclasses.fields(value)[0].name

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, None)
    assert dataclasses.replace(value) == value


class Scripted:
    def __init__(self, *outcomes):
        self.outcomes = outcomes

    def handle(self, request):
        return Reply(request, self.outcomes)


def test_what_crosses_the_pipeline_is_counted():
    """
    Requests and elements by operation, failures by code, and the seconds of all together.
    """
    times = iter([10.0, 10.5, 20.0, 22.0])
    observe = Observe(Scripted("an answer", NOT_FOUND), Recorder(), clock=lambda: next(times))

    observe.handle(asking("a", "b"))
    observe.handle(asking("a", "b"))

    counted = observe.stats()["resolve"]
    assert (2, 4, 2.5, {"not_found": 2}) == tuple(
        counted[name] for name in ("count", "elements", "total_s", "failures")
    )
