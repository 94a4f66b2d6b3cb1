# SPDX-License-Identifier: Apache-2.0
"""Extracting the arcs of every layer, beside opening the layers with Sdf alone."""

from __future__ import annotations

from typing import Final

from bench import Bench, Reach, Row, Subject, compared, milliseconds
from measure import ChildFailed, Sample, Side

_SDF: Final = "Sdf alone"
_LAYERS: Final = "each layer"
_CLOSURE: Final = "closure=True"
_STAGE: Final = "open stage"
_WALK: Final = Reach(
    2.0,
    why="of a layer's specs seven in ten are properties, and Python asks each for its type, customData "
    "and assetInfo, 0.2 to 1.4 us a call: OpenUSD has no one call for that",
)
_CLOSED: Final = Reach(
    2.0, why="as layer by layer; and all references are resolved and looked at besides"
)
_OPENED: Final = Reach(1.0)
_HOW: Final = {_SDF: "sdf", _LAYERS: "layers", _CLOSURE: "closure", _STAGE: "stage"}


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Measure it layer by layer, as one closure, and of a stage that is open."""
    own = subject.own
    files = sorted(str(file) for file in own.root.parent.rglob("*.usd*"))
    sides = [
        Side(name, {"how": how, "root": str(own.root), "files": files}, own.environment)
        for name, how in _HOW.items()
    ]
    samples = bench.take_turns("read_arcs", sides)
    if len({samples[name][0]["layers"] for name in (_SDF, _LAYERS)}) > 1:
        raise ChildFailed("one side opened other layers")
    return [
        _row(f"extract_arcs of {_LAYERS}, opening included", _WALK, subject, samples, _LAYERS),
        _row(f"extract_arcs, {_CLOSURE}, opening included", _CLOSED, subject, samples, _CLOSURE),
        _row("extract_arcs of an open stage", _OPENED, subject, samples, _STAGE),
    ]


def _row(
    what: str, reach: Reach, subject: Subject, samples: dict[str, list[Sample]], name: str
) -> Row:
    ours, sdf = samples[name], samples[_SDF]
    return compared(
        f"{what}, to opening the layers with Sdf alone ({subject.name})",
        reach,
        ours,
        sdf,
        details={
            "Sdf alone, ms": milliseconds(sdf),
            "layers": ours[0]["layers"],
            "arcs": ours[0]["arcs"],
        },
    )
