# SPDX-License-Identifier: Apache-2.0
"""
Follows a log of changes that others write, a catalogue's, and invalidates what changed.

Where the log was last read up to is kept in the cache that the processes of this host share, so that a
process that starts knows what its predecessors had heard of, and what one of them heard none of the
others notes again.
"""

from __future__ import annotations

import json
from threading import TIMEOUT_MAX, Event, Lock, Thread

from bifrost.forks import reset_in_child
from bifrost.tiers.tier import FOREVER, Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Final, Protocol

    from bifrost.tiers.tiered import TieredCache

    class Source(Protocol):
        """A numbered log of changes. Any method may raise anything: it is asked again later."""

        def hint(self) -> object:
            """
            Return something cheap that is another whenever there may be news, say a file's time.

            None: nobody knows without asking.
            """

        def is_open(self) -> bool:
            """Whether asking costs next to nothing."""

        def number(self) -> int:
            """Return the number of the newest change."""

        def since(self, number: int) -> tuple[int, list[bytes] | None]:
            """Return the newest number, and the names of what changed after *number*; None: all."""


_KEY_KIND: Final = b"G"  # "F" is of earlier versions, which wrote it in Python's notation
_LONGEST_PAUSE_S: Final = 30.0
_CLOSE_S: Final = 1.0


class News:
    """What was invalidated, None: all, because it changed between two numbers of the log."""

    __slots__ = ("after", "before", "names")

    def __init__(self, names: tuple[bytes, ...] | None, before: int, after: int) -> None:
        self.names = names
        self.before = before
        self.after = after


