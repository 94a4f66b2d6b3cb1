# SPDX-License-Identifier: Apache-2.0
"""Folders that everybody's umask applies to, and that not everybody can write to."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Final

# A studio's publishers share a group. In a folder that all others may write to, anybody can put a file in
# the place of one that is read-only.
_MODE: Final = 0o775


def make_folder(path: Path) -> None:
    """
    Make *path* and the parents that it lacks, not to be written to by others than owner and group.

    Raises:
        OSError: one can't be made.
    """
    missing = takewhile(lambda each: not each.exists(), path.parents)
    for folder in [*reversed([*missing]), path]:
        folder.mkdir(mode=_MODE, exist_ok=True)
