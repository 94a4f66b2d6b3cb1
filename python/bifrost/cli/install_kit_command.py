# SPDX-License-Identifier: Apache-2.0
"""`bifrost install-kit`: the files through which an application finds Bifrost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from bifrost.cli.options import GivenPath

# As in bifrost.usd.kits, which `--help` needn't import.
KITS = ("houdini", "maya", "rez", "shell", "usdview")
_FOLDER = GivenPath(file_okay=False, path_type=Path)


@click.command("install-kit")
@click.argument("kit", metavar="|".join(KITS), type=click.Choice(KITS))
@click.argument("folder", metavar="DIR", type=_FOLDER)
@click.option(
    "--plugin",
    type=_FOLDER,
    help="The folder of a plugin that was built for the application's OpenUSD.",
)
@click.option(
    "--scheme",
    "schemes",
    multiple=True,
    metavar="SCHEME",
    help="A URI scheme of another OpenAssetIO manager to answer for; may be repeated.",
)
@click.option(
    "--requires",
    multiple=True,
    metavar="PACKAGE",
    help="rez: a package that this one requires, such as usd-26.08; may be repeated.",
)
@click.option("--force", is_flag=True, help="Replace files that others wrote or changed.")
def install_kit(
    kit: str,
    folder: Path,
    plugin: Path | None,
    schemes: Sequence[str],
    requires: Sequence[str],
    force: bool,
) -> None:
    """
    Write what an application needs to find Bifrost.

    Into DIR, which is made where it isn't there, and says what is left to do. The files name this
    installation; nothing is copied. A second run changes nothing.

    \b
    bifrost install-kit houdini ~/houdini21.0 --plugin /studio/bifrost/houdini21.0
    bifrost install-kit shell ~/bifrost && . ~/bifrost/bifrost.sh
    """
    if requires and kit != "rez":
        raise click.UsageError("--requires is for the kit rez")
    from bifrost.model.paths import expanded
    from bifrost.usd import kits

    folder = expanded(folder).absolute()
    installation = kits.Installation.here(plugin, schemes)
    made = kits.kit(kit, installation, folder, requires=requires)
    done = kits.write(made.files, folder, force=force)
    for path in done.written:
        click.echo(f"wrote      {folder / path}")
    for path in done.unchanged:
        click.echo(f"unchanged  {folder / path}")
    for number, step in enumerate(made.next_steps, 1):
        click.echo(f"\n{number}. {step}")
