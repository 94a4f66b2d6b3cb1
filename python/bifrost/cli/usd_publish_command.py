# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd publish` and `bifrost usd edit`: a layer and what is edited under it; a copy to edit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bifrost.cli.options import AS_JSON, TEXT, GivenPath
from bifrost.control_characters import escaped


@click.command()
@click.argument("layer", metavar="LAYER")
@click.argument("asset_uri", metavar="[REFERENCE]", required=False, type=TEXT)
@click.option("--comment", default="", help="What to say about each version.")
@click.option(
    "--type", "asset_type", type=TEXT, help="Make the asset, of this type, where it isn't there."
)
@click.option("--name", default="", help="A new asset's display name; by default its id.")
@click.option(
    "--dependencies",
    type=click.Choice(["publish-modified", "refuse-modified", "ignore"]),
    default="publish-modified",
    show_default=True,
    help="What to do about other edited layers under it.",
)
@click.option(
    "--new",
    metavar="FILE=REFERENCE",
    multiple=True,
    help="The asset that a file under it becomes, …?type=prop for a new one's type.",
)
@click.option("--no-pin", is_flag=True, help="Leave floating what floats.")
@click.option("--expect", type=int, help="The number that the newest version must have.")
@click.option("--allow-outdated", is_flag=True, help="Publish over versions that came in between.")
@click.option("--no-thumbnails", is_flag=True, help="Make no thumbnails and previews.")
@AS_JSON
def publish(layer: str, asset_uri: str | None, as_json: bool, **given: Any) -> None:
    """
    Publish a layer and the working copies under it.

    LAYER is a file; REFERENCE its asset, which a working copy knows itself.

    \b
    bifrost usd edit bifrost:///assets/shot_010 work/
    bifrost usd publish work/shot_010.usda --comment "rounder nose"
    """
    from bifrost.host import bifrost_host

    made = bifrost_host.publish_layer(
        layer,
        asset_uri,
        comment=given["comment"],
        asset_type=given["asset_type"],
        name=given["name"],
        dependencies=given["dependencies"],
        new=_pairs(given["new"]),
        pin=not given["no_pin"],
        expected_version=given["expect"],
        allow_outdated=given["allow_outdated"],
        thumbnails=not given["no_thumbnails"],
    )
    if as_json:
        click.echo(json.dumps(made.as_dict(), indent=2))
        return
    for each in made.published:
        click.echo(each.reference)
    for finding in made.warnings:
        click.echo(escaped(f"{finding.severity}: {finding.message} [{finding.code}]"), err=True)
    for action, error in made.failed.items():
        click.echo(
            f"bifrost: {action} failed, the versions are published all the same: {error}; "
            f"`bifrost publish resume {made.publish_id}` tries again",
            err=True,
        )


@click.command()
@click.argument("asset_uri", metavar="REFERENCE")
@click.argument("directory", metavar="DIR", type=GivenPath(file_okay=False, path_type=Path))
def edit(asset_uri: str, directory: Path) -> None:
    """
    Copy a version's files into a folder, to be edited and published.

    Prints the copy of the asset's own file. Nothing in DIR is written over.
    """
    from bifrost.host import bifrost_host

    click.echo(bifrost_host.working_copy(asset_uri, directory))


def _pairs(given: Sequence[str]) -> dict[Any, str]:
    pairs: dict[Any, str] = {}
    for each in given:
        path, equals, reference = each.partition("=")
        if not (path and equals and reference):
            raise click.BadParameter(f"expected FILE=REFERENCE, got {each!r}", param_hint="--new")
        pairs[path] = reference
    return pairs
