# SPDX-License-Identifier: Apache-2.0
"""The tier of one process: a dictionary bounded by the bytes it really takes."""

from __future__ import annotations

from threading import Lock
from time import time

from bifrost.forks import reset_in_child
from bifrost.tiers.invalidation import Floors
from bifrost.tiers.tier import SUBJECT_AT, Tier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Any, Final

    from bifrost.tiers.tier import Entry

ENTRY_OVERHEAD: Final = 760
"""Bytes that an entry takes beside its key and value, as measured: 330 for objects and table slots,
and the `pathlib.Path` that a reader leaves in `Entry.decoded`."""


class MemoryTier(Tier):
    """Entries of this process, the least recently used going first when *max_bytes* are reached."""

    # An OrderedDict, which moves to its end in C. cachetools.LRUCache keeps the order in Python beside
    # two more tables: 2 us a hit for 0.3, and 200 bytes an entry more.

    name = "memory"

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._floors = Floors()
        self._evictions = 0
        self._closed = False
        self.after_fork()
        reset_in_child(self)

    def after_fork(self) -> None:
        """Start over in a forked child: the parent may have been in the middle of a change."""
        self._lock = Lock()
        self._entries: OrderedDict[bytes, Entry] | None = None
        self._bytes = 0

    def get(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """Return the entries among *keys*, stale ones included."""
        hits: dict[bytes, Entry] = {}
        with self._lock:
            if not self._entries:
                return hits
            find, use, floors = self._entries.get, self._entries.move_to_end, self._floors
            newest = floors.highest
            for key in keys:
                entry = find(key)
                if entry is None:
                    continue
                if entry.sequence < newest and floors.outdates(key, entry.sequence):
                    self._forget(key)
                    continue
                use(key)
                hits[key] = entry
        return hits

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Store *entries*; one that is larger than the whole tier is not kept."""
        with self._lock:
            if self._closed or not entries:
                return
            kept, floors, most = self._opened(), self._floors, self._max_bytes
            newest, pop = floors.highest, kept.pop
            for key, entry in entries.items():
                old = pop(key, None)
                if old is not None:
                    self._bytes -= _size(key, old)
                size = ENTRY_OVERHEAD + len(key) + len(entry.value)
                is_outdated = entry.sequence < newest and floors.outdates(key, entry.sequence)
                if size <= most and not is_outdated:
                    kept[key] = entry
                    self._bytes += size
            while self._bytes > most:
                key, entry = kept.popitem(last=False)
                self._bytes -= _size(key, entry)
                self._evictions += 1

    def delete(self, keys: Iterable[bytes]) -> None:
        """Forget *keys*."""
        with self._lock:
            for key in keys:
                self._forget(key)

    def delete_prefix(self, prefix: bytes) -> None:
        """Forget every key that starts with *prefix*."""
        with self._lock:
            for key in [key for key in self._entries or () if key.startswith(prefix)]:
                self._forget(key)

    def outdate(self, subjects: Iterable[bytes] | None, sequence: int) -> None:
        """Treat entries about *subjects* that were filled before *sequence* as absent."""
        with self._lock:
            if self._floors.raise_to(subjects, sequence) and self._entries:
                # Their floors are gone, so those filled at no known sequence must go with them.
                self._clear()

    def subjects(self, limit: int) -> list[bytes]:
        """Return the subjects of up to *limit* entries, the most recently used first."""
        with self._lock:
            newest_first = reversed(self._entries or {})
            return [key[SUBJECT_AT:] for key, _ in zip(newest_first, range(limit), strict=False)]

    def flush(self) -> None:
        """Nothing to do: what was put is visible."""

    def stats(self) -> dict[str, Any]:
        """Return counters."""
        with self._lock:
            return {
                "entries": len(self._entries or ()),
                "bytes": self._bytes,
                "max_bytes": self._max_bytes,
                "evictions": self._evictions,
                "errors": 0,
                "age_s": self._age_s(),
            }

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._closed = True
            self._clear()

    def _age_s(self) -> float:
        """How long ago the entry was stored that would be evicted next."""
        oldest = next(iter((self._entries or {}).values()), None)
        return 0.0 if oldest is None else max(0.0, self._clock() - oldest.stored)

    def _opened(self) -> OrderedDict[bytes, Entry]:
        if self._entries is None:
            from collections import OrderedDict

            self._entries = OrderedDict()
        return self._entries

    def _forget(self, key: bytes) -> None:
        entry = self._entries.pop(key, None) if self._entries else None
        if entry is not None:
            self._bytes -= _size(key, entry)

    def _clear(self) -> None:
        self._entries = None
        self._bytes = 0


def _size(key: bytes, entry: Entry) -> int:
    return ENTRY_OVERHEAD + len(key) + len(entry.value)
