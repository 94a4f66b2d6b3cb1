# SPDX-License-Identifier: Apache-2.0
"""
The copy of a folder whose layers name entities: read-only files, replaced whole or not at all.

A file is made in a staging folder beside its place and moved there when it is complete, so that a
crash leaves the old one or the new one. The catalogue remembers what each was made from, and the
file's own digest is compared too, so that a run that ended early is made good by the next.

What is gone from the folder stays in the copy, where versions lie that others may name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from pxr import Tf

from bifrost.catalogue.store import digest_of
from bifrost.errors import ConfigurationError
from bifrost.usd.folder import UDIM, Folder, frames_on_disk, posix_directory, tiles_on_disk
from bifrost.usd.rewriting import rewrite, templates_left
from bifrost.usd.survey import reason

_READ_ONLY: Final = 0o444
_WRITABLE: Final = 0o222
_STAGING: Final = ".bifrost-staging-"
_ABANDONED_S: Final = 86_400.0


class Made(NamedTuple):
    """
    A file as it is registered.

    Attributes:
        checksum: Its content's SHA-256.
        size: Bytes.
        origin: What it was made from, for the catalogue to remember.
        left: Clip templates that had to stay paths.
    """

    checksum: str
    size: int
    origin: dict[str, str]
    left: list[str]


class UnreadableSource(Exception):
    """A file of the folder can't be read, by now, and why."""


# Lies in the copy while a run is under way: what is found there after a kill is ours.
_MARK: Final = ".bifrost-unfinished"


