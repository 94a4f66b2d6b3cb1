# SPDX-License-Identifier: Apache-2.0
"""How long until another host has forgotten what one invalidates, through Redis."""

from __future__ import annotations

from bench import Bench, Reach, Row
from library import Library
from measure import Estimate, Side

from bifrost.testing.redis import RedisServer

_EVENTS = 400
_PAUSE_S = 0.003
_HEARD = Reach(10, why="one in a hundred waits for a core that something else has")


def rows(bench: Bench, library: Library) -> list[Row]:
    """Measure it between two processes with homes of their own, both with all three tiers."""
    with RedisServer() as server:
        shared = {"CACHE__DISTRIBUTED_URL": server.url}
        side = Side(
            "Redis",
            {
                "folder": str(library.folder),
                "home": library.environment("hearing")["BIFROST_HOME"],
                "events": _EVENTS,
                "pause_s": _PAUSE_S,
            },
            library.environment("invalidating", settings=shared),
        )
        turns = 2 if bench.is_quick else 2 * min(bench.turns, 5)
        samples = bench.take_turns("invalidate", [side], turns)[side.name]
    every = [sorted(1e3 * seconds for seconds in sample["seconds"]) for sample in samples]
    together = sorted(each for latencies in every for each in latencies)
    return [
        Row(
            f"invalidation seen by another process through Redis: p99 of {_EVENTS} events",
            _HEARD,
            Estimate.of([_percentile(latencies, 99) for latencies in every]),
            "ms",
            details={
                "events": len(together),
                **{f"p{share}, ms": _percentile(together, share) for share in (50, 90, 99)},
                "longest, ms": together[-1],
            },
        )
    ]


def _percentile(ordered: list[float], share: int) -> float:
    """Return the nearest-rank percentile: so many per cent are no longer."""
    return ordered[max(0, -(-share * len(ordered) // 100) - 1)]
