# SPDX-License-Identifier: Apache-2.0
"""What the tier's thread tells a server: what failed to be announced, what to forget, what to store."""

from __future__ import annotations

from bifrost.tiers.codec import pack
from bifrost.tiers.redis_line import LineError, RefusedError
from bifrost.tiers.tier import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from bifrost.tiers.redis_backlog import Backlog
    from bifrost.tiers.redis_events import Event, Position
    from bifrost.tiers.redis_follower import EventFollower
    from bifrost.tiers.redis_line import Line
    from bifrost.tiers.redis_server import Server

STORED_AT_ONCE: Final = 200
"""Entries of one script: the server does nothing else meanwhile."""
_STORED_BYTES: Final = 1 << 20
_BACKGROUND_S: Final = 0.5
_START: Final = b"0"


class Writer:
    """
    Makes the changes that wait. All but `say` is called from the thread of `Lines`.

    Args:
        poke: Sees to it that `work` is called soon.
        tell: Called with what a log should say about the server.
        budget_s: How quick a server must be to be used.
        monotonic_clock: Seconds.

    Attributes:
        announced: Where the last event is that this process announced.
        refused: How often the server refused to store.
    """

    def __init__(
        self,
        server: Server,
        backlog: Backlog,
        follower: EventFollower,
        *,
        poke: Callable[[], None],
        tell: Callable[[str], None],
        budget_s: float,
        monotonic_clock: Callable[[], float],
    ) -> None:
        self._server = server
        self._backlog = backlog
        self._follower = follower
        self._poke = poke
        self._tell = tell
        self._budget_s = budget_s
        self._monotonic = monotonic_clock
        self._sweep: bytes | None = None  # how far entries that are out of reach were removed
        self.announced: Position | None = None
        self.refused = 0

    def after_fork(self) -> None:
        """Leave to the parent what it began."""
        self._sweep = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to be told."""
        return self._backlog.is_empty and self.has_swept

    @property
    def has_swept(self) -> bool:
        """Whether no entries are left that are out of reach."""
        return self._sweep is None

    def say(self, line: Line | None, event: Event, deadline: float) -> None:
        """
        Announce *event*. From any thread.

        Raises:
            LineError, RefusedError: perhaps it was not announced; without a *line*: it was not.
        """
        if line is None:
            raise LineError("it does not answer")
        self.announced, is_renewed = self._server.announce(line, event, deadline)
        self._follower.note_own(self.announced)
        self._backlog.overtake(event)  # what came in meanwhile was asked for before
        if is_renewed:
            self._begin_sweep()

    def settle(self, line: Line) -> None:
        """Tell a server that has come back what it must know before anybody asks it."""
        # A server that is slower than a request may wait is as good as away.
        line.call(self._monotonic() + self._budget_s, b"PING")
        self._catch_up(line)

    def work(self, line: Line) -> bool:
        """Make the changes that wait; whether there are more."""
        self._catch_up(line)
        changes = self._backlog.take()
        is_storing = bool(changes.entries)
        try:
            for prefix in changes.prefixes:
                self._forget_prefix(line, prefix)
            self._server.forget(line, list(changes.forgotten), self._soon())
            self._store(line)
        except RefusedError as error:
            self._backlog.failed()
            if not is_storing:
                raise  # a server that can't even forget is not to be used
            self.refused += 1
            self._tell(f"refuses to store: {error}")
            return True
        except BaseException:
            self._backlog.failed()
            raise
        self._backlog.done()
        return self._sweep_on(line)

    def _catch_up(self, line: Line) -> None:
        """Announce what could not be announced."""
        while (event := self._backlog.unsaid()) is not None:
            self.say(line, event, self._soon())
            self._backlog.note_said(event)
        if self._server.is_renewed:
            self._server.is_renewed = False
            self._begin_sweep()

    def _store(self, line: Line) -> None:
        while part := self._backlog.part(STORED_AT_ONCE, _STORED_BYTES):
            rows = [
                (key, pack(key, Entry(each.value, each.expires, each.stored)), each)
                for key, each in part.items()
            ]
            self._backlog.stored(part, self._server.store(line, rows, self._soon()))

    def _forget_prefix(self, line: Line, prefix: bytes) -> None:
        if not prefix:
            self._server.renew(line, self._soon())
            self._begin_sweep()
            return
        cursor = _START
        while (cursor := self._server.forget_prefix(line, prefix, cursor, self._soon())) != _START:
            pass

    def _begin_sweep(self) -> None:
        self._sweep = _START
        self._poke()

    def _sweep_on(self, line: Line) -> bool:
        """Remove some entries that nobody can reach any more; whether there is more to do."""
        if self._sweep is not None:
            cursor = self._server.sweep(line, self._sweep, self._soon())
            self._sweep = None if cursor == _START else cursor
        return not self.is_settled

    def _soon(self) -> float:
        return self._monotonic() + _BACKGROUND_S
