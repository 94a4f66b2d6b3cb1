# SPDX-License-Identifier: Apache-2.0
"""Several processes that publish into one catalogue at once: nothing may fail or get lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from catalogue_figures import Subject, publication
from measure import ChildFailed

from bifrost.catalogue import Catalogue

PROCESSES: Final = 8
_PROGRAM: Final = Path(__file__).parent / "catalogue_publishers.py"
_LIMIT_S: Final = 120.0


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
        given = {"url": subject.url, "shared": shared, "seconds": seconds}
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
    with ExitStack() as stack:
        children = [stack.enter_context(_child()) for _ in arguments]
        for child, given in zip(children, arguments, strict=True):
            _tell(child, json.dumps(given))
        for child in children:
            _heard(child)
        # A moment in which none of them starts any more, and each has heard when to begin.
        start = time.time() + 0.2
        for child in children:
            _tell(child, str(start))
        return [json.loads(_heard(child)) for child in children]


@contextmanager
def _child() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        # Whatever it waits for then, it doesn't wait for ever.
        watch = threading.Timer(_LIMIT_S, child.kill)
        watch.start()
        try:
            yield child
        finally:
            watch.cancel()
            child.kill()


def _tell(child: subprocess.Popen[str], line: str) -> None:
    assert child.stdin is not None
    child.stdin.write(f"{line}\n")
    child.stdin.flush()


def _heard(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    assert child.stderr is not None
    line = child.stdout.readline()
    if not line:
        raise ChildFailed(f"a publisher ended: {child.stderr.read()[-2000:]}")
    return line
