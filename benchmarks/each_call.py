# SPDX-License-Identifier: Apache-2.0
"""
What each_call_resolver.cpp asks: a manager, through OpenAssetIO, one reference at a time, without a cache.

The manager is the one that OPENASSETIO_DEFAULT_CONFIG names, else our own over the catalogue of the settings.
"""

from __future__ import annotations

import os
from typing import Any

from openassetio.access import ResolveAccess
from openassetio.utils import FileUrlPathConverter
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1 as LocatableContent


class EachCall:
    """A host in the plainest way: a reference, one trait, one call, one path."""

    def __init__(self) -> None:
        self.calls = 0
        self._manager = _manager()
        self._context = self._manager.createContext()
        self._traits = {LocatableContent.kId}
        self._to_path = FileUrlPathConverter()

    def path(self, reference: str) -> str:
        """Return where *reference* is; "" where the manager has no location for it."""
        self.calls += 1
        asked = self._manager.createEntityReferenceIfValid(reference)
        if asked is None:
            return ""
        found = self._manager.resolve(
            asked,
            self._traits,
            ResolveAccess.kRead,
            self._context,
            self._manager.BatchElementErrorPolicyTag.kVariant,
        )
        location = getattr(LocatableContent(found), "getLocation", lambda: None)()
        return self._to_path.pathFromUrl(location) if location else ""


def start() -> None:
    """Import and initialise everything, as `bifrost.usd.warm()` and the manager's start do."""
    global _asked  # noqa: PLW0603
    _asked = EachCall()


def resolve(reference: str) -> str:
    """Return the path of *reference*, asked anew. What the plugin calls."""
    assert _asked is not None
    return _asked.path(reference)


def calls() -> int:
    """Return how often the manager was asked."""
    assert _asked is not None
    return _asked.calls


def _manager() -> Any:
    from bifrost.assetio import manager_from_config, manager_from_interface

    if config := os.environ.get("OPENASSETIO_DEFAULT_CONFIG"):
        return manager_from_config(config)
    from bifrost.manager import BifrostManagerInterface
    from bifrost.settings import load

    return manager_from_interface(
        BifrostManagerInterface(), {"catalogue_url": load().catalogue_url}
    )


_asked: EachCall | None = None
