# SPDX-License-Identifier: Apache-2.0
"""Draws a soak: memory, descriptors and threads, and what operations take, against time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import Sample

if TYPE_CHECKING:
    from soak import Soak


def draw(path: Path, soak: Soak) -> Path:
    """Write the picture to *path*, and return it."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(soak.applications)
    figure, grid = plt.subplots(3, count, figsize=(6 * count, 9), squeeze=False, sharey="row")
    for number, application in enumerate(soak.applications):
        memory, held, latencies = grid[:, number]
        memory.set_title(f"{soak.database}, application {number}", fontsize=9)
        _memory(memory, soak, number, application["samples"])
        _held(held, application["samples"])
        _latencies(latencies, application["samples"])
    for axes in grid.flat:
        axes.set_xlabel("s", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _memory(axes: Any, soak: Soak, number: int, samples: Sequence[Sample]) -> None:
    at = [sample["at_s"] for sample in samples]
    for key, label in (("resident_bytes", "resident"), ("used_bytes", "in use")):
        axes.plot(at, [sample[key] / 1e6 for sample in samples], linewidth=0.8, label=label)
    end = at[-1]
    for verdict in soak.verdicts:
        if verdict.application == number and verdict.unit == "MB":
            trend = verdict.trend
            ends = [trend.level - trend.rise / 2, trend.level + trend.rise / 2]
            axes.plot([end - trend.span_s, end], ends, color="black", linewidth=1.2)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("MB", fontsize=8)


def _held(axes: Any, samples: Sequence[Sample]) -> None:
    at = [sample["at_s"] for sample in samples]
    for key in ("descriptors", "connections", "threads"):
        axes.plot(at, [sample[key] for sample in samples], linewidth=0.8, label=key)
    axes.set_ylim(bottom=0)


def _latencies(axes: Any, samples: Sequence[Sample]) -> None:
    for name in sorted({name for sample in samples for name in sample["ms"]}):
        of_it = [sample for sample in samples if name in sample["ms"]]
        at = [sample["at_s"] for sample in of_it]
        axes.plot(at, [sample["ms"][name] for sample in of_it], ".", markersize=2, label=name)
    axes.set_yscale("log")
    axes.set_ylabel("ms, median of each sample", fontsize=8)
