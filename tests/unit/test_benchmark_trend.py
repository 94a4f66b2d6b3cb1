# SPDX-License-Identifier: Apache-2.0
"""The soak's verdict tells growth from noise."""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SERIES = 200
SAMPLES = 400


@pytest.fixture
def trend(monkeypatch):
    """The function that judges a series."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from trend import trend

    yield trend
    sys.modules.pop("trend", None)


def noise(seed: int, memory: float = 0.0) -> list[float]:
    """Return values about 100, each of which remembers so much of the one before."""
    rng, at, values = Random(seed), 0.0, []
    for _ in range(SAMPLES):
        at = memory * at + rng.gauss(0.0, 1.0)
        values.append(100.0 + at)
    return values


@pytest.mark.parametrize("memory", [0.0, 0.9])
def test_noise_is_no_growth(trend, memory: float) -> None:
    """
    Not in more than two of a hundred series, even where each value is much like the one before.
    """
    times = list(range(SAMPLES))

    wrong = [seed for seed in range(SERIES) if trend(times, noise(seed, memory)).grows(0.0)]

    assert len(wrong) <= SERIES * 2 // 100, f"seeds {wrong}"


def test_a_small_leak_in_noise_is_growth(trend) -> None:
    """
    One that comes to as much as the noise scatters, over all of the time.
    """
    times = list(range(SAMPLES))

    found = [
        trend(times, [value + 2.0 * at / SAMPLES for at, value in enumerate(noise(seed))])
        for seed in range(SERIES)
    ]

    assert [] == [seed for seed, each in enumerate(found) if not each.grows(0.5)]


def test_what_rises_less_than_is_tolerated_is_no_growth(trend) -> None:
    """
    However certain the rise is.
    """
    found = trend(range(SAMPLES), [100.0 + at / SAMPLES for at in range(SAMPLES)])

    assert found.p < 0.001
    assert (True, False) == (found.grows(0.5), found.grows(1.5))


def test_a_slope_is_given_in_units_a_second_with_its_interval(trend) -> None:
    """
    Whatever the distance of the samples.
    """
    found = trend([10.0 * at for at in range(100)], [5.0 + 3.0 * at for at in range(100)])

    assert pytest.approx(0.3) == found.slope
    assert found.low <= found.slope <= found.high


def test_spikes_are_no_growth(trend) -> None:
    """
    What goes back is not held, however often it comes at the end.
    """
    values = [100.0 + (50.0 if at % 7 == 0 and at > SAMPLES // 2 else 0.0) for at in range(SAMPLES)]

    assert not trend(range(SAMPLES), values).grows(1.0)


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], [7.0] * 50])
def test_few_or_equal_values_have_no_trend(trend, values: list[float]) -> None:
    """
    Nothing is said of them: p is 1.
    """
    assert trend(range(len(values)), values).p == 1.0


def test_values_without_times_are_refused(trend) -> None:
    """
    As are none at all.
    """
    for times, values in (([], []), ([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError, match="values at"):
            trend(times, values)
