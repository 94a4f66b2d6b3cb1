# SPDX-License-Identifier: Apache-2.0
"""
Where the files of published versions lie, for ever: `<root>/<asset>/v0003/…`.

A version's files are first copied into a folder of their own below `<root>/.staging`, checked and
flushed to the disk; then, while the catalogue's transaction that records the version is open, the
folder is renamed to its place. A crash before the rename leaves a staging folder, one before the
commit a folder that no version knows: neither is ever read, `check` finds both, and the next
version of that number puts the second one back. An empty file in it says which staging folder it was:
the publish that crashed goes on with it. What is in place is read-only: USD is never asked about
writing to a file that a resolver returned.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from bifrost.catalogue.records import Staged, shown
from bifrost.errors import AssetException, Code, LocationException, StorageException
from bifrost.folders import make_folder

STAGING: Final = ".staging"
ASIDE: Final = ".aside"
_CHUNK: Final = 1 << 20
# What a rename says of a folder that is there: POSIX allows either of the first two; or it is itself
# what lies there, its publish having crashed between the rename and the commit.
_OCCUPIED: Final = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT)
_MARK: Final = ".staged-"
_VERSION: Final = re.compile("v([0-9]{4,})")
_STAGED: Final = re.compile(re.escape(_MARK) + "([0-9a-f]{32})")
_BESIDE: Final = ".representations"
_PART: Final = re.compile(r"\..*-[0-9a-f]{8}")
# A file name has at most 255 bytes; a long id keeps its beginning and gets a digest.
_MAX_NAME: Final = 200


class Source(NamedTuple):
    """
    A file to publish.

    Attributes:
        path: Where it lies now.
        name: Its relative path in the version's folder, with `/` between the parts.
    """

    path: Path
    name: str


class Copied(NamedTuple):
    """
    A file as it was copied.

    Attributes:
        name: Its relative path in the version's folder.
        size: Bytes.
        checksum: SHA-256 of its content, hexadecimal.
    """

    name: str
    size: int
    checksum: str


class Store:
    """The files of one catalogue. Any thread and any process may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self) -> Path:
        """
        Make a new staging folder, for files that are still to be written.

        Raises:
            StorageException: the store can't be written to.
        """
        folder = self.root / STAGING / uuid.uuid4().hex
        try:
            make_folder(folder)
        except OSError as error:
            raise unusable(error) from error
        return folder

    def stage(self, sources: Iterable[Source], main: str) -> tuple[Staged, list[Copied]]:
        """
        Copy *sources* into a new staging folder; return it and what each file came to.

        Raises:
            LocationException: a file isn't there, is none, changed while it was copied, or its name
                leads out of the folder. Nothing is left behind.
            StorageException: it can't be read, or there is no room. Nothing is left behind.
        """
        folder = self.folder()
        try:
            copied = [_copy(source, folder) for source in sources]
            flush_folders(folder)
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise unusable(error) from error
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return Staged(folder, main), copied

    def place(self, staged: Staged, asset_id: str, number: int) -> Path:
        """
        Rename *staged* to its place as version *number*; return the path of its main file.

        Only while the catalogue's write lock is held and before the version's row is written.

        Raises:
            FileExistsError: something lies there, which stays as it is: see `put_back`.
            LocationException: the staging folder is gone.
            StorageException: the store can't be written to.
        """
        target = self.folder_of(asset_id, number)
        mark = staged.folder / (_MARK + staged.folder.name)
        try:
            make_folder(target.parent)
            mark.touch()
            staged.folder.rename(target)
            _flush(target.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                mark.unlink()
            if error.errno in _OCCUPIED and target.exists():
                raise FileExistsError(error.errno, error.strerror, str(target)) from error
            raise unusable(error) from error
        return target / staged.main

    def put_back(self, folder: Path) -> Path:
        """
        Rename a version's *folder* that no version knows to where it was staged, or aside; return where.

        Only while the catalogue's write lock is held.
        """
        origin = self.staged_from(folder)
        if origin is None or origin.exists():
            aside = self.root / ASIDE
            make_folder(aside)
            origin = aside / f"{folder.parent.name}-{folder.name}-{uuid.uuid4().hex[:8]}"
        make_folder(origin.parent)
        folder.rename(origin)
        return origin

    def put_again(self, origin: Path, folder: Path) -> None:
        """Undo `put_back`, unless something else lies in *folder* meanwhile."""
        with contextlib.suppress(OSError):
            origin.rename(folder)

    def staged_from(self, folder: Path) -> Path | None:
        """Return which staging folder a version's *folder* was; None where it doesn't say."""
        found = [match for each in folder.iterdir() if (match := _STAGED.fullmatch(each.name))]
        return self.root / STAGING / found[0][1] if len(found) == 1 else None

    def unfinished(self, folder: Path) -> list[Path]:
        """Return the marks and the parts of files in a version's *folder* that a crash left there."""
        found: list[Path] = []
        for place, name in ((folder, _STAGED), (folder / _BESIDE, _PART)):
            with contextlib.suppress(OSError):  # no such folder, or not any more
                found += (each for each in place.iterdir() if name.fullmatch(each.name))
        return sorted(found)

    def settle(self, asset_id: str, number: int, staged: Staged) -> None:
        """Forget where a version's files were staged: it is there for good."""
        with contextlib.suppress(OSError):
            (self.folder_of(asset_id, number) / (_MARK + staged.folder.name)).unlink()

    def take_back(self, staged: Staged, asset_id: str, number: int) -> None:
        """
        Undo `place`: the transaction was undone. What can't be undone is left to `check`.

        Without the lock, too: what lies there may be another publish's, which put ours back.
        """
        target = self.folder_of(asset_id, number)
        with contextlib.suppress(OSError):
            if (target / (_MARK + staged.folder.name)).exists():
                target.rename(staged.folder)
            (staged.folder / (_MARK + staged.folder.name)).unlink()

    def discard(self, staged: Staged) -> None:
        """Remove a staging folder that won't be needed."""
        shutil.rmtree(staged.folder, ignore_errors=True)

    def add(self, asset_id: str, number: int, name: str, content: bytes) -> Path:
        """
        Write a file beside a version's own ones, whole or not at all; return its path.

        Raises:
            StorageException: the store can't be written to.
        """
        folder = self.folder_of(asset_id, number) / _BESIDE
        target = folder / name
        try:
            make_folder(folder)
            part = folder / f".{name}-{uuid.uuid4().hex[:8]}"
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.chmod(0o444)
            part.replace(target)
            _flush(folder)
        except OSError as error:
            raise unusable(error) from error
        return target

    def remove(self, asset_id: str, newest: int) -> None:
        """Remove the files of a deleted asset's versions. What can't be is left to `check`."""
        folder = self.root / folder_name(asset_id)
        with contextlib.suppress(OSError):
            # Those that lie there, and not every number: an earlier release's may be dates.
            for version in list(folder.iterdir()):
                match = _VERSION.fullmatch(version.name)
                if match and int(match[1]) <= newest:
                    shutil.rmtree(version, ignore_errors=True)
            folder.rmdir()

    def folder_of(self, asset_id: str, number: int) -> Path:
        """Return the folder of a version's files."""
        return self.root / folder_name(asset_id) / f"v{number:04d}"

    def version_at(self, path: str | os.PathLike[str]) -> tuple[str, int] | None:
        """
        Return the id and the number of the version in whose folder the file at *path* lies.

        By the folders' names alone; None where they don't say, as those of very long ids don't.
        """
        try:
            asset, version, *_ = Path(path).relative_to(self.root).parts
        except ValueError:
            return None
        asset_id = unquote(asset)
        match = _VERSION.fullmatch(version)
        if match is None or folder_name(asset_id) != asset:
            return None
        return asset_id, int(match[1])


def folder_name(asset_id: str) -> str:
    """Return the name of an asset's folder: its id, with what file systems mind escaped."""
    name = quote(asset_id, safe="-_~!'()+,;=")
    # No hidden folders, no `..`, and none that differ from another by a trailing dot.
    name = name.replace(".", "%2E") if name.startswith(".") or name.endswith(".") else name
    if len(name) <= _MAX_NAME:
        return name
    return f"{name[: _MAX_NAME - 17]}~{hashlib.sha256(asset_id.encode()).hexdigest()[:16]}"


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measure(path: Path, name: str, *, seal: bool = False) -> Copied:
    """
    Return what the file at *path* comes to, without copying it.

    Args:
        path: The file.
        name: Its relative path in the version's folder.
        seal: Whether to make it read-only and flush it to the disk.

    Raises:
        LocationException: it isn't there, is none, or changed while it was read.
        StorageException: it can't be read.
    """
    try:
        with _opened(path) as file:
            before = os.fstat(file.fileno())
            checksum = hashlib.file_digest(file, "sha256").hexdigest()
            _check_unchanged(path, before, os.fstat(file.fileno()), file.tell())
            if seal:
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
    except OSError as error:
        raise unusable(error) from error
    return Copied(name, before.st_size, checksum)


def _copy(source: Source, folder: Path) -> Copied:
    parts = PurePosixPath(source.name)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise LocationException(
            f"{shown(source.name)}: a published file's name stays in its folder",
            code=Code.NOT_A_FILE,
        )
    target = folder / parts
    make_folder(target.parent)
    digest = hashlib.sha256()
    with _opened(source.path) as original, target.open("xb") as copy:
        before = os.fstat(original.fileno())
        while chunk := original.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
        copy.flush()
        os.fsync(copy.fileno())
        after = os.fstat(original.fileno())
        size = copy.tell()
    _check_unchanged(source.path, before, after, size)
    target.chmod(0o444)
    return Copied(source.name, size, digest.hexdigest())


def _opened(path: Path) -> io.BufferedReader:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe never blocks us
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise LocationException(f"{path}: not a file", code=Code.NOT_A_FILE)
    return os.fdopen(descriptor, "rb")


def _check_unchanged(path: Path, before: os.stat_result, after: os.stat_result, size: int) -> None:
    if _state(before) != _state(after) or size != after.st_size:
        raise LocationException(
            f"{path}: the file changed while it was read; publish it when it is done",
            code=Code.CONFLICT,
        )


def _state(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns


def flush_folders(folder: Path) -> None:
    """Flush the names of all that is in *folder* to the disk."""
    for path, _, _ in os.walk(folder):
        _flush(Path(path))


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unusable(error: OSError) -> AssetException:
    """Return what to raise for an *error* of the file system."""
    where = f"{error.filename}: " if error.filename else ""
    message = f"{where}{error.strerror}; nothing was published"
    if isinstance(error, FileNotFoundError):
        return LocationException(message, code=Code.FILE_MISSING)
    return StorageException(message, code=Code.STORAGE)