class Follower:
    """
    Invalidates in *tiers* what *source* says has changed, every *every_s* seconds; 0: when asked only.

    Any thread. The one that looks by itself is a daemon and starts with the first `begin`.

    Args:
        tiers: What is invalidated.
        source: The log.
        identity: 16 bytes that tell the source from others that share the host's cache.
        every_s: Seconds between two looks.
        tell: Called with what was found to have changed, before it is forgotten here: whoever shares
            more than a host must not hand out the old answer once this host counts it as new.
    """

    def __init__(
        self,
        tiers: TieredCache,
        source: Source,
        identity: bytes,
        every_s: float,
        tell: Callable[[News], None] = lambda _: None,
    ) -> None:
        self._tiers = tiers
        self._source = source
        # As short as it is, it is about no subject: no invalidation outdates it.
        self._key = _KEY_KIND + identity
        self._every_s = every_s
        self._tell = tell
        self.after_fork()
        reset_in_child(self)

    def after_fork(self) -> None:
        """Start over in a forked child: the thread stayed behind. What is known stays known."""
        self._lock = Lock()
        self._stop = Event()
        self._thread: Thread | None = None
        self._position: int | None = getattr(self, "_position", None)
        self._hint: object = None
        # Whether something was asked for while no number could be known: nobody could tell what came after.
        self._is_in_doubt: bool = getattr(self, "_is_in_doubt", False)
        self.looks = getattr(self, "looks", 0)
        """How often the source was asked."""

    @property
    def position(self) -> int | None:
        """The number up to which changes are invalidated; None before the first look."""
        return self._position

    def start(self) -> None:
        """Look from time to time from now on. Cheap when it has been called before."""
        if self._thread is not None or self._every_s <= 0:
            return
        with self._lock:
            if self._thread is not None:
                return
            thread = Thread(
                target=self._run, args=(self._stop,), name="bifrost-follow", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending, or there are no threads to be had
                return
            self._thread = thread

    def begin(self) -> None:
        """
        Know a number before something is asked for that shall be invalidated by what comes after it.

        A question to the source where this host's cache knows none, else nothing.
        """
        if self._position is not None:
            return
        with self._lock:
            if self._position is None:
                self._begin()

    def look(self) -> News | None:
        """
        Invalidate what changed since the last look; return it. None: nothing did.

        Raises:
            Exception: whatever the source raises.
        """
        with self._lock:
            return self._look(self._source.hint())

    def heard(self, before: int, after: int) -> None:
        """Take note that the changes between two numbers have been invalidated: somebody else told."""
        with self._lock:
            if before and self._position == before < after:
                self._move(after, None)

    def close(self) -> None:
        """
        Look no more, and end the thread, waiting a moment for a look under way.

        A last time, where the source is at hand and what it was like at the last look is not known:
        whoever starts next shall not have to ask it.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
        if self._position is None or self._hint is not None or not self._source.is_open():
            return
        hint = self._source.hint()
        # Not where it may hang: without a hint it is a server, and the thread may be waiting for it.
        if hint is None or not self._lock.acquire(timeout=_CLOSE_S):
            return
        try:
            self._look(hint)
        except Exception:  # noqa: BLE001, S110  then the next one asks
            pass
        finally:
            self._lock.release()

    def _begin(self) -> None:
        was_in_doubt = self._is_in_doubt
        number, hint = self._noted()
        if number is None:
            self._is_in_doubt = True  # until the source has been asked
            self._source.number()  # opens it, which may show in the hint
            hint = self._source.hint()
            number = self._source.number()
            if not was_in_doubt:
                self._move(number, hint)
        if was_in_doubt:
            self._invalidate(None, 0, number, hint)
        self._position, self._hint, self._is_in_doubt = number, hint, False

    def _run(self, stop: Event) -> None:
        pause_s = 0.0
        while not stop.wait(min(pause_s, TIMEOUT_MAX)):
            pause_s = self._looked(pause_s)

    def _looked(self, pause_s: float) -> float:
        """Look, and return how long to wait then: longer and longer while the source can't be asked."""
        try:
            self._tiers.catch_up()
            if self._may_have_news():
                self.look()
        except Exception as error:  # noqa: BLE001  a catalogue may be down for an hour
            import logging

            logging.getLogger("bifrost").debug("what others changed can't be asked: %s", error)
            return min(_LONGEST_PAUSE_S, 2 * max(pause_s, self._every_s))
        return self._every_s

    def _may_have_news(self) -> bool:
        if self._hint is None:
            _, self._hint = self._noted()
        hint = self._source.hint()
        return hint is None or hint != self._hint

    def _look(self, hint: object) -> News | None:
        noted, _ = self._noted()
        known = [number for number in (noted, self._position) if number is not None]
        self.looks += 1
        if not known or self._is_in_doubt:
            return self._look_first(hint)
        before = max(known)
        after, names = self._source.since(before)
        if after == before:
            if (before, hint) != (self._position, self._hint):
                self._move(before, hint)
            self._tiers.catch_up()
            return None
        return self._invalidate(names, before, after, hint)

    def _look_first(self, hint: object) -> News | None:
        """
        Begin with the newest number. This process asked for nothing yet, or could know no number then.

        What others left in the shared cache was asked for at no number that is known, and is forgotten.
        """
        number = self._source.number()
        shared = self._tiers.shared
        if not self._is_in_doubt and (shared is None or not shared.stats()["entries"]):
            self._move(number, hint)
            return None
        news = self._invalidate(None, 0, number, hint)
        self._is_in_doubt = False
        return news

    def _invalidate(
        self, names: Iterable[bytes] | None, before: int, after: int, hint: object
    ) -> News:
        news = News(None if names is None else tuple(names), before, after)
        try:
            if news.names is None or news.names:
                self._tiers.invalidate(news.names, (lambda: self._tell(news)) if before else None)
        finally:  # raised only where others of this host could not be told; this process knows
            self._move(after, hint)
        return news

    def _move(self, number: int, hint: object) -> None:
        self._position, self._hint = number, hint
        shared = self._tiers.shared
        if shared is not None:
            value = json.dumps((number, hint))
            entry = Entry(value.encode(), FOREVER, 0.0, self._tiers.sequence())
            shared.put({self._key: entry})

    def _noted(self) -> tuple[int | None, Any]:
        """Return the number, and the hint beside it, that this host's processes know."""
        shared = self._tiers.shared
        entry = shared.get([self._key]).get(self._key) if shared is not None else None
        if entry is None:
            return None, None
        try:
            # No literal of Python: reading one on a thread fails `ast.parse` of others (CPython 3.11).
            number, hint = json.loads(entry.value)
        except (ValueError, TypeError):
            return None, None
        hint = tuple(hint) if isinstance(hint, list) else hint
        return (number, hint) if isinstance(number, int) else (None, None)
