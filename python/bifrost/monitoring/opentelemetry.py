# SPDX-License-Identifier: Apache-2.0
"""What `tracing` asks of OpenTelemetry. Imported only where OpenTelemetry is, or is asked for."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from bifrost.errors import BifrostError, ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.context import Context as TraceContext
    from opentelemetry.trace import Tracer

SCOPE: Final = "bifrost"
_TRACES_PATH: Final = "/v1/traces"
# A collector that hangs must not keep a process from ending: for one request, and at the end.
_SEND_S: Final = 3.0
_LAST_WORDS_S: Final = 3.0
_LONGEST_TEXT: Final = 4_096


class LiveSpan:
    """A span that is collected: `tracing.Span`."""

    def __init__(
        self, tracer: Tracer, name: str, traceparent: str | None, attributes: Mapping[str, Any]
    ) -> None:
        self._tracer = tracer
        self._name = _text(name)
        self._traceparent = traceparent
        self._attributes = attributes

    def __enter__(self) -> Self:
        from opentelemetry.context import attach
        from opentelemetry.trace import set_span_in_context

        self._span = self._tracer.start_span(
            self._name,
            context=_parent(self._traceparent),
            attributes=_attributes(self._attributes),
        )
        self._token = attach(set_span_in_context(self._span))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        from opentelemetry.context import detach

        if error is not None:
            self._note(error)
        detach(self._token)
        self._span.end()

    def set_attribute(self, name: str, value: Any) -> None:
        """Note *value* under *name*."""
        self._span.set_attribute(_text(name), _value(value))

    def add_event(self, name: str, **attributes: Any) -> None:
        """Note that *name* happened at this moment."""
        self._span.add_event(_text(name), _attributes(attributes))

    def _note(self, error: BaseException) -> None:
        """
        Note what ended the span. Our own errors are worded to be shown; of others only the type is
        told, since their texts may hold anything, a token too.
        """
        from opentelemetry.trace import Status, StatusCode

        kind = type(error).__name__
        told = {"exception.type": kind}
        if isinstance(error, BifrostError):
            told["exception.message"] = error.message
        self._span.add_event("exception", _attributes(told))
        self._span.set_attribute("error.type", str(getattr(error, "code", kind)))
        self._span.set_status(Status(StatusCode.ERROR, _text(told.get("exception.message", kind))))


class Exporter:
    """
    A tracer provider of our own, which sends spans in batches from a thread of its own.

    Attributes:
        url: The collector's.
        tracer: What makes the spans.

    Raises:
        ConfigurationError: OpenTelemetry's SDK or exporter is missing.
    """

    def __init__(self, url: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise ConfigurationError(
                "sending traces needs OpenTelemetry's exporter: pip install 'bifrost-usd[tracing]'"
            ) from None
        self.url = url
        # Its own end of the process waits half a minute for a collector that hangs.
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=_SEND_S))
        )
        self.tracer = self._provider.get_tracer(SCOPE)
        atexit.register(self.close)

    def close(self) -> None:
        """Send what is left, for a few seconds at most, and end."""
        atexit.unregister(self.close)
        ending = threading.Thread(
            target=self._provider.shutdown, name="bifrost-traces-end", daemon=True
        )
        try:
            ending.start()
        except RuntimeError:  # the interpreter starts no more threads
            return
        ending.join(_LAST_WORDS_S)


def collector_url(endpoint: str) -> str:
    """
    Return the URL to which spans are sent: *endpoint*, with OTLP's path where it has none.

    Raises:
        ConfigurationError: it is no URL of HTTP.
    """
    text = str(endpoint).strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        is_url = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise ConfigurationError(
            f"traces endpoint: expected a URL such as http://localhost:4318, got {text!r}"
        )
    return parts._replace(path=parts.path.rstrip("/") or _TRACES_PATH).geturl()


def configured_tracer() -> Tracer | None:
    """Return a tracer of the application's provider; None while it has none that collects."""
    try:
        from opentelemetry.trace import NoOpTracer, ProxyTracerProvider, get_tracer_provider
    except ImportError:  # half imported, by a thread that goes on with it
        return None
    provider = get_tracer_provider()
    if isinstance(provider, ProxyTracerProvider):
        return None
    tracer = provider.get_tracer(SCOPE)
    return None if isinstance(tracer, NoOpTracer) else tracer


def add_event(name: str, attributes: Mapping[str, Any]) -> None:
    """Note on the open span that *name* happened at this moment."""
    from opentelemetry.trace import get_current_span

    span = get_current_span()
    if span.is_recording():
        span.add_event(_text(name), _attributes(attributes))


def current_traceparent() -> str | None:
    """Return the open span's `traceparent`; None without one."""
    try:
        from opentelemetry.trace import get_current_span
    except ImportError:  # half imported, by a thread that goes on with it
        return None
    found = get_current_span().get_span_context()
    if not found.is_valid:
        return None
    return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags) & 0xFF:02x}"


def _parent(traceparent: str | None) -> TraceContext | None:
    """Return the context to start a span in: what is open, or what came in."""
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    here = get_current_span().get_span_context()
    if here.is_valid and traceparent is None:
        return None  # the open one
    came_in = traceparent or os.environ.get("TRACEPARENT")
    if not isinstance(came_in, str):
        return None
    there = TraceContextTextMapPropagator().extract({"traceparent": came_in})
    if here.is_valid and here.trace_id == get_current_span(there).get_span_context().trace_id:
        return None
    return there


def _resource() -> Any:
    """Return what the process calls itself: as the environment says, else `bifrost`."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource

    found = Resource.create()
    if not str(found.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        return found
    return found.merge(Resource({SERVICE_NAME: SCOPE}))


def _attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {_text(name): _value(value) for name, value in attributes.items()}


def _value(value: Any) -> Any:
    """Return *value* as OpenTelemetry takes it; it drops what it doesn't know."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [_text(each) for each in value]
    return _text(value)


def _text(value: Any) -> str:
    """Return *value* as a text that can be sent: a lone surrogate would cost the whole batch."""
    return str(value)[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
