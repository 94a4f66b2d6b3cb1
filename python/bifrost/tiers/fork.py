# SPDX-License-Identifier: Apache-2.0
"""
Starting over in a forked child.

A lock may be held, at the moment of the fork, by a thread that does not exist in the child: nobody
would ever release it there.
"""

from __future__ import annotations

import os
from threading import Lock
from weakref import WeakSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Resettable(Protocol):
        def after_fork(self) -> None:
            """Make new locks, and new state where a lock guarded it."""


_living: WeakSet[_Resettable] = WeakSet()


def reset_in_child(thing: _Resettable) -> None:
    """Call `thing.after_fork()` in every child that this process forks, for as long as it lives."""
    _living.add(thing)


class Mutex:
    """A lock for `with` that nobody holds in a forked child. Any thread; not twice in one."""

    def __init__(self) -> None:
        self.after_fork()
        reset_in_child(self)

    def after_fork(self) -> None:
        """Be free in a child."""
        self._lock = Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _after_fork() -> None:
    for thing in list(_living):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
