# SPDX-License-Identifier: Apache-2.0
"""The Qt that usdview runs on; without usdview, PySide6."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bifrost.errors import ConfigurationError


def _bindings() -> Any:
    """Return what has QtCore, QtGui and QtWidgets, and the name of the binding."""
    try:
        shared = import_module("pxr.Usdviewq.qt")
    except ImportError:  # usd-core has no usdview
        return _pyside6()
    return shared, shared.PySideModule


def _pyside6() -> Any:
    try:
        for name in ("QtCore", "QtGui", "QtWidgets"):
            import_module(f"PySide6.{name}")
    except ImportError as error:
        raise ConfigurationError(
            f"the dialogs need usdview's Qt, or PySide6 ({error}): pip install 'bifrost-usd[usdview]'"
        ) from None
    return import_module("PySide6"), "PySide6"


_shared, BINDING = _bindings()
QtCore: Any = _shared.QtCore
QtGui: Any = _shared.QtGui
QtWidgets: Any = _shared.QtWidgets


def svg_renderer() -> Any:
    """
    Return Qt's class that draws SVG; None where this Qt was built without.

    It is in no module that usdview itself needs.
    """
    try:
        return import_module(f"{BINDING}.QtSvg").QSvgRenderer
    except ImportError:
        return None
