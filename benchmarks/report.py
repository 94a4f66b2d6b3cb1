# SPDX-License-Identifier: Apache-2.0
"""Writes what was measured: as a Markdown page, and as a plot of what is to be reached."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench import Row
from results import Part

TITLES: Final = {
    "resolve": "One Resolve that the table answers",
    "warm": "Opening, with the persistent cache warm",
    "cold": "Opening, with nothing cached",
    "each_call": "Beside one OpenAssetIO call for each Resolve, without a cache",
    "memory": "What the table weighs",
    "growth": "From 10 to 20,000 layers",
    "large": "A shot of 20,000 layers in a catalogue of a million assets",
    "pins": "Pins",
    "arcs": "Arcs",
    "variants": "Variants",
    "refresh": "Refreshing",
    "publish": "Publishing layers",
    "caches": "Batches from each tier of the cache",
    "batches": "Cold batches",
    "monitoring": "Monitoring",
    "invalidation": "Invalidation",
    "streaming": "Streams",
    "entries": "LMDB with millions of entries",
    "catalogue": "The catalogue",
    "soak_sqlite": "Ten minutes at work, on SQLite",
    "soak_postgresql": "Ten minutes at work, on PostgreSQL",
}
"""The sections, in their order; by the part's name."""


def ordered(parts: Sequence[Part]) -> list[Part]:
    """Return *parts* in the report's order."""
    places = {name: place for place, name in enumerate(TITLES)}
    return sorted(parts, key=lambda part: places.get(part.name, len(places)))


def page(parts: Sequence[Part]) -> Iterator[str]:
    """Yield the lines of the report."""
    yield "# Benchmarks\n"
    yield from _about(parts)
    yield from _summary(parts)
    for part in parts:
        yield from _section(part)


def _about(parts: Sequence[Part]) -> Iterator[str]:
    yield (
        "Medians, with their 95 % bootstrap intervals; sides that are compared took turns, each in a "
        "process of its own. docs/performance.md says how, and what the cases are.\n"
    )
    for about in {_where(part): part.about for part in parts}.values():
        yield f"- {about['machine']}; {about['system']}; Python {about['python']}; " + ", ".join(
            f"{name} {version}" for name, version in about["versions"].items()
        )
    yield ""
    if any(row.reach for part in parts for row in part.rows):
        yield "![What was measured, as a share of what is to be reached](reaches.png)\n"


def _where(part: Part) -> tuple[str, str, str, str]:
    about = part.about
    return about["machine"], about["system"], about["python"], str(about["versions"])


def _summary(parts: Sequence[Part]) -> Iterator[str]:
    rows = [row for part in parts for row in part.rows if row.reached is not None]
    missed = [row for row in rows if not row.reached]
    yield f"**{len(rows) - len(missed)} of {len(rows)} figures reach what they should.**"
    failures = [failure for part in parts for failure in part.failures]
    if failures:
        yield f"**{len(failures)} cases could not be measured**, see below."
    yield ""
    if not missed:
        return
    yield "## What missed its reach, and why\n"
    yield "| what | reach | measured | why |"
    yield "|---|---|---|---|"
    for row in missed:
        yield f"| {row.what} | {reach_of(row)} | {_measured(row)} | {_why(row)} |"
    yield ""


def _why(row: Row) -> str:
    return (row.reach and row.reach.why) or "not explained yet"


def _section(part: Part) -> Iterator[str]:
    about = part.about
    yield f"## {TITLES.get(part.name, part.name)}\n"
    turns = f", {about['turns']} turns" if about["turns"] else ""
    yield f"{about['when']}, in {about['took_s']:.0f} s{turns}; load at the end {about['load']}."
    yield from (_shot(shot) for shot in part.shots)
    yield ""
    if part.rows:
        yield "| what | reach | measured | interval | reached | whole process | n |"
        yield "|---|---|---|---|---|---|---|"
        yield from map(_line, part.rows)
        yield ""
    yield from (f"Not measured: {failure.splitlines()[0]}\n" for failure in part.failures)
    if part.text:
        yield f"{part.text}\n"
    yield from (f"![{part.name}]({name})\n" for name in part.plots)
    yield from _details(part.rows)


def _details(rows: Sequence[Row]) -> Iterator[str]:
    told = [row for row in rows if row.details]
    if not told:
        return
    yield "<details><summary>More numbers</summary>\n"
    for row in told:
        yield f"**{row.what}**\n"
        yield from (f"- {key}: {_shown(value)}" for key, value in (row.details or {}).items())
        yield ""
    yield "</details>\n"


def _shot(shot: Any) -> str:
    return (
        f"Shot: {shot['layers']:,} layers, {shot['levels']} levels, {shot['entities']:,} entities, "
        f"{shot['attributes']:,} asset-valued attributes, {shot['size'] / 1e6:.0f} MB of layers."
    )


def _line(row: Row) -> str:
    estimate = row.estimate
    marks = {True: "yes", False: "**no**", None: ""}
    process = ""
    if row.process is not None:
        ratio, difference = row.process
        process = f"{ratio.median:.2f}x, {1000 * difference.median:+.0f} ms"
    interval = f"{number(estimate.low)} to {number(estimate.high)}"
    cells = (
        row.what,
        reach_of(row),
        _measured(row),
        interval if estimate.low != estimate.high else "",
        marks[row.reached],
        process,
        str(estimate.count),
    )
    return f"| {' | '.join(cells)} |"


def reach_of(row: Row) -> str:
    """Return what *row* should be, as text."""
    if row.reach is None:
        return ""
    if row.reach.rule:
        return row.reach.rule
    return f"{'>=' if row.reach.at_least else '<='} {_with_unit(row.reach.limit, row.unit)}"


def _measured(row: Row) -> str:
    return _with_unit(row.estimate.median, row.unit)


def _with_unit(value: float, unit: str) -> str:
    space = "" if unit in {"", "x", "/s"} else " "
    return f"{number(value)}{space}{unit}"


def number(value: float) -> str:
    """Return *value* with as many digits as say something."""
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    if value == int(value):
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return str(value)


def plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw each row that has a limit to reach, as a share of that: left of the line is better."""
    drawn = [row for row in rows if row.reach and row.reach.limit]
    if not drawn:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 0.32 * len(drawn) + 1.6))
    for at, row in enumerate(reversed(drawn)):
        share, low, high = _shares(row)
        axes.plot([low, high], [at, at], color="0.4", linewidth=2, zorder=2)
        axes.scatter([share], [at], color="tab:green" if row.reached else "tab:red", zorder=3)
        axes.annotate(_measured(row), (share, at), (0, 5), textcoords="offset points", fontsize=6)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(drawn)), [f"{r.what}  [{reach_of(r)}]" for r in reversed(drawn)])
    axes.tick_params(axis="y", labelsize=6)
    # One that is far off must not hide what the others say.
    axes.set_xlim(left=min(0.0, *(_shares(row)[1] for row in drawn)), right=4.0)
    axes.set_xlabel("measured / figure to reach (left of the line is better; bars: 95 % interval)")
    axes.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _shares(row: Row) -> tuple[float, float, float]:
    assert row.reach is not None
    limit, ends = row.reach.limit, (row.estimate.median, row.estimate.low, row.estimate.high)
    if row.reach.at_least:
        shares = [limit / end if end > 0 else 10.0 for end in ends]
    else:
        shares = [end / limit for end in ends]
    middle, low, high = (min(max(share, -1.0), 3.9) for share in shares)
    return middle, low, high
