# SPDX-License-Identifier: Apache-2.0
"""
Answers from the tiers what they know, and keeps what the manager says.

| outcome | is fresh for |
|---|---|
| a reference that names one version | ever |
| a floating reference | `cache.ttl_s`; for `cache.revalidate_s` more it is served while it is asked again |
| a failure that asking again won't mend | `cache.negative_ttl_s`, in memory only |
| an outage | not kept; an expired answer is served in its place for `cache.stale_s` |
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from time import time
from typing import Any, Final, Protocol

import msgpack

from bifrost.errors import Code
from bifrost.model.entity_reference import canonical
from bifrost.model.paths import path_of
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.model.roots import AllowedRoots
from bifrost.pipeline.handler import Handler
from bifrost.pipeline.revalidation import Revalidation
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.tier import FOREVER, SKEW_S, Entry
from bifrost.tiers.tiered import TieredCache

_NEGATIVE_BYTES = 4_000_000
_MOST_SCOPES = 1_000
_KIND = b"r"  # of keys; what `_packed` makes of another shape wants another letter
_LENGTH = 4
_COUNTED = ("hits", "misses", "failure_hits", "stale_served", "revalidated")
# How long a stale answer served in an outage is believed before the manager is asked again.
_STALE_RECHECK_S = 30.0


class Lifetimes(Protocol):
    """How long answers live; `settings.CacheSettings` is one."""

    @property
    def ttl_s(self) -> float:
        """Seconds for which the answer to a floating reference is fresh."""

    @property
    def negative_ttl_s(self) -> float:
        """Seconds for which a failure is remembered."""

    @property
    def revalidate_s(self) -> float:
        """Seconds past its freshness for which an answer is served while it is asked again."""

    @property
    def stale_s(self) -> float:
        """Seconds past its freshness for which an answer is served while the manager is down."""


class Cache:
    """
    Serves `RESOLVE` and `LOCATE` from the tiers and passes every other operation through.

    A broken tier is a miss: slower, never wrong. Keys hold the manager's identity and the context's
    scope, so that no principal is served what another was answered. What lies outside *roots* is a miss,
    whoever wrote it there.
    """

    def __init__(
        self,
        inner: Handler,
        tiers: TieredCache,
        identity: str,
        lifetimes: Lifetimes,
        clock: Callable[[], float] = time,
        roots: AllowedRoots | None = None,
    ) -> None:
        self._roots = roots
        self._inner = inner
        self._tiers = tiers
        self._identity = identity
        self._lifetimes = lifetimes
        self._clock = clock
        self._negative = MemoryTier(_NEGATIVE_BYTES, clock=clock)
        self._scopes: dict[str, bytes] = {}
        self._revalidation = Revalidation(self._revalidate)
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._lock = threading.Lock()

    def after_fork(self) -> None:
        """Start over in a forked child: the thread that asks again stayed behind."""
        self._lock = threading.Lock()
        self._revalidation.after_fork()

    def handle(self, request: Request) -> Reply:
        """Answer what the tiers know and ask for the rest in one request."""
        decode = _DECODERS.get(request.operation)
        if decode is None:
            return self._inner.handle(request)
        if self._roots:
            decode = _confined(decode, self._roots)
        scope = self.scope(request.context.scope)
        now = self._clock()
        known, stale = ({}, {}) if request.fresh else self._known(request, decode, scope, now)
        missing = [ref for ref in dict.fromkeys(request.references) if ref not in known]
        if missing:
            known.update(self._ask(request.only(missing), scope, now, stale))
        return Reply.by_reference(request, known.__getitem__)

    def peek(self, references: Iterable[str], context_scope: str) -> dict[str, Resolution]:
        """Return what the tiers hold for *references*, expired answers included. Asks nobody."""
        keys = _keys(self.scope(context_scope), references)
        found = self._tiers.find(keys).items()
        read = ((keys[key], _resolution(keys[key], entry, tier)) for key, (entry, tier) in found)
        return {reference: outcome for reference, outcome in read if outcome is not None}

    def scope(self, context_scope: str) -> bytes:
        """Return 16 bytes that differ wherever two answers may: manager, principal, policy."""
        scope = self._scopes.get(context_scope)
        if scope is None:
            if len(self._scopes) >= _MOST_SCOPES:
                self._scopes.clear()
            text = f"{self._identity}\0{context_scope}".encode()
            scope = self._scopes[context_scope] = blake2b(text, digest_size=16).digest()
        return scope

    def forget_failures(self, names: Collection[bytes] | None, sequence: int) -> None:
        """Forget failures about *names*, None: all, that were asked for before *sequence*, as tiers do."""
        self._negative.outdate(names, sequence)

    def stats(self) -> dict[str, Any]:
        """
        Return what became of the references that were asked for.

        `elements` of them; `hits` that a cache answered, `failure_hits`, `stale_served` in an outage
        and `revalidated` behind an answer among them; `misses`; `hit_rate`, in percent.
        """
        with self._lock:
            counts = dict(self._counts)
        hits = counts["hits"]
        elements = hits + counts["misses"]
        return {
            **counts,
            "elements": elements,
            "hit_rate": 100.0 * hits / elements if elements else 0.0,
        }

    def close(self) -> None:
        """Ask nobody again."""
        self._revalidation.close()

    def _known(
        self, request: Request, decode: _Decoder, scope: bytes, now: float
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        known: dict[str, Any] = {}
        stale: dict[str, Any] = {}
        revalidated: list[str] = []
        keys = _keys(scope, request.references)
        lifetimes, latest = self._lifetimes, now + SKEW_S
        for key, (entry, tier) in self._tiers.find(keys).items():
            outcome = decode(keys[key], entry, tier)
            if outcome is None:
                continue
            expires = entry.expires
            if entry.stored > latest and expires != FOREVER:
                expires = now - lifetimes.revalidate_s
            if expires > now:
                known[keys[key]] = outcome
            elif expires + lifetimes.revalidate_s > now:
                known[keys[key]] = outcome
                revalidated.append(keys[key])
            elif expires + lifetimes.stale_s > now:
                stale[keys[key]] = outcome
        hits = len(known)
        if hits < len(keys):
            self._add_failures(known, keys, now)
        if revalidated:
            again = replace(request.only(revalidated), operation=Operation.RESOLVE, batch=None)
            self._revalidation.put(again)
        self._count(hits=len(known), failure_hits=len(known) - hits, revalidated=len(revalidated))
        return known, stale

    def _add_failures(self, known: dict[str, Any], keys: Mapping[bytes, str], now: float) -> None:
        unknown = [key for key, reference in keys.items() if reference not in known]
        for key, entry in self._negative.get(unknown).items():
            if entry.stored <= now + SKEW_S and entry.expires > now:
                code, message, details = msgpack.unpackb(
                    entry.value, unicode_errors="surrogatepass"
                )
                known[keys[key]] = Failure(Code(code), message, details=details)

    def _ask(
        self, request: Request, scope: bytes, now: float, stale: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the manager's answers, kept for the next time; what is *stale* where it gives none."""
        sequence = self._tiers.sequence()
        is_located = request.operation is Operation.LOCATE
        reply = self._inner.handle(replace(request, operation=Operation.RESOLVE))
        answers: dict[str, Any] = {}
        entries: dict[bytes, Entry] = {}
        taken_back: list[bytes] = []
        ttl_s, served, packer = self._lifetimes.ttl_s, 0, _packer()
        prefix = _KIND + scope
        for reference, outcome in reply.items():
            answers[reference] = outcome
            if isinstance(outcome, Resolution):
                expires = FOREVER if outcome.immutable else now + ttl_s
                entry = Entry(_packed(outcome, packer), expires, now, sequence)
                entries[prefix + subject_of(reference)] = entry
                if is_located:
                    answers[reference] = entry.decoded = path_of(outcome.path)
                else:
                    answers[reference] = Resolution._make((*outcome[:-1], expires))
            elif reference in stale and outcome.says_nothing:
                served += 1
                answers[reference] = _served_stale(stale[reference], now)
            elif not (outcome.is_outage or outcome.retryable):
                if outcome.code == Code.PERMISSION_DENIED and self._has_expired(request):
                    continue  # that is of the token, and the scope is whose it was: they get a new one
                key = prefix + subject_of(reference)
                self._remember_failure(key, outcome, now, sequence)
                if not outcome.says_nothing:
                    taken_back.append(key)
        asked_later = self._asked_later((*entries, *taken_back), now)
        if asked_later:
            entries = {key: each for key, each in entries.items() if key not in asked_later}
            taken_back = [key for key in taken_back if key not in asked_later]
        if taken_back:  # or a later outage would serve it as stale
            self._tiers.delete(taken_back)
        self._tiers.put(entries)
        self._count(misses=len(answers) - served, hits=served, stale_served=served)
        return answers

    def _has_expired(self, request: Request) -> bool:
        principal = request.context.principal
        return principal is not None and principal.expires <= self._clock()

    def _asked_later(self, keys: Collection[bytes], asked: float) -> set[bytes]:
        """
        Return those of *keys* to which this process has an answer that was asked for after *asked*.

        A slow manager's older answer must not take the place of what somebody asked for afresh.
        """
        now = self._clock()  # what was stored later than that, a clock that was wrong has stored
        held = self._tiers.in_memory(keys).items()
        return {key for key, each in held if asked < each.stored <= now}

    def _revalidate(self, request: Request) -> None:
        self._ask(request, self.scope(request.context.scope), self._clock(), {})

    def _remember_failure(self, key: bytes, failure: Failure, now: float, sequence: int) -> None:
        try:
            value = msgpack.packb(
                [failure.code.value, failure.message, dict(failure.details)],
                unicode_errors="surrogatepass",
            )
        except (TypeError, ValueError, OverflowError):
            return  # details that are no plain values: the manager is asked again
        expires = now + self._lifetimes.negative_ttl_s
        self._negative.put({key: Entry(value, expires, now, sequence)})

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                self._counts[name] += number


