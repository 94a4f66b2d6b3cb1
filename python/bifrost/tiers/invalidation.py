# SPDX-License-Identifier: Apache-2.0
"""
Who forgets what, and by when.

Every invalidation gets a number, larger than all before it. Whoever fills a cache reads the number
first, asks the manager then, and stores both: an entry whose subject was invalidated under a larger
number is outdated, whichever of the two arrived first. So nothing waits and nothing is locked
between asking and storing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from threading import Lock

from bifrost.tiers.fork import reset_in_child
from bifrost.tiers.tier import SUBJECT_AT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

LOG_LIMIT: Final = 100_000
"""How many invalidations a log remembers; who was away for longer assumes everything."""


class InvalidationLog(ABC):
    """The numbered invalidations of everyone who shares a cache. Safe from any thread."""

    @abstractmethod
    def sequence(self) -> int:
        """Return the number of the newest invalidation. Cheap: asked before every fill."""

    @abstractmethod
    def note_invalidation(self, subjects: Iterable[bytes] | None) -> int:
        """
        Record that *subjects* changed, None: that everything may have; return the newest number.

        On return every process that shares the log sees it.

        Raises:
            TierError: it could not be recorded. This process behaves as if it were; others may
                go on serving what they have.
        """

    @abstractmethod
    def invalidated_since(self, sequence: int) -> list[bytes] | None:
        """
        Return the subjects invalidated under numbers above *sequence*, oldest first.

        None: the log no longer knows, or never did; assume everything.
        """


class LocalInvalidations(InvalidationLog):
    """A log for one process: where no tier is shared, or the shared one can't be used."""

    def __init__(self, start: int = 1) -> None:
        self._lock = Lock()
        self._sequence = self._forgotten = start
        self._subjects: list[bytes] = []  # the i-th has number _forgotten + i + 1
        reset_in_child(self)

    def sequence(self) -> int:
        """Return the number of the newest invalidation."""
        return self._sequence

    def note_invalidation(self, subjects: Iterable[bytes] | None) -> int:
        """Record that *subjects* changed, None: everything; return the newest number."""
        with self._lock:
            if subjects is not None:
                self._subjects += subjects
            self._sequence = self._forgotten + len(self._subjects)
            if subjects is None or len(self._subjects) > LOG_LIMIT:
                self._sequence += subjects is None
                self._forgotten = self._sequence
                self._subjects.clear()
            return self._sequence

    def invalidated_since(self, sequence: int) -> list[bytes] | None:
        """Return what was invalidated under numbers above *sequence*; None: assume everything."""
        with self._lock:
            if not self._forgotten <= sequence <= self._sequence:
                return None
            return self._subjects[sequence - self._forgotten :]

    def after_fork(self) -> None:
        """Make a new lock in a forked child. What the log says goes for the child, too."""
        self._lock = Lock()


class Floors:
    """
    For each subject the number below which entries about it are outdated. Not thread-safe.

    Bounded: past *limit* subjects the whole table is replaced by one number for all.
    """

    def __init__(self, limit: int = LOG_LIMIT) -> None:
        self._limit = limit
        self._floors: dict[bytes, int] = {}
        self._of_all = 0

    def raise_to(self, subjects: Iterable[bytes] | None, sequence: int) -> bool:
        """Outdate what is below *sequence*; whether the floor of every subject rose."""
        if subjects is not None:
            for subject in subjects:
                self._floors[subject] = max(sequence, self._floors.get(subject, 0))
            if len(self._floors) <= self._limit:
                return False
        self._of_all = max(self._of_all, sequence, *self._floors.values())
        self._floors.clear()
        return True

    def __bool__(self) -> bool:
        return bool(self._floors or self._of_all)

    def outdates(self, key: bytes, sequence: int) -> bool:
        """Whether an entry under *key*, filled at *sequence*, is no longer true."""
        if len(key) <= SUBJECT_AT:
            return False
        return 0 < sequence < self._of_all or sequence < self._floors.get(key[SUBJECT_AT:], 0)
