# SPDX-License-Identifier: Apache-2.0
"""What a catalogue's URL means. A module apart, so that it is checked without SQLAlchemy."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bifrost.errors import ConfigurationError

_PREFIX: Final = "sqlite:///"


def path_of(url: str) -> Path:
    """
    Return the file that a catalogue's URL names.

    Raises:
        ConfigurationError: it names none.
    """
    path = url.removeprefix(_PREFIX)
    if path == url or not path or path.startswith(":memory:") or "\0" in path:
        raise ConfigurationError(
            f"the catalogue's URL: expected {_PREFIX}<path of a file>, got {url[:200]!r}"
        )
    return Path(path).expanduser().absolute()
