# SPDX-License-Identifier: Apache-2.0
"""What counting, serving metrics and tracing cost where nothing else takes long."""

from __future__ import annotations

from collections.abc import Sequence

import measure
from bench import Bench, Reach, Row
from library import Library
from measure import Estimate, Sample, Side

_BATCH = 1_000
_PAIRS = 30
_COUNTED = Reach(
    1.05,
    why="a single warm resolve takes 15 to 20 us, and counting it twice, as a call and as a request, 3.8",
)
_SPANS = Reach(1.02, why="asking twice whether tracing is on, in a request of some microseconds")


def rows(bench: Bench, library: Library) -> list[Row]:
    """Measure processor time in pairs of blocks, a third of the pairs in each of three processes."""
    processes = 1 if bench.is_quick else 3
    pairs = 10 if bench.is_quick else _PAIRS // processes
    given = {"folder": str(library.folder), "pairs": pairs}
    blocks = {"block_s": 0.2 if bench.is_quick else 0.4}
    environment = library.environment("monitoring")
    monitored = Side("on and off", {**given, **blocks, "size": _BATCH}, environment)
    traced = Side("tracing", {**given, **blocks}, environment)
    counted = _samples(bench, "monitored", monitored, processes)
    spans = _samples(bench, "traced", traced, processes)
    return [
        _monitored("warm single resolves", "one", counted),
        _monitored(f"warm batches of {_BATCH:,}", "batch", counted),
        _traced(spans),
    ]


def _samples(bench: Bench, program: str, side: Side, count: int) -> list[Sample]:
    found = []
    for number in range(count):
        bench.say(f"{side.name}, {number + 1}/{count}")
        found.append(measure.run(program, side))
    return found


def _monitored(what: str, call: str, samples: Sequence[Sample]) -> Row:
    on, off = _pooled(samples, call)
    return Row(
        f"monitoring on to off, processor time: {what}",
        _COUNTED,
        measure.ratio(on, off),
        "x",
        details={
            "on, us a call": 1e6 * Estimate.of(on).median,
            "off, us a call": 1e6 * Estimate.of(off).median,
            "a scrape, ms": 1e3 * Estimate.of(measure.values(samples, "scrape_cpu_s")).median,
            "its bytes": samples[-1]["bytes"],
        },
    )


def _traced(samples: Sequence[Sample]) -> Row:
    on, off = _pooled(samples, "observe")
    asked = Estimate.of(measure.values(samples, "is_on_s")).median
    whole = Estimate.of(measure.values(samples, "whole_s")).median
    return Row(
        "tracing without an SDK to none, processor time: one warm request",
        _SPANS,
        measure.ratio(on, off),
        "x",
        details={
            "with, us": 1e6 * Estimate.of(on).median,
            "without, us": 1e6 * Estimate.of(off).median,
            "`tracing.is_on`, us": 1e6 * asked,
            "`resolve_asset_path`, which asks it twice, us": 1e6 * whole,
            "so that without it takes, x": whole / (whole - 2 * asked),
        },
    )


def _pooled(samples: Sequence[Sample], call: str) -> tuple[list[float], list[float]]:
    on, off = ([each for s in samples for each in s[call][side]] for side in ("on", "off"))
    return on, off
