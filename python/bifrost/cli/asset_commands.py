# SPDX-License-Identifier: Apache-2.0
"""`bifrost asset`: questions to the manager about one asset, and which managers there are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from bifrost.cli.options import AS_JSON


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
    width = max(map(len, rows), default=0)
    return "\n".join(f"{key:<{width}}  {value}".rstrip() for key, value in rows.items())
