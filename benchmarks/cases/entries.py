# SPDX-License-Identifier: Apache-2.0
"""LMDB with 5,000,000 entries: within its bound, a look-up no slower; and past a bound that is too small."""

from __future__ import annotations

import shutil
from typing import Any, Final

import measure
from bench import Bench, Reach, Row
from measure import ChildFailed, Estimate, Side

_ENTRIES: Final = 5_000_000
_QUICK: Final = 200_000
_ROOM: Final = 2_000_000_000  # the default of `cache.disk_bytes`
_EACH: Final = 60  # bytes an entry of the small bound: a quarter of what one takes
_BOUND: Final = Reach(1.0)
_ALL: Final = Reach(0)
_NONE_MISSING: Final = Reach(
    0,
    why="the oldest go when 85 % of the bound are used, so that a transaction has room: at 360 bytes an "
    "entry with 4,700,000",
)
_LOOK_UP: Final = Reach(
    2.0, why="a deeper tree, and pages that are not in the processor's cache any more"
)


def rows(bench: Bench, seed: int = 1) -> list[Row]:
    """Measure both: a bound with room for all, and one with room for a quarter."""
    entries = _QUICK if bench.is_quick else _ENTRIES
    return [
        *_with_room(entries, _filled(bench, entries, _ROOM, seed)),
        *_without(entries, _filled(bench, entries, _EACH * entries, seed)),
    ]


def _filled(bench: Bench, entries: int, max_bytes: int, seed: int) -> dict[str, Any]:
    bench.say(f"{entries:,} entries into {max_bytes / 1e6:,.0f} MB")
    folder = bench.work / "entries"
    shutil.rmtree(folder, ignore_errors=True)
    arguments = {"folder": str(folder), "entries": entries, "max_bytes": max_bytes, "seed": seed}
    try:
        return measure.run("fill_entries", Side("LMDB", arguments), limit_s=1800)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_room(entries: int, sample: dict[str, Any]) -> list[Row]:
    looks = sample["looks"][1:]
    first, last = looks[0], looks[-1]
    what = f"LMDB, {entries:,} entries put into {_ROOM / 1e6:,.0f} MB"
    return [
        Row(
            f"{what}: entries that are missing",
            _NONE_MISSING,
            Estimate.of(
                [float(entries - last["entries"] + sum(look["missing"] for look in looks))]
            ),
            "",
            details={"MB at each twentieth": [round(look["bytes"] / 1e6) for look in looks]},
        ),
        _bound(what, _ROOM, looks, last["bytes"] / last["entries"]),
        Row(
            f"{what}: a look-up at the end, to one at a twentieth",
            _LOOK_UP,
            Estimate.of([last["get_s"] / first["get_s"]]),
            "x",
            details={
                "us a look-up, at each twentieth": [
                    round(1e6 * look["get_s"], 1) for look in looks
                ],
                "us a put, flushed": [round(1e6 * look["put_s"], 1) for look in looks],
            },
        ),
    ]


def _without(entries: int, sample: dict[str, Any]) -> list[Row]:
    looks, bound = sample["looks"][1:], _EACH * entries
    kept = looks[-1]["entries"]
    if kept >= entries:
        raise ChildFailed(
            f"all {entries:,} entries are in {bound / 1e6:,.0f} MB: nothing was evicted"
        )
    what = f"LMDB, {entries:,} entries put into {bound / 1e6:,.0f} MB"
    return [
        _bound(what, bound, looks, looks[-1]["bytes"] / kept),
        Row(
            f"{what}: of 1,000 among the newest 10,000, missing at most",
            _ALL,
            Estimate.of([float(max(look["missing"] for look in looks))]),
            "",
            details={"kept at the end": kept},
        ),
    ]


def _bound(what: str, bound: int, looks: list[dict[str, Any]], each: float) -> Row:
    return Row(
        f"{what}: the file on the disk at its largest, to the bound",
        _BOUND,
        Estimate.of([max(look["bytes"] for look in looks) / bound]),
        "x",
        details={"bytes an entry, at the end": each},
    )
