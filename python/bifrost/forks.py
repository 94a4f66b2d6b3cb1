# SPDX-License-Identifier: Apache-2.0
"""
Forks: starting over in a child, and what a fork must not cut in two.

A lock may be held, at the moment of the fork, by a thread that does not exist in the child: nobody
would ever release it there. Ours are made anew. Those of libraries can't be: no thread may be inside.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final
from weakref import WeakSet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Resettable(Protocol):
        def after_fork(self) -> None:
            """Make new locks, and new state where a lock guarded it."""


# How long a fork waits for who is inside. Above `catalogue.lock_timeout_s` as it is by default: who
# waits for another writer is inside, too.
_PATIENCE_S: Final = 15.0
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
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class _Threads:
    """Who of one process's threads is where."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inside = 0
        self.is_forking = False
        # One fork at a time: who comes back from one lets everybody in.
        self.forks = threading.Lock()
        self.own = threading.local()

    def depth(self) -> int:
        """How many blocks the calling thread is in."""
        return getattr(self.own, "depth", 0)


class Gate:
    """
    Lets threads into what no fork may cut in two, and forks while nobody is inside. Any thread.

    Args:
        patience_s: Seconds that a fork waits for those inside; then it goes on without.
    """

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._threads = _Threads()
        self._calls: list[Callable[[bool], None]] = []

    def before_each_fork(self, call: Callable[[bool], None]) -> None:
        """Call *call* before each fork, on the thread that forks, with whether nobody is inside."""
        self._calls.append(call)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside in the block, which begins when no fork is under way; blocks may be nested."""
        # Of the process that comes in: a child comes out of blocks that its parent is in.
        threads = self._threads
        depth = threads.depth()
        with threads.changed:
            # Who is inside already is let in again, or would never come out.
            threads.changed.wait_for(lambda: depth or not threads.is_forking)
            threads.inside += 1
        threads.own.depth = depth + 1
        try:
            yield
        finally:
            threads.own.depth = depth
            with threads.changed:
                threads.inside -= 1
                threads.changed.notify_all()

    def before_fork(self) -> None:
        """Wait until nobody is inside, for a while, and let nobody in."""
        threads = self._threads
        threads.forks.acquire()
        with threads.changed:
            threads.is_forking = True
            # A thread that forks from a block of its own would wait for itself.
            patience_s = 0.0 if threads.depth() else self._patience_s
            is_alone = threads.changed.wait_for(lambda: not threads.inside, patience_s)
        for call in self._calls:
            call(is_alone)

    def after_fork_in_parent(self) -> None:
        """Let everybody in again."""
        threads = self._threads
        with threads.changed:
            threads.is_forking = False
            threads.changed.notify_all()
        threads.forks.release()

    def after_fork_in_child(self) -> None:
        """Start over."""
        self._threads = _Threads()
        for thing in list(_living):
            thing.after_fork()


GATE: Final = Gate()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=GATE.before_fork,
        after_in_parent=GATE.after_fork_in_parent,
        after_in_child=GATE.after_fork_in_child,
    )
