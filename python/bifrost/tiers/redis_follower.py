# SPDX-License-Identifier: Apache-2.0
"""
The thread that hears what other processes of a studio invalidate, and knows when it missed some.

Every event has a number of its own, one more than the one before. What does not fit on (a gap, a
trimmed stream, another epoch, bytes that can't be read) means that something was missed, and then
everything is assumed to have changed.
"""

from __future__ import annotations

from threading import Event as Flag
from threading import Lock, Thread

from bifrost.tiers.redis_events import Event, UnreadableError, read_told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from bifrost.tiers.redis_events import Look, Position
    from bifrost.tiers.redis_line import Line
    from bifrost.tiers.redis_server import Server

BLOCK_S: Final = 1.0
"""How long the server waits for an event before it says that there is none."""
_PATIENCE_S: Final = 0.5
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 1.0
MAX_EVENTS: Final = 100
"""Events read at once."""


class EventFollower:
    """
    Applies the events of others, in order.

    Args:
        server: Whom to follow. What has its origin is this process's own: counted, and not applied.
        overtake: Drops what waits to be stored and was asked for before an event. Called before
            that is applied, and again when `known` has it.
        monotonic_clock: Seconds.
        rng: A number from 0 to 1, so that not all processes come back in one moment.

    Attributes:
        applied: How many events of others were applied.
        assumed: How often everything was assumed to have changed.
        own: How many events of this process came by.
        known: Up to which event all were applied when that was last known.
        left_epoch: The epoch before the present one, if it was followed.
    """

    def __init__(
        self,
        server: Server,
        *,
        overtake: Callable[[Event], None],
        monotonic_clock: Callable[[], float],
        rng: Callable[[], float],
    ) -> None:
        self._server = server
        self._overtake = overtake
        self._monotonic = monotonic_clock
        self._rng = rng
        self._apply: Callable[[Event], None] | None = None
        self.known: Position | None = None
        self.left_epoch: bytes | None = None
        self.applied = self.assumed = self.own = 0
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child, later, from where the parent was."""
        self._lock = Lock()
        self._closing = Flag()
        self._thread: Thread | None = None
        self._line: Line | None = None
        self._is_connected = False

    @property
    def position(self) -> Position | None:
        """Up to which event all were applied; None while nobody knows what is missing."""
        return self.known if self._is_connected else None

    def note_own(self, position: Position) -> None:
        """
        Take note that this process announced the event at *position*.

        Where it is the next one, nobody needs to wait for it to come by: what is asked for from
        now on may be stored.
        """
        with self._lock:
            known = self.known
            if known and known.epoch == position.epoch and known.number + 1 == position.number:
                self.known = position
                self.own += 1

    def follow(self, apply: Callable[[Event], None], known: Position | None = None) -> None:
        """Call *apply* for each event after *known*, on a thread. Once told, never another."""
        if self._apply is None:
            self.known = known
            self._apply = apply
        self.resume()

    def resume(self) -> None:
        """Go on following where there is something to follow, and no thread that does."""
        if self._apply is None or self._thread is not None:
            return
        with self._lock:
            if self._thread is not None or self._closing.is_set():
                return
            thread = Thread(target=self._run, name="bifrost-redis-events", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending, or there are no threads to be had
                return
            self._thread = thread

    def close(self, timeout_s: float) -> None:
        """Stop following, and end the thread, waiting for at most *timeout_s*."""
        with self._lock:
            self._closing.set()
            thread, line = self._thread, self._line
        self._is_connected = False
        if line is not None:
            line.abort()
        if thread is not None:
            thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while not self._closing.is_set():
            try:
                self._follow_one_line()
            except Exception as error:  # noqa: BLE001  what is wrong with a server has many names
                was_connected, self._is_connected = self._is_connected, False
                pause_s = _FIRST_PAUSE_S if was_connected else min(_LONGEST_PAUSE_S, 2 * pause_s)
                if not self._closing.is_set():
                    self._say(error)
            self._closing.wait(pause_s * (0.5 + self._rng() / 2))

    def _follow_one_line(self) -> None:
        """Connect and follow until that fails, or `close`."""
        line = self._server.open_line()
        try:
            with self._lock:
                self._line = line
            while not self._closing.is_set():
                while self._take_in(self._look_now(line)):
                    pass
                self._is_connected = not self._closing.is_set()
                self._wait_for_event(line)
        finally:
            with self._lock:
                self._line = None
            line.close()

    def _look_now(self, line: Line) -> Look:
        deadline = self._monotonic() + BLOCK_S + _PATIENCE_S
        return self._server.look(line, self.known, MAX_EVENTS, deadline)

    def _wait_for_event(self, line: Line) -> None:
        """
        Wait until there is an event, for a second at most.

        What the server answers only ends the waiting. It does not say if the stream is the same
        as before, so that one looks again in any case.
        """
        assert self.known is not None
        line.call(
            self._monotonic() + BLOCK_S + _PATIENCE_S,
            *(b"XREAD", b"COUNT", 1, b"BLOCK", round(BLOCK_S * 1000)),
            *(b"STREAMS", self._server.stream, self.known.place),
        )

    def _take_in(self, look: Look) -> bool:
        """Apply what is new; whether there is more to be read."""
        newest = look.newest
        if self.known is None or self.known.epoch != newest.epoch:
            self._assume_everything(newest)
            return False
        for raw in look.rest:
            if not self._take_in_event(raw):
                self._assume_everything(newest)
                return False
        is_more = len(look.rest) >= MAX_EVENTS
        if self.known.number < newest.number and not is_more:
            self._assume_everything(newest)  # the stream lacks its end
        return is_more

    def _take_in_event(self, raw: object) -> bool:
        """Apply one event; False where it is not the one that must come next."""
        assert self.known is not None
        try:
            told = read_told(self.known.epoch, raw)
        except UnreadableError:
            return False
        if told.position.number <= self.known.number:
            return True  # the reading begins with the last one known, and `note_own` may be ahead
        if told.position.number != self.known.number + 1:
            return False
        if told.origin == self._server.origin:
            self.note_own(told.position)
        else:
            self._tell(told.event)
            self.applied += 1
            self.known = told.position
            self._overtake(told.event)
        return True

    def _assume_everything(self, newest: Position) -> None:
        self._tell(Event(None))
        self.assumed += 1
        if self.known is not None and self.known.epoch != newest.epoch:
            self.left_epoch = self.known.epoch
        self.known = newest
        self._overtake(Event(None))

    def _tell(self, event: Event) -> None:
        if self._apply is None or self._closing.is_set():
            return
        self._overtake(event)
        try:
            self._apply(event)
        except Exception:
            import logging

            logging.getLogger("bifrost.tiers").exception("an event is tried again: it raised")
            raise

    @staticmethod
    def _say(error: Exception) -> None:
        import logging

        logging.getLogger("bifrost.tiers").debug("no events from the shared cache: %s", error)
