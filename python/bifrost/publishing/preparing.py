# SPDX-License-Identifier: Apache-2.0
"""Brings the files of a draft to where they can be published from, and reads what they say."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any, Final

from bifrost.catalogue.dialect import storable
from bifrost.catalogue.records import shown
from bifrost.catalogue.store import Copied, Source, Store, flush_folders, measure
from bifrost.errors import BifrostError, Code, LocationException
from bifrost.model.entity_reference import reference_for
from bifrost.publishing.drafts import Draft, Prepared, Written
from bifrost.publishing.plugins import Lookup, Reader, Reading

_MIME_TYPES: Final = {
    ".usd": "model/vnd.usd",
    ".usda": "model/vnd.usda",
    ".usdc": "model/vnd.usdc",
    ".usdz": "model/vnd.usdz+zip",
    ".mtlx": "application/mtlx+xml",
    ".exr": "image/x-exr",
    ".hdr": "image/vnd.radiance",
    ".tx": "image/tiff",
}
_FLUSHING: Final = 16
# `<UDIM>`, `<UVTILE>` and printf's `%04d` stand for digits, as USD and renderers have them.
_TILES: Final = re.compile(r"<UDIM>|<UVTILE", re.IGNORECASE)
_PATTERN: Final = re.compile(r"<UDIM>|<UVTILE\d?>|%0?(\d*)d|#+", re.IGNORECASE)


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Whether a path stands for a set of tiles: its name has a mark that no file's name has by chance."""
    return _TILES.search(PurePath(path).name) is not None


def prepare(draft: Draft, store: Store, readers: Mapping[str, Reader], lookup: Lookup) -> Prepared:
    """
    Copy the files of *draft* into a staging folder and read them.

    Raises:
        LocationException: a file isn't there, is none, or changed while it was copied.
        StorageException: a file can't be read, or there is no room.
    """
    if not draft.path:
        return Prepared(draft, "", "", "", 0, properties={**draft.properties, **_masks(draft)})
    path = _absolute(draft)
    draft = draft._replace(mime_type=draft.mime_type or mime_type_of(path))
    if draft.templated:
        return _templated(draft, path, store)
    reading = _read(path, readers, lookup)
    if draft.in_place:
        return _in_place(draft, path, reading)
    files = [Source(file, name) for file, name in reading.files]
    staged, copied = store.stage(files, files[0].name)
    return Prepared(
        draft,
        str(staged.folder),
        staged.main,
        copied[0].checksum,
        copied[0].size,
        tuple(reading.dependencies),
        _properties(draft, reading, copied),
        tuple(reading.problems),
    )


def prepare_all_written(
    written: Sequence[Written], readers: Mapping[str, Reader], lookup: Lookup
) -> list[Prepared]:
    """
    Do as `prepare_written` does for each of *written*, in order.

    Raises:
        As `prepare_written`, for the first that fails.
    """
    # Flushing to the disk is all waiting, and the disk takes many at once.
    with ThreadPoolExecutor(_FLUSHING) as pool:
        copies = list(pool.map(lambda each: _written(Path(each.draft.path), each.folder), written))
    return [
        _as_written(each.draft, each.folder, copied, readers, lookup)
        for each, copied in zip(written, copies, strict=True)
    ]


def prepare_written(
    draft: Draft, folder: Path, path: Path, readers: Mapping[str, Reader], lookup: Lookup
) -> Prepared:
    """
    Read what somebody wrote at *path*, into the staging folder that they were given.

    Raises:
        LocationException: there is nothing, or no file.
        StorageException: it can't be read.
    """
    draft = draft._replace(path=str(path))
    return _as_written(draft, folder, _written(path, folder), readers, lookup)


def _as_written(
    draft: Draft,
    folder: Path,
    copied: Sequence[Copied],
    readers: Mapping[str, Reader],
    lookup: Lookup,
) -> Prepared:
    path = Path(draft.path)
    draft = draft._replace(mime_type=draft.mime_type or mime_type_of(path))
    reading = _read(path, readers, lookup)
    return Prepared(
        draft,
        str(folder),
        copied[0].name,
        copied[0].checksum,
        copied[0].size,
        tuple(reading.dependencies),
        _properties(draft, reading, copied),
        tuple(reading.problems),
    )


