# SPDX-License-Identifier: Apache-2.0
"""Streams of millions of references: what memory they take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import measure
from bench import Bench, Reach, Row
from library import Library
from measure import Estimate, Sample, Side

from bifrost.testing import managers

_MEMORY = Reach(
    200,
    why="the memory tier's 100 MB, LMDB's mapped pages, and an arena of malloc for each of 16 threads",
)


def rows(bench: Bench, library: Library) -> list[Row]:
    """Stream what the caches know, then what nobody asked for before."""
    return [*_known(bench, library), *_distinct(bench, library)]


def _known(bench: Bench, library: Library) -> list[Row]:
    count = 1_000_000 if bench.is_quick else 10_000_000
    environment = library.environment("streaming")
    given = {"folder": str(library.folder), "size": library.size}
    bench.say("filling LMDB")
    measure.run("fill", Side("fill", {**given, "times": 0}, environment))
    sample = _run(bench, "stream", {**given, "count": count}, environment)
    return _rows(f"{count:,} references streamed, {library.size:,} of them distinct", sample, count)


def _distinct(bench: Bench, library: Library) -> list[Row]:
    count = 200_000 if bench.is_quick else 1_000_000
    folder = library.folder / "homes" / "any"
    folder.mkdir(parents=True)
    installed = managers.install(folder, files=folder)
    environment = {**library.environment("distinct"), **installed}
    sample = _run(bench, "stream_distinct", {"count": count}, environment)
    return _rows(f"{count:,} distinct references streamed, cold", sample, count)


def _run(
    bench: Bench, program: str, arguments: Mapping[str, Any], environment: dict[str, str]
) -> Sample:
    bench.say(program)
    return measure.run(program, Side(program, arguments, environment))


def _rows(what: str, sample: Sample, count: int) -> list[Row]:
    resident = sample["resident_bytes"] / 1e6
    return [
        Row(
            f"{what}: memory over the start",
            _MEMORY,
            Estimate.of([resident]),
            "MB",
            details={
                "of it no file's, MB": sample["anonymous_bytes"] / 1e6,
                "at the start, MB": sample["start_bytes"] / 1e6,
                "at each tenth, MB": [round(each / 1e6) for each in sample["resident_at"]],
                "references a second": count / sample["took_s"],
                **{f"{name} tier": stats for name, stats in sample["tiers"].items()},
            },
        )
    ]
