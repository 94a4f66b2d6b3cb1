# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd diff`: what differs between two stages, or between their layers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from bifrost.cli.columns import print_columns
from bifrost.cli.options import AS_JSON
from bifrost.control_characters import in_one_line

if TYPE_CHECKING:
    from bifrost.usd.dependencies import Found
    from bifrost.usd.diffing import Change, Difference

# As diff(1) has them.
_SAME, _DIFFERENT, _TROUBLE = 0, 1, 2


@click.command()
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option("--layers", is_flag=True, help="Compare how the layers are written instead.")
@AS_JSON
@click.pass_context
def diff(ctx: click.Context, before: str, after: str, layers: bool, as_json: bool) -> None:
    """
    Print what differs between two stages.

    A and B are files or entity references. First what they depend on, in which versions; then, prim by
    prim, what they compose to, with default selections and all payloads. Leaves with 0 when nothing
    differs, 1 when something does, and 2 when one of them can't be opened.

    \b
    bifrost usd diff 'bifrost:///assets/shot_010?version=3' bifrost:///assets/shot_010
    bifrost usd diff shots/010.usda copy/010.usda --layers
    """
    from bifrost.cli.main import failed
    from bifrost.usd import diffing

    try:
        found = diffing.diff(before, after, layers=layers)
    except Exception as error:  # noqa: BLE001 - 1 would say that they differ
        failed(error)
        ctx.exit(_TROUBLE)
    if as_json:
        shown = {"before": before, "after": after, **found.as_dict()}
        click.echo(json.dumps(shown, indent=2))
    else:
        _print(found)
    for problem in found.problems:
        click.echo(in_one_line(f"bifrost: {problem}"), err=True)
    ctx.exit(_DIFFERENT if found else _SAME)


def _print(found: Difference) -> None:
    if found.dependencies:
        heads = ("change", "what", "A", "B", "file in A", "file in B")
        print_columns(heads, [_row(each) for each in found.dependencies])
    for passage in (*found.composition, *found.layers):
        click.echo(f"\n{passage.subject}")
        for line in passage.lines:
            click.echo(line)


def _row(change: Change) -> tuple[str, ...]:
    before, after = change.before, change.after
    files = (each.path if each else "" for each in (before, after))
    return change.change, change.subject, _version(before), _version(after), *files


def _version(found: Found | None) -> str:
    if found is None:
        return "-"
    if found.problem:
        return "unresolved"
    if found.version:
        return f"version {found.version}"
    return "file" if found.tier == "file" else "no version"
