# SPDX-License-Identifier: Apache-2.0
"""The tier of one process: a dictionary bounded by the bytes it really takes."""

from __future__ import annotations

from threading import Lock
from time import time

from bifrost.tiers.fork import reset_in_child
from bifrost.tiers.invalidation import Floors
from bifrost.tiers.tier import Tier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any, Final

    from cachetools import LRUCache

    from bifrost.tiers.tier import Entry

ENTRY_OVERHEAD: Final = 460
"""Bytes that an entry takes beside its key and value: objects and table slots, as measured."""


class MemoryTier(Tier):
    """
    Entries of this process, the least recently used going first when *max_bytes* are reached.

    Every tier is given a *clock*; this one has no use for it.
    """

    name = "memory"

    def __init__(
        self,
        max_bytes: int,
        clock: Callable[[], float] = time,  # noqa: ARG002
    ) -> None:
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._floors = Floors()
        self._entries: LRUCache[bytes, tuple[Entry, int]] | None = None
        self._evictions = 0
        self._closed = False
        reset_in_child(self)

    def get(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """Return the entries among *keys*, stale ones included."""
        hits: dict[bytes, Entry] = {}
        with self._lock:
            entries, floors = self._entries, self._floors
            if not entries:
                return hits
            for key in keys:
                known = entries.get(key)
                if known is None:
                    continue
                if floors and floors.outdates(key, known[0].sequence):
                    del entries[key]
                    continue
                hits[key] = known[0]
        return hits

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Store *entries*; one that is larger than the whole tier is not kept."""
        with self._lock:
            if self._closed or not entries:
                return
            kept = self._opened()
            for key, entry in entries.items():
                size = ENTRY_OVERHEAD + len(key) + len(entry.value)
                if size > self._max_bytes or self._floors.outdates(key, entry.sequence):
                    kept.pop(key, None)
                    continue
                expected = len(kept) + (key not in kept)
                kept[key] = (entry, size)
                self._evictions += expected - len(kept)

    def delete(self, keys: Iterable[bytes]) -> None:
        """Forget *keys*."""
        with self._lock:
            if self._entries:
                for key in keys:
                    self._entries.pop(key, None)

    def delete_prefix(self, prefix: bytes) -> None:
        """Forget every key that starts with *prefix*."""
        with self._lock:
            if not self._entries:
                return
            for key in [key for key in self._entries if key.startswith(prefix)]:
                del self._entries[key]

    def outdate(self, subjects: Iterable[bytes] | None, sequence: int) -> None:
        """Treat entries about *subjects* that were filled before *sequence* as absent."""
        with self._lock:
            if self._floors.raise_to(subjects, sequence) and self._entries:
                # Their floors are gone, so those filled at no known sequence must go with them.
                self._entries.clear()

    def flush(self) -> None:
        """Nothing to do: what was put is visible."""

    def stats(self) -> dict[str, Any]:
        """Return counters."""
        with self._lock:
            return {
                "entries": len(self._entries) if self._entries else 0,
                "bytes": self._entries.currsize if self._entries else 0,
                "max_bytes": self._max_bytes,
                "evictions": self._evictions,
                "errors": 0,
            }

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._closed = True
            self._entries = None

    def after_fork(self) -> None:
        """Start over in a forked child: the parent may have been in the middle of a change."""
        self._lock = Lock()
        self._entries = None

    def _opened(self) -> LRUCache[bytes, tuple[Entry, int]]:
        if self._entries is None:
            from cachetools import LRUCache  # several milliseconds that many a process never needs

            self._entries = LRUCache(self._max_bytes, getsizeof=_size)
        return self._entries


def _size(known: tuple[Entry, int]) -> int:
    return known[1]
