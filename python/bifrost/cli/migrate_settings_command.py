# SPDX-License-Identifier: Apache-2.0
"""`bifrost migrate settings`: a settings file of an earlier release, in the form of today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bifrost.cli.migrate_exits import leave, trouble_is_2
from bifrost.cli.options import AS_JSON

if TYPE_CHECKING:
    from bifrost.earlier_settings import Change
    from bifrost.integrations.migrating.settings import Migrated


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--write", is_flag=True, help="Write it, instead of printing it.")
@AS_JSON
@click.pass_context
@trouble_is_2
def settings(ctx: click.Context, file: Path, write: bool, as_json: bool) -> None:
    """
    Write a settings file of an earlier release in the form of today.

    FILE is YAML or TOML. Prints what it says as TOML, and on stderr what became of each old setting.
    With --write a TOML file is replaced, and what it was kept beside it as FILE.earlier; for a YAML file
    a TOML one is written beside it. A second run finds nothing to do. Leaves with 0 when nothing is left to
    do, 1 when it would change, and 2 when it can't be read or written.
    """
    from bifrost.integrations.migrating import settings as migrating

    migrated = migrating.migrated(file)
    written = migrating.write(migrated) if write else None
    if as_json:
        click.echo(json.dumps(_as_json(migrated, written), indent=2))
    else:
        _print(migrated, written)
    leave(ctx, found=migrated.is_old and written is None)


def _print(migrated: Migrated, written: Path | None) -> None:
    for change in migrated.changes:
        click.echo(_line(change), err=True)
    for section in migrated.ignored:
        click.echo(f"{section}: left out (Bifrost has no such section)", err=True)
    if not migrated.is_old:
        click.echo(f"{migrated.source}: nothing to do", err=True)
    elif written is None:
        click.echo(migrated.text, nl=False)
    else:
        click.echo(written)


def _as_json(migrated: Migrated, written: Path | None) -> dict[str, Any]:
    return {
        "file": str(migrated.source),
        "old": migrated.is_old,
        "settings": migrated.table,
        "ignored": list(migrated.ignored),
        "changes": [change._asdict() for change in migrated.changes],
        "written": None if written is None else str(written),
    }


def _line(change: Change) -> str:
    became = change.new or "left out"
    return f"{change.old}: {became}" + (f" ({change.note})" if change.note else "")
