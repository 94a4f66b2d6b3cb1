# SPDX-License-Identifier: Apache-2.0
"""How a host's call goes through any number of references: in windows, in order, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from time import perf_counter
from typing import Any, Final, NamedTuple

from bifrost.context import ContextSnapshot, effective
from bifrost.errors import BatchCancelledException
from bifrost.host.asking import raised
from bifrost.host.batch_options import BatchOptions, OnError, Progress
from bifrost.model.entity_reference import without_format_args
from bifrost.model.reply import Failure
from bifrost.model.request import Operation, Request
from bifrost.pipeline.batching import CANCELLED, Batch, BatchSize
from bifrost.session import Session

Ask = Callable[[Request], Sequence[Any]]
"""What sends a window's request and returns its outcomes: answers, or failures."""

# Large enough to keep every worker busy, small enough to hold.
_WINDOW: Final = 4096
_MOST_IN_WINDOW: Final = 65_536
_ON_ERROR: Final = ("raise", "return", "skip")


class Options(NamedTuple):
    """What a batch call was given, with the defaults: see `bifrost.host.batch_options.BatchOptions`."""

    batch_size: int = 100
    adaptive: bool = True
    max_workers: int | None = None
    progress: Progress | None = None
    on_error: OnError = "raise"
    deadline_s: float | None = None

    def checked(self) -> Options:
        """
        Return these options.

        Raises:
            ValueError: one of them can't be.
        """
        if self.on_error not in _ON_ERROR:
            raise ValueError(f"on_error: expected one of {_ON_ERROR}, got {self.on_error!r}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size: expected 1 or more, got {self.batch_size!r}")
        if self.max_workers is not None and self.max_workers < 1:
            raise ValueError(f"max_workers: expected 1 or more, got {self.max_workers!r}")
        return self


