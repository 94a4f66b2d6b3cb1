# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd refresh`: have what a stage's references mean now, and see what moved."""

from __future__ import annotations

import json

import click

from bifrost.cli.columns import print_columns
from bifrost.cli.options import AS_JSON


@click.command()
@click.argument("root", metavar="ROOT")
@AS_JSON
def refresh(root: str, as_json: bool) -> None:
    """
    Ask anew for what floats on a stage.

    Opens ROOT, a file or an entity reference, as the caches of this host have it, refreshes it and
    prints what moved from which version to which. Every process of the host has that from then on;
    stages that are open change when their applications refresh them.
    """
    from bifrost.host import bifrost_host

    done = bifrost_host.refresh(bifrost_host.open_usd_stage(root))
    if as_json:
        click.echo(json.dumps([each._asdict() for each in done.moved], indent=2))
        return
    if not done:
        click.echo(f"{root}: nothing moved")
        return
    rows = [
        (each.reference, each.version or "-", each.new_version or "-", each.new_path)
        for each in done.moved
    ]
    print_columns(("reference", "from", "to", "path"), rows)
