# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH100, PTH110, PTH112, PTH114, PTH117, PTH118, PTH208 - thousands of paths,
# compared by their text, as ArDefaultResolver does
"""
The files under one folder, and what an asset path in one of them means among them.

A path is looked up as `ArDefaultResolver` would: relative to the layer's folder, and, when it
starts with neither `./` nor `../`, then on `PXR_AR_DEFAULT_SEARCH_PATH`. Everything is answered
from one scan; the disk is asked only about what lies outside.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import cached_property
from typing import Final, NamedTuple
from unicodedata import category

from pxr import Ar

from bifrost.usd.arcs import is_expression

UDIM: Final = "<UDIM>"
TILE: Final = "1(?:0(?:0[1-9]|[1-9][0-9])|100)"
"""1001 to 1100, the tiles that `UsdShadeUdimUtils` looks for."""
FRAME_NUMBER: Final = r"(?:\\#)+"
"""What stands, in an escaped clip template, for a frame's number."""
FRAME: Final = "-?[0-9]+"
"""A frame's number."""

_FORMAT_ARGS: Final = ":SDF_FORMAT_ARGS:"
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_MAX_ID_BYTES: Final = 480
_SEARCH_PATH: Final = "PXR_AR_DEFAULT_SEARCH_PATH"


class Where(Enum):
    """Where an asset path leads."""

    INSIDE = "inside"
    """To a file of the folder, or to tiles or frames in it."""
    OUTSIDE = "outside"
    """To a file that exists and is none of the folder's, or to a directory out of it."""
    MISSING = "missing"
    """To nothing."""
    OPAQUE = "opaque"
    """To what this module has no business with: a URI, an expression, a directory in the folder."""


class Target(NamedTuple):
    """
    What one asset path means in one layer.

    Attributes:
        where: Where it leads.
        name: For `INSIDE` the file's name in the folder, a pattern for UDIM tiles; for `OUTSIDE`
            and `MISSING` the absolute path; else the path as authored.
        tail: What follows the file in the path: `[path in a package]`, file format arguments.
        searched: Whether the search path found it, so that it needs no anchor.
    """

    where: Where
    name: str
    tail: str = ""
    searched: bool = False


class SourceFile(NamedTuple):
    """A file of the folder: its name there, with `/` between the parts; its path; its size."""

    name: str
    path: str
    size: int


