# SPDX-License-Identifier: Apache-2.0
"""What no cache knows: in a batch against one at a time, and the pipeline against the bare manager."""

from __future__ import annotations

import measure
from bench import Bench, Reach, Row
from library import Library
from measure import Estimate, Sample, Side

_COLD, _ONES = 10_000, 200
_EACH = 1_000
_ONE_BY_ONE = Reach(100, at_least=True, why="the 10 ms are less beside what a busy machine adds")
_BARE = Reach(
    1.3,
    why="beside BAL's 57 us for an answer, 8 are four trait properties and the look at the file, 5 packing "
    "and storing it, the rest handing it on",
)
_NAMES = {"session": "Session.resolve", "host": "resolve_asset_paths"}


def rows(bench: Bench, library: Library) -> list[Row]:
    """Measure BAL at 10 ms a call, then at 0 ms."""
    return [_cold(bench, library), *_overhead(bench, library)]


def _cold(bench: Bench, library: Library) -> Row:
    cold = Side(
        "BAL at 10 ms",
        {"folder": str(library.folder), "size": _COLD, "ones": _ONES},
        library.environment("cold", latency_ms=10),
        lambda: library.forget("cold"),
    )
    samples = bench.take_turns("cold_batch", [cold], 2 if bench.is_quick else min(bench.turns, 5))
    every = samples[cold.name]
    one, batch = measure.values(every, "each_s"), measure.values(every, "batch", "wall_s")
    round_trips = measure.values(every, "manager", "round_trips")
    return Row(
        f"{_COLD:,} references, BAL at 10 ms, cold: one at a time, to a batch",
        _ONE_BY_ONE,
        measure.ratio([_COLD * each for each in one], batch),
        "x",
        details={
            f"one, ms (of {_ONES})": 1e3 * Estimate.of(one).median,
            f"the batch of {_COLD:,}, ms": 1e3 * Estimate.of(batch).median,
            "its processor time, ms": 1e3 * _median(every, "batch", "cpu_s"),
            "its round trips": Estimate.of(round_trips).median - _ONES,
            "its parts grew to": _median(every, "manager", "batching", "size"),
        },
    )


def _overhead(bench: Bench, library: Library) -> list[Row]:
    side = Side(
        "BAL at 0 ms",
        {
            "folder": str(library.folder),
            "rounds": min(10 if bench.is_quick else 20, library.size // (4 * _EACH) - 1),
            "each": _EACH,
        },
        library.environment("overhead"),
        lambda: library.forget("overhead"),
    )
    samples = bench.take_turns("overhead", [side], 1 if bench.is_quick else min(bench.turns, 4))
    taken: dict[str, dict[str, list[float]]] = {}
    for sample in samples[side.name]:
        for name in ("bare", "used", *_NAMES):
            for what in ("wall_s", "cpu_s"):
                found = measure.values(sample[name], what)
                taken.setdefault(name, {}).setdefault(what, []).extend(found)
    details = {
        f"{name}, us for each": {
            what: 1e6 * Estimate.of(every[what]).median / _EACH for what in ("wall_s", "cpu_s")
        }
        for name, every in taken.items()
    }
    used = {
        f"{name} to references made, resolved and locations read, x": measure.ratio(
            taken[name]["wall_s"], taken["used"]["wall_s"]
        ).median
        for name in _NAMES
    }
    return [
        Row(
            f"{call}, cold batch of {_EACH:,}, BAL at 0 ms, to the bare Manager.resolve{more}",
            _BARE,
            measure.ratio(taken[name][what], taken["bare"][what]),
            "x",
            details=details | used if name == "session" and what == "wall_s" else None,
        )
        for what, more in (("wall_s", ""), ("cpu_s", ", processor time, caches written"))
        for name, call in _NAMES.items()
    ]


def _median(samples: list[Sample], *path: str) -> float:
    return Estimate.of(measure.values(samples, *path)).median
