# SPDX-License-Identifier: Apache-2.0
"""One folder's cache in one process: finding the store in force, asking it, mending what breaks."""

from __future__ import annotations

import os
from threading import Lock

from bifrost.errors import TierError
from bifrost.tiers.codec import DamagedError
from bifrost.tiers.invalidation import LocalInvalidations
from bifrost.tiers.records import record_key, ticket_at
from bifrost.tiers.store_folder import FolderError
from bifrost.tiers.stores import UnusableError, damage, make_store, open_store
from bifrost.tiers.write_behind import WriteBehind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from types import ModuleType
    from typing import Any, Final

    from bifrost.tiers.records import Reading, Records
    from bifrost.tiers.store_folder import Stamp, StoreFolder
    from bifrost.tiers.stores import Store
    from bifrost.tiers.tier import Entry
    from bifrost.tiers.write_behind import Batch

_MOST_WAITING: Final = 16 << 20
# A transaction writes every page that it touches anew, beside the old one, and random keys touch a
# page of the index each: it needs many times the room of what is in it. So it puts only a small
# part of what the store has room for, and removes only so many entries.
_PUT_PART: Final = 32
_MOST_REMOVED: Final = 2048
_BYTES_PER_REMOVAL: Final = 1 << 17
# Pages in use, as a part of all: eviction begins above the first and ends below the second; entries
# are marked as used above the third, for below it nothing will be evicted soon.
_FULL, _ROOMY, _TOUCHING = 0.85, 0.70, 0.50
_TOUCH_AFTER_S: Final = 3600.0
_CHECKED_AT_ONCE: Final = 1000
_ATTEMPTS: Final = 5
_PATIENCE_S: Final = 10.0
_FORK_PATIENCE_S: Final = 2.0

_told: set[str] = set()
# Stores that can't be closed. Kept, for collecting one would wait for its transaction for ever.
_stuck: list[Store] = []


