# SPDX-License-Identifier: Apache-2.0
"""A manager that takes 10 ms a call, as over a network: asked once for each Resolve, and in batches."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import measure
import rewritten
from bench import Bench, Reach, Row, Side, bifrost, milliseconds
from measure import Estimate
from rewritten import with_latency
from shot import generate

_LAYERS: Final = 300  # at 10 ms a call a shot of 3,000 layers takes minutes, and says the same
_EACH: Final = "one call each, BAL at 10 ms"
_COLD: Final = "Bifrost cold, BAL at 10 ms"
_TENTH: Final = Reach(0.1, why="each breadth of the shot is a round trip or more, of 10 ms")


def slow(bench: Bench) -> list[Row]:
    """Measure both on a shot of 300 layers."""
    bench.say(f"generating {_LAYERS} layers")
    shot = generate(bench.work / f"shot_{_LAYERS}", _LAYERS)
    folder = bench.work / f"of_{_LAYERS}" / "bal"
    bal = rewritten.bal_library(Path(shot.directory), shot.root.name, folder)
    environment = with_latency(bal, 10)
    plugin = {"PXR_PLUGINPATH_NAME": str(bench.native.each_call_plugin)}
    sides = (
        Side(_EACH, {"root": str(bal.root), "side": "each_call"}, {**environment, **plugin}),
        bifrost(_COLD, bal, environment, cold=True),
    )
    samples = bench.take_turns("open_stage", sides, 2 if bench.is_quick else 3)
    each, ours = samples[_EACH], samples[_COLD]
    if {sample["layers"] for sample in (*each, *ours)} != {_LAYERS}:
        raise measure.ChildFailed(f"{each[0]['layers']} and {ours[0]['layers']} layers were opened")
    return [
        Row(
            f"open, {_COLD}, to one call each ({_LAYERS} layers)",
            _TENTH,
            measure.ratio(measure.values(ours, "open_s"), measure.values(each, "open_s")),
            "x",
            details={
                "Bifrost, ms": milliseconds(ours, "open_s"),
                "one call each, ms": milliseconds(each, "open_s"),
                "calls of the other": Estimate.of(
                    measure.values(each, "after_open", "calls")
                ).median,
                "round trips of ours": Estimate.of(
                    measure.values(ours, "after_open", "round_trips")
                ).median,
            },
        )
    ]
