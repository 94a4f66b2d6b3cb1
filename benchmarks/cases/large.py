# SPDX-License-Identifier: Apache-2.0
"""A shot of 20,000 layers opened by reference, among a million other assets of the same catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import catalogue_load
import measure
from bench import PLAIN, Bench, Reach, Row, Subject, bifrost, open_figures, whole_process
from measure import Estimate, Sample
from shot import generate

_LAYERS: Final = 20_000
_OTHERS: Final = 1_000_000
_QUICK_LAYERS: Final = 1_000
_QUICK_OTHERS: Final = 10_000
_WARM: Final = "LMDB warm"
_COLD: Final = "cold"
_OPEN_WARM: Final = Reach(
    1.0,
    why="as with fewer layers: OpenUSD's routing by scheme against what anchoring relative paths takes",
)
_OPEN_COLD: Final = Reach(
    1.3, why="as with fewer layers: carrying answers through OpenAssetIO's traits"
)
_TRIPS: Final = Reach(3)


def rows(bench: Bench, data: Path) -> list[Row]:
    """Measure the opens beside plain files, by the root's path."""
    layers = _QUICK_LAYERS if bench.is_quick else _LAYERS
    others = _QUICK_OTHERS if bench.is_quick else _OTHERS
    bench.say(f"a catalogue of {others:,} assets")
    catalogue_load.sqlite(data / f"assets_{others}.sqlite", others, bench.say)
    shot = generate(bench.work / f"shot_{layers}", layers)
    what = f"{layers:,} layers, among {others:,} assets"
    subject = Subject(
        what,
        Path(shot.directory),
        shot.root.name,
        bench.work / f"large_{layers}",
        bench.say,
        among=data / f"assets_{others}.sqlite",
    )
    own = subject.own
    warm = bifrost(_WARM, own)
    cold = bifrost(_COLD, own.elsewhere("cold"), cold=True)
    measure.run("open_stage", warm)
    samples = bench.opened_in_turns(subject, (warm, cold), min(bench.turns, 3))
    return [
        _row(f"open, {_WARM} ({what})", _OPEN_WARM, samples, _WARM),
        _row(f"open, {_COLD} ({what})", _OPEN_COLD, samples, _COLD),
        Row(
            f"open, {_COLD}: round trips ({what})",
            _TRIPS,
            Estimate.of(measure.values(samples[_COLD], "after_open", "round_trips")),
            "",
        ),
    ]


def _row(what: str, reach: Reach, samples: dict[str, list[Sample]], side: str) -> Row:
    ours, plain = samples[side], samples[PLAIN]
    return Row(
        what,
        reach,
        measure.ratio(measure.values(ours, "open_s"), measure.values(plain, "open_s")),
        "x",
        process=whole_process(ours, plain),
        details=open_figures({side: ours, PLAIN: plain})
        | {"layers": ours[0]["layers"], "counters after the open": ours[-1]["after_open"]},
    )
