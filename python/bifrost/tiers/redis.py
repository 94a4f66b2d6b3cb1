# SPDX-License-Identifier: Apache-2.0
"""
The tier that a studio shares: any Redis or Valkey server, and the events that go through it.

It adds to what other tiers do that fills and invalidations of many hosts meet on the server, where
no host's numbers mean anything. So who asks a manager notes a `position` in the stream of events
first, and what comes back is stored only if no event since is about it.

The server may be away, hang, trickle, or be cleared at any moment. A request then goes without, at
once; see `redis_lines.py` for how, `redis_follower.py` for how nothing stale is believed fresh, and
`redis_scripts.py` for what is kept on the server.
"""

from __future__ import annotations

from random import random
from time import monotonic, time

from bifrost.errors import TierError
from bifrost.forks import reset_in_child
from bifrost.tiers.codec import DamagedError, unpack
from bifrost.tiers.redis_address import Address
from bifrost.tiers.redis_backlog import Backlog, Waiting
from bifrost.tiers.redis_events import Event, Position
from bifrost.tiers.redis_follower import EventFollower
from bifrost.tiers.redis_line import LineError, OversizedReplyError, RefusedError
from bifrost.tiers.redis_lines import Lines
from bifrost.tiers.redis_server import Server
from bifrost.tiers.redis_writer import Writer
from bifrost.tiers.tier import Entry, Tier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Any, Final

    from bifrost.tiers.seal import Seal

__all__ = ["Event", "Position", "RedisTier"]

BATCH: Final = 1000
"""Keys of one round trip."""
_PER_ENTRY_S: Final = 40e-6
_FOREVER_S: Final = 30 * 86400.0
_MOST_WAITING: Final = 64 << 20
_FLUSH_S: Final = 10.0
_CLOSE_S: Final = 1.0
_QUIET_S: Final = 60.0


