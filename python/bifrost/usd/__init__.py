# SPDX-License-Identifier: Apache-2.0
"""The primary surface: USD. The only package that imports pxr."""

from __future__ import annotations

from typing import Any

_STAGE = ("register_plugin", "resolutions", "resolver_stats", "warm")
_STALENESS = ("Stale", "on_stale", "stale")
_REFRESHING = ("Moved", "Refreshed", "refresh")


def __getattr__(name: str) -> Any:
    if name in _STAGE:
        from bifrost.usd import stage

        return getattr(stage, name)
    if name in _STALENESS:
        from bifrost.usd import staleness

        return getattr(staleness, name)
    if name in _REFRESHING:
        from bifrost.usd import refreshing

        return getattr(refreshing, name)
    if name == "context":
        from bifrost.usd import contexts

        return contexts.context
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
