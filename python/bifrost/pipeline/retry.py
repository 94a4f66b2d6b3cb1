# SPDX-License-Identifier: Apache-2.0
"""Asks again what may succeed in a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic, sleep
from typing import Any

from bifrost.model.reply import Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler


class Retry:
    """
    Asks the retryable failures of a reply again: exponential waits with full jitter.

    Sits outside the breaker so that every attempt is counted there. The other way round, a burst of
    ten attempts would look like one failure. tenacity decides how long to wait; it is entered only
    after a first failure, because it costs 10 us where nothing failed.
    """

    def __init__(
        self,
        inner: Handler,
        attempts: int,
        base_s: float,
        max_s: float,
        *,
        sleep: Callable[[float], None] = sleep,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._inner = inner
        self._attempts = attempts
        self._base_s = base_s
        self._max_s = max_s
        self._sleep = sleep
        self._clock = clock

    def handle(self, request: Request) -> Reply:
        """Pass *request* on until nothing retryable is left, or attempts or time are used up."""
        start = self._clock()
        limit_s = float("inf") if request.deadline_s is None else request.deadline_s
        reply = self._inner.handle(request)
        again = _retryable(reply)
        if not again:
            return reply
        attempt = 1
        for wait_s in self._waits():
            wait_s = max(wait_s, _asked_to_wait(reply))
            left_s = limit_s - (self._clock() - start)
            if wait_s >= left_s:
                break
            self._sleep(wait_s)
            attempt += 1
            reply = reply.patched(self._inner.handle(request.only(again)))
            again = _retryable(reply)
            if not again:
                break
        return reply if attempt == 1 else _after(attempt, reply, again)

    def _waits(self) -> Iterator[float]:
        import tenacity

        policy = tenacity.wait_random_exponential(multiplier=self._base_s, max=self._max_s)
        for attempt in range(1, self._attempts):
            yield policy(_attempted(attempt))


def _after(attempt: int, reply: Reply, again: list[str]) -> Reply:
    """Return *reply* with the number of the last attempt in the failures of *again*."""
    failed = set(again)
    return Reply(
        reply.request,
        tuple(
            replace(outcome, details={**outcome.details, "attempt": attempt})
            if reference in failed
            else outcome
            for reference, outcome in reply.items()
        ),
    )


def _attempted(number: int) -> Any:
    import tenacity

    state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
    state.attempt_number = number
    return state


def _retryable(reply: Reply) -> list[str]:
    return [ref for ref, failure in reply.failures().items() if failure.retryable]


def _asked_to_wait(reply: Reply) -> float:
    waits = (f.details.get("retry_after") for f in reply.failures().values() if f.retryable)
    return max((float(wait) for wait in waits if wait), default=0.0)
