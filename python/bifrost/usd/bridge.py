# SPDX-License-Identifier: Apache-2.0
"""
What the C++ resolver calls (resolver/python_bridge.h): one crossing answers for many references.

The functions never raise for what a manager or a reference does: a failure is an answer too. They run
on any thread, composition's workers among them, several at once. Nothing here touches Sdf, Usd or Pcp,
directly or through a thread it waits for: OpenUSD resolves with the layer registry locked, and a call
back into it would hang.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from contextlib import nullcontext
from pathlib import Path
from time import monotonic, perf_counter, time
from typing import Any

from bifrost.context import Context, ContextSnapshot, from_policy
from bifrost.errors import BifrostError, Code, PermissionDeniedException, TierError
from bifrost.forks import Mutex, reset_in_child
from bifrost.model.reply import Failure, Reply
from bifrost.model.resolution import STAND_INS
from bifrost.monitoring import tracing
from bifrost.pipeline.cache import subject_of
from bifrost.session import Session, current, current_if_any
from bifrost.session.caching import names_for
from bifrost.tiers.invalidation import Names
from bifrost.tiers.tiered import TieredCache
from bifrost.usd import coming, wire
from bifrost.usd.closures import Closure, Closures, root_state
from bifrost.usd.later import Later
from bifrost.usd.staleness import LOOK_S, watch

# References that follow one another this closely belong to one opening, where no context says so.
_SAME_OPENING_S = 2.0
# And no opening goes on for as long as this: what is resolved all day long is none.
_LONGEST_OPENING_S = 600.0
_MOST_REMEMBERED = 1_000
# What is left of a deadline at least, for the caches and a manager that is quick to say that it's down.
_LEAST_S = 0.5


class Bridge:
    """The process's crossing: a session, its closures, and what is being opened."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.later = Later()
        self._closures = self._closures_of(session)
        self._snapshots: dict[str, ContextSnapshot | Failure] = {}
        self.after_fork()
        reset_in_child(self)

    def after_fork(self) -> None:
        """Start over in a forked child."""
        self.later.after_fork()
        self._closures.after_fork()
        self._lock = threading.Lock()
        self._leaders: dict[str, tuple[str, float, float]] = {}
        # For each context up to which change what it holds is true, in the numbers of which caches.
        # And up to which it was before its last refresh, where that is known.
        self._true_at: dict[tuple[str, str], tuple[TieredCache, int, int | None]] = {}
        self._failed: dict[str, tuple[str, ...]] = {}

    @property
    def closures(self) -> Closures:
        """The closures, in the caches that are in force: their numbers mean nothing in others."""
        if self._closures.tiers is not self.session.tiers:
            self._closures = self._closures_of(self.session)
        return self._closures

    def _closures_of(self, session: Session) -> Closures:
        return Closures(session.tiers, self.later, roots=session.allowed_roots)

    def snapshot(self, policy: str) -> ContextSnapshot | Failure:
        """Return who asks under *policy*, or why that can't be said."""
        known = self._snapshots.get(policy)
        if known is None:
            try:
                known = from_policy(policy).snapshot() if policy else Context().snapshot()
            except ValueError as error:
                known = Failure(Code.UNKNOWN, f"the context's policy: {error}")
            if len(self._snapshots) >= _MOST_REMEMBERED:
                self._snapshots.clear()
            self._snapshots[policy] = known
        if isinstance(known, Failure):
            return known
        try:
            # Each time: closures hold answers for longer than a token is valid.
            return self.session.authenticated(known)
        except PermissionDeniedException as error:
            return Failure(error.code, error.message, details=error.details)

    def resolve(self, policy: str, root: str, identifiers: list[str], known: str) -> bytes:
        """
        Answer for *identifiers*, and for all that is known to be asked next.

        *known* is how many answers the context's table has: its first crossing replays the closure,
        and C++ lets other threads wait for that. It is `ahead` for what layers name that nobody has
        opened yet, and `unbound` where no context is bound.
        """
        who = self.snapshot(policy)
        if isinstance(who, Failure):
            return self._encoded([(identifier, who) for identifier in identifiers], 0.0)
        tiers = self.session.tiers
        sequence = tiers.sequence()
        with _span(who, root, identifiers) if known == "0" else nullcontext():
            reply = self._answered(who, policy, root, identifiers, known)
        if known != "unbound":
            self._note_true_at((policy, root), tiers, sequence)
        watch.answered(tiers, sequence)
        return reply

    def _note_true_at(self, context: tuple[str, str], tiers: TieredCache, sequence: int) -> None:
        with self._lock:
            if len(self._true_at) >= _MOST_REMEMBERED:
                self._true_at.clear()
            of, number, before = self._true_at.get(context, (tiers, sequence, None))
            # An earlier context of the same value may be long gone: then this asks for too much, once.
            if of is not tiers:
                number, before = sequence, None
            self._true_at[context] = (tiers, min(number, sequence), before)

    def _answered(
        self, who: ContextSnapshot, policy: str, root: str, identifiers: list[str], known: str
    ) -> bytes:
        start = perf_counter()
        if known == "unbound":
            return self._encoded(self._ask(identifiers, who).items(), start)
        is_first = known == "0"
        closures = self.closures
        sequence = closures.tiers.sequence()
        opening = root or self._leader(who, policy, identifiers[0], is_first)
        replayed = self._replay(who, opening, identifiers, start) if is_first else None
        if isinstance(replayed, bytes):
            return replayed
        answers = replayed or {}
        asked = [identifier for identifier in identifiers if identifier not in answers]
        news, is_complete = self._answers_for(asked, who, opening, known)
        closures.record(self._scope(who), opening, news, sequence)
        answers.update(news)
        return self._encoded(answers.items(), start, is_complete)

    def refresh(self, policy: str, root: str, settled: str, unsettled: str) -> bytes:
        """
        Ask the manager anew, in one batch; an outage, or a defect of it, leaves an answer as it was.

        Of what it has answered, *settled*, only for what our own catalogue says may have changed since:
        that is one question, however much the context holds. Another manager is asked for all of it. For
        *unsettled*, which failed or which something else answered, in any case. Both are joined by NUL.

        What moved is invalidated for everybody, and the root's closure knows it at once: the next
        opening must not go back to what this one left.
        """
        who = self.snapshot(policy)
        if isinstance(who, Failure):
            return wire.encode([])
        start = perf_counter()
        context, tiers = (policy, root), self.session.tiers
        outdated, sequence = self._outdated(context, settled)
        identifiers = [*outdated, *filter(None, unsettled.split("\0"))]
        answers = self._refreshed(who, root, identifiers) if identifiers else {}
        is_whole = all(reference in answers for reference in outdated)
        with self._lock:
            of, number, _ = self._true_at.get(context, (None, 0, None))
            before = number if of is tiers else None
            if is_whole:
                self._true_at[context] = (tiers, sequence, before)
            elif before is not None:
                self._true_at[context] = (tiers, before, before)
        return self._encoded(answers.items(), start)

    def hold_back(self, policy: str, root: str) -> None:
        """Take a context for as true as before its last refresh, which knew nothing of some answers."""
        with self._lock:
            tiers, number, before = self._true_at.pop((policy, root), (None, 0, None))
            if tiers is not None and before is not None:
                self._true_at[policy, root] = (tiers, min(number, before), before)

    def _outdated(self, context: tuple[str, str], settled: str) -> tuple[list[str], int]:
        """Return those of *settled* that may be another by now; and up to which change that is known."""
        tiers = self.session.tiers
        is_heard = self.session.uses_own_catalogue and self.session.follow_within(LOOK_S)
        sequence = tiers.sequence()
        of, number, _ = self._true_at.get(context, (None, 0, None))
        names: Names | None = None
        if is_heard and of is tiers:
            changed = () if number == sequence else tiers.invalidations.invalidated_since(number)
            names = None if changed is None else Names(changed)
        if names is not None and not len(names):
            return [], sequence
        references = filter(None, settled.split("\0"))
        if names is None:
            return list(references), sequence
        return [ref for ref in references if names.covers(subject_of(ref))], sequence

    def _refreshed(self, who: ContextSnapshot, root: str, identifiers: list[str]) -> dict[str, Any]:
        asked_at = self.session.tiers.sequence()
        before = self.session.cache.peek(identifiers, who.scope)
        reply = self._ask(identifiers, who, fresh=True)
        answers = {
            ref: out
            for ref, out in reply.items()
            if not (isinstance(out, Failure) and out.says_nothing)
            and getattr(out, "tier", "") not in STAND_INS
        }
        moved = [
            ref
            for ref, out in answers.items()
            if ref in before and getattr(out, "path", "") != before[ref].path
        ]
        if moved:
            self._invalidate(moved)
        if root:
            sequence = self._true_up_to(asked_at, moved)
            self.closures.record(self._scope(who), root, answers, sequence)
            self.later.run_all()
        return answers

    def _true_up_to(self, asked_at: int, moved: list[str]) -> int:
        """
        Return up to which change answers are true that were asked for at *asked_at*.

        That *moved* was invalidated since, which they made known themselves, changes nothing. What
        somebody else changed meanwhile does.
        """
        tiers = self.session.tiers
        now = tiers.sequence()
        changed = tiers.invalidations.invalidated_since(asked_at)
        own = {name for reference in moved for name in names_for(reference)}
        return now if changed is not None and sorted(changed) == sorted(own) else asked_at

    def _invalidate(self, references: list[str]) -> None:
        try:
            self.session.invalidate(references)
        except TierError:
            return  # this process forgot; the others have answers that expire

    def _replay(
        self, who: ContextSnapshot, opening: str, identifiers: list[str], start: float
    ) -> bytes | dict[str, Any] | None:
        """
        Return the recorded closure, with what is stale in it asked again: as bytes when it holds all of
        *identifiers*, else its answers, to which something has to be added. None if there is none.
        """
        closure = self.closures.begin(self._scope(who), opening)
        if closure is None or closure.root_state != root_state(opening):
            return None  # of a root that has changed since: it would only grow
        try:
            stale = self.closures.stale_references(closure)
            self._note_failed(opening, closure.failed)
            if stale is None and _covers(closure, identifiers):
                cost = _microseconds(start, wire.count(closure.answers))
                return wire.served_by(closure.answers, closure.tier, cost, is_complete=True)
            return self._renewed(closure, stale or (), who, opening)
        except ValueError:
            return None  # recorded by another version of this code

    def _note_failed(self, opening: str, failed: tuple[str, ...]) -> None:
        with self._lock:
            if len(self._failed) >= _MOST_REMEMBERED:
                self._failed.clear()
            if failed:
                self._failed[opening] = failed

    def _renewed(
        self, closure: Closure, stale: Collection[str], who: ContextSnapshot, opening: str
    ) -> dict[str, Any]:
        closures = self.closures
        sequence = closures.tiers.sequence()
        answers = closure.outcomes
        before = {ref: getattr(answers[ref], "path", "") for ref in stale}
        news = dict(self._ask(list(stale), who).items()) if stale else {}
        moved = [ref for ref in stale if getattr(news[ref], "path", "") != before[ref]]
        if moved:  # another version may need what the recorded one did not
            news.update(self._with_closure(moved, who))
        closures.record(self._scope(who), opening, news, sequence)
        return answers | news

    def _answers_for(
        self, identifiers: list[str], who: ContextSnapshot, opening: str, known: str
    ) -> tuple[dict[str, Any], bool]:
        """Return answers for *identifiers* and more, and whether they are all that will be asked."""
        if not identifiers:
            return {}, self.session.uses_own_catalogue
        failed = self._failed.get(opening, ())
        if any(identifier in failed for identifier in identifiers):
            # One broken reference is wanted: then so are the others, and one question does for all.
            identifiers = list(dict.fromkeys([*identifiers, *failed]))
        if known == "0":
            return self._with_closure(identifiers, who), self.session.uses_own_catalogue
        answers = dict(self._ask(identifiers, who).items())
        # What a cache knew, an earlier opening asked for, and with it what follows.
        new = [ref for ref, out in answers.items() if getattr(out, "tier", "") == "manager"]
        if new and known != "ahead":
            answers.update(self._with_closure(new, who))
        return answers, False

    def _with_closure(self, references: list[str], who: ContextSnapshot) -> dict[str, Any]:
        start = monotonic()
        known = self._closure(references, who)
        deadline_s, spent_s = None, monotonic() - start
        if known is None and spent_s > _LEAST_S:
            # One deadline for both questions: what hangs is not waited for twice.
            deadline_s = max(self.session.settings.manager.deadline_s - spent_s, _LEAST_S)
        return dict(self._ask(known or references, who, deadline_s=deadline_s).items())

    def _closure(self, references: list[str], who: ContextSnapshot) -> list[str] | None:
        try:
            found = self.session.closure(references, who)
        except (BifrostError, ValueError):
            return None  # resolving meets the same trouble and says so for each reference
        return None if found is None else list(dict.fromkeys([*references, *found]))

    def _ask(
        self,
        references: Iterable[str],
        who: ContextSnapshot,
        *,
        fresh: bool = False,
        deadline_s: float | None = None,
    ) -> Reply:
        return coming.answered(
            references,
            lambda asked: self.session.resolve(asked, who, deadline_s=deadline_s, fresh=fresh),
        )

    def _scope(self, who: ContextSnapshot) -> bytes:
        return self.session.cache.scope(who.scope)

    def encoded(self, reply: Reply) -> bytes:
        """Return *reply* as C++ reads it."""
        return self._encoded(reply.items(), 0.0)

    def _encoded(
        self, answers: Iterable[tuple[str, Any]], start: float, is_complete: bool = False
    ) -> bytes:
        answers = list(answers)
        expires = time() + self.session.settings.cache.negative_ttl_s
        cost = _microseconds(start, len(answers)) if start else 0.0
        return wire.encode(
            answers, microseconds=cost, failure_expires=expires, is_complete=is_complete
        )

    def _leader(self, who: ContextSnapshot, policy: str, identifier: str, is_first: bool) -> str:
        """
        Return what stands for the root where a context has none: the reference that this one follows.

        The first of this burst of misses; or the one that this first one followed the last time.
        """
        now = monotonic()
        with self._lock:
            leader, begun, last = self._leaders.get(policy, ("", now, now))
        is_over = now - last > _SAME_OPENING_S or now - begun > _LONGEST_OPENING_S
        if is_first or not leader or is_over:
            leader, begun = self.closures.leader(self._scope(who), identifier) or identifier, now
        with self._lock:
            if len(self._leaders) >= _MOST_REMEMBERED:
                self._leaders.clear()
            self._leaders[policy] = (leader, begun, now)
        if identifier != leader:
            self.closures.record_follower(self._scope(who), leader, identifier)
        return leader