class RedisTier(Tier):
    """
    Entries and invalidations that all processes of a studio share, on a Redis or Valkey server.

    Making one does no I/O. The first use starts a thread that connects.

    Args:
        url: `redis://`, `rediss://`, `valkey://` or `unix://`. `?namespace=` is what keys start
            with; who has other keys there may want another than `bifrost`.
        kinds: Only keys whose first byte is among these are kept; empty: all.
        stale_s: Seconds past its expiry for which the server keeps an entry.
        clock: Seconds since the epoch.
        monotonic_clock: Seconds.
        budget_s: The longest that `get` and `announce` wait for the server.
        rng: A number from 0 to 1, so that not all processes come back in one moment.
        seal: Signs entries; what it has not signed is a miss, counted as `refused`.

    Raises:
        ConfigurationError: the URL is not one of a Redis server, or `redis` is not installed.
    """

    name = "redis"

    def __init__(
        self,
        url: str,
        *,
        kinds: bytes = b"",
        stale_s: float = 0.0,
        clock: Callable[[], float] = time,
        monotonic_clock: Callable[[], float] = monotonic,
        budget_s: float = 0.08,
        rng: Callable[[], float] = random,
        seal: Seal | None = None,
    ) -> None:
        self._seal = seal
        self._kinds = frozenset(kinds)
        self._stale_s = stale_s
        self._clock = clock
        self._monotonic = monotonic_clock
        self._budget_s = budget_s
        self._address = Address(url)
        self._server = Server(self._address, monotonic_clock)
        self._backlog = Backlog(self._moments, _MOST_WAITING)
        self._follower = EventFollower(
            self._server,
            overtake=self._backlog.overtake,
            monotonic_clock=monotonic_clock,
            rng=rng,
        )
        self._writer = Writer(
            self._server,
            self._backlog,
            self._follower,
            poke=lambda: self._lines.poke(),  # noqa: PLW0108  there are none yet
            tell=self._tell,
            budget_s=budget_s,
            monotonic_clock=monotonic_clock,
        )
        self._lines = Lines(
            open_line=self._server.open_line,
            settle=self._writer.settle,
            work=self._writer.work,
            tell=self._tell,
            budget_s=budget_s,
            monotonic_clock=monotonic_clock,
            rng=rng,
        )
        self._told: dict[str, float] = {}
        self._damaged = 0
        self._is_closed = False
        reset_in_child(self)

    def __repr__(self) -> str:
        return f"RedisTier({str(self._address)!r})"

    # Entries

    def get(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """
        Return the entries among *keys*, stale ones included, each with the sequence 0.

        One round trip for each `BATCH` keys. It takes `budget_s` at most, and for more than `BATCH`
        keys 40 us more for each one answered; what was not answered by then is left out. While the
        server is away that is everything, at once.
        """
        if self._is_closed:
            return {}
        self._follower.resume()
        if not (self._lines.is_up or self._lines.is_coming):
            return {}  # not what waits either: others may have changed it, and nobody could tell us
        waiting, rest = self._backlog.look(self._kept(keys))
        # New ones: who gets an entry may number it.
        hits = {k: Entry(e.value, e.expires, e.stored) for k, e in waiting.items()}
        if rest:
            self._read([*rest], hits)
        return hits if self._seal is None else self._seal.opened(hits, self.delete)

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Store *entries*, as if they had been asked for at the present `position`."""
        self.put_since(entries, self.position())

    def put_since(self, entries: Mapping[bytes, Entry], position: object | None) -> None:
        """
        Store what was asked for at *position*, unless an event since then is about it; None: don't.

        Returns at once: a thread stores it soon. What waits longest is dropped where it is too much.
        """
        if self._is_closed or not entries:
            return
        if not isinstance(position, Position):
            self._backlog.drop_waiting(self._kept(entries))
            return
        if self._seal is not None:
            entries = self._seal.sealed(entries)
        now = self._clock()
        kept: dict[bytes, Waiting] = {}
        for key in self._kept(entries):
            ttl_s = min(_FOREVER_S, entries[key].expires + self._stale_s - now)
            if ttl_s > 0:
                kept[key] = Waiting(entries[key], position, round(ttl_s * 1000) + 1)
        self._backlog.put(kept)
        self._backlog.forget(key for key in self._kept(entries) if key not in kept)
        self._lines.poke()

    def delete(self, keys: Iterable[bytes]) -> None:
        """Forget *keys*: in this process at once, on the server soon."""
        if not self._is_closed:
            self._backlog.forget(self._kept(keys))
            self._lines.poke()

    def delete_prefix(self, prefix: bytes) -> None:
        """Forget every key that starts with *prefix*: in this process at once, on the server soon."""
        if not self._is_closed:
            self._backlog.forget_prefix(prefix)
            self._lines.poke()

    def outdate(self, subjects: Iterable[bytes] | None, sequence: int) -> None:
        """
        Do nothing: the numbers of a host mean nothing to others.

        `announce` removes what an invalidation outdates, and `put_since` refuses what it overtook.
        """

    def flush(self) -> None:
        """
        Return when the server has, or will never have, what was put before; others may go on to put.

        Raises:
            TierError: it took longer than 10 s, or the server is away and has something to forget.
        """
        if self._is_closed:
            return
        self._follower.resume()
        mark = self._backlog.mark()

        def is_done() -> bool:
            return self._backlog.has_told(mark) and self._writer.has_swept

        self._flush(_FLUSH_S, is_done)
        if not (is_done() or self._writer.is_settled):
            raise TierError(f"{self._address} could not be told what to forget: is it away?")

    # Events

    def follow(self, apply: Callable[[Event], None], known: Position | None = None) -> None:
        """
        Call *apply* for each event of other processes, in order, on a thread of its own.

        An event counts as applied once it returns; where it raises, it is called again. A call after
        events may have been missed says that everything changed, and so does the first, unless
        *known* is a position up to which all were applied before, and the server still knows what
        came after it. Another call of this does nothing: the first *apply* stays.
        """
        if not self._is_closed:
            self._lines.start()
            self._follower.follow(apply, known)

    def position(self) -> object | None:
        """
        Return up to which event all were applied: what `put_since` wants. Cheap.

        None while that is not known: not following, not connected, or just restarted.
        """
        if self._is_closed:
            return None
        self._follower.resume()
        return self._follower.position

    def announce(self, event: Event) -> None:
        """
        Tell all processes of the studio what changed, and forget it on the server, all at once.

        To be called *before* this process notes the change for itself, or it may find the old entry
        here once more and take it for new. An event that names too much becomes "everything".

        Raises:
            TierError: the server could not be told within `budget_s`. What changed stays hidden
                from `get`, and the server is told as soon as it is back, before it is used again:
                perhaps for the second time, which does no harm.
        """
        if self._is_closed:
            raise TierError("other hosts can't be told what changed: the shared cache is closed")
        self._follower.resume()
        event = event.bounded()
        self._backlog.overtake(event)
        deadline = self._monotonic() + self._budget_s
        try:
            with self._lines.lend(deadline) as line:
                self._writer.say(line, event, deadline)
        except (LineError, RefusedError) as error:
            self._backlog.keep_unsaid(event)
            self._lines.poke()
            raise TierError(
                f"{self._address} could not be told what changed, and will be when it is back: "
                f"{self._address.redacted(error)}"
            ) from error

    # The rest

    def stats(self) -> dict[str, Any]:
        """
        Return counters, in one round trip of at most `budget_s`; those of the server are 0 while it
        is away.

        `entries` are groups, and with them whatever else expires in the database; `bytes` and
        `max_bytes` are of the whole server.
        """
        found = self._server.measures()
        if self._lines.is_up:
            deadline = self._monotonic() + self._budget_s
            try:
                with self._lines.lend(deadline) as line:
                    found = self._server.measures(line, deadline)
            except (LineError, RefusedError):
                pass  # it is counted
        return {
            **found,
            "errors": self._writer.refused + self._lines.errors,
            "damaged": self._damaged,
            "refused": 0 if self._seal is None else self._seal.refused,
            "dropped": self._backlog.dropped,
            "state": "up" if self._lines.is_up else "down",
            "server": str(self._address),
            "following": self._follower.position is not None,
            "events_applied": self._follower.applied,
            "events_own": self._follower.own,
            "events_missed": self._follower.assumed,
        }

    def trouble(self) -> str:
        """
        Connect, and return what keeps the server from being used, without secrets; "" for nothing.

        For who looks for faults: nothing of the tier's own state changes by it. A second or so at most.
        """
        try:
            self._server.open_line().close()
        except (LineError, RefusedError) as error:
            return str(self._address.redacted(error))
        return ""

    def close(self) -> None:
        """Store and announce what waits, where that takes less than a second; end all threads."""
        if self._is_closed:
            return
        self._is_closed = True
        self._flush(_CLOSE_S, lambda: self._writer.is_settled)
        if self._backlog.unsaid() is not None:
            self._tell("was never told some of what changed: other hosts serve it until it expires")
        self._follower.close(_CLOSE_S)
        self._lines.close(_CLOSE_S)

    def after_fork(self) -> None:
        """Start over in a forked child, with connections and threads of its own, when it is used."""
        self._server.after_fork()
        self._backlog.after_fork()
        self._lines.after_fork()
        self._follower.after_fork()
        self._writer.after_fork()

    def _moments(self) -> list[Position]:
        """Return the newest positions that this process knows of: what it heard, and announced."""
        heard, own = self._follower.known, self._writer.announced
        if own is not None and own.epoch == self._follower.left_epoch:
            own = None
        return [each for each in (heard, own) if each is not None]

    def _kept(self, keys: Iterable[bytes]) -> list[bytes]:
        kinds = self._kinds
        return [key for key in keys if key[0] in kinds] if kinds else list(keys)

    # Reading

    def _read(self, keys: Sequence[bytes], hits: dict[bytes, Entry]) -> None:
        """Add what the server has of *keys* to *hits*, as far as that goes in time."""
        deadline = self._monotonic() + self._budget_s
        try:
            with self._lines.lend(deadline) as line:
                if line is None:
                    return
                for start in range(0, len(keys), BATCH):
                    part = keys[start : start + BATCH]
                    self._decode(part, self._server.read(line, part, deadline), hits)
                    # For going on at a good pace. A server that stops answering costs the budget.
                    deadline += len(part) * _PER_ENTRY_S
        except OversizedReplyError as error:
            self._damaged += 1
            self.delete(part[error.place : error.place + 1])
        except LineError:
            pass  # `lines` knows, and counts it

    def _decode(
        self, keys: Sequence[bytes], envelopes: Sequence[Any], hits: dict[bytes, Entry]
    ) -> None:
        damaged: list[bytes] = []
        for key, envelope in zip(keys, envelopes, strict=True):
            if envelope is None:
                continue
            try:
                entry = unpack(key, envelope)
            except (DamagedError, TypeError):  # of another type, say an error
                damaged.append(key)
                continue
            if entry.expires != entry.expires:  # not a number: it would never be stale
                damaged.append(key)
                continue
            entry.sequence = 0
            hits[key] = entry
        if damaged:
            self._damaged += len(damaged)
            self.delete(damaged)

    def _flush(self, timeout_s: float, is_done: Callable[[], bool]) -> None:
        if not is_done():
            self._lines.poke()
            self._backlog.wait_until(
                lambda: is_done() or not (self._lines.is_up or self._lines.is_coming), timeout_s
            )
        if not self._lines.is_up:
            self._backlog.drop_entries()

    def _tell(self, what: str) -> None:
        """Log *what*, unless it was not long ago."""
        now, about = self._monotonic(), what.partition(":")[0]
        if now < self._told.get(about, float("-inf")) + _QUIET_S:
            return
        self._told[about] = now
        import logging  # slow to import, and needed only when something is wrong

        logging.getLogger("bifrost.tiers").warning(
            "the shared cache at %s %s", self._address, self._address.redacted(what)
        )
