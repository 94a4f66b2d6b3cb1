# SPDX-License-Identifier: Apache-2.0
"""
What this process still has to tell a server, and what it must not believe until then.

Nobody waits for the network to store or to forget: a change is visible here at once and goes out
together with others. What can't be stored is dropped. What is to be forgotten, and announcements,
are kept until the server has been told, and hide what they are about as long.
"""

from __future__ import annotations

from threading import Condition
from time import monotonic

from bifrost.tiers.redis_events import Event, covers
from bifrost.tiers.tier import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from typing import Final

    from bifrost.tiers.invalidation import Names
    from bifrost.tiers.redis_events import Position

MAX_VALUE: Final = 1 << 20
"""Bytes of a value; larger ones are not stored."""
MAX_FORGOTTEN: Final = 100_000
"""How many keys to forget are remembered; more of them become everything."""
MAX_UNSAID: Final = 1000
"""How many announcements wait; more of them become one, that everything changed."""
ENTRY_OVERHEAD: Final = 400
"""Bytes that a waiting entry takes beside its key and value."""


class Waiting(Entry):
    """
    An entry on its way to the server.

    Attributes:
        position: Nothing that was invalidated since may replace what is known by then.
        ttl_ms: How long the server shall keep it.
        is_visible: Whether all events since, that this process knows of, are known not to be about
            it. Else only the server knows what it is worth.
    """

    __slots__ = ("is_visible", "position", "ttl_ms")

    def __init__(self, entry: Entry, position: Position, ttl_ms: int) -> None:
        super().__init__(entry.value, entry.expires, entry.stored)
        self.position = position
        self.ttl_ms = ttl_ms
        self.is_visible = False

    def is_since(self, moments: Collection[Position]) -> bool:
        """Whether this was asked for when all of *moments* had been."""
        mine = self.position
        return all(mine.epoch == each.epoch and mine.number >= each.number for each in moments)


class Changes:
    """Changes to make in this order: forget prefixes, forget keys, store entries."""

    def __init__(self) -> None:
        self.prefixes: list[bytes] = []
        self.forgotten: dict[bytes, None] = {}
        self.entries: dict[bytes, Waiting] = {}

    def __bool__(self) -> bool:
        return bool(self.entries or self.forgotten or self.prefixes)

    def decides(self, key: bytes) -> bool:
        """Whether these changes say what is under *key*, if anything."""
        return (
            key in self.entries
            or key in self.forgotten
            or any(key.startswith(prefix) for prefix in self.prefixes)
        )

    def forget(self, key: bytes) -> int:
        """Forget *key*; return the bytes that no longer wait."""
        self.forgotten[key] = None
        return _size(key, self.entries.pop(key, None))

    def forget_prefix(self, prefix: bytes) -> int:
        """Forget what starts with *prefix*; return the bytes that no longer wait."""
        freed = 0
        for key in [key for key in self.entries if key.startswith(prefix)]:
            freed += _size(key, self.entries.pop(key))
        for key in [key for key in self.forgotten if key.startswith(prefix)]:
            del self.forgotten[key]
        if not any(map(prefix.startswith, self.prefixes)):
            self.prefixes.append(prefix)
        return freed

    def drop(self, names: Names | None) -> int:
        """Drop entries about *names*, None: all; return the bytes that no longer wait."""
        freed = 0
        for key in [key for key in self.entries if covers(names, key)]:
            freed += _size(key, self.entries.pop(key))
        return freed