class SharedCache:
    """
    The cache of one folder in this process; its tiers share it.

    Two locks, always taken in this order: `_writing` while a write transaction may be open, `_lock`
    while a read transaction is, or `_store` changes. Holding both, no transaction is open, and a
    fork is safe. Nothing is logged with either held: a log handler may be anybody's code.
    """

    def __init__(
        self,
        folder: StoreFolder,
        max_bytes: int,
        clock: Callable[[], float],
        load: Callable[[], ModuleType],
    ) -> None:
        self.root = os.path.realpath(folder.root)
        self._users = 0
        self._folder = folder
        self._max_bytes = max_bytes
        self._removed_at_once = max(16, min(_MOST_REMOVED, max_bytes // _BYTES_PER_REMOVAL))
        self._clock = clock
        self._load = load
        self._lmdb: Any = None
        self._lock = Lock()
        self._writing = Lock()
        self._backlog = WriteBehind(self._commit, min(_MOST_WAITING, max_bytes // 2))
        self._store: Store | None = None
        self._stamp: Stamp | None = None
        self._retired: list[Store] = []
        # Where invalidations go while the store's log can't be written.
        self._local: LocalInvalidations | None = None
        self._newest = 0  # the largest number seen
        self._bypassed = self._touching = False
        self._news: list[str] = []
        self._kept_out = (False, False, False)
        self._errors = self._damaged = self._evictions = 0

    # What tiers ask for

    def joined(self) -> None:
        """Note that one more tier uses this."""
        self._users += 1

    def left(self) -> bool:
        """Note that one tier fewer uses this; whether others still do."""
        self._users -= 1
        return self._users > 0

    def get(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """Return the entries among *keys*."""
        waiting, rest = self._backlog.look(keys)
        if not waiting and not rest:
            return waiting
        used_before = b""
        if self._touching:
            used_before = record_key(ticket_at(self._clock() - _TOUCH_AFTER_S))
        reading: Reading | None = self._read(
            lambda records, txn: records.read(txn, rest, waiting, used_before)
        )
        if reading is None:
            return {}
        self._newest = max(self._newest, reading.newest)
        if reading.damaged:
            self._damaged += len(reading.damaged)
            self._backlog.delete(reading.damaged)
        if reading.aged:
            self._backlog.touch(reading.aged)
        return reading.hits

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Store *entries* some time soon."""
        if not self._bypassed:
            self._backlog.put(entries, self._max_bytes // 4)

    def delete(self, keys: Iterable[bytes]) -> None:
        """Forget *keys*."""
        if not self._bypassed:
            self._backlog.delete(keys)

    def delete_prefix(self, prefix: bytes) -> None:
        """Forget what starts with *prefix*."""
        if not self._bypassed:
            self._backlog.delete_prefix(prefix)

    def flush(self) -> None:
        """Commit what waits."""
        self._backlog.flush(_PATIENCE_S)
        self.tell()

    def sequence(self) -> int:
        """Return the number of the newest invalidation, or the last one that could be read."""
        numbers = self._read(lambda records, txn: records.numbers(txn))
        if self._local is not None:
            return self._local.sequence()
        if numbers is None:
            return self._newest
        self._newest = max(self._newest, numbers.newest)
        return int(numbers.newest)

    def note(self, subjects: Iterable[bytes] | None) -> int:
        """Invalidate *subjects*, None: everything; return the newest number."""
        subjects = None if subjects is None else list(subjects)
        if subjects == []:
            return self.sequence()
        self.sequence()  # finds out whether there is a log to write to
        if self._local is not None:
            self._backlog.hide(subjects)
            return self._local.note_invalidation(subjects)
        try:
            newest = self._backlog.note(subjects, _PATIENCE_S)
        finally:
            self.tell()
        self._newest = max(self._newest, newest)
        return newest

    def invalidated_since(self, sequence: int) -> list[bytes] | None:
        """Return the subjects invalidated after *sequence*; None: nobody knows."""
        found: list[bytes] | None = self._read(
            lambda records, txn: records.invalidated_since(txn, sequence)
        )
        return found if self._local is None else self._local.invalidated_since(sequence)

    def verify(self) -> dict[str, int]:
        """Check everything in read transactions short enough for pages to be reused meanwhile."""
        counts = {"entries": 0, "damaged": 0}
        place = b""
        while True:
            start = place
            found = self._read(lambda records, txn: records.check(txn, start, _CHECKED_AT_ONCE))  # noqa: B023  asked at once
            if found is None:
                raise TierError(f"the cache in {self.root} can't be read")
            place, sound, damaged = found
            counts["entries"] += sound
            counts["damaged"] += len(damaged)
            if damaged:
                self._forget(damaged)
            if not place:
                return counts

    def compact(self) -> None:
        """Copy the store and put the copy in force."""
        self._backlog.flush(_PATIENCE_S)
        with self._writing:
            with self._lock:
                store = self._current()
            if store is None or store.readonly:
                raise TierError(f"the cache in {self.root} can't be written")
            try:
                self._switch_to_copy(store)
            except (FolderError, OSError, self._lmdb.Error) as error:
                raise TierError(f"the cache in {self.root} can't be copied: {error}") from error
            finally:
                self._close_retired()

    def stats(self) -> dict[str, Any]:
        """Return counters."""
        found = self._read(
            lambda records, txn: (
                records.entries(txn),
                records.used_bytes(txn),
                records.oldest(txn),
            )
        )
        entries, used, oldest = found or (0, 0, None)
        store = self._store
        is_readonly = store is not None and store.readonly
        return {
            "entries": entries,
            "bytes": used,
            "max_bytes": self._max_bytes,
            "evictions": self._evictions,
            "errors": self._errors,
            "damaged": self._damaged,
            "dropped": self._backlog.dropped,
            "age_s": 0.0 if oldest is None else max(0.0, self._clock() - oldest),
            "state": "bypassed" if self._bypassed else "read-only" if is_readonly else "open",
            "file_bytes": 0 if store is None else self._folder.size(store.name),
            "path": "" if store is None else self._folder.path(store.name),
        }

    def take_news(self, news: str | None, trouble: str | None) -> None:
        """Take over what was found out about the folder before it was opened."""
        if news is not None:
            self._news.append(news)
        if trouble is not None and not self._bypassed:
            self._bypass(trouble)

    def tell(self) -> None:
        """Log what went wrong, each thing once per process. Call it without a lock."""
        if not self._news:
            return
        news, self._news = self._news, []
        import logging  # slow to import, and there is news only when something is wrong

        for text in news:
            if text not in _told:
                _told.add(text)
                logging.getLogger("bifrost.tiers").warning("%s", text)

    def close(self, patience_s: float) -> None:
        """Commit what waits, and close the store unless a transaction hangs in it."""
        is_done = self._backlog.close(patience_s)
        # Whoever mends or compacts it, or found no thread for the backlog, may still be at it.
        is_done = is_done and self._writing.acquire(timeout=patience_s)
        with self._lock:
            store, self._store = self._store, None
            self._bypassed, self._local = True, LocalInvalidations(self._newest + 1)
        stores = [*self._retired, *([store] if store else [])]
        self._retired.clear()
        for store in stores:
            store.close() if is_done else _stuck.append(store)
        if is_done:
            self._writing.release()

    # Reading

    def _read(self, query: Callable[[Records, Any], Any]) -> Any:
        """Return what *query* finds in a read transaction, or None where nothing can be read."""
        answer = None
        with self._lock:
            for _ in range(_ATTEMPTS):
                store = self._current()
                if store is None:
                    break
                try:
                    with store.environment.begin() as txn:
                        answer = query(store.records, txn)
                    break
                except (DamagedError, self._lmdb.Error) as error:
                    if not self._mended(store, error):
                        break
        self.tell()
        return answer

    def _current(self) -> Store | None:
        """Return the store in force, opening it where it is another one than before."""
        if self._bypassed:
            return None
        # One stat for every look-up, so that no process reads a store, and its invalidation log,
        # that another has replaced.
        stamp = self._folder.stamp()
        if self._store is None or stamp != self._stamp:
            self._open()
        return self._store

    def _mended(self, store: Store, error: Exception) -> bool:
        """Do what can be done about *error*; whether it is worth another attempt."""
        lmdb = self._lmdb
        self._errors += 1
        try:
            if isinstance(error, lmdb.MapResizedError):
                store.environment.set_mapsize(0)  # another process has a larger bound: take it over
                return True
            if isinstance(error, lmdb.ReadersFullError):
                return bool(store.environment.reader_check())
        except lmdb.Error:
            return False
        if isinstance(error, (DamagedError, *damage(lmdb))):
            self._replace(store.name, f"it is damaged: {error}")
            return True
        return False

    # Opening

    def _open(self) -> None:
        try:
            if self._lmdb is None:
                self._lmdb = self._load()
            for _ in range(_ATTEMPTS):
                if self._open_current():
                    return
            self._bypass("other processes keep replacing its stores")
        except ImportError as error:
            self._bypass(f"LMDB can't be loaded: {error}")
        except (FolderError, OSError, self._lmdb.Error) as error:
            self._bypass(str(error))

    def _open_current(self) -> bool:
        folder = self._folder
        folder.prepare()
        self._stamp = folder.stamp()
        name = folder.current()
        identity = None if name is None else folder.identity(name)
        if self._store is not None and (name, identity) == (self._store.name, self._store.identity):
            return True  # the pointer was written anew and says the same
        self._retire()
        if name is None:
            return self._begin_anew(
                None, None if self._stamp is None else "its pointer file is damaged"
            )
        try:
            self._use(open_store(self._lmdb, folder, name, self._max_bytes))
        except UnusableError as reason:
            return self._begin_anew(name, str(reason))
        return True

    def _use(self, store: Store) -> None:
        self._store = store
        with store.environment.begin() as txn:
            self._newest = max(self._newest, store.records.numbers(txn).newest)
            self._touching = store.records.used_bytes(txn) > _TOUCHING * self._max_bytes
        if store.readonly:
            self._local = self._local or LocalInvalidations(self._newest + 1)
            self._news.append(f"the cache in {self.root} can't be written; it is only read")

    def _begin_anew(self, name: str | None, reason: str | None) -> bool:
        """Put a new store in the place of *name*; False if another process was faster."""
        folder = self._folder
        if not folder.can_switch():
            raise FolderError(f"{reason or 'it is empty'}, and nothing may be written there")
        switching = folder.start_switch()
        try:
            if folder.current() != name:
                return False
            store = self._make(folder.add())
            self._stamp = folder.stamp()
        finally:
            os.close(switching)
        self._use(store)
        if reason is not None:
            self._news.append(
                f"a new cache was begun in {self.root}; {name or 'the old one'} is unused: {reason}"
            )
        return True

    def _make(self, name: str) -> Store:
        store = None
        try:
            store = make_store(self._lmdb, self._folder, name, self._max_bytes, self._newest)
            self._folder.put_in_force(name)
        except BaseException:
            if store is not None:
                store.close()
            self._folder.remove(name)
            raise
        return store

    # Letting go

    def _replace(self, name: str, reason: str) -> None:
        """Put a new store in the place of *name*, which can't be used any more."""
        self._retire()
        try:
            self._begin_anew(name, reason)
        except (FolderError, OSError, self._lmdb.Error) as error:
            self._bypass(f"{reason}; {error}")

    def _retire(self) -> None:
        store, self._store = self._store, None
        if store is None:
            return
        # The writer may be in a transaction of it, and closes it afterwards. We may be the writer.
        if self._writing.acquire(blocking=False):
            store.close()
            self._writing.release()
        else:
            self._retired.append(store)

    def _close_retired(self) -> None:
        while self._retired:
            self._retired.pop().close()

    def _bypass(self, reason: str) -> None:
        self._retire()
        self._bypassed = True
        self._local = self._local or LocalInvalidations(self._newest + 1)
        self._news.append(f"the cache in {self.root} is not used: {reason}")

    # Writing: on the thread of the backlog

    def _commit(self, batch: Batch) -> int:
        newest = 0
        try:
            with self._writing:
                try:
                    for part in batch.parts(self._max_bytes // _PUT_PART, self._removed_at_once):
                        newest = self._write(part)
                finally:
                    self._close_retired()
        finally:
            self.tell()
        return newest

    def _write(self, batch: Batch) -> int:
        for attempt in range(_ATTEMPTS):
            with self._lock:
                store, stamp = self._current(), self._stamp
            if store is None or store.readonly:
                break
            try:
                newest = self._apply(store, stamp, batch)
                if newest is not None:
                    return newest
            except self._lmdb.MapFullError as error:
                # Pages count as free one transaction after the next, so there may be none although
                # a part is unused. Then a larger part will do.
                if attempt == _ATTEMPTS - 2 or not self._make_room(store, is_stuck=True):
                    self._give_up_full(store, batch, error)
            except (DamagedError, self._lmdb.Error) as error:
                self._mend_for_writing(store, error)
        raise TierError(f"the cache in {self.root} can't be written")

    def _apply(self, store: Store, stamp: Stamp | None, batch: Batch) -> int | None:
        """Commit *batch*; None if another store came into force meanwhile."""
        with store.environment.begin(write=True) as txn:
            if self._folder.stamp() != stamp:
                return None  # while we waited for the other processes' transactions
            store.keep_off_the_end()
            numbers = store.records.apply(txn, batch, self._clock())
            used = store.records.used_bytes(txn)
        if self._folder.stamp() != stamp:
            return None  # it went to a store that is out of force; once more, to the new one
        if batch.subjects or batch.everything:
            store.environment.sync(True)
        self._touching = used > _TOUCHING * self._max_bytes
        if used > _FULL * self._max_bytes:
            self._make_room(store)
        if not store.has_looked_around:
            store.has_looked_around = True
            self._folder.remove_unused()
        return numbers.newest

    def _make_room(self, store: Store, *, is_stuck: bool = False) -> bool:
        """Evict, in transactions that a nearly full store has room for; whether that succeeded."""
        target = _ROOMY * self._max_bytes
        evicted = 1
        try:
            while evicted:
                with store.environment.begin(write=True) as txn:
                    used = store.records.used_bytes(txn)
                    if is_stuck:
                        target = min(target, used - (_FULL - _ROOMY) * self._max_bytes)
                        is_stuck = False
                    if used <= target:
                        break
                    evicted = store.records.evict(txn, self._removed_at_once)
                self._evictions += evicted
        except self._lmdb.MapFullError:
            self._errors += 1
            return False
        return True

    def _give_up_full(self, store: Store, batch: Batch, error: Exception) -> None:
        """Drop *batch*, but not its invalidations: they take an empty store rather than none."""
        self._errors += 1
        if not batch.subjects and not batch.everything:
            raise error
        with self._lock:
            self._replace(store.name, "it is full and can't be emptied")

    def _mend_for_writing(self, store: Store, error: Exception) -> None:
        with self._lock:
            if isinstance(error, self._lmdb.PanicError):
                # A commit failed halfway and LMDB refuses all work until the file is opened again.
                self._errors += 1
                if self._store is store:
                    self._store = None
                store.close()
            elif not self._mended(store, error):
                raise error

    def _forget(self, places: list[bytes]) -> None:
        with self._writing:
            with self._lock:
                store = self._current()
            if store is None or store.readonly:
                return
            try:
                with store.environment.begin(write=True) as txn:
                    store.records.forget_places(txn, places)
            except (DamagedError, self._lmdb.Error) as error:
                with self._lock:
                    self._mended(store, error)
            finally:
                self._close_retired()

    def _switch_to_copy(self, store: Store) -> None:
        folder = self._folder
        switching = folder.start_switch()
        try:
            if folder.current() != store.name:
                return  # replaced by another process: nothing to compact yet
            new = folder.add()
            try:
                # Nobody writes to the old store until the pointer has moved, and whoever waited for
                # that looks at the pointer again.
                with store.environment.begin(write=True):
                    store.copy_to(folder.data(new))
                    folder.put_in_force(new)
            except BaseException:
                folder.remove(new)
                raise
        finally:
            os.close(switching)
        with self._lock:
            self._current()

    # Forking

    def before_fork(self) -> None:
        """Wait for the transactions of other threads, and keep new ones out."""
        self._kept_out = (
            self._writing.acquire(timeout=_FORK_PATIENCE_S),
            self._lock.acquire(timeout=_FORK_PATIENCE_S),
            self._backlog.acquire(_FORK_PATIENCE_S),
        )

    def after_fork_in_parent(self) -> None:
        """Let everybody in again."""
        writing, lock, backlog = self._kept_out
        self._kept_out = (False, False, False)
        if backlog:
            self._backlog.release()
        if lock:
            self._lock.release()
        if writing:
            self._writing.release()

    def after_fork_in_child(self) -> None:
        """Let go of the parent's environment; the next use opens one of our own."""
        self._writing, self._lock = Lock(), Lock()
        self._backlog.after_fork()
        stores = [*self._retired, *([self._store] if self._store else [])]
        self._store, self._retired = None, []
        was_safe, self._kept_out = all(self._kept_out), (False, False, False)
        if was_safe:
            for store in stores:
                store.close()
            return
        # A transaction of a thread that does not exist here is open for ever: closing would wait
        # for it, and without closing the file can't be opened again.
        _stuck.extend(stores)
        self._bypass("this process was forked in the middle of a transaction")
