# SPDX-License-Identifier: Apache-2.0
"""
What the C++ resolver calls (resolver/python_bridge.h): one crossing answers for many references.

The functions never raise for what a manager or a reference does: a failure is an answer too. They run
on any thread, composition's workers among them, several at once. `resolve` never touches Sdf, Usd or
Pcp, directly or through a thread it waits for: OpenUSD calls it with the layer registry locked, and it
would hang. `prepare` may: it is called before composition, with nothing locked.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Iterable, Iterator
from time import monotonic, perf_counter, time
from typing import Any

from bifrost.context import Context, ContextSnapshot, from_policy
from bifrost.errors import BifrostError, Code
from bifrost.model.reply import Failure, Reply
from bifrost.session import Session, current, current_if_any
from bifrost.usd import closures, wire
from bifrost.usd.closures import Closure, Closures
from bifrost.usd.later import Later

# References that follow one another this closely belong to one opening, where no context says so.
_SAME_OPENING_S = 2.0
_MOST_POLICIES = 1_000


class Bridge:
    """The process's crossing: a session, its closures, and what is being opened."""

    def __init__(self, session: Session) -> None:
        self.session = session
        session.tiers.sequence()  # opens the caches; they must be there when `shutdown` runs
        atexit.register(shutdown)
        self.later = Later()
        self.closures = Closures(session.tiers, self.later)
        self._snapshots: dict[str, ContextSnapshot | Failure] = {}
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child."""
        self.later.after_fork()
        self.closures.after_fork()
        self._lock = threading.Lock()
        self._leaders: dict[str, tuple[str, float]] = {}

    def snapshot(self, policy: str) -> ContextSnapshot | Failure:
        """Return who asks under *policy*, or why that can't be said."""
        known = self._snapshots.get(policy)
        if known is None:
            try:
                known = from_policy(policy).snapshot() if policy else Context().snapshot()
            except ValueError as error:
                known = Failure(Code.UNKNOWN, f"the context's policy: {error}")
            if len(self._snapshots) >= _MOST_POLICIES:
                self._snapshots.clear()
            self._snapshots[policy] = known
        return known

    def resolve(self, policy: str, root: str, identifier: str, known: str) -> bytes:
        """
        Answer for *identifier*, and for all that is known to be asked next.

        *known* is how many answers the context's table has: its first miss replays its closure, and
        C++ lets the others wait for that. It is `unbound` where no context is bound.
        """
        who = self.snapshot(policy)
        if isinstance(who, Failure):
            return self._encoded([(identifier, who)], 0.0)
        start = perf_counter()
        if known == "unbound":
            return self._encoded(self._ask([identifier], who).items(), start)
        is_first = known == "0"
        sequence = self.session.tiers.sequence()
        opening = root or self._leader(who, policy, identifier, is_first)
        answers: dict[str, Any] = {}
        replay = self._replay(who, opening, start) if is_first else None
        if replay is not None:
            replayed = replay[0]
            if identifier in closures.known_references(replayed):
                return replayed
            answers.update(wire.decode(replayed))
        answers.update(self._answers_for(identifier, who, is_first))
        self.closures.record(self._scope(who), opening, answers, sequence)
        return self._encoded(answers.items(), start)

    def prepare(self, policy: str, root: str) -> Iterator[bytes]:
        """
        Yield everything that opening the layer file *root* will ask for, as it becomes known.

        Cheapest first: the recorded closure; our catalogue's relationships; else the layers
        themselves, breadth by breadth, through Sdf.
        """
        who = self.snapshot(policy)
        if isinstance(who, Failure):
            return
        start = perf_counter()
        known: set[str] = set()
        replay = self._replay(who, root, start)
        if replay is not None:
            replayed, recorded_for = replay
            yield replayed
            if recorded_for == closures.root_state(root):
                return
            known = closures.known_references(replayed)
        yield from self._read_ahead(who, root, known)

    def refresh(self, policy: str, identifiers: list[str]) -> bytes:
        """Ask the manager anew for *identifiers*, in one batch; what fails is left out."""
        who = self.snapshot(policy)
        if isinstance(who, Failure):
            return wire.encode([])
        start = perf_counter()
        reply = self._ask(identifiers, who, fresh=True)
        return self._encoded(closures.resolved(reply.items()).items(), start)

    def _read_ahead(self, who: ContextSnapshot, root: str, known: set[str]) -> Iterator[bytes]:
        from bifrost.usd import prefetch

        start = perf_counter()
        scope = self._scope(who)
        sequence = self.session.tiers.sequence()
        direct = [ref for ref in prefetch.references_of(root) if ref not in known]
        if not direct:
            self.closures.record(scope, root, {}, sequence)
            return
        everything = self._closure(direct, who)
        if everything is not None:
            answers = dict(self._ask(everything, who).items())
            self.closures.record(scope, root, answers, sequence)
            yield self._encoded(answers.items(), start)
            return
        reader = prefetch.Reader()
        breadth = direct
        while breadth:
            answers = dict(self._ask(breadth, who).items())
            known.update(answers)
            self.closures.record(scope, root, answers, sequence)
            yield self._encoded(answers.items(), start)
            # C++ has the answers now: what is opened here finds them in its table.
            breadth = [
                ref
                for ref in reader.read(closures.resolved(answers.items()).values())
                if ref not in known
            ]
            start = perf_counter()
        prefetch.keep_for_composition(reader.layers, self.later)

    def _replay(
        self, who: ContextSnapshot, root: str, start: float
    ) -> tuple[bytes, tuple[int, float]] | None:
        """
        Return the recorded closure, with what is stale in it asked again, and the state of the root's
        file that it was recorded for. None if there is none.
        """
        closure = self.closures.find(self._scope(who), root)
        if closure is None:
            return None
        try:
            return self._replayed(closure, who, root, start), closure.root_state
        except ValueError:
            return None  # recorded by another version of this code

    def _replayed(self, closure: Closure, who: ContextSnapshot, root: str, start: float) -> bytes:
        stale = self.closures.stale_references(closure)
        if stale is None:
            cost = _microseconds(start, wire.count(closure.answers))
            return wire.served_by(closure.answers, closure.tier, cost)
        sequence = self.session.tiers.sequence()
        answers: dict[str, Any] = dict(wire.decode(closure.answers))
        before = {ref: getattr(answers[ref], "path", "") for ref in stale}
        answers.update(self._ask(list(stale), who).items())
        moved = [ref for ref in stale if getattr(answers[ref], "path", "") != before[ref]]
        if moved:  # another version may need what the recorded one did not
            answers.update(self._with_closure(moved, who))
        self.closures.record(self._scope(who), root, answers, sequence)
        return self._encoded(answers.items(), start)

    def _answers_for(
        self, identifier: str, who: ContextSnapshot, is_first: bool
    ) -> dict[str, Any]:
        if is_first:
            return self._with_closure([identifier], who)
        answers = dict(self._ask([identifier], who).items())
        # What a cache knew, an earlier opening asked for, and with it what follows.
        if getattr(answers[identifier], "tier", "") == "manager":
            answers = self._with_closure([identifier], who)
        return answers

    def _with_closure(self, references: list[str], who: ContextSnapshot) -> dict[str, Any]:
        return dict(self._ask(self._closure(references, who) or references, who).items())

    def _closure(self, references: list[str], who: ContextSnapshot) -> list[str] | None:
        try:
            found = self.session.closure(references, who)
        except (BifrostError, ValueError):
            return None  # resolving meets the same trouble and says so for each reference
        return None if found is None else list(dict.fromkeys([*references, *found]))

    def _ask(self, references: Iterable[str], who: ContextSnapshot, fresh: bool = False) -> Reply:
        return self.session.resolve(references, who, fresh=fresh)

    def _scope(self, who: ContextSnapshot) -> bytes:
        return self.session.cache.scope(who.scope)

    def _encoded(self, answers: Iterable[tuple[str, Any]], start: float) -> bytes:
        answers = list(answers)
        expires = time() + self.session.settings.cache.negative_ttl_s
        cost = _microseconds(start, len(answers)) if start else 0.0
        return wire.encode(answers, microseconds=cost, failure_expires=expires)

    def _leader(
        self, who: ContextSnapshot, policy: str, identifier: str, is_first: bool
    ) -> str:
        """
        Return what stands for the root where a context has none: the reference that this one follows.

        The first of this burst of misses; or the one that this first one followed the last time.
        """
        now = monotonic()
        with self._lock:
            leader, last = self._leaders.get(policy, ("", 0.0))
        if is_first or not leader or now - last > _SAME_OPENING_S:
            leader = self.closures.leader(self._scope(who), identifier) or identifier
        with self._lock:
            self._leaders[policy] = (leader, now)
        if identifier != leader:
            self.closures.record_follower(self._scope(who), leader, identifier)
        return leader



