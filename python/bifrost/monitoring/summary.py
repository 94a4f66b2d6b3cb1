# SPDX-License-Identifier: Apache-2.0
"""Metrics as people read them, whichever process they come from: for each operation, each tier."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isfinite, nan
from typing import Any

from bifrost.monitoring.families import PREFIX, Sample
from bifrost.monitoring.recorder import hit_rate, success_rate

_OPERATION = f"{PREFIX}operation_"
_CACHE = f"{PREFIX}cache_"
_SECTIONS = {
    f"{PREFIX}manager_": "manager",
    f"{PREFIX}resolver_": "resolver",
    "process_": "process",
}


def summary(samples: Iterable[Sample]) -> dict[str, Any]:
    """
    Return `version`, and tables of `operations`, `tiers`, `cache`, `manager`, `resolver` and
    `process`; those that *samples* say nothing of are empty.

    Samples may be anybody's: what is not of Bifrost is passed over, and nothing raises.
    """
    found: dict[str, Any] = {
        "version": "",
        "operations": defaultdict(_Operation),
        **{name: {} for name in ("tiers", "cache", "manager", "resolver", "process")},
    }
    for sample in samples:
        _add(found, sample)
    operations: Mapping[str, _Operation] = found["operations"]
    found["operations"] = {name: each.shown() for name, each in sorted(operations.items())}
    for tier in found["tiers"].values():
        tier["hit_rate"] = hit_rate(tier)
    return found


def _add(found: dict[str, Any], sample: Sample) -> None:
    name = sample.name.removesuffix("_total")
    if name.startswith(_OPERATION):
        found["operations"][sample.labels.get("operation", "")].add(name, sample)
    elif name.startswith(_CACHE):
        tier = sample.labels.get("tier")
        table = found["cache"] if tier is None else found["tiers"].setdefault(tier, {})
        table[name.removeprefix(_CACHE)] = _whole(sample.value)
    elif name == f"{PREFIX}breaker_state":
        if sample.value == 1:
            found["manager"]["breaker"] = sample.labels.get("state", "")
    elif name == f"{PREFIX}build_info":
        found["version"] = sample.labels.get("version", "")
    else:
        for prefix, section in _SECTIONS.items():
            if name.startswith(prefix):
                found[section][name.removeprefix(prefix)] = _whole(sample.value)


class _Operation:
    """What the samples of one operation say together."""

    def __init__(self) -> None:
        self.calls = self.seconds = self.elements = 0.0
        self.failures: dict[str, float] = {}
        self.buckets: list[tuple[float, float]] = []

    def add(self, name: str, sample: Sample) -> None:
        """Take in one sample."""
        match name.removeprefix(_OPERATION):
            case "duration_seconds_bucket":
                self.buckets.append((_bound(sample.labels.get("le", "")), sample.value))
            case "duration_seconds_count":
                self.calls = sample.value
            case "duration_seconds_sum":
                self.seconds = sample.value
            case "elements":
                self.elements = sample.value
            case "failures":
                self.failures[sample.labels.get("code", "")] = sample.value

    def shown(self) -> dict[str, Any]:
        """Return counts, rates and times in milliseconds."""
        buckets = sorted(self.buckets)
        failed = sum(self.failures.values())
        return {
            "count": _whole(self.calls),
            "elements": _whole(self.elements),
            "avg_duration_ms": 1e3 * self.seconds / self.calls if self.calls else 0.0,
            "p50_ms": 1e3 * _percentile(buckets, 0.50),
            "p95_ms": 1e3 * _percentile(buckets, 0.95),
            "p99_ms": 1e3 * _percentile(buckets, 0.99),
            "success_rate": success_rate(_whole(self.elements), _whole(failed)),
            "failures": {code: _whole(number) for code, number in self.failures.items()},
        }


def _percentile(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """Return the seconds within which that *share* ended, as `histogram_quantile` would guess them."""
    rank = share * buckets[-1][1] if buckets else 0.0
    low = below = 0.0
    for bound, number in buckets:
        if number >= rank > 0.0 and number > below:
            if bound == inf:
                return low
            return low + (bound - low) * (rank - below) / (number - below)
        low, below = bound, number
    return 0.0


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return inf


def _whole(value: float) -> Any:
    """Return *value* as an int where it is one: counters are sent as floats."""
    if not isfinite(value):
        return nan if value != value else value  # noqa: PLR0124
    return int(value) if value == int(value) else value