class Backlog:
    """
    Changes that wait, changes that are being made, announcements that failed. Safe from any thread.

    Args:
        moments: Returns the newest positions that this process knows of. For every event up to
            those, `overtake` is called after they are.
        max_bytes: How much may wait to be stored; the oldest is dropped beyond it.
    """

    def __init__(self, moments: Callable[[], Collection[Position]], max_bytes: int) -> None:
        self._moments = moments
        self._max_bytes = max_bytes
        self._changed = Condition()
        self._next = Changes()
        self._made = Changes()  # being made: an entry dropped from it was not sent yet, or is void
        self._is_making = False
        # How often changes were taken, and the last of those that were made.
        self._taken = self._told = 0
        self._size = 0
        self._unsaid: list[tuple[Event, Names | None]] = []
        self.dropped = 0
        """Entries that were to be stored and were not."""

    @property
    def is_empty(self) -> bool:
        """Whether the server knows everything that it is to be told."""
        return not (self._next or self._is_making or self._unsaid)

    def mark(self) -> int:
        """Return what `has_told` takes for all that waits at this moment."""
        with self._changed:
            return self._taken + 1 if self._next else self._taken if self._is_making else self._told

    def has_told(self, mark: int) -> bool:
        """Whether the server knows what it was to be told then, whatever has come since."""
        return self._told >= mark and not self._unsaid

    def look(self, keys: Collection[bytes]) -> tuple[dict[bytes, Entry], Collection[bytes]]:
        """Return what waits among *keys*, and which keys the server must be asked for."""
        if self.is_empty:
            return {}, keys
        hits: dict[bytes, Entry] = {}
        rest: list[bytes] = []
        with self._changed:
            for key in keys:
                if any(covers(names, key) for _, names in self._unsaid):
                    continue
                made = next((each for each in (self._next, self._made) if each.decides(key)), None)
                if made is None:
                    rest.append(key)
                elif key in made.entries and made.entries[key].is_visible:
                    hits[key] = made.entries[key]
        return hits, rest

    def put(self, entries: Mapping[bytes, Waiting]) -> None:
        """Store *entries* soon."""
        with self._changed:
            changes, moments = self._next, self._moments()
            for key, entry in entries.items():
                self._size -= changes.forget(key)
                if len(entry.value) > MAX_VALUE:
                    self.dropped += 1
                    continue
                del changes.forgotten[key]
                entry.is_visible = entry.is_since(moments)
                changes.entries[key] = entry
                self._size += _size(key, entry)
            while self._size > self._max_bytes and len(changes.entries) > 1:
                self._drop_oldest()
            self._bound_forgotten()

    def forget(self, keys: Iterable[bytes]) -> None:
        """Forget *keys*: at once for `look`, soon on the server."""
        with self._changed:
            for key in keys:
                self._size -= self._next.forget(key)
            self._bound_forgotten()

    def forget_prefix(self, prefix: bytes) -> None:
        """Forget what starts with *prefix*: at once for `look`, soon on the server."""
        with self._changed:
            self._size -= self._next.forget_prefix(prefix)

    def drop_waiting(self, keys: Iterable[bytes]) -> None:
        """Drop what waits to be stored under *keys*, where what would replace it can't be."""
        with self._changed:
            for key in keys:
                self.dropped += 1
                if key in self._next.entries:
                    self._size -= self._next.forget(key)

    def overtake(self, event: Event) -> None:
        """Drop what waits and was asked for before *event*: all that it is about."""
        names = event.names()
        with self._changed:
            waiting = len(self._next.entries)
            self._size -= self._next.drop(names)
            self._made.drop(names)
            self.dropped += waiting - len(self._next.entries)

    # Announcements that could not be made

    def keep_unsaid(self, event: Event) -> None:
        """Keep *event* until the server has been told, and hide what it is about."""
        with self._changed:
            self._unsaid.append((event, event.names()))
            if len(self._unsaid) > MAX_UNSAID:
                everything = Event(None, (), self._unsaid[0][0].before, event.after)
                self._unsaid = [(everything, None)]

    def unsaid(self) -> Event | None:
        """Return the oldest announcement that the server was not told."""
        with self._changed:
            return self._unsaid[0][0] if self._unsaid else None

    def note_said(self, event: Event) -> None:
        """Note that the server has been told *event*."""
        with self._changed:
            if self._unsaid and self._unsaid[0][0] is event:
                del self._unsaid[0]
            self._changed.notify_all()

    # The thread that tells the server

    def take(self) -> Changes:
        """Return the changes to make next; `done` follows, or `failed`."""
        with self._changed:
            self._taken += 1
            self._made, self._next = self._next, Changes()
            self._is_making = bool(self._made)
            self._size = 0
            return self._made

    def part(self, most: int, max_bytes: int) -> dict[bytes, Waiting]:
        """
        Return up to *most* of the entries being stored, in the order in which they came.

        No more than come to *max_bytes*, or one.
        """
        part: dict[bytes, Waiting] = {}
        size = 0
        with self._changed:
            for key, entry in self._made.entries.items():
                size += _size(key, entry)
                if part and (size > max_bytes or len(part) >= most):
                    break
                part[key] = entry
        return part

    def stored(self, keys: Iterable[bytes], dropped: int) -> None:
        """Note that *keys* were stored, but for *dropped* of them that were overtaken."""
        with self._changed:
            for key in keys:
                self._made.entries.pop(key, None)
            self.dropped += dropped

    def done(self) -> None:
        """Note that the changes taken are made."""
        with self._changed:
            self._made = Changes()
            self._is_making = False
            self._told = self._taken
            self._changed.notify_all()

    def failed(self) -> None:
        """Drop the entries of the changes taken; what they were to forget is still to be forgotten."""
        with self._changed:
            made, after = self._made, self._next
            self.dropped += len(made.entries)
            for key in (*made.forgotten, *made.entries):
                if not after.decides(key):
                    after.forgotten[key] = None
            after.prefixes = [*made.prefixes, *after.prefixes]
            self._made = Changes()
            self._is_making = False
            self._bound_forgotten()
            self._changed.notify_all()

    def drop_entries(self) -> None:
        """Drop all that waits to be stored."""
        with self._changed:
            self.dropped += len(self._next.entries)
            self._next.entries.clear()
            self._size = 0

    def wait_until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for *condition*, about this or about who tells the server; whether it holds."""
        until = monotonic() + timeout_s
        with self._changed:
            while not condition():
                left = until - monotonic()
                if left <= 0:
                    return False
                # What is waited for may be announced elsewhere, so this looks now and then.
                self._changed.wait(min(left, 0.05))
        return True

    def after_fork(self) -> None:
        """
        Start over in a forked child.

        The parent stores what waits. Until it has told the server, what it was to forget must not
        come back here: the child tells the server, too.
        """
        self._changed = Condition()
        for changes in (self._made, self._next):
            changes.entries.clear()
        self._next.prefixes = [*self._made.prefixes, *self._next.prefixes]
        self._next.forgotten.update(self._made.forgotten)
        self._made = Changes()
        self._is_making = False
        self._size = 0

    def _drop_oldest(self) -> None:
        self.dropped += 1
        key = next(iter(self._next.entries))
        if len(self._next.forgotten) < MAX_FORGOTTEN // 2:
            self._size -= self._next.forget(key)
        else:
            # What it was to replace stays. That is as true as it was, and better than to make room
            # by forgetting everything.
            self._size -= _size(key, self._next.entries.pop(key))

    def _bound_forgotten(self) -> None:
        if len(self._next.forgotten) > MAX_FORGOTTEN:
            self._next.forgotten.clear()
            self._size -= self._next.forget_prefix(b"")


def _size(key: bytes, entry: Waiting | None) -> int:
    return 0 if entry is None else len(key) + len(entry.value) + ENTRY_OVERHEAD
