# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd env`: the variables that let USD find the plugin."""

from __future__ import annotations

from pathlib import Path

import click

from bifrost.cli.options import GivenPath
from bifrost.errors import ConfigurationError

SHELLS = ("bash", "fish", "powershell", "json")


def _schemes(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    from bifrost.usd import env as environment

    try:
        return environment.normalised_schemes(given)
    except ConfigurationError as error:
        raise click.BadParameter(error.message) from error


def _warn_of_another_openusd() -> None:
    """Say so where this Python's own OpenUSD is not the one that the installed plugin is for."""
    from bifrost.usd import env as environment

    library = environment.library()
    if library.parent == environment.installed_folder():  # one that was named is for an application
        wrong = environment.mismatch(library, environment.usd_core_here())
        if wrong:
            click.echo(f"bifrost: {wrong}", err=True)


@click.command()
@click.option(
    "--scheme",
    "schemes",
    multiple=True,
    metavar="SCHEME",
    callback=_schemes,
    help="A URI scheme of another OpenAssetIO manager to answer for; may be repeated.",
)
@click.option(
    "--format",
    "shell",
    type=click.Choice(SHELLS),
    default="bash",
    show_default=True,
    help="What to write for; json is one flat object.",
)
@click.option(
    "--output",
    type=GivenPath(file_okay=False, path_type=Path),
    help="The folder for the generated plugInfo.json, instead of one in the cache folder.",
)
@click.option(
    "--clean",
    is_flag=True,
    help="Also remove generated folders that nothing asked for in 30 days.",
)
def env(schemes: tuple[str, ...], shell: str, output: Path | None, clean: bool) -> None:
    """
    Print the variables that let USD find the plugin.

    \b
    eval "$(bifrost usd env)"
    eval "$(bifrost usd env --scheme bal)"
    bifrost usd env --format fish | source
    bifrost usd env --format powershell | Out-String | Invoke-Expression
    """
    from bifrost.usd import env as environment

    values = environment.variables(schemes, output=output)
    # After the folder in force was made or touched, so that it is never among the unused.
    removed = environment.clean_unused() if clean else environment.clean()
    click.echo(environment.shell_lines(values, shell))
    _warn_of_another_openusd()
    if clean:
        click.echo(f"bifrost: removed {len(removed)} generated folder(s)", err=True)
