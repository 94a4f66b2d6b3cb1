# SPDX-License-Identifier: Apache-2.0
"""Publishing a hundred layers that were edited, in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import measure
import rewritten
from bench import Bench, Reach, Row, Subject
from measure import ChildFailed, Estimate, Side
from shot import generate

_LAYERS: Final = 100
_NAME: Final = "publish_layer"
_TOOK: Final = Reach(
    1.0,
    why="validating, writing and hashing a hundred layers of about 60 prims, 41 of them crate, one by one",
)


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Measure it on a generated shot of so many layers, every one of them edited in memory."""
    if subject is not bench.subjects[0]:
        return []  # once, whatever else is opened
    bench.say(f"generating {_LAYERS} layers")
    shot = generate(bench.work / f"shot_{_LAYERS}", _LAYERS)
    own = rewritten.own_catalogue(
        Path(shot.directory), shot.root.name, bench.work / f"of_{_LAYERS}" / "own"
    )
    own.keep()
    arguments = {"root": str(own.root), "reference": own.reference_of_root}
    side = Side(_NAME, arguments, own.environment, own.restore)
    ours = bench.take_turns("publish_layers", [side])[_NAME]
    if {sample["published"] for sample in ours} != {_LAYERS}:
        raise ChildFailed(f"{ours[0]['published']} layers were published, not {_LAYERS}")
    return [
        Row(
            f"publish_layer of {_LAYERS} edited layers, without thumbnails",
            _TOOK,
            Estimate.of(measure.values(ours, "took_s")),
            "s",
            details={
                "CPU time, s": Estimate.of(measure.values(ours, "took_cpu_s")).median,
                "changes of the catalogue": ours[0]["changes"],
            },
        )
    ]
