# SPDX-License-Identifier: Apache-2.0
"""
Measures what docs/performance.md tells: `python benchmarks/run.py [--quick] [--only PART]`.

Each part is written into report/parts as soon as it is measured, and report.md, results.json and the pictures
are put together from all that are there. So `--only PART` measures one anew and keeps the others, and
`--missing` goes on where a run was interrupted. The exit code says whether everything could be measured, not
whether every figure was reached: machines differ.

On two cores all of it takes about 80 minutes, and 15 more the first time, for the catalogues of a million
assets, which stay in build/bench; with --quick about 12.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import catalogue
import results
from bench import Bench, Row, Subject, the_bench
from cases import (
    each_call,
    entries,
    growth,
    large,
    memory,
    open_cold,
    open_warm,
    pipeline,
    resolve_hit,
    usd,
)
from measure import ChildFailed

_HERE: Final = Path(__file__).resolve().parent
_CHESS: Final = _HERE.parent.parent / "shared/data/usd_wg/full_assets/OpenChessSet"
SHOTS: Final[dict[str, Callable[[Bench, Subject], list[Row]]]] = {
    "resolve": resolve_hit.rows,
    "warm": open_warm.rows,
    "cold": open_cold.rows,
    "each_call": each_call.rows,
    "memory": memory.rows,
    **usd.PARTS,
}
"""What is measured of the generated shot and of the chess set."""
PARTS: Final = (*SHOTS, *pipeline.PARTS, "entries", "growth", "large", "catalogue")
GROUPS: Final = {
    "shots": tuple(SHOTS),
    "usd": tuple(usd.PARTS),
    "pipeline": tuple(pipeline.PARTS),
}
"""Names that `--only` takes for several parts."""


class Measured(NamedTuple):
    """What a part comes to: see `results.Part`."""

    rows: Sequence[Row]
    failures: Sequence[str] = ()
    text: str = ""
    plots: Sequence[str] = ()
    shots: Sequence[dict[str, Any]] = ()


def main() -> int:
    """Measure part after part, write each, put the report together, print it."""
    arguments = _arguments()
    say = _Say()
    failures = 0
    shots = _Shots(arguments, say)
    for name in _wanted(arguments):
        say.case, started = name, time.time()
        try:
            measured = _measured(name, arguments, shots, say)
        except ChildFailed as error:
            measured = Measured([], [f"{name}: {error}"])
        failures += len(measured.failures)
        for failure in measured.failures:
            print(f"\n{failure}", file=sys.stderr)
        results.write(
            arguments.output,
            name,
            started,
            measured.rows,
            measured.failures,
            turns=arguments.turns,
            text=measured.text,
            plots=measured.plots,
            shots=measured.shots,
        )
    shots.close()
    say.end()
    print(results.put_together(arguments.output))
    print(f"bench: {failures} failures; see {arguments.output}/report.md")
    return 1 if failures else 0


def _wanted(arguments: argparse.Namespace) -> list[str]:
    """Return the parts to measure, in their order."""
    names = arguments.only or PARTS
    wanted = {each for name in names for each in GROUPS.get(name, (name,))}
    there = {part.name for part in results.read(arguments.output) if not part.failures}
    left = wanted - there if arguments.missing else wanted
    return [name for name in PARTS if name in left]


def _measured(name: str, arguments: argparse.Namespace, shots: _Shots, say: _Say) -> Measured:
    if name in SHOTS:
        return shots.measured(name)
    if name in pipeline.PARTS:
        rows, failures = pipeline.run(
            _folder(arguments.data),
            [name],
            turns=arguments.turns,
            is_quick=arguments.quick,
            say=say,
        )
        return Measured(rows, failures)
    if name == "catalogue":
        return _of_catalogues(arguments, say)
    bench = Bench(_folder(arguments.data), arguments.turns, arguments.quick, say)
    if name == "entries":
        return Measured(entries.rows(bench))
    if name == "large":
        return Measured(large.rows(bench, arguments.data))
    found = growth.run(bench)
    growth.plot(arguments.output / "growth.png", found.sizes)
    return Measured(found.rows, (), found.text, ["growth.png"], found.shots)


class _Shots:
    """The cases of shots. These and their copies are made when the first case asks, and serve them all."""

    def __init__(self, arguments: argparse.Namespace, say: _Say) -> None:
        self._arguments = arguments
        self._say = say
        self._stack = ExitStack()

    @cached_property
    def _bench(self) -> Bench:
        return self._stack.enter_context(
            the_bench(
                _folder(self._arguments.data),
                layers=self._arguments.layers,
                turns=self._arguments.turns,
                is_quick=self._arguments.quick,
                chess=self._arguments.chess,
                say=self._say,
            )
        )

    def measured(self, name: str) -> Measured:
        """Measure the case *name* of each shot; what fails of one leaves the other's rows."""
        rows: list[Row] = []
        failures: list[str] = []
        for subject in self._bench.subjects:
            self._say.case = f"{name}, {subject.name}"
            try:
                rows += SHOTS[name](self._bench, subject)
            except ChildFailed as error:
                failures.append(f"{self._say.case}: {error}")
        shot = self._bench.shot
        return Measured(rows, failures, shots=[{**asdict(shot), "directory": ""}] if shot else [])

    def close(self) -> None:
        """Remove what is temporary."""
        self._stack.close()


def _of_catalogues(arguments: argparse.Namespace, say: _Say) -> Measured:
    sizes = arguments.size or (catalogue.QUICK_SIZES if arguments.quick else catalogue.SIZES)
    outcome = catalogue.run(
        _folder(arguments.data),
        sizes=sorted(sizes),
        turns=arguments.turns,
        is_quick=arguments.quick,
        say=say,
    )
    arguments.output.mkdir(parents=True, exist_ok=True)
    catalogue.plot(arguments.output / "catalogue.png", outcome.samples)
    return Measured(outcome.rows, outcome.failures, outcome.text, ["catalogue.png"])


def _folder(data: Path) -> Path:
    # As root PostgreSQL runs as a user of its own, who has to get there.
    data.mkdir(parents=True, exist_ok=True)
    data.chmod(0o755)
    return data


class _Say:
    """Progress on stderr: one line that is overwritten on a terminal, a line each elsewhere."""

    def __init__(self) -> None:
        self.case = "preparing"
        self._start = time.monotonic()
        self._on_terminal = sys.stderr.isatty()

    def __call__(self, text: str) -> None:
        line = f"[{time.monotonic() - self._start:5.0f} s] {self.case}: {text}"
        if self._on_terminal:
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self._on_terminal:
            print("\r\x1b[K", end="", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="3 turns, less of everything")
    parser.add_argument("--turns", type=int, help="how often the sides take turns (5)")
    parser.add_argument("--layers", type=int, default=3000, help="size of the generated shot")
    parser.add_argument(
        "--only", action="append", choices=[*PARTS, *GROUPS], help="a part, or a group; repeatable"
    )
    parser.add_argument(
        "--missing", action="store_true", help="only parts that the report has not, or that failed"
    )
    parser.add_argument("--size", action="append", type=int, help="assets; repeatable")
    parser.add_argument(
        "--data",
        type=Path,
        default=_HERE.parent / "build" / "bench",
        help="where shots, catalogues and the library are kept for the next run",
    )
    parser.add_argument("--chess", type=Path, default=_CHESS, help="where chess_set.usda lies")
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    arguments.turns = arguments.turns or (3 if arguments.quick else 5)
    arguments.output = arguments.output.absolute()
    arguments.data = arguments.data.absolute()
    return arguments


if __name__ == "__main__":
    sys.exit(main())
