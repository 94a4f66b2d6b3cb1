# SPDX-License-Identifier: Apache-2.0
"""`bifrost publish`: a file as an asset's next version, and publishes that are on their way."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bifrost.cli.options import AS_JSON, TEXT, GivenPath
from bifrost.control_characters import escaped
from bifrost.errors import Code, ConflictException
from bifrost.model.entity_reference import reference_for

if TYPE_CHECKING:
    from bifrost.publishing import Publish

# What a set of tiles has in its files' names, no name of an asset.
_TILE = re.compile(r"[._-]?<[^<>]*>")


@click.group()
def publish() -> None:
    """Publish files, and look after publishes that did not end."""


@publish.command("file")
@click.argument("path", type=GivenPath())
@click.option("--id", "asset_id", type=TEXT, help="The asset's id; by default made of its name.")
@click.option("--name", type=TEXT, help="A new asset's display name; by default the file's.")
@click.option(
    "--type", "asset_type", type=TEXT, default="model", show_default=True, help="Its type."
)
@click.option("--comment", default="", help="What to say about the version.")
@click.option("--metadata", default="{}", help="A JSON object to set in the asset's metadata.")
@click.option("--expect", type=int, help="The number that the newest version must have.")
@click.option("--in-place", is_flag=True, help="Leave the file where it lies.")
@click.option(
    "--key", type=TEXT, help="The same publish sent twice with one key is published once."
)
@AS_JSON
def file(path: str, as_json: bool, **given: Any) -> None:
    """
    Publish a file as the next version of an asset; the asset is made where there is none.

    \b
    bifrost publish file hero.usd --name Hero --metadata '{"tags": ["character"]}'
    """
    from bifrost.host import bifrost_host
    from bifrost.host.publishing import absolute
    from bifrost.publishing import Draft
    from bifrost.publishing.names import id_of
    from bifrost.publishing.preparing import is_pattern

    name = given["name"] or _TILE.sub("", Path(path).stem)
    asset_id = given["asset_id"] or id_of(name)
    known = bifrost_host.session.own_catalogue("publishing").found([asset_id]).get(asset_id)
    if known is not None and _is_given("asset_type") and known.asset_type != given["asset_type"]:
        raise ConflictException(
            f"{asset_id} is there already, and a {known.asset_type}, no {given['asset_type']}: choose "
            "another id, or leave out --type to make its next version",
            asset_uri=reference_for(asset_id),
            code=Code.CONFLICT,
        )
    draft = Draft(
        asset_id,
        given["name"] or (known.name if known else name),
        known.asset_type if known else given["asset_type"],
        absolute(path),
        metadata=_object(given["metadata"]),
        comment=given["comment"],
        expected_version=given["expect"],
        in_place=given["in_place"],
        templated=is_pattern(path),
    )
    _print(bifrost_host.publish([draft], idempotency_key=given["key"]), as_json)


@publish.command("list")
@click.option("--stage", help="draft, validated, registered, post-registered or aborted.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@AS_JSON
def list_publishes(stage: str | None, limit: int, as_json: bool) -> None:
    """List publishes, the last moved first."""
    from bifrost.host import bifrost_host

    found = bifrost_host.publishes(stage=stage, limit=limit)
    if as_json:
        click.echo(json.dumps([_plain(each) for each in found], indent=2))
        return
    for each in found:
        names = ", ".join(each.results or [draft.asset_id for draft in each.drafts])
        click.echo(f"{each.id}  {each.stage:<16} {each.created_by:<12} {names}")


@publish.command()
@click.argument("publish_id")
@AS_JSON
def resume(publish_id: str, as_json: bool) -> None:
    """Take a publish through the stages that are left."""
    from bifrost.host import bifrost_host

    _print(bifrost_host.resume_publish(publish_id), as_json)


@publish.command()
@click.argument("publish_id")
def abort(publish_id: str) -> None:
    """Give a publish up that has made no versions yet."""
    from bifrost.host import bifrost_host

    bifrost_host.abort_publish(publish_id)
    click.echo(f"{publish_id} is aborted")


def _is_given(parameter: str) -> bool:
    source = click.get_current_context().get_parameter_source(parameter)
    return source is not click.core.ParameterSource.DEFAULT


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"no JSON: {error}", param_hint="--metadata") from None
    if not isinstance(value, dict):
        raise click.BadParameter("expected a JSON object", param_hint="--metadata")
    return value


def _print(made: Publish, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_plain(made), indent=2))
    else:
        for reference in made.results:
            click.echo(reference)
        for finding in made.findings:
            click.echo(escaped(f"{finding.severity}: {finding.message} [{finding.code}]"), err=True)
    for name, state in made.actions.items():
        if not state.done:
            click.echo(
                f"bifrost: {name} failed, the version is published all the same: {state.error}; "
                f"`bifrost publish resume {made.id}` tries again",
                err=True,
            )


def _plain(made: Publish) -> dict[str, Any]:
    return {
        **made._asdict(),
        "drafts": [draft._asdict() for draft in made.drafts],
        "findings": [finding._asdict() for finding in made.findings],
        "actions": {name: state._asdict() for name, state in made.actions.items()},
    }
