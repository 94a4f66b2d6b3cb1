# SPDX-License-Identifier: Apache-2.0
"""Refreshing an open stage: where nothing moved, and where three layers have new versions."""

from __future__ import annotations

from typing import Any, Final

import measure
from bench import Bench, Reach, Row, Subject, bifrost, compared, milliseconds
from measure import ChildFailed, Estimate, Sample, Side

_MOVING: Final = 3
_NOTHING: Final = Reach(
    0.05, why="6 ms of asking whether anything changed; a small stage opens in forty"
)
_SOME: Final = Reach(
    1.15,
    why="the bare notice finds nothing moved; finding out what moved, and recomposing it, comes on top",
)
_STILL: Final = "refresh, nothing moved"
_MOVED: Final = f"refresh, {_MOVING} new versions"
_BARE: Final = "the bare notice"
_BESIDE: Final = f"{_MOVED}, the shot open in another context, too"
_BARE_BESIDE: Final = "the bare notice, likewise"


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Measure both, and OpenUSD's own notice that everything may have changed, with nothing moved."""
    own = subject.own
    measure.run("open_stage", bifrost("filling the cache", own))
    own.keep()
    arguments = {"root": str(own.root), "library": str(bench.native.everything_changed)}
    sides = [
        Side(name, {**arguments, **more}, own.environment, own.restore)
        for name, more in (
            (_STILL, {"how": "refresh", "moving": 0}),
            (_MOVED, {"how": "refresh", "moving": _MOVING}),
            (_BARE, {"how": "notice", "moving": 0}),
            (_BESIDE, {"how": "refresh", "moving": _MOVING, "neighbour": True}),
            (_BARE_BESIDE, {"how": "notice", "moving": 0, "neighbour": True}),
        )
    ]
    samples = bench.take_turns("refresh", sides)
    own.restore()
    for name, moved in ((_STILL, 0), (_MOVED, _MOVING), (_BESIDE, _MOVING)):
        if {sample["moved"] for sample in samples[name]} != {moved}:
            raise ChildFailed(f"{name}: {samples[name][0]['moved']} moved")
    return [*_still(subject, samples[_STILL]), *_moved(subject, samples), _beside(subject, samples)]


def _still(subject: Subject, ours: list[Sample]) -> list[Row]:
    return [
        compared(
            f"{_STILL}, to the open before it ({subject.name})",
            _NOTHING,
            ours,
            ours,
            part="open",
            details=_opened(ours),
        ),
        _count(f"{_STILL}: notices ({subject.name})", 0, ours, "notices"),
        _count(f"{_STILL}: round trips ({subject.name})", 1, ours, "round_trips"),
    ]


def _moved(subject: Subject, samples: dict[str, list[Sample]]) -> list[Row]:
    ours, bare = samples[_MOVED], samples[_BARE]
    return [
        compared(
            f"{_MOVED}, to the bare ResolverChanged notice ({subject.name})",
            _SOME,
            ours,
            bare,
            details={
                **_opened(ours),
                "the bare notice, ms": milliseconds(bare),
                "layers after it": ours[0]["layers"],
            },
        ),
        _count(f"{_MOVED}: round trips ({subject.name})", 1, ours, "round_trips"),
    ]


def _beside(subject: Subject, samples: dict[str, list[Sample]]) -> Row:
    """Return what it saves that the notice is about one context."""
    ours, bare = samples[_BESIDE], samples[_BARE_BESIDE]
    what = f"{_BESIDE}, to the bare notice, likewise ({subject.name})"
    return compared(what, None, ours, bare, details=_opened(ours))


def _count(what: str, limit: int, samples: list[Sample], key: str) -> Row:
    return Row(what, Reach(limit), Estimate.of(measure.values(samples, key)), "")


def _opened(ours: list[Sample]) -> dict[str, Any]:
    return {"the open, ms": milliseconds(ours, "open_s")}
