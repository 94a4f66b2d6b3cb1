# SPDX-License-Identifier: Apache-2.0
"""Asks once what many ask at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler

_Common = tuple[str, str, object]
_Key = tuple[_Common, str]

_LOST = Failure(Code.UNAVAILABLE, "another request asked for it and got no answer", retryable=True)
_LATE = Failure(Code.DEADLINE, "another request asked for it and was not answered in time")


class Coalesce:
    """
    Drops duplicates within a request, and leaves out what another thread is asking for just now.

    Requests are shared only between equal operations and contexts, and only within an epoch: who asks
    after something was invalidated must not be given an answer that was asked for before. Nobody waits
    with who has less time, whose deadline lies further in and would be theirs; and who waited for
    somebody that gave up asks again in the time that is left.

    Args:
        inner: What is asked.
        epoch: Returns something that is another after every invalidation.
        deadline_s: How long *inner* waits for those that say nothing; None for ever.
    """

    def __init__(
        self,
        inner: Handler,
        epoch: Callable[[], object] = lambda: None,
        deadline_s: float | None = None,
    ) -> None:
        self._inner = inner
        self._epoch = epoch
        self._deadline_s = deadline_s
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child: what others were asking for, nobody will answer."""
        self._lock = threading.Lock()
        self._flights: dict[_Key, _Flight] = {}

    def handle(self, request: Request) -> Reply:
        """Pass on what nobody else is asking for; wait for the rest."""
        limit_s = self._limit_s(request)
        end = None if limit_s is None else monotonic() + min(limit_s, threading.TIMEOUT_MAX)
        common = (request.operation, request.context.scope, self._epoch())
        own, foreign = self._claim(request, common)
        outcomes = own.outcomes
        try:
            if own.references:
                outcomes.update(self._inner.handle(request.only(own.references)).items())
        finally:
            self._land(common, own)
        if foreign:
            outcomes = dict(outcomes)
            for reference, flight in foreign.items():
                left_s = None if end is None else max(0.0, end - monotonic())
                landed = flight.landed.wait(left_s)
                outcomes[reference] = flight.outcomes.get(reference, _LOST) if landed else _LATE
            self._ask_again(
                request, [ref for ref in foreign if _is_late(outcomes[ref])], end, outcomes
            )
        return Reply.by_reference(request, outcomes.__getitem__)

    def _ask_again(
        self, request: Request, late: list[str], end: float | None, outcomes: dict[str, Any]
    ) -> None:
        """Ask for what others gave up, whose time began before ours; with them, where they ask again."""
        left_s = None if end is None else end - monotonic()
        if late and (left_s is None or left_s > 0):
            again = replace(request.only(late), deadline_s=left_s)
            outcomes.update(self.handle(again).items())

    def _limit_s(self, request: Request) -> float | None:
        return self._deadline_s if request.deadline_s is None else request.deadline_s

    def _claim(self, request: Request, common: _Common) -> tuple[_Flight, dict[str, _Flight]]:
        own = _Flight(self._limit_s(request))
        foreign: dict[str, _Flight] = {}
        with self._lock:
            for reference in dict.fromkeys(request.references):
                key = (common, reference)
                # A fresh request must not be served by one that may have been answered already.
                flight = None if request.fresh else self._flights.get(key)
                if flight is None or flight.has_less_time(own):
                    own.references.append(reference)
                    self._flights[key] = own
                else:
                    foreign[reference] = flight
        return own, foreign

    def _land(self, common: _Common, own: _Flight) -> None:
        with self._lock:
            for reference in own.references:
                key = (common, reference)
                if self._flights.get(key) is own:
                    del self._flights[key]
        own.landed.set()


class _Flight:
    """What one request asks for, until it is answered. One event for all of it: each costs 10 us."""

    __slots__ = ("deadline_s", "landed", "outcomes", "references")

    def __init__(self, deadline_s: float | None) -> None:
        self.deadline_s = deadline_s
        self.landed = threading.Event()
        self.references: list[str] = []
        self.outcomes: dict[str, Any] = {}

    def has_less_time(self, other: _Flight) -> bool:
        """Whether it has less time than *other*, from its beginning on; None is for ever."""
        mine, theirs = self.deadline_s, other.deadline_s
        return mine is not None and (theirs is None or mine < theirs)


def _is_late(outcome: Any) -> bool:
    return isinstance(outcome, Failure) and outcome.code == Code.DEADLINE
