# SPDX-License-Identifier: Apache-2.0
"""`bifrost migrate stage`: paths in USD files into entity references, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bifrost.cli.migrate_exits import leave, trouble_is_2
from bifrost.cli.options import AS_JSON

if TYPE_CHECKING:
    from bifrost.usd.migrating import Migration


@click.command()
@click.argument(
    "files",
    metavar="FILE…",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--to-paths", is_flag=True, help="Back: entity references into paths.")
@click.option("--pin", is_flag=True, help="Let references name the versions of today.")
@click.option("--write", is_flag=True, help="Write the files, instead of saying what would change.")
@AS_JSON
@click.pass_context
@trouble_is_2
def stage(
    ctx: click.Context,
    files: Sequence[Path],
    to_paths: bool,
    pin: bool,
    write: bool,
    as_json: bool,
) -> None:
    """
    Turn paths in USD files into entity references, where they compose to the same.

    Each file is composed with the old paths and with the new names; only when both give the same is it
    written, whole. Leaves with 0 when nothing is left to do, 1 when something would change, and 2 when a
    file can't be read, written, or would compose to something else.

    \b
    bifrost migrate stage shots/*/shot.usda
    bifrost migrate stage shots/*/shot.usda --write
    bifrost migrate stage shots/*/shot.usda --to-paths --write
    """
    from bifrost.usd import migrating

    if to_paths and pin:
        raise click.UsageError("--pin is about references; with --to-paths there are none")
    done = [
        migrating.migrate(file, to_paths=to_paths, pin=pin, write=write)
        for file in dict.fromkeys(files)
    ]
    if as_json:
        click.echo(json.dumps([each.as_dict() for each in done], indent=2))
    else:
        _print(done)
    troubles = [(each.file, each.problem) for each in done if each.problem]
    leave(ctx, found=any(each.edits and not each.is_written for each in done), troubles=troubles)


def _print(done: Sequence[Migration]) -> None:
    for each in done:
        for path, new in each.edits:
            click.echo(f"{each.file}: @{path}@ → @{new}@")
        for path, why in each.left:
            click.echo(f"left: {each.file}: @{path}@, {why}", err=True)
        if each.is_written:
            click.echo(f"wrote {each.file}: {len(each.edits)} paths, the same composition")
