# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: N802  the names are usdview's
"""What a plugin's callback gets: `UsdviewApi`, as far as a menu needs it."""


class Selection:
    """Usdview's selection: where nothing is selected, the root of the stage is."""

    def __init__(self, data_model):
        self._data_model = data_model
        self._paths = []

    def setPrimPath(self, path):
        self._paths = [path]

    def clearPrims(self):
        self._paths = []

    def getPrims(self):
        stage = self._data_model.stage
        found = [stage.GetPrimAtPath(path) for path in self._paths]
        return [prim for prim in found if prim] or [stage.GetPseudoRoot()]

    def getFocusPrim(self):
        return self.getPrims()[0]


class DataModel:
    def __init__(self, stage):
        self.stage = stage
        self.selection = Selection(self)


class UsdviewApi:
    """`layer` is what is selected in the Composition tab; `messages` and `updates` are the test's to read."""

    def __init__(self, stage, main_window=None):
        self.dataModel = DataModel(stage)
        self.layer = None
        self.messages = []
        self.updates = 0
        self._main_window = main_window

    @property
    def stage(self):
        return self.dataModel.stage

    @property
    def prim(self):
        return self.dataModel.selection.getFocusPrim()

    @property
    def selectedPrims(self):
        return self.dataModel.selection.getPrims()

    @property
    def qMainWindow(self):
        return self._main_window

    def PrintStatus(self, msg):
        self.messages.append(msg)

    def UpdateGUI(self):
        self.updates += 1
