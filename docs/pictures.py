# SPDX-License-Identifier: Apache-2.0
"""
Draw docs/pictures/shot.svg and benchmark.svg: `make docs`.

The first is what `bifrost usd deps --svg` draws of the samples' shot; the second shows figures of
docs/performance.md. tests/docs compares both with what is committed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
SAMPLES = HERE.parent / "usd_samples"
SHOT = "bifrost:///assets/shot.shot.usda"

_WIDTH, _ROW, _TOP, _LEFT, _SCALE = 760, 38, 62, 300, 240  # pixels; _SCALE: of 1.00x
_ATTRIBUTES = (
    'xmlns="http://www.w3.org/2000/svg" font-family="Helvetica, Arial, sans-serif" role="img"'
)
_DASHED = 'stroke="#57606a" stroke-dasharray="4 4"'


class Bar(NamedTuple):
    """
    A figure of the picture.

    Attributes:
        row: How its row in docs/performance.md begins.
        label: What the picture calls it.
    """

    row: str
    label: str


BARS = [
    Bar("open, LMDB warm", "references, opened before on this host"),
    Bar("open with pins", "references, with pins"),
    Bar("open, cold, own catalogue", "references, nothing cached"),
    Bar("open, cold, BAL at 0 ms", "another manager's, nothing cached"),
]


def shot() -> str:
    """Return the picture of what the samples' shot depends on, as the command draws it."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {**os.environ, "BIFROST_HOME": f"{folder}/home"}
        picture = Path(folder, "shot.svg")
        for arguments in (
            ["ingest", str(SAMPLES), "--rewrite", f"{folder}/street"],
            ["usd", "deps", SHOT, "--svg", str(picture)],
        ):
            command = [sys.executable, "-m", "bifrost.cli", *arguments]
            subprocess.run(command, env=variables, check=True, capture_output=True)
        return picture.read_text(encoding="utf-8").replace(str(Path(folder).resolve()), "")


def benchmark() -> str:
    """Return the picture of what opening costs, from the figures of docs/performance.md."""
    page = (HERE / "performance.md").read_text(encoding="utf-8")
    measured = [(bar, _figure(page, bar.row)) for bar in BARS]
    figures = [(Bar("", "plain relative paths"), 1.0), *measured]
    height = _TOP + _ROW * len(figures) + 34
    title = "Opening a shot of 3,000 layers and 6,000 entities"
    about = (
        "times what plain paths take through OpenUSD's own resolver; shorter is better; "
        "how it was measured: docs/performance.md"
    )
    drawn = [_bar(bar.label, value, _TOP + _ROW * i) for i, (bar, value) in enumerate(figures)]
    lines = [
        f'<svg {_ATTRIBUTES} viewBox="0 0 {_WIDTH} {height}" aria-label="{title}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(20, 32, title, 'font-size="16" font-weight="bold"'),
        *drawn,
        f'<path d="M{_LEFT + _SCALE} {_TOP - 8}V{height - 40}" {_DASHED}/>',
        _text(20, height - 14, about, 'font-size="11"'),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _bar(label: str, value: float, y: int) -> str:
    width = round(value * _SCALE)
    colour = "#c3cad9" if label.startswith("plain") else "#7289c7"
    lines = [
        _text(_LEFT - 12, y + 16, label, 'font-size="12" text-anchor="end"'),
        f'<rect x="{_LEFT}" y="{y}" width="{width}" height="24" rx="3" fill="{colour}"/>',
        _text(_LEFT + width + 8, y + 17, f"{value:.2f}x", 'font-size="13"'),
    ]
    return "\n".join(lines)


def _text(x: int, y: int, words: str, attributes: str) -> str:
    return f'<text x="{x}" y="{y}" fill="#1b1f24" {attributes}>{words}</text>'


def _figure(page: str, row: str) -> float:
    """Return the measured ratio of a row: the first one of its last column."""
    found = re.search(
        rf"^\| {re.escape(row)}[^|]*\|[^|]*\|(?P<measured>[^|]+)\|", page, re.MULTILINE
    )
    if found is None:
        raise LookupError(f"docs/performance.md has no row {row!r}")
    return float(re.findall(r"(\d+\.\d+)x", found["measured"])[0])


if __name__ == "__main__":
    for name, text in (("shot", shot()), ("benchmark", benchmark())):
        (HERE / "pictures" / f"{name}.svg").write_text(text, encoding="utf-8")
        print(f"docs/pictures/{name}.svg")
