# SPDX-License-Identifier: Apache-2.0
"""Several processes that publish into one catalogue at once: nothing may fail or get lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from catalogue_figures import Subject, publication
from measure import ChildFailed

from bifrost.catalogue import Catalogue

PROCESSES: Final = 8
_PROGRAM: Final = Path(__file__).parent / "catalogue_publishers.py"
# For eight Pythons on two cores to import what they need.
_HEAD_START_S: Final = 12.0


class Together(NamedTuple):
    """
    What came of it.

    Attributes:
        rates: Versions a second, of one process and of all of them, by turn.
        errors: What failed.
        lost: Versions that were reported and aren't there.
    """

    rates: list[tuple[float, float]]
    errors: list[str]
    lost: int


def publish_together(subject: Subject, turns: int, seconds: float) -> Together:
    """Let one process publish, then eight at once, in turns."""
    rates, errors, lost = [], [], 0
    for turn in range(turns):
        counts = (1, PROCESSES) if turn % 2 else (PROCESSES, 1)
        by_count = {}
        for count in counts:
            done, missing = _publish(subject, count, seconds)
            errors += [error for each in done for error in each["errors"]]
            lost += missing
            published = sum(sum(each["published"].values()) for each in done)
            by_count[count] = published / max(each["took"] for each in done)
        rates.append((by_count[1], by_count[PROCESSES]))
    return Together(rates, errors, lost)


def _publish(subject: Subject, count: int, seconds: float) -> tuple[list[dict[str, Any]], int]:
    run = f"together_{time.time_ns():x}"
    shared = [f"{run}_shared_{place}" for place in range(4)]
    with Catalogue.open(subject.url) as catalogue:
        catalogue.publish([publication(each, 0) for each in shared])
        start = time.time() + (_HEAD_START_S if count > 1 else _HEAD_START_S / 3)
        given = {"url": subject.url, "shared": shared, "seconds": seconds, "start": start}
        done = _run([{**given, "own": f"{run}_{place}"} for place in range(count)])
        expected = Counter[str](dict.fromkeys([*shared, *(f"{run}_{p}" for p in range(count))], 1))
        for each in done:
            expected.update(each["published"])
        missing = sum(
            abs(number - len(catalogue.versions(target))) for target, number in expected.items()
        )
        newest = catalogue.found(expected)
        missing += sum(
            abs(number - newest[target].latest_version) for target, number in expected.items()
        )
    return done, missing


def _run(arguments: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    children = [
        subprocess.Popen(
            [sys.executable, str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in arguments
    ]
    try:
        for child, given in zip(children, arguments, strict=True):
            assert child.stdin is not None
            child.stdin.write(json.dumps(given))
            child.stdin.close()
            child.stdin = None  # `communicate` would close it again
        found = []
        for child in children:
            out, err = child.communicate(timeout=120)
            if child.returncode:
                raise ChildFailed(f"a publisher: exit code {child.returncode}: {err[-2000:]}")
            found.append(json.loads(out))
        return found
    finally:
        for child in children:
            child.kill()
