# SPDX-License-Identifier: Apache-2.0
"""`bifrost ingest`: a folder of files into the catalogue."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bifrost.cli.options import AS_JSON, GivenPath
from bifrost.control_characters import in_one_line
from bifrost.errors import ConfigurationError

if TYPE_CHECKING:
    from bifrost.usd.ingest import IngestReport

_SHOWN: Final = 10


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--rewrite",
    "out",
    metavar="OUT",
    type=GivenPath(file_okay=False, path_type=Path),
    help="Make a read-only copy in OUT whose layers name entities, and register that.",
)
@click.option("--pin", is_flag=True, help="Let references name the versions of today.")
@AS_JSON
def ingest(directory: Path, out: Path | None, pin: bool, as_json: bool) -> None:
    """
    Register the files of a folder as assets.

    A second run makes new versions of what changed, and of nothing else. Paths that lead nowhere
    and files that can't be read are listed; they are no failure.

    \b
    bifrost ingest shots/
    bifrost ingest shots/ --rewrite /store/shots
    """
    from bifrost import session
    from bifrost.usd.ingest import ingest as run

    current = session.current()
    if not current.uses_own_catalogue:
        _say("another manager is configured: it will not know what is registered here")
    try:
        with _progress() as progress:
            report = run(directory, current.catalogue, rewrite=out, pin=pin, progress=progress)
    except ConfigurationError as error:  # of the folders given, not of the settings
        raise click.UsageError(error.message) from error
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or directory}: {error.strerror or error}"
        ) from error
    current.invalidate(report.published)
    click.echo(
        json.dumps(report.as_dict(), indent=2)
        if as_json
        else "\n".join(map(in_one_line, _summary(report)))
    )


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, elsewhere a line for each step."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield show


class _Lines:
    def __init__(self) -> None:
        self._step = ""

    def __call__(self, step: str, _: int, total: int) -> None:
        if step != self._step:
            self._step = step
            _say(f"{step} ({total})")


def _summary(report: IngestReport) -> Iterator[str]:
    yield f"ingested {report.directory}"
    if report.out:
        yield f"  copy          {report.out}"
    yield f"  assets        {report.assets}, {report.layers} of them layers"
    yield f"  new versions  {report.new_versions}"
    yield f"  unchanged     {report.unchanged}"
    yield f"  dependencies  {report.dependencies}"
    yield f"  seconds       {report.seconds:.2f}"
    yield from _listed("missing", (_at(*each) for each in report.missing))
    yield from _listed("lead out of the folder", (_at(*each) for each in report.outside))
    yield from _listed("not rewritten", (_at(*each) for each in report.untouched))
    superseded = (f"{name}: newer is {reference}" for name, reference in report.superseded)
    yield from _listed("not published again", superseded)
    yield from _listed("can't be read", (f"{name}: {why}" for name, why in report.unreadable))
    yield from _listed("left out", (f"{name}: {why}" for name, why in report.left_out))
    yield from _listed("layers that no other names", report.roots)


def _listed(title: str, items: Iterator[str] | Sequence[str]) -> Iterator[str]:
    lines = list(items)
    if lines:
        yield f"{title} ({len(lines)}):"
        yield from (f"  {line}" for line in lines[:_SHOWN])
        if len(lines) > _SHOWN:
            yield f"  … and {len(lines) - _SHOWN} more; --json lists them all"


def _at(layer: str, path: str, reason: str = "") -> str:
    return f"{layer}: @{path}@" + (f", {reason}" if reason else "")


def _say(text: str) -> None:
    click.echo(f"bifrost: {text}", err=True)
