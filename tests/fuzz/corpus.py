# SPDX-License-Identifier: Apache-2.0
"""
The seeds of fuzzing: `corpus/NAME.txt` for a target, an input on each line, as a Python bytes literal.

What once broke a parser stays here: each run begins with all of them.
"""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("corpus")


def seeds(name: str) -> list[bytes]:
    """Return the inputs that fuzzing of the target *name* begins with."""
    lines = (FOLDER / f"{name}.txt").read_text(encoding="ascii").splitlines()
    return [literal_eval(line) for line in lines if line]


def texts(name: str) -> list[str]:
    """Return the seeds of *name* as Python has what comes from outside."""
    return [seed.decode("utf-8", "surrogateescape") for seed in seeds(name)]


def written(name: str, folder: Path, *more: bytes) -> Path:
    """Write the seeds of *name*, and *more*, into a folder as libFuzzer takes them, and return it."""
    folder.mkdir()
    for number, seed in enumerate([*seeds(name), *more]):
        (folder / f"{number:03}").write_bytes(seed)
    return folder
