# SPDX-License-Identifier: Apache-2.0
"""The decorator by which the host's calls are counted, timed and traced under their own names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, cast

from bifrost.context import current_context
from bifrost.errors import AssetException
from bifrost.monitoring import tracing
from bifrost.monitoring.recorder import Recorder

_MARK: Final = "bifrost_operation"


class _HasRecorder(Protocol):
    @property
    def recorder(self) -> Recorder: ...

    @property
    def manager_identifier(self) -> str: ...


class Recorded(Protocol):
    """What `recorded` wants of an object whose methods it decorates: `host.asking.Asking` has it."""

    @property
    def session(self) -> _HasRecorder:
        """Where the recorder is."""


Host = TypeVar("Host", bound=Recorded)
Answer = TypeVar("Answer")
Params = ParamSpec("Params")


def recorded(
    call: Callable[Concatenate[Host, Params], Answer],
) -> Callable[Concatenate[Host, Params], Answer]:
    """
    Count and time *call*, a host's method, under its name; while tracing is on, make it a span.

    What it raises counts as its failure, under the exception's code, and goes on. Coroutine functions
    are timed until their result is there. Not for generator functions, whose time is mostly their
    caller's: the pipeline counts what they ask.

    Raises:
        TypeError: *call* is a generator function.
    """
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise TypeError(f"{call.__name__} is a generator; the pipeline counts what it asks")
    is_coroutine = inspect.iscoroutinefunction(call)
    made: Any = (_recorded_coroutine if is_coroutine else _recorded_call)(cast("Any", call))
    setattr(made, _MARK, call.__name__)
    return cast("Callable[Concatenate[Host, Params], Answer]", made)


def recorded_calls(host: type) -> list[str]:
    """Return the names under which the calls of *host* are counted, sorted."""
    found = {getattr(getattr(host, name, None), _MARK, None) for name in dir(host)}
    return sorted(filter(None, found))


def failure_code(error: BaseException) -> str:
    """Return what *error* is counted as: a failure's code, else the name of its class."""
    return error.code.value if isinstance(error, AssetException) else type(error).__name__


def traceparent_of(context: Any) -> str | None:
    """Return the `traceparent` of *context*, or of the active one where it is None."""
    found: str | None = getattr(context or current_context(), "traceparent", None)
    return found


def _recorded_call(call: Callable[..., Any]) -> Callable[..., Any]:
    name = call.__name__

    # The plain path stands here and nowhere else: a call through it costs two readings of the clock.
    @wraps(call)
    def timed(self: Recorded, *args: Any, **kwargs: Any) -> Any:
        recorder = self.session.recorder
        if tracing.is_on():
            with _span(name, kwargs):
                return _timed(recorder, name, call, self, *args, **kwargs)
        if not recorder.enabled:
            return call(self, *args, **kwargs)
        clock = recorder.clock
        start = clock()
        try:
            answer = call(self, *args, **kwargs)
        except BaseException as error:
            _failed(self, name, error, clock() - start)
            raise
        recorder.record(name, clock() - start)
        return answer

    return timed


def _timed(
    recorder: Recorder,
    name: str,
    call: Callable[..., Any],
    host: Recorded,
    *args: Any,
    **kwargs: Any,
) -> Any:
    start = recorder.clock()
    try:
        answer = call(host, *args, **kwargs)
    except BaseException as error:
        _failed(host, name, error, recorder.clock() - start)
        raise
    recorder.record(name, recorder.clock() - start)
    return answer


def _recorded_coroutine(
    call: Callable[..., Coroutine[Any, Any, Any]],
) -> Callable[..., Coroutine[Any, Any, Any]]:
    name = call.__name__

    @wraps(call)
    async def timed(self: Recorded, *args: Any, **kwargs: Any) -> Any:
        recorder = self.session.recorder
        start = recorder.clock()
        try:
            with _span(name, kwargs):
                answer = await call(self, *args, **kwargs)
        except BaseException as error:
            _failed(self, name, error, recorder.clock() - start)
            raise
        recorder.record(name, recorder.clock() - start)
        return answer

    return timed


def _failed(host: Recorded, name: str, error: BaseException, seconds: float) -> None:
    """Count a call that failed; where it is about a reference, let the exception say in what context."""
    host.session.recorder.record(name, seconds, failures=(failure_code(error),))
    if isinstance(error, AssetException):
        error.details.update(operation=name, elapsed_s=seconds)
        error.details.setdefault("manager", host.session.manager_identifier)
        error.details.setdefault("attempt", 1)


def _span(name: str, arguments: dict[str, Any]) -> tracing.Span:
    """Return the span of a call, in the trace that its context, or the active one, continues."""
    return tracing.span_from(traceparent_of(arguments.get("context")), f"bifrost.{name}")
