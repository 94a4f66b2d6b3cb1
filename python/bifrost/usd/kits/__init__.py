# SPDX-License-Identifier: Apache-2.0
"""
What an application needs to find Bifrost, in the form in which it likes it: a Houdini package, a Maya
module, a rez package, scripts for shells.

A kit is a few text files that name an installation and copy nothing of it. Which, and with what in
them, are pure functions of the installation and of the folder that they are for; `write` puts them
there. Imports nothing of OpenUSD. docs/kits.md describes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bifrost.usd.kits.applications import houdini, maya, rez
from bifrost.usd.kits.content import Kit
from bifrost.usd.kits.installation import Installation
from bifrost.usd.kits.shells import shell, usdview
from bifrost.usd.kits.writing import Written, write

__all__ = ["NAMES", "Installation", "Kit", "Written", "kit", "write"]

_KITS: Final[dict[str, Callable[[Installation, Path], Kit]]] = {
    "houdini": houdini,
    "maya": maya,
    "shell": shell,
    "usdview": usdview,
}
NAMES: Final = (*sorted([*_KITS, "rez"]),)


def kit(
    name: str, installation: Installation, folder: Path, *, requires: Sequence[str] = ()
) -> Kit:
    """
    Return the kit *name*, one of `NAMES`, for *folder*. Nothing is written.

    Args:
        name: For whom.
        installation: What it leads to.
        folder: Where its files will be; absolute.
        requires: Of a rez package: what it needs besides Python, such as `usd-26.08`.

    Raises:
        ConfigurationError: a path can't be said in one of its files, or the installation lacks what
            it is about.
    """
    if name == "rez":
        return rez(installation, folder, requires)
    return _KITS[name](installation, folder)
