# SPDX-License-Identifier: Apache-2.0
"""The size and the SHA-256 of files, and of sets of UDIM tiles as if each were one file."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bifrost.catalogue.store import digest_of
from bifrost.usd.folder import UDIM, tiles_on_disk
from bifrost.usd.survey import digest_of_tiles, in_threads


class Measure(NamedTuple):
    """Bytes, and the SHA-256 in hexadecimal or ""."""

    size: int
    sha256: str


def measured(paths: Sequence[str], *, hashes: bool = True) -> list[Measure | OSError]:
    """
    Return the measure of each file, in order, or why it can't be had. Several are read at once.

    A path with `<UDIM>` that is no file's stands for its tiles: their bytes together, and one hash
    over their names and hashes. With *hashes* false no file is read.
    """
    return list(in_threads(partial(_measure, hashes=hashes), paths))


def _measure(path: str, *, hashes: bool) -> Measure | OSError:
    try:
        if UDIM in path and not Path(path).exists():
            return _tiles(path, hashes=hashes)
        if not Path(path).is_file():  # a FIFO would be waited for without end
            code = errno.EISDIR if Path(path).is_dir() else errno.ENOENT
            return OSError(code, os.strerror(code))
        size = Path(path).stat().st_size
        return Measure(size, digest_of(Path(path)) if hashes else "")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        return error if isinstance(error, OSError) else OSError(errno.EINVAL, str(error))


def _tiles(pattern: str, *, hashes: bool) -> Measure | OSError:
    tiles = tiles_on_disk(pattern)
    if not tiles:
        return OSError(errno.ENOENT, "no tile is there")
    size = sum(Path(tile).stat().st_size for tile in tiles)
    if not hashes:
        return Measure(size, "")
    digests = ((Path(tile).name, digest_of(Path(tile))) for tile in tiles)
    return Measure(size, digest_of_tiles(digests))
