# SPDX-License-Identifier: Apache-2.0
"""
The connections of a process to a server, and the thread that makes them and knows if there are any.

Only that thread connects: a request takes a connection that is there, or goes without. So no
request ever waits for a name service, a handshake, or a server that is away.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition, Thread

from bifrost.tiers.redis_line import LineError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from bifrost.tiers.redis_line import Line

MAX_LINES: Final = 4
"""Connections of a process, beside the one that listens for events: servers have 10,000 for all."""
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0
LINGER_S: Final = 0.02
"""How long work waits for more of it."""
_LEND_S: Final = 0.1
_STEADY_S: Final = 5.0

_NEW, _STARTING, _UP, _DOWN, _CLOSED = "new", "starting", "up", "down", "closed"


class Lines:
    """
    Connections to lend, as long as the server answers. Safe from any thread.

    Args:
        open_line: Connects; called by the thread, may take long and raise anything.
        settle: Called with a new line when the server has come back, before anybody else gets one.
        work: Called some time after `poke`, with a line; whether more is to be done at once.
        tell: Called with what a log should say about the server. Without a lock.
        budget_s: How long after the start a request waits for the first connection.
        monotonic_clock: Seconds.
        rng: A number from 0 to 1, so that not all processes come back in one moment.
    """

    def __init__(
        self,
        *,
        open_line: Callable[[], Line],
        settle: Callable[[Line], None],
        work: Callable[[Line], bool],
        tell: Callable[[str], None],
        budget_s: float,
        monotonic_clock: Callable[[], float],
        rng: Callable[[], float],
    ) -> None:
        self._open_line = open_line
        self._settle = settle
        self._work = work
        self._tell = tell
        self._budget_s = budget_s
        self._monotonic = monotonic_clock
        self._rng = rng
        self.errors = 0
        """How often the server was lost."""
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child. Connections are the parent's."""
        self._changed = Condition()
        self._state = _NEW
        self._thread: Thread | None = None
        self._free: list[Line] = []
        self._count = self._stamp = self._starved = 0
        self._patience_ends = self._retry_at = self._grow_at = self._up_since = float("-inf")
        self._due: float | None = None
        self._pause_s = FIRST_PAUSE_S

    @property
    def is_up(self) -> bool:
        """Whether the server answered last."""
        return self._state == _UP

    @property
    def is_coming(self) -> bool:
        """Whether nobody knows yet if the server answers."""
        return self._state in {_NEW, _STARTING}

    def start(self) -> None:
        """Start connecting, unless that was done."""
        if self._state != _NEW:
            return
        with self._changed:
            if self._state != _NEW:
                return
            self._state = _STARTING
            self._patience_ends = self._monotonic() + self._budget_s
            self._thread = Thread(target=self._run, name="bifrost-redis", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # the interpreter is ending
                self._thread, self._state = None, _CLOSED

    @contextmanager
    def lend(self, deadline: float) -> Iterator[Line | None]:
        """
        Lend a line, waiting for a free one until *deadline*; None where there is none.

        A `LineError` from inside means that the server is lost. It is noted and passed on. Any
        other error costs the line only.
        """
        line = self._taken(deadline)
        if line is None:
            yield None
            return
        try:
            yield line
        except BaseException as error:
            # Whatever it was, a reply may be on its way that nobody would expect.
            self._discard(line)
            if isinstance(error, LineError):
                self.lose(str(error))
            raise
        self._give_back(line)

    def poke(self) -> None:
        """See to it that `work` is called soon."""
        self.start()
        with self._changed:
            if self._due is None:
                self._due = self._monotonic() + LINGER_S
                self._changed.notify_all()

    def lose(self, why: str) -> None:
        """Stop using the server until the thread has reached it again."""
        with self._changed:
            if self._state != _UP:
                return
            self.errors += 1
            lines = self._forget_lines()
            self._state = _DOWN
            now = self._monotonic()
            # A server that comes and goes is tried less and less often: each time costs a request.
            is_steady = now >= self._up_since + _STEADY_S
            self._pause_s = FIRST_PAUSE_S if is_steady else min(LONGEST_PAUSE_S, 2 * self._pause_s)
            self._retry_at = now + self._rng() * self._pause_s
            self._changed.notify_all()
        for line in lines:
            line.close()
        self._tell(f"does not answer, and counts as empty until it does: {why}")

    def close(self, timeout_s: float) -> None:
        """Close all connections, and end the thread, waiting for at most *timeout_s*."""
        with self._changed:
            self._state = _CLOSED
            lines = self._forget_lines()
            thread = self._thread
            self._changed.notify_all()
        for line in lines:
            line.close()
        if thread is not None:
            thread.join(timeout_s)

    # Lending

    def _taken(self, deadline: float) -> Line | None:
        self.start()
        with self._changed:
            self._starved += 1
            try:
                while not self._free:
                    left = self._patience(deadline)
                    if left <= 0:
                        return None
                    if self._count < MAX_LINES:
                        self._changed.notify_all()  # the thread makes another
                    self._changed.wait(left)
                return self._free.pop()
            finally:
                self._starved -= 1

    def _patience(self, deadline: float) -> float:
        """Return how long to wait for a line."""
        if self._state == _STARTING:
            return min(deadline, self._patience_ends) - self._monotonic()
        return deadline - self._monotonic() if self._state == _UP else 0.0

    def _give_back(self, line: Line) -> None:
        with self._changed:
            if line.stamp == self._stamp and self._state == _UP:
                self._free.append(line)
                self._changed.notify_all()
                return
        line.close()

    def _discard(self, line: Line) -> None:
        with self._changed:
            if line.stamp == self._stamp:
                self._count -= 1
        line.close()

    def _forget_lines(self) -> list[Line]:
        lines, self._free = self._free, []
        self._count = 0
        self._stamp += 1
        return lines

    # The thread

    def _run(self) -> None:
        while (task := self._next_task()) is not None:
            task()

    def _next_task(self) -> Callable[[], None] | None:
        """Wait until there is something to do; None: nothing any more."""
        with self._changed:
            while self._state != _CLOSED:
                now = self._monotonic()
                if self._state != _UP:
                    if now >= self._retry_at:
                        return self._reach
                    self._changed.wait(self._retry_at - now)
                elif self._is_short_of_lines(now):
                    return self._grow
                elif self._due is not None and now >= self._due:
                    self._due = None
                    return self._do_work
                else:
                    self._changed.wait(None if self._due is None else self._due - now)
        return None

    def _is_short_of_lines(self, now: float) -> bool:
        if self._free or self._count >= MAX_LINES or now < self._grow_at:
            return False
        return bool(self._starved) or not self._count

    def _reach(self) -> None:
        """Try once whether the server answers."""
        line: Line | None = None
        try:
            line = self._open_line()
            self._settle(line)
        except Exception as error:  # noqa: BLE001  whatever the library, TLS or a name service raise
            if line is not None:
                line.close()
            self._wait_longer(error)
            return
        with self._changed:
            was = self._state
            if was != _CLOSED:
                self._state = _UP
                self._up_since = self._monotonic()
                self._add(line)
        if was == _CLOSED:
            line.close()
        elif was == _DOWN:
            self._tell("answers again")

    def _grow(self) -> None:
        """Make one more connection."""
        stamp = self._stamp
        try:
            line = self._open_line()
        except Exception as error:  # noqa: BLE001  as above
            self._grow_at = self._monotonic() + LONGEST_PAUSE_S
            if not self._count:
                self.lose(str(error))
            return
        with self._changed:
            if self._state == _UP and stamp == self._stamp:
                self._add(line)
                return
        line.close()

    def _add(self, line: Line) -> None:
        line.stamp = self._stamp
        self._count += 1
        self._free.append(line)
        self._changed.notify_all()

    def _wait_longer(self, error: Exception) -> None:
        with self._changed:
            if self._state == _CLOSED:
                return
            is_first = self._state == _STARTING
            self.errors += is_first
            self._state = _DOWN
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
            # At least half of the pause: a server that refuses everybody is not asked in a loop.
            self._retry_at = self._monotonic() + self._pause_s * (0.5 + self._rng() / 2)
            self._changed.notify_all()
        if is_first:
            self._tell(f"can't be reached, and counts as empty until it can: {error}")

    def _do_work(self) -> None:
        try:
            with self.lend(self._monotonic() + _LEND_S) as line:
                is_more = True if line is None else self._work(line)
        except LineError:
            is_more = True  # later, when the server is back
        except Exception as error:  # noqa: BLE001  this thread must go on, whatever happens
            self.lose(str(error))
            is_more = True
        if is_more:
            with self._changed:
                self._due = self._monotonic()
