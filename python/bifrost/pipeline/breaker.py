# SPDX-License-Identifier: Apache-2.0
"""
Leaves a manager alone that is down.

Of our own making: pybreaker holds its lock during the call, and circuitbreaker, purgatory and others
let every waiting thread probe at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler

# A probe without an answer for so many cooldowns was given up further out: the next one may try.
_LOST_AFTER_COOLDOWNS = 6


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
        self._probe: object | None = None
        self._probed_at = 0.0

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        with self._lock:
            if self._opened_at is None:
                return "closed"
            return "half-open" if self._cooled() else "open"

    def handle(self, request: Request) -> Reply:
        """Pass *request* on, or answer for a manager that is known to be down."""
        probe = None
        with self._lock:
            if self._opened_at is not None and self._may_probe():
                # A probe that hangs, given up further out, must not be the last one ever.
                self._probed_at = self._clock()
                probe = self._probe = object()
            is_let_through = self._opened_at is None or probe is not None
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
            self._note(reply, probe)
        return reply

    def gave_up(self) -> None:
        """
        Count a call that nobody waits for any more: it hangs, and may never be answered.

        Called by who waits further out, when a request used up all the time that the manager is given.
        """
        with self._lock:
            self._probe = None
            self._failures += 1
            if self._opened_at is not None or self._failures >= self._limit:
                self._opened_at = self._clock()

    def _cooled(self) -> bool:
        return self._opened_at is not None and self._clock() >= self._opened_at + self._cooldown_s

    def _may_probe(self) -> bool:
        return self._cooled() and (
            self._probe is None
            or self._clock() >= self._probed_at + _LOST_AFTER_COOLDOWNS * self._cooldown_s
        )

    def _note(self, reply: Reply | None, probe: object | None) -> None:
        with self._lock:
            if self._opened_at is not None and (probe is None or probe is not self._probe):
                return  # a straggler, or a probe given up: only the probe under way decides
            self._probe = None
            if reply is not None and not reply.is_outage:
                self._failures, self._opened_at = 0, None
                return
            self._failures += 1
            if self._failures >= self._limit:
                self._opened_at = self._clock()
