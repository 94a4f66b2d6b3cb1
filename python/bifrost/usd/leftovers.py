# SPDX-License-Identifier: Apache-2.0
"""
What a process that was killed while it wrote an asset left staged (resolver/asset_writer.cpp).

Each asset that is being written has a folder of its own, which its writer keeps locked. One that nobody
has locked was left: it is removed, and the publish of its file, if that had begun, is taken to its end
where its versions are made already, and else given up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bifrost.errors import BifrostError

if TYPE_CHECKING:
    from bifrost.publishing import Publish, Publisher

# A writer makes its folder first, and locks it then.
_YOUNG_S: Final = 10.0
_MOST_LOOKED_AT: Final = 1_000
_ON_THEIR_WAY: Final = ("draft", "validated", "registered")


def sweep(
    publisher: Publisher, root: Path, *, clock: Callable[[], float] = time.time
) -> list[Path]:
    """
    Remove what was left below *root*; return which folders. Raises nothing.

    Where there is nothing, the catalogue isn't asked.
    """
    swept = []
    for folder in _folders(root, clock()):
        with _locked(folder) as is_left:
            if not is_left:
                continue
            with contextlib.suppress(BifrostError):
                _settle(publisher, folder)
                shutil.rmtree(folder, ignore_errors=True)
                swept.append(folder)
    return swept


def _folders(root: Path, now: float) -> list[Path]:
    try:
        return [each for each in root.iterdir() if now - each.lstat().st_mtime > _YOUNG_S]
    except OSError:  # another sweeps, too
        return []


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Yield whether nobody has *folder* locked; then this has."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        is_left = False
    else:
        is_left = True
    try:
        yield is_left
    finally:
        os.close(handle)


def _settle(publisher: Publisher, folder: Path) -> None:
    for publish in _publishes_of(publisher, folder):
        if publish.stage == "registered":
            publisher.resume(publish.id)
        else:
            publisher.abort(publish.id)


def _publishes_of(publisher: Publisher, folder: Path) -> list[Publish]:
    return [
        publish
        for stage in _ON_THEIR_WAY
        for publish in publisher.list(stage=stage, limit=_MOST_LOOKED_AT)
        if any(Path(draft.path).parent == folder for draft in publish.drafts if draft.path)
    ]
