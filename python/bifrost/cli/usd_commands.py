# SPDX-License-Identifier: Apache-2.0
"""
`bifrost usd cat|tree|deps|open`: layers and stages as a person looks at them.

What was asked for goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

_AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@click.argument("layer", metavar="FILE|REFERENCE")
@click.option("--flatten", is_flag=True, help="Compose the stage and print it as one layer.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to a file instead; its extension says in which format.",
)
def cat(layer: str, flatten: bool, out: Path | None) -> None:
    """Print a layer or a composed stage as text."""
    from bifrost.usd import inspection

    content = inspection.content(layer, flatten=flatten)
    if out is None:
        click.echo(content.ExportToString(), nl=False)
    else:
        inspection.export(content, out)


@click.command()
@click.argument("root", metavar="ROOT")
def tree(root: str) -> None:
    """
    Print the prims of a composed stage.

    ROOT is a file or an entity reference. What lies in an instance is shown where the instance is.
    """
    from bifrost.usd import inspection

    for line in inspection.tree(root):
        click.echo(line)


@click.command()
@click.argument("root", metavar="ROOT")
@_AS_JSON
def deps(root: str, as_json: bool) -> None:
    """
    List what a stage depends on.

    Follows every path that ROOT, a file or an entity reference, and the layers under it hold, those
    in variants that are not selected included. Leaves with 1 when something does not resolve.
    """
    from bifrost.usd.dependencies import dependencies

    found = dependencies(root)
    if as_json:
        click.echo(json.dumps([each.as_dict() for each in found], indent=2))
    else:
        rows = [(each.reference, each.version, each.tier, each.path) for each in found]
        _print_columns(("reference", "version", "tier", "path"), rows)
    failed = [each for each in found if each.problem]
    for each in failed:
        origin = f" (from {each.layer})" if each.layer else ""
        click.echo(f"bifrost: {each.reference}: {each.problem}{origin}", err=True)
    if failed:
        click.get_current_context().exit(1)


@click.command("open")
@click.argument("root", metavar="ROOT")
@_AS_JSON
def open_stage(root: str, as_json: bool) -> None:
    """
    Open a stage and report what did not resolve.

    ROOT is a file or an entity reference. Leaves with 1 when something did not resolve.
    """
    from bifrost.usd import inspection

    found = inspection.opened(root)
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        click.echo(
            f"{root}: {found.prims} prims from {found.layers} layers, {len(found.unresolved)} "
            f"unresolved, in {found.milliseconds:.1f} ms"
        )
        for path in found.unresolved:
            click.echo(f"  unresolved: {path}")
    if found.unresolved:
        click.get_current_context().exit(1)


open = open_stage  # noqa: A001 - the command's name, which is what `cli.main` looks it up by


def _print_columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
