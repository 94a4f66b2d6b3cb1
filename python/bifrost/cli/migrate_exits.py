# SPDX-License-Identifier: Apache-2.0
"""What the commands of `bifrost migrate` have in common: their arguments, and how they leave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Final

import click

from bifrost.control_characters import in_one_line

CLEAN: Final = 0
"""There is nothing to do, or it was done."""
FOUND: Final = 1
"""Something is left to do."""
TROUBLE: Final = 2
"""Something could not be looked at, or not be done."""

_SHOWN: Final = 20

paths = click.argument(
    "files", metavar="PATH…", nargs=-1, required=True, type=click.Path(path_type=Path)
)


def leave(ctx: click.Context, *, found: bool, troubles: Sequence[tuple[str, str]] = ()) -> None:
    """Say on stderr what went wrong, and leave: with 2 for trouble, else with 1 where *found*."""
    for what, why in troubles[:_SHOWN]:
        click.echo(in_one_line(f"bifrost: {what}: {why}"), err=True)
    if len(troubles) > _SHOWN:
        click.echo(f"bifrost: … and {len(troubles) - _SHOWN} more; --json lists them all", err=True)
    ctx.exit(TROUBLE if troubles else FOUND if found else CLEAN)


def trouble_is_2(command: Callable[..., None]) -> Callable[..., None]:
    """Have a command leave with 2 where it raises: 1 would say that something was found."""

    @wraps(command)
    def call(*arguments: Any, **options: Any) -> None:
        from bifrost.cli.main import failed

        try:
            command(*arguments, **options)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001  said, and told by the exit code
            failed(error)
            click.get_current_context().exit(TROUBLE)

    return call
