# SPDX-License-Identifier: Apache-2.0
"""Bounds how long a request may take, whatever the manager does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bifrost.context import use_context
from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler
from bifrost.pipeline.workers import Workers

_ENDING = Failure(Code.UNAVAILABLE, "the process is ending")


class Deadline:
    """
    Runs the inner handler on threads of its own and stops waiting when time is up.

    A manager that hangs while it releases the GIL costs one of *max_workers* threads until it comes
    back; when all of them hang, further requests fail at their deadline without being asked. One that
    hangs holding the GIL can't be bounded by anything in the process.

    Args:
        inner: What is asked.
        deadline_s: Seconds for a request that says nothing else.
        max_workers: How many calls there may be at once.
        gave_up: Called when a request was not answered within *deadline_s* or longer. Not for a
            caller of less patience: that says little about the manager.
    """

    def __init__(
        self,
        inner: Handler,
        deadline_s: float,
        max_workers: int,
        gave_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._inner = inner
        self._gave_up = gave_up
        self._deadline_s = deadline_s
        self._workers = Workers(max_workers, "bifrost-manager")

    def after_fork(self) -> None:
        """Start over in a forked child: the threads stayed behind."""
        self._workers.after_fork()

    def handle(self, request: Request) -> Reply:
        """Pass *request* on; past its deadline every element fails."""
        deadline_s = self._deadline_s if request.deadline_s is None else request.deadline_s
        bounded = replace(request, deadline_s=deadline_s)
        job = self._workers.submit(lambda: self._asked(bounded))
        if job is None:
            return Reply.of(request, _ENDING)
        answered = self._workers.wait(job, deadline_s)
        if job.error is not None:
            raise job.error
        if job.result is not None:
            return Reply(request, job.result.outcomes)
        if answered:
            return Reply.of(request, _ENDING)
        if deadline_s >= self._deadline_s:
            self._gave_up()
        return Reply.of(
            request, Failure(Code.DEADLINE, f"the manager did not answer within {deadline_s:g} s")
        )

    def _asked(self, request: Request) -> Reply:
        """Ask on a worker's thread, where what is logged belongs to who asks."""
        with use_context(request.context):
            return self._inner.handle(request)

    def stats(self) -> dict[str, int]:
        """Return how many threads there are, `busy` ones among them, and calls that wait for one."""
        return self._workers.stats()

    def close(self) -> None:
        """
        Let everybody who waits go at once; the process is ending.

        Returns when no call is in the manager any more, or after a short grace.
        """
        self._workers.close()
