# SPDX-License-Identifier: Apache-2.0
"""The Qt that usdview shares with its plugins."""

from PySide6 import QtCore, QtGui, QtWidgets

PySideModule = "PySide6"

__all__ = ["PySideModule", "QtCore", "QtGui", "QtWidgets"]
