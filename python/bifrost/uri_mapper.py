# SPDX-License-Identifier: Apache-2.0
"""Between assets, entity references and the file tree of earlier releases."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from bifrost.model.entity_reference import parse, reference_for
from bifrost.model.paths import expanded_setting

_URI: Final = re.compile(r"bifrost:///assets/[^\s/]+")
_URI_IN_TEXT: Final = re.compile(r"bifrost:///assets/[^\s/\"'<>@)\]},;]+")
_FILED_ID: Final = re.compile(
    r"asset_.+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"  # or a UUID
)
_DEFAULT_ROOT: Final = "data/assets"
_MAX_NAME_BYTES: Final = 255
_VERSION_FOLDER: Final = re.compile(r"v(\d+)")


class AssetUriMapper:
    """Static functions; files are looked for under a root, as `{root}/{asset_id}/v{NNN}/`."""

    root: Path | None = None
    """The root of that tree; None for what the setting `catalogue.earlier_store` says."""

    @staticmethod
    def asset_to_uri(asset: Any) -> str:
        """Return the reference to *asset*, by its `id`."""
        return reference_for(str(asset.id))

    @staticmethod
    def uri_to_asset_id(uri: str) -> str | None:
        """Return the asset id in *uri*, further path parts and the query ignored, or None."""
        scheme, mark, rest = uri.partition("/assets/")
        if not mark or scheme != "bifrost://":
            return None
        asset_id = re.split(r"[/?]", rest, maxsplit=1)[0]
        try:
            return parse(f"{scheme}{mark}{asset_id}").asset_id
        except ValueError:
            return None

    @staticmethod
    def path_to_uri(path: str | Path) -> str | None:
        """Return the reference for a path with a part `assets` followed by an asset's id, or None."""
        parts = Path(path).parts
        for folder, name in pairwise(parts):
            if folder == "assets" and _FILED_ID.fullmatch(name):
                return reference_for(name)
        return None

    @staticmethod
    def uri_to_path(uri: str, version: int | None = None) -> Path | None:
        """
        Return the file under `{root}/{asset_id}/v{NNN}/`, of the highest version by default, or None.

        Raises:
            ConfigurationError: the settings, which say where the root is, can't be read.
        """
        asset_id = AssetUriMapper.uri_to_asset_id(uri)
        # Percent-escapes may hide separators: an id that is no single name leads nowhere.
        if asset_id is None or asset_id in {".", ".."} or Path(asset_id).name != asset_id:
            return None
        folder = (AssetUriMapper.root or _settings_root()) / asset_id
        if len(os.fsencode(asset_id)) > _MAX_NAME_BYTES or not folder.is_dir():
            return None
        versions = {
            int(match[1]): entry
            for entry in folder.iterdir()
            if (match := _VERSION_FOLDER.fullmatch(entry.name)) and entry.is_dir()
        }
        wanted = max(versions, default=None) if version is None else version
        files = (
            sorted(f for f in versions[wanted].iterdir() if f.is_file())
            if wanted in versions
            else []
        )
        return files[0] if files else None

    @staticmethod
    def detect_uri_in_string(text: str) -> str | None:
        """Return the first reference in *text*, or None."""
        match = _URI_IN_TEXT.search(text)
        return match[0] if match else None

    @staticmethod
    def is_valid_uri(uri: str) -> bool:
        """Return whether *uri* has the form `bifrost:///assets/<id>`, with or without a query."""
        return _URI.fullmatch(uri) is not None


def _settings_root() -> Path:
    from bifrost.session import current

    root = current().settings.catalogue.earlier_store or _DEFAULT_ROOT
    return expanded_setting("catalogue.earlier_store", root)