class Folder:
    """
    One scan of a folder.

    Files and folders whose names start with a dot are left out, as are links that lead out of the
    folder or round in circles.

    Attributes:
        root: The folder's absolute path.
        files: Every file, by its name in the folder, sorted.
        left_out: (name, reason) of links not followed and names that are no UTF-8.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(directory)
        self.left_out: list[tuple[str, str]] = []
        self._real_root = os.path.realpath(self.root)
        self._search_path = [
            os.path.abspath(each)
            for each in os.environ.get(_SEARCH_PATH, "").split(os.pathsep)
            if each
        ]
        found = self._scan("", (self._real_root,))
        self.files = {file.name: file for file in sorted(found)}
        self._elsewhere: dict[str, tuple[Where, str]] = {}
        self._real_directories: dict[str, str] = {}
        self._matches: dict[str, list[str]] = {}

    def path(self, name: str) -> str:
        """Return the absolute path of a name in the folder."""
        return os.path.join(self.root, *name.split("/"))

    def locate(self, path: str, layer: str) -> Target:
        """Return what *path*, as authored in the file named *layer*, means."""
        base, tail = split_path(path)
        if not base or is_expression(path) or is_uri(base):
            return Target(Where.OPAQUE, path)
        first = ""
        for searched, candidate in self._candidates(base, layer):
            where, name = self._look_up(candidate)
            if where is not Where.MISSING:
                return Target(where, name, tail, searched)
            first = first or candidate
        return Target(Where.MISSING, first, tail)

    def locate_frames(self, template: str, layer: str) -> Target:
        """Return where a value clip template leads that stands for no file of the folder."""
        path = self._template_path(template, layer)
        return Target(Where.OUTSIDE if frames_on_disk(path) else Where.MISSING, path)

    def name_of(self, path: str) -> str:
        """Return the name in the folder of an absolute path, whether a file is there or not."""
        prefix = self.root + os.sep
        if path.startswith(prefix):
            return path[len(prefix) :].replace(os.sep, "/")
        return self._real_name_of(path)

    def leaves(self, path: str) -> bool:
        """Whether an absolute *path* leads out of the folder, by its text or by a link."""
        real = self._real(path)
        real = os.path.realpath(real) if os.path.islink(real) else real
        return os.path.commonpath((real, self._real_root)) != self._real_root

    def tiles(self, pattern: str) -> list[str]:
        """Return the names of the files that a `<UDIM>` pattern stands for, sorted."""
        return self._matching(pattern, re.escape(UDIM), TILE)

    def frames(self, template: str, layer: str) -> dict[str, str]:
        """
        Return the files that a value clip template of the file *layer* stands for.

        Keys are paths of the form that USD derives from the template, values names in the folder.
        """
        directory, slash, _ = template.rpartition("/")
        path = self._template_path(template, layer)
        names = self._matching(self.name_of(path), FRAME_NUMBER, FRAME) or self._matching(
            self._real_name_of(path), FRAME_NUMBER, FRAME
        )
        return {directory + slash + name.rpartition("/")[2]: name for name in names}

    def _template_path(self, template: str, layer: str) -> str:
        directory, _, base = template.rpartition("/")
        place = os.path.normpath(os.path.join(self.root, posix_directory(layer), directory))
        return os.path.join(place, base)

    def _scan(self, name: str, above: tuple[str, ...]) -> Iterator[SourceFile]:
        for entry in self._entries(name):
            child = f"{name}/{entry.name}" if name else entry.name
            if entry.name.startswith(".") or not self._is_ours(entry, child):
                continue
            if entry.is_file():
                try:
                    yield SourceFile(child, entry.path, entry.stat().st_size)
                except OSError as error:  # gone since, or in a folder that may only be listed
                    self.left_out.append((child, error.strerror or str(error)))
            elif not entry.is_dir():
                self.left_out.append((child, "no regular file"))
            else:
                real = os.path.realpath(entry.path)
                if real in above:
                    self.left_out.append((child, "a link that leads round in a circle"))
                else:
                    yield from self._scan(child, (*above, real))

    def _entries(self, name: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self.root, name)) as entries:
                return list(entries)
        except OSError as error:
            if not name:
                raise
            self.left_out.append((name, f"can't be listed: {error.strerror or error}"))
            return []

    def _is_ours(self, entry: os.DirEntry[str], name: str) -> bool:
        if reason := _unspeakable(entry.name):
            self.left_out.append((os.fsencode(name).decode(errors="replace"), reason))
            return False
        if entry.is_symlink():
            real = os.path.realpath(entry.path)
            if not os.path.exists(real):
                self.left_out.append((name, "a link to nothing"))
                return False
            if os.path.commonpath((real, self._real_root)) != self._real_root:
                self.left_out.append((name, f"a link that leads out of the folder, to {real}"))
                return False
        return True

    def _candidates(self, base: str, layer: str) -> Iterator[tuple[bool, str]]:
        yield False, os.path.normpath(os.path.join(self.root, posix_directory(layer), base))
        if not os.path.isabs(base) and not base.startswith(("./", "../")):
            for directory in self._search_path:
                yield True, os.path.normpath(os.path.join(directory, base))

    def _look_up(self, path: str) -> tuple[Where, str]:
        name = self.name_of(path)
        if self._is_file(name):
            return Where.INSIDE, name
        if path not in self._elsewhere:
            self._elsewhere[path] = self._look_up_elsewhere(path)
        return self._elsewhere[path]

    def _look_up_elsewhere(self, path: str) -> tuple[Where, str]:
        # By a link that the scan did not follow, since it leads round in a circle.
        name = self._real_name_of(path)
        if self._is_file(name):
            return Where.INSIDE, name
        if os.path.isdir(path):
            return (Where.OUTSIDE if self.leaves(path) else Where.OPAQUE), path
        there = os.path.exists(path) or (UDIM in path and has_tiles(path))
        return (Where.OUTSIDE if there else Where.MISSING), path

    def _is_file(self, name: str) -> bool:
        return name in self.files or (UDIM in name and bool(self.tiles(name)))

    def _real_name_of(self, path: str) -> str:
        # The same folder under another name: a mount, or a link on the way to it.
        return os.path.relpath(self._real(path), self._real_root).replace(os.sep, "/")

    def _real(self, path: str) -> str:
        """Return *path* without links on the way to it; it may be one itself."""
        directory, base = os.path.split(path)
        if directory not in self._real_directories:
            self._real_directories[directory] = os.path.realpath(directory)
        return os.path.join(self._real_directories[directory], base)

    def _matching(self, pattern: str, placeholder: str, replacement: str) -> list[str]:
        if pattern not in self._matches:
            expression = re.sub(placeholder, lambda _: replacement, re.escape(pattern))
            matches = re.compile(expression).fullmatch
            beside = self._by_directory.get(posix_directory(pattern), ())
            self._matches[pattern] = [name for name in beside if matches(name)]
        return self._matches[pattern]

    @cached_property
    def _by_directory(self) -> dict[str, list[str]]:
        listing: dict[str, list[str]] = defaultdict(list)
        for name in self.files:
            listing[posix_directory(name)].append(name)
        return listing


def asset_ids(names: Iterable[str], owner_of: Callable[[str], str | None]) -> dict[str, str]:
    """
    Return an asset id for each file name: the name with `.` for `/`, and a hash where two collide.

    All that collide get a hash of their own name, so that the order of files decides nothing. An id
    once given stays: *owner_of* says which name the catalogue has an id for, or None.
    """
    plain = {name: _plain_id(name) for name in names}
    wanted = Counter(plain.values())
    return {name: _id(name, each, wanted[each] == 1, owner_of) for name, each in plain.items()}


def id_candidates(name: str) -> tuple[str, str]:
    """Return the two ids that a file of this *name* can have: the plain one and the hashed one."""
    return _plain_id(name), _hashed_id(name)


def posix_directory(name: str) -> str:
    """Return the folder part of a name, "" for none."""
    return name.rpartition("/")[0]


def _id(name: str, plain: str, alone: bool, owner_of: Callable[[str], str | None]) -> str:
    hashed = _hashed_id(name)
    if owner_of(hashed) == name:
        return hashed
    owner = owner_of(plain)
    return plain if owner == name or (alone and owner is None) else hashed


def _plain_id(name: str) -> str:
    text = name.replace("/", ".")
    return text if len(text.encode()) <= _MAX_ID_BYTES else _hashed_id(name)


def _hashed_id(name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    stem, dot, extension = name.replace("/", ".").rpartition(".")
    if not dot:
        stem, extension = extension, ""
    stem = stem.encode()[: _MAX_ID_BYTES - len(extension.encode()) - 12].decode(errors="ignore")
    return f"{stem}-{digest}{dot}{extension}"


def is_uri(path: str) -> bool:
    """Whether *path* starts with a scheme, which makes it some resolver's and no file's."""
    return _URI.match(path) is not None


def split_path(path: str) -> tuple[str, str]:
    """Return the file or URI of an asset path, and what follows: package path, arguments."""
    base, marker, arguments = path.partition(_FORMAT_ARGS)
    inner = ""
    if Ar.IsPackageRelativePath(base):
        base, inner = Ar.SplitPackageRelativePathOuter(base)
    return base, (f"[{inner}]" if inner else "") + marker + arguments


def _unspeakable(name: str) -> str:
    """Return why no entity reference can name a file of this name, or ""."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is no UTF-8"
    return "a control character in its name" if any(category(ch) == "Cc" for ch in name) else ""


def has_tiles(pattern: str) -> bool:
    """Whether the disk has a tile of a `<UDIM>` pattern."""
    return bool(tiles_on_disk(pattern))


def tiles_on_disk(pattern: str) -> list[str]:
    """Return the paths of the tiles of a `<UDIM>` pattern that the disk has, sorted."""
    return matching(pattern, re.escape(UDIM), TILE)


def frames_on_disk(template: str) -> list[str]:
    """Return the paths of the files of a value clip template that the disk has, sorted."""
    return matching(template, FRAME_NUMBER, FRAME)


def matching(pattern: str, placeholder: str, replacement: str) -> list[str]:
    """
    Return the paths that the disk has of a pattern in the last part of a path, sorted.

    Args:
        pattern: The path, escaped by nobody.
        placeholder: A regular expression that finds, in the escaped pattern, what stands for others.
        replacement: The regular expression of what it stands for.
    """
    directory, base = os.path.split(pattern)
    expression = re.sub(placeholder, lambda _: replacement, re.escape(base))
    matches = re.compile(expression).fullmatch
    try:
        return sorted(
            os.path.join(directory, name) for name in os.listdir(directory) if matches(name)
        )
    except OSError:
        return []
