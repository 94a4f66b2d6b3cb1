# SPDX-License-Identifier: Apache-2.0
"""Threads that calls run on which may never come back."""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from time import monotonic, thread_time
from typing import Any, Generic, TypeVar
from weakref import WeakSet

T = TypeVar("T")

# How long the end of the process waits for calls that are under way. One that comes back while
# Python is being finalised would touch objects that are gone, and crash.
_GRACE_S = 2.0


class Meter:
    """
    What one call spends, together with the jobs that it has done for it on other threads.

    Attributes:
        processor_s: Seconds of a processor. A job that is under way does not count yet.
    """

    def __init__(self) -> None:
        self.processor_s = 0.0

    def start(self) -> None:
        """Measure the job that calls this, and every one it submits from here on."""
        _meter.set(self)


_meter: ContextVar[Meter | None] = ContextVar("bifrost_meter", default=None)


class Job(Generic[T]):
    """
    One call on its way through a worker, and what came of it.

    Attributes:
        result: What it returned; None until then.
        error: What it raised; None unless it did.
        done: Set once there is either, or the workers were closed.
    """

    def __init__(self, call: Callable[[], T], notify: Callable[[], None] | None = None) -> None:
        self._call = call
        self._notify = notify
        # Who asks, and for what trace: what the call says about itself belongs to its caller.
        self._context = copy_context()
        self.result: T | None = None
        self.error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        """Make the call, on the calling thread."""
        start_s = thread_time()
        try:
            self.result = self._context.run(self._call)
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
            self.error = error
        finally:
            if (meter := self._context.get(_meter)) is not None:
                meter.processor_s += thread_time() - start_s
            self.let_go()

    def let_go(self) -> None:
        """Wake who waits."""
        self.done.set()
        if self._notify is not None:
            self._notify()


class Workers:
    """
    At most *limit* threads, started as they are needed. Any thread may submit.

    The threads are daemons, so that a call that hangs never keeps a process from ending. It costs one
    of them until it comes back.

    Attributes:
        process: The id of the process whose threads these are.
    """

    def __init__(self, limit: int, name: str) -> None:
        self._limit = max(1, limit)
        self._name = name
        self.after_fork()
        _living.add(self)

    def after_fork(self) -> None:
        """Start over in a forked child: the threads stayed behind."""
        self.process = os.getpid()
        self._changed = threading.Condition()
        self._waiting: deque[Job[Any]] = deque()
        self._under_way: set[Job[Any]] = set()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(
        self, call: Callable[[], T], notify: Callable[[], None] | None = None
    ) -> Job[T] | None:
        """
        Make *call* on a thread, with the contextvars of this moment. None: there are no threads.

        Args:
            call: What to do.
            notify: Called once the job is done, on whatever thread; must not block or raise.
        """
        job = Job(call, notify)
        with self._changed:
            if self._closed:
                return None
            self._under_way.add(job)
            self._waiting.append(job)
            if len(self._waiting) > self._idle and len(self._threads) < self._limit:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                try:
                    thread.start()
                    self._threads.append(thread)
                except RuntimeError:  # no more threads to be had: those there are must do
                    if not self._threads:
                        self._waiting.remove(job)
                        self._under_way.discard(job)
                        return None
            self._changed.notify()
        return job

    def wait(self, job: Job[Any], seconds: float) -> bool:
        """Wait for *job* at most so long, and forget it; whether it is done, or the workers were closed."""
        is_done = job.done.wait(min(seconds, threading.TIMEOUT_MAX))
        self.forget(job)
        return is_done

    def forget(self, job: Job[Any]) -> None:
        """Nobody waits for *job* any more: it is not begun if it hasn't been."""
        with self._changed:
            self._under_way.discard(job)
            if job in self._waiting:  # every worker hangs: it must not pile up behind them
                self._waiting.remove(job)

    def stats(self) -> dict[str, int]:
        """Return `workers`, `busy`, `waiting` calls and `max_workers`."""
        with self._changed:
            return {
                "workers": len(self._threads),
                "busy": len(self._threads) - self._idle,
                "waiting": len(self._waiting),
                "max_workers": self._limit,
            }

    def close(self) -> None:
        """
        Let everybody who waits go at once, and end the threads.

        Returns when they have ended, or after a short grace.
        """
        with self._changed:
            self._closed = True
            self._waiting.clear()
            for job in self._under_way:
                job.let_go()
            self._changed.notify_all()
            threads = list(self._threads)
        end_s = monotonic() + _GRACE_S
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, end_s - monotonic()))

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            with self._changed:
                self._under_way.discard(job)
            del job  # an idle thread shall not keep what its last call returned

    def _next(self) -> Job[Any] | None:
        with self._changed:
            self._idle += 1
            while not self._waiting:
                if self._closed:
                    return None
                self._changed.wait()
            self._idle -= 1
            return self._waiting.popleft()


def _close_all() -> None:
    """
    Wait, at the end of the process, for what is under way in a manager, whoever asked.

    A thread that comes back to Python while it is finalised is unwound by force, and the process
    aborted where that passes through the C++ of OpenAssetIO.
    """
    for workers in list(_living):
        if workers.process == os.getpid():  # a parent's may be locked for ever
            workers.close()


_living: WeakSet[Workers] = WeakSet()
atexit.register(_close_all)
