# SPDX-License-Identifier: Apache-2.0
"""
Changes that wait for one background thread to commit them in batches.

A durable commit takes hundreds of microseconds however much is in it, so nobody waits for one:
changes are collected, are visible to this process at once, and go to the store together. What can't
be stored is dropped, but never a deletion: a put that is dropped becomes the deletion of its key,
and a deletion that fails is kept and tried again, hiding the old entry until it succeeds.
"""

from __future__ import annotations

from threading import Condition, Thread
from time import monotonic

from bifrost.errors import TierError
from bifrost.tiers.invalidation import Names
from bifrost.tiers.tier import SUBJECT_AT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from typing import Final

    from bifrost.tiers.tier import Entry

LINGER_S: Final = 1.0
"""How long the first change of a batch waits: for company, and for the opening that caused it to be over."""
BATCH_ENTRIES: Final = 16_384
"""How many puts end the waiting."""
ENTRY_OVERHEAD: Final = 200
"""Bytes that a waiting put takes beside its key and value."""
MAX_DELETIONS: Final = 50_000
"""How many single deletions are remembered; more of them become the deletion of everything."""
MAX_TOUCHED: Final = 10_000
"""About how many recently used keys are remembered until there is something to write."""
_LONGEST_PAUSE_S: Final = 60.0
_NOTHING: Final = object()


class Waiter:
    """Somebody who waits for a batch to be committed."""

    done = False
    result: int | None = None
    error: Exception | None = None


