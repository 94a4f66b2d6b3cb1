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

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from bifrost.errors import CatalogueError
from bifrost.forks import GATE, Gate, reset_in_child

if TYPE_CHECKING:
    import sqlalchemy as sa


class SqliteForks:
    """
    Stands between the threads of a process and its SQLite databases. Any thread may use it.

    Args:
        gate: Who uses a database is inside of it.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._engines: WeakSet[sa.Engine] = WeakSet()
        self._came_along = False
        self._is_shut = False
        gate.before_each_fork(self._close)
        reset_in_child(self)

    def guard(self, engine: sa.Engine) -> None:
        """Close the connections of *engine* before each fork. All that uses them does so `inside`."""
        self._engines.add(engine)

    def inside(self, name: str) -> AbstractContextManager[None]:
        """
        Return the block in which a database is used; it begins when no fork is under way.

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
        return self._gate.inside()

    def after_fork(self) -> None:
        """Shut everybody out where connections came along."""
        self._is_shut = self._is_shut or self._came_along

    def _close(self, is_alone: bool) -> None:
        self._came_along = not is_alone and len(self._engines) > 0
        if is_alone:
            for engine in list(self._engines):
                engine.dispose()


SQLITE: Final = SqliteForks(GATE)
