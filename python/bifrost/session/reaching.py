# SPDX-License-Identifier: Apache-2.0
"""The one question that the pipeline does not carry: what will opening something ask for?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bifrost.errors import CatalogueError
from bifrost.pipeline.breaker import Breaker
from bifrost.pipeline.workers import Workers


class Reaching:
    """
    Asks our own catalogue for closures, bounded like a question to the manager. Any thread.

    Args:
        breaker: The manager's: behind both is one database. It hears of outages here, too, and nobody is
            asked while it isn't closed.
        deadline_s: Seconds that one question may take.
        max_workers: How many there may be at once.

    Attributes:
        asked: How many questions there were.
    """

    def __init__(self, breaker: Breaker, deadline_s: float, max_workers: int) -> None:
        self._breaker = breaker
        self._deadline_s = deadline_s
        self._workers = Workers(max_workers, "bifrost-closure")
        self.asked = 0

    def found(self, ask: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        """
        Return what *ask* returns.

        Raises:
            CatalogueError: the catalogue is out of reach, or did not answer in time.
            Whatever *ask* raises.
        """
        if self._breaker.state != "closed":
            raise _outage("it failed several times in a row and is left alone")
        self.asked += 1
        try:
            return self._in_time(ask)
        except CatalogueError as error:
            if error.retryable:
                self._breaker.gave_up()
            raise

    def close(self) -> None:
        """Let everybody who waits go at once; the process is ending."""
        self._workers.close()

    def _in_time(self, ask: Callable[[], Sequence[Any]]) -> Sequence[Any]:
        job = self._workers.submit(ask)
        if job is None:
            raise _outage("the process is ending")
        self._workers.wait(job, self._deadline_s)
        if job.error is not None:
            raise job.error
        if job.result is None:
            raise _outage(f"it did not answer within {self._deadline_s:g} s")
        return job.result


def _outage(reason: str) -> CatalogueError:
    return CatalogueError(f"the catalogue can't be asked: {reason}", retryable=True)
