# SPDX-License-Identifier: Apache-2.0
"""`bifrost migrate assets`: an old storage tree into the catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bifrost.cli.migrate_exits import leave, trouble_is_2
from bifrost.cli.options import AS_JSON
from bifrost.control_characters import in_one_line
from bifrost.errors import ConfigurationError

if TYPE_CHECKING:
    from bifrost.integrations.migrating.assets import AssetReport

_SHOWN = 10


@click.command()
@click.argument(
    "directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--records",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The assets' records, as JSON: names, tags, authors, dates, dependencies.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be registered.")
@AS_JSON
@click.pass_context
@trouble_is_2
def assets(
    ctx: click.Context, directory: Path, records: Path | None, dry_run: bool, as_json: bool
) -> None:
    """
    Register what is in the storage tree of an earlier release, DIR/<asset id>/v<NNN>/….

    Ids, version numbers and dates stay, and the files stay where they are. A run that was interrupted is
    finished by the next one; a run after the last finds nothing to do. Leaves with 0 when the catalogue has
    all there is, 1 when with --dry-run something is left to do, and 2 when something can't be registered.

    \b
    bifrost migrate assets /mnt/show/assets --dry-run
    bifrost migrate assets /mnt/show/assets --records assets.json
    """
    from bifrost import session
    from bifrost.cli.progress import progress_bar
    from bifrost.integrations.migrating import assets as migrating
    from bifrost.integrations.migrating.tree import read_records

    current = session.current()
    catalogue = current.own_catalogue("taking over a storage tree")
    try:
        known = {} if records is None else read_records(records)
    except ConfigurationError as error:
        raise click.UsageError(error.message) from error
    with progress_bar("Registering versions") as progress:
        try:
            report = migrating.migrate(
                directory, catalogue, records=known, dry_run=dry_run, progress=progress
            )
        except OSError as error:
            raise ConfigurationError(f"{directory}: {error.strerror or error}") from error
    if not dry_run:
        current.invalidate(report.registered)
    click.echo(
        json.dumps(report.as_dict(), indent=2)
        if as_json
        else "\n".join(map(in_one_line, _summary(report)))
    )
    is_waiting = dry_run and bool(report.registered or report.relationships)
    leave(ctx, found=is_waiting, troubles=report.troubles)


def _summary(report: AssetReport) -> Iterator[str]:
    yield f"{report.directory}" + (", looked at only" if report.dry_run else "")
    yield f"  assets         {report.assets}"
    yield f"  registered     {len(report.registered)} versions"
    yield f"  unchanged      {report.unchanged} versions"
    yield f"  relationships  {report.relationships}"
    yield f"  seconds        {report.seconds:.2f}"
    yield from _listed("dated later than their files, after their predecessors", report.redated)
    yield from _listed("left out", report.left_out)


def _listed(title: str, rows: Sequence[tuple[str, str]]) -> Iterator[str]:
    if rows:
        yield f"{title} ({len(rows)}):"
        yield from (f"  {what}: {why}" for what, why in rows[:_SHOWN])
        if len(rows) > _SHOWN:
            yield f"  … and {len(rows) - _SHOWN} more; --json lists them all"
