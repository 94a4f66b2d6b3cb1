# SPDX-License-Identifier: Apache-2.0
"""Opening with nothing cached: our own catalogue, and BAL as a foreign manager, fast and slow."""

from __future__ import annotations

import measure
from bench import PLAIN, Bench, Row, Subject, bifrost, open_figures, whole_process
from measure import Estimate, Sample
from rewritten import with_latency

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
        _open(f"open, cold, BAL at 0 ms ({subject.name})", 1.8, samples, _BAL),
        *_slow(subject, samples),
        _round_trips(f"open, cold, own catalogue: round trips ({subject.name})", 3, samples[_OWN]),
        _open(f"open, cold, own catalogue ({subject.name})", 1.3, samples, _OWN),
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
            "<= 0.25 s",
            over,
            "s",
            0.25,
            process=whole_process(samples[_SLOW], samples[PLAIN]),
        ),
    ]


def _open(what: str, limit: float, samples: dict[str, list[Sample]], side: str) -> Row:
    ours, plain = samples[side], samples[PLAIN]
    estimate = measure.ratio(measure.values(ours, "open_s"), measure.values(plain, "open_s"))
    return Row(
        what,
        f"<= {limit}x",
        estimate,
        "x",
        limit,
        process=whole_process(ours, plain),
        details=open_figures({side: ours, PLAIN: plain})
        | {
            "counters after the open": ours[-1]["after_open"],
            "counters after the attributes": ours[-1]["after_attributes"],
        },
    )


def _round_trips(what: str, limit: int, ours: list[Sample]) -> Row:
    counted = Estimate.of(measure.values(ours, "after_open", "round_trips"))
    return Row(what, f"<= {limit}", counted, "", limit)


def _start_up(what: str, samples: dict[str, list[Sample]], side: str) -> Row:
    """Plugin load, imports and the manager's initialisation: what the other rows exclude."""
    ours, plain = samples[side], samples[PLAIN]
    over = measure.difference(_started(ours), _started(plain))
    return Row(what, "", over.scaled(1000), "ms", process=whole_process(ours, plain))


def _started(samples: list[Sample]) -> list[float]:
    warm, manager = measure.values(samples, "start_s"), measure.values(samples, "manager_s")
    return [a + b for a, b in zip(warm, manager, strict=True)]
