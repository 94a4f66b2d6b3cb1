# SPDX-License-Identifier: Apache-2.0
"""Asks once what many ask at the same time."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Any

from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler

_LOST = Failure(Code.UNAVAILABLE, "another request asked for it and got no answer", retryable=True)
_LATE = Failure(Code.DEADLINE, "another request asked for it and was not answered in time")


class Coalesce:
    """
    Drops duplicates within a request, and leaves out what another thread is asking for just now.

    Requests are shared only between equal operations and contexts. Waiting for another's answer is
    bounded by that one's deadline, since the deadline lies further in.
    """

    def __init__(self, inner: Handler) -> None:
        self._inner = inner
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child: what others were asking for, nobody will answer."""
        self._lock = threading.Lock()
        self._flights: dict[tuple[str, str, str], _Flight] = {}

    def handle(self, request: Request) -> Reply:
        """Pass on what nobody else is asking for; wait for the rest."""
        limit_s = request.deadline_s
        end = None if limit_s is None else monotonic() + min(limit_s, threading.TIMEOUT_MAX)
        own, foreign = self._claim(request)
        outcomes: dict[str, Any] = {}
        try:
            if own:
                outcomes.update(self._inner.handle(request.only(list(own))).items())
        finally:
            self._land(request, own, outcomes)
        for reference, flight in foreign.items():
            left_s = None if end is None else max(0.0, end - monotonic())
            landed = flight.landed.wait(left_s)
            outcomes[reference] = flight.outcome if landed else _LATE
        return Reply.by_reference(request, outcomes.__getitem__)

    def _key(self, request: Request, reference: str) -> tuple[str, str, str]:
        return request.operation, request.context.scope, reference

    def _claim(self, request: Request) -> tuple[dict[str, _Flight], dict[str, _Flight]]:
        own: dict[str, _Flight] = {}
        foreign: dict[str, _Flight] = {}
        with self._lock:
            for reference in request.references:
                key = self._key(request, reference)
                # A fresh request must not be served by one that may have been answered already.
                flight = None if request.fresh else self._flights.get(key)
                if reference in own:
                    continue
                if flight is None:
                    own[reference] = self._flights[key] = _Flight()
                else:
                    foreign[reference] = flight
        return own, foreign

    def _land(self, request: Request, own: dict[str, _Flight], outcomes: dict[str, Any]) -> None:
        with self._lock:
            for reference, flight in own.items():
                key = self._key(request, reference)
                if self._flights.get(key) is flight:
                    del self._flights[key]
        for reference, flight in own.items():
            flight.outcome = outcomes.get(reference, _LOST)
            flight.landed.set()


class _Flight:
    """One reference that somebody is asking for."""

    __slots__ = ("landed", "outcome")

    def __init__(self) -> None:
        self.landed = threading.Event()
        self.outcome: Any = _LOST
