# SPDX-License-Identifier: Apache-2.0
"""
Whether something that was sampled over time grows, or only moves about.

The samples are put together in blocks, each its median: neighbours in time are alike, and one spike is
no trend. The slope is Theil and Sen's, its interval Sen's (1968), and what decides is Mann and Kendall's
test, its variance made larger by what correlation the blocks still have (Yue and Wang 2004).
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

BLOCKS: Final = 24
"""How many medians a series becomes: enough for the test, few enough that each is a median of many."""

SIGNIFICANCE: Final = 0.01
"""How often a series that goes nowhere may be called a trend: two-sided, so growth half as often."""

_Z_95: Final = 1.96
_FEWEST: Final = 4


@dataclass(frozen=True)
class Trend:
    """
    What a series of values did.

    Attributes:
        level: Median of the values.
        slope: Units a second; *low* and *high* are the ends of its 95 % interval.
        p: How likely such an order is by chance, two-sided.
        span_s: Seconds from the first block's middle to the last one's.
        noise: What the blocks scatter about the slope: 1.48 median absolute deviations.
    """

    level: float
    slope: float
    low: float
    high: float
    p: float
    span_s: float
    noise: float

    @property
    def rise(self) -> float:
        """How much more it is at the end than at the beginning, in units."""
        return self.slope * self.span_s

    def grows(self, tolerance: float) -> bool:
        """
        Whether it goes up by more than chance explains, and by more than *tolerance*, in units.

        The second condition is there since ten minutes make a trend of anything: a page more every minute
        is significant, and nothing.
        """
        return self.p < SIGNIFICANCE and self.rise > tolerance


def trend(times_s: Sequence[float], values: Sequence[float], blocks: int = BLOCKS) -> Trend:
    """
    Return what *values*, sampled at *times_s*, did. Fewer than four samples have no trend: p is 1.

    Raises:
        ValueError: there are no values, or not as many as times.
    """
    if not values or len(times_s) != len(values):
        raise ValueError(f"{len(values)} values at {len(times_s)} times")
    at, medians = _blocks(times_s, values, blocks)
    level = statistics.median(values)
    if len(medians) < _FEWEST:
        return Trend(level, 0.0, 0.0, 0.0, 1.0, at[-1] - at[0], 0.0)
    pairs = list(itertools.combinations(zip(at, medians, strict=True), 2))
    slopes = sorted(
        (later - earlier) / (end - start) for (start, earlier), (end, later) in pairs if end > start
    )
    if not slopes:
        return Trend(level, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0)
    slope = statistics.median(slopes)
    rest = [value - slope * time for time, value in zip(at, medians, strict=True)]
    deviation = math.sqrt(_variance(medians) * _inflation(rest))
    score = sum((b > a) - (b < a) for (_, a), (_, b) in pairs)
    low, high = _interval(slopes, deviation)
    return Trend(level, slope, low, high, _p(score, deviation), at[-1] - at[0], _scatter(rest))


def _blocks(
    times_s: Sequence[float], values: Sequence[float], blocks: int
) -> tuple[list[float], list[float]]:
    count = min(blocks, len(values))
    edges = [len(values) * index // count for index in range(count + 1)]
    parts = list(itertools.pairwise(edges))
    at = [statistics.fmean(times_s[start:end]) for start, end in parts]
    return at, [statistics.median(values[start:end]) for start, end in parts]


def _variance(medians: Sequence[float]) -> float:
    """Return the variance of Kendall's score where there is no trend, equal values counted."""
    count = len(medians)
    ties = Counter(medians).values()
    tied = sum(each * (each - 1) * (2 * each + 5) for each in ties)
    return (count * (count - 1) * (2 * count + 5) - tied) / 18


def _inflation(rest: Sequence[float]) -> float:
    """Return by how much correlation of each block with the next makes that variance larger."""
    mean = statistics.fmean(rest)
    moved = [value - mean for value in rest]
    square = sum(value * value for value in moved)
    if not square:
        return 1.0
    near = sum(a * b for a, b in itertools.pairwise(moved)) / square
    near = min(max(near, 0.0), 0.9)  # what alternates makes nothing more certain
    return (1 + near) / (1 - near)


def _p(score: int, deviation: float) -> float:
    if not deviation or not score:
        return 1.0
    z = (abs(score) - 1) / deviation
    return math.erfc(z / math.sqrt(2))


def _interval(slopes: Sequence[float], deviation: float) -> tuple[float, float]:
    count, reach = len(slopes), _Z_95 * deviation
    first = max(0, math.floor((count - reach) / 2))
    last = min(count - 1, math.ceil((count + reach) / 2))
    return slopes[first], slopes[last]


def _scatter(rest: Sequence[float]) -> float:
    middle = statistics.median(rest)
    return 1.4826 * statistics.median(abs(value - middle) for value in rest)
