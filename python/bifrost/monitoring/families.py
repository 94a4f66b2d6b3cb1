# SPDX-License-Identifier: Apache-2.0
"""
The metrics of a process by name, as plain values: what is served and what the terminal shows.

Labels are bounded sets: operations, codes, tiers, states. No reference and no user is ever one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, Final, NamedTuple

from bifrost.monitoring.recorder import Histogram

PREFIX: Final = "bifrost_"


class Sample(NamedTuple):
    """One number: its full name, its labels, its value."""

    name: str
    labels: Mapping[str, str]
    value: float


class Family(NamedTuple):
    """
    A metric and its samples.

    Attributes:
        name: Its name, unit included, without the `_total` of counters.
        kind: `counter`, `gauge` or `histogram`.
        text: What it says, for people.
        samples: Its numbers.
    """

    name: str
    kind: str
    text: str
    samples: tuple[Sample, ...]


class _Metric(NamedTuple):
    """One metric and the key of the counter that it shows."""

    name: str
    kind: str
    key: str
    text: str


_TIER: Final = (
    _Metric("cache_hits", "counter", "hits", "Answers that a tier of the cache had."),
    _Metric("cache_misses", "counter", "misses", "Questions that a tier could not answer."),
    _Metric("cache_entries", "gauge", "entries", "Entries that a tier holds."),
    _Metric("cache_bytes", "gauge", "bytes", "Bytes that a tier takes."),
    _Metric("cache_max_bytes", "gauge", "max_bytes", "Bytes that a tier may take."),
    _Metric("cache_evictions", "counter", "evictions", "Entries that went to make room."),
    _Metric("cache_errors", "counter", "errors", "Failures of a tier; each was a miss."),
)
# Of references that were asked for, whichever tier had the answer.
_CACHE: Final = (
    _Metric("cache_asked", "counter", "elements", "References that were asked for."),
    _Metric("cache_answered", "counter", "hits", "References that a cache answered, any tier."),
    _Metric(
        "cache_stale_served",
        "counter",
        "stale_served",
        "Expired answers served while the manager was down.",
    ),
    _Metric(
        "cache_revalidated",
        "counter",
        "revalidated",
        "Expired answers served while they were asked for again.",
    ),
)
_MANAGER: Final = (
    _Metric("manager_round_trips", "counter", "round_trips", "Calls of the asset manager."),
    _Metric(
        "manager_fallback_served", "counter", "fallback_served", "Answers of the second manager."
    ),
)
_BATCHING: Final = (
    _Metric(
        "manager_batches", "counter", "parts", "Round trips that larger batches were cut into."
    ),
    _Metric("manager_batch_size", "gauge", "size", "References in the last of them, as adapted."),
)
_THREADS: Final = (
    _Metric("manager_workers", "gauge", "workers", "Threads that call the manager."),
    _Metric("manager_workers_busy", "gauge", "busy", "Threads that are calling it now."),
    _Metric("manager_waiting", "gauge", "waiting", "Calls that wait for a thread."),
)
_CONNECTIONS: Final = (
    _Metric("database_connections", "gauge", "open", "Connections to the catalogue's database."),
    _Metric("database_connections_in_use", "gauge", "in_use", "Those of them that are in use."),
)
_RESOLVER: Final = (
    _Metric(
        "resolver_table_entries", "gauge", "entries", "Resolutions in the C++ resolver's table."
    ),
    _Metric("resolver_table_bytes", "gauge", "bytes", "Bytes of the C++ resolver's table."),
    _Metric("resolver_table_hits", "counter", "hits", "Resolves that the table answered."),
    _Metric("resolver_table_misses", "counter", "misses", "Resolves that the table did not know."),
    _Metric(
        "resolver_table_crossings", "counter", "crossings", "Calls from the resolver into Python."
    ),
    _Metric("resolver_contexts", "gauge", "contexts", "Living resolver contexts."),
)
_BREAKER_STATES: Final = ("closed", "open", "half-open")


def families(
    stats: Mapping[str, Any],
    operations: Mapping[str, Histogram],
    resolver: Mapping[str, Any] | None = None,
    *,
    version: str = "",
) -> list[Family]:
    """
    Return the metrics that these counters give. What they don't have is left out.

    Args:
        stats: What `Session.stats` returns.
        operations: What `Recorder.histograms` returns.
        resolver: What the C++ resolver counted; None while it isn't loaded.
        version: Bifrost's.
    """
    tiers = _table(stats, "tiers")
    manager = _table(stats, "manager")
    return [
        _build(version),
        *_of_operations(operations),
        *_by_tier(_table(tiers, "tiers")),
        *_of(_table(stats, "cache"), _CACHE),
        *_of(manager, _MANAGER),
        *_of(_table(manager, "batching"), _BATCHING),
        *_of(_table(manager, "threads"), _THREADS),
        *_of(_table(_table(stats, "resources"), "database_connections"), _CONNECTIONS),
        *_breaker(manager.get("breaker")),
        *_of(resolver or {}, _RESOLVER),
    ]


def _build(version: str) -> Family:
    sample = Sample(f"{PREFIX}build_info", {"version": version}, 1.0)
    return Family(sample.name, "gauge", "The version of Bifrost that runs.", (sample,))


def _of_operations(operations: Mapping[str, Histogram]) -> Iterator[Family]:
    duration, elements = f"{PREFIX}operation_duration_seconds", f"{PREFIX}operation_elements"
    failures = f"{PREFIX}operation_failures"

    def samples(made: Callable[[str, Histogram], Iterator[Sample]]) -> tuple[Sample, ...]:
        return tuple(one for name, found in operations.items() for one in made(name, found))

    def buckets(name: str, found: Histogram) -> Iterator[Sample]:
        labels = {"operation": name}
        for bound, number in found.buckets:
            end = "+Inf" if bound == inf else repr(bound)
            yield Sample(f"{duration}_bucket", {**labels, "le": end}, number)
        yield Sample(f"{duration}_count", labels, found.calls)
        yield Sample(f"{duration}_sum", labels, found.seconds)

    def counted(name: str, found: Histogram) -> Iterator[Sample]:
        yield Sample(f"{elements}_total", {"operation": name}, found.elements)

    def failed(name: str, found: Histogram) -> Iterator[Sample]:
        for code, number in found.failures.items():
            yield Sample(f"{failures}_total", {"operation": name, "code": code}, number)

    yield Family(duration, "histogram", "What calls took, in seconds.", samples(buckets))
    yield Family(elements, "counter", "Elements that calls asked for.", samples(counted))
    yield Family(failures, "counter", "Elements that failed, by code.", samples(failed))


def _by_tier(tiers: Mapping[str, Any]) -> Iterator[Family]:
    for metric in _TIER:
        samples = [
            _sample(metric, value, tier=name)
            for name, counters in tiers.items()
            if (value := _number(counters, metric.key)) is not None
        ]
        if samples:
            yield _family(metric, samples)


def _of(counters: Mapping[str, Any], metrics: tuple[_Metric, ...]) -> Iterator[Family]:
    for metric in metrics:
        value = _number(counters, metric.key)
        if value is not None:
            yield _family(metric, [_sample(metric, value)])


def _breaker(state: Any) -> Iterator[Family]:
    if not isinstance(state, str):
        return
    name = f"{PREFIX}breaker_state"
    samples = tuple(Sample(name, {"state": each}, float(each == state)) for each in _BREAKER_STATES)
    yield Family(name, "gauge", "1 for the state that the manager's breaker is in.", samples)


def _family(metric: _Metric, samples: list[Sample]) -> Family:
    return Family(f"{PREFIX}{metric.name}", metric.kind, metric.text, tuple(samples))


def _sample(metric: _Metric, value: float, **labels: str) -> Sample:
    ending = "_total" if metric.kind == "counter" else ""
    return Sample(f"{PREFIX}{metric.name}{ending}", labels, value)


def _table(counters: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = counters.get(key)
    return found if isinstance(found, Mapping) else {}


def _number(counters: Any, key: str) -> float | None:
    value = counters.get(key) if isinstance(counters, Mapping) else None
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
