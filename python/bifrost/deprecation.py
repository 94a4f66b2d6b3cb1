# SPDX-License-Identifier: Apache-2.0
"""What a deprecated name says, and at which line: where it was used, once."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any, Final

SINCE: Final = "0.1.0"
"""The release from which on the old names warn."""
GONE_IN: Final = "0.4.0"
"""The release in which they go."""
GONE_WHEN: Final = "May 2027"
"""When that is."""

_files_warned_of: Final[dict[Any, Any]] = {}


def message(old: str, new: str, note: str = "") -> str:
    """Return what a warning of *old* says: what replaces it, what is different then, when it goes."""
    changed = f" ({note})" if note else ""
    return (
        f"{old} is deprecated since Bifrost {SINCE} and goes in {GONE_IN} ({GONE_WHEN}): "
        f"use {new}{changed}"
    )


def warn(text: str) -> None:
    """
    Warn with *text* at the line outside of Bifrost that led here. Any thread.

    Once for each line, whatever the filters say of repetitions; again once filters change, as Python's
    own "default" does. With the filter "error" it raises, every time.
    """
    frame = _caller()
    registry: dict[Any, Any] = frame.f_globals.setdefault("__warningregistry__", {})
    place = frame.f_code.co_filename, frame.f_lineno, str(frame.f_globals.get("__name__"))
    warnings.warn_explicit(text, DeprecationWarning, *place, registry)
    # What `warnings` notes itself, except under "always": a loop over a thousand references would be
    # told a thousand times. It clears the registry when somebody changes the filters.
    registry[text, DeprecationWarning, frame.f_lineno] = True


def warn_of_file(path: Path, text: str) -> None:
    """Warn with *text* of what stands in the file at *path*; once, as `warn` does for a line."""
    warnings.warn_explicit(text, DeprecationWarning, str(path), 1, str(path), _files_warned_of)
    _files_warned_of[text, DeprecationWarning, 1] = True


def _caller() -> FrameType:
    """Return the nearest frame that is neither Bifrost's nor the import system's, else the outermost."""
    frame = sys._getframe(2)  # noqa: SLF001  what `warnings.warn` does too
    while _is_inside(frame) and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _is_inside(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    return package in {"bifrost", "importlib"}
