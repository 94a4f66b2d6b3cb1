# SPDX-License-Identifier: Apache-2.0
"""Making pins, and opening with them: no Python of ours, no catalogue, no cache."""

from __future__ import annotations

from typing import Final

import measure
from bench import (
    EMPTY,
    PLAIN,
    Bench,
    Reach,
    Row,
    Subject,
    bifrost,
    compared,
    empty,
    open_figures,
    whole_process,
)
from measure import Estimate, Sample, Side

_PINS: Final = "pins"
_WARM: Final = "LMDB warm"
_SELECTED: Final = "pin, selected variants"
_OPEN: Final = Reach(
    1.0,
    why="reading the file of pins and making answers of them, two thirds of what is more, and OpenUSD's own "
    "routing by scheme: 1.03 times the instructions (callgrind)",
)
_PYTHON: Final = Reach(0)
_MADE: Final = Reach(
    1.5, why="every file is read whole and hashed, and on few layers the walk itself tells"
)


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Measure making them beside a warm open, then opening with them beside plain paths."""
    own = subject.own
    file = own.home.parent / "shot.pins.json"
    arguments = {"root": str(own.root), "output": str(file)}
    sides = (
        bifrost(_WARM, own),
        Side(_PINS, arguments, own.environment),
        Side(_SELECTED, {**arguments, "selected": True}, own.environment),
    )
    made = _taken(bench, sides)
    # What the other sides left may be the selected variants' pins.
    measure.run("pin", sides[1])
    environment = {**own.environment, "BIFROST_PINS": str(file)}
    opening = Side(_PINS, {"root": str(own.root), "side": "pins"}, environment)
    samples = bench.opened_in_turns(subject, (empty(bench, subject), opening))
    return [*_opened(subject, samples), *_made(subject, made)]


def _taken(bench: Bench, sides: tuple[Side, ...]) -> dict[str, list[Sample]]:
    warm, *pinning = sides
    programs = {warm.name: "open_stage"} | {side.name: "pin" for side in pinning}
    return bench.take_turns(programs, sides)


def _opened(subject: Subject, samples: dict[str, list[Sample]]) -> list[Row]:
    ours, plain, idle = samples[_PINS], samples[PLAIN], samples[EMPTY]
    return [
        Row(
            f"open with pins ({subject.name})",
            _OPEN,
            _ratio(ours, plain, "open_s"),
            "x",
            process=whole_process(ours, plain),
            details=open_figures(samples)
            | {
                "CPU time of the open, x": _ratio(ours, plain, "open_cpu_s").median,
                "open with the empty plugin loaded, x": _ratio(idle, plain, "open_s").median,
                "its CPU time, x": _ratio(idle, plain, "open_cpu_s").median,
                "attributes after it, x": _ratio(ours, plain, "attributes_s").median
                if plain[0]["resolved_attributes"]
                else "none resolves",
            },
        ),
        Row(
            f"open with pins: processes that imported Bifrost's Python ({subject.name})",
            _PYTHON,
            Estimate.of([float(sum(sample["bifrost_imported"] for sample in ours))]),
            "",
        ),
    ]


def _made(subject: Subject, samples: dict[str, list[Sample]]) -> list[Row]:
    warm = samples[_WARM]
    return [
        compared(
            f"{what}, to a warm open ({subject.name})",
            reach,
            samples[name],
            warm,
            part="open",
            details={
                "files": samples[name][0]["pinned"],
                "MB read and hashed": samples[name][0]["bytes"] / 1e6,
                "not pinned": samples[name][0]["unresolved"],
            },
        )
        for what, name, reach in (("pin", _PINS, _MADE), (_SELECTED, _SELECTED, None))
    ]


def _ratio(ours: list[Sample], theirs: list[Sample], part: str) -> Estimate:
    return measure.ratio(measure.values(ours, part), measure.values(theirs, part))
