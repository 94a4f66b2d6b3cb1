# SPDX-License-Identifier: Apache-2.0
"""What the table weighs, and whether opening the same root again and again lets it grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import measure
from bench import PLAIN, Bench, Reach, Row, Subject
from measure import Estimate, Sample, Side

_SAME = Reach(1.1)


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Open and close it over and over in one process."""
    times = 10 if bench.is_quick else 50
    own = subject.own
    sides = (
        Side("bifrost", _arguments(own.root, "bifrost", times), own.environment),
        Side(PLAIN, _arguments(subject.plain_root, "plain", times)),
    )
    samples = []
    for side in sides:
        bench.say(f"{side.name}: {times} opens and closes")
        samples.append(measure.run("open_often", side))
    sample, plain = samples
    first, last = sample["opened"][0], sample["opened"][-1]
    return [
        Row(
            f"memory: the table's bytes at open {times} to open 1 ({subject.name})",
            _SAME,
            Estimate.of([last["bytes"] / first["bytes"]]),
            "x",
            details={
                "open 1": first,
                f"open {times}": last,
                "after close 1": sample["closed"][0],
                f"after close {times}": sample["closed"][-1],
                "resident MB of the process at opens 1, 2, last": _resident(sample),
                "the same, plain": _resident(plain),
            },
        ),
        Row(
            f"memory: bytes an entry ({subject.name})",
            None,
            Estimate.of([first["bytes"] / max(first["entries"], 1)]),
            "bytes",
        ),
    ]


def _arguments(root: Path, side: str, times: int) -> dict[str, Any]:
    return {"root": str(root), "side": side, "times": times}


def _resident(sample: Sample) -> list[int]:
    return [sample["resident_bytes"][at] // 1_000_000 for at in (0, 1, -1)]
