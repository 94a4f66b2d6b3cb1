# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N802, N803  the names are usdview's
"""How usdview finds, loads and asks its plugins. Menus are Qt's where there is a window, else lists."""

from pxr import Plug, Tf


class PluginContainer:
    """What plugins derive from."""

    def registerPlugins(self, plugRegistry, plugCtx):
        raise NotImplementedError

    def configureView(self, plugRegistry, plugUIBuilder):
        raise NotImplementedError


CONTAINER_TYPE = Tf.Type.Define(PluginContainer)


class CommandPlugin:
    def __init__(self, name, displayName, callback, description, usdviewApi):
        self.name = name
        self.displayName = displayName
        self.description = description
        self._callback = callback
        self._usdviewApi = usdviewApi

    def run(self):
        self._callback(self._usdviewApi)


class PluginRegistry:
    def __init__(self, usdviewApi):
        self._usdviewApi = usdviewApi
        self.commands = {}

    def registerCommandPlugin(self, name, displayName, callback, description=""):
        if name in self.commands:
            raise KeyError(f"{name} is registered twice")
        made = CommandPlugin(name, displayName, callback, description, self._usdviewApi)
        self.commands[name] = made
        return made

    def getCommandPlugin(self, name):
        return self.commands.get(name)


class PluginMenu:
    def __init__(self, qMenu):
        self._qMenu = qMenu
        self.items = []

    def addItem(self, commandPlugin, shortcut=None):
        self.items.append(commandPlugin.displayName)
        if self._qMenu is not None:
            action = self._qMenu.addAction(commandPlugin.displayName, commandPlugin.run)
            action.setToolTip(commandPlugin.description)


class PluginUIBuilder:
    def __init__(self, mainWindow):
        self._mainWindow = mainWindow
        self.menus = {}

    def findOrCreateMenu(self, menuName):
        if menuName not in self.menus:
            window = self._mainWindow
            self.menus[menuName] = PluginMenu(
                window.menuBar().addMenu(menuName) if window else None
            )
        return self.menus[menuName]


def loadPlugins(usdviewApi, mainWindow):
    """Return registry and menus after every container that `Plug` knows of was loaded and asked."""
    registry, builder = PluginRegistry(usdviewApi), PluginUIBuilder(mainWindow)
    containers = []
    for found in Plug.Registry.GetAllDerivedTypes(CONTAINER_TYPE):
        Plug.Registry().GetPluginForType(found).Load()
        containers.append(found.pythonClass())
    for container in containers:
        container.registerPlugins(registry, usdviewApi)
    for container in containers:
        container.configureView(registry, builder)
    return registry, builder
