# SPDX-License-Identifier: Apache-2.0
"""
Working copies that know which version they were made of: its files, writable, in a folder of one's own.

What they know is in a file beside them, `.bifrost-working.json`, by the names of the versions' own files: the
reference, and the digests of the files as they were copied. Who moves the copy moves that file with it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost.catalogue.store import digest_of
from bifrost.errors import Code, StorageException
from bifrost.model.entity_reference import parse, reference_for
from bifrost.replacing import replace_file
from bifrost.usd.contents import copies, files_beside

MARK: Final = ".bifrost-working.json"


class Origin(NamedTuple):
    """
    What a working copy was made of.

    Attributes:
        asset_id: The asset.
        number: The version.
        files: By their names beside the copy's main file, the SHA-256 of its files when it was made.
    """

    asset_id: str
    number: int
    files: dict[str, str]

    def is_edited(self, main: str) -> bool:
        """Whether a file of the copy whose own file is *main* isn't as it was copied."""
        folder = Path(main).parent
        return any(_digest(folder / name) != digest for name, digest in self.files.items())


def make(source: Path, asset_id: str, number: int, directory: str | os.PathLike[str]) -> Path:
    """
    Copy the version whose file is *source* into *directory*; return the copy of that file.

    Raises:
        LocationException: there is no such file.
        InvalidTraitsException: it is a layer, and USD can't read it.
        StorageException: a file of such a name is there already, or can't be written. Nothing is left.
    """
    contents = files_beside(source)
    made: list[Path] = []
    files: dict[str, str] = {}
    try:
        for name, (original, copied) in zip(
            contents.files, copies(contents, directory), strict=True
        ):
            target = Path(copied)
            target.parent.mkdir(parents=True, exist_ok=True)
            # Never over what is there; without the modes, which say that published files are only read.
            with Path(original).open("rb") as reading, target.open("xb") as writing:
                made.append(target)
                shutil.copyfileobj(reading, writing)
            files[name] = digest_of(target)
        main = Path(directory, contents.name).absolute()
        remember(str(main), Origin(asset_id, number, files))
    except OSError as error:
        for each in made:
            each.unlink(missing_ok=True)
        raise StorageException(
            f"{error.filename or directory}: {error.strerror or error}; no working copy was made",
            asset_uri=reference_for(asset_id, number),
            code=Code.STORAGE,
        ) from error
    return main


def origin_of(main: str) -> Origin | None:
    """Return what the working copy whose own file is *main* was made of; None where it is none."""
    entry: Any = _entries(Path(main).parent).get(Path(main).name)
    try:
        named = parse(entry["reference"])
        return Origin(named.asset_id, int(named.version or ""), dict(entry["files"]))
    except (KeyError, TypeError, ValueError):
        return None


def remember(main: str, origin: Origin) -> None:
    """
    Note in the folder of *main* that it is a working copy made of *origin*.

    Raises:
        OSError: it can't be written.
    """
    folder = Path(main).parent
    reference = reference_for(origin.asset_id, origin.number)
    entries = _entries(folder)
    entries[Path(main).name] = {"reference": reference, "files": origin.files}
    text = json.dumps(entries, indent=2, sort_keys=True) + "\n"
    replace_file(folder / MARK, text.encode())


def published(main: str, number: int, names: Iterable[str]) -> None:
    """
    Note that the working copy of *main* was published as version *number*, as its files are now.

    Those are the files of *names*, beside it, and those that it was made of.
    """
    if (origin := origin_of(main)) is None:
        return
    folder = Path(main).parent
    files = {name: _digest(folder / name) for name in {*origin.files, *names}}
    remember(main, origin._replace(number=number, files=files))


def _entries(folder: Path) -> dict[str, Any]:
    try:
        entries = json.loads((folder / MARK).read_text())
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def _digest(path: Path) -> str:
    try:
        return digest_of(path)
    except OSError:
        return ""
