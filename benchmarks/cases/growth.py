# SPDX-License-Identifier: Apache-2.0
"""
Shots of 10 to 20,000 layers: whether the cost of a layer grows with the shot.

Each is opened by plain paths, and by references with the cache warm and with nothing cached.
What a layer costs OpenUSD itself changes with the shot, too: what is held against a limit is how
the ratio to plain files changes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import measure
from bench import PLAIN, Bench, Reach, Row, Subject, bifrost
from measure import Estimate, Sample
from shot import Shot, generate

SIZES: Final = (10, 100, 1_000, 3_000, 10_000, 20_000)
QUICK_SIZES: Final = (10, 100, 1_000)
WARM: Final = "LMDB warm"
COLD: Final = "own catalogue, cold"
_FROM: Final = 1_000  # below it a context, a crossing and a round trip weigh more than the layers
_LARGE: Final = 10_000
_SAME: Final = Reach(1.1, why="opens of some seconds, whose ratios a busy machine moves by more")
_INGESTED: Final = Reach(1.25)


class Size(NamedTuple):
    """What was measured of one shot: samples by side, and the seconds that `ingest --rewrite` took."""

    shot: Shot
    samples: Mapping[str, list[Sample]]
    ingest_s: float


class Growth(NamedTuple):
    """All shots, the smallest first, and what the report says of them."""

    sizes: list[Size]
    rows: list[Row]
    text: str
    shots: list[dict[str, Any]]


def run(bench: Bench) -> Growth:
    """Measure every size; the smallest first."""
    wanted = QUICK_SIZES if bench.is_quick else SIZES
    sizes = [_measured(bench, layers) for layers in wanted]
    shots = [{**asdict(size.shot), "directory": ""} for size in sizes]
    return Growth(sizes, rows(sizes), "\n".join(_table(sizes)), shots)


def _measured(bench: Bench, layers: int) -> Size:
    bench.say(f"generating {layers:,} layers")
    shot = generate(bench.work / f"shot_{layers}", layers)
    subject = Subject(
        f"{layers:,} layers",
        Path(shot.directory),
        shot.root.name,
        bench.work / f"growth_{layers}",
        bench.say,
    )
    start = time.perf_counter()
    own = subject.own
    took = time.perf_counter() - start
    # A home each: the cold side removes its cache, and the warm one keeps it.
    cold = bifrost(COLD, own.elsewhere("cold"), cold=True)
    warm = bifrost(WARM, own)
    measure.run("open_stage", warm)
    turns = min(bench.turns, 3 if layers >= _LARGE else 5)
    return Size(shot, bench.opened_in_turns(subject, (warm, cold), turns), took)


def rows(sizes: list[Size]) -> list[Row]:
    """Return how the largest compares with the one of a thousand layers."""
    base = next((size for size in sizes if size.shot.layers >= _FROM), sizes[-1])
    last = sizes[-1]
    names = f"{last.shot.layers:,} layers, to {base.shot.layers:,}"
    return [
        *(
            Row(
                f"open, {side}: the ratio to plain files at {names}",
                _SAME,
                _unpaired(_ratios(last, side), _ratios(base, side)),
                "x",
                details={
                    f"{size.shot.layers:,} layers, us a layer": {
                        name: round(1e6 * _each(size, name).median, 1) for name in (PLAIN, side)
                    }
                    for size in sizes
                },
            )
            for side in (WARM, COLD)
        ),
        *(
            Row(
                f"open, {side}: a layer at {names}",
                None,
                _unpaired(_costs(last, side), _costs(base, side)),
                "x",
            )
            for side in (PLAIN, WARM, COLD)
        ),
        Row(
            f"ingest --rewrite: a layer at {names}",
            _INGESTED,
            Estimate.of([_ingested(last) / _ingested(base)]),
            "x",
            details={f"{s.shot.layers:,} layers, ms a layer": 1e3 * _ingested(s) for s in sizes},
        ),
        Row(
            f"open, {COLD}: round trips, most of all sizes",
            Reach(3),
            Estimate.of([float(max(trips for size in sizes for trips in _trips(size)))]),
            "",
        ),
        Row(
            f"open, {WARM}: crossings into Python, most of all sizes",
            Reach(3),
            Estimate.of([float(max(count for size in sizes for count in _crossings(size)))]),
            "",
        ),
    ]


def _ratios(size: Size, side: str) -> list[float]:
    ours, plain = size.samples[side], size.samples[PLAIN]
    return [a["open_s"] / b["open_s"] for a, b in zip(ours, plain, strict=True)]


def _costs(size: Size, side: str) -> list[float]:
    return [sample["open_s"] / size.shot.layers for sample in size.samples[side]]


def _each(size: Size, side: str) -> Estimate:
    return Estimate.of(_costs(size, side))


def _unpaired(ours: list[float], theirs: list[float]) -> Estimate:
    """Estimate how many times *theirs* ours is: each with each, as no turn has both."""
    return Estimate.of([a / b for a in ours for b in theirs])


def _ingested(size: Size) -> float:
    return size.ingest_s / size.shot.layers


def _trips(size: Size) -> list[float]:
    return measure.values(size.samples[COLD], "after_open", "round_trips")


def _crossings(size: Size) -> list[float]:
    return measure.values(size.samples[WARM], "after_open", "crossings")


def _table(sizes: list[Size]) -> Iterator[str]:
    yield "Milliseconds of an open, medians; in brackets microseconds a layer.\n"
    yield f"| layers | plain | {WARM} | to plain | {COLD} | to plain | ingest, ms a layer |"
    yield "|---|---|---|---|---|---|---|"
    for size in sizes:
        cells = [f"{size.shot.layers:,}", _cell(size, PLAIN)]
        for side in (WARM, COLD):
            ratio = Estimate.of(_ratios(size, side)).median
            cells += [_cell(size, side), f"{ratio:.2f}x"]
        yield f"| {' | '.join([*cells, f'{1e3 * _ingested(size):.1f}'])} |"


def _cell(size: Size, side: str) -> str:
    each = _each(size, side).median
    return f"{1e3 * each * size.shot.layers:,.0f} ({1e6 * each:,.0f})"


def plot(path: Path, sizes: list[Size]) -> None:
    """Draw what a layer costs against the size of the shot, and what it costs beside plain files."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure, (costs, ratios) = plt.subplots(1, 2, figsize=(12, 4.5))
    layers = [size.shot.layers for size in sizes]
    for side in (PLAIN, WARM, COLD):
        _line(costs, layers, [_each(size, side).scaled(1e6) for size in sizes], side)
    for side in (WARM, COLD):
        _line(ratios, layers, [Estimate.of(_ratios(size, side)) for size in sizes], side)
    costs.set_yscale("log")
    costs.set_ylabel("us a layer")
    ratios.axhline(1.0, color="black", linewidth=1)
    ratios.set_ylim(bottom=0)
    ratios.set_ylabel("times the plain open")
    for axes in (costs, ratios):
        axes.set_xscale("log")
        axes.set_xlabel("layers")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _line(axes: Any, layers: list[int], estimates: list[Estimate], label: str) -> None:
    [line] = axes.plot(layers, [each.median for each in estimates], marker="o", label=label)
    lows, highs = [each.low for each in estimates], [each.high for each in estimates]
    axes.fill_between(layers, lows, highs, color=line.get_color(), alpha=0.15)
