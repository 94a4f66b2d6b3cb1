# SPDX-License-Identifier: Apache-2.0
"""`bifrost cache`: how the caches of this host do, and what to do about them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from bifrost.cli.options import AS_JSON, TEXT
from bifrost.cli.warm_command import warm


@click.group()
def cache() -> None:
    """Look after the caches of this host."""


@cache.command()
@AS_JSON
def stats(as_json: bool) -> None:
    """Print what the caches hold. `bifrost stats` tells of running processes."""
    from bifrost.host import bifrost_host

    found = bifrost_host.get_cache_stats()
    click.echo(json.dumps(found, indent=2) if as_json else _told(found["tiers"]))


@cache.command()
@click.argument("uris", metavar="URI…", nargs=-1, type=TEXT)
@click.option("--prefix", metavar="TEXT", type=TEXT, help="Forget every reference that starts so.")
@click.option(
    "--tag", metavar="TAG", type=TEXT, help="Forget every asset of the catalogue with this tag."
)
@click.option("--all", "everything", is_flag=True, help="Forget everything.")
def clear(uris: tuple[str, ...], prefix: str | None, tag: str | None, everything: bool) -> None:
    """
    Forget what is cached, for every process.

    \b
    bifrost cache clear bifrost:///assets/hero_model
    bifrost cache clear --prefix bifrost:///assets/show_x.
    bifrost cache clear --all
    """
    given = [bool(uris), prefix is not None, tag is not None, everything]
    if sum(given) != 1:
        raise click.UsageError("expected one of URI…, --prefix, --tag and --all")
    from bifrost.host import bifrost_host

    bifrost_host.invalidate_cache(
        list(uris) if uris else None, prefix=prefix, tag=tag, everything=everything
    )


@cache.command()
@AS_JSON
def verify(as_json: bool) -> None:
    """Check every entry on disk; forget damaged ones. Leaves with 1 where there were any."""
    found = _disk().verify()
    click.echo(
        json.dumps(found) if as_json else f"{found['entries']} sound, {found['damaged']} damaged"
    )
    if found["damaged"]:
        click.get_current_context().exit(1)


@cache.command()
def compact() -> None:
    """Copy the cache on disk into a new file without holes; every process goes on with that."""
    tier = _disk()
    before = tier.stats()["file_bytes"]
    tier.compact()
    click.echo(f"{before} bytes before, {tier.stats()['file_bytes']} after")


cache.add_command(warm)


def _disk() -> Any:
    from bifrost.errors import ConfigurationError
    from bifrost.session import current

    tier = current().tiers.tier("lmdb")
    if tier is None:
        raise ConfigurationError("the cache on disk is turned off: cache.disk_bytes is 0")
    return tier


def _told(tiers: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, tier in tiers.items():
        lines.append(name)
        lines += [f"  {key:<10}  {value}" for key, value in tier.items()]
    return "\n".join(lines)
