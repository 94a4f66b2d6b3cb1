# SPDX-License-Identifier: Apache-2.0
"""
Which asset an id means to somebody who works on a project.

An asset of a project's own has the id `<project>:<id>`. An id with a `:` names that asset and no other;
an id without one is looked for in the projects of the context, in their order, and then as it stands:
the shared asset. A project's own asset hides the shared one altogether, its versions too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

SEPARATOR: Final = ":"
"""What stands between a project's name and an id."""

_MOST: Final = 16
"""Each project is one more look-up for every reference."""


def projects_of(value: Any) -> tuple[str, ...]:
    """
    Return the projects that a context's `current_project` names, each once, in order.

    Args:
        value: A text, in which commas separate several, a sequence of texts, or None.

    Raises:
        ValueError: more than 16 of them.
    """
    if not value:
        return ()
    texts = [value] if isinstance(value, str) or not isinstance(value, Iterable) else value
    names = (name.strip() for text in texts if text for name in str(text).split(","))
    found = tuple(dict.fromkeys(filter(None, names)))
    if len(found) > _MOST:
        raise ValueError(f"current_project: at most {_MOST} projects, got {len(found)}")
    return found


def candidates(asset_id: str, projects: Sequence[str]) -> tuple[str, ...]:
    """Return the ids that *asset_id* may mean in *projects*, the first that exists being meant."""
    if not projects or SEPARATOR in asset_id:
        return (asset_id,)
    return (*(f"{project}{SEPARATOR}{asset_id}" for project in projects), asset_id)


def also_meant(asset_id: str) -> str | None:
    """
    Return the id that means *asset_id* too, to those who work on its project; None where none does.

    What changes about the asset changes what that id means.
    """
    _, separator, rest = asset_id.partition(SEPARATOR)
    return rest if separator and rest else None
