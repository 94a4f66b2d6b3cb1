# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd pin`: freeze what a shot resolves to; check it; compare two."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bifrost.cli.options import AS_JSON, GivenPath
from bifrost.control_characters import in_one_line
from bifrost.errors import ConfigurationError

if TYPE_CHECKING:
    from bifrost.usd.pin_checks import Change

_FILE = GivenPath(dir_okay=False, path_type=Path)
_SHOWN = 10
_DIGITS = 12


class _PinGroup(click.Group):
    """Takes what is the name of no command for the ROOT of `make`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `make` before arguments that name no command."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["make", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_PinGroup, options_metavar="", subcommand_metavar="ROOT -o FILE | verify | diff")
def pin() -> None:
    """
    Freeze what a shot resolves to, check that it still holds, compare two.

    \b
    bifrost usd pin shots/010.usda -o 010.pins.json
    BIFROST_PINS=010.pins.json usdview shots/010.usda
    """


@pin.command()
@click.argument("root", metavar="ROOT")
@click.option("-o", "--out", type=_FILE, help="Write the pins to a file; else they are printed.")
@click.option("--selected-variants", is_flag=True, help="Only what the stage composes.")
def make(root: str, out: Path | None, selected_variants: bool) -> None:
    """
    Pin everything that ROOT, a file or an entity reference, reaches: `pin ROOT` for short.

    Leaves with 1 when something could not be pinned; the file is written nevertheless.
    """
    from bifrost.usd import pinning

    pins = pinning.pin(root, selected_variants=selected_variants)
    if out is None:
        click.echo(pins.text(), nl=False)
    else:
        pins.save(out)
        click.echo(
            f"{out}: {len(pins.entities)} references and {len(pins.files)} plain paths, "
            f"{pins.variants} variants"
        )
    for each in pins.unresolved[:_SHOWN]:
        origin = f" (from {each.layer})" if each.layer else ""
        click.echo(in_one_line(f"bifrost: {each.reference}: {each.problem}{origin}"), err=True)
    if more := pins.unresolved[_SHOWN:]:
        click.echo(f"bifrost: … and {len(more)} more that could not be pinned", err=True)
    if pins.unresolved:
        click.get_current_context().exit(1)


@pin.command()
@click.argument("pins", metavar="FILE", type=_FILE)
@click.option("--root", "roots", metavar="OLD=NEW", multiple=True, help="Where a folder is here.")
@click.option("--sizes-only", is_flag=True, help="Compare sizes and read no file.")
@AS_JSON
def verify(pins: Path, roots: Sequence[str], sizes_only: bool, as_json: bool) -> None:
    """
    Compare every pinned file with what is there now.

    Leaves with 1 when a file is missing or holds something else, or when something was never pinned.
    """
    from bifrost.usd.pin_checks import roots_of
    from bifrost.usd.pinning import verified

    try:
        places = roots_of(";".join(roots)) if roots else None
    except ConfigurationError as error:
        raise click.BadParameter(error.message, param_hint="--root") from None
    found = verified(pins, roots=places, hashes=not sizes_only)
    if as_json:
        click.echo(json.dumps([each._asdict() for each in found], indent=2))
    else:
        for each in found:
            click.echo(in_one_line(f"{each.trouble}: {each.subject}: {each.message}"))
    failed = sum(not each.trouble.is_warning for each in found)
    if not as_json:
        click.echo(f"{pins}: {failed} pins don't hold" if failed else f"{pins}: every pin holds")
    if failed:
        click.get_current_context().exit(1)


@pin.command()
@click.argument("before", metavar="A", type=_FILE)
@click.argument("after", metavar="B", type=_FILE)
@AS_JSON
def diff(before: Path, after: Path, as_json: bool) -> None:
    """
    Print what the pins in B have else than those in A.

    Leaves with 0, whatever they differ in.
    """
    from bifrost.usd import pin_checks
    from bifrost.usd.pins import load

    changes = pin_checks.diff(load(before), load(after))
    if as_json:
        click.echo(json.dumps([each._asdict() for each in changes], indent=2))
        return
    for each in changes:
        click.echo(in_one_line(_line(each)))


def _line(change: Change) -> str:
    sign = {"added": "+", "removed": "-"}.get(change.change, "~")
    fields = (f"{key} {_shown(old)} → {_shown(new)}" for key, (old, new) in change.fields.items())
    return f"{sign} {change.subject}  {', '.join(fields)}".rstrip()


def _shown(value: Any) -> str:
    text = str(value)
    is_digest = len(text) == 64 and not set(text) - set("0123456789abcdef")
    return f"{text[:_DIGITS]}…" if is_digest else text or "none"
