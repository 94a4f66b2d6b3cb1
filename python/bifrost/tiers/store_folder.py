# SPDX-License-Identifier: Apache-2.0
"""
The folder that holds a user's persistent cache.

```
<directory>/<schema>-<uid>/    0700
├── CURRENT                      the name of the store in force; replaced atomically, never edited
├── switch.lock                  flock: who replaces CURRENT, or removes stores
└── store-<n>/
    ├── data.mdb  lock.mdb         LMDB's
    └── lock                       flock, shared: this store is in use
```

A store that can't be used is left where it is and a new one put beside it: its file may be mapped
by other processes, and truncating or replacing a mapped file kills them (SIGBUS). It is removed
when nobody holds its lock any more.
"""

from __future__ import annotations

import os
import stat
from struct import Struct
from time import monotonic, sleep

from bifrost.tiers.codec import SCHEMA

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_CURRENT: Final = "CURRENT"
_SWITCH: Final = "switch.lock"
_STORE: Final = "store-"
_IN_USE: Final = "lock"
_DATA: Final = "data.mdb"
_SWITCH_PATIENCE_S: Final = 5.0

# The two meta pages of an LMDB 0.9 file, which begin it: a page header of 16 bytes, then MDB_meta:
# magic, version, (address, map size), free list's database (its md_pad is the page size), main
# database, last page, transaction.
_META: Final = Struct("=16xII16xI44x48xQQ")
_MAGIC: Final = 0xBEEFC0DE
_DATA_VERSION: Final = 1
_PAGE_SIZES: Final = frozenset(1 << bits for bits in range(9, 17))

Stamp = tuple[int, int]


class FolderError(Exception):
    """The folder can't hold a cache; the message says why."""


def secure(path: str) -> None:
    """
    Make sure that *path* is a folder of ours that nobody else may write to.

    Raises:
        FolderError: it is not, and can't be made one.
    """
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise FolderError(f"{path} can't be made: {error.strerror}") from error
    # Not stat: a link planted in a shared folder would lead anywhere.
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise FolderError(f"{path} is not a folder")
    if found.st_uid != os.geteuid():
        raise FolderError(f"{path} belongs to the user with id {found.st_uid}")
    if found.st_mode & 0o022:
        raise FolderError(
            f"{path} may be written by others; after a look into it: chmod 700 {path}"
        )
    if found.st_mode & 0o077:
        os.chmod(path, 0o700)


