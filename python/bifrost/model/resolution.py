# SPDX-License-Identifier: Apache-2.0
"""What an entity reference resolved to."""

from __future__ import annotations

from typing import Final, NamedTuple

STAND_INS: Final = frozenset({"stale", "fallback"})
"""Tiers that served while the manager was down: nothing that an open stage should move to."""


class Resolution(NamedTuple):
    """
    One entity reference's location, and what else the manager said in the same answer.

    A named tuple because a shot has thousands: making one takes 0.4 us, a frozen dataclass 3 us.

    Attributes:
        reference: The entity reference that was asked for, without file format arguments.
        path: An absolute file path. It holds a placeholder such as `<UDIM>` when *templated*.
        name: The asset's display name, or "".
        version: The version's stable tag, or "" when the manager has no versions.
        immutable: Whether the answer holds for ever: the reference names one version.
        templated: Whether *path* is a pattern for several files and was not checked to exist.
        modified: The file's modification time in seconds since the epoch; 0.0 when unknown.
        manager: The identifier of the manager that answered.
        tier: Who served it this time: `manager`, `memory`, `lmdb`, `redis`, `stale`, or `fallback`.
        expires: When to ask again, in seconds since the epoch; infinity for never.
    """

    reference: str
    path: str
    name: str = ""
    version: str = ""
    immutable: bool = False
    templated: bool = False
    modified: float = 0.0
    manager: str = ""
    tier: str = "manager"
    expires: float = 0.0
