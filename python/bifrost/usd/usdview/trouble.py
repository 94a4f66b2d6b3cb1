# SPDX-License-Identifier: Apache-2.0
"""What to tell people of an error, in a sentence or two and never as a traceback. No Qt."""

from __future__ import annotations

from pxr import Tf

from bifrost.errors import AssetException, BifrostError
from bifrost.usd.opening import reason

_MOST_SUGGESTED = 3


def said(error: BaseException) -> str:
    """
    Return what to tell of *error*: what, which one, what to do.

    References that may have been meant are looked for: a question to the catalogue, so not on the thread
    that draws.
    """
    if isinstance(error, AssetException):
        return str(error) + _suggested(error)
    if isinstance(error, BifrostError):
        return str(error)
    if isinstance(error, Tf.ErrorException | UnicodeDecodeError):
        return f"USD says: {reason(error)}"
    if isinstance(error, OSError):
        return f"{error.filename or 'a file'}: {error.strerror or error}"
    return f"{type(error).__name__}: {error}. Bifrost did not expect that; please report it."


def _suggested(error: AssetException) -> str:
    near = error.suggestions[:_MOST_SUGGESTED]
    return f". Did you mean {' or '.join(near)}?" if near else ""
