# SPDX-License-Identifier: Apache-2.0
"""
The port that every cache tier implements.

`bifrost.testing.TierSuite` is the conformance suite of this port: a new tier's test is a class that
inherits it and makes a tier.

A key is `<kind, 1 byte><scope, 16 bytes><subject>`: what is stored, for whom, about what. Tiers
only care that the subject starts at byte 17: an invalidation names groups of subjects, and outdates
what is stored about them in every kind and scope. Shorter keys are about no subject.

A subject's group is what stands before its first `?`: of an entity reference that is the entity,
so that one name covers all its versions. A name may also be a beginning (`beginning_with`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

# `typing` and `dataclasses` take several milliseconds to import, and a DCC's start waits for this
# module: its budget for everything is 30 ms.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any, Final, Self

FOREVER: Final = float("inf")
SUBJECT_AT: Final = 17
SKEW_S: Final = 60.0
"""
How far the clocks of hosts may be apart.

What was stored later than that from now was stored before the clock was set back: its lifetime is as
long as the clock was wrong, and nobody goes by it.
"""
# No UTF-8 text has this byte; a file's name may, and is then taken for more than it is.
_BEGINNING: Final = b"\xff"


def group_of(subject: bytes) -> bytes:
    """Return what an invalidation names to outdate *subject*."""
    return subject.partition(b"?")[0]


def beginning_with(prefix: bytes) -> bytes:
    """Return the name under which an invalidation outdates every subject that starts with *prefix*."""
    return prefix + _BEGINNING


def beginning_in(name: bytes) -> bytes | None:
    """Return the prefix that *name* stands for, as `beginning_with` made it; None: it is a group's."""
    return name[:-1] if name.endswith(_BEGINNING) else None


class Entry:
    """
    Bytes with a lifetime. Not to be changed once made.

    Attributes:
        value: The bytes, as they were put.
        expires: Seconds since the epoch from which on the entry is stale; `FOREVER` for never.
            A tier returns stale entries until it needs their room: whether they may still be served
            is the caller's decision.
        stored: Seconds since the epoch at which it was put.
        sequence: What the invalidation log's `sequence()` was *before* the value was asked for, so
            that an answer which an invalidation overtook is dropped and not kept. 0 where nobody
            keeps track: any known invalidation of its subject outdates such an entry.
        decoded: What a reader made of the value, for the next reader; None as long as nobody read
            it. It lives as long as this object, which the memory tier hands out again and again.
    """

    __slots__ = ("decoded", "expires", "sequence", "stored", "value")

    def __init__(self, value: bytes, expires: float, stored: float, sequence: int = 0) -> None:
        self.value = value
        self.expires = expires
        self.stored = stored
        self.sequence = sequence
        self.decoded: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        shown = self.value if len(self.value) <= 40 else self.value[:40] + b"..."
        return f"Entry({shown!r}, {self.expires!r}, {self.stored!r}, {self.sequence!r})"

    def _fields(self) -> tuple[bytes, float, float, int]:
        return (self.value, self.expires, self.stored, self.sequence)


class Tier(ABC):
    """
    Bytes by key. Every method may be called from any thread at any time.

    Keys are bytes of any length but zero. What a tier could not keep is a later miss, never an
    error: `get` and `put` raise nothing but `TierError`, and callers treat that as a miss.
    """

    name: str
    """What statistics and a resolution's `tier` call it: `memory`, `lmdb`, `redis`."""

    @abstractmethod
    def get(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """
        Return the entries among *keys*, stale ones included; absent, damaged and outdated ones are
        left out.

        One round trip however many keys.
        """

    @abstractmethod
    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """
        Store *entries*, replacing what was there. May return before other processes see them.

        Storing is best effort: under pressure of room the least recently used entries go first.
        Where the new entry can't be kept, the one it replaces is not kept either.
        """

    @abstractmethod
    def delete(self, keys: Iterable[bytes]) -> None:
        """Forget *keys*. On return no `get` of this process answers with what was deleted."""

    @abstractmethod
    def delete_prefix(self, prefix: bytes) -> None:
        """Forget every key that starts with *prefix*; with `b""`, everything."""

    @abstractmethod
    def outdate(self, subjects: Iterable[bytes] | None, sequence: int) -> None:
        """
        Treat what is stored about *subjects* with a lower `Entry.sequence` as absent, from now on.

        They are names: groups, or beginnings. None: about every subject. It holds for entries put
        later, too: those are the answers that were on their way while the invalidation came. Called
        with numbers of the invalidation log.
        """

    @abstractmethod
    def flush(self) -> None:
        """
        Return when everything put before is visible to `get` of every process that shares the tier.

        Raises:
            TierError: it could not be written in reasonable time.
        """

    @abstractmethod
    def stats(self) -> dict[str, Any]:
        """Return counters: at least `entries`, `bytes`, `max_bytes`, `evictions`, `errors`."""

    @abstractmethod
    def close(self) -> None:
        """Flush and release everything. Afterwards `get` finds nothing and `put` does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
