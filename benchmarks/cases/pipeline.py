# SPDX-License-Identifier: Apache-2.0
"""The host's batches, caches and monitoring: what the cases beside this one measure, one after another."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import library
from bench import Bench, Row, Say
from cases import batches, caches, invalidation, monitoring, streaming
from library import Library
from measure import ChildFailed

from bifrost.errors import ConfigurationError

PARTS: Final[dict[str, Callable[[Bench, Library], list[Row]]]] = {
    "caches": caches.rows,
    "batches": batches.rows,
    "monitoring": monitoring.rows,
    "invalidation": invalidation.rows,
    "streaming": streaming.rows,
}


def run(
    data: Path, names: Sequence[str], *, turns: int, is_quick: bool, say: Say
) -> tuple[list[Row], list[str]]:
    """
    Return the rows of those of `PARTS` that *names* names, and what failed.

    The library is made in the folder *data*, or found there.
    """
    rows: list[Row] = []
    failures: list[str] = []
    say(f"a library of {library.SIZE:,} assets")
    assets = library.made(data / "library")
    for name in names:
        bench = Bench(data, turns, is_quick, lambda text, name=name: say(f"{name}: {text}"))  # type: ignore[misc]
        try:
            rows += map(_under_load, PARTS[name](bench, assets))
        except (ChildFailed, ConfigurationError) as error:
            failures.append(f"{name}: {error}")
            print(f"\n{failures[-1]}", file=sys.stderr)
    return rows, failures


def _under_load(row: Row) -> Row:
    """Return *row* with how busy the machine has been."""
    load = f"{os.getloadavg()[0]:.1f}"
    return replace(row, details={**(row.details or {}), "load average when measured": load})