def _microseconds(start: float, count: int) -> float:
    return (perf_counter() - start) * 1e6 / max(count, 1)


def resolve(policy: str, root: str, identifier: str, known: str) -> bytes:
    """Answer for one identifier that the table of the context (policy, root) lacks."""
    return _bridge().resolve(policy, root, identifier, known)


def prepare(policy: str, root: str) -> Iterator[bytes]:
    """Yield the answers that opening *root* will want; called before composition."""
    return _bridge().prepare(policy, root)


def refresh(policy: str, root: str, identifiers: str) -> bytes:
    """Answer anew for what floats; *identifiers* are joined by NUL."""
    return _bridge().refresh(policy, identifiers.split("\0"))


def warm() -> None:
    """Open the caches, so that the first miss doesn't pay for it. Idempotent."""
    _bridge()


def closing() -> None:
    """Let go everybody who waits: the process is ending. C++ then waits for crossings under way."""
    session = current_if_any()
    if session is not None:
        session.closing()


def shutdown() -> None:
    """Write what waits to be written and close the caches."""
    if _the_bridge is not None:
        _the_bridge.later.run_all()
        _the_bridge.session.close()


def _bridge() -> Bridge:
    global _the_bridge  # noqa: PLW0603  USD hands its plugins nothing
    session = current()
    bridge = _the_bridge
    if bridge is None or bridge.session is not session:
        with _bridge_lock:
            if _the_bridge is None or _the_bridge.session is not session:
                _the_bridge = Bridge(session)
            bridge = _the_bridge
    return bridge


def _after_fork() -> None:
    global _bridge_lock  # noqa: PLW0603
    _bridge_lock = threading.Lock()
    if _the_bridge is not None:
        _the_bridge.after_fork()


_the_bridge: Bridge | None = None
_bridge_lock = threading.Lock()
os.register_at_fork(after_in_child=_after_fork)
