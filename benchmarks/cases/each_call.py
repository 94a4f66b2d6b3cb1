# SPDX-License-Identifier: Apache-2.0
"""
Beside one OpenAssetIO call for each Resolve, without a cache: the way of usdOpenAssetIOResolver.

The resolver is a small one of our own (each_call_resolver.cpp), which calls through Python where that one
calls from C++: the managers here are written in Python, so that each call crosses into it either way.
"""

from __future__ import annotations

from typing import Final

import measure
from bench import PLAIN, Bench, Reach, Row, Subject, bifrost, milliseconds, open_figures
from cases.slow_manager import slow
from measure import Estimate, Sample, Side
from rewritten import Rewritten, with_latency

_EACH_OWN: Final = "one call each, own catalogue"
_EACH_BAL: Final = "one call each, BAL at 0 ms"
_COLD_OWN: Final = "Bifrost cold, own catalogue"
_COLD_BAL: Final = "Bifrost cold, BAL at 0 ms"
_WARM: Final = "Bifrost warm, own catalogue"
_NO_SLOWER: Final = Reach(
    1.0, why="what one batch saves is less than what filling the caches costs"
)


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Measure one call each beside plain files, and Bifrost beside that; then with a slow manager."""
    own, bal = subject.own, subject.bal
    sides = (
        each_call(bench, _EACH_OWN, own, own.environment),
        each_call(bench, _EACH_BAL, bal, with_latency(bal, 0)),
        bifrost(_COLD_OWN, own, cold=True),
        bifrost(_COLD_BAL, bal, with_latency(bal, 0), cold=True),
        # Its turn may come after one that removed the cache: `before` fills it.
        warm(_WARM, own),
    )
    turns = min(bench.turns, 5)
    samples = bench.opened_in_turns(subject, sides, turns)
    return [
        *(_to_plain(subject, samples, name) for name in (_EACH_OWN, _EACH_BAL)),
        _compared(subject, samples, _COLD_OWN, _EACH_OWN),
        _compared(subject, samples, _COLD_BAL, _EACH_BAL),
        _compared(subject, samples, _WARM, _EACH_OWN),
        *(slow(bench) if subject is bench.subjects[0] else []),
    ]


def each_call(bench: Bench, name: str, copy: Rewritten, environment: dict[str, str]) -> Side:
    """Return the side that opens *copy* by one call for each Resolve."""
    kept = {key: value for key, value in environment.items() if key != "PXR_PLUGINPATH_NAME"}
    return Side(
        name,
        {"root": str(copy.root), "side": "each_call"},
        {**kept, "PXR_PLUGINPATH_NAME": str(bench.native.each_call_plugin)},
    )


def warm(name: str, copy: Rewritten) -> Side:
    """Return the side that opens *copy* with its cache filled just before."""
    side = bifrost(name, copy)
    return Side(name, side.arguments, side.environment, lambda: _fill(side))


def _fill(side: Side) -> None:
    measure.run("open_stage", side)


def _to_plain(subject: Subject, samples: dict[str, list[Sample]], name: str) -> Row:
    ours, plain = samples[name], samples[PLAIN]
    return Row(
        f"open, {name}, to plain files ({subject.name})",
        None,
        measure.ratio(measure.values(ours, "open_s"), measure.values(plain, "open_s")),
        "x",
        details=open_figures({name: ours, PLAIN: plain})
        | {"calls in the open": _calls(ours), "layers": ours[0]["layers"]},
    )


def _compared(subject: Subject, samples: dict[str, list[Sample]], name: str, each: str) -> Row:
    ours, theirs = samples[name], samples[each]
    return Row(
        f"open, {name}, to one call each ({subject.name})",
        _NO_SLOWER,
        measure.ratio(measure.values(ours, "open_s"), measure.values(theirs, "open_s")),
        "x",
        details={
            "Bifrost, ms": milliseconds(ours, "open_s"),
            "one call each, ms": milliseconds(theirs, "open_s"),
            "calls of the other": _calls(theirs),
            "round trips of ours": Estimate.of(
                measure.values(ours, "after_open", "round_trips")
            ).median,
        },
    )


def _calls(samples: list[Sample]) -> float:
    return Estimate.of(measure.values(samples, "after_open", "calls")).median
