# SPDX-License-Identifier: Apache-2.0
"""
Sides measured in turns, and what their numbers say together.

Every run is a process of its own. The sides take turns (plain, ours, plain, ours, …), the order
turning round by one each time, so that what the machine does besides hits them alike; figures are
medians of the ratios within a turn. The page cache is warm for all: the first turn is thrown away.
"""

from __future__ import annotations

import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_CHILD: Final = Path(__file__).parent / "child.py"
_TIMEOUT_S: Final = 600
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")

Sample = dict[str, Any]


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Side:
    """
    One of the things that are compared.

    Attributes:
        name: How reports call it.
        arguments: What `child.py`'s program gets.
        environment: Added to a bare environment.
        before: Called before each run, unmeasured: a cold side removes its cache there.
    """

    name: str
    arguments: Mapping[str, Any]
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], None] = _nothing


class ChildFailed(Exception):
    """A measured process failed; the message ends with what it said."""


def run(program: str, side: Side, *, limit_s: float = _TIMEOUT_S) -> Sample:
    """
    Run *program* for *side* in a new process and return what it measured.

    `process_s` is the whole process's wall time, without what it did to count and check;
    `process_cpu_s` its processor time, with that.

    Raises:
        ChildFailed: it ended with an error, or not within *limit_s*.
    """
    side.before()
    start, cpu = time.perf_counter(), _children_cpu_s()
    try:
        done = subprocess.run(
            [sys.executable, str(_CHILD), program],
            input=json.dumps(side.arguments),
            env=environment(side.environment),
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ChildFailed(f"{side.name}: not done after {limit_s} s") from None
    took = time.perf_counter() - start
    if done.returncode != 0:
        raise ChildFailed(f"{side.name}: exit code {done.returncode}: {done.stderr[-3000:]}")
    sample: Sample = json.loads(done.stdout.splitlines()[-1])
    sample["process_s"] = took - sample.pop("unmeasured_s", 0.0)
    sample["process_cpu_s"] = _children_cpu_s() - cpu
    sample["warnings"] = done.stderr.count("Warning")
    return sample


def take_turns(
    program: str | Mapping[str, str],
    sides: Sequence[Side],
    turns: int,
    progress: Callable[[str], None],
) -> dict[str, list[Sample]]:
    """
    Return *turns* samples of each side, by its name; samples of one turn have the same index.

    *program* is what all of them run, or what each of them does, by its name.
    """
    samples: dict[str, list[Sample]] = {side.name: [] for side in sides}
    for turn in range(turns + 1):
        first = turn % len(sides)
        for side in (*sides[first:], *sides[:first]):
            progress(f"{turn}/{turns} {side.name}" if turn else f"warming up: {side.name}")
            sample = run(program if isinstance(program, str) else program[side.name], side)
            if turn:
                samples[side.name].append(sample)
    return samples


@dataclass(frozen=True)
class Estimate:
    """
    A median and how sure it is.

    Attributes:
        low: Lower end of the median's 95 % bootstrap interval; *high* is its upper end.
        quartiles: Of the values themselves.
    """

    median: float
    low: float
    high: float
    quartiles: tuple[float, float]
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Estimate the median of what *values* were drawn from."""
        rng = random.Random(1)
        draws = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(2000))
        quarters = statistics.quantiles(values, n=4) if len(values) > 1 else [values[0]] * 3
        return cls(
            median=statistics.median(values),
            low=draws[50],
            high=draws[1949],
            quartiles=(quarters[0], quarters[2]),
            count=len(values),
        )

    def scaled(self, factor: float) -> Estimate:
        """Return the same in another unit."""
        return Estimate(
            self.median * factor,
            self.low * factor,
            self.high * factor,
            (self.quartiles[0] * factor, self.quartiles[1] * factor),
            self.count,
        )


def values(samples: Sequence[Sample], *path: str) -> list[float]:
    """Return one number of each sample; *path* leads into nested objects."""
    found = []
    for sample in samples:
        value: Any = sample
        for key in path:
            value = value[key]
        found.append(float(value))
    return found


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Estimate how many times *theirs* ours takes, turn by turn."""
    return Estimate.of([a / b for a, b in zip(ours, theirs, strict=True)])


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Estimate by how much ours exceeds *theirs*, turn by turn."""
    return Estimate.of([a - b for a, b in zip(ours, theirs, strict=True)])


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def environment(added: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a measured process: a bare one, and *added*."""
    # A person's own PXR_*, OPENASSETIO_* and BIFROST_* would change what is measured.
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, "PYTHONNOUSERSITE": "1", **added}
