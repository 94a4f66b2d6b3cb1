# SPDX-License-Identifier: Apache-2.0
"""
The command `bifrost`, and what an error becomes on the way out.

A command is imported when it is run, its help text aside, which stands in the tables below: so that
`bifrost --help` starts in the time that click takes.

Exit codes: 0; 1 for a failed answer; 2 for wrong usage; 130 after Ctrl-C.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from bifrost.cli.interrupts import hold_while_usd_loads
from bifrost.control_characters import in_one_line
from bifrost.errors import AssetException, BifrostError
from bifrost.redaction import redacted

_ROOT: Final = {
    "asset": ("bifrost.cli.main:asset", "Ask the manager about assets."),
    "cache": ("bifrost.cli.cache_command:cache", "Look after the caches of this host."),
    "catalogue": ("bifrost.cli.catalogue_command:catalogue", "Look after the catalogue."),
    "demo": (
        "bifrost.cli.demo_command:demo",
        "Ingest the samples, open a shot, show what it cost.",
    ),
    "doctor": ("bifrost.cli.doctor_command:doctor", "Find out what keeps Bifrost from working."),
    "ingest": ("bifrost.cli.ingest_command:ingest", "Register the files of a folder as assets."),
    "graph": ("bifrost.cli.graph_command:graph", "Ask how assets depend on each other."),
    "install-kit": (
        "bifrost.cli.install_kit_command:install_kit",
        "Write what an application needs to find Bifrost.",
    ),
    "migrate": (
        "bifrost.cli.migrate_commands:migrate",
        "Move settings, code, assets and stages off earlier releases.",
    ),
    "publish": (
        "bifrost.cli.publish_command:publish",
        "Publish files, and look after publishes that did not end.",
    ),
    "query": ("bifrost.cli.query_command:query", "Find assets of the catalogue."),
    "stats": (
        "bifrost.cli.stats_command:stats",
        "Print how a process is doing, or what this host keeps.",
    ),
    "usd": ("bifrost.cli.main:usd", "Look at USD files through entity references."),
    "warm": ("bifrost.cli.warm_command:warm", "Fill the caches for what will be opened."),
}
_ASSET: Final = {
    "info-uri": ("bifrost.cli.asset_commands:info_uri", "Print what is known about an asset."),
    "managers": (
        "bifrost.cli.asset_commands:managers",
        "List the asset managers that are installed.",
    ),
    "resolve": ("bifrost.cli.asset_commands:resolve", "Print the file that an asset resolves to."),
    "status": (
        "bifrost.cli.asset_commands:status",
        "Print where a version stands in the workflow, or move it.",
    ),
}
_USD: Final = {
    "arcs": ("bifrost.cli.usd_arcs_command:arcs", "List the arcs of a layer."),
    "cat": ("bifrost.cli.usd_commands:cat", "Print a layer or a composed stage as text."),
    "deps": ("bifrost.cli.usd_commands:deps", "List what a stage depends on."),
    "diff": ("bifrost.cli.usd_diff_command:diff", "Print what differs between two stages."),
    "edit": (
        "bifrost.cli.usd_publish_command:edit",
        "Copy a version's files into a folder, to be edited and published.",
    ),
    "env": ("bifrost.cli.env_command:env", "Print the variables that let USD find the plugin."),
    "layers": ("bifrost.cli.usd_layers_command:layers", "List the layers of a stage."),
    "localize": (
        "bifrost.cli.usd_localize_command:localize",
        "Copy a stage and all it needs into a folder.",
    ),
    "open": ("bifrost.cli.usd_commands:open", "Open a stage and report what did not resolve."),
    "package": (
        "bifrost.cli.usd_localize_command:package",
        "Write a stage and all it needs into a usdz package.",
    ),
    "pin": (
        "bifrost.cli.usd_pin_command:pin",
        "Freeze what a shot resolves to, check that it still holds, compare two.",
    ),
    "publish": (
        "bifrost.cli.usd_publish_command:publish",
        "Publish a layer and the working copies under it.",
    ),
    "refresh": (
        "bifrost.cli.usd_refresh_command:refresh",
        "Ask anew for what floats on a stage.",
    ),
    "tree": ("bifrost.cli.usd_commands:tree", "Print the prims of a composed stage."),
    "variants": (
        "bifrost.cli.usd_variants_command:variants",
        "List the variants of a stage's prims.",
    ),
}
_INTERRUPTED: Final = 130


class LazyGroup(click.Group):
    """
    A group whose commands are imported when they are run.

    Args:
        commands: For each name, where the command is (`module:attribute`) and its one-line help.
    """

    def __init__(self, *, lazy: Mapping[str, tuple[str, str]], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands' names, in the order of the help."""
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command; None when there is none of that name."""
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' names and one-line helps, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy[name][1]) for name in self.list_commands(ctx)])


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"bifrost {version('bifrost-usd')}")
    except PackageNotFoundError:
        click.echo("bifrost, run from its source tree")
    ctx.exit()


@click.group(cls=LazyGroup, lazy=_ROOT, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Print the version and leave.",
)
def bifrost() -> None:
    """USD files that name assets instead of paths."""


@click.group(cls=LazyGroup, lazy=_ASSET)
def asset() -> None:
    """Ask the manager about assets."""


@click.group(cls=LazyGroup, lazy=_USD)
def usd() -> None:
    """Look at USD files through entity references."""


def main(arguments: list[str] | None = None) -> None:
    """
    Run the command with *arguments*, those of the process by default, and leave the process.

    What went wrong is one line on stderr. `BIFROST_DEBUG=1` adds the traceback.
    """
    hold_while_usd_loads()
    code = run(arguments)
    # A reader that is gone (`bifrost usd tree … | head`) is no trouble of ours, nor is it at exit,
    # where the interpreter would complain about what it could not flush.
    try:
        if sys.stdout is not None:  # closed by who started us
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or 1
    sys.exit(code)


def run(arguments: list[str] | None = None) -> int:
    """Run the command with *arguments* and return its exit code."""
    try:
        # Not standalone: then click returns the code that `ctx.exit` was given.
        result = bifrost.main(arguments, prog_name="bifrost", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _INTERRUPTED
    except BrokenPipeError:
        return 1
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except Exception as error:  # noqa: BLE001 - the last line of defence; nothing is swallowed
        return failed(error)
    return result if isinstance(result, int) else 0


def failed(error: Exception) -> int:
    """Say what went wrong, in one line on stderr, and return the exit code of a failed answer."""
    if os.environ.get("BIFROST_DEBUG"):
        import traceback

        click.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)
    message = error.message if isinstance(error, BifrostError) else _unexpected(error)
    if isinstance(error, AssetException) and error.asset_uri not in message:
        message = f"{error.asset_uri}: {message}"
    with contextlib.suppress(BrokenPipeError):
        click.echo(in_one_line(f"bifrost: {message}"), err=True)
    return 1


def _unexpected(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError) and error.encoding == "utf-8":
        return f"{ascii(error.object)[:1000]}: no UTF-8, which can be neither opened nor printed"
    if isinstance(error, FileNotFoundError) and _stands_nowhere():
        return "the current folder is not there any more; go to one that is"
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"unexpected trouble, {text}; BIFROST_DEBUG=1 shows where"


def _stands_nowhere() -> bool:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return True
    return False
