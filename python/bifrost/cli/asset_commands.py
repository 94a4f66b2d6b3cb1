# SPDX-License-Identifier: Apache-2.0
"""`bifrost asset`: questions to the manager about one asset, and which managers there are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from bifrost.cli.options import AS_JSON
from bifrost.control_characters import in_one_line


@click.command()
@click.argument("uri")
@AS_JSON
def resolve(uri: str, as_json: bool) -> None:
    """Print the file that an asset resolves to."""
    from bifrost.host import BifrostHostInterface

    path = str(BifrostHostInterface().resolve_asset_path(uri))
    click.echo(_json({"uri": uri, "path": path}) if as_json else path)


@click.command("info-uri")
@click.argument("uri")
@AS_JSON
def info_uri(uri: str, as_json: bool) -> None:
    """Print what is known about an asset."""
    from bifrost.host import BifrostHostInterface

    info = BifrostHostInterface().get_entity_info(uri)
    click.echo(_json(info) if as_json else _table(dict(_flat(info))))


@click.command()
@click.argument("uri")
@click.option("--set", "stage", help="Move it to this stage of the workflow.")
@click.option("--reason", default="", help="Why it is moved.")
@AS_JSON
def status(uri: str, stage: str | None, reason: str, as_json: bool) -> None:
    """
    Print where a version stands in the workflow, or move it.

    Also where it may go, and how it came there. The newest version is meant where the reference names
    none.

    \b
    bifrost asset status bifrost:///assets/hero
    bifrost asset status 'bifrost:///assets/hero?version=3' --set review --reason 'for dailies'
    """
    from bifrost.catalogue.records import from_microseconds
    from bifrost.cli.columns import printable
    from bifrost.host import bifrost_host

    if reason and stage is None:
        raise click.UsageError("--reason says why a version is moved: --set says where")
    found = (
        bifrost_host.get_status(uri)
        if stage is None
        else bifrost_host.set_status(uri, stage, reason=reason)
    )
    history = [
        {
            "before": move.before,
            "status": move.status,
            "at": from_microseconds(move.at_us).isoformat(),
            "by": move.by,
            "reason": move.reason,
        }
        for move in found.history
    ]
    if as_json:
        click.echo(_json({"status": found.status, "moves": found.moves, "history": history}))
        return
    click.echo(f"{found.status}; may go to: {', '.join(found.moves) or 'nothing'}")
    for move in history:
        by = f" by {move['by']}" if move["by"] else ""
        why = f" because {move['reason']}" if move["reason"] else ""
        click.echo(printable(f"{move['at']}  {move['before']} > {move['status']}{by}{why}"))


@click.command()
@AS_JSON
def managers(as_json: bool) -> None:
    """List the asset managers that are installed."""
    from bifrost.host import BifrostHostInterface

    found = BifrostHostInterface().managers()
    if as_json:
        click.echo(_json(found))
        return
    click.echo(_table({each["identifier"]: each["display_name"] for each in found}))


def _json(value: Any) -> str:
    # Times and paths as text: what a shell wants to read.
    return json.dumps(value, indent=2, sort_keys=True, default=str)


def _flat(info: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in info.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _table(rows: Mapping[str, Any]) -> str:
    shown = {in_one_line(key): in_one_line(str(value)) for key, value in rows.items()}
    width = max(map(len, shown), default=0)
    return "\n".join(f"{key:<{width}}  {value}".rstrip() for key, value in shown.items())
