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

from bifrost.forks import reset_in_child
from bifrost.tiers.tier import SUBJECT_AT, beginning_in, group_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

LOG_LIMIT: Final = 100_000
"""How many invalidations a log remembers; who was away for longer assumes everything."""
BEGINNINGS_LIMIT: Final = 64
"""How many beginnings are told apart: each is compared with every older entry that is read."""


class InvalidationLog(ABC):
    """The numbered invalidations of everyone who shares a cache. Safe from any thread."""

    @abstractmethod
    def sequence(self) -> int:
        """Return the number of the newest invalidation. Cheap: asked before every fill."""

    @abstractmethod
    def note_invalidation(self, subjects: Iterable[bytes] | None) -> int:
        """
        Record that *subjects* changed, None: that everything may have; return the newest number.

        They are names: groups of subjects, or beginnings (tier.py). On return every process that
        shares the log sees it.

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


class Names:
    """Names of what was invalidated, to look keys up in. Not thread-safe."""

    __slots__ = ("_beginnings", "_groups")

    def __init__(self, names: Iterable[bytes] = ()) -> None:
        self._groups: dict[bytes, None] = {}
        self._beginnings: dict[bytes, None] = {}
        self.add(names)

    def add(self, names: Iterable[bytes]) -> None:
        """Add *names*: groups of subjects, or beginnings."""
        for name in names:
            prefix = beginning_in(name)
            if prefix is None:
                self._groups[group_of(name)] = None
            else:
                self._beginnings[prefix] = None

    def clear(self) -> None:
        """Name nothing any more."""
        self._groups.clear()
        self._beginnings.clear()

    def __len__(self) -> int:
        return len(self._groups) + len(self._beginnings)

    def covers(self, subject: bytes) -> bool:
        """Whether *subject* is among what is named."""
        return group_of(subject) in self._groups or (
            bool(self._beginnings) and subject.startswith(tuple(self._beginnings))
        )


class Floors:
    """
    For each name the number below which entries about it are outdated. Not thread-safe.

    Bounded: past *limit* names the whole table is replaced by one number for all.
    """

    def __init__(self, limit: int = LOG_LIMIT) -> None:
        self._limit = limit
        self._groups: dict[bytes, int] = {}
        self._beginnings: dict[bytes, int] = {}
        self._of_all = 0
        self.highest = 0
        """No entry filled at this number or later is outdated."""

    def raise_to(self, subjects: Iterable[bytes] | None, sequence: int) -> bool:
        """Outdate what is below *sequence*; whether the floor of every subject rose."""
        self.highest = max(self.highest, sequence)
        if subjects is not None:
            for name in subjects:
                self._raise(name, sequence)
            if len(self._groups) <= self._limit and len(self._beginnings) <= BEGINNINGS_LIMIT:
                return False
        self._of_all = self.highest
        self._groups.clear()
        self._beginnings.clear()
        return True

    def __bool__(self) -> bool:
        return self.highest > 0

    def outdates(self, key: bytes, sequence: int) -> bool:
        """Whether an entry under *key*, filled at *sequence*, is no longer true."""
        if sequence >= self.highest or len(key) <= SUBJECT_AT:
            return False
        if 0 < sequence < self._of_all:
            return True
        subject = key[SUBJECT_AT:]
        return sequence < self._groups.get(group_of(subject), 0) or any(
            sequence < floor and subject.startswith(prefix)
            for prefix, floor in self._beginnings.items()
        )

    def _raise(self, name: bytes, sequence: int) -> None:
        prefix = beginning_in(name)
        floors, key = (
            (self._groups, group_of(name)) if prefix is None else (self._beginnings, prefix)
        )
        floors[key] = max(sequence, floors.get(key, 0))
