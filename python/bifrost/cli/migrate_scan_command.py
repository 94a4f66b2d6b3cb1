# SPDX-License-Identifier: Apache-2.0
"""`bifrost migrate scan`: what is left of the old API in code, and of plain paths in USD files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bifrost.cli.migrate_exits import leave, paths, trouble_is_2
from bifrost.cli.options import AS_JSON

if TYPE_CHECKING:
    from bifrost.integrations.migrating.finding import Use
    from bifrost.integrations.migrating.scanning import Scan
    from bifrost.usd.migrating import Served


@click.command()
@paths
@click.option("--only", type=click.Choice(["code", "usd"]), help="Look at one of the two.")
@AS_JSON
@click.pass_context
@trouble_is_2
def scan(ctx: click.Context, files: Sequence[Path], only: str | None, as_json: bool) -> None:
    """
    List every use of the old API in Python code, and every path in USD files that the catalogue has.

    Nothing is imported, run or written. What can't be said for sure begins with "perhaps" and doesn't count.
    Leaves with 0 when nothing is found, 1 when something is, and 2 when a file can't be looked at.

    \b
    bifrost migrate scan pipeline/ shots/
    bifrost migrate scan pipeline/ --only code
    """
    from bifrost.integrations.migrating import scanning

    troubles: list[tuple[str, str]] = []
    found: Scan | None = None
    served: list[Served] = []
    if only != "usd":
        python, unread = scanning.files_under(files, scanning.PYTHON)
        found = scanning.scan(python)
        troubles += [*unread, *found.troubles]
    if only != "code":
        layers, unread = scanning.files_under(files, scanning.USD)
        served, unreadable = _served(layers)
        troubles += [*unread, *unreadable]
    troubles = list(dict.fromkeys((file, why) for file, why in troubles))
    if as_json:
        click.echo(json.dumps(_as_json(found, served, troubles), indent=2))
    else:
        _print(found, served)
    leave(ctx, found=bool((found and found.sure) or served), troubles=troubles)


def _served(layers: Sequence[Path]) -> tuple[list[Served], list[tuple[str, str]]]:
    if not layers:
        return [], []
    from bifrost import session
    from bifrost.usd import migrating

    catalogue = session.current().own_catalogue("finding what lies at a path")
    return migrating.served(layers, catalogue)


def _as_json(
    found: Scan | None, served: Sequence[Served], troubles: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    return {
        "code": [row for each in (found.found if found else ()) for row in each.rows()],
        "usd": [each._asdict() for each in served],
        "troubles": [{"file": file, "why": why} for file, why in troubles],
    }


def _print(found: Scan | None, served: Sequence[Served]) -> None:
    for each in found.found if found else ():
        for use in each.uses:
            click.echo(f"{each.file}:{line_of(use)}")
    for path in served:
        click.echo(f"{path.file}: @{path.path}@ → {path.reference}")
    sure = found.sure if found else 0
    click.echo(
        f"uses of the old API: {sure}; paths that the catalogue has: {len(served)}", err=True
    )


def line_of(use: Use) -> str:
    """Return a use as one line, behind its file."""
    note = f" ({use.note})" if use.note else ""
    return f"{use.line}:{use.column}: {use.old} → {use.new}{note}"