def _span(who: ContextSnapshot, root: str, identifiers: list[str]) -> tracing.Span:
    """Return the span of an opening: of what its first crossing takes."""
    about = {"bifrost.root": root, "bifrost.elements": len(identifiers)}
    return tracing.span_from(who.get("traceparent"), "bifrost.open", **about)


def _covers(closure: Closure, identifiers: list[str]) -> bool:
    """Whether the closure answers for *identifiers*: all that its root names, or the one of a miss."""
    return len(identifiers) > 1 or wire.mentions(closure.answers, identifiers[0])


def _microseconds(start: float, count: int) -> float:
    return (perf_counter() - start) * 1e6 / max(count, 1)


def resolve(policy: str, root: str, identifiers: str, known: str) -> bytes:
    """Answer for *identifiers*, joined by NUL, that the table of the context (policy, root) lacks."""
    return _bridge().resolve(policy, root, identifiers.split("\0"), known)


def refresh(policy: str, root: str, settled: str, unsettled: str) -> bytes:
    """Answer anew for what floats; both are joined by NUL."""
    return _bridge().refresh(policy, root, settled, unsettled)


def hold_back(policy: str, root: str) -> bytes:
    """Take back what the last refresh noted: answers were on their way into the table meanwhile."""
    _bridge().hold_back(policy, root)
    return b""


