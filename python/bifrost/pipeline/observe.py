# SPDX-License-Identifier: Apache-2.0
"""Counts what crosses the pipeline."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from time import perf_counter
from typing import Any

from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler


class Observe:
    """Counts requests, elements and failures by operation, and the time they took."""

    def __init__(self, inner: Handler, clock: Callable[[], float] = perf_counter) -> None:
        self._inner = inner
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._seconds = 0.0

    def handle(self, request: Request) -> Reply:
        """Pass *request* on and count what came of it."""
        start = self._clock()
        reply = self._inner.handle(request)
        elapsed = self._clock() - start
        failed = Counter(f"failed.{o.code}" for o in reply.outcomes if isinstance(o, Failure))
        with self._lock:
            self._counts[f"requests.{request.operation}"] += 1
            self._counts[f"elements.{request.operation}"] += len(request.references)
            self._counts.update(failed)
            self._seconds += elapsed
        return reply

    def stats(self) -> dict[str, Any]:
        """Return the counters, and the seconds spent in all requests together."""
        with self._lock:
            return {**self._counts, "seconds": self._seconds}
