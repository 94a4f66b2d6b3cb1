# SPDX-License-Identifier: Apache-2.0
"""
The case `catalogue`: a catalogue of up to a million assets, on SQLite and on PostgreSQL.

Makes catalogues of 10,000, 100,000 and 1,000,000 assets on each (`catalogue_data`, `catalogue_load`),
measures the same of each (`catalogue_figures`, `catalogue_together`), holds the largest against the
figures to reach, and draws how they grow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import catalogue_figures as figures
import catalogue_load as load
import measure
from bench import Reach, Row, Say
from catalogue_figures import Samples, Subject, Taken
from catalogue_together import PROCESSES, publish_together
from measure import ChildFailed, Estimate

SIZES: Final = (10_000, 100_000, 1_000_000)
QUICK_SIZES: Final = (10_000, 100_000)
# Five edges for each asset: a million of them.
_GRAPH_SIZE: Final = 200_000
_QUICK_GRAPH_SIZE: Final = 20_000
_TOGETHER_S: Final = 4.0
_TOGETHER: Final = Reach(
    1.0,
    at_least=True,
    why="writers come one after the other (decision 005): eight can't be faster than one, and what is lost "
    "is what two busy cores lose by switching among them",
)
_SLOW: Final = ("hard_query", "publishing", "whole_graph")

Samples_by_size = dict[tuple[str, int], Samples]


class Figure(NamedTuple):
    """
    A figure to reach.

    Attributes:
        what: What is measured.
        side: Whose time it is.
        limit: In *unit*.
        unit: "ms", or "x" for a ratio to the bare statement's time.
        why: What keeps us from it.
    """

    what: str
    side: str
    limit: float
    unit: str = "ms"
    why: str = ""


_TEXTS: Final = (
    "PostgreSQL ranks what it finds by reading each text: some milliseconds on a busy machine"
)
_NEVER: Final = (
    "no index knows what two conditions have in common: all that meet the rarer are looked at"
)
_NEW: Final = "on PostgreSQL the rows of a large batch go over one by one: half of the time"

FIGURES: Final = (
    Figure("1,000 references, Catalogue.resolve to the bare statement", "catalogue", 1.5, "x"),
    Figure(
        "1,000 references, Manager.resolve to the bare statement",
        "manager, location",
        2.2,
        "x",
        "OpenAssetIO's own part: traits set and read for each answer",
    ),
    Figure(
        "closure of a shot of 3,000 assets",
        "closure",
        50,
        why="one recursive query",
    ),
    Figure(
        "the example query",
        "the example",
        20,
        why="it looks at the newest assets until it has its hundred, further after many publishes",
    ),
    *(Figure(f"first page of {name}", name, 10, why=_TEXTS) for name in figures.TEXTS),
    *(Figure(f"nothing found: {name}", name, 10) for name in figures.NOTHING),
    Figure(
        "nothing found: two conditions that often hold, never together",
        "never together",
        10,
        why=_NEVER,
    ),
    Figure("count by type", "count by type", 200),
    Figure("publish one version", "one version", 15),
    Figure("publish 1,000 versions of new assets at once", "1,000 new assets", 1000, why=_NEW),
    Figure("publish 1,000 next versions at once", "1,000 versions", 1000),
    Figure(
        "publish 1,000 next versions with other metadata at once",
        "1,000 described anew",
        1000,
        why=_NEW,
    ),
    Figure("cycles among 1,000,000 edges", "cycles", 2000),
)


class Outcome(NamedTuple):
    """What was measured, for the report and its plot."""

    rows: list[Row]
    failures: list[str]
    text: str
    samples: Samples_by_size


def run(data: Path, *, sizes: Sequence[int], turns: int, is_quick: bool, say: Say) -> Outcome:
    """Make what isn't in the folder *data* yet, and measure all of it."""
    outcome = Outcome([], [], "", {})
    made: dict[str, float] = {}
    data.mkdir(parents=True, exist_ok=True)
    graph_size = _QUICK_GRAPH_SIZE if is_quick else _GRAPH_SIZE
    for database, subjects in (("SQLite", _sqlite), ("PostgreSQL", _postgresql)):
        with subjects(data, say) as subject_of:
            graph_url = _timed(made, f"{database}, graph", subject_of, graph_size, True)
            for size in sizes:
                url = _timed(made, f"{database}, {size:,} assets", subject_of, size, False)
                subject = Subject(database, url, size, graph_url if size == sizes[-1] else None)
                _measure(subject, turns, outcome, say)
            _rows(subject, outcome, say, 1 if is_quick else 3)
    return outcome._replace(text="\n".join(_growth(outcome.samples, made)))


@contextmanager
def _sqlite(data: Path, say: Say) -> Iterator[Callable[[int, bool], str]]:
    yield lambda size, is_graph: load.sqlite(
        data / f"{'graph' if is_graph else 'assets'}_{size}.sqlite",
        size,
        say,
        is_graph_only=is_graph,
    )


@contextmanager
def _postgresql(data: Path, say: Say) -> Iterator[Callable[[int, bool], str]]:
    server = load.KeptServer(data / "postgresql")
    try:
        yield lambda size, is_graph: server.filled(size, say, is_graph_only=is_graph)
    finally:
        server.close()


def _timed(
    made: dict[str, float], name: str, make: Callable[[int, bool], str], size: int, is_graph: bool
) -> str:
    start = time.perf_counter()
    url = make(size, is_graph)
    made[name] = time.perf_counter() - start
    return url


