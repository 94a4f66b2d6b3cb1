# SPDX-License-Identifier: Apache-2.0
"""
Fills the caches with all that opening some roots will ask for, before anybody opens them.

Breadth by breadth through the layers, as `bifrost.usd.dependencies` goes, each breadth in parts that
are asked several at once. What is found under a root is recorded as its closure, so that opening it is
one crossing into Python and no question to a manager.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, NamedTuple

from bifrost.context import Context, ContextSnapshot, effective
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.pipeline.batching import Batch, BatchSize
from bifrost.session import Session, current
from bifrost.usd.closures import Closures
from bifrost.usd.contexts import in_force
from bifrost.usd.dependencies import Found, walk
from bifrost.usd.folder import is_uri
from bifrost.usd.later import Later

Progress = Callable[[int, "int | None"], object]


class Warmed(NamedTuple):
    """
    What warming found.

    Attributes:
        roots: How many roots.
        references: How many entity references they need, themselves included.
        cached: How many of those a cache knew already.
        files: How many plain paths they need.
        problems: What did not resolve, is not there, or can't be read.
        round_trips: How often the manager was asked.
        seconds: How long it took.
    """

    roots: int
    references: int
    cached: int
    files: int
    problems: list[Found]
    round_trips: int
    seconds: float


def warm_roots(
    roots: Sequence[str],
    session: Session | None = None,
    *,
    context: Context | None = None,
    batch_size: int = 1000,
    progress: Progress | None = None,
) -> Warmed:
    """
    Ask for everything that opening *roots*, files or entity references, will ask for.

    Variants that are not selected and payloads are followed, too. Needs no plugin. Needs as many round
    trips as there are levels of layers, or one where our own catalogue knows the relationships.

    Args:
        roots: What will be opened.
        session: Whose caches; the process's own by default.
        context: For whom; the one that is in force by default (`contexts.py`).
        batch_size: How many references one round trip asks for, to begin with.
        progress: Called as `progress(done, None)` with how many references have been answered.

    Raises:
        CatalogueError: the catalogue can't be used.
        ConfigurationError: `BIFROST_CONTEXT` can't be read.
        PermissionDeniedException: the context's token is refused.
    """
    warming = _Warming(session or current(), effective(in_force(context)), batch_size, progress)
    return warming.warm(list(dict.fromkeys(roots)))


class _Warming:
    def __init__(
        self,
        session: Session,
        who: ContextSnapshot,
        batch_size: int,
        progress: Progress | None,
    ) -> None:
        self._session = session
        self._who = session.authenticated(who)
        self._batch_size = batch_size
        self._progress = progress
        self._answers: dict[str, Any] = {}
        self._done = 0
        # From before anything is asked: what changes meanwhile is not what is recorded.
        self._sequence = session.tiers.sequence()

    def warm(self, roots: Sequence[str]) -> Warmed:
        start, before = monotonic(), self._round_trips()
        entities = [root for root in roots if is_uri(root)]
        # One query says what a breadth-first walk would need a question for each level to learn.
        known = self._session.closure(entities, self._who) if entities else None
        if known:
            self._ask(known)
        found: dict[str, Found] = {}
        for root in roots:
            under = walk([root], self._breadth)
            self._record(under)
            found.update((each.reference, each) for each in under)
        references = [each for each in found.values() if is_uri(each.reference)]
        return Warmed(
            len(roots),
            len(references),
            sum(_is_cached(self._answers.get(each.reference)) for each in references),
            len(found) - len(references),
            [each for each in found.values() if each.problem],
            self._round_trips() - before,
            monotonic() - start,
        )

    def _round_trips(self) -> int:
        number: int = self._session.stats()["manager"]["round_trips"]
        return number

    def _breadth(self, references: Sequence[str]) -> Mapping[str, Any]:
        self._ask([each for each in references if each not in self._answers])
        return {each: self._answers[each] for each in references}

    def _ask(self, references: Sequence[str]) -> None:
        if not references:
            return
        batch = Batch(
            BatchSize(self._batch_size), progress=None if self._progress is None else self._tell
        )
        request = Request(Operation.RESOLVE, tuple(references), self._who, batch=batch)
        self._answers.update(self._session.ask(request).items())
        if batch.error is not None:
            raise batch.error
        if self._progress is not None:
            self._done = len(self._answers)
            self._progress(self._done, None)

    def _tell(self, elements: int) -> None:
        self._done += elements
        if self._progress is not None:
            self._progress(self._done, None)

    def _record(self, under: Sequence[Found]) -> None:
        """Record what lies under the first of *under* as the closure that its opening looks for."""
        path = under[0].path
        answers = {
            each.reference: self._answers[each.reference]
            for each in under
            if is_uri(each.reference)
        }
        if not path or not answers or any(each.hangs for each in under):
            return
        session, later = self._session, Later()
        closures = Closures(session.tiers, later)
        scope = session.cache.scope(self._who.scope)
        closures.record(scope, path, answers, self._sequence)
        later.run_all()


def _is_cached(outcome: Any) -> bool:
    return isinstance(outcome, Resolution) and outcome.tier not in ("manager", "fallback")
