# SPDX-License-Identifier: Apache-2.0
"""
Where our own assets, versions, locations and dependencies truly live.

Plain data in, plain data out: nothing here knows OpenAssetIO or USD. `Catalogue` is the one way in.
It imports SQLAlchemy, and is therefore imported on first use of its name, so that who needs only
the records doesn't pay for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bifrost.catalogue.records import (
    AssetRecord,
    Dependency,
    Dependent,
    NoSuchAsset,
    NoSuchVersion,
    Outcome,
    Publication,
    Refused,
    Representation,
    Staged,
    VersionPolicy,
    VersionRecord,
)

if TYPE_CHECKING:
    from bifrost.catalogue.catalogue import Catalogue

__all__ = [
    "AssetRecord",
    "Catalogue",
    "Dependency",
    "Dependent",
    "NoSuchAsset",
    "NoSuchVersion",
    "Outcome",
    "Publication",
    "Refused",
    "Representation",
    "Staged",
    "VersionPolicy",
    "VersionRecord",
]


def __getattr__(name: str) -> Any:
    if name == "Catalogue":
        from bifrost.catalogue.catalogue import Catalogue

        return Catalogue
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
