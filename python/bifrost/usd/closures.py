# SPDX-License-Identifier: Apache-2.0
"""
Closures: what was resolved under a root, recorded so that the next open asks for all of it at once.

A closure's key is (policy, root); where a context has no root it is (policy, the reference that the
others followed), and those lead to it by an alias each, since composition's threads don't miss in the
same order twice. Its value is a header, the references that failed, and the answers in the bridge's wire
format, so that a replay is one read of the persistent cache and no work for each answer.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from time import monotonic, time
from typing import Any, Final, NamedTuple

from bifrost.errors import Code
from bifrost.model.reply import Failure
from bifrost.model.resolution import STAND_INS, Resolution
from bifrost.model.roots import AllowedRoots
from bifrost.pipeline.cache import subject_of
from bifrost.tiers.invalidation import Names
from bifrost.tiers.tier import FOREVER, SKEW_S, Entry
from bifrost.tiers.tiered import TieredCache
from bifrost.usd import wire
from bifrost.usd.later import Later

# When the first answer expires, the change sequence they were valid at, the root file's size and
# modification time, how many bytes the failed references take, how many references there were when an
# opening began with them (0: that is not known yet), and when the first was recorded.
_HEADER: Final = struct.Struct("<dQQdIId")
# Long enough to gather what an open resolves, short enough to be written when a process lives briefly.
_RECORD_AFTER_S: Final = 1.0
# At the latest, while more is resolved all the time: what waits is in memory, and lost with the process.
_RECORD_WITHIN_S: Final = 2.0
# Of a processor, for writing what grows all the time.
_MOST_SHARE: Final = 0.02
_MOST_ANSWERS: Final = 200_000
# What a closure may come to, of what an opening began with, and a few more; once it was there for so long:
# an opening takes its time, others begin with what it has recorded so far, and openings that load all may
# take turns with others that load nothing. All that is given up costs one opening that asks the caches.
_MOST_GROWTH: Final = 1.25
_FEW: Final = 100
_LEAST_AGE_S: Final = 60.0
_MOST_REMEMBERED: Final = 10_000
_FAILED: Final = Failure(Code.UNKNOWN, "it did not resolve when it was last asked for")


class _Recorded(NamedTuple):
    """
    What is recorded of a closure.

    Attributes:
        answers: The answers, in the wire format.
        expires: When the first of them expires, in seconds since the epoch.
        sequence: The tiers' change sequence that they were valid at.
        root_state: Size and modification time of the root's file when it was recorded.
        tier: The tier it was read from.
        failed: The references that did not resolve. They are asked again when one of them is wanted.
        begun_with: How many references it had when an opening began with it, once it was a minute old;
            0 before.
        begun: When the first of them was recorded, in seconds since the epoch.
    """

    answers: bytes
    expires: float
    sequence: int
    root_state: tuple[int, float]
    tier: str
    failed: tuple[str, ...]
    begun_with: int
    begun: float


class Closure(_Recorded):
    """A recorded closure."""

    @cached_property
    def outcomes(self) -> dict[str, Any]:
        """
        The answers by reference, read once.

        Raises:
            ValueError: it was recorded by another version of this code.
        """
        return dict(wire.decode(self.answers))

    def size(self) -> int:
        """
        Return how many references it has.

        Raises:
            ValueError: it was recorded by another version of this code.
        """
        return wire.count(self.answers) + len(self.failed)


class Closures:
    """
    Reads and records closures. Any thread.

    Attributes:
        tiers: Where they are kept.
    """

    def __init__(
        self,
        tiers: TieredCache,
        later: Later,
        clock: Callable[[], float] = time,
        *,
        roots: AllowedRoots | None = None,
    ) -> None:
        self.tiers = tiers
        self._roots = roots
        self._later = later
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[bytes, tuple[int, dict[str, Any]]] = {}
        # With how many references the last opening here began; 0 where they are to be recorded anew.
        self._began: dict[bytes, int] = {}
        # What the last write took: a large one is not written as often.
        self._write_s = 0.0

    def begin(self, scope: bytes, root: str) -> Closure | None:
        """
        Return what was recorded for *root*, for an opening to begin with; or None.

        What is replayed is never asked for, so that nobody hears what is used no more: versions that a
        layer named once. One that has grown by a quarter, and a few, is given up, and recorded anew from
        what this opening asks for.
        """
        closure = self.find(scope, root)
        if closure is None:
            return None
        try:
            is_outgrown, size = self._is_outgrown(closure), closure.size()
        except ValueError:
            return closure  # whoever reads it says that it is of another version of this code
        key = _key(scope, root)
        with self._lock:
            if len(self._began) >= _MOST_REMEMBERED:
                self._began.clear()
            if is_outgrown and self._began.get(key) != 0:
                # What waits holds what earlier openings replayed, all that is given up.
                self._pending.pop(key, None)
            self._began[key] = 0 if is_outgrown else size
        return None if is_outgrown else closure

    def find(self, scope: bytes, root: str) -> Closure | None:
        """
        Return what was recorded for *root*, or None. One read of the tiers.

        None, too, where an answer in it lies outside the allowed roots: then all are asked again.
        """
        key = _key(scope, root)
        found = self.tiers.find([key]).get(key)
        if found is None or len(found[0].value) <= _HEADER.size:
            return None
        entry, tier = found
        if entry.stored > self._clock() + SKEW_S:
            return None  # the clock was set back, and none of its answers would expire in time
        expires, sequence, size, modified, length, begun_with, begun = _HEADER.unpack_from(
            entry.value
        )
        answers_at = _HEADER.size + length
        failed = entry.value[_HEADER.size : answers_at].decode("utf-8", "surrogateescape")
        answers = entry.value[answers_at:]
        if self._roots and not _all_hold(answers, self._roots):
            return None
        return Closure(
            answers,
            expires,
            sequence,
            (size, modified),
            tier,
            tuple(failed.split("\0")) if failed else (),
            begun_with,
            begun,
        )

    def leader(self, scope: bytes, reference: str) -> str | None:
        """Return the reference that *reference* followed when it was last asked for, if any."""
        key = _alias(scope, reference)
        found = self.tiers.find([key]).get(key)
        return found[0].value.decode("utf-8", "surrogateescape") if found else None

    def record_follower(self, scope: bytes, leader: str, reference: str) -> None:
        """Remember that *reference* followed *leader*."""
        value = leader.encode("utf-8", "surrogateescape")
        entry = Entry(value, FOREVER, self._clock(), self.tiers.sequence())
        self.tiers.put({_alias(scope, reference): entry})

    def stale_references(self, closure: Closure) -> set[str] | None:
        """
        Return which of the closure's references must be asked again; None when none need be.

        Those that expired, and those invalidated since it was recorded.

        Raises:
            ValueError: it was recorded by another version of this code.
        """
        changed = self._changed_since(closure.sequence)
        now = self._clock()
        if closure.expires > now and changed is not None and not len(changed):
            return None
        stale = set()
        for reference, outcome in closure.outcomes.items():
            # No failure is ever recorded among the answers: it was planted.
            is_recorded = isinstance(outcome, Resolution) and outcome.expires > now
            if not is_recorded or changed is None or changed.covers(subject_of(reference)):
                stale.add(reference)
        return stale or None

    def record(self, scope: bytes, root: str, answers: Mapping[str, Any], sequence: int) -> None:
        """
        Add *answers* to what is recorded for *root*: soon, in one write, on another thread.

        *sequence* is the tiers' change sequence from before the answers were asked for.
        """
        key = _key(scope, root)
        # What stands in for the manager's answer in an outage is nobody's answer afterwards.
        answers = {ref: out for ref, out in answers.items() if _is_own(out)}
        with self._lock:
            first_sequence, pending = self._pending.setdefault(key, (sequence, {}))
            pending.update(answers)
            self._pending[key] = (min(sequence, first_sequence), pending)
        within_s = max(_RECORD_WITHIN_S, self._write_s / _MOST_SHARE)
        self._later.put(key, _RECORD_AFTER_S, lambda: self._write(scope, root), within_s=within_s)

    def after_fork(self) -> None:
        """Start over in a forked child."""
        self._lock = threading.Lock()
        self._pending = {}
        self._began = {}

    def _is_outgrown(self, closure: Closure) -> bool:
        if not closure.begun_with:
            return False
        return closure.size() > _MOST_GROWTH * closure.begun_with + _FEW

    def _changed_since(self, sequence: int) -> Names | None:
        if self.tiers.sequence() == sequence:
            return Names()
        names = self.tiers.invalidations.invalidated_since(sequence)
        return None if names is None else Names(names)

    def _write(self, scope: bytes, root: str) -> None:
        key, now, start = _key(scope, root), self._clock(), monotonic()
        with self._lock:
            if key not in self._pending:
                return  # given up meanwhile; what the opening asks for that gave it up comes later
            sequence, answers = self._pending.pop(key)
            began = self._began.pop(key, None)
        before = self.find(scope, root) if began != 0 else None
        recorded = self._kept(before, root)
        if len(recorded.keys() | answers.keys()) > _MOST_ANSWERS:
            recorded = {}  # it starts over
        begun_with, begun = 0, now
        if before is not None and recorded:
            begun_with, begun = before.begun_with, before.begun
            if not begun_with and now - begun >= _LEAST_AGE_S:
                begun_with = began or 0
        answers = {**recorded, **answers}
        if not 0 < len(answers) <= _MOST_ANSWERS:
            return
        good = resolved(answers.items())
        expires = min((outcome.expires for outcome in good.values()), default=FOREVER)
        failed = "\0".join(ref for ref in answers if ref not in good)
        failed_bytes = failed.encode("utf-8", "surrogateescape")
        header = _HEADER.pack(
            expires, sequence, *root_state(root), len(failed_bytes), begun_with, begun
        )
        value = header + failed_bytes + wire.encode(good.items())
        self.tiers.put({key: Entry(value, FOREVER, now, sequence)})
        self._write_s = monotonic() - start

    def _kept(self, closure: Closure | None, root: str) -> dict[str, Any]:
        """Return what stays recorded beside new answers."""
        if closure is None or closure.root_state != root_state(root):
            return {}  # what another content of the root named may be needed no more
        try:
            stale = self.stale_references(closure) or ()
            failed: dict[str, Any] = dict.fromkeys(closure.failed, _FAILED)
            return failed | {
                # What changed since it was recorded is asked again on the next replay.
                ref: outcome._replace(expires=0.0)
                if ref in stale and isinstance(outcome, Resolution)
                else outcome
                for ref, outcome in closure.outcomes.items()
            }
        except ValueError:
            return {}


def _all_hold(answers: bytes, roots: AllowedRoots) -> bool:
    holds = roots.rule()
    try:
        return all(
            holds(outcome.path)
            for _, outcome in wire.decode(answers)
            if isinstance(outcome, Resolution)
        )
    except ValueError:  # recorded by another version of this code
        return False


def root_state(root: str) -> tuple[int, float]:
    """Return size and modification time of the root's file; zeros for what is no file."""
    try:
        info = os.stat(root)  # noqa: PTH116  on the warm path: pathlib's import alone would show
    except (OSError, ValueError):
        return 0, 0.0
    return info.st_size, info.st_mtime


def resolved(answers: Iterable[tuple[str, Any]]) -> dict[str, Resolution]:
    """Return those of *answers* that resolved."""
    return {ref: outcome for ref, outcome in answers if isinstance(outcome, Resolution)}


def _is_own(outcome: Any) -> bool:
    return getattr(outcome, "tier", "") not in STAND_INS


def _alias(scope: bytes, reference: str) -> bytes:
    return b"a" + scope + reference.encode("utf-8", "surrogateescape")


def _key(scope: bytes, root: str) -> bytes:
    return b"c" + scope + root.encode("utf-8", "surrogateescape")
