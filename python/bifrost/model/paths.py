# SPDX-License-Identifier: Apache-2.0
"""Paths made in bulk, and those that people write, with `~` for a home."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path, PosixPath
from sys import intern
from typing import Any, Final

from bifrost.errors import ConfigurationError

# Up to Python 3.11 a Path takes itself to parts when it is made, in 4 us of Python: a third of what it
# costs to answer from the cache on disk. An absolute path without "//" and "." needs only to be split,
# and pathlib has a constructor for parts that it uses itself. From 3.12 on nothing is parsed before it
# is needed, and there is no such constructor.
_FROM_PARTS: Final[Callable[[str, str, list[str]], Path] | None] = (
    getattr(PosixPath, "_from_parsed_parts", None) if sys.version_info < (3, 12) else None
)


def path_of(text: str) -> Path:
    """Return `Path(text)`."""
    make: Any = _FROM_PARTS
    if make is None or text[:1] != "/" or "//" in text or "/." in text or text[-1:] == "/":
        return Path(text)
    # Interned, as pathlib does: thousands of paths share their folders' names.
    return make("", "/", ["/", *map(intern, text[1:].split("/"))])  # type: ignore[no-any-return]


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return *path* with a home in place of `~` and `~user`; of nobody's, `~` is part of a name."""
    return Path(os.path.expanduser(path))  # noqa: PTH111  pathlib's fails for `~hero.usda`


def expanded_setting(setting: str, path: str) -> Path:
    """
    Return *path* as `expanded` does.

    Raises:
        ConfigurationError: there is no such user's home; names the *setting*.
    """
    found = expanded(path)
    if path.startswith("~") and not found.is_absolute():
        raise ConfigurationError(f"{setting}: {path[:200]!r}: there is no such user's home")
    return found
