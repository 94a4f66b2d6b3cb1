# SPDX-License-Identifier: Apache-2.0
"""Tables for people, and for `cut` and `awk`."""

from __future__ import annotations

from collections.abc import Sequence

import click


def print_columns(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> None:
    """Print *rows* under *heads*, each column as wide as it needs; those of *right* to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = [
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())
