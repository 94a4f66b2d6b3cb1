# SPDX-License-Identifier: Apache-2.0
"""Bounds how long a request may take, whatever the manager does."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import replace

from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler

_ENDING = Failure(Code.UNAVAILABLE, "the process is ending")
# How long the end of the process waits for calls that are in the manager. One that comes back while
# Python is being finalised would touch objects that are gone, and crash.
_GRACE_S = 2.0


class Deadline:
    """
    Runs the inner handler on threads of its own and stops waiting when time is up.

    A manager that hangs while it releases the GIL costs one of *max_workers* threads until it comes
    back; when all of them hang, further requests fail at their deadline without being asked. One that
    hangs holding the GIL can't be bounded by anything in the process.

    The threads are daemons, so that a hanging manager never keeps a process from ending.
    """

    def __init__(self, inner: Handler, deadline_s: float, max_workers: int) -> None:
        self._inner = inner
        self._deadline_s = deadline_s
        self._max_workers = max(1, max_workers)
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child: the threads stayed behind."""
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._under_way: set[_Job] = set()
        self._workers = 0
        self._idle = 0
        self._closed = False

    def handle(self, request: Request) -> Reply:
        """Pass *request* on; past its deadline every element fails."""
        deadline_s = self._deadline_s if request.deadline_s is None else request.deadline_s
        job = _Job(replace(request, deadline_s=deadline_s))
        if not self._enqueue(job):
            return Reply.of(request, _ENDING)
        answered = job.done.wait(min(deadline_s, threading.TIMEOUT_MAX))
        with self._changed:
            self._under_way.discard(job)
            if job in self._waiting:  # every worker hangs: it must not pile up behind them
                self._waiting.remove(job)
        if job.error is not None:
            raise job.error
        if job.reply is not None:
            return Reply(request, job.reply.outcomes)
        if answered:
            return Reply.of(request, _ENDING)
        return Reply.of(
            request, Failure(Code.DEADLINE, f"the manager did not answer within {deadline_s:g} s")
        )

    def close(self) -> None:
        """
        Let everybody who waits go at once; the process is ending.

        Returns when no call is in the manager any more, or after a short grace.
        """
        with self._changed:
            self._closed = True
            self._waiting.clear()
            for job in self._under_way:
                job.done.set()
            self._changed.wait_for(lambda: self._workers == self._idle, _GRACE_S)

    def _enqueue(self, job: _Job) -> bool:
        with self._changed:
            if self._closed:
                return False
            self._under_way.add(job)
            self._waiting.append(job)
            if len(self._waiting) > self._idle and self._workers < self._max_workers:
                try:
                    threading.Thread(target=self._work, name="bifrost-manager", daemon=True).start()
                    self._workers += 1
                except RuntimeError:  # no more threads to be had: those there are must do
                    if not self._workers:
                        self._waiting.remove(job)
                        self._under_way.discard(job)
                        return False
            self._changed.notify()
        return True

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                if self._closed:
                    self._changed.notify_all()
                while not self._waiting:
                    self._changed.wait()
                self._idle -= 1
                job = self._waiting.popleft()
            job.run(self._inner)


class _Job:
    """One request on its way through a worker, and what came of it."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.reply: Reply | None = None
        self.error: BaseException | None = None
        self.done = threading.Event()

    def run(self, inner: Handler) -> None:
        try:
            self.reply = inner.handle(self.request)
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
            self.error = error
        finally:
            self.done.set()