def _measure(subject: Subject, turns: int, outcome: Outcome, say: Say) -> None:
    samples = outcome.samples.setdefault((subject.database, subject.size), {})
    for name in figures.MEASURES:
        if name == "whole_graph" and subject.graph_url is None:
            continue
        say(f"{subject.database}, {subject.size:,} assets: {name}")
        few = max(3, turns // 5) if name in _SLOW else turns
        try:
            found = figures.measured(name, subject, few + 1)
        except ChildFailed as error:
            outcome.failures.append(f"{subject.database}, {subject.size:,} assets: {error}")
            continue
        # The first turn warms up.
        samples.update({side: taken[1:] for side, taken in found.items()})


def _rows(subject: Subject, outcome: Outcome, say: Say, turns: int) -> None:
    """Hold the largest catalogue against the figures to reach."""
    samples = outcome.samples[subject.database, subject.size]
    for figure in FIGURES:
        if figure.side in samples:
            outcome.rows.append(_row(subject, figure, samples))
    say(f"{subject.database}: {PROCESSES} processes publishing")
    together = publish_together(subject, turns, _TOGETHER_S)
    ratio = Estimate.of([many / one for one, many in together.rates])
    details = {
        "versions a second, one process": Estimate.of([one for one, _ in together.rates]).median,
        f"versions a second, {PROCESSES} processes": Estimate.of(
            [many for _, many in together.rates]
        ).median,
        "errors": len(together.errors),
        "lost versions": together.lost,
    }
    if together.errors or together.lost:
        outcome.failures.append(
            f"{subject.database}: {len(together.errors)} errors ({together.errors[:1]}), "
            f"{together.lost} versions lost"
        )
    what = f"{subject.database}: {PROCESSES} processes publishing at once, to one"
    outcome.rows.append(Row(what, _TOGETHER, ratio, "x", details=details))


def _row(subject: Subject, figure: Figure, samples: Samples) -> Row:
    what = f"{subject.database}, {subject.size:,} assets: {figure.what}"
    reach = Reach(figure.limit, why=figure.why)
    taken = _walls(samples, figure.side)
    if figure.unit == "ms":
        details = {"least, ms": 1000 * min(taken)}
        if subject.dialect == "sqlite":
            of_processor = [each.processor for each in samples[figure.side]]
            details["processor, ms"] = Estimate.of(of_processor).scaled(1000).median
        estimate = Estimate.of(taken).scaled(1000)
        return Row(what, reach, estimate, "ms", details=details)
    bare = _walls(samples, "statement")
    details = {
        f"{side}, ms": Estimate.of(_walls(samples, side)).scaled(1000).median
        for side in ("statement", "own statement", figure.side)
    }
    for side in _RESOLVING:
        details[f"{side}, x"] = measure.ratio(_walls(samples, side), bare).median
    return Row(
        what,
        reach,
        measure.ratio(taken, bare),
        "x",
        details=details,
    )


_RESOLVING: Final = ("own statement", "catalogue", "manager, location", "manager")


def _walls(samples: Samples, side: str) -> list[float]:
    return [each.wall for each in samples[side]]


def _growth(samples: Samples_by_size, made: Mapping[str, float]) -> Iterator[str]:
    yield "## The catalogue: growth\n"
    yield "Medians in milliseconds; in brackets the processor time, where it is all of one process.\n"
    keys = list(samples)
    yield f"| what | {' | '.join(f'{name} {size:,}' for name, size in keys)} |"
    yield f"|---|{'---|' * len(keys)}"
    for side in dict.fromkeys(side for each in samples.values() for side in each):
        cells = [_cell(key[0], samples[key].get(side)) for key in keys]
        yield f"| {side} | {' | '.join(cells)} |"
    yield "\nMaking them, or finding them made, took:\n"
    yield from (f"- {name}: {seconds:.0f} s" for name, seconds in made.items())


def _cell(database: str, taken: Sequence[Taken] | None) -> str:
    if not taken:
        return ""
    wall = _milliseconds([each.wall for each in taken])
    if database != "SQLite":
        return wall
    return f"{wall} ({_milliseconds([each.processor for each in taken])})"


def _milliseconds(seconds: Sequence[float]) -> str:
    milliseconds = 1000 * Estimate.of(seconds).median
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.1f}"


def plot(path: Path, samples: Samples_by_size) -> None:
    """Draw how the times grow with the catalogue, each database beside the other."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    databases = list(dict.fromkeys(database for database, _ in samples))
    groups = _groups()
    figure, grid = plt.subplots(
        len(groups), len(databases), figsize=(12, 3.4 * len(groups)), squeeze=False, sharey="row"
    )
    for line, (title, sides) in zip(grid, groups.items(), strict=True):
        for axes, database in zip(line, databases, strict=True):
            _draw(axes, database, sides, samples)
            axes.set_title(f"{database}: {title}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _groups() -> dict[str, tuple[str, ...]]:
    return {
        "1,000 references, a closure of 3,000": (
            *("statement", "catalogue", "manager, location", "closure"),
        ),
        "queries": ("the example", "count by type", *figures.TEXTS, "never together"),
        "queries that find nothing": tuple(figures.NOTHING),
        "publishing": ("one version", "1,000 new assets", "1,000 versions", "1,000 described anew"),
    }


def _draw(axes: Any, database: str, sides: Sequence[str], samples: Samples_by_size) -> None:
    for side in sides:
        points = [
            (size, Estimate.of(_walls(taken, side)).scaled(1000))
            for (of, size), taken in samples.items()
            if of == database and side in taken
        ]
        if points:
            sizes = [size for size, _ in points]
            [line] = axes.plot(sizes, [each.median for _, each in points], marker="o", label=side)
            axes.fill_between(
                sizes,
                [each.low for _, each in points],
                [each.high for _, each in points],
                color=line.get_color(),
                alpha=0.15,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("assets", fontsize=8)
    axes.set_ylabel("ms", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=6)
