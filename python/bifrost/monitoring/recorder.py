# SPDX-License-Identifier: Apache-2.0
"""
Counts operations and how long they take, in memory, for less than a microsecond each.

Durations go into buckets of a logarithmic scale, six per cent wide: a percentile is off by that at
most, and it takes the same room after ten calls and after ten million.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from math import ceil, inf
from time import perf_counter
from typing import Any, Final, NamedTuple

_DECADES: Final = range(-6, 4)  # from a microsecond to nearly three hours
# 1, 2.5 and 5 in each decade, and so many steps from each to the next; all are about equally wide.
_STEPS: Final = ((1.0, 2.5, 16), (2.5, 5.0, 12), (5.0, 10.0, 12))
BOUNDS: Final = tuple(
    float(f"{low * (high / low) ** (step / steps):.12g}e{decade}")
    for decade in _DECADES
    for low, high, steps in _STEPS
    for step in range(steps)
)
"""Upper ends of the buckets in seconds, ascending; one bucket more holds what is longer."""

SHOWN_BOUNDS: Final = tuple(
    bound
    for decade in range(-5, 3)
    for bound in (float(f"{digit}e{decade}") for digit in (1, 2.5, 5))
    if bound <= 100.0
)
"""Those of `BOUNDS` that Prometheus is shown: ten microseconds to 100 seconds."""

OTHER: Final = "other"
"""What is counted in place of one operation, or code, too many."""

_Failures = Mapping[str, int] | Sequence[str]

_COUNTED_AT_ONCE: Final = 256
_MOST_OPERATIONS: Final = 500
_MOST_CODES: Final = 50
_LONGEST_NAME: Final = 100


class Histogram(NamedTuple):
    """
    What is known of one operation, for an exporter.

    Attributes:
        buckets: For each of `SHOWN_BOUNDS`, and for infinity, how many calls took no longer.
        seconds: What all calls took together.
        calls: How many there were.
        elements: How many elements they had.
        failures: How many of these failed, by code.
    """

    buckets: tuple[tuple[float, int], ...]
    seconds: float
    calls: int
    elements: int
    failures: dict[str, int]


class Recorder:
    """
    Counts by operation. Any thread may record, and any may read.

    Names are a bounded set: what comes after the 500th operation, or an operation's 50th code, is
    counted as `other`. Nobody's slip fills the memory or a metrics server.

    Attributes:
        enabled: While False, `record` returns at once.
        clock: Seconds, from any start; what durations are to be measured with.
    """

    _tallies: dict[str, _Tally]

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self.enabled = True
        self.clock = clock
        self.after_fork()

    def record(
        self,
        operation: str,
        seconds: float,
        *,
        elements: int = 1,
        failures: _Failures = (),
    ) -> None:
        """
        Count one call of *operation*.

        Args:
            operation: Its name.
            seconds: What it took.
            elements: How many things it was asked for at once.
            failures: The codes of those that failed: one for each, or how many there are of each.
        """
        if not self.enabled:
            return
        # Set aside, and counted many at a time: half of what counting each at once takes.
        aside = self._aside
        aside.append((operation, seconds, elements, failures))
        if len(aside) >= _COUNTED_AT_ONCE:
            self._count()

    def stats(self) -> dict[str, dict[str, Any]]:
        """
        Return for each operation recorded `count`, `elements`, `avg_duration_ms`, `p50_ms`, `p95_ms`,
        `p99_ms`, `max_ms`, `total_s`, `success_rate` and `failures`.

        `success_rate` is the percentage of elements that did not fail, `failures` counts by code.
        """
        return {name: tally.stats() for name, tally in self._copies()}

    def histograms(self) -> dict[str, Histogram]:
        """Return each operation's cumulative buckets and sums."""
        return {name: tally.histogram() for name, tally in self._copies()}

    def reset(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._aside.clear()
            self._tallies = {}

    def after_fork(self) -> None:
        """Start over in a forked child: what was counted is the parent's, and so are its locks."""
        self._lock = threading.Lock()
        # Appending to a deque, and taking from it, is one step that no other thread divides.
        self._aside: deque[tuple[str, float, int, _Failures]] = deque()
        self._tallies = {}

    def _copies(self) -> list[tuple[str, _Tally]]:
        """Return the counters of this moment, by operation."""
        self._count()
        with self._lock:
            return sorted((name, tally.copied()) for name, tally in self._tallies.items())

    def _count(self) -> None:
        """Count what was set aside."""
        with self._lock:
            tallies, take = self._tallies, self._aside.popleft
            for _ in range(len(self._aside)):
                try:
                    operation, seconds, elements, failures = take()
                except IndexError:  # forgotten by `reset`
                    return
                tally = tallies.get(operation) or self._tally(operation)
                tally.add(seconds, elements, failures)

    def _tally(self, operation: str) -> _Tally:
        """Return the tally of an operation that was not looked up under this name before."""
        name = _clean(operation)
        if name not in self._tallies and len(self._tallies) >= _MOST_OPERATIONS:
            name = OTHER
        return self._tallies.setdefault(name, _Tally())


def no_calls() -> dict[str, Any]:
    """Return what `Recorder.stats` says of an operation that was never called."""
    return _Tally().stats()


class _Tally:
    """The counters of one operation. Not thread-safe."""

    __slots__ = ("buckets", "count", "elements", "failures", "longest", "seconds", "shortest")

    def __init__(self) -> None:
        self.count = 0
        self.elements = 0
        self.seconds = 0.0
        self.shortest = inf
        self.longest = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.failures: dict[str, int] = {}

    def add(self, seconds: float, elements: int, failures: _Failures) -> None:
        """Count one call."""
        if not seconds >= 0.0:  # a clock that was set back; not a number
            seconds = 0.0
        self.count += 1
        self.elements += elements
        self.seconds += seconds
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        if seconds > self.longest:  # noqa: PLR1730  max() takes four times as long
            self.longest = seconds
        if seconds < self.shortest:  # noqa: PLR1730
            self.shortest = seconds
        if failures:
            self.add_failures(failures)

    def add_failures(self, failures: _Failures) -> None:
        """Count *failures*."""
        counted = failures if isinstance(failures, Mapping) else Counter(failures)
        for code, number in counted.items():
            known = self.failures.get(code)
            if known is None:
                code = _clean(code) if len(self.failures) < _MOST_CODES else OTHER
                known = self.failures.get(code, 0)
            self.failures[code] = known + number

    def copied(self) -> _Tally:
        """Return the counters of one moment."""
        copy = _Tally()
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.buckets, copy.failures = self.buckets.copy(), self.failures.copy()
        return copy

    def stats(self) -> dict[str, Any]:
        """Return what people want to know."""
        return {
            "count": self.count,
            "elements": self.elements,
            "avg_duration_ms": 1e3 * self.seconds / self.count if self.count else 0.0,
            "p50_ms": 1e3 * self.percentile(0.50),
            "p95_ms": 1e3 * self.percentile(0.95),
            "p99_ms": 1e3 * self.percentile(0.99),
            "max_ms": 1e3 * self.longest,
            "total_s": self.seconds,
            "success_rate": success_rate(self.elements, sum(self.failures.values())),
            "failures": self.failures,
        }

    def histogram(self) -> Histogram:
        """Return what an exporter wants to know."""
        cumulative: list[tuple[float, int]] = []
        below = place = 0
        for bound in SHOWN_BOUNDS:
            end = bisect_left(BOUNDS, bound) + 1
            below += sum(self.buckets[place:end])
            cumulative.append((bound, below))
            place = end
        cumulative.append((inf, self.count))
        return Histogram(tuple(cumulative), self.seconds, self.count, self.elements, self.failures)

    def percentile(self, share: float) -> float:
        """Return the seconds within which that *share* of the calls ended; 0.0 without any."""
        rank = max(1, ceil(share * self.count))
        below = 0
        for place, number in enumerate(self.buckets):
            if number and below + number >= rank:
                low = BOUNDS[place - 1] if place else 0.0
                high = BOUNDS[place] if place < len(BOUNDS) else self.longest
                guess = low + (high - low) * (rank - below) / number
                return min(max(guess, self.shortest), self.longest)
            below += number
        return 0.0


def success_rate(elements: int, failed: int) -> float:
    """Return the percentage of *elements* that did not fail; of none, all succeeded."""
    if not failed:
        return 100.0
    return 100.0 * max(0, elements - failed) / max(1, elements)


def hit_rate(counters: Mapping[str, float]) -> float:
    """Return the percentage of questions that *counters* (`hits`, `misses`) were answered; 0.0 of none."""
    hits, misses = counters.get("hits", 0), counters.get("misses", 0)
    return 100.0 * hits / (hits + misses) if hits + misses else 0.0


def _clean(name: str) -> str:
    """Return *name* as a text that can be sent: of bounded length, without lone surrogates."""
    return str(name)[:_LONGEST_NAME].encode("utf-8", "replace").decode()
