# SPDX-License-Identifier: Apache-2.0
"""Writes what was measured: as JSON, as a Markdown table, as a plot."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import Row
from shot import Shot


def write(
    output: Path,
    rows: Sequence[Row],
    failures: Sequence[str],
    shot: Shot | None,
    turns: int,
    more: str = "",
) -> str:
    """Write results.json, report.md and plot.png into *output*; return the report, *more* its end."""
    output.mkdir(parents=True, exist_ok=True)
    about = _about(shot, turns)
    results = {
        "about": about,
        "failures": list(failures),
        "rows": [{**asdict(row), "reached": row.reached} for row in rows],
    }
    (output / "results.json").write_text(json.dumps(results, indent=2))
    text = "\n".join([*_markdown(about, rows, failures), more])
    (output / "report.md").write_text(text)
    _plot(output / "plot.png", rows)
    return text


def _about(shot: Shot | None, turns: int) -> dict[str, Any]:
    from pxr import Usd

    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} x {_processor()}",
        "system": platform.platform(),
        "python": platform.python_version(),
        "usd": ".".join(str(part) for part in Usd.GetVersion()),
        "load_average": os.getloadavg(),
        "turns": turns,
        "shot": shot and {k: value for k, value in asdict(shot).items() if k != "directory"},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _markdown(about: dict[str, Any], rows: Sequence[Row], failures: Sequence[str]) -> Iterator[str]:
    shot = about["shot"]
    yield "# Benchmarks\n"
    yield (
        f"{about['when']}, {about['machine']}, {about['system']}, Python {about['python']}, "
        f"OpenUSD {about['usd']}, load {about['load_average'][0]:.1f}. "
        f"{_about_shot(shot) if shot else ''}"
        f"{about['turns']} turns; medians, with their 95 % bootstrap intervals.\n"
    )
    yield "| what | reach | measured | interval | reached | whole process | n |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        yield _line(row)
    yield ""
    yield from (f"Not measured: {failure.splitlines()[0]}\n" for failure in failures)
    for row in rows:
        if row.details:
            yield f"**{row.what}**\n"
            yield from (f"- {key}: {_shown(value)}" for key, value in row.details.items())
            yield ""


def _about_shot(shot: dict[str, Any]) -> str:
    return (
        f"Shot: {shot['layers']} layers, {shot['levels']} levels, {shot['entities']} entities, "
        f"{shot['attributes']} asset-valued attributes, {shot['size'] / 1e6:.0f} MB of layers. "
    )


def _line(row: Row) -> str:
    estimate = row.estimate
    marks = {True: "yes", False: "**no**", None: ""}
    process = ""
    if row.process is not None:
        ratio, difference = row.process
        process = f"{ratio.median:.2f}x, {1000 * difference.median:+.0f} ms"
    interval = f"{_number(estimate.low)} to {_number(estimate.high)}"
    cells = (
        row.what,
        row.reach,
        f"{_number(estimate.median)} {row.unit}".rstrip(),
        interval if estimate.count > 1 else "",
        marks[row.reached],
        process,
        str(estimate.count),
    )
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    if value == int(value):
        return str(int(value))
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return str(value)


def _plot(path: Path, rows: Sequence[Row]) -> None:
    """Draw each row that has something to reach, as a share of that: left of the line is better."""
    drawn = [row for row in rows if row.limit]
    if not drawn:
        return
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 0.42 * len(drawn) + 1.6))
    for at, row in enumerate(reversed(drawn)):
        share, low, high = _shares(row)
        axes.plot([low, high], [at, at], color="0.4", linewidth=2, zorder=2)
        axes.scatter([share], [at], color="tab:green" if row.reached else "tab:red", zorder=3)
        measured = f"{_number(row.estimate.median)} {row.unit}".rstrip()
        axes.annotate(measured, (share, at), (0, 7), textcoords="offset points", fontsize=7)
    axes.axvline(1.0, color="black", linewidth=1)
    axes.set_yticks(range(len(drawn)), [f"{row.what}  [{row.reach}]" for row in reversed(drawn)])
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlim(left=min(0.0, *(_shares(row)[1] for row in drawn)))
    axes.set_xlabel("measured / figure to reach (left of the line is better; bars: 95 % interval)")
    axes.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _shares(row: Row) -> tuple[float, float, float]:
    assert row.limit is not None
    ends = (row.estimate.median, row.estimate.low, row.estimate.high)
    if row.at_least:
        return tuple(row.limit / end if end else 10.0 for end in ends)  # type: ignore[return-value]
    return tuple(end / row.limit for end in ends)  # type: ignore[return-value]
