# SPDX-License-Identifier: Apache-2.0
"""Counts and times what crosses the pipeline, one record and one span for each request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self

from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.pipeline.handler import Handler


class Records(Protocol):
    """Where counts go: `bifrost.monitoring.recorder.Recorder`."""

    enabled: bool

    def record(
        self, operation: str, seconds: float, *, elements: int = 1, failures: Sequence[str] = ()
    ) -> None:
        """Count one request of *elements* that took *seconds*, with the codes of those that failed."""

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return what was counted, by operation."""


class Span(Protocol):
    """What a request is noted on while it lasts."""

    def set_attribute(self, name: str, value: Any) -> None:
        """Note *value* under *name*."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Tracing(Protocol):
    """Where spans come from: `bifrost.monitoring.tracing`, the module itself."""

    def is_on(self) -> bool:
        """Return whether spans are collected. Asked for each request: cheap."""

    def span_from(self, traceparent: str | None, name: str, **attributes: Any) -> Span:
        """Return a span to enter, in the trace that *traceparent* continues."""

    def event(self, name: str, **attributes: Any) -> None:
        """Note on the open span that *name* happened now."""

    def traceparent(self) -> str | None:
        """Return the open span's `traceparent`, to send along."""


class Observe:
    """
    Counts requests, their elements and failures, and the time they took, by operation.

    While tracing is on, each request is a span, and the request that goes on carries its
    `traceparent` in its context, for managers that trace, too.
    """

    def __init__(
        self,
        inner: Handler,
        recorder: Records,
        tracing: Tracing | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._inner = inner
        self._recorder = recorder
        self._tracing = tracing
        self._clock = clock

    def handle(self, request: Request) -> Reply:
        """Pass *request* on and count what came of it."""
        if self._tracing is not None and self._tracing.is_on():
            return self._traced(request, self._tracing)
        return self._counted(request)

    def stats(self) -> dict[str, dict[str, Any]]:
        """Return what was counted of each operation of the pipeline: `Recorder.stats`."""
        known = self._recorder.stats()
        return {name: known[name] for name in map(str, Operation) if name in known}

    def _counted(self, request: Request) -> Reply:
        if not self._recorder.enabled:
            return self._inner.handle(request)
        elements = len(request.references)
        start = self._clock()
        try:
            reply = self._inner.handle(request)
        except BaseException as error:
            codes = [type(error).__name__] * elements
            self._recorder.record(
                request.operation, self._clock() - start, elements=elements, failures=codes
            )
            raise
        self._recorder.record(
            request.operation,
            self._clock() - start,
            elements=elements,
            failures=_codes(reply),
        )
        return reply

    def _traced(self, request: Request, tracing: Tracing) -> Reply:
        with tracing.span_from(
            request.context.get("traceparent"),
            f"bifrost.{request.operation}",
            **{"bifrost.elements": len(request.references)},
        ) as span:
            reply = self._counted(_carrying(request, tracing.traceparent()))
            for name, value in _described(reply).items():
                span.set_attribute(name, value)
        return Reply(request, reply.outcomes)


class Part:
    """
    Notes on the request's span how long the inner handler took: a part of the whole.

    Works where the request runs on the thread that opened the span.

    Args:
        inner: The handler.
        name: What the part is called, such as `manager`.
        tracing: Where the spans are.
        clock: Seconds.
    """

    def __init__(
        self,
        inner: Handler,
        name: str,
        tracing: Tracing,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._inner = inner
        self._name = name
        self._tracing = tracing
        self._clock = clock

    def handle(self, request: Request) -> Reply:
        """Pass *request* on; while tracing is on, say when that began and when it was over."""
        if not self._tracing.is_on():
            return self._inner.handle(request)
        elements = len(request.references)
        self._tracing.event(f"{self._name}.begin", elements=elements)
        start = self._clock()
        try:
            reply = self._inner.handle(request)
        except BaseException as error:
            self._tracing.event(f"{self._name}.end", error=type(error).__name__)
            raise
        self._tracing.event(
            f"{self._name}.end",
            elements=elements,
            failures=len(_codes(reply)),
            duration_ms=1e3 * (self._clock() - start),
        )
        return reply


def _codes(reply: Reply) -> list[str]:
    """Return the codes of what failed."""
    return [outcome.code for outcome in reply.outcomes if isinstance(outcome, Failure)]


def _carrying(request: Request, traceparent: str | None) -> Request:
    """Return *request* with *traceparent* in its context. The scope is the same: caches are shared."""
    if traceparent is None:
        return request
    values = MappingProxyType({**request.context.values, "traceparent": traceparent})
    return replace(request, context=replace(request.context, values=values))


def _described(reply: Reply) -> dict[str, Any]:
    """Return the span's attributes that tell what came of a request: numbers and names, no references."""
    codes = Counter(_codes(reply))
    found = [outcome for outcome in reply.outcomes if isinstance(outcome, Resolution)]
    tiers = Counter(outcome.tier for outcome in found)
    managers = sorted({outcome.manager for outcome in found if outcome.manager})
    return {
        "bifrost.failures": codes.total(),
        **{f"bifrost.failures.{code}": number for code, number in codes.items()},
        **{f"bifrost.answered_by.{tier}": number for tier, number in tiers.items()},
        **({"bifrost.manager": managers} if managers else {}),
    }
