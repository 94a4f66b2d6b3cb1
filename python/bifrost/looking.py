# SPDX-License-Identifier: Apache-2.0
"""
Many looks at one file that nobody writes to meanwhile: what was opened or read for one serves the others.

A publish has each file read by a reader, by every validator, and by who draws it. Between them what is small
is kept; else it lasts until another file is looked at, so that a hundred shots are not in memory at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, TypeVar

T = TypeVar("T")

_MOST_KEPT: Final = 1_000


class _Kept:
    """What was made of files, by (kind, path)."""

    def __init__(self) -> None:
        self._small: dict[tuple[str, str], Any] = {}
        self._last: dict[tuple[str, str], Any] = {}
        self._path = ""

    def once(self, key: tuple[str, str], make: Callable[[], T], is_small: Callable[[T], bool]) -> T:
        if key[1] != self._path:
            self._path, self._last = key[1], {}
        if key in self._last:
            known: T = self._last[key]
        elif key in self._small:
            known = self._small[key]
        else:
            known = make()
            if len(self._small) < _MOST_KEPT and is_small(known):
                self._small[key] = known
        self._last[key] = known
        return known


_kept: Final[ContextVar[_Kept | None]] = ContextVar("bifrost_kept", default=None)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """
    Have `once` make everything once in the block, on this thread. Nobody edits what it returns.

    What comes into being in the block may not be seen: a version that is registered begins another one.

    Inside of another such block it is part of that one.
    """
    if _kept.get() is not None:
        yield
        return
    token = _kept.set(_Kept())
    try:
        yield
    finally:
        _kept.reset(token)


def once(
    kind: str,
    path: str | os.PathLike[str],
    make: Callable[[], T],
    is_small: Callable[[T], bool] = lambda _: True,
) -> T:
    """
    Return what *make* returns, of the file at *path*; outside of `kept` it is made each time.

    Args:
        kind: What it is that is made.
        path: The file.
        make: Makes it; what it raises is raised each time.
        is_small: Whether it may be kept when other files are looked at.
    """
    known = _kept.get()
    if known is None:
        return make()
    return known.once((kind, os.path.abspath(path)), make, is_small)  # noqa: PTH100
