# SPDX-License-Identifier: Apache-2.0
"""
Asks a manager in parts: as large as it answers fast, as many at once as it bears.

A request without a `Batch` is one round trip however many references it has: that is what opening a
stage wants. One with a `Batch` comes from a caller with any number of them, who wants to see progress,
to stop half-way, and to wait no longer than the manager's parallel answers take.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, process_time
from typing import Any, NamedTuple

from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler
from bifrost.pipeline.workers import Job, Meter, Workers

HIGHEST = 10_000
# Growing must pay: noise of less than this, as a part of the latency per element, is none.
_BETTER = 0.95
_MUCH_WORSE = 2.0
# Of one processor, above which asking more at once is no use; and how often that is looked at. Well
# below one: other processes take their part of a farm machine, too.
_BUSY = 0.6
_LOOK_S = 0.01
# Retryable, so that nobody remembers it as an answer. No retry lies further out.
CANCELLED = Failure(Code.CANCELLED, "it was not asked any more: the batch was cancelled", True)


class BatchSize:
    """
    How many elements a part has: doubled while the latency per element falls, halved when it rises
    much, or when a part fails as a whole.

    Any thread may use it.

    Attributes:
        grown, shrunk: How often that happened.
    """

    def __init__(self, start: int, *, adaptive: bool = True, highest: int = HIGHEST) -> None:
        self._size = max(1, start)
        self._adaptive = adaptive
        self._highest = max(highest, self._size)
        self._best_s = float("inf")
        self._lock = threading.Lock()
        self.grown = self.shrunk = 0
        self._told = (0, 0)

    @property
    def current(self) -> int:
        """The size of the next part."""
        return self._size

    def note(self, elements: int, seconds: float, *, failed: bool) -> None:
        """Learn from a part of *elements* that took *seconds*, or *failed* as a whole."""
        if not self._adaptive:
            return
        with self._lock:
            if failed:
                self._shrink()
            elif elements >= self._size:  # a smaller one was asked for at another size
                self._learn(seconds / elements)

    def news(self) -> tuple[int, int]:
        """Return how often it has `grown` and `shrunk` since this was last asked."""
        with self._lock:
            before, self._told = self._told, (self.grown, self.shrunk)
            return self.grown - before[0], self.shrunk - before[1]

    def _learn(self, latency_s: float) -> None:
        if latency_s < self._best_s * _BETTER:
            self._best_s = latency_s
            if self._size < self._highest:
                self._size = min(self._highest, self._size * 2)
                self.grown += 1
        elif latency_s > self._best_s * _MUCH_WORSE:
            self._best_s = latency_s  # the manager is another one now: find its best anew
            self._shrink()

    def _shrink(self) -> None:
        if self._size > 1:
            self._size = max(1, self._size // 2)
            self.shrunk += 1
        self._best_s = float("inf")


class Batch:
    """
    How a request may be cut into parts, and the caller's hand on what becomes of it.

    Attributes:
        size: The size of the parts.
        workers: How many may be asked at once; None for as many as the manager bears.
        error: What *progress* raised, or what interrupted the waiting; the caller raises it again.

    Args:
        progress: Called in the asking thread with the number of elements just answered. What it raises
            ends the batch.
    """

    def __init__(
        self,
        size: BatchSize,
        workers: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.size = size
        self.workers = workers
        self.error: BaseException | None = None
        self._progress = progress
        self._cancelled = threading.Event()
        self._wake: Callable[[], None] | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether nothing more is to be asked."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Ask nothing more. What is answered stays answered. Any thread."""
        self._cancelled.set()
        wake = self._wake
        if wake is not None:
            wake()

    def answered(self, elements: int) -> None:
        """Tell the caller that so many more *elements* are answered."""
        if self._progress is not None:
            self._progress(elements)

    def wakes(self, wake: Callable[[], None] | None) -> None:
        """Let `cancel` call *wake*, so that it is noticed at once."""
        self._wake = wake


class Batching:
    """Cuts requests that have a `Batch` into parts, and asks several at once; passes others on."""

    def __init__(self, inner: Handler, max_workers: int) -> None:
        self._inner = inner
        self._max_workers = max(1, max_workers)
        self._workers = Workers(self._max_workers, "bifrost-batch")
        self._lock = threading.Lock()
        self._totals = {"parts": 0, "grown": 0, "shrunk": 0, "size": 0}

    def handle(self, request: Request) -> Reply:
        """Pass *request* on, in parts if it may be cut."""
        batch: Batch | None = request.batch
        if batch is None:
            return self._inner.handle(request)
        plain = request.without_batch()
        if len(request.references) <= batch.size.current and not batch.is_cancelled:
            return self._alone(plain, batch)
        run = _Run(self._inner, self._workers, plain, batch, self._limit(batch))
        outcomes = run.outcomes()
        self._note(batch, run.parts)
        return Reply.by_reference(request, lambda reference: outcomes.get(reference, CANCELLED))

    def stats(self) -> dict[str, Any]:
        """Return `size` of the last part, `parts`, and how often sizes were `grown` and `shrunk`."""
        with self._lock:
            return {**self._totals, **self._workers.stats()}

    def close(self) -> None:
        """Let everybody who waits go."""
        self._workers.close()

    def _limit(self, batch: Batch) -> int:
        return min(batch.workers or self._max_workers, self._max_workers)

    def _alone(self, request: Request, batch: Batch) -> Reply:
        start = monotonic()
        reply = self._inner.handle(request)
        batch.size.note(len(request.references), monotonic() - start, failed=reply.is_outage)
        self._note(batch, 1)
        _tell(batch, len(request.references))
        return reply

    def _note(self, batch: Batch, parts: int) -> None:
        grown, shrunk = batch.size.news()
        with self._lock:
            self._totals["parts"] += parts
            self._totals["size"] = batch.size.current
            self._totals["grown"] += grown
            self._totals["shrunk"] += shrunk


