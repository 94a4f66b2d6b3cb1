# SPDX-License-Identifier: Apache-2.0
"""
A library of 100,000 assets behind BAL: what the cases of the pipeline ask for.

Each has a file name of its own, ten of them in a folder, so that a manager finds them and no two paths
are alike.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bifrost.testing import bal

SIZE: Final = 100_000
LATENCIES_MS: Final = (0, 10)
_IN_FOLDER: Final = 10
# As many names as a file may have on any file system. A new file takes ten times as long as a name.
_NAMES: Final = 10_000


@dataclass(frozen=True)
class Library:
    """
    The library, and what lets a process ask for it.

    Attributes:
        folder: Where it lies.
        size: How many assets it has.
    """

    folder: Path
    size: int

    def environment(
        self, home: str, *, latency_ms: int = 0, settings: Mapping[str, str | int] | None = None
    ) -> dict[str, str]:
        """
        Return the variables of a process with the caches in *home*, a name, whose manager is BAL.

        Args:
            home: Processes of the same one share a persistent cache.
            latency_ms: What each call into BAL takes longer: one of `LATENCIES_MS`.
            settings: More settings, by their variables' names without `BIFROST_`.
        """
        more = {f"BIFROST_{name}": str(value) for name, value in (settings or {}).items()}
        return {
            "BIFROST_HOME": str(self.folder / "homes" / home),
            "OPENASSETIO_DEFAULT_CONFIG": str(self.folder / f"bal_{latency_ms}.toml"),
            **more,
        }

    def forget(self, home: str) -> None:
        """Remove the caches in *home*, so that the next process finds everything cold."""
        shutil.rmtree(self.folder / "homes" / home, ignore_errors=True)


def made(folder: Path, size: int = SIZE) -> Library:
    """
    Return the library of *size* assets in *folder*; make it if it isn't there.

    Caches that an earlier run left in it are removed.
    """
    complete = folder / "complete"
    # Its locations are absolute: one that was moved leads nowhere.
    if not complete.exists() or complete.read_text() != f"{folder} {size}":
        shutil.rmtree(folder, ignore_errors=True)
        _make(folder, size)
        complete.write_text(f"{folder} {size}")
    shutil.rmtree(folder / "homes", ignore_errors=True)
    return Library(folder, size)


def _make(folder: Path, size: int) -> None:
    files, source = {}, ""
    for index in range(size):
        file = location(str(folder), index)
        if index % _IN_FOLDER == 0:
            os.makedirs(os.path.dirname(file))
        if index % _NAMES == 0:
            source = file
            Path(source).touch()
        else:
            os.link(source, file)
        files[_name(index)] = Path(file)
    for latency_ms in LATENCIES_MS:
        bal.install(folder, files, latency_ms=latency_ms)


def reference(index: int) -> str:
    """Return the entity reference of asset *index*, counting from 0."""
    return f"{bal.PREFIX}{_name(index)}"


def location(folder: str, index: int) -> str:
    """Return the file of asset *index* of the library in *folder*."""
    return f"{folder}/show/assets/set_{index // _IN_FOLDER:05}/{_name(index)}.v003.usda"


def _name(index: int) -> str:
    return f"char_{index:06}"
