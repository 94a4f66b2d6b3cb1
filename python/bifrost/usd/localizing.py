# SPDX-License-Identifier: Apache-2.0
"""
Copies of a root and all that it reaches, with plain paths, that open anywhere: a folder, or a package.

Nothing in the copy needs a resolver, a manager or a network. Files keep their places relative to each
other: what lies below the root's folder lies there in the copy, everything else below `assets/`, one
folder for each place that it comes from. So what can't be rewritten (MaterialX documents, tiles, the
files of value clips) finds its neighbours by the relative paths that it always had.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from pxr import Sdf, Tf, Usd

from bifrost.context import Context
from bifrost.errors import (
    AssetException,
    BifrostError,
    Code,
    ConfigurationError,
    StorageException,
)
from bifrost.model.entity_reference import parse
from bifrost.session import Session, current
from bifrost.usd.arcs import asset_paths, is_expression
from bifrost.usd.dependencies import Found
from bifrost.usd.file_checks import no_usd
from bifrost.usd.folder import UDIM, is_uri, split_path, tiles_on_disk
from bifrost.usd.opening import layer_below, reason
from bifrost.usd.reach import Reach, asset_path_names, frames_of, reach
from bifrost.usd.rewriting import rewrite
from bifrost.usd.survey import PACKAGE, extension, in_threads

_ASSETS: Final = "assets"
_OF_THE_SYSTEM: Final = ("/proc/", "/sys/", "/dev/")
_SHARED_MEMORY: Final = "/dev/shm/"  # noqa: S108  a disk like others, to whoever works there
_WRITER: Final = getattr(Sdf, "ZipFileWriter", None) or Usd.ZipFileWriter  # it moved


class Left(NamedTuple):
    """An asset path that is in the copy as it was: of which layer, and why."""

    layer: str
    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Localized:
    """
    What came of a copy.

    Attributes:
        root: The copy's root layer, or the package.
        files: How many files it consists of.
        size: Their bytes.
        left: Asset paths that lead nowhere in the copy.
    """

    root: str
    files: int
    size: int
    left: tuple[Left, ...]


def localize(
    root: str,
    directory: str | os.PathLike[str],
    session: Session | None = None,
    *,
    context: Context | None = None,
) -> Localized:
    """
    Copy *root*, a file or an entity reference, and all that it reaches into *directory*.

    All variants and payloads come along. What is not found, is no file, or lies outside the allowed roots
    stays as it is named and is told in `left`. Nothing is written beside the folder, which appears whole or
    not at all. One that is there already stays the folder that it is, and is filled once all is written.

    Raises:
        AssetException: *root* doesn't resolve.
        BifrostError: *root* can't be opened.
        ConfigurationError: *directory* is there and not empty.
        StorageException: it can't be written.
    """
    out = Path(directory).absolute()
    _refuse(out)
    with _staging(out, out if out.is_dir() else out.parent) as staging:
        copy = _Copy(reach(root, session or current(), context=context), staging)
        copy.write()
        if staging.parent == out:
            _fill(out, staging)
        else:
            staging.replace(out)
    return copy.summary(str(out / copy.names[copy.root]))


def package(
    root: str,
    path: str | os.PathLike[str],
    session: Session | None = None,
    *,
    context: Context | None = None,
) -> Localized:
    """
    Write *root* and all that it reaches into one usdz package, in the places that `localize` gives them.

    A file that is there is replaced whole or not at all.

    Raises:
        AssetException: *root* doesn't resolve.
        BifrostError: *root* can't be opened, or is a package itself.
        ConfigurationError: *path* doesn't end in `.usdz`.
        StorageException: it can't be written.
    """
    out = Path(path).absolute()
    if extension(out.name) != PACKAGE:
        raise ConfigurationError(f"{out}: a package's name ends in .{PACKAGE}")
    with _staging(out, out.parent) as staging:
        copy = _Copy(reach(root, session or current(), context=context), staging / "content")
        if extension(copy.root) == PACKAGE:
            raise BifrostError(f"{root}: is a package already; a package's first file is a layer")
        copy.write()
        copy.leave_empty()
        staged = staging / out.name
        _zip(staging / "content", copy.names[copy.root], staged)
        staged.replace(out)
    return copy.summary(str(out))


def _refuse(out: Path, staging: Path | None = None) -> None:
    if out.exists() and (not out.is_dir() or any(each != staging for each in out.iterdir())):
        raise ConfigurationError(f"{out}: is there and not empty; name a new folder")


def _fill(out: Path, staging: Path) -> None:
    """Move what is in *staging*, a folder in *out*, into *out*: all of it or nothing."""
    _refuse(out, staging)
    names = sorted(each.name for each in staging.iterdir())
    try:
        for name in names:
            (staging / name).rename(out / name)
    except BaseException:
        for name in names:
            if not (staging / name).exists():
                (out / name).rename(staging / name)
        raise


@contextlib.contextmanager
def _staging(out: Path, parent: Path) -> Iterator[Path]:
    """
    Make a folder in *parent* for what *out* will be, gone in the end.

    What can't be written in the block is an error of ours.
    """
    made = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".bifrost-localize-", dir=parent))
        # What is made in there has the group that it has in *parent*.
        made.chmod(0o755 | (made.stat().st_mode & stat.S_ISGID))
        yield made
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"{out}: can't be written: {where}{error.strerror or error}"
        raise StorageException(message, code=Code.STORAGE) from error
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _zip(folder: Path, root: str, out: Path) -> None:
    """Write the files of *folder* as a package: uncompressed, aligned, *root* first, as USD wants it."""
    names = sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())
    with _WRITER.CreateNew(str(out)) as package_file:
        for name in (root, *(each for each in names if each != root)):
            try:
                added = package_file.AddFile(str(folder / name), name)
            except (Tf.ErrorException, UnicodeError) as error:
                raise BifrostError(f"{out}: {name} can't be added: {reason(error)}") from error
            if not added:
                raise OSError(f"{out}: {name} can't be added")


@dataclass(slots=True)
class _Copy:
    """
    One copy into a folder that nobody else sees yet.

    Attributes:
        names: For each file, tiles included, its name in the copy.
    """

    reached: Reach
    folder: Path
    names: dict[str, str] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    size: int = 0

    @property
    def root(self) -> str:
        """The root's file."""
        return next(iter(self.reached.found.values())).path

    def write(self) -> None:
        """Write every file, layers with the paths that they have in the copy."""
        self.left += [Left(e.layer, e.reference, e.problem) for e in self.reached.problems]
        self.left += [Left(*each, "a variable expression") for each in self.reached.open_ended]
        self._name(self._there())
        if self.root not in self.names:
            raise BifrostError(f"{self.root}: is no file that can be copied")
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.names.values():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        layers = [path for path in self.names if _is_layer(path)]
        others = [path for path in self.names if not _is_layer(path)]
        for _ in in_threads(lambda path: shutil.copyfile(path, self._place(path)), others):
            pass
        for path in layers:
            self._write_layer(path)
        self.size = sum(self._place(path).stat().st_size for path in self.names)

    def leave_empty(self) -> None:
        """Take out files without a byte: OpenUSD can't put one into a package."""
        for path in [each for each in self.names if not self._place(each).stat().st_size]:
            self._place(path).unlink()
            del self.names[path]
            self.left.append(Left("", path, "it is empty, and a package can't hold an empty file"))

    def summary(self, root: str) -> Localized:
        """Return what came of it."""
        return Localized(root, len(self.names), self.size, tuple(dict.fromkeys(self.left)))

    def _there(self) -> list[Found]:
        return [each for each in self.reached.found.values() if each.path]

    def _place(self, path: str) -> Path:
        return self.folder / self.names[path]

    def _name(self, found: Iterable[Found]) -> None:
        files: dict[str, str] = {}
        told = {(each.layer, each.path) for each in self.left}
        for each in found:
            paths = _files(each.path)
            for path in paths:
                files.setdefault(path, each.reference)
            if not paths and (each.layer, each.reference) not in told:
                self.left.append(Left(each.layer, each.reference, "no regular file"))
        home = os.path.dirname(self.root)  # noqa: PTH120 - by their text, as USD anchors paths
        inside, outside = {}, {}
        for path, reference in files.items():
            below = _below(path, home)
            if below is not None:
                inside[path] = below
            else:
                outside[path] = reference
        self.names = inside | _names_outside(outside, set(inside.values()))

    def _write_layer(self, path: str) -> None:
        try:
            layer = layer_below(path)
        except AssetException:  # told in `left`; the file comes along as it is
            shutil.copyfile(path, self._place(path))
            return
        edits = self._edits(layer, path)
        try:
            if edits:
                templates = rewrite(path, str(self._place(path)), edits)
                self.left += [Left(path, each, "clips without their times") for each in templates]
            else:
                shutil.copyfile(path, self._place(path))
        except (Tf.ErrorException, UnicodeError) as error:
            raise no_usd(path, reason(error)) from error

    def _edits(self, layer: Sdf.Layer, path: str) -> dict[str, str]:
        edits = {}
        for use in asset_paths(layer):
            if is_expression(use.path):
                self._check_expression(layer, path, use.path)
            elif use.is_template:
                edits.update(self._template_edits(layer, path, use.path))
            elif new := self._new_path(layer, path, use.path):
                edits[use.path] = new
        # All or nothing: a clip template that is not among them counts as one that had to stay.
        return edits if any(old != new for old, new in edits.items()) else {}

    def _template_edits(self, layer: Sdf.Layer, path: str, template: str) -> dict[str, str]:
        frames = frames_of(layer, template)
        edits = {each: new for each in frames if (new := self._new_path(layer, path, each))}
        if edits and not is_uri(template):  # together in one folder, under the names that they had
            folder = next(iter(edits.values())).rpartition("/")[0]
            edits[template] = f"{folder}/{template.rpartition('/')[2]}"
        return edits

    def _new_path(self, layer: Sdf.Layer, path: str, authored: str) -> str:
        """Return what *authored* is in the copy, or "" where it leads nowhere."""
        base, tail = split_path(authored)
        (name,) = asset_path_names(layer, base, {})
        found = self.reached.found.get(name)
        target = self._name_of(found.path) if found is not None and found.path else ""
        if not target:
            return ""
        here = PurePosixPath(self.names[path]).parent
        relative = os.path.relpath(target, here).replace(os.sep, "/")
        return (relative if relative.startswith("../") else f"./{relative}") + tail

    def _name_of(self, path: str) -> str:
        if path in self.names:
            return self.names[path]
        tiles = _files(path) if UDIM in path else []
        if not tiles or tiles[0] not in self.names:
            return ""
        return str(PurePosixPath(self.names[tiles[0]]).with_name(PurePosixPath(path).name))

    def _check_expression(self, layer: Sdf.Layer, path: str, expression: str) -> None:
        """Note an expression whose meaning lies elsewhere in the copy than it says."""
        for name in asset_path_names(layer, expression, self._variables()):
            found = self.reached.found.get(name)
            if found is None or self._keeps_its_place(path, found):
                continue
            self.left.append(Left(path, expression, "a variable expression"))

    def _keeps_its_place(self, path: str, found: Found) -> bool:
        if is_uri(found.reference) or found.path not in self.names:
            return False
        before = os.path.relpath(found.path, Path(path).parent)
        return before == os.path.relpath(
            self.names[found.path], PurePosixPath(self.names[path]).parent
        )

    def _variables(self) -> dict[str, object]:
        return dict(Sdf.Layer.FindOrOpen(self.root).expressionVariables)