class _Run:
    """
    One request on its way in parts. Used by the thread that asks.

    Attributes:
        parts: How many were begun.
    """

    def __init__(
        self, inner: Handler, workers: Workers, request: Request, batch: Batch, limit: int
    ) -> None:
        self._inner = inner
        self._workers = workers
        self._request = request
        self._batch = batch
        self._limit = limit
        self._left = deque(request.references)
        self._under_way: dict[int, tuple[Job[_Answer], int]] = {}
        self._ended: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._began = monotonic(), process_time()
        self._spent_s = 0.0  # of a processor, by the parts that have ended
        self._own_share: float | None = None  # of a processor; None: no part has ended yet
        self.parts = 0

    def outcomes(self) -> dict[str, Any]:
        """Return what was answered until there was nothing left, or the caller had enough."""
        outcomes: dict[str, Any] = {}
        self._batch.wakes(lambda: self._ended.put(None))
        try:
            while not self._batch.is_cancelled and (self._fill() or self._under_way):
                with contextlib.suppress(queue.Empty):
                    if (number := self._ended.get(timeout=self._patience_s())) is not None:
                        self._take(number, outcomes)
        except BaseException as error:  # noqa: BLE001  Ctrl-C, too: the caller raises it again
            self._batch.error = error
        finally:
            self._batch.wakes(None)
            for job, _ in self._under_way.values():
                self._workers.forget(job)
        return outcomes

    def _fill(self) -> bool:
        """Begin as many parts as may be asked at once; whether any is under way."""
        limit = self._most_at_once()
        while self._left and len(self._under_way) < limit:
            count = min(self._batch.size.current, len(self._left))
            part = self._request.only([self._left.popleft() for _ in range(count)])
            number = self.parts = self.parts + 1
            job = self._workers.submit(
                lambda part=part: self._measured(part),  # type: ignore[misc]
                lambda number=number: self._ended.put(number),  # type: ignore[misc]
            )
            if job is None:
                return bool(self._under_way)
            self._under_way[number] = job, count
        return bool(self._under_way)

    def _most_at_once(self) -> int:
        """
        Return how many parts shall be under way: one while the manager itself keeps a processor busy.

        A manager that waits for a server leaves the processor to others; one that computes, in
        Python, only fights with itself for the GIL, and several at once take longer than one by one.
        What else this process does, a render say, is no reason to ask less at once: that only counts
        until a part has ended, when nobody knows yet whose work it is.
        """
        wall_s = monotonic() - self._began[0]
        if wall_s < _LOOK_S and self.parts < 2:
            return 1
        if self._own_share is not None and self._own_share < _BUSY:
            return self._limit
        return self._limit if process_time() - self._began[1] < _BUSY * wall_s else 1

    def _patience_s(self) -> float | None:
        """Return when to look again how many there may be; None: when a part ends."""
        return _LOOK_S if self._left and len(self._under_way) < self._limit else None

    def _take(self, number: int, outcomes: dict[str, Any]) -> None:
        job, count = self._under_way.pop(number)
        self._workers.forget(job)  # or its reply would be kept for as long as the session lives
        if job.error is not None:
            raise job.error
        if job.result is None:  # the process is ending
            self._batch.cancel()
            return
        answer = job.result
        self._spent_s += answer.meter.processor_s
        self._own_share = self._spent_s / max(monotonic() - self._began[0], 1e-9)
        outcomes.update(answer.reply.items())
        self._batch.size.note(count, answer.seconds, failed=answer.reply.is_outage)
        self._batch.answered(count)

    def _measured(self, part: Request) -> _Answer:
        meter = Meter()
        meter.start()
        start = monotonic()
        reply = self._inner.handle(part)
        return _Answer(reply, monotonic() - start, meter)


class _Answer(NamedTuple):
    """What a part was answered, and what that took. The meter is right once its job has ended."""

    reply: Reply
    seconds: float
    meter: Meter


def _tell(batch: Batch, elements: int) -> None:
    try:
        batch.answered(elements)
    except BaseException as error:  # noqa: BLE001  the caller raises it again, when all is kept
        batch.error = error
        batch.cancel()