class Copy:
    """
    The copy, for the time of one run. Several threads may make files in it.

    Raises:
        ConfigurationError: *out* overlaps the folder, or holds files that no such run wrote.
    """

    def __init__(self, out: Path, folder: Folder) -> None:
        self.out = out
        self._folder = folder
        self._in_the_way: list[str] = []
        self._check()

    def __enter__(self) -> Self:
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / _MARK).touch()
        self._sweep()
        for name in self._in_the_way:
            self.path(name).unlink()
        self._staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=self.out))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self._staging, ignore_errors=True)
        if kind is None:
            (self.out / _MARK).unlink(missing_ok=True)

    def refuse_foreign(self, names: Iterable[str], is_known: Callable[[str], bool]) -> None:
        """
        Refuse to replace a file that no earlier copy left here, be it read-only or not.

        Args:
            names: The files that are to be written.
            is_known: Whether the catalogue has, or had, a file of that name in this copy.

        Raises:
            ConfigurationError: there is one. Nothing was written yet.
        """
        files = list(names)
        self._in_the_way = [each for each in _folders_of(files) if self._is_in_the_way(each)]
        if (self.out / _MARK).exists():
            return  # an earlier run was stopped before it could register what it wrote
        for name in (*files, *self._in_the_way):
            if self.path(name).exists() and not is_known(name):
                raise ConfigurationError(
                    f"{self.path(name)}: no file that an earlier --rewrite registered, so it is not "
                    "replaced; name an empty folder for the copy, or remove that file"
                )

    def path(self, name: str) -> Path:
        """Return where the file of that name is in the copy."""
        return self.out / name

    def held(self, name: str) -> list[str]:
        """Return the names that the copy has of a file, of UDIM tiles or of a clip template's frames."""
        path = str(self.path(name))
        if os.path.lexists(path):
            return [name]
        found = tiles_on_disk(path) if UDIM in name else frames_on_disk(path) if "#" in name else []
        return [Path(each).relative_to(self.out).as_posix() for each in found]

    def make(
        self,
        name: str,
        checksum: str,
        edits: Mapping[str, str],
        templates: Mapping[str, bool],
        before: Mapping[str, Any] | None,
    ) -> Made:
        """
        Have the file *name* in the copy, with new asset paths where *edits* has any.

        Args:
            name: The file's name in the folder.
            checksum: The source's digest.
            edits: New asset paths by authored ones.
            templates: Its clip templates, and whether each may be written out.
            before: The `origin` and the `checksum` of the copy that the catalogue knows, if any.

        Raises:
            UnreadableSource: the folder's file can't be read.
            OSError: the copy can't be written.
        """
        kept = sorted(template for template, may in templates.items() if not may)
        signature = _signature(edits, kept)
        origin = {"source": name, "source_checksum": checksum, "edits": signature}
        target = self.path(name)
        there = digest_of(target) if target.is_file() else ""
        if there and before == {**origin, "checksum": there}:
            left = self._left(name, edits, kept) if templates and edits else []
            return Made(there, target.stat().st_size, origin, left)
        staged, left = self._staged(name, edits, kept)
        made = digest_of(staged)
        if made != there:
            target.parent.mkdir(parents=True, exist_ok=True)
            staged.replace(target)
        if not edits:
            # The source may have changed since it was hashed; what was copied is what counts.
            origin["source_checksum"] = made
        return Made(made, target.stat().st_size, origin, left)

    def _staged(
        self, name: str, edits: Mapping[str, str], kept: Container[str]
    ) -> tuple[Path, list[str]]:
        source = Path(self._folder.files[name].path)
        # The extension stays: it is how USD knows which format to write.
        staged = self._staging / (hashlib.sha256(name.encode()).hexdigest()[:24] + source.suffix)
        left = []
        with _reading(source):
            if edits:
                left = rewrite(str(source), str(staged), edits, kept=kept)
            else:
                shutil.copyfile(source, staged)
        staged.chmod(_READ_ONLY)
        return staged, left

    def _left(self, name: str, edits: Mapping[str, str], kept: Container[str]) -> list[str]:
        source = Path(self._folder.files[name].path)
        with _reading(source):
            return templates_left(str(source), edits, kept=kept)

    def _sweep(self) -> None:
        """Remove what runs that were killed left in the copy; another may be running now."""
        for staging in self.out.glob(f"{_STAGING}*"):
            if time.time() - staging.stat().st_mtime > _ABANDONED_S:
                shutil.rmtree(staging, ignore_errors=True)

    def _check(self) -> None:
        out, root = self.out.resolve(), Path(self._folder.root).resolve()
        if out == root or out in root.parents or root in out.parents:
            raise ConfigurationError(
                f"{self.out}: the copy can't lie in the folder itself, nor around it ({root})"
            )
        folders = filter(self._is_in_the_way, _folders_of(self._folder.files))
        for name in (*self._folder.files, *folders):
            try:
                mode = self.path(name).lstat().st_mode
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not stat.S_ISREG(mode) or mode & _WRITABLE:
                raise ConfigurationError(
                    f"{self.path(name)}: no read-only file of an earlier --rewrite, so it is not "
                    "replaced; name an empty folder for the copy, or remove that file"
                )

    def _is_in_the_way(self, folder: str) -> bool:
        """Whether the copy has a file where it needs a folder of that name."""
        path = self.path(folder)
        return os.path.lexists(path) and not path.is_dir()


def _folders_of(names: Iterable[str]) -> list[str]:
    """Return the names of all folders that files of those *names* lie in."""
    found: set[str] = set()
    for name in names:
        above = posix_directory(name)
        while above and above not in found:
            found.add(above)
            above = posix_directory(above)
    return sorted(found)


@contextlib.contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Raise `UnreadableSource` for what goes wrong with *source*, and with nothing else."""
    try:
        yield
    except (Tf.ErrorException, UnicodeError, shutil.SpecialFileError) as error:
        raise UnreadableSource(reason(error)) from error
    except OSError as error:
        # Of an error that has both names it can't be told whose it is.
        if error.filename != str(source) or error.filename2 is not None:
            raise
        raise UnreadableSource(error.strerror) from error


def _signature(edits: Mapping[str, str], kept: Sequence[str]) -> str:
    if not edits:
        return ""
    said = [sorted(edits.items()), kept] if kept else sorted(edits.items())
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()
