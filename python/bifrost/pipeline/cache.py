# SPDX-License-Identifier: Apache-2.0
"""
Answers from the tiers what they know, and keeps what the manager says.

| outcome | is fresh for |
|---|---|
| a reference that names one version | ever |
| a floating reference | `cache.ttl_s` |
| a failure that asking again won't mend | `cache.negative_ttl_s`, in memory only |
| an outage | not kept; an expired answer is served in its place for `cache.stale_s` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from time import time
from typing import Any, Protocol

import msgpack

from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.pipeline.handler import Handler
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.tier import FOREVER, Entry
from bifrost.tiers.tiered import TieredCache

_NEGATIVE_BYTES = 4_000_000
_MOST_SCOPES = 1_000
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
    def stale_s(self) -> float:
        """Seconds past its freshness for which an answer is served while the manager is down."""


class Cache:
    """
    Serves `RESOLVE` from the tiers and passes every other operation through.

    A broken tier is a miss: slower, never wrong. Keys hold the manager's identity and the context's
    scope, so that no principal is served what another was answered.
    """

    def __init__(
        self,
        inner: Handler,
        tiers: TieredCache,
        identity: str,
        lifetimes: Lifetimes,
        clock: Callable[[], float] = time,
    ) -> None:
        self._inner = inner
        self._tiers = tiers
        self._identity = identity
        self._lifetimes = lifetimes
        self._clock = clock
        self._negative = MemoryTier(_NEGATIVE_BYTES, clock=clock)
        self._scopes: dict[str, bytes] = {}

    def handle(self, request: Request) -> Reply:
        """Answer what the tiers know and ask for the rest in one request."""
        if request.operation is not Operation.RESOLVE:
            return self._inner.handle(request)
        scope = self.scope(request.context.scope)
        now = self._clock()
        known, stale = ({}, {}) if request.fresh else self._known(request, scope, now)
        missing = [ref for ref in dict.fromkeys(request.references) if ref not in known]
        if missing:
            known.update(self._ask(request.only(missing), scope, now, stale))
        return Reply.by_reference(request, known.__getitem__)

    def peek(self, references: Iterable[str], context_scope: str) -> dict[str, Resolution]:
        """Return what the tiers hold for *references*, expired answers included. Asks nobody."""
        scope = self.scope(context_scope)
        return self._held({_key(scope, reference): reference for reference in references})

    def scope(self, context_scope: str) -> bytes:
        """Return 16 bytes that differ wherever two answers may: manager, principal, policy."""
        scope = self._scopes.get(context_scope)
        if scope is None:
            if len(self._scopes) >= _MOST_SCOPES:
                self._scopes.clear()
            text = f"{self._identity}\0{context_scope}".encode()
            scope = self._scopes[context_scope] = blake2b(text, digest_size=16).digest()
        return scope

    def forget_failures(self) -> None:
        """Forget the remembered failures: something was published."""
        self._negative.delete_prefix(b"")

    def _known(
        self, request: Request, scope: bytes, now: float
    ) -> tuple[dict[str, Any], dict[str, Resolution]]:
        known: dict[str, Any] = {}
        stale: dict[str, Resolution] = {}
        keys = {_key(scope, ref): ref for ref in request.references}
        for reference, resolution in self._held(keys).items():
            if resolution.expires > now:
                known[reference] = resolution
            elif resolution.expires + self._lifetimes.stale_s > now:
                stale[reference] = resolution
        unknown = [key for key, ref in keys.items() if ref not in known]
        for key, entry in self._negative.get(unknown).items():
            if entry.expires > now:
                code, message, details = msgpack.unpackb(
                    entry.value, unicode_errors="surrogatepass"
                )
                known[keys[key]] = Failure(Code(code), message, details=details)
        return known, stale

    def _held(self, keys: Mapping[bytes, str]) -> dict[str, Resolution]:
        """Return what the tiers hold under *keys*, by the references that these belong to."""
        held = {}
        for key, (entry, tier) in self._tiers.find(keys).items():
            resolution = _unpacked(keys[key], entry, tier)
            if resolution is not None:
                held[keys[key]] = resolution
        return held

    def _ask(
        self, request: Request, scope: bytes, now: float, stale: dict[str, Resolution]
    ) -> dict[str, Any]:
        sequence = self._tiers.sequence()
        reply = self._inner.handle(request)
        answers: dict[str, Any] = {}
        entries: dict[bytes, Entry] = {}
        taken_back: list[bytes] = []
        for reference, outcome in reply.items():
            answers[reference] = outcome
            if isinstance(outcome, Resolution):
                expires = FOREVER if outcome.immutable else now + self._lifetimes.ttl_s
                outcome = answers[reference] = outcome._replace(expires=expires)
                entries[_key(scope, reference)] = Entry(_packed(outcome), expires, now, sequence)
            elif outcome.is_outage:
                if reference in stale:
                    answers[reference] = stale[reference]._replace(
                        tier="stale", expires=now + _STALE_RECHECK_S
                    )
            elif not outcome.retryable:
                taken_back.append(_key(scope, reference))
                self._remember_failure(taken_back[-1], outcome, now)
        if taken_back:  # or a later outage would serve it as stale
            self._tiers.delete(taken_back)
        self._tiers.put(entries)
        return answers

    def _remember_failure(self, key: bytes, failure: Failure, now: float) -> None:
        try:
            value = msgpack.packb(
                [failure.code.value, failure.message, dict(failure.details)],
                unicode_errors="surrogatepass",
            )
        except (TypeError, ValueError, OverflowError):
            return  # details that are no plain values: the manager is asked again
        self._negative.put({key: Entry(value, now + self._lifetimes.negative_ttl_s, now)})


def _key(scope: bytes, reference: str) -> bytes:
    try:
        return b"r" + scope + reference.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # no file name's bytes: a manager refuses it, under a key of its own
        return b"r" + scope + reference.encode("utf-8", "surrogatepass")


def _packed(resolution: Resolution) -> bytes:
    packed: bytes = msgpack.packb(
        (
            resolution.path,
            resolution.name,
            resolution.version,
            resolution.immutable,
            resolution.templated,
            resolution.modified,
            resolution.manager,
        ),
        unicode_errors="surrogateescape",
    )
    return packed


def _unpacked(reference: str, entry: Entry, tier: str) -> Resolution | None:
    try:
        path, name, version, immutable, templated, modified, manager = msgpack.unpackb(
            entry.value, unicode_errors="surrogateescape"
        )
    except (TypeError, ValueError, msgpack.UnpackException):
        return None  # of another version of this code: a miss
    return Resolution(
        reference, path, name, version, immutable, templated, modified, manager, tier, entry.expires
    )
