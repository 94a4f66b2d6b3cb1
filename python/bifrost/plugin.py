# SPDX-License-Identifier: Apache-2.0
"""
Where OpenAssetIO finds our manager: entry point group `openassetio.manager_plugin`.

OpenAssetIO imports this module to learn the identifier, for every host that lists managers; the
manager itself is imported when one is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from openassetio.pluginSystem import PythonPluginSystemManagerPlugin

from bifrost.model.entity_reference import MANAGER

if TYPE_CHECKING:
    from bifrost.manager import BifrostManagerInterface


class BifrostManagerPlugin(PythonPluginSystemManagerPlugin):  # type: ignore[misc]
    """Names our manager and makes it."""

    @classmethod
    def identifier(cls) -> str:
        return MANAGER

    @classmethod
    def interface(cls) -> BifrostManagerInterface:
        from bifrost.manager import BifrostManagerInterface

        return BifrostManagerInterface()


openassetioPlugin = BifrostManagerPlugin  # noqa: N816 - the name OpenAssetIO looks for
