# SPDX-License-Identifier: Apache-2.0
"""Work that need not happen now, on one thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic


class Later:
    """
    Runs jobs some seconds from now. A job put again under the same name replaces the earlier one.

    The thread is a daemon and starts with the first job. `run_all` is for the end of the process.
    """

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child: the thread stayed behind, and so do its jobs."""
        self._changed = threading.Condition()
        self._jobs: dict[object, tuple[float, Callable[[], None]]] = {}
        self._running = False

    def put(self, name: object, delay_s: float, job: Callable[[], None]) -> None:
        """Run *job* about *delay_s* seconds from now."""
        with self._changed:
            self._jobs[name] = (monotonic() + delay_s, job)
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
            jobs = [job for _, job in self._jobs.values()]
            self._jobs.clear()
        for job in jobs:
            _run_one(job)

    def _run(self) -> None:
        while True:
            _run_one(self._next())

    def _next(self) -> Callable[[], None]:
        with self._changed:
            while True:
                if not self._jobs:
                    self._changed.wait()
                    continue
                name, (due, job) = min(self._jobs.items(), key=lambda item: item[1][0])
                wait_s = due - monotonic()
                if wait_s <= 0:
                    del self._jobs[name]
                    return job
                self._changed.wait(wait_s)


def _run_one(job: Callable[[], None]) -> None:
    try:
        job()
    except Exception as error:  # noqa: BLE001  one that fails must not take the others along
        import logging

        logging.getLogger("bifrost").warning("work put off until later failed: %s", error)
