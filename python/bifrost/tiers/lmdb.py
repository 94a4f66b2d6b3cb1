# SPDX-License-Identifier: Apache-2.0
"""
The tier that all processes of a user on one host share: LMDB in a local folder.

Nothing is opened before the first use. One environment per process and folder, however many tiers
name it: LMDB's locks belong to the process, and a second opening would break them. The work is
shared_cache.py's; what is in a store, records.py's; what waits to be written, write_behind.py's;
where stores lie, store_folder.py's.

**Durability.** Commits sync their data but not the meta page (`metasync=False`). A killed process
loses what waited in its queue, a power cut the last commits; neither can damage the file, which
`sync=False` does not promise. An invalidation is synced whole before `note_invalidation` returns.

**Trouble.** A store that is damaged, foreign or cut off is replaced by an empty one beside it; the
invalidation log of a new store begins above every number before, so that everyone who remembers an
old one forgets everything. A folder that can't be used makes the tier miss. Either way there is one
warning, and callers see misses, never an error.
"""

from __future__ import annotations

import os
from threading import Lock
from time import time

from bifrost.tiers.filesystem import is_local
from bifrost.tiers.invalidation import InvalidationLog
from bifrost.tiers.shared_cache import SharedCache
from bifrost.tiers.store_folder import FolderError, StoreFolder, secure
from bifrost.tiers.tier import Tier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from types import ModuleType
    from typing import Any, Final

    from bifrost.tiers.seal import Seal
    from bifrost.tiers.tier import Entry

_SMALLEST: Final = 1 << 20
_PATIENCE_S: Final = 10.0
_EXIT_PATIENCE_S: Final = 2.0


