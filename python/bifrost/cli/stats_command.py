# SPDX-License-Identifier: Apache-2.0
"""`bifrost stats`: how a running process is doing, or what this host keeps."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import click

from bifrost.cli.columns import aligned, printable

_LEAST_WAIT_S: Final = 0.1
_DAY_S: Final = 86_400.0
_OPERATION: Final = (
    "count", "elements", "avg_duration_ms", "p50_ms", "p95_ms", "p99_ms", "success_rate", "failures",
)  # fmt: skip
_TIER: Final = (
    "entries", "bytes", "max_bytes", "hits", "misses", "hit_rate", "evictions", "errors",
)  # fmt: skip
_PER_SECOND: Final = "per_second"


class _Table(NamedTuple):
    """A table of the terminal: a title, columns and rows of the same length."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@click.command()
@click.option(
    "--endpoint",
    metavar="HOST:PORT",
    help="Where a process serves its metrics (enable_monitoring).",
)
@click.option(
    "--watch",
    metavar="SECONDS",
    type=click.FloatRange(min=_LEAST_WAIT_S, max=_DAY_S),
    callback=lambda _, __, value: _finite(value),
    help="Print again every SECONDS until Ctrl-C; rates are per second.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; with --watch, one line each time."
)
def stats(endpoint: str | None, watch: float | None, as_json: bool) -> None:
    """
    Print how a process is doing, or what this host keeps.

    With --endpoint, a running process: its operations, caches, manager and table. Without, what the
    caches and the catalogue of this host hold; no manager is started for it.

    \b
    bifrost stats
    bifrost stats --endpoint localhost:9090 --watch 2
    """
    read = _of_host if endpoint is None else lambda: _of_process(endpoint)
    if watch is None:
        found = read()
        click.echo(json.dumps(found, indent=2) if as_json else _shown(_tables(found)), nl=as_json)
    elif as_json:
        for found in _readings(read, watch):
            click.echo(json.dumps(found))
            sys.stdout.flush()
    else:
        _watch(_readings(read, watch))


def _finite(seconds: float | None) -> float | None:
    if seconds is not None and not math.isfinite(seconds):  # NaN is within every range
        raise click.BadParameter(f"{seconds} is no number of seconds.")
    return seconds


def _readings(
    read: Callable[[], dict[str, Any]],
    every_s: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[dict[str, Any]]:
    """Yield what *read* returns, again and again, each operation with its calls per second."""
    earlier: dict[str, int] = {}
    before = clock()
    while True:
        found, now = read(), clock()
        for name, row in found["operations"].items():
            if earlier and now > before:
                row[_PER_SECOND] = max(0, row["count"] - earlier.get(name, 0)) / (now - before)
        earlier = {name: row["count"] for name, row in found["operations"].items()}
        before = now
        yield found
        sleep(every_s)


def _of_process(endpoint: str) -> dict[str, Any]:
    from bifrost.monitoring.scraping import scrape
    from bifrost.monitoring.summary import summary

    return summary(scrape(endpoint))


def _of_host() -> dict[str, Any]:
    """Return what this host keeps. This process has done nothing, so of that nothing is said."""
    from bifrost.monitoring.families import families
    from bifrost.monitoring.summary import summary
    from bifrost.session import current

    session = current()
    kept = {"tiers": session.stats().get("tiers", {})}
    samples = [sample for family in families(kept, {}) for sample in family.samples]
    found = summary(samples)
    for tier in found["tiers"].values():
        for counter in ("hits", "misses", "hit_rate"):
            tier.pop(counter, None)
    return {
        **{name: found[name] for name in ("operations", "tiers")},
        "catalogue": _catalogue(session),
    }


def _catalogue(session: Any) -> dict[str, Any]:
    """Return how much is in the catalogue. One that isn't there yet is not made for it."""
    from bifrost.catalogue.location import path_of
    from bifrost.errors import CatalogueError

    if not session.uses_own_catalogue:
        return {}
    path = path_of(session.settings.catalogue_url)
    if path is not None and not path.exists():
        return {"name": str(path), "assets": 0}
    try:
        return {"name": session.catalogue.name, **session.catalogue.counts()}
    except CatalogueError as error:
        return {"trouble": error.message}


def _tables(found: Mapping[str, Any]) -> list[_Table]:
    tables = [
        _table("operation", _OPERATION, found.get("operations", {})),
        _table("tier", _TIER, found.get("tiers", {})),
    ]
    for section in ("cache", "manager", "resolver", "process", "catalogue"):
        rows = [(name, _cell(name, value)) for name, value in found.get(section, {}).items()]
        tables.append(_Table(section, (section, ""), rows))
    return [table for table in tables if table.rows]


def _table(title: str, wanted: Sequence[str], rows: Mapping[str, Mapping[str, Any]]) -> _Table:
    """Return a table of *rows* by name, with those of the *wanted* columns that any row has."""
    columns = [each for each in (*wanted, _PER_SECOND) if any(each in row for row in rows.values())]
    cells = [
        (name, *(_cell(each, row.get(each, "")) for each in columns)) for name, row in rows.items()
    ]
    return _Table(title, (title, *columns), cells)


def _cell(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}={number}" for key, number in value.items())
    if isinstance(value, float):
        return f"{value:.3f}" if name.endswith("_ms") else f"{value:.1f}"
    return str(value)


def _watch(readings: Iterator[dict[str, Any]]) -> None:
    if not sys.stdout.isatty():
        for found in readings:
            click.echo(_shown(_tables(found)))
            sys.stdout.flush()
        return
    from rich.live import Live

    with Live(auto_refresh=False, screen=True) as live:
        for found in readings:
            live.update(_drawn(_tables(found)), refresh=True)


def _shown(tables: Sequence[_Table]) -> str:
    """Return *tables* as text: drawn for a terminal, else in plain columns."""
    if not tables:
        return "nothing yet\n"
    if not sys.stdout.isatty():
        return "\n".join(f"{aligned(table.columns, table.rows)}\n" for table in tables)
    from rich.console import Console

    console = Console()
    with console.capture() as capture:
        console.print(_drawn(tables))
    return capture.get()


def _drawn(tables: Sequence[_Table]) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    drawn = []
    for table in tables:
        one = Table(*table.columns)
        for column in one.columns[1:]:
            column.justify = "right"
        for row in table.rows:
            one.add_row(*(Text(printable(cell)) for cell in row))
        drawn.append(one)
    return Group(*drawn)
