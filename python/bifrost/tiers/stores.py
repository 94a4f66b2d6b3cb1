# SPDX-License-Identifier: Apache-2.0
"""Opening and making stores. The `lmdb` module is an argument: lmdb.py alone imports it."""

from __future__ import annotations

import os
from time import time

from bifrost.tiers.codec import DamagedError
from bifrost.tiers.records import Records
from bifrost.tiers.store_folder import FolderError, StoreFolder, unusable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

# Slots of 64 bytes in the lock file, one for each read in progress on the host; before them, LMDB's
# own 128 bytes.
_MAX_READERS: Final = 1024
_SLOT: Final = 64
_BEFORE_SLOTS: Final = 128
_BLOCK: Final = 512
_MARGIN: Final = 1 << 20


class UnusableError(Exception):
    """A store that must be replaced by a new one; the message says why."""


class Store:
    """
    A store that is open in this process.

    Attributes:
        name: The name of its folder.
        identity: What tells its data file from a later one of that name.
        environment: LMDB's.
        records: What is in it.
        readonly: Whether it can't be written.
        has_looked_around: Whether stores out of use were looked for since it was opened.
    """

    def __init__(
        self, folder: StoreFolder, name: str, hold: int, environment: Any, *, readonly: bool = False
    ) -> None:
        self.name = name
        self.identity = folder.identity(name)
        self.environment = environment
        self.readonly = readonly
        self.has_looked_around = False
        self.records = Records(environment)
        self._hold = hold
        self._data = folder.data(name)
        self._page_size: int = environment.stat()["psize"]

    def copy_to(self, data: str) -> None:
        """Write what is in it, without holes, to the new file *data*."""
        descriptor = os.open(data, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            self.environment.copyfd(descriptor, compact=True)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def keep_off_the_end(self) -> None:
        """
        Make the data file longer than what is in it. Call it in a write transaction.

        A damaged page may send LMDB to read some way behind itself. Within the file that finds
        nonsense, which is noticed; behind its end it is SIGBUS.
        """
        used = (self.environment.info()["last_pgno"] + 1) * self._page_size
        try:
            if os.stat(self._data).st_size < used + _MARGIN:
                os.truncate(self._data, used + 2 * _MARGIN)  # a hole: it takes no room
        except OSError:
            pass  # a limit on file sizes; better without margin than without cache

    def close(self) -> None:
        """Unmap it, and let it be removed once it is out of force."""
        self.environment.close()
        os.close(self._hold)


def open_store(lmdb: Any, folder: StoreFolder, name: str, map_size: int) -> Store:
    """
    Open the store *name*; only for reading, where neither it nor a new one can be written.

    Raises:
        UnusableError: it must be replaced.
        lmdb.Error, OSError: it can't be opened, and neither could another.
    """
    path = folder.path(name)
    hold = folder.hold(name)
    if hold is None:
        raise UnusableError("it is gone")
    environment = None
    try:
        is_writable = _check(folder, name)
        environment = _environment(lmdb, path, map_size, readonly=not is_writable)
        if is_writable:
            environment.reader_check()  # frees the slots of processes that died reading
        store = Store(folder, name, hold, environment, readonly=not is_writable)
        with environment.begin() as txn:
            store.records.numbers(txn)  # another program's file has none
        return store
    except BaseException as error:
        if environment is not None:
            environment.close()
        os.close(hold)
        if isinstance(error, (DamagedError, *damage(lmdb))):
            raise UnusableError(f"its data file is damaged or foreign: {error}") from error
        raise


def make_store(lmdb: Any, folder: StoreFolder, name: str, map_size: int, known: int) -> Store:
    """
    Make an empty store in the folder *name*, which is new.

    Its invalidation log begins above *known*, the largest number that this process has seen.

    Raises:
        FolderError, lmdb.Error, OSError: it can't be made.
    """
    hold = folder.hold(name)
    if hold is None:
        raise FolderError(f"{folder.path(name)} can't be written to")
    environment = None
    try:
        environment = _environment(lmdb, folder.path(name), map_size, readonly=False)
        store = Store(folder, name, hold, environment)
        with environment.begin(write=True) as txn:
            # Microseconds: above the numbers of any store before, also where its log can't be read
            # any more. Nobody invalidates a million times a second.
            store.records.begin(txn, max(int(time() * 1e6), known + 1))
        environment.sync(True)
        return store
    except BaseException:
        if environment is not None:
            environment.close()
        os.close(hold)
        raise


def damage(lmdb: Any) -> tuple[type[Exception], ...]:
    """Return the errors that mean that a file is not, or no longer, what LMDB wrote."""
    return (
        lmdb.BadDbiError,
        lmdb.CorruptedError,
        lmdb.CursorFullError,
        lmdb.IncompatibleError,
        lmdb.InvalidError,
        lmdb.PageFullError,
        lmdb.PageNotFoundError,
        lmdb.VersionMismatchError,
    )


def _check(folder: StoreFolder, name: str) -> bool:
    """Return whether the store can be written; raise `UnusableError` where another should be."""
    if reason := unusable(folder.path(name)):
        raise UnusableError(reason)
    is_writable = folder.is_writable(name)
    if not is_writable and folder.can_switch():
        raise UnusableError("its files can't be written")
    return is_writable


def _environment(lmdb: Any, path: str, map_size: int, *, readonly: bool) -> Any:
    # Without a writable lock file readers can't announce themselves. They need not: whoever could
    # write, and reuse their pages, has the same trouble with it.
    locks = os.path.join(path, "lock.mdb")
    is_locking = not readonly or os.access(locks, os.W_OK)
    if is_locking:
        _allocate(locks, _BEFORE_SLOTS + _SLOT * _MAX_READERS)
    return lmdb.open(
        path,
        map_size=map_size,
        mode=0o700,  # LMDB's files get it without the x bits
        create=False,
        readonly=readonly,
        lock=is_locking,
        metasync=False,
        max_readers=_MAX_READERS,
        lib_version=0,
    )


def _allocate(path: str, size: int) -> None:
    """
    Make sure that the file has its blocks, all of *size*. Call it before the file is mapped.

    LMDB makes its lock file a hole and maps it. On a full disk whoever touches a page of that hole dies
    of SIGBUS, and the application with them; here it is an error.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        is_hole = os.fstat(descriptor).st_blocks * _BLOCK < size
        if is_hole and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(descriptor)
