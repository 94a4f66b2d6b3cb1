# SPDX-License-Identifier: Apache-2.0
"""
`bifrost graph`: what depends on what.

What was asked for goes to stdout, everything else to stderr. An asset is named by its entity reference,
or by its id alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bifrost.cli.columns import aligned
from bifrost.cli.options import AS_JSON, GivenPath
from bifrost.control_characters import escaped_in_json
from bifrost.model.entity_reference import parse, reference_for

if TYPE_CHECKING:
    from bifrost.catalogue.analysis import Reached
    from bifrost.catalogue.graph import Graph
    from bifrost.catalogue.graphs import GraphEdge

_STRENGTHS = ("strong", "weak", "reference")
_DEPTH = click.option("--depth", type=click.IntRange(1), help="Follow so many edges at most.")
_STRENGTH = click.option(
    "--strength",
    "strengths",
    multiple=True,
    type=click.Choice(_STRENGTHS),
    help="Only along edges of this strength; may be given several times.",
)


class _Asset(click.ParamType[tuple[str, str | None]]):
    """An entity reference of our own catalogue, or an asset's id: (id, version)."""

    name = "reference"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str | None]:
        """Refuse what is neither."""
        if isinstance(value, tuple):
            return value
        try:
            reference = parse(value if "://" in value else reference_for(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if reference.representation or reference.publish:
            self.fail("only assets and their versions have relationships", param, ctx)
        return reference.asset_id, reference.version


_ASSET = _Asset()


@click.group()
def graph() -> None:
    """Ask how assets depend on each other."""


@graph.command()
@click.argument("asset", type=_ASSET)
@_DEPTH
@_STRENGTH
@AS_JSON
def dependencies(
    asset: tuple[str, str | None], depth: int | None, strengths: Sequence[str], as_json: bool
) -> None:
    """List what an asset needs, nearest first."""
    found = _graph().dependencies(*asset, depth=depth, strengths=strengths or None)
    _print_reached(found, as_json)


@graph.command()
@click.argument("asset", type=_ASSET)
@_DEPTH
@_STRENGTH
@click.option("--every-version", is_flag=True, help="Earlier versions that nothing needs, too.")
@AS_JSON
def dependents(
    asset: tuple[str, str | None],
    depth: int | None,
    strengths: Sequence[str],
    every_version: bool,
    as_json: bool,
) -> None:
    """List what needs an asset, nearest first."""
    found = _graph().dependents(
        *asset, depth=depth, strengths=strengths or None, every_version=every_version
    )
    _print_reached(found, as_json)


@graph.command()
@click.argument("asset", type=_ASSET)
@_DEPTH
@_STRENGTH
@AS_JSON
def impact(
    asset: tuple[str, str | None], depth: int | None, strengths: Sequence[str], as_json: bool
) -> None:
    """
    List the assets that changing one would affect, nearest first.

    Those that stay with a version that they pin are marked.
    """
    found = _graph().impact(*asset, depth=depth, strengths=strengths or None)
    _print(
        as_json,
        [each._asdict() for each in found],
        lambda: _table(
            ("distance", "asset", "type", "strength", "through", "a new version"),
            [
                (
                    each.distance,
                    reference_for(each.asset_id),
                    each.asset_type,
                    each.strength,
                    ", ".join(each.through),
                    "reaches it" if each.follows else "doesn't reach it: pinned",
                )
                for each in found
            ],
            "nothing is affected",
        ),
    )


@graph.command()
@_STRENGTH
@AS_JSON
def cycles(strengths: Sequence[str], as_json: bool) -> None:
    """
    List versions that need each other.

    Along strong relationships, unless --strength says which.
    """
    found = _graph().cycles(strengths=strengths or _STRENGTHS[:1])
    rows = [
        {"assets": each.assets, "example": [node.reference for node in each.example]}
        for each in found
    ]
    _print(as_json, rows, lambda: "\n".join(map(str, found)) or "there are none")


@graph.command()
@click.option("--type", "types", multiple=True, help="Only assets of this type.")
@click.option("--limit", type=click.IntRange(1), default=1000, show_default=True)
@AS_JSON
def orphans(types: Sequence[str], limit: int, as_json: bool) -> None:
    """List assets that no version of another one needs."""
    found = _graph().orphans(types=types or None, limit=limit)
    if len(found) == limit:
        click.echo(f"the first {limit}; --limit shows more", err=True)
    _print(
        as_json,
        [each._asdict() for each in found],
        lambda: _table(
            ("asset", "type", "name"),
            [(reference_for(each.asset_id), each.asset_type, each.name) for each in found],
            "there are none",
        ),
    )


@graph.command()
@click.argument("source", type=_ASSET)
@click.argument("target", type=_ASSET)
@_STRENGTH
@AS_JSON
@click.pass_context
def path(
    ctx: click.Context,
    source: tuple[str, str | None],
    target: tuple[str, str | None],
    strengths: Sequence[str],
    as_json: bool,
) -> None:
    """
    Print a shortest way by which SOURCE needs TARGET.

    The exit code is 1 where there is none.
    """
    relationships = _graph()
    way = relationships.path(source, target, strengths=strengths or None)
    if way is None:
        ends = reference_for(*source), reference_for(*target)
        click.echo(f"{ends[0]} doesn't need {ends[1]}", err=True)
        if relationships.path(target, source, strengths=strengths or None) is not None:
            click.echo(f"but {ends[1]} needs {ends[0]}", err=True)
        ctx.exit(1)
    _print(
        as_json,
        [_edge(edge) for edge in way],
        lambda: "\n".join(map(_line, way)) or "they are the same",
    )


@graph.command()
@click.argument("assets", nargs=-1, type=_ASSET)
@_STRENGTH
@AS_JSON
def order(
    assets: Sequence[tuple[str, str | None]], strengths: Sequence[str], as_json: bool
) -> None:
    """
    List versions so that each comes behind what it needs.

    ASSETS and what they need, or everything where none is given. Along strong relationships, unless
    --strength says which.
    """
    found = _graph().order(assets or None, strengths=strengths or _STRENGTHS[:1])
    references = [node.reference for node in found]
    _print(as_json, references, lambda: "\n".join(references))


@graph.command()
@click.argument("before", type=_ASSET)
@click.argument("after", type=_ASSET)
@_STRENGTH
@AS_JSON
def diff(
    before: tuple[str, str | None],
    after: tuple[str, str | None],
    strengths: Sequence[str],
    as_json: bool,
) -> None:
    """
    Print how what AFTER needs differs from what BEFORE needs, at any depth.

    \b
    bifrost graph diff 'bifrost:///assets/shot?version=3' bifrost:///assets/shot
    """
    found = _graph().diff(before, after, strengths=strengths or None)
    rows = {
        "added": [_edge(edge) for edge in found.added],
        "removed": [_edge(edge) for edge in found.removed],
        "changed": [{"before": _edge(old), "after": _edge(new)} for old, new in found.changed],
    }
    lines = [f"- {_line(edge)}" for edge in found.removed]
    lines += [f"+ {_line(edge)}" for edge in found.added]
    lines += [f"~ {_line(old)}\n  {_line(new)}" for old, new in found.changed]
    _print(as_json, rows, lambda: "\n".join(lines) or "there is no difference")


@graph.command()
@AS_JSON
@click.pass_context
def check(ctx: click.Context, as_json: bool) -> None:
    """
    Find relationships that don't hold, and what to do about them.

    The exit code is 1 where there are any, warnings aside.
    """
    from bifrost.host import bifrost_host

    found = bifrost_host.validate_relationships()
    _print(
        as_json,
        [each._asdict() for each in found],
        lambda: (
            "\n".join(
                f"{'warning' if each.is_warning else 'error'}: {each.message}\n  {each.remedy}"
                for each in found
            )
            or "every relationship holds"
        ),
    )
    if not all(each.is_warning for each in found):
        ctx.exit(1)


@graph.command()
@click.argument("assets", nargs=-1, type=_ASSET)
@click.option(
    "--format",
    "form",
    type=click.Choice(("dot", "json", "graphml", "svg")),
    help="By default what OUT's extension says, else dot.",
)
@click.option("--direction", type=click.Choice(("out", "in")), default="out", show_default=True)
@_DEPTH
@_STRENGTH
@click.option(
    "-o",
    "--out",
    type=GivenPath(dir_okay=False, path_type=Path),
    help="Write to a file instead.",
)
def export(
    assets: Sequence[tuple[str, str | None]],
    form: str | None,
    direction: str,
    depth: int | None,
    strengths: Sequence[str],
    out: Path | None,
) -> None:
    """
    Print what ASSETS need (out), or what needs them (in), as a graph for other programs.

    Everything, where no asset is given.

    \b
    bifrost graph export bifrost:///assets/shot -o shot.svg
    bifrost graph export bifrost:///assets/hero --direction in --format json
    """
    from bifrost.catalogue.export import FORMS
    from bifrost.catalogue.export import export as write

    extension = out.suffix.lstrip(".").lower() if out else ""
    form = form or (extension if extension in FORMS else "dot")
    part = _graph().subgraph(
        assets or None, direction=direction, depth=depth, strengths=strengths or None
    )
    text = write(part, form, ", ".join(reference_for(*asset) for asset in assets[:3]))
    if out is None:
        click.echo(text, nl=not text.endswith("\n"))
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{out}: {error.strerror or error}") from error


def _graph() -> Graph:
    from bifrost.host import bifrost_host

    return bifrost_host.graph


def _print(as_json: bool, rows: Any, text: Callable[[], str]) -> None:
    click.echo(
        escaped_in_json(json.dumps(rows, indent=2, ensure_ascii=False)) if as_json else text()
    )


def _print_reached(found: Sequence[Reached], as_json: bool) -> None:
    rows = [
        (
            each.distance,
            reference_for(each.asset_id, each.number or None),
            each.asset_type,
            each.strength,
        )
        for each in found
    ]
    _print(
        as_json,
        [each._asdict() for each in found],
        lambda: _table(("distance", "asset", "type", "strength"), rows, "there is nothing"),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]], empty: str) -> str:
    cells = [list(map(str, row)) for row in rows]
    return aligned(heads, cells) if cells else empty


def _line(edge: GraphEdge) -> str:
    how = f"pins {edge.version}" if edge.is_pinned else edge.version or "floats"
    purpose = f": {edge.purpose}" if edge.purpose else ""
    what = f"{edge.kind}{purpose}, {edge.strength}, {how}"
    return f"{edge.source.reference} -> {edge.target.reference}  ({what})"


def _edge(edge: GraphEdge) -> dict[str, Any]:
    return {
        "source": edge.source.reference,
        "target": edge.target.reference,
        "version": edge.version,
        "kind": edge.kind,
        "strength": edge.strength,
        "purpose": edge.purpose,
        "origin": edge.origin,
        "metadata": json.loads(edge.metadata_json),
    }
