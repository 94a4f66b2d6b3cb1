# SPDX-License-Identifier: Apache-2.0
"""`bifrost migrate code`: Python code off the old API, where that changes nothing it does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bifrost.cli.migrate_exits import leave, paths, trouble_is_2
from bifrost.cli.migrate_scan_command import line_of
from bifrost.cli.options import AS_JSON

if TYPE_CHECKING:
    from bifrost.integrations.migrating.rewriting import Rewritten


@click.command()
@paths
@click.option("--write", is_flag=True, help="Write the files, instead of printing a diff.")
@AS_JSON
@click.pass_context
@trouble_is_2
def code(ctx: click.Context, files: Sequence[Path], write: bool, as_json: bool) -> None:
    """
    Rewrite the uses of the old API that can be rewritten without changing what the code does.

    Prints a diff, and on stderr what is left to people, and why. Give it a whole project at once: it leaves
    alone what one file imports from another. Leaves with 0 when nothing is left to do, 1 when something is,
    and 2 when a file can't be read or written.

    \b
    bifrost migrate code pipeline/
    bifrost migrate code pipeline/ --write
    """
    from bifrost.integrations.migrating import rewriting, scanning

    python, unread = scanning.files_under(files, scanning.PYTHON)
    changes, unreadable = rewriting.rewritten(python)
    troubles: list[tuple[str, str]] = [*unread, *unreadable]
    written = {each.file for each in changes if write and _is_written(each, troubles)}
    if as_json:
        shown = {
            "files": [_as_json(each, each.file in written) for each in changes],
            "troubles": [{"file": file, "why": why} for file, why in troubles],
        }
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(changes, written)
    is_left = any(use.is_sure for each in changes for use in each.left)
    is_waiting = any(each.is_changed and each.file not in written for each in changes)
    leave(ctx, found=is_left or is_waiting, troubles=troubles)


def _is_written(change: Rewritten, troubles: list[tuple[str, str]]) -> bool:
    from bifrost.integrations.migrating import rewriting

    if not change.is_changed:
        return False
    try:
        rewriting.write(change)
    except OSError as error:
        troubles.append((change.file, error.strerror or str(error)))
        return False
    return True


def _as_json(change: Rewritten, is_written: bool) -> dict[str, Any]:
    return {
        "file": change.file,
        "changed": change.is_changed,
        "written": is_written,
        "diff": change.diff(),
        "left": [use._asdict() for use in change.left],
    }


def _print(changes: Sequence[Rewritten], written: set[str]) -> None:
    for change in changes:
        if change.file in written:
            click.echo(f"rewrote {change.file}")
        else:
            click.echo(change.diff(), nl=False)
    for change in changes:
        for use in change.left:
            click.echo(f"left: {change.file}:{line_of(use)}", err=True)
