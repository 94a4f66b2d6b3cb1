# SPDX-License-Identifier: Apache-2.0
"""
In an interpreter that the plugin started itself, inside an application in C++.

The folder that Bifrost is installed in usually has usd-core too, and with it a `pxr`. Where the
application's OpenUSD is another one, importing that would load a second OpenUSD into the process; and
OpenUSD does import `pxr` by itself, with every plugin it loads, as soon as a Python is running.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_WHEEL_LIBRARIES = "usd_core.libs"


def keep_other_openusd_out(library: str, folders: Sequence[str]) -> None:
    """
    Hide the `pxr` in *folders* unless it belongs to *library*, the OpenUSD of this process.

    A `pxr` elsewhere on the path, say the application's own by `PYTHONPATH`, is found as ever.
    """
    foreign = [folder for folder in folders if folder and not _owns(folder, library)]
    if foreign:
        sys.meta_path.insert(0, _WithoutPxr(foreign))


def _owns(folder: str, library: str) -> bool:
    libraries = os.path.join(folder, _WHEEL_LIBRARIES)  # noqa: PTH118  start-up: no pathlib
    return os.path.realpath(os.path.dirname(library)) == os.path.realpath(libraries)  # noqa: PTH120


class _WithoutPxr:
    """Finds `pxr` anywhere but in the folders it was made with."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = {os.path.realpath(folder) for folder in folders}

    def find_spec(
        self, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a `pxr` elsewhere; None for every other module."""
        if name != "pxr":
            return None
        elsewhere = [entry for entry in sys.path if os.path.realpath(entry) not in self._folders]
        spec = PathFinder.find_spec(name, elsewhere)
        if spec is None:
            raise ModuleNotFoundError(
                "no pxr of this process's OpenUSD is on PYTHONPATH; the one beside Bifrost is another's",
                name=name,
            )
        return spec
