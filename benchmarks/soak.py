# SPDX-License-Identifier: Apache-2.0
"""
The soak: artists at work for ten minutes, at full speed, and whether anything grows: `make soak`.

Two applications (`soak_child.py`) share one catalogue, on SQLite and then on PostgreSQL, and do what
artists do: open, switch versions, publish, query, refresh. Each samples its memory, its descriptors and
what its operations take; `trend.py` says whether a series grows. Verdicts and plots go into the report.
The exit code is 1 if something grows, if an answer was wrong, or if a published version is gone.

OpenUSD keeps names for as long as a process lives, so that memory grows a little with plain files, too: a
third application does the same without Bifrost for a tenth of the time, and what it takes for each
operation is no growth of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import measure
import results
import soak_plot
import soak_show
from bench import Reach, Row
from measure import Estimate, Sample
from trend import Trend, trend

_HERE: Final = Path(__file__).resolve().parent
DATABASES: Final = ("sqlite", "postgresql")
APPLICATIONS: Final = 2
_SAMPLES: Final = 600
_WARM_UP: Final = 1 / 3
_PLAIN: Final = 1 / 10
_MB: Final = 1e6
# Beyond the time itself: starting, and the last operations on a busy machine.
_PATIENCE_S: Final = 180.0
MAIN: Final = ("open", "switch", "publish", "refresh")
# How many connections a pool of the catalogue keeps (`pool_size` in bifrost/catalogue); of SQLite's each has
# two files open, and keeps 2 MB of pages (https://sqlite.org/pragma.html#pragma_cache_size).
_POOLED: Final = 8
_SQLITE_MB: Final = 2.1
# What is freed of less than so much at once stays, once something larger was freed (M_MMAP_THRESHOLD in
# mallopt(3)): resident memory follows the largest thing that was there, a thumbnail's picture.
_FREED_MB: Final = 32.0
# Small enough to be full before the samples count: a cache that fills is no leak.
_SMALL_CACHE: Final = {"BIFROST_CACHE__MEMORY_BYTES": str(1 << 17)}


class SoakFailed(Exception):
    """An application ended with an error, or an answer was wrong."""


@dataclass(frozen=True)
class Watched:
    """
    Something that must not grow.

    Attributes:
        key: Of a sample.
        what: How the report calls it.
        unit: Of the report.
        scale: What a unit is.
        tolerance: What it may rise in all the time that counts, in parts of its level: that much is nothing.
        least: The same in units, whatever the level.
    """

    key: str
    what: str
    unit: str
    scale: float
    tolerance: float
    least: float


WATCHED: Final = (
    Watched("sqlite_bytes", "memory of SQLite's", "MB", _MB, 0.0, _POOLED * _SQLITE_MB),
    Watched("used_bytes", "memory in use, but SQLite's", "MB", _MB, 0.01, 1.0),
    Watched("blocks", "Python's blocks", "thousand", 1000.0, 0.01, 1.0),
    Watched("resident_bytes", "resident, but the cache's file", "MB", _MB, 0.0, _FREED_MB),
    Watched("descriptors", "descriptors, but the database's", "", 1.0, 0.0, 0.9),
    Watched("connections", "descriptors of the database", "", 1.0, 0.0, 2.0 * _POOLED),
    Watched("threads", "threads", "", 1.0, 0.0, 0.9),
)
# What leaks into an operation makes it slower and slower. Judged by the thread's processor time: by the
# clock everything is slower for as long as something else is at work on the machine. And in parts of what
# the same piece of work takes then: what shares a core takes its caches and half of its units.
LATENCY_TOLERANCE: Final = 0.25


@dataclass(frozen=True)
class Verdict:
    """What one series of one application did, and whether that is growth."""

    application: int
    what: str
    unit: str
    trend: Trend
    tolerance: float
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def grows(self) -> bool:
        """Whether it grows by more than chance and more than the tolerance."""
        return self.trend.grows(self.tolerance)


@dataclass(frozen=True)
class Soak:
    """What a run was: its samples by application, those of plain files, and what they say."""

    database: str
    seconds: float
    applications: list[Sample]
    plain: Sample
    verdicts: list[Verdict]


def run(database: str, seconds: float, *, seed: int, say: Any) -> Soak:
    """
    Let the applications work for *seconds* on *database*, and judge what they sampled.

    Raises:
        SoakFailed: an application failed, an answer was wrong, or a published version is gone.
    """
    from bifrost.usd.env import PLUGIN_PATH

    with _show(database) as (environment, folder, root):
        arguments = {
            "root": str(root),
            "folder": str(folder),
            "of": APPLICATIONS,
            "every_s": max(0.1, seconds / _SAMPLES),
            "seed": seed,
        }
        say(f"{database}: {APPLICATIONS} applications for {seconds:.0f} s")
        each = [{**arguments, "number": number} for number in range(APPLICATIONS)]
        applications = _together(each, seconds, environment)
        _check_published(applications, environment)
        say(f"{database}: plain files")
        short = max(2.0, seconds * _PLAIN)
        few = {**arguments, "number": 0, "plain": True, "every_s": short / 100}
        without = {name: each for name, each in environment.items() if name != PLUGIN_PATH}
        [plain] = _together([few], short, without)
    return Soak(database, seconds, applications, plain, judged(applications, plain))


def judged(applications: Sequence[Sample], plain: Sample) -> list[Verdict]:
    """Return what each application's series did; *plain* is what OpenUSD's memory does by itself."""
    taken = {key: _each(plain, key) for key in ("used_bytes", "blocks", "resident_bytes")}
    return [
        verdict
        for number, application in enumerate(applications)
        for verdict in (
            *_held(number, application, taken),
            *_latencies(number, application),
        )
    ]


def _held(number: int, application: Sample, plain: Mapping[str, float]) -> Iterator[Verdict]:
    samples = _counted(application)
    at = [sample["at_s"] for sample in samples]
    operations = _main(samples[-1]) - _main(samples[0])
    for watched in WATCHED:
        found = trend(at, [sample[watched.key] / watched.scale for sample in samples])
        allowed = max(watched.least, watched.tolerance * found.level)
        own = plain.get(watched.key, 0.0) * operations / watched.scale
        yield Verdict(number, watched.what, watched.unit, found, allowed + own)


def _latencies(number: int, application: Sample) -> Iterator[Verdict]:
    samples = _counted(application)
    usual = statistics.median(sample["pace_ms"] for sample in samples)
    for name in sorted({name for sample in samples for name in sample["ms"]}):
        of_it = [sample for sample in samples if name in sample["ms"]]
        at = [sample["at_s"] for sample in of_it]
        by_clock = statistics.median(sample["ms"][name] for sample in of_it)
        found = trend(at, [sample["cpu_ms"][name] * usual / sample["pace_ms"] for sample in of_it])
        allowed = max(1.0, LATENCY_TOLERANCE * found.level)
        what = f"{name}, processor time"
        yield Verdict(number, what, "ms", found, allowed, {"by the clock, ms": by_clock})


def _each(plain: Sample, key: str) -> float:
    """Return what an operation takes of *key* in a process without Bifrost: its upper estimate."""
    samples = _counted(plain)
    done = [float(_main(sample)) for sample in samples]
    return max(0.0, trend(done, [sample[key] for sample in samples]).high)


def _counted(application: Sample) -> list[Sample]:
    """Return the samples after the warm-up."""
    samples: list[Sample] = application["samples"]
    counted = samples[int(len(samples) * _WARM_UP) :]
    if not counted:
        raise SoakFailed("there are no samples: it ended before it was warm")
    return counted


def _main(sample: Sample) -> int:
    return sum(sample["done"].get(name, 0) for name in MAIN)


# Running it


@contextmanager
def _show(database: str) -> Iterator[tuple[dict[str, str], Path, Path]]:
    """Publish the show into a catalogue of its own; yield the environment, the folder, the shot."""
    from bifrost.testing.postgresql import PostgresqlServer
    from bifrost.usd.env import PLUGIN_PATH, variables

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bifrost-soak-")))
        home, files = folder / "home", folder / "files"
        files.mkdir()
        given = {"BIFROST_HOME": str(home), PLUGIN_PATH: "", **_SMALL_CACHE}
        if database == "postgresql":
            server = stack.enter_context(PostgresqlServer(durable=True))
            given["BIFROST_CATALOGUE__URL"] = server.catalogue()
        found = variables((), environ={**os.environ, **given}, output=folder / "plugin")
        environment = {**given, **found}
        yield environment, files, _published(environment, files)


def _published(environment: Mapping[str, str], files: Path) -> Path:
    command = [sys.executable, str(_HERE / "soak_show.py"), str(files)]
    done = subprocess.run(
        command,
        env=measure.environment(environment),
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise SoakFailed(f"the show can't be published: {done.stderr[-3000:]}")
    return Path(done.stdout.splitlines()[-1])


@contextmanager
def _host(environment: Mapping[str, str]) -> Iterator[Any]:
    """Yield a host of this process with the settings that *environment* gives."""
    from bifrost.host import BifrostHostInterface
    from bifrost.session import Session
    from bifrost.settings import load

    session = Session(load(dict(environment)))
    try:
        yield BifrostHostInterface(session)
    finally:
        session.close()


def _together(
    arguments: Sequence[Mapping[str, Any]], seconds: float, environment: Mapping[str, str]
) -> list[Sample]:
    """Run an application for each of *arguments*, all at once; return what they say."""
    processes = [
        subprocess.Popen(
            [sys.executable, str(_HERE / "soak_child.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=measure.environment(environment),
        )
        for _ in arguments
    ]
    try:
        for process, given in zip(processes, arguments, strict=True):
            assert process.stdin is not None
            process.stdin.write(json.dumps({**given, "seconds": seconds}))
            process.stdin.close()
            process.stdin = None
        return [_said(process, seconds + _PATIENCE_S) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _said(process: subprocess.Popen[str], limit_s: float) -> Sample:
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise SoakFailed(f"an application is not done after {limit_s:.0f} s") from None
    if process.returncode:
        raise SoakFailed(f"exit code {process.returncode}: {err[-3000:]}")
    sample: Sample = json.loads(out.splitlines()[-1])
    if sample["wrong"]:
        raise SoakFailed("\n".join(sample["wrong"]))
    return sample


def _check_published(applications: Sequence[Sample], environment: Mapping[str, str]) -> None:
    """See that the catalogue has all that was published, in a session that has seen nothing yet."""
    newest = {prop: number for each in applications for prop, number in each["newest"].items()}
    with _host(environment) as host:
        found = host.get_versions([soak_show.reference(prop) for prop in newest])
    lost = {
        prop: (number, there)
        for (prop, number), there in zip(newest.items(), found, strict=True)
        if there != number
    }
    if lost:
        raise SoakFailed(f"published, and what is the newest: {lost}")


# Telling it


def rows(soak: Soak) -> list[Row]:
    """Return a row for each series of each application, and what closing left."""
    name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[soak.database]
    found = [_row(f"soak of {soak.seconds:.0f} s, {name}", verdict) for verdict in soak.verdicts]
    left = [
        float(each["after_close"][key] - each["before"][key] - kept)
        for each in soak.applications
        # The thread that records closures is the process's, and ends with it (usd/later.py).
        for key, kept in (("descriptors", 0), ("connections", 0), ("threads", 1))
    ]
    done = {f"application {number}": each["done"] for number, each in enumerate(soak.applications)}
    return [
        *found,
        Row(
            f"soak of {soak.seconds:.0f} s, {name}: descriptors and threads that closing leaves",
            Reach(0),
            Estimate.of([max(left)]),
            "",
            details={"operations": done, "operations, plain": soak.plain["done"]},
        ),
    ]


def _row(what: str, verdict: Verdict) -> Row:
    found = verdict.trend
    a_minute = [60 * each for each in (found.slope, found.low, found.high)]
    return Row(
        f"{what}: {verdict.what}, application {verdict.application}",
        Reach(rule="does not grow"),
        Estimate(a_minute[0], a_minute[1], a_minute[2], (a_minute[1], a_minute[2]), 1),
        f"{verdict.unit}/min".lstrip("/") if verdict.unit else "a minute",
        follows=not verdict.grows,
        details={
            "level": found.level,
            "rise over the samples that count": found.rise,
            "which may be": verdict.tolerance,
            "scatter about the slope": found.noise,
            "p": found.p,
            **verdict.details,
        },
    )


def _tell(soak: Soak) -> None:
    for verdict in soak.verdicts:
        found = verdict.trend
        print(
            f"{soak.database} {verdict.application} {verdict.what:34} "
            f"level {found.level:9.2f} {verdict.unit:8} rise {found.rise:+8.3f} "
            f"(may be {verdict.tolerance:.2f}) p {found.p:.3f} "
            f"{'GROWS' if verdict.grows else 'within noise'}"
        )


def main() -> int:
    """Soak each database, write its part of the report, print the verdicts."""
    arguments = _arguments()
    is_well = True
    for database in arguments.database or DATABASES:
        started, rows_, failures = time.time(), [], []
        plots: list[str] = []
        try:
            soak = run(
                database,
                arguments.seconds,
                seed=arguments.seed,
                say=lambda text: print(text, file=sys.stderr, flush=True),
            )
        except SoakFailed as error:
            failures = [f"soak, {database}, --seed {arguments.seed}: {error}"]
            print(failures[0], file=sys.stderr)
        else:
            rows_ = rows(soak)
            plots = [soak_plot.draw(arguments.output / f"soak_{database}.png", soak).name]
            _tell(soak)
        results.write(arguments.output, f"soak_{database}", started, rows_, failures, plots=plots)
        is_well = is_well and not failures and all(row.reached for row in rows_)
    results.put_together(arguments.output)
    print(f"soak: {'nothing grows' if is_well else 'FAILED'}; see {arguments.output}/report.md")
    return 0 if is_well else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0].strip())
    parser.add_argument(
        "--seconds",
        type=float,
        default=600.0,
        help="on each database; of fewer than some hundred the warm-up is most, and grows",
    )
    parser.add_argument("--database", action="append", choices=DATABASES, help="repeatable")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=results.FOLDER)
    arguments = parser.parse_args()
    arguments.output = arguments.output.absolute()
    return arguments


if __name__ == "__main__":
    sys.exit(main())
