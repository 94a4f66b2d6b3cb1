# SPDX-License-Identifier: Apache-2.0
"""The old import path of `BifrostHostInterface` and `bifrost_host`; now `from bifrost import …`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bifrost.integrations.assetio import old_names

if TYPE_CHECKING:
    from bifrost.integrations.assetio.host import BifrostHostInterface, bifrost_host

__all__ = ["BifrostHostInterface", "bifrost_host"]

__getattr__ = old_names.names_of(__name__, "bifrost.integrations.assetio.host")
