# SPDX-License-Identifier: Apache-2.0
"""Several tiers as one: the nearest that knows answers, and the nearer ones learn from it."""

from __future__ import annotations

from threading import Lock
from time import monotonic, time

from bifrost.errors import TierError
from bifrost.forks import reset_in_child
from bifrost.tiers.invalidation import Floors, InvalidationLog, LocalInvalidations, Names
from bifrost.tiers.tier import SUBJECT_AT, Tier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import Any, Final

    from bifrost.tiers.tier import Entry

POLL_S: Final = 1.0
"""How often, at most, the invalidations of other processes are looked for."""


class TieredCache(Tier):
    """
    *tiers*, nearest first, as one tier.

    Whatever a tier raises is a counted miss, with one warning for each tier: slow, never wrong.

    A tier that other hosts share is known by its `put_since` (redis.py). It has numbers of its own;
    what it answers is numbered for this host.

    Attributes:
        invalidations: The log of the first tier that shares one, else one of this process.
        shared: That tier: what is in it all processes of this host know.
        listeners: Called with what was invalidated, None: everything, by this process or another,
            and the number below which it is outdated, once it is forgotten here. On whatever thread
            heard of it; must not raise.

    Args:
        tiers: The tiers, fastest first. They are closed with this.
        clock: Seconds since the epoch, to tell stale entries from fresh ones.
        monotonic_clock: Seconds, to pace the look-out for invalidations.
    """

    name = "tiered"

    def __init__(
        self,
        tiers: Sequence[Tier],
        *,
        clock: Callable[[], float] = time,
        monotonic_clock: Callable[[], float] = monotonic,
    ) -> None:
        self._tiers = tuple(tiers)
        self._clock = clock
        self._monotonic = monotonic_clock
        logs = [tier.invalidations for tier in self._tiers if hasattr(tier, "invalidations")]
        self.invalidations: InvalidationLog = logs[0] if logs else LocalInvalidations()
        # The tier that owns the log needs no telling.
        self._told = [
            tier
            for tier in self._tiers
            if getattr(tier, "invalidations", None) is not self.invalidations
        ]
        self.shared: Tier | None = next(
            (tier for tier in self._tiers if hasattr(tier, "invalidations")), None
        )
        self.listeners: list[Callable[[Collection[bytes] | None, int], None]] = []
        # What is being invalidated just now and may be in no log yet, by who does it; None: everything.
        self._overtaking: dict[object, Names | None] = {}
        # What could not be numbered: nothing that was asked for before is true any more.
        self._unnumbered, self._lock = Floors(), Lock()
        self._seen: int | None = None
        self._look_again = float("-inf")
        self._errors: dict[str, int] = {}
        # Counted without a lock: a lost count is no wrong answer.
        self._asked = dict.fromkeys((tier.name for tier in self._tiers), 0)
        self._hits = dict(self._asked)
        reset_in_child(self)

    def after_fork(self) -> None:
        """Make a new lock in a forked child."""
        self._lock = Lock()

    def tier(self, name: str) -> Any:
        """Return the tier of that name; None where there is none."""
        return next((tier for tier in self._tiers if tier.name == name), None)

    def in_memory(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """Return the entries among *keys* that this process's memory has, without asking any further."""
        memory = self.tier("memory")
        hits: dict[bytes, Entry] = {}
        if memory is not None:
            self._try(memory, lambda: hits.update(memory.get(keys)))
        return hits

    def find(self, keys: Collection[bytes]) -> dict[bytes, tuple[Entry, str]]:
        """
        Return the entries among *keys*, each with the name of the tier that had it.

        Stale ones included, where no tier has a fresh one. One round trip per tier at most.
        """
        self._catch_up()
        found: dict[bytes, tuple[Entry, str]] = {}
        wanted = keys
        for place, tier in enumerate(self._tiers):
            news = self._better(found, self._ask(tier, wanted))
            if news:
                name = tier.name
                for key, entry in news.items():
                    found[key] = (entry, name)
                for nearer in self._tiers[:place]:
                    self._try(nearer, nearer.put, news)
            now = self._clock()
            wanted = [key for key in wanted if key not in found or found[key][0].expires <= now]
            if not wanted:
                break
        return found

    def get(self, keys: Collection[bytes]) -> dict[bytes, Entry]:
        """Return the entries among *keys*, stale ones included."""
        return {key: entry for key, (entry, _) in self.find(keys).items()}

    def put(self, entries: Mapping[bytes, Entry]) -> None:
        """Store *entries* in every tier."""
        self._catch_up()
        entries = self._numbered(entries)
        for tier in self._tiers:
            put_since = getattr(tier, "put_since", None)
            if put_since is None:
                self._try(tier, tier.put, entries)
            else:
                self._try(tier, self._put_shared, tier, entries)

    def delete(self, keys: Iterable[bytes]) -> None:
        """Forget *keys* in every tier."""
        keys = tuple(keys)
        for tier in self._tiers:
            self._try(tier, tier.delete, keys)

    def delete_prefix(self, prefix: bytes) -> None:
        """Forget in every tier what starts with *prefix*."""
        for tier in self._tiers:
            self._try(tier, tier.delete_prefix, prefix)

    def sequence(self) -> int:
        """
        Return the number of the newest invalidation: what `Entry.sequence` wants.

        Ask for it before asking for the value.
        """
        try:
            if self._seen is None:
                self._see_first()
            return self.invalidations.sequence()
        except Exception as error:  # noqa: BLE001  a lower number outdates more: slow, never wrong
            self._note_error("invalidations", error)
            return self._seen or 0

    def invalidate(
        self, subjects: Iterable[bytes] | None, announce: Callable[[], None] | None = None
    ) -> int:
        """
        Forget what every kind and scope holds about *subjects*, None: about everything.

        They are names: groups, or beginnings. For the processes that share a tier of this host, too:
        those with a memory tier follow within `POLL_S`. Returns the newest number of the log.

        Args:
            subjects: What changed.
            announce: Tells other hosts, before this one counts old answers as new. What is being
                asked for meanwhile about *subjects* is not stored for them: by their numbers it comes
                after the announcement, by ours before.

        Raises:
            TierError: other processes could not be told. This one forgot.
        """
        subjects = None if subjects is None else tuple(dict.fromkeys(subjects))
        if announce is None:
            return self._invalidate(subjects)
        who = object()
        self._overtaking[who] = None if subjects is None else Names(subjects)
        try:
            announce()
            return self._invalidate(subjects)
        finally:
            del self._overtaking[who]

    def _invalidate(self, subjects: Collection[bytes] | None) -> int:
        seen = self._seen
        try:
            number = self.invalidations.note_invalidation(subjects)
        except Exception as error:
            # Not numbered, so what is being asked for at this moment has the present number.
            number = self.sequence() + 1
            with self._lock:
                self._unnumbered.raise_to(subjects, number)
            self._outdate(subjects, number)
            self._note_error("invalidations", error)
            raise TierError(f"other processes could not be told what changed: {error}") from error
        if seen is not None and number - seen == (1 if subjects is None else len(subjects)):
            self._seen = number  # nobody else's came between: nothing to hear of again
        self._outdate(subjects, number)
        return number

    def _see_first(self) -> None:
        """Begin to hear of invalidations, before a number is handed out that one may overtake."""
        with self._lock:
            if self._seen is None:
                self._seen = self.invalidations.sequence()

    def _numbered(self, entries: Mapping[bytes, Entry]) -> Mapping[bytes, Entry]:
        """Return *entries* without what an invalidation overtook that no log has."""
        if not self._unnumbered:
            return entries
        with self._lock:
            outdates = self._unnumbered.outdates
            return {key: each for key, each in entries.items() if not outdates(key, each.sequence)}

    def catch_up(self) -> None:
        """Hear now of what other processes of this host invalidated. A read of the log."""
        self._look_again = float("-inf")
        self._catch_up()

    def outdate(self, subjects: Iterable[bytes] | None, sequence: int) -> None:
        """Treat entries about *subjects* that were filled before *sequence* as absent."""
        subjects = None if subjects is None else tuple(subjects)
        for tier in self._tiers:
            self._try(tier, tier.outdate, subjects, sequence)

    def flush(self) -> None:
        """
        Flush every tier.

        Raises:
            TierError: one of them could not be, after all were tried.
        """
        failed = [tier.name for tier in self._tiers if not self._try(tier, tier.flush)]
        if failed:
            raise TierError(f"not flushed: {', '.join(failed)}")

    def stats(self) -> dict[str, Any]:
        """
        Return the sums over the tiers, and each one's own counters under `tiers`.

        `hits` and `misses` there count the entries that the tier was asked for.
        """
        each: dict[str, dict[str, Any]] = {}
        for tier in self._tiers:
            self._try(tier, lambda tier=tier: each.update({tier.name: tier.stats()}))
        for name, stats in each.items():
            hits = self._hits[name]
            stats.update(hits=hits, misses=self._asked[name] - hits)
        sums: dict[str, Any] = {
            name: sum(stats.get(name, 0) for stats in each.values())
            for name in ("entries", "bytes", "max_bytes", "evictions", "errors")
        }
        sums["errors"] += sum(self._errors.values())
        return {**sums, "failures": dict(self._errors), "tiers": each}

    def close(self) -> None:
        """Close every tier. Whoever listens hears nothing more: closed tiers know nothing."""
        self.listeners.clear()
        for tier in self._tiers:
            self._try(tier, tier.close)

    def _ask(self, tier: Tier, keys: Collection[bytes]) -> dict[bytes, Entry]:
        # Before the look-up: what is invalidated on its way here has a larger number.
        number = self.sequence() if hasattr(tier, "put_since") else None
        try:
            hits = tier.get(keys)
            if self._unnumbered and number is None:
                hits = dict(self._numbered(hits))
        except Exception as error:  # noqa: BLE001  whatever a backend's library may raise
            self._note_error(tier.name, error)
            hits = {}
        self._asked[tier.name] += len(keys)
        self._hits[tier.name] += len(hits)
        if number is not None:
            for entry in hits.values():
                entry.sequence = number
        return hits

    def _put_shared(self, tier: Any, entries: Mapping[bytes, Entry]) -> None:
        """
        Store in a tier of many hosts what no invalidation has overtaken that is known here.

        In this order: what comes after *position* the tier itself compares, atomically; what came
        before has been noted in the log of this host, where an entry that it overtook shows, or this
        process is about to note it.
        """
        position = tier.position()
        if position is None:
            return
        tier.put_since(self._numbered(self._not_overtaken(entries)), position)

    def _not_overtaken(self, entries: Mapping[bytes, Entry]) -> Mapping[bytes, Entry]:
        # Before the log: what is no more among these is in there.
        overtaking = list(self._overtaking.values())
        oldest = min((entry.sequence for entry in entries.values()), default=0)
        if oldest != self.sequence():
            subjects = self.invalidations.invalidated_since(oldest)
            overtaking.append(None if subjects is None else Names(subjects))
        if None in overtaking:
            return {}
        return {
            key: entry
            for key, entry in entries.items()
            if not any(names.covers(key[SUBJECT_AT:]) for names in overtaking if names)
        }

    @staticmethod
    def _better(
        found: Mapping[bytes, tuple[Entry, str]], hits: Mapping[bytes, Entry]
    ) -> Mapping[bytes, Entry]:
        """Return those of *hits* that are fresh for longer than what was found nearer."""
        if not found:
            return hits
        return {
            key: entry
            for key, entry in hits.items()
            if key not in found or found[key][0].expires < entry.expires
        }

    def _catch_up(self) -> None:
        """Hear of the invalidations of other processes, at most once in `POLL_S`."""
        now = self._monotonic()
        if now < self._look_again:
            return
        self._look_again = now + POLL_S
        number = self.sequence()
        if self._seen is None or number == self._seen:
            self._seen = number
            return
        try:
            subjects = self.invalidations.invalidated_since(self._seen)
        except Exception as error:  # noqa: BLE001  not knowing means everything
            self._note_error("invalidations", error)
            subjects = None
        self._outdate(subjects, number)
        self._seen = number

    def _outdate(self, subjects: Collection[bytes] | None, number: int) -> None:
        for tier in self._told:
            self._try(tier, tier.outdate, subjects, number)
        for listener in self.listeners:
            listener(subjects, number)

    def _try(self, tier: Tier, call: Callable[..., None], *args: Any) -> bool:
        try:
            call(*args)
        except Exception as error:  # noqa: BLE001  whatever a backend's library may raise
            self._note_error(tier.name, error)
            return False
        return True

    def _note_error(self, name: str, error: Exception) -> None:
        self._errors[name] = self._errors.get(name, 0) + 1
        if self._errors[name] == 1:
            import logging  # slow to import, and needed only when something is wrong

            logging.getLogger("bifrost.tiers").warning(
                "the cache's tier %r fails and counts as empty: %s", name, error
            )