def _written(path: Path, folder: Path) -> list[Copied]:
    # A link would be published as one, and lead out of the folder.
    beside = sorted(
        each
        for each in folder.rglob("*")
        if (each.is_symlink() or not each.is_dir()) and each != path
    )
    for each in [path, *beside]:
        if each.is_symlink():
            raise LocationException(f"{each}: a link, not a file", code=Code.NOT_A_FILE)
    copied = [
        measure(each, each.relative_to(folder).as_posix(), seal=True) for each in [path, *beside]
    ]
    flush_folders(folder)
    return copied


def mime_type_of(path: PurePath) -> str:
    """Return the media type that the extension of *path* says, or ""."""
    extension = path.suffix.lower()
    return _MIME_TYPES.get(extension) or mimetypes.guess_type(path.name)[0] or ""


def _absolute(draft: Draft) -> Path:
    try:
        path = Path(draft.path).expanduser()
        problem = "" if path.is_absolute() else "expected an absolute path"
        if "\0" in draft.path:
            problem = "a path has no NUL character"
        elif not storable(draft.path):
            problem = "a path that is no valid Unicode can't be in a catalogue"
        elif not draft.templated and not problem and not path.is_file():
            there = "a folder, not a file" if path.is_dir() else "not a file"
            problem = there if path.exists() else "there is no such file"
    except OSError as error:
        problem = f"it can't be looked at: {error.strerror}"
    except (RuntimeError, ValueError):
        problem = "it can't be looked at"
    if problem:
        code = Code.FILE_MISSING if "no such" in problem else Code.NOT_A_FILE
        raise LocationException(
            f"{shown(draft.path)}: {problem}", asset_uri=reference_for(draft.asset_id), code=code
        )
    return path


def _read(path: Path, readers: Mapping[str, Reader], lookup: Lookup) -> Reading:
    reader = readers.get(path.suffix.lower())
    alone = Reading([(path, path.name)])
    if reader is None:
        return alone
    try:
        return reader(path, lookup)
    except LocationException:
        raise
    except Exception as error:  # noqa: BLE001  a reader's trouble is a finding about the file
        message = error.message if isinstance(error, BifrostError) else f"{error}"
        return alone._replace(problems=[("unreadable", f"{path.name}: {message}", path.name)])


def _in_place(draft: Draft, path: Path, reading: Reading) -> Prepared:
    measured = measure(path, path.name)
    return Prepared(
        draft,
        "",
        str(path),
        measured.checksum,
        measured.size,
        tuple(reading.dependencies),
        _properties(draft, reading, [measured]),
        tuple(reading.problems),
    )


def _templated(draft: Draft, path: Path, store: Store) -> Prepared:
    parts = _parts(path)
    if not parts:
        raise LocationException(
            f"{shown(draft.path)}: no file fits this pattern",
            asset_uri=reference_for(draft.asset_id),
            code=Code.FILE_MISSING,
        )
    if draft.in_place:
        folder, main = "", str(path)
        copied = [measure(part, part.name) for part in parts]
    else:
        staged, copied = store.stage([Source(part, part.name) for part in parts], path.name)
        folder, main = str(staged.folder), staged.main
    digest = hashlib.sha256("\n".join(f"{c.name} {c.checksum}" for c in copied).encode())
    return Prepared(
        draft,
        folder,
        main,
        digest.hexdigest(),
        sum(part.size for part in copied),
        (),
        {**draft.properties, **_masks(draft), "files": [part._asdict() for part in copied]},
    )


def _parts(path: Path) -> list[Path]:
    expression, at = "", 0
    for match in _PATTERN.finditer(path.name):
        expression += re.escape(path.name[at : match.start()]) + r"\d+"
        if match[0].upper().startswith("<UVTILE"):
            expression = expression.removesuffix(r"\d+") + r"_?u\d+_v\d+"
        at = match.end()
    expression += re.escape(path.name[at:])
    try:
        return sorted(
            each
            for each in path.parent.iterdir()
            if re.fullmatch(expression, each.name) and each.is_file()
        )
    except OSError:
        return []


def _properties(draft: Draft, reading: Reading, copied: Iterable[Copied]) -> dict[str, Any]:
    # One's own file is in the version's own columns.
    beside = [part._asdict() for part in list(copied)[1:]]
    files = {"files": beside} if beside else {}
    return {**reading.properties, **draft.properties, **_masks(draft), **files}


def _masks(draft: Draft) -> dict[str, Any]:
    masks = {name: list(paths) for name, paths in draft.population_masks.items()}
    return {"populationMasks": masks} if masks else {}