def _is_layer(path: str) -> bool:
    formats = Sdf.FileFormat.FindAllFileFormatExtensions()
    return extension(path) != PACKAGE and extension(path) in formats


def _files(path: str) -> list[str]:
    if UDIM in path and not Path(path).exists():
        return [each for each in tiles_on_disk(path) if _is_copied(each)]
    return [path] if _is_copied(path) else []


def _is_copied(path: str) -> bool:
    # What the system makes up is no part of a shot: the environment of this process would be among it.
    place = os.path.realpath(path)
    is_made_up = place.startswith(_OF_THE_SYSTEM) and not place.startswith(_SHARED_MEMORY)
    return os.path.isfile(place) and not is_made_up  # noqa: PTH113  any text


def _below(path: str, folder: str) -> str | None:
    # By its text, but for `..`: what a manager answers may have it, and would be written beside the copy.
    text, prefix = os.path.normpath(path), os.path.normpath(folder).rstrip("/") + "/"
    return text.removeprefix(prefix) if text.startswith(prefix) else None


def _names_outside(files: dict[str, str], taken: set[str]) -> dict[str, str]:
    """Return the names below `assets/` of files, given with their references, each folder together."""
    homes: dict[str, str] = {}
    folders = {_folder_of(path): reference for path, reference in files.items()}
    used = {name.split("/")[1] for name in taken if name.startswith(f"{_ASSETS}/")}
    for folder in sorted(folders):
        if not any(_below(folder, home) is not None for home in homes):
            homes[folder] = _free(_folder_name(folder, folders[folder]), used)
    names = {}
    for path in files:
        home = next(each for each in homes if _below(path, each) is not None)
        names[path] = f"{_ASSETS}/{homes[home]}/{_below(path, home)}"
    return names


def _folder_of(path: str) -> str:
    return os.path.dirname(os.path.normpath(path))  # noqa: PTH120 - by its text


def _folder_name(folder: str, reference: str) -> str:
    """Return a name that says what lies there: the asset's id, or the folder's own name."""
    name = PurePosixPath(folder).name or "root"
    with contextlib.suppress(ValueError):
        asset_id = parse(reference).asset_id
        if asset_id:
            name = PurePosixPath(asset_id).name
    stem = PurePosixPath(name).stem or name
    clean = "".join(ch if ch.isalnum() or ch in "-_." else "_" for ch in stem)
    return clean if clean.strip(".") else "root"


def _free(name: str, used: set[str]) -> str:
    number, free = 1, name
    while free in used:
        number += 1
        free = f"{name}-{number}"
    used.add(free)
    return free
