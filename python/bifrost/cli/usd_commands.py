# SPDX-License-Identifier: Apache-2.0
"""
`bifrost usd cat|tree|deps|open`: layers and stages as a person looks at them.

What was asked for goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from bifrost.cli.columns import print_columns
from bifrost.cli.options import AS_JSON, GivenPath
from bifrost.control_characters import in_one_line


@click.command()
@click.argument("layer", metavar="FILE|REFERENCE")
@click.option("--flatten", is_flag=True, help="Compose the stage and print it as one layer.")
@click.option(
    "-o",
    "--out",
    type=GivenPath(dir_okay=False, path_type=Path),
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
@AS_JSON
def tree(root: str, as_json: bool) -> None:
    """
    Print the prims of a composed stage.

    ROOT is a file or an entity reference. What lies in an instance is shown where the instance is.
    """
    from bifrost.usd import inspection

    if as_json:
        click.echo(json.dumps(inspection.prims(root), indent=2))
        return
    for line in inspection.tree(root):
        click.echo(line)


@click.command()
@click.argument("root", metavar="ROOT")
@AS_JSON
@click.option(
    "--svg",
    type=GivenPath(dir_okay=False, path_type=Path),
    help="Write a picture, too: which layer names what, and how strongly that binds.",
)
def deps(root: str, as_json: bool, svg: Path | None) -> None:
    """
    List what a stage depends on.

    Follows every path that ROOT, a file or an entity reference, and the layers under it hold, those
    in variants that are not selected included. Leaves with 1 when something does not resolve.

    \b
    bifrost usd deps bifrost:///assets/shot_010 --svg shot_010.svg
    """
    from bifrost.usd.dependency_graph import dependency_graph

    graph = dependency_graph(root)
    found = graph.found
    if svg is not None:
        _write(svg, graph.to_svg(root))
    if as_json:
        click.echo(json.dumps([each.as_dict() for each in found], indent=2))
    else:
        rows = [
            (
                each.reference,
                each.version,
                each.tier,
                "" if each.path == each.reference else each.path,
            )
            for each in found
        ]
        print_columns(("reference", "version", "tier", "path"), rows)
    failed = [each for each in found if each.problem]
    for each in failed:
        origin = f" (from {each.layer})" if each.layer else ""
        click.echo(in_one_line(f"bifrost: {each.reference}: {each.problem}{origin}"), err=True)
    if failed:
        click.get_current_context().exit(1)


@click.command("open")
@click.argument("root", metavar="ROOT")
@AS_JSON
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
            click.echo(in_one_line(f"  unresolved: {path}"))
    if found.unresolved:
        click.get_current_context().exit(1)


open = open_stage  # noqa: A001 - the command's name, which is what `cli.main` looks it up by


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror or error}") from error
