# SPDX-License-Identifier: Apache-2.0
"""
Leaves a manager alone that is down.

Of our own making: pybreaker holds its lock during the call, and circuitbreaker, purgatory and others
let every waiting thread probe at once (libraries.md has the measurements).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler

_OUTAGE = frozenset({Code.UNAVAILABLE, Code.DEADLINE})


def is_outage(reply: Reply) -> bool:
    """Whether the round trip itself failed: every element met an outage."""
    return bool(reply.outcomes) and all(
        isinstance(outcome, Failure) and outcome.code in _OUTAGE for outcome in reply.outcomes
    )


class Breaker:
    """
    Closed: passes everything. Open, after *failures* outages in a row: answers at once. Half-open,
    *cooldown_s* seconds later: lets exactly one request through, and closes if it is answered.
    """

    def __init__(
        self,
        inner: Handler,
        failures: int,
        cooldown_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._inner = inner
        self._limit = failures
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        with self._lock:
            if self._opened_at is None:
                return "closed"
            return "half-open" if self._cooled() else "open"

    def handle(self, request: Request) -> Reply:
        """Pass *request* on, or answer for a manager that is known to be down."""
        is_probe = False
        with self._lock:
            if self._opened_at is not None:
                is_probe = self._cooled() and not self._probing
                self._probing = self._probing or is_probe
            is_let_through = self._opened_at is None or is_probe
        if not is_let_through:
            wait_s = max(0.0, (self._opened_at or 0.0) + self._cooldown_s - self._clock())
            return Reply.of(
                request,
                Failure(
                    Code.UNAVAILABLE,
                    f"the manager failed {self._failures} times in a row and is left alone for "
                    f"{wait_s:.0f} s",
                    details={"retry_after": wait_s},
                ),
            )
        reply = None
        try:
            reply = self._inner.handle(request)
        finally:
            self._note(reply, is_probe)
        return reply

    def _cooled(self) -> bool:
        return self._opened_at is not None and self._clock() >= self._opened_at + self._cooldown_s

    def _note(self, reply: Reply | None, is_probe: bool) -> None:
        with self._lock:
            if self._opened_at is not None and not is_probe:
                return  # a straggler from before it opened: only the probe decides
            self._probing = False
            if reply is not None and not is_outage(reply):
                self._failures, self._opened_at = 0, None
                return
            self._failures += 1
            if self._failures >= self._limit:
                self._opened_at = self._clock()