def subject_of(reference: str) -> bytes:
    """Return what the tiers take *reference* to be about; its group is what invalidations name."""
    return encoded(canonical(reference) if "%" in reference else reference)


def encoded(text: str) -> bytes:
    """Return *text* as it stands in a subject."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no file name's bytes: a manager refuses it, under a key of its own
        return text.encode("utf-8", "surrogatepass")


def _keys(scope: bytes, references: Iterable[str]) -> dict[bytes, str]:
    prefix = _KIND + scope
    try:
        return {
            prefix + (canonical(ref) if "%" in ref else ref).encode(): ref for ref in references
        }
    except UnicodeEncodeError:
        return {prefix + subject_of(reference): reference for reference in references}


def _served_stale(outcome: Any, now: float) -> Any:
    if isinstance(outcome, Resolution):
        return outcome._replace(tier="stale", expires=now + _STALE_RECHECK_S)
    return outcome


def _packer() -> msgpack.Packer:
    """Return what packs the answers of a request: making one takes as long as using it."""
    return msgpack.Packer(unicode_errors="surrogateescape")


def _packed(resolution: Resolution, packer: msgpack.Packer) -> bytes:
    """Return the path, its length before it, and the rest: `LOCATE` reads nothing but the path."""
    _, path, name, version, immutable, templated, modified, manager, _, _ = resolution
    rest: bytes = packer.pack((name, version, immutable, templated, modified, manager))
    located = path.encode("utf-8", "surrogateescape")
    return len(located).to_bytes(_LENGTH, "little") + located + rest


def _resolution(reference: str, entry: Entry, tier: str) -> Resolution | None:
    path, rest = _parts(entry.value)
    try:
        name, version, immutable, templated, modified, manager = msgpack.unpackb(
            rest, unicode_errors="surrogateescape"
        )
    except (TypeError, ValueError, msgpack.UnpackException):
        return None  # of another version of this code: a miss
    if not (
        type(name) is type(version) is type(manager) is str
        and type(immutable) is type(templated) is bool
        and type(modified) is float
    ):
        return None  # planted, by who may write where caches lie
    return Resolution(
        reference,
        path.decode("utf-8", "surrogateescape"),
        name,
        version,
        immutable,
        templated,
        modified,
        manager,
        tier,
        entry.expires,
    )


def _parts(value: bytes) -> tuple[bytes, bytes]:
    end = _LENGTH + int.from_bytes(value[:_LENGTH], "little")
    return value[_LENGTH:end], value[end:]


def _located(reference: str, entry: Entry, tier: str) -> Path | None:  # noqa: ARG001
    # Kept with the entry: making a Path takes longer than all the rest of a hit.
    path: Path | None = entry.decoded
    if path is None:
        text, rest = _parts(entry.value)
        if not rest:
            return None  # of another version of this code: a miss
        path = entry.decoded = path_of(text.decode("utf-8", "surrogateescape"))
    return path


def _confined(decode: _Decoder, roots: AllowedRoots) -> _Decoder:
    """Return *decode* for one request, as it misses what lies outside *roots*."""
    holds = roots.rule()

    def confined(reference: str, entry: Entry, tier: str) -> Any:
        path = _parts(entry.value)[0].decode("utf-8", "surrogateescape")
        return decode(reference, entry, tier) if holds(path) else None

    return confined


_Decoder = Callable[[str, Entry, str], Any]
_DECODERS: Final[dict[Operation, _Decoder]] = {
    Operation.RESOLVE: _resolution,
    Operation.LOCATE: _located,
}
