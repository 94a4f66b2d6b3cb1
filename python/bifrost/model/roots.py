# SPDX-License-Identifier: Apache-2.0
"""
The folders that answers may lie in (`resolve.allowed_roots`).

What a manager, a cache or a file of pins names is opened by whoever resolves it, with their rights. With
roots set, a path that leads out of them is no answer, whoever gave it. The resolver's reader of pins has
the same rule in C++ (resolver/allowed_roots.h).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from bifrost.errors import ConfigurationError

SETTING: Final = "resolve.allowed_roots"


class AllowedRoots:
    """
    Folders that everything may lie in; false where none are set, and anything may lie anywhere.

    Any thread. Nothing is remembered from one `rule` to the next: a mount may come and go.

    Args:
        text: Absolute folders, joined by `;`.

    Raises:
        ConfigurationError: one is no absolute folder, or the text names none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        given = [os.path.expanduser(each.strip()) for each in text.split(";") if each.strip()]  # noqa: PTH111  as text
        self._roots = tuple(given)
        wrong = next((each for each in given if not os.path.isabs(each) or "\0" in each), None)  # noqa: PTH117
        if wrong is not None or (text and not given):
            raise ConfigurationError(
                f"{SETTING}: expected absolute folders joined by ';', got {wrong or text!r}"
            )

    def __bool__(self) -> bool:
        return bool(self._roots)

    def __repr__(self) -> str:
        return f"AllowedRoots({self.text!r})"

    def rule(self) -> Callable[[str], bool]:
        """
        Return what says whether a path lies in one of the roots, for the paths of one request.

        It is the place that counts where links lead to, `..` and all; it need not be there. One look
        at each folder and at each file. Of a pattern (`<UDIM>`), the folder's place counts.
        """
        real = {os.path.realpath(root) for root in self._roots}
        beginnings = tuple(root.rstrip("/") + "/" for root in real)
        folders: dict[str, str] = {}

        def holds(path: str) -> bool:
            try:
                place = _place(path, folders)
            except (OSError, ValueError):  # a NUL; names without end
                return False
            return place.startswith(beginnings) or place in real

        return holds


def _place(path: str, folders: dict[str, str]) -> str:
    """Return where *path* leads to; *folders* remembers where folders do."""
    if not path.startswith("/") or "\0" in path:
        raise ValueError("the system would read another path, or none")
    folder, name = os.path.split(path)
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114  thousands in a row
        return os.path.realpath(path)
    known = folders.get(folder)
    if known is None:
        known = folders[folder] = os.path.realpath(folder)
    return f"{known.rstrip('/')}/{name}"
