# SPDX-License-Identifier: Apache-2.0
"""`bifrost warm`: fill the caches for what will be opened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from bifrost.cli.options import AS_JSON
from bifrost.control_characters import in_one_line

if TYPE_CHECKING:
    from bifrost.usd.warming import Warmed

_SHOWN = 10


@click.command()
@click.argument("roots", metavar="ROOT…", nargs=-1)
@click.option(
    "--query", metavar="QUERY", help="Warm every asset that QUERY finds (docs/queries.md)."
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="References per round trip, to begin with.",
)
@AS_JSON
def warm(roots: Sequence[str], query: str | None, batch_size: int, as_json: bool) -> None:
    """
    Fill the caches for what will be opened.

    ROOT is a file or an entity reference; everything that it needs is asked for, breadth by breadth.
    Opening it then asks no manager. Leaves with 1 when something does not resolve.

    \b
    bifrost warm shots/010.usda bifrost:///assets/set_city
    bifrost warm --query '{"types": ["shot"], "tags": "monday"}'
    """
    wanted = [*roots, *(_found(query) if query is not None else ())]
    if not wanted:
        if query is None:
            raise click.UsageError("expected a ROOT, or --query")
        click.echo("bifrost: the query finds nothing", err=True)
    from bifrost.cli.progress import progress_bar
    from bifrost.usd.warming import warm_roots

    with progress_bar("warming") as progress:
        warmed = warm_roots(wanted, batch_size=batch_size, progress=progress)
    _flush()
    click.echo(json.dumps(_as_dict(warmed), indent=2) if as_json else _summary(warmed))
    for each in warmed.problems[: None if as_json else _SHOWN]:
        origin = f" (from {each.layer})" if each.layer else ""
        click.echo(in_one_line(f"bifrost: {each.reference}: {each.problem}{origin}"), err=True)
    if warmed.problems:
        click.get_current_context().exit(1)


def _found(query: str) -> list[str]:
    """Return the references of all assets that *query* finds, page by page."""
    from bifrost.host import bifrost_host

    try:
        asked: Any = json.loads(query)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"--query is no JSON: {error}") from None
    if isinstance(asked, dict):
        if "aggregate" in asked:
            raise click.UsageError("--query: groups can't be warmed, leave the aggregate out")
        asked["fields"] = ["uri"]  # all that is needed, whatever it is for elsewhere
    found: list[str] = []
    while True:
        page = bifrost_host.query_assets(asked)
        found += [asset["uri"] for asset in page]
        if page.cursor is None or "limit" in asked:
            return found
        asked = {**asked, "cursor": page.cursor}


def _flush() -> None:
    from bifrost.session import current

    current().tiers.flush()


def _as_dict(warmed: Warmed) -> dict[str, Any]:
    return {**warmed._asdict(), "problems": [each.as_dict() for each in warmed.problems]}


def _summary(warmed: Warmed) -> str:
    lines = [
        f"warmed {warmed.roots} roots in {warmed.seconds:.2f} s",
        f"  references   {warmed.references}, {warmed.cached} of them known before",
        f"  plain paths  {warmed.files}",
        f"  round trips  {warmed.round_trips}",
        f"  problems     {len(warmed.problems)}",
    ]
    return "\n".join(lines)