class Batch:
    """
    Changes to commit together, in this order: notes, prefixes, deletions, touches, entries.

    Attributes:
        entries: What to put. None of the keys is in `deleted`.
        deleted: Keys to forget.
        prefixes: Prefixes of keys to forget; `entries` came after.
        subjects: What to note as invalidated. Until that is done nothing about them is served.
        everything: Whether to note that every subject was invalidated.
        touched: Keys to mark as recently used. They alone are no reason for a commit.
        size: Bytes that `entries` takes.
    """

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.deleted: dict[bytes, None] = {}
        self.prefixes: list[bytes] = []
        self.subjects: dict[bytes, None] = {}
        self._named = Names()
        self.everything = False
        self.touched: set[bytes] = set()
        self.size = 0
        self.waiters: list[Waiter] = []

    def __bool__(self) -> bool:
        return bool(
            self.entries or self.deleted or self.prefixes or self.subjects or self.everything
        )

    def look(self, key: bytes) -> Entry | object | None:
        """Return the entry that will be under *key*, None if none will, `_NOTHING` if unchanged."""
        if self.everything or (self.subjects and self._named.covers(key[SUBJECT_AT:])):
            return None
        entry = self.entries.get(key)
        if entry is not None:
            return entry
        if key in self.deleted or any(map(key.startswith, self.prefixes)):
            return None
        return _NOTHING

    def put(self, key: bytes, entry: Entry) -> None:
        """Put *entry*, as the newest."""
        self.forget(key)
        del self.deleted[key]
        self.entries[key] = entry
        self.size += _size(key, entry)

    def forget(self, key: bytes) -> None:
        """Forget what is under *key*, here and in the store."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.size -= _size(key, entry)
        self.deleted[key] = None
        if len(self.deleted) > MAX_DELETIONS:
            self.forget_prefix(b"")
            self.deleted[key] = None

    def forget_prefix(self, prefix: bytes) -> None:
        """Forget everything whose key starts with *prefix*, here and in the store."""
        for key in [key for key in self.entries if key.startswith(prefix)]:
            self.size -= _size(key, self.entries.pop(key))
        for key in [key for key in self.deleted if key.startswith(prefix)]:
            del self.deleted[key]
        if not any(map(prefix.startswith, self.prefixes)):
            self.prefixes.append(prefix)

    def note(self, subjects: Iterable[bytes] | None) -> None:
        """Note *subjects* as invalidated; None: all."""
        if subjects is not None:
            added = dict.fromkeys(subjects)
            self.subjects.update(added)
            self._named.add(added)
        if subjects is None or len(self.subjects) > MAX_DELETIONS:
            self.subjects.clear()
            self._named.clear()
            self.everything = True

    def parts(self, max_bytes: int, max_keys: int) -> Iterator[Batch]:
        """Yield batches, none larger, that make the same changes one after the other."""
        part = Batch()
        part.everything, part.subjects = self.everything, self.subjects
        part.prefixes = self.prefixes
        for key in self.deleted:
            part.deleted[key] = None
            if len(part.deleted) >= max_keys:
                yield part
                part = Batch()
        for key in self.touched:
            part.touched.add(key)
            if len(part.touched) >= max_keys:
                yield part
                part = Batch()
        for key, entry in self.entries.items():
            part.entries[key] = entry
            part.size += _size(key, entry)
            if part.size > max_bytes:
                yield part
                part = Batch()
        yield part

    def deletions_of(self, failed: Batch) -> None:
        """Take over what *failed*, an earlier batch, was to forget, its entries among it."""
        for key in (*failed.deleted, *failed.entries):
            if key not in self.entries:
                self.deleted[key] = None
        self.prefixes = [*failed.prefixes, *self.prefixes]
        self.note(None if failed.everything else failed.subjects)
        if len(self.deleted) > MAX_DELETIONS:
            self.deleted.clear()
            self.prefixes = [b""]


class WriteBehind:
    """
    A queue of changes and the thread that commits them. Safe from any thread.

    Args:
        commit: Stores a batch, and returns what `note` shall return. Called from one thread at a
            time, never with a lock held; may raise anything.
        max_bytes: How much may wait. The oldest puts are dropped beyond it.
    """

    def __init__(self, commit: Callable[[Batch], int], max_bytes: int) -> None:
        self._commit = commit
        self._max_bytes = max_bytes
        self._changed = Condition()
        self._batch = Batch()
        self._committing: Batch | None = None
        self._thread: Thread | None = None
        self._urgent = self._closing = self._lingers = self._ended = False
        self._pause_s = 0.0
        self.dropped = 0
        """Puts that never reached the store."""

    def look(self, keys: Collection[bytes]) -> tuple[dict[bytes, Entry], Collection[bytes]]:
        """Return what waits among *keys*, and which keys the store must be asked for."""
        if not self._batch and self._committing is None:
            return {}, keys
        hits: dict[bytes, Entry] = {}
        rest: list[bytes] = []
        with self._changed:
            for key in keys:
                entry = self._batch.look(key)
                if entry is _NOTHING and self._committing is not None:
                    entry = self._committing.look(key)
                if entry is _NOTHING:
                    rest.append(key)
                elif entry is not None:
                    hits[key] = entry  # type: ignore[assignment]
        return hits, rest

    def put(self, entries: Mapping[bytes, Entry], largest: int) -> None:
        """Store *entries* some time soon; values longer than *largest* bytes are dropped."""
        with self._changed:
            batch = self._batch
            for key, entry in entries.items():
                if len(entry.value) > largest:
                    batch.forget(key)
                    self.dropped += 1
                elif key in batch.entries or key in batch.deleted:
                    batch.put(key, entry)
                else:  # what nearly all are: as `Batch.put`, and a call or two less
                    batch.entries[key] = entry
                    batch.size += len(key) + len(entry.value) + ENTRY_OVERHEAD
            while batch.size > self._max_bytes and len(batch.entries) > 1:
                batch.forget(next(iter(batch.entries)))
                self.dropped += 1
            self._wake(urgent=len(batch.entries) >= BATCH_ENTRIES)

    def delete(self, keys: Iterable[bytes]) -> None:
        """Forget *keys*: at once for `look`, soon in the store."""
        with self._changed:
            for key in keys:
                self._batch.forget(key)
            self._wake()

    def delete_prefix(self, prefix: bytes) -> None:
        """Forget what starts with *prefix*: at once for `look`, soon in the store."""
        with self._changed:
            self._batch.forget_prefix(prefix)
            self._wake()

    def touch(self, keys: Iterable[bytes]) -> None:
        """Mark *keys* as recently used when there is something else to write."""
        with self._changed:
            if len(self._batch.touched) < MAX_TOUCHED:
                self._batch.touched.update(keys)

    def note(self, subjects: Iterable[bytes] | None, timeout_s: float) -> int:
        """
        Note *subjects* as invalidated; return what the commit returned, once it is done.

        Raises:
            TierError: the commit failed or took too long. The subjects stay hidden from `look`, and
                the commit is tried again; unless all is closed, and there is none any more.
        """
        with self._changed:
            self._batch.note(subjects)
            if self._ended:
                raise TierError("nothing can be written any more: the cache is closed")
            waiter = self._wait_for_batch()
        return self._waited(waiter, timeout_s) or 0

    def hide(self, subjects: Iterable[bytes] | None) -> None:
        """Hide *subjects*, None: everything, from `look`, where nothing can be written."""
        with self._changed:
            self._batch.note(subjects)

    def flush(self, timeout_s: float) -> None:
        """
        Return when everything before is committed, or dropped for good.

        Raises:
            TierError: it took longer than *timeout_s*.
        """
        with self._changed:
            if self._ended:
                return
            if self._batch:
                waiter = self._wait_for_batch()
            elif self._committing is not None:
                waiter = Waiter()
                self._committing.waiters.append(waiter)
            else:
                return
        self._waited(waiter, timeout_s, of_flush=True)

    def close(self, timeout_s: float) -> bool:
        """Commit what waits and end the thread; whether that was done within *timeout_s*."""
        with self._changed:
            if self._batch or self._batch.touched:
                self._wake()
            self._closing = True
            thread = self._thread
            self._ended = thread is None
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_s)
            return not thread.is_alive()
        if self._batch:
            self._commit_next()
        return True

    def acquire(self, timeout_s: float) -> bool:
        """Keep everybody out, for a fork; whether that succeeded."""
        # Condition's own acquire is typed without arguments.
        return bool(self._changed.acquire(timeout=timeout_s))

    def release(self) -> None:
        """Undo `acquire`."""
        self._changed.release()

    def after_fork(self) -> None:
        """
        Start over in a forked child, where there is no thread.

        The parent commits what waits. Until it has, what it deleted must not come back here.
        """
        hidden = Batch()
        for batch in (self._committing, self._batch):
            if batch is not None:
                batch.entries.clear()
                hidden.deletions_of(batch)
        self._batch, self._committing = hidden, None
        self._changed = Condition()
        self._thread = None
        self._urgent = self._closing = self._lingers = self._ended = False

    def _wake(self, *, urgent: bool = False) -> None:
        if self._thread is None and not self._closing:
            thread = Thread(target=self._run, name="bifrost-write-behind", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending; close() commits
                return
            self._thread = thread
        self._urgent = self._urgent or urgent
        # A lingering thread sees the change when it is done with that: no switch for every put.
        if urgent or not self._lingers:
            self._changed.notify_all()

    def _wait_for_batch(self) -> Waiter:
        waiter = Waiter()
        self._batch.waiters.append(waiter)
        self._wake(urgent=True)
        return waiter

    def _waited(self, waiter: Waiter, timeout_s: float, *, of_flush: bool = False) -> int | None:
        with self._changed:
            alone = self._thread is None
        if alone:
            self._commit_next()
        with self._changed:
            self._changed.wait_for(lambda: waiter.done, timeout_s)
        if not waiter.done:
            raise TierError(f"nothing could be written within {timeout_s:g} s: is a process stuck?")
        if waiter.error is not None and not of_flush:
            raise TierError(f"could not be written: {waiter.error}") from waiter.error
        return waiter.result

    def _run(self) -> None:
        while self._wait_for_work():
            self._commit_next()

    def _wait_for_work(self) -> bool:
        """Wait until a batch is to be committed; False when there is nothing left to do."""
        with self._changed:
            while not self._batch and not self._closing:
                self._changed.wait()
            until = monotonic() + max(LINGER_S, self._pause_s)
            self._lingers = True
            while not (self._urgent or self._closing):
                left = until - monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._lingers = False
            # Only closing ends it: somebody who found no thread may have committed the batch meanwhile.
            self._ended = self._closing and not (self._batch or self._batch.touched)
            return not self._ended

    def _commit_next(self) -> None:
        with self._changed:
            batch = self._committing = self._batch
            self._batch = Batch()
            self._urgent = False
        result, error = None, None
        try:
            result = self._commit(batch)
        except Exception as exc:  # noqa: BLE001  a cache that can't write is slow, never wrong
            error = exc
        with self._changed:
            if error is not None:
                self._keep_deletions(batch)
            else:
                self._pause_s = 0.0
            self._committing = None
            for waiter in batch.waiters:
                waiter.done, waiter.result, waiter.error = True, result, error
            self._changed.notify_all()

    def _keep_deletions(self, failed: Batch) -> None:
        self.dropped += len(failed.entries)
        self._pause_s = min(_LONGEST_PAUSE_S, max(1.0, 2 * self._pause_s))
        if self._closing:
            return  # nobody reads any more, and waiting would keep the process from ending
        self._batch.deletions_of(failed)


def _size(key: bytes, entry: Entry) -> int:
    return len(key) + len(entry.value) + ENTRY_OVERHEAD
