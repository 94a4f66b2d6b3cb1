# SPDX-License-Identifier: Apache-2.0
"""Asks a second manager while the first is down and no cache can stand in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import time
from typing import Any

from bifrost.model.paths import path_of
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.pipeline.handler import Handler

# How long an answer of the second manager is believed before the first is asked again.
_RECHECK_S = 30.0


class Fallback:
    """
    Takes what met an outage to a second manager, if that takes the reference for one of its own.

    What it answers is not cached, and says who it is of: `Resolution.manager`, and `tier` is `fallback`.
    Where it has no answer either, the first manager's failure stands.

    Args:
        inner: What is asked first.
        second: The second manager, with deadline and breaker of its own. It is made, and asked whose a
            reference is, within those.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        inner: Handler,
        second: Handler,
        clock: Callable[[], float] = time,
    ) -> None:
        self._inner = inner
        self._second = second
        self._clock = clock
        self.served = 0
        """How many answers came from the second manager."""

    def handle(self, request: Request) -> Reply:
        """Pass *request* on, and what met an outage to the second manager."""
        reply = self._inner.handle(request)
        lost = [ref for ref, failure in reply.failures().items() if failure.is_outage]
        if not lost:
            return reply
        is_located = request.operation is Operation.LOCATE
        operation = Operation.RESOLVE if is_located else request.operation
        again = replace(request.only(lost).without_batch(), operation=operation)
        try:
            answered = list(self._second.handle(again).items())
        except Exception:  # noqa: BLE001  whatever a plugin may raise: the first one's failure stands
            return reply
        found = {
            reference: self._marked(outcome, is_located=is_located)
            for reference, outcome in answered
            if not isinstance(outcome, Failure)
        }
        self.served += len(found)
        outcomes = (found.get(reference, outcome) for reference, outcome in reply.items())
        return Reply(request, tuple(outcomes))

    def _marked(self, outcome: Any, *, is_located: bool) -> Any:
        if not isinstance(outcome, Resolution):
            return outcome
        if is_located:
            return path_of(outcome.path)
        return outcome._replace(tier="fallback", expires=self._clock() + _RECHECK_S)
