# SPDX-License-Identifier: Apache-2.0
"""Work that need not happen now, on one thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Final, NamedTuple

_IDLE_S: Final = 60.0


class _Job(NamedTuple):
    due: float
    latest: float
    run: Callable[[], None]


class Later:
    """
    Runs jobs some seconds from now. A job put again under the same name replaces the earlier one, and
    waits anew; but no longer than any of them was to wait at most.

    The thread is a daemon, starts with the first job and ends when there was none for a minute.
    `run_all` is for the end of the process.
    """

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child: the thread stayed behind, and so do its jobs."""
        self._changed = threading.Condition()
        self._jobs: dict[object, _Job] = {}
        self._running = False

    def put(
        self, name: object, delay_s: float, job: Callable[[], None], *, within_s: float = inf
    ) -> None:
        """Run *job* about *delay_s* seconds from now, and *within_s* seconds however often it is put."""
        with self._changed:
            now, waiting = monotonic(), self._jobs.get(name)
            latest = now + within_s if waiting is None else min(now + within_s, waiting.latest)
            self._jobs[name] = _Job(min(now + delay_s, latest), latest, job)
            if not self._running:
                try:
                    threading.Thread(target=self._run, name="bifrost-later", daemon=True).start()
                    self._running = True
                except RuntimeError:  # no thread to be had now: the next job tries again
                    return
            self._changed.notify()

    def run_all(self) -> None:
        """Run everything that is waiting, now, on this thread."""
        with self._changed:
            jobs = [waiting.run for waiting in self._jobs.values()]
            self._jobs.clear()
        for job in jobs:
            _run_one(job)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            _run_one(job)

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while True:
                if not self._jobs:
                    if not self._changed.wait(_IDLE_S) and not self._jobs:
                        self._running = False
                        return None
                    continue
                name, first = min(self._jobs.items(), key=lambda item: item[1].due)
                wait_s = first.due - monotonic()
                if wait_s <= 0:
                    del self._jobs[name]
                    return first.run
                self._changed.wait(wait_s)


def _run_one(job: Callable[[], None]) -> None:
    try:
        job()
    except Exception as error:  # noqa: BLE001  one that fails must not take the others along
        import logging

        logging.getLogger("bifrost").warning("work put off until later failed: %s", error)
