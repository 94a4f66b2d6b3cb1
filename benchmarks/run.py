# SPDX-License-Identifier: Apache-2.0
"""
Measures what docs/performance.md tells: `python benchmarks/run.py [--quick] [--only NAME]`.

Writes results.json, report.md, plot.png and catalogue.png, and prints the report. The exit code says whether
everything could be measured, not whether every figure was reached: machines differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import catalogue
import report
from bench import Bench, Row, Subject, the_bench
from cases import memory, open_cold, open_warm, pipeline, resolve_hit, usd
from measure import ChildFailed
from shot import Shot

_HERE: Final = Path(__file__).resolve().parent
_CHESS: Final = _HERE.parent.parent / "shared/data/usd_wg/full_assets/OpenChessSet"
CASES: Final[dict[str, Callable[[Bench, Subject], list[Row]]]] = {
    "resolve": resolve_hit.rows,
    "warm": open_warm.rows,
    "cold": open_cold.rows,
    "memory": memory.rows,
    **usd.PARTS,
}
_USD: Final = "usd"
_PIPELINE: Final = "pipeline"
_CATALOGUE: Final = "catalogue"


def main() -> int:
    """Measure, write, print."""
    arguments = _arguments()
    bench_say = _Say()
    rows: list[Row] = []
    failures: list[str] = []
    turns = arguments.turns or (5 if arguments.quick else 15)
    names = arguments.only or [*CASES, _PIPELINE, _CATALOGUE]
    shot = _measure_shots(arguments, names, turns, rows, failures, bench_say)
    _measure_pipeline(arguments, names, turns, rows, failures, bench_say)
    more = ""
    if _CATALOGUE in names:
        more = _measure_catalogue(arguments, turns, rows, failures, bench_say)
    bench_say.end()
    text = report.write(arguments.output, rows, failures, shot, turns, more)
    print(text)
    print(f"bench: {len(rows)} rows, {len(failures)} failures; see {arguments.output}/report.md")
    return 1 if failures else 0


def _measure_shots(
    arguments: argparse.Namespace,
    names: Sequence[str],
    turns: int,
    rows: list[Row],
    failures: list[str],
    say: _Say,
) -> Shot | None:
    """Add what is measured of shots; return the generated one."""
    cases = [name for name in CASES if name in names or (name in usd.PARTS and _USD in names)]
    if not cases:
        return None
    with the_bench(
        arguments.output,
        layers=arguments.layers,
        turns=turns,
        is_quick=arguments.quick,
        chess=arguments.chess,
        say=say,
    ) as bench:
        for name in cases:
            for subject in bench.subjects:
                say.case = f"{name}, {subject.name}"
                try:
                    rows += CASES[name](bench, subject)
                except ChildFailed as error:
                    failures.append(f"{say.case}: {error}")
                    print(f"\n{failures[-1]}", file=sys.stderr)
        return bench.shot


def _measure_pipeline(
    arguments: argparse.Namespace,
    names: Sequence[str],
    turns: int,
    rows: list[Row],
    failures: list[str],
    say: _Say,
) -> None:
    """Add what is measured of the pipeline, or of some of its parts."""
    parts = [name for name in pipeline.PARTS if name in names or _PIPELINE in names]
    if not parts:
        return
    say.case = _PIPELINE
    with _data(arguments) as data:
        found, failed = pipeline.run(data, parts, turns=turns, is_quick=arguments.quick, say=say)
    rows += found
    failures += failed


def _measure_catalogue(
    arguments: argparse.Namespace,
    turns: int,
    rows: list[Row],
    failures: list[str],
    say: _Say,
) -> str:
    """Add what is measured of catalogues; return the table of their growth."""
    say.case = _CATALOGUE
    sizes = arguments.size or (catalogue.QUICK_SIZES if arguments.quick else catalogue.SIZES)
    with _data(arguments) as data:
        outcome = catalogue.run(
            data, sizes=sorted(sizes), turns=turns, is_quick=arguments.quick, say=say
        )
    rows += outcome.rows
    failures += outcome.failures
    arguments.output.mkdir(parents=True, exist_ok=True)
    catalogue.plot(arguments.output / "catalogue.png", outcome.samples)
    return outcome.text


@contextmanager
def _data(arguments: argparse.Namespace) -> Iterator[Path]:
    """Yield where catalogues and libraries are kept for the next run; without one, a temporary folder."""
    with ExitStack() as stack:
        data = arguments.data or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="bifrost-bench-"))
        )
        # As root PostgreSQL runs as a user of its own, who has to get there.
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o755)
        yield data


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
    parser = argparse.ArgumentParser(description="Measure Bifrost against plain files.")
    parser.add_argument("--quick", action="store_true", help="5 turns, less of everything")
    parser.add_argument("--turns", type=int, default=0, help="how often the sides take turns")
    parser.add_argument("--layers", type=int, default=3000, help="size of the generated shot")
    parser.add_argument(
        "--only",
        action="append",
        choices=[*CASES, _USD, _PIPELINE, *pipeline.PARTS, _CATALOGUE],
        help="one case, or all of usd's, or some or all of the pipeline's; repeatable",
    )
    parser.add_argument("--size", action="append", type=int, help="assets; repeatable")
    parser.add_argument(
        "--data", type=Path, help="where catalogues and the library are kept for the next run"
    )
    parser.add_argument("--chess", type=Path, default=_CHESS, help="where chess_set.usda lies")
    parser.add_argument("--output", type=Path, default=_HERE / "out")
    arguments = parser.parse_args()
    arguments.output = arguments.output.absolute()
    arguments.data = arguments.data and arguments.data.absolute()
    return arguments


if __name__ == "__main__":
    sys.exit(main())
