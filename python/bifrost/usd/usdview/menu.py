# SPDX-License-Identifier: Apache-2.0
"""What usdview loads by plugInfo.json: the `Bifrost` menu. Needs usdview."""

from __future__ import annotations

from typing import Any

from pxr import Tf
from pxr.Usdviewq.plugin import PluginContainer

from bifrost.usd.usdview.commands import COMMANDS

_MENU = "Bifrost"


class BifrostPluginContainer(PluginContainer):  # type: ignore[misc]  # OpenUSD has no types
    """Registers the commands, and puts them into a menu."""

    def registerPlugins(self, plugRegistry: Any, usdviewApi: Any) -> None:  # noqa: N802, N803, ARG002  usdview's
        """Register every command; usdview calls it once, before there is a stage to look at."""
        self._commands = [
            plugRegistry.registerCommandPlugin(
                each.name, each.label, each.run, description=each.description
            )
            for each in COMMANDS
        ]

    def configureView(self, plugRegistry: Any, plugUIBuilder: Any) -> None:  # noqa: N802, N803, ARG002  usdview's
        """Make the menu; usdview calls it after `registerPlugins`."""
        menu = plugUIBuilder.findOrCreateMenu(_MENU)
        for command in self._commands:
            menu.addItem(command)


Tf.Type.Define(BifrostPluginContainer)