def unusable(store: str) -> str | None:
    """Return why the data file in the folder *store* must not be opened, or None."""
    try:
        descriptor = os.open(os.path.join(store, _DATA), os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        return f"its data file can't be read: {error.strerror}"
    try:
        size = os.fstat(descriptor).st_size
        return _wrong_meta(descriptor, size)
    except OSError as error:
        return f"its data file can't be read: {error.strerror}"
    finally:
        os.close(descriptor)


def _wrong_meta(descriptor: int, size: int) -> str | None:
    newest, pages, page_size = -1, 0, 0
    for number in range(2):
        raw = os.pread(descriptor, _META.size, number * page_size)
        if len(raw) < _META.size:
            return "its data file is too short"
        magic, version, psize, last_page, transaction = _META.unpack(raw)
        if magic != _MAGIC:
            return "its data file is not an LMDB file"
        if version != _DATA_VERSION:
            return f"its data file has LMDB's format {version}, not {_DATA_VERSION}"
        if psize not in _PAGE_SIZES or page_size not in (0, psize):
            return "its data file is damaged: an impossible page size"
        page_size = psize
        if transaction > newest:
            newest, pages = transaction, last_page + 1
    if pages * page_size > size:
        # LMDB believes its meta page: reading behind the end of the file is SIGBUS.
        return f"its data file is cut off: {size} of {pages * page_size} bytes"
    return None


class StoreFolder:
    """The folder of one user's stores under *directory*. Knows nothing of what is in them."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.root = os.path.join(directory, f"{SCHEMA}-{os.geteuid()}")
        self._current = os.path.join(self.root, _CURRENT)

    def prepare(self) -> None:
        """
        Make sure the folder exists, is ours and nobody else's.

        Raises:
            FolderError: it can't be used.
        """
        try:
            os.makedirs(self.directory, 0o700, exist_ok=True)
        except OSError as error:
            raise FolderError(f"{self.directory} can't be made: {error.strerror}") from error
        secure(self.root)

    def stamp(self) -> Stamp | None:
        """Return what changes whenever another store comes into force. One stat."""
        try:
            found = os.stat(self._current)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def current(self) -> str | None:
        """Return the name of the store in force; None if there is none, or the pointer is junk."""
        try:
            descriptor = os.open(self._current, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            name = os.read(descriptor, 64).decode("ascii", "replace").strip()
        except OSError:
            return None
        finally:
            os.close(descriptor)
        return name if number_of(name) else None

    def path(self, store: str) -> str:
        """Return the folder of *store*."""
        return os.path.join(self.root, store)

    def data(self, store: str) -> str:
        """Return the data file of *store*."""
        return os.path.join(self.root, store, _DATA)

    def size(self, store: str) -> int:
        """Return the bytes that the data file of *store* takes on the disk; 0 if it is gone."""
        try:
            return os.stat(self.data(store)).st_blocks * 512
        except OSError:
            return 0

    def is_writable(self, store: str) -> bool:
        """Whether the files of *store* may be written by us."""
        folder = self.path(store)
        files = (os.path.join(folder, name) for name in (_DATA, "lock.mdb"))
        return all(os.access(file, os.W_OK) for file in files if os.path.lexists(file))

    def can_switch(self) -> bool:
        """Whether another store may be put into force."""
        return os.access(self.root, os.W_OK)

    def identity(self, store: str) -> tuple[int, int] | None:
        """Return what tells the data file of *store* from a later one at the same place."""
        try:
            found = os.stat(self.data(store))
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def hold(self, store: str) -> int | None:
        """
        Keep *store* from being removed until the returned descriptor is closed; None: it is gone.

        A forked child that closes its copy of the descriptor leaves the parent's hold alone.
        """
        path = os.path.join(self.path(store), _IN_USE)
        flags = os.O_RDONLY | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            try:
                descriptor = os.open(path, flags | os.O_CREAT, 0o600)
            except OSError:
                return None
        except OSError:
            return None
        if _flock(descriptor, exclusive=False) and os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)
        return None

    def start_switch(self, patience_s: float = _SWITCH_PATIENCE_S) -> int:
        """
        Keep other processes from switching until the returned descriptor is closed.

        Raises:
            FolderError: somebody else has been switching for seconds, or the folder can't be
                written to.
        """
        try:
            path = os.path.join(self.root, _SWITCH)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FolderError(f"{self.root} can't be written to: {error.strerror}") from error
        until = monotonic() + patience_s
        while not _flock(descriptor, exclusive=True):
            if monotonic() >= until:
                os.close(descriptor)
                raise FolderError(f"another process holds {path} and does not let go")
            sleep(0.01)
        return descriptor

    def add(self) -> str:
        """
        Make the folder of a new store and return its name. Call it between switching.

        Raises:
            FolderError: it can't be made.
        """
        name = f"{_STORE}{max(map(number_of, self.stores()), default=0) + 1}"
        try:
            os.mkdir(self.path(name), 0o700)
        except OSError as error:
            raise FolderError(f"{self.path(name)} can't be made: {error.strerror}") from error
        return name

    def put_in_force(self, store: str) -> None:
        """
        Point at *store* from now on. Call it between switching, with the store complete.

        Raises:
            OSError: the pointer can't be written; the old one is still there.
        """
        temporary = f"{self._current}.{os.getpid()}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, 0o600)
            try:
                os.write(descriptor, f"{store}\n".encode("ascii"))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(temporary, self._current)
        except OSError:
            _unlink(temporary)
            raise

    def stores(self) -> list[str]:
        """Return the names of all stores, in force or not."""
        try:
            return [name for name in os.listdir(self.root) if number_of(name)]
        except OSError:
            return []

    def remove(self, store: str) -> None:
        """Remove *store*, whoever uses it: mapped files stay alive until they are unmapped."""
        folder = self.path(store)
        try:
            for name in os.listdir(folder):
                _unlink(os.path.join(folder, name))
            os.rmdir(folder)
        except OSError:
            pass  # the next process that looks tries again

    def remove_unused(self) -> None:
        """Remove the stores that are no longer in force and that nobody holds."""
        if len(self.stores()) < 2:
            return
        try:
            switching = self.start_switch(patience_s=0.0)
        except FolderError:
            return  # for another time
        try:
            current = self.current()
            for store in self.stores():
                if current is not None and store != current and self._is_unused(store):
                    self.remove(store)
        finally:
            os.close(switching)

    def _is_unused(self, store: str) -> bool:
        try:
            path = os.path.join(self.path(store), _IN_USE)
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True  # its maker died before anybody could use it
        except OSError:
            return False
        try:
            return _flock(descriptor, exclusive=True)
        finally:
            os.close(descriptor)


def number_of(name: str) -> int:
    """Return the number of the store *name*, 0 if it is no store's name."""
    digits = name.removeprefix(_STORE)
    is_store = name != digits and digits.isascii() and digits.isdigit() and len(digits) < 16
    return int(digits) if is_store else 0


def _flock(descriptor: int, *, exclusive: bool) -> bool:
    """Take the lock if it is free. A file system without locks has nobody to wait for."""
    import fcntl
    from errno import EWOULDBLOCK

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        return not exclusive and error.errno != EWOULDBLOCK
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
