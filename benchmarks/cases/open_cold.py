# SPDX-License-Identifier: Apache-2.0
"""Opening with nothing cached: our own catalogue, and BAL as a foreign manager, fast and slow."""

from __future__ import annotations

import measure
from bench import PLAIN, Bench, Reach, Row, Subject, bifrost, open_figures, whole_process
from measure import Estimate, Sample
from rewritten import with_latency

_FOREIGN_OPEN = Reach(
    1.8, why="BAL's own time for each answer, and ours to carry it through OpenAssetIO's traits"
)
_OWN_OPEN = Reach(
    1.3,
    why="of 6,000 answers a third is carrying them through OpenAssetIO's traits as its contract asks: "
    "42,000 properties set, 30,000 read",
)
_SLOW_OPEN = Reach(
    0.25,
    why="10 ms for each round trip, and what parts of a batch that wait beside each other take",
)
_OWN_TRIPS = 3
_OWN, _BAL, _SLOW = "own catalogue, cold", "BAL at 0 ms, cold", "BAL at 10 ms, cold"


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Measure the opens, their round trips, and the start before them."""
    own, bal = subject.own, subject.bal
    sides = (
        bifrost(_OWN, own, cold=True),
        bifrost(_BAL, bal, with_latency(bal, 0), cold=True),
        bifrost(_SLOW, bal, with_latency(bal, 10), cold=True),
    )
    samples = bench.opened_in_turns(subject, sides)
    return [
        _open(f"open, cold, BAL at 0 ms ({subject.name})", _FOREIGN_OPEN, samples, _BAL),
        *_slow(subject, samples),
        _round_trips(
            f"open, cold, own catalogue: round trips ({subject.name})", _OWN_TRIPS, samples[_OWN]
        ),
        _open(f"open, cold, own catalogue ({subject.name})", _OWN_OPEN, samples, _OWN),
        *(_start_up(f"start-up, {name} ({subject.name})", samples, name) for name in (_OWN, _BAL)),
    ]


def _slow(subject: Subject, samples: dict[str, list[Sample]]) -> list[Row]:
    over = measure.difference(
        measure.values(samples[_SLOW], "open_s"), measure.values(samples[_BAL], "open_s")
    )
    return [
        _round_trips(
            f"open, cold, BAL at 10 ms: round trips ({subject.name})",
            subject.levels + 2,
            samples[_SLOW],
        ),
        Row(
            f"open, cold, BAL at 10 ms, over the 0 ms figure ({subject.name})",
            _SLOW_OPEN,
            over,
            "s",
            process=whole_process(samples[_SLOW], samples[PLAIN]),
        ),
    ]


def _open(what: str, reach: Reach, samples: dict[str, list[Sample]], side: str) -> Row:
    ours, plain = samples[side], samples[PLAIN]
    estimate = measure.ratio(measure.values(ours, "open_s"), measure.values(plain, "open_s"))
    return Row(
        what,
        reach,
        estimate,
        "x",
        process=whole_process(ours, plain),
        details=open_figures({side: ours, PLAIN: plain})
        | {
            "counters after the open": ours[-1]["after_open"],
            "counters after the attributes": ours[-1]["after_attributes"],
        },
    )


def _round_trips(what: str, limit: int, ours: list[Sample]) -> Row:
    counted = Estimate.of(measure.values(ours, "after_open", "round_trips"))
    return Row(what, Reach(limit), counted, "")


def _start_up(what: str, samples: dict[str, list[Sample]], side: str) -> Row:
    """Plugin load, imports and the manager's initialisation: what the other rows exclude."""
    ours, plain = samples[side], samples[PLAIN]
    over = measure.difference(_started(ours), _started(plain))
    return Row(what, None, over.scaled(1000), "ms", process=whole_process(ours, plain))


def _started(samples: list[Sample]) -> list[float]:
    warm, manager = measure.values(samples, "start_s"), measure.values(samples, "manager_s")
    return [a + b for a, b in zip(warm, manager, strict=True)]
