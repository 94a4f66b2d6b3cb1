# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd layers`: what a stage is made of, and what of it may be edited."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from bifrost.cli.columns import print_columns
from bifrost.cli.options import AS_JSON
from bifrost.control_characters import in_one_line

if TYPE_CHECKING:
    from bifrost.usd.layer_table import StageLayer

_UNITS = ("B", "kB", "MB", "GB", "TB")


@click.command()
@click.argument("root", metavar="ROOT")
@AS_JSON
def layers(root: str, as_json: bool) -> None:
    """
    List the layers of a stage.

    ROOT is a file or an entity reference. The stage's own layers come first, strongest first, then those
    that arcs brought. Leaves with 1 when something did not resolve or compose.

    \b
    bifrost usd layers bifrost:///assets/shot_010
    bifrost usd layers shots/010.usda --json
    """
    from bifrost.host import bifrost_host
    from bifrost.usd.layer_table import stage_layers
    from bifrost.usd.opening import composition_problems

    stage = bifrost_host.open_usd_stage(root)
    found = stage_layers(stage)
    if as_json:
        click.echo(json.dumps([each.as_dict() for each in found], indent=2))
    else:
        _print(found)
    problems = [f"{each.identifier}: {each.problem}" for each in found if each.problem]
    for problem in (failed := [*problems, *composition_problems(stage)]):
        click.echo(in_one_line(f"bifrost: {problem}"), err=True)
    if failed:
        click.get_current_context().exit(1)


def _print(found: Sequence[StageLayer]) -> None:
    heads = ("layer", "version", "editable", "size", "file")
    print_columns(heads, [_cells(each) for each in found], right=[heads.index("size")])


def _cells(layer: StageLayer) -> tuple[str, ...]:
    editable = "muted" if layer.muted else "yes" if layer.editable else "no"
    name = layer.reference or layer.identifier
    path = "" if layer.path == name else layer.path
    return (name, layer.version, editable, _size(layer.size), path)


def _size(size: int | None) -> str:
    if size is None:
        return ""
    number, unit = float(size), 0
    while number >= 1000 and unit < len(_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{size} B" if unit == 0 else f"{number:.1f} {_UNITS[unit]}"