class LmdbTier(Tier):
    """
    Entries in *directory*, shared by this user's processes on this host, at most *max_bytes*.

    Of several tiers that name one directory in a process the first one's *max_bytes* and *clock*
    are in force. Puts are visible to this process at once, to others within about a second. With a
    *seal* entries are signed, and those that are not signed are misses.

    Attributes:
        invalidations: The invalidation log that all users of the directory share.
    """

    name = "lmdb"

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        max_bytes: int,
        clock: Callable[[], float] = time,
        seal: Seal | None = None,
    ) -> None:
        self._seal = seal
        self._directory = os.fspath(directory)
        self._max_bytes = max(max_bytes, _SMALLEST)
        self._clock = clock
        self._cache: SharedCache | None = None
        self._closed = False
        self.invalidations: InvalidationLog = _Invalidations(self._opened)

    def get(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """Return the entries among *keys*; damaged ones are left out, counted, and forgotten."""
        hits = self._opened().get(keys)
        return hits if self._seal is None else self._seal.opened(hits, self.delete)

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Store *entries* some time soon. Values above a quarter of `max_bytes` are not kept."""
        if entries:
            self._opened().put(entries if self._seal is None else self._seal.sealed(entries))

    def delete(self, keys: Iterable[bytes]) -> None:
        """Forget *keys*: at once for this process."""
        self._opened().delete(keys)

    def delete_prefix(self, prefix: bytes) -> None:
        """Forget every key that starts with *prefix*: at once for this process."""
        self._opened().delete_prefix(prefix)

    def outdate(self, subjects: Iterable[bytes] | None, sequence: int) -> None:
        """
        Treat entries about *subjects* that were filled before *sequence* as absent.

        For numbers of another log than this tier's own, which needs no telling.
        """
        if sequence > self.invalidations.sequence():
            self.invalidations.note_invalidation(subjects)

    def flush(self) -> None:
        """
        Return when everything put before is committed.

        Raises:
            TierError: it took longer than 10 s.
        """
        self._opened().flush()

    def verify(self) -> dict[str, int]:
        """
        Check every checksum; forget what is damaged. Return counts: `entries`, `damaged`.

        Raises:
            TierError: the cache can't be read.
        """
        return self._opened().verify()

    def compact(self) -> None:
        """
        Copy the cache into a new file without holes and use that from now on, in all processes.

        Raises:
            TierError: it could not be copied; the old file stays in use.
        """
        self._opened().compact()

    def stats(self) -> dict[str, Any]:
        """
        Return counters: `entries` and `bytes` of the shared file, the others of this process.

        `state` is `open`, `read-only` or `bypassed`; `path` names the data file's folder; `refused`
        counts what was not signed by our keys.
        """
        refused = 0 if self._seal is None else self._seal.refused
        return {**self._opened().stats(), "refused": refused}

    def close(self) -> None:
        """Commit what waits; let go of the files, unless another tier of this process has them."""
        with _registry_lock:
            if self._closed:
                return
            self._closed = True
            cache, self._cache = self._cache, _no_cache(self._directory)
            # Held while closing: whoever opens the folder again must find it closed.
            if cache is not None and not cache.left():
                cache.close(_PATIENCE_S)
                _registry.pop(cache.root, None)
        if cache is not None:
            cache.tell()

    def _opened(self) -> SharedCache:
        if self._cache is None:
            with _registry_lock:
                if self._cache is None:
                    self._cache = _join(self._directory, self._max_bytes, self._clock)
            self._cache.tell()
        return self._cache


class _Invalidations(InvalidationLog):
    """The log of a tier's cache, found when it is asked."""

    def __init__(self, cache: Callable[[], SharedCache]) -> None:
        self._cache = cache

    def sequence(self) -> int:
        """Return the number of the newest invalidation: one look-up in the store."""
        return self._cache().sequence()

    def note_invalidation(self, subjects: Iterable[bytes] | None) -> int:
        """Commit *subjects*, None: everything, as invalidated; return the newest number."""
        return self._cache().note(subjects)

    def invalidated_since(self, sequence: int) -> list[bytes] | None:
        """Return what was invalidated under numbers above *sequence*; None: assume everything."""
        return self._cache().invalidated_since(sequence)


def _join(directory: str, max_bytes: int, clock: Callable[[], float]) -> SharedCache:
    """Return this process's cache for *directory*."""
    folder, news, trouble = _local_folder(directory)
    root = os.path.realpath(folder.root)
    cache = _registry.get(root)
    if cache is None:
        cache = _registry[root] = SharedCache(folder, max_bytes, clock, _load)
        _watch_process()
    cache.joined()
    cache.take_news(news, trouble)
    return cache


def _load() -> ModuleType:
    import lmdb

    return lmdb


def _no_cache(directory: str) -> SharedCache:
    """Return what a closed tier asks: a cache that keeps nothing and says nothing."""
    cache = SharedCache(StoreFolder(directory), _SMALLEST, time, _load)
    cache.close(0)
    return cache


def _local_folder(directory: str) -> tuple[StoreFolder, str | None, str | None]:
    """Return the folder to use, what to warn of, and why it must not be used after all."""
    directory = os.path.abspath(directory)
    if is_local(directory):
        return StoreFolder(directory), None, None
    import tempfile

    fallback = os.path.join(tempfile.gettempdir(), f"bifrost-{os.geteuid()}")
    folder = StoreFolder(fallback)
    if not is_local(fallback):
        return folder, None, f"neither {directory} nor {fallback} is on a disk of this machine"
    try:
        secure(fallback)
    except FolderError as error:
        return folder, None, str(error)
    return folder, f"{directory} is on a network file system; caching in {fallback}", None


def _watch_process() -> None:
    """Register, once, what must happen when this process forks or ends."""
    global _is_watching  # noqa: PLW0603
    if _is_watching:
        return
    _is_watching = True
    import atexit

    atexit.register(_at_exit)
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )


def _at_exit() -> None:
    for cache in list(_registry.values()):
        cache.close(_EXIT_PATIENCE_S)


def _before_fork() -> None:
    for cache in list(_registry.values()):
        cache.before_fork()


def _after_fork_in_parent() -> None:
    for cache in list(_registry.values()):
        cache.after_fork_in_parent()


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603
    _registry_lock = Lock()
    for cache in list(_registry.values()):
        cache.after_fork_in_child()


_registry: dict[str, SharedCache] = {}
_registry_lock = Lock()
_is_watching = False
