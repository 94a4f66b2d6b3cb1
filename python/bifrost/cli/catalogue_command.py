# SPDX-License-Identifier: Apache-2.0
"""`bifrost catalogue`: what an administrator does with the catalogue."""

from __future__ import annotations

import json

import click

from bifrost.cli.options import AS_JSON


@click.group()
def catalogue() -> None:
    """Look after the catalogue."""


@catalogue.command()
@click.option("--repair", is_flag=True, help="Remove what nothing names; make derived rows anew.")
@click.option("--quick", is_flag=True, help="Compare sizes only, don't read every file.")
@AS_JSON
def check(repair: bool, quick: bool, as_json: bool) -> None:
    """
    Find what crashes, full disks and other programs left behind.

    Exits with 1 where a problem is left. With --repair nobody can publish until it is done.
    """
    from bifrost.session import current

    problems = current().own_catalogue("checking").check(repair=repair, content=not quick)
    left = [problem for problem in problems if not problem.repaired]
    if as_json:
        click.echo(json.dumps([problem._asdict() for problem in problems], indent=2))
    else:
        for problem in problems:
            mark = "repaired" if problem.repaired else "PROBLEM"
            click.echo(f"{mark:<9} {problem.kind}: {problem.what}: {problem.message}")
            if problem.remedy:
                click.echo(f"{'':<9} {problem.remedy}")
        click.echo(f"{len(problems)} problems, {len(problems) - len(left)} repaired")
    if left:
        raise SystemExit(1)


@catalogue.command()
def restored() -> None:
    """
    Say that the catalogue was restored from a backup: every cache forgets what it holds.

    Run it once, before anything is published: caches know versions that were lost, and the next ones
    get their numbers. This host's and the studio's on Redis forget at once, other hosts' as they hear
    of any change.
    """
    from bifrost.session import current

    session = current()
    own = session.own_catalogue("restoring")
    number = own.restored()
    session.follow()
    click.echo(f"{own.name}: caches forget everything as of change {number}")


@catalogue.command()
def info() -> None:
    """Print where the catalogue and its files are, and how much is in it."""
    from bifrost.session import current

    own = current().own_catalogue("counting")
    click.echo(f"catalogue  {own.name}")
    click.echo(f"store      {own.store.root}")
    for what, number in own.counts().items():
        click.echo(f"{what:<10} {number}")
