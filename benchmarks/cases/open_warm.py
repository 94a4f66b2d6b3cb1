# SPDX-License-Identifier: Apache-2.0
"""Opening with the persistent cache warm: what every process after a host's first one sees."""

from __future__ import annotations

import measure
from bench import (
    EMPTY,
    PLAIN,
    Bench,
    Reach,
    Row,
    Subject,
    bifrost,
    empty,
    open_figures,
    whole_process,
)
from measure import Estimate, Sample

_WARM = "LMDB warm"
_OPEN = Reach(
    1.0,
    why="of processor time it is within 2 %: OpenUSD's routing by scheme, and looking layers up by real "
    "paths since identifiers depend on a context, against what anchoring relative paths takes",
)
_CROSSINGS = Reach(3)
_ATTRIBUTES = Reach(
    1.0,
    why="each is one look-up in the table; the file system, which the other side asks, was faster",
)
_START = Reach(
    30,
    why="nearly all of it is importing Bifrost's modules from files; opening LMDB takes under a millisecond",
)
_PROCESS = Reach(
    130,
    why="loading any resolver plugin makes OpenUSD import the Python module of each of its libraries, an "
    "empty one too: that alone is more than this (details: empty plugin, ms)",
)


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Measure the open, the attributes after it, the start before it, and the whole process."""
    warm = bifrost(_WARM, subject.own)
    subject.own.forget()
    bench.say(f"{subject.name}: filling the cache")
    measure.run("open_stage", warm)
    samples = bench.opened_in_turns(subject, (empty(bench, subject), warm))
    ours, plain, idle = samples[_WARM], samples[PLAIN], samples[EMPTY]
    process = whole_process(ours, plain)
    return [
        Row(
            f"open, LMDB warm ({subject.name})",
            _OPEN,
            _ratio(ours, plain, "open_s"),
            "x",
            process=process,
            details=open_figures(samples)
            | {
                "CPU time of the open, x": _ratio(ours, plain, "open_cpu_s").median,
                "open with the empty plugin loaded, x": _ratio(idle, plain, "open_s").median,
                "counters after the open": ours[-1]["after_open"],
            },
        ),
        Row(
            f"open, LMDB warm: crossings into Python ({subject.name})",
            _CROSSINGS,
            Estimate.of(measure.values(ours, "after_open", "crossings")),
            "",
        ),
        *_attributes(subject, samples),
        *_start_up(subject, samples),
    ]


def _attributes(subject: Subject, samples: dict[str, list[Sample]]) -> list[Row]:
    ours, plain = samples[_WARM], samples[PLAIN]
    if not plain[0]["resolved_attributes"]:
        return []  # the chess set's textures are in MaterialX files, which usd-core does not read
    return [
        Row(
            f"all asset-valued attributes after it ({subject.name})",
            _ATTRIBUTES,
            _ratio(ours, plain, "attributes_s"),
            "x",
            process=whole_process(ours, plain),
            details={
                "attributes": ours[0]["attributes"],
                "resolved, Bifrost": ours[0]["resolved_attributes"],
                "resolved, plain": plain[0]["resolved_attributes"],
                "counters after them": ours[-1]["after_attributes"],
            },
        )
    ]


def _start_up(subject: Subject, samples: dict[str, list[Sample]]) -> list[Row]:
    ours, plain, idle = samples[_WARM], samples[PLAIN], samples[EMPTY]
    beyond = measure.difference(
        measure.values(ours, "start_s"), measure.values(idle, "start_s")
    ).scaled(1000)
    process = whole_process(ours, plain)
    return [
        Row(
            f"warm() with the LMDB cache, beyond loading an empty plugin ({subject.name})",
            _START,
            beyond,
            "ms",
            process=whole_process(ours, idle),
            details={
                "OpenAssetIO imported": any(sample["openassetio_imported"] for sample in ours),
                "empty plugin, ms": 1000 * Estimate.of(measure.values(idle, "start_s")).median,
                "Bifrost, ms": 1000 * Estimate.of(measure.values(ours, "start_s")).median,
            },
        ),
        Row(
            f"whole process, LMDB warm, beyond plain ({subject.name})",
            _PROCESS,
            process[1].scaled(1000),
            "ms",
            process=process,
        ),
    ]


def _ratio(ours: list[Sample], theirs: list[Sample], part: str) -> Estimate:
    return measure.ratio(measure.values(ours, part), measure.values(theirs, part))
