# SPDX-License-Identifier: Apache-2.0
"""Looking through folders for files, and through Python files for the old API."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost.integrations.migrating.finding import Source, Use

PYTHON: Final = frozenset((".py", ".pyi", ".pyw"))
USD: Final = frozenset((".usd", ".usda", ".usdc"))
_SKIPPED: Final = frozenset(("__pycache__", "node_modules", "site-packages"))
_MAX_BYTES: Final = 20_000_000


class Trouble(NamedTuple):
    """A file that could not be looked at, and why."""

    file: str
    why: str


class Found(NamedTuple):
    """The uses of the old API in one file."""

    file: str
    uses: tuple[Use, ...]

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each use as JSON can say it."""
        for use in self.uses:
            yield {"file": self.file, **use._asdict()}


class Scan(NamedTuple):
    """
    What Python files use of the old API.

    Attributes:
        found: The files that use it, in the order they were found in.
        files: How many were looked at.
        troubles: Those that could not be.
    """

    found: tuple[Found, ...]
    files: int
    troubles: tuple[Trouble, ...]

    @property
    def sure(self) -> int:
        """How many uses are beyond doubt."""
        return sum(use.is_sure for each in self.found for use in each.uses)


def scan(files: Iterable[Path]) -> Scan:
    """Return every use of the old API in *files*. Reads them; imports and runs none of them."""
    found: list[Found] = []
    troubles: list[Trouble] = []
    count = 0
    for path in files:
        count += 1
        try:
            uses = Source(read(path)).uses()
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
            troubles.append(Trouble(str(path), why(error)))
            continue
        if uses:
            found.append(Found(str(path), tuple(uses)))
    return Scan(tuple(found), count, tuple(troubles))


def files_under(paths: Iterable[Path], endings: frozenset[str]) -> tuple[list[Path], list[Trouble]]:
    """
    Return the files among *paths* and in the folders among them, each once, and what can't be read.

    Of a folder those of the *endings*; what begins with a dot, and installed packages, are left out, and
    links to folders are not followed. A file that is named itself counts whatever its ending,
    unless it is one that another helper looks at.
    """
    found: dict[Path, None] = {}
    troubles: list[Trouble] = []

    def failed(error: OSError) -> None:
        troubles.append(Trouble(str(error.filename), why(error)))

    for path in paths:
        if path.is_dir():
            found.update(dict.fromkeys(_under(path, endings, failed)))
        elif not path.exists():
            troubles.append(Trouble(str(path), "there is no such file"))
        elif path.suffix.lower() in endings or path.suffix.lower() not in PYTHON | USD:
            found[path] = None
    return list(found), troubles


def _under(folder: Path, endings: frozenset[str], failed: Any) -> Iterator[Path]:
    for directory, folders, names in os.walk(folder, onerror=failed):
        folders[:] = sorted(
            each for each in folders if not each.startswith(".") and each not in _SKIPPED
        )
        for name in sorted(names):
            path = Path(directory, name)
            if path.suffix.lower() in endings and name[0] != "." and path.is_file():
                yield path


def read(path: Path) -> bytes:
    """
    Return the content of a Python file.

    Raises:
        OSError: it can't be read.
        ValueError: it is no regular file, or larger than any Python file.
    """
    if not path.is_file():  # a pipe is waited for, a device is read without end
        raise ValueError("it is no regular file")
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"it is larger than {_MAX_BYTES} bytes")
    return path.read_bytes()


def why(error: BaseException) -> str:
    """Return in a line why a file could not be looked at."""
    if isinstance(error, SyntaxError):
        return f"it doesn't parse: {error.msg}, line {error.lineno}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, RecursionError | MemoryError):
        return "it nests too deep"
    return str(error)
