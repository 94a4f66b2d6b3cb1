# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd localize` and `bifrost usd package`: copies with plain paths that open anywhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bifrost.cli.options import AS_JSON, GivenPath
from bifrost.control_characters import in_one_line

if TYPE_CHECKING:
    from bifrost.usd.localizing import Localized

_SHOWN = 10


@click.command()
@click.argument("root", metavar="ROOT")
@click.argument("directory", metavar="DIR", type=GivenPath(file_okay=False, path_type=Path))
@AS_JSON
def localize(root: str, directory: Path, as_json: bool) -> None:
    """
    Copy a stage and all it needs into a folder.

    ROOT is a file or an entity reference. Layers in the copy name each other by relative paths, so that
    it opens anywhere. Leaves with 1 when something leads nowhere in it.
    """
    from bifrost.usd import localizing

    _report(localizing.localize(root, directory), as_json)


@click.command()
@click.argument("root", metavar="ROOT")
@click.argument("out", metavar="OUT.usdz", type=GivenPath(dir_okay=False, path_type=Path))
@AS_JSON
def package(root: str, out: Path, as_json: bool) -> None:
    """
    Write a stage and all it needs into a usdz package.

    ROOT is a file or an entity reference. Leaves with 1 when something leads nowhere in the package.
    """
    from bifrost.usd import localizing

    _report(localizing.package(root, out), as_json)


def _report(made: Localized, as_json: bool) -> None:
    if as_json:
        left = [each._asdict() for each in made.left]
        click.echo(json.dumps({**asdict(made), "left": left}, indent=2))
    else:
        click.echo(f"{made.root}: {made.files} files, {made.size} bytes")
    for each in made.left[: None if as_json else _SHOWN]:
        origin = f" (from {each.layer})" if each.layer else ""
        click.echo(in_one_line(f"bifrost: {each.path}: {each.why}{origin}"), err=True)
    if made.left:
        click.get_current_context().exit(1)
