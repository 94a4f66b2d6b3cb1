# SPDX-License-Identifier: Apache-2.0
"""
Spans, where somebody collects them: one for each batch, open or publish, never one for each path.

On when `export_to` was called, or when the application has configured OpenTelemetry's tracer
provider. Else everything here returns at once, and OpenTelemetry isn't even imported: looking
whether it is on is a look into a dictionary.
"""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from bifrost.forks import Mutex

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from bifrost.monitoring.opentelemetry import Exporter


class Span(Protocol):
    """Something that takes time. Its `with` block is that time."""

    def set_attribute(self, name: str, value: Any) -> None:
        """Note *value* under *name*; what is no text, number or list of these is noted as a text."""

    def add_event(self, name: str, **attributes: Any) -> None:
        """Note that *name* happened at this moment."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class NoSpan:
    """The span that nobody collects."""

    def set_attribute(self, name: str, value: Any) -> None:
        """Nothing to note."""

    def add_event(self, name: str, **attributes: Any) -> None:
        """Nothing to note."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


_NO_SPAN = NoSpan()
_lock = Mutex()
_exporter: Exporter | None = None
_tracer: Tracer | None = None
_was_asked = False


def is_on() -> bool:
    """Return whether spans are collected."""
    return _tracer is not None or _adopted() is not None


def span(name: str, **attributes: Any) -> Span:
    """
    Return a span to enter, a child of the one that is open on this thread.

    An exception that leaves the block is noted and goes on. What `TRACEPARENT` in the environment
    says is the parent where none is open.
    """
    return span_from(None, name, **attributes)


def span_from(traceparent: str | None, name: str, **attributes: Any) -> Span:
    """
    Return a span to enter, in the trace that *traceparent* continues (W3C; malformed: ignored).

    Where a span of that trace is open on this thread, it is the parent: it is nearer.
    """
    tracer = _tracer or _adopted()
    if tracer is None:
        return _NO_SPAN
    from bifrost.monitoring.opentelemetry import LiveSpan

    return LiveSpan(tracer, name, traceparent, attributes)


def event(name: str, **attributes: Any) -> None:
    """Note on the span that is open on this thread that *name* happened at this moment."""
    if is_on():
        from bifrost.monitoring.opentelemetry import add_event

        add_event(name, attributes)


def traceparent() -> str | None:
    """Return the W3C `traceparent` of the span that is open on this thread, to send along; or None."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    from bifrost.monitoring.opentelemetry import current_traceparent

    return current_traceparent()


def export_to(endpoint: str) -> bool:
    """
    Collect spans and send them to an OTLP collector, in place of an earlier one.

    False where they are sent there already.

    The application's own tracer provider, if it has one, is left alone; ours is another.

    Args:
        endpoint: The collector's URL, OTLP over HTTP: `http://localhost:4318`.

    Raises:
        ConfigurationError: it is none, or OpenTelemetry's exporter is missing.
    """
    global _exporter, _tracer  # noqa: PLW0603  a process has one
    from bifrost.monitoring import opentelemetry

    url = opentelemetry.collector_url(endpoint)
    with _lock:
        earlier = _exporter
        if earlier is not None and earlier.url == url:
            return False
        _exporter = opentelemetry.Exporter(url)
        _tracer = _exporter.tracer
    if earlier is not None:
        earlier.close()
    return True


def stop() -> None:
    """Send what is left and collect no more; the application's own tracer provider goes on."""
    global _exporter, _tracer
    with _lock:
        earlier, _exporter, _tracer = _exporter, None, None
    if earlier is not None:
        earlier.close()


def _adopted() -> Tracer | None:
    """Return the tracer of the application's provider, once it has configured one."""
    global _tracer, _was_asked  # noqa: PLW0603
    trace = sys.modules.get("opentelemetry.trace")
    # A library that imports OpenTelemetry's interface without configuring it is common, and asking
    # it properly takes 5 us: it reads the environment. So it is asked once, for what the environment
    # says, and then looked at. Where that attribute has another name, it is asked each time.
    if trace is None or (_was_asked and getattr(trace, "_TRACER_PROVIDER", trace) is None):
        return None
    from bifrost.monitoring.opentelemetry import configured_tracer

    found = configured_tracer()
    _was_asked = True
    if found is not None:
        with _lock:
            _tracer = _tracer or found
    return found
