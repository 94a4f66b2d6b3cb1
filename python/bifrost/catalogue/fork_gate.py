# SPDX-License-Identifier: Apache-2.0
"""
SQLite and forks.

SQLite keeps in the process what it knows of a file's locks, and mutexes. A child that inherits an open
connection believes that it holds locks which only its parent has: what it commits is lost when the parent
closes the file. Or it finds locks and mutexes taken by threads that stayed behind, and waits for ever
(https://sqlite.org/howtocorrupt.html, 2.6). So this process forks only while it has nothing open: those
who use a database come to an end first, and those who want to begin wait until the fork is over.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from bifrost.errors import CatalogueError

if TYPE_CHECKING:
    import sqlalchemy as sa

# How long a fork waits for who is inside. Above `catalogue.lock_timeout_s` as it is by default: who
# waits for another writer is inside, too.
_PATIENCE_S: Final = 15.0


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


class ForkGate:
    """
    Stands between the threads of a process and its SQLite databases. Any thread may use it.

    Args:
        patience_s: Seconds that a fork waits for those inside.
    """

    def __init__(self, patience_s: float = _PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._engines: WeakSet[sa.Engine] = WeakSet()
        self._threads = _Threads()
        self._were_in_use = False
        self._is_shut = False

    def guard(self, engine: sa.Engine) -> None:
        """Close the connections of *engine* before each fork. All that uses them does so `inside`."""
        self._engines.add(engine)

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """
        Use a database in the block; begins when no fork is under way.

        Args:
            name: How messages name the catalogue.

        Raises:
            CatalogueError: this process was forked while its parent used a database.
        """
        if self._is_shut:
            raise CatalogueError(
                f"{name}: this process was forked while its parent used the catalogue, which SQLite "
                "doesn't survive: fork when nothing is asked, or start processes by "
                '`multiprocessing.get_context("spawn")`'
            )
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
        """Wait until nobody is inside, for a while, and close what is open."""
        threads = self._threads
        threads.forks.acquire()
        with threads.changed:
            threads.is_forking = True
            # A thread that forks in the middle of its own reading would wait for itself.
            patience_s = 0.0 if threads.depth() else self._patience_s
            self._were_in_use = not threads.changed.wait_for(lambda: not threads.inside, patience_s)
        if not self._were_in_use:
            for engine in list(self._engines):
                engine.dispose()

    def after_fork_in_parent(self) -> None:
        """Let everybody in again."""
        threads = self._threads
        with threads.changed:
            threads.is_forking = False
            threads.changed.notify_all()
        threads.forks.release()

    def after_fork_in_child(self) -> None:
        """Start over; shut everybody out where connections came along."""
        self._is_shut = self._is_shut or self._were_in_use
        self._threads = _Threads()


GATE: Final = ForkGate()
os.register_at_fork(
    before=GATE.before_fork,
    after_in_parent=GATE.after_fork_in_parent,
    after_in_child=GATE.after_fork_in_child,
)
