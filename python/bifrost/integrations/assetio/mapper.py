# SPDX-License-Identifier: Apache-2.0
"""`AssetUriMapper` as earlier releases had it: today's, with warnings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

from bifrost import uri_mapper
from bifrost.errors import ConfigurationError
from bifrost.integrations.assetio.old_names import deprecated
from bifrost.integrations.replacements import URI_MAPPER

_CLASS: Final = f"{URI_MAPPER}.AssetUriMapper"
_log: Final = logging.getLogger("bifrost")


class AssetUriMapper:
    """Static functions; files are looked for below the setting `storage.local.root_path`."""

    @staticmethod
    @deprecated(_CLASS)
    def asset_to_uri(asset: Any) -> str:
        """Return the reference to *asset*, by its `id`."""
        return uri_mapper.AssetUriMapper.asset_to_uri(asset)

    @staticmethod
    @deprecated(_CLASS)
    def uri_to_asset_id(uri: str) -> str | None:
        """Return the asset id in *uri*, further path parts and the query ignored, or None."""
        return uri_mapper.AssetUriMapper.uri_to_asset_id(uri)

    @staticmethod
    @deprecated(_CLASS)
    def path_to_uri(path: str | Path) -> str | None:
        """Return the reference for a path with a part `assets` followed by an asset's id, or None."""
        return uri_mapper.AssetUriMapper.path_to_uri(path)

    @staticmethod
    @deprecated(_CLASS)
    def uri_to_path(uri: str, version: int | None = None) -> Path | None:
        """Return the file under `{root}/{asset_id}/v{NNN}/`, of the highest version by default."""
        try:
            return uri_mapper.AssetUriMapper.uri_to_path(uri, version)
        except (ConfigurationError, OSError) as error:
            _log.error("%s: %s", uri, error)
            return None

    @staticmethod
    @deprecated(_CLASS)
    def detect_uri_in_string(text: str) -> str | None:
        """Return the first reference in *text*, or None."""
        return uri_mapper.AssetUriMapper.detect_uri_in_string(text)

    @staticmethod
    @deprecated(_CLASS)
    def is_valid_uri(uri: str) -> bool:
        """Return whether *uri* has the form `bifrost:///assets/<id>`, with or without a query."""
        return uri_mapper.AssetUriMapper.is_valid_uri(uri)
