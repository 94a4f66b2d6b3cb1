# SPDX-License-Identifier: Apache-2.0
"""Options that many commands have, said once."""

from __future__ import annotations

from typing import Any, Final

import click


class GivenPath(click.Path):
    """A path that names something: an empty one is an unset variable, not the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty name."""
        if not value:
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


class GivenText(click.types.StringParamType):
    """A text that says something: an empty one is an unset variable, and no other choice."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse an empty text."""
        if not value:
            self.fail("it is empty", param, ctx)
        return super().convert(value, param, ctx)


TEXT: Final = GivenText()
"""The type of an option that is empty by mistake only."""

AS_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
"""Adds the argument `as_json`."""