class Run:
    """
    One batch call under way. For the thread that makes it, `cancel` aside.

    Args:
        session: Who is asked.
        operation: What is asked of each reference.
        snapshot: Who asks.
        options: How.
        ask: What sends a request and returns its outcomes; the session's pipeline by default.
    """

    def __init__(
        self,
        session: Session,
        operation: Operation,
        snapshot: ContextSnapshot,
        options: Options,
        ask: Ask | None = None,
    ) -> None:
        self._session = session
        self._operation = operation
        self._snapshot = snapshot
        self._options = options.checked()
        self._ask = ask or (lambda request: session.ask(request).outcomes)
        self._start = perf_counter()
        self._batch = Batch(
            BatchSize(options.batch_size, adaptive=options.adaptive),
            options.max_workers,
            None if options.progress is None else self._answered,
        )
        self._total: int | None = None
        self._done = self._in_window = 0

    def cancel(self) -> None:
        """End the batch as soon as possible. Any thread."""
        self._batch.cancel()

    def listed(self, uris: Iterable[str]) -> list[Any]:
        """
        Return the answers for *uris*, in order. Each is asked once, however often it is among them.

        Raises:
            AssetException: with `on_error="raise"`, what the first one that failed raises.
            BatchCancelledException: it was cancelled; has what was answered.
            TypeError: one of them is no text, or *uris* is one text.
        """
        uris = list(_several(uris))
        self._total = len(uris)
        unique = list(dict.fromkeys(uris))
        if len(unique) == len(uris):
            return self._kept(self._outcomes(unique), len(uris))
        answers = dict(zip(unique, self._outcomes(unique), strict=False))
        self._tell(len(uris))
        return self._kept((answers.get(uri, CANCELLED) for uri in uris), len(uris))

    def streamed(self, uris: Iterable[str]) -> Iterator[Any]:
        """
        Yield the answers for *uris*, in order, holding a window of them at a time.

        Each window asks once for what is in it more than once; from one to the next the caches remember.

        Raises:
            As `listed`; what was yielded before is all that there is.
        """
        on_error = self._options.on_error
        for outcome in self._outcomes(_several(uris)):
            if outcome is CANCELLED:
                raise BatchCancelledException("the batch was cancelled", [])
            if not isinstance(outcome, Exception):
                yield outcome
            elif on_error == "raise":
                raise outcome
            elif on_error == "return":
                yield outcome
        if self._batch.is_cancelled:
            raise BatchCancelledException("the batch was cancelled", [])

    async def awaited(self, uris: Iterable[str]) -> list[Any]:
        """
        Return what `listed` does, made on another thread with this one's contextvars.

        Raises:
            As `listed`. Cancelling the task ends the batch.
        """
        import asyncio

        try:
            return await asyncio.to_thread(self.listed, uris)
        except asyncio.CancelledError:
            self.cancel()  # the thread is done as soon as it hears of it
            raise

    def _kept(self, outcomes: Iterable[Any], count: int) -> list[Any]:
        on_error = self._options.on_error
        results = list(outcomes)
        if self._batch.is_cancelled and (len(results) < count or CANCELLED in results):
            answered = [None if outcome is CANCELLED else outcome for outcome in results]
            answered += [None] * (count - len(results))
            raise BatchCancelledException(
                f"the batch was cancelled after {self._done} of {count}", answered
            )
        if on_error == "return":
            return results
        if on_error == "skip":
            return [outcome for outcome in results if not isinstance(outcome, Exception)]
        failed = next((each for each in results if isinstance(each, Exception)), None)
        if failed is not None:
            raise failed
        return results

    def _outcomes(self, uris: Iterable[str]) -> Iterator[Any]:
        """Yield what came of each: an answer, or the exception that it raises."""
        size = max(_WINDOW, 2 * self._options.batch_size * (self._options.max_workers or 1))
        for window in _windows(uris, min(size, _MOST_IN_WINDOW)):
            outcomes = self._window(window)
            for index, outcome in enumerate(outcomes):
                if type(outcome) is Failure and outcome is not CANCELLED:
                    outcomes[index] = self._exception(outcome, window[index])
            self._tell(self._done + len(window))
            yield from outcomes
            if self._batch.is_cancelled:
                return
            if self._options.on_error == "raise" and any(
                isinstance(outcome, Exception) for outcome in outcomes
            ):
                return  # the caller raises it: what comes after is not wanted

    def _window(self, window: Sequence[str]) -> list[Any]:
        references = tuple(map(without_format_args, window))
        options, self._in_window = self._options, 0
        request = Request(
            self._operation, references, self._snapshot, options.deadline_s, batch=self._batch
        )
        outcomes = list(self._ask(request))
        if self._batch.error is not None:
            raise self._batch.error
        return outcomes

    def _exception(self, failure: Failure, uri: str) -> Exception:
        return raised(self._session, failure, uri, self._operation, self._snapshot, self._start)

    def _answered(self, elements: int) -> None:
        """Hear of a round trip while the window lasts."""
        self._in_window += elements
        self._report(self._done + self._in_window)

    def _tell(self, done: int) -> None:
        is_news = done != self._done + self._in_window or self._in_window == 0
        self._done, self._in_window = done, 0
        if is_news and not self._batch.is_cancelled:
            self._report(done)

    def _report(self, done: int) -> None:
        progress = self._options.progress
        if progress is not None and progress(done, self._total) is False:
            self._batch.cancel()


def run_of(
    session: Session,
    operation: Operation,
    batch_size: int,
    options: BatchOptions,
    ask: Ask | None = None,
) -> Run:
    """
    Return the run of a batch call that was given *batch_size* and *options*.

    Raises:
        TypeError: there is no such option.
        ValueError: one of them can't be.
    """
    given: dict[str, Any] = dict(options)
    snapshot = effective(given.pop("context", None))
    return Run(session, operation, snapshot, Options(batch_size, **given), ask)


def _several(uris: Iterable[str]) -> Iterable[str]:
    # A text is an iterable of texts, too: its letters.
    if isinstance(uris, str):
        raise TypeError(f"expected several entity references, got one text: {uris!r:.80}")
    return uris


def _windows(things: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(things)
    while window := list(islice(iterator, size)):
        for thing in window:
            if not isinstance(thing, str):
                raise TypeError(
                    f"expected entity references as texts, got {type(thing).__name__}: {thing!r:.80}"
                )
        yield window
