# SPDX-License-Identifier: Apache-2.0
"""Tables for people, and for `cut` and `awk`."""

from __future__ import annotations

from collections.abc import Sequence

import click


def print_columns(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> None:
    """Print *rows* under *heads*, as `aligned` lays them out."""
    click.echo(aligned(heads, rows, right=right))


def aligned(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()
) -> str:
    """Return *rows* under *heads*, each column as wide as it needs; those of *right* to the right."""
    cells = [list(map(printable, row)) for row in (heads, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def printable(text: str) -> str:
    """Return *text* in one line, with spaces for what would move a terminal's cursor, or colour it."""
    return "".join(ch if ch.isprintable() else " " for ch in text)
