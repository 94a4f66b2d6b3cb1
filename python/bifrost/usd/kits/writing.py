# SPDX-License-Identifier: Apache-2.0
"""
Writing a kit into a folder, which others' files may be in.

What was written is noted in the folder with its digest: a file that is not noted, or that somebody
changed since, is not replaced.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from bifrost.errors import ConfigurationError
from bifrost.replacing import replace_file

NOTES: Final = ".bifrost-kit.json"
_FORMAT: Final = 1


class Written(NamedTuple):
    """The paths of files that were written, and of those that were as they should be."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]


def write(files: Mapping[str, str], folder: Path, *, force: bool = False) -> Written:
    """
    Write *files*, texts by path in *folder*, which is made where it isn't there.

    Each appears whole or not at all; the second time nothing is written.

    Args:
        files: What to write.
        folder: Where to.
        force: Whether to replace files that others wrote or changed.

    Raises:
        ConfigurationError: others' files are in the way, and nothing was written; or it can't be
            written. Says which, and why.
    """
    # Paths are bytes to a file system; what is no UTF-8 in them stays as it is.
    texts = {path: text.encode("utf-8", "surrogateescape") for path, text in files.items()}
    try:
        present = {path: _content(folder / path) for path in texts}
        noted = _noted(folder)
        changing = [path for path in texts if present[path] != texts[path]]
        if not force:
            _refuse(folder, [path for path in changing if _is_foreign(present[path], noted, path)])
        for path in changing:
            _replace(folder / path, texts[path])
        notes = {**noted, **{path: _digest(text) for path, text in texts.items()}}
        if notes != noted:
            _replace(folder / NOTES, _notes(notes))
    except OSError as error:
        where = error.filename or folder
        raise ConfigurationError(
            f"{where}: the kit can't be written: {error.strerror or error}"
        ) from error
    unchanged = tuple(path for path in texts if path not in changing)
    return Written(tuple(changing), unchanged)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _noted(folder: Path) -> dict[str, str]:
    """Return the digest of each file that a kit put into *folder*; none from notes that can't be read."""
    try:
        noted = json.loads((folder / NOTES).read_bytes())["files"]
        return {path: digest for path, digest in noted.items() if isinstance(digest, str)}
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _is_foreign(content: bytes | None, noted: Mapping[str, str], path: str) -> bool:
    return content is not None and noted.get(path) != _digest(content)


def _refuse(folder: Path, foreign: list[str]) -> None:
    if foreign:
        named = ", ".join(str(folder / path) for path in foreign)
        raise ConfigurationError(
            f"{named}: not written, or changed since, by a kit, and so not replaced; take another "
            "folder, or --force"
        )


def _notes(noted: Mapping[str, str]) -> bytes:
    return json.dumps(
        {"bifrost_kit": _FORMAT, "files": dict(sorted(noted.items()))}, indent=1
    ).encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, content)
