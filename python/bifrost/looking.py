# SPDX-License-Identifier: Apache-2.0
"""
Many looks at one file that nobody writes to meanwhile: what was opened or read for one serves the others.

A publish has each file read by a reader, by every validator, and by who draws it. Between them what there is
room for is kept; else it lasts until another file is looked at: a hundred shots are not in memory at once.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final, TypeVar

T = TypeVar("T")

_MOST_KEPT: Final = 1_000
_MOST_BYTES: Final = 100_000_000


class _Kept:
    """What was made of files on the thread that made this, by (kind, path)."""

    def __init__(self, is_for_all: bool) -> None:
        self.is_for_all = is_for_all
        self.thread = threading.get_ident()
        self._kept: dict[tuple[str, str], Any] = {}
        self._bytes = 0
        self._last: dict[tuple[str, str], Any] = {}
        self._path = ""

    def once(self, key: tuple[str, str], make: Callable[[], T], weigh: Callable[[T], int]) -> T:
        if key[1] != self._path:
            self._path, self._last = key[1], {}
        if key in self._last:
            known: T = self._last[key]
        elif key in self._kept:
            known = self._kept[key]
        else:
            known = make()
            self._keep(key, known, weigh)
        self._last[key] = known
        return known

    def _keep(self, key: tuple[str, str], made: T, weigh: Callable[[T], int]) -> None:
        if len(self._kept) < _MOST_KEPT and (taken := self._bytes + weigh(made)) <= _MOST_BYTES:
            self._kept[key], self._bytes = made, taken


_kept: Final[ContextVar[_Kept | None]] = ContextVar("bifrost_kept", default=None)


@contextlib.contextmanager
def kept(*, is_for_all: bool = False) -> Iterator[None]:
    """
    Have `once` make everything once in the block, on this thread. Nobody edits what it returns.

    What comes into being in the block may not be seen: a version that is registered begins another one.

    Args:
        is_for_all: Whether blocks inside are part of this one. Else each begins anew: an action of a publish
            may write a file and publish it.
    """
    outer = _kept.get()
    if outer is not None and outer.is_for_all:
        yield
        return
    token = _kept.set(_Kept(is_for_all))
    try:
        yield
    finally:
        _kept.reset(token)


def once(
    kind: str,
    path: str | os.PathLike[str],
    make: Callable[[], T],
    weigh: Callable[[T], int] = lambda _: 0,
) -> T:
    """
    Return what *make* returns, of the file at *path*; outside of `kept` it is made each time.

    Args:
        kind: What it is that is made.
        path: The file.
        make: Makes it; what it raises is raised each time.
        weigh: Says how many bytes it is, about: 100 MB are kept when other files are looked at.
    """
    known = _kept.get()
    # A context that was copied has another thread's.
    if known is None or known.thread != threading.get_ident():
        return make()
    return known.once((kind, os.path.abspath(path)), make, weigh)  # noqa: PTH100