def root_settings(root: str) -> bytes:
    """
    Return the policy that the root layer *root* gives itself (`root_settings.py`).

    The one crossing that touches Sdf: C++ makes it while a default context is made, when nothing of
    Sdf is locked.
    """
    from bifrost.usd import root_settings as settings

    return settings.policy_of(root).encode("utf-8", "surrogateescape")


def why_not_writable(policy: str, identifier: str) -> bytes:
    """Say why no version can be made of what *identifier* names; nothing where one can."""
    from bifrost.usd import written

    bridge = _bridge()
    who = bridge.snapshot(policy)
    if isinstance(who, Failure):
        return _text(f"{who.message} [{who.code}]")
    return _text(written.why_not(bridge.session, who, identifier))


def publish(policy: str, identifier: str, path: str) -> bytes:
    """
    Publish the file *path* as a version of what *identifier* names.

    Answers `published`, the version's file, and what floating references resolve to now, as `resolve`
    does; or `failed` and why. NUL ends the first two.
    """
    from bifrost.usd import written

    bridge = _bridge()
    who = bridge.snapshot(policy)
    if isinstance(who, Failure):
        return _text(f"failed\0{who.message} [{who.code}]\0")
    try:
        made = written.publish(bridge.session, who, identifier, Path(path))
    except Exception as error:  # noqa: BLE001  a validator's or a disk's trouble is an answer too
        return _text(f"failed\0{written.told(error)}\0")
    return _text(f"published\0{made.path}\0") + bridge.encoded(made.answers)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def warm() -> None:
    """Open the caches, so that the first miss doesn't pay for it. Idempotent."""
    _bridge().session.tiers.sequence()


def closing() -> None:
    """Let go everybody who waits: the process is ending. C++ then waits for crossings under way."""
    session = current_if_any()
    if session is not None:
        session.closing()


def shutdown() -> None:
    """Write what waits to be written and close the caches. C++ calls it at the end of Python."""
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


_the_bridge: Bridge | None = None
_bridge_lock = Mutex()
