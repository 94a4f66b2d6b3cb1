# SPDX-License-Identifier: Apache-2.0
"""Texts in XML: escaped, and without the characters that XML has no way to say."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from xml.sax.saxutils import escape

# https://www.w3.org/TR/xml/#charsets
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def markup(text: object) -> str:
    """Return *text* for XML, between tags or in an attribute in double quotes."""
    clean = _NO_XML.sub("\ufffd", str(text))
    # Attributes would lose these: an XML reader makes spaces of them.
    return escape(clean, {'"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def cut(text: str, width: int) -> str:
    """
    Return *text* in at most *width* columns, its middle left out where it has more.

    Chinese, Japanese and Korean characters take two columns.
    """
    if _columns(text) <= width:
        return text
    # Ends tell names apart as often as beginnings do.
    last = (width - 1) // 3
    return f"{_head(text, width - 1 - last)}…{_head(text[::-1], last)[::-1]}"


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def _head(text: str, width: int) -> str:
    length = min(len(text), width)
    while _columns(text[:length]) > width:
        length -= 1
    return text[:length]
