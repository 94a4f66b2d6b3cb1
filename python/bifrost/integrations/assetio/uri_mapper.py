# SPDX-License-Identifier: Apache-2.0
"""The old import path of `AssetUriMapper`; now `from bifrost import …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bifrost.integrations.assetio import old_names

if TYPE_CHECKING:
    from bifrost.integrations.assetio.mapper import AssetUriMapper

__all__ = ["AssetUriMapper"]

__getattr__ = old_names.names_of(__name__, "bifrost.integrations.assetio.mapper")
