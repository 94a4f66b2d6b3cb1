# SPDX-License-Identifier: Apache-2.0
"""Opening with the persistent cache warm: what every process after a host's first one sees."""

from __future__ import annotations

import measure
from bench import EMPTY, PLAIN, Bench, Row, Subject, bifrost, empty, open_figures, whole_process
from measure import Estimate, Sample

_WARM = "LMDB warm"


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
            "<= 1.00x",
            _ratio(ours, plain, "open_s"),
            "x",
            1.0,
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
            "<= 3",
            Estimate.of(measure.values(ours, "after_open", "crossings")),
            "",
            3,
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
            "<= 1.0x",
            _ratio(ours, plain, "attributes_s"),
            "x",
            1.0,
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
            "<= 30 ms",
            beyond,
            "ms",
            30,
            process=whole_process(ours, idle),
            details={
                "OpenAssetIO imported": any(sample["openassetio_imported"] for sample in ours),
                "empty plugin, ms": 1000 * Estimate.of(measure.values(idle, "start_s")).median,
                "Bifrost, ms": 1000 * Estimate.of(measure.values(ours, "start_s")).median,
            },
        ),
        Row(
            f"whole process, LMDB warm, beyond plain ({subject.name})",
            "<= plain + 130 ms",
            process[1].scaled(1000),
            "ms",
            130,
            process=process,
        ),
    ]


def _ratio(ours: list[Sample], theirs: list[Sample], part: str) -> Estimate:
    return measure.ratio(measure.values(ours, part), measure.values(theirs, part))
