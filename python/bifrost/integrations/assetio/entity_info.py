# SPDX-License-Identifier: Apache-2.0
"""What earlier releases said of an entity, made of what its traits say today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bifrost.errors import AssetException, AssetNotFoundException
from bifrost.host import BifrostHostInterface
from bifrost.integrations.assetio.calling_form import OTHER
from bifrost.integrations.assetio.storage_tree import Filed, filed
from bifrost.manager.earlier_traits import ALLOWED
from bifrost.manager.vocabulary import PERMISSIONS, THUMBNAIL, VERSION_INFO

_VERSION_INFO = {"created": "created", "createdBy": "author", "comment": "comment"}


def of(host: BifrostHostInterface, asset_uri: str) -> dict[str, Any]:
    """
    Return what is known of an entity, in the keys of earlier releases.

    Raises:
        AssetException: as `get_entity_info` of today's host.
    """
    try:
        info = host.get_entity_info(asset_uri)
    except AssetNotFoundException:
        found = filed(host.session, asset_uri)
        if found is None:
            raise
        return _of_file(found)
    traits = info["traits"]
    said, allowed = traits.get(VERSION_INFO, {}), traits.get(PERMISSIONS, {})
    return {
        "location": str(info["location"]),
        "version": info["version"],
        "versionInfo": {key: said.get(new, "") for key, new in _VERSION_INFO.items()},
        "name": info["name"],
        "thumbnail": _thumbnail(host, traits),
        "managementPolicy": {key: bool(allowed.get(new)) for key, new in ALLOWED.items()},
        **traits.get(OTHER, {}),
    }


def _thumbnail(host: BifrostHostInterface, traits: Mapping[str, Mapping[str, Any]]) -> str | None:
    reference = traits.get(THUMBNAIL, {}).get("reference")
    try:
        return str(host.resolve_asset_path(reference)) if reference else None
    except AssetException:  # its file is gone: the entity is still worth telling of
        return None


def _of_file(found: Filed) -> dict[str, Any]:
    return {
        "location": str(found.path),
        "version": str(found.version),
        "versionInfo": dict.fromkeys(_VERSION_INFO, ""),
        "name": found.asset_id,
        "thumbnail": None,
        "managementPolicy": dict.fromkeys(ALLOWED, False),
    }
