# SPDX-License-Identifier: Apache-2.0
r"""
Texts that do nothing to a terminal or to a log but stand there.

A name may come from anybody: from a layer, a manager, a cache. Written as it is, `\x1b[2J` clears the
screen of who reads it, and `\nERROR …` is a line that nobody logged.
"""

from __future__ import annotations

import re
from typing import Final

# C0 and C1, and what turns the direction of writing: a name can show as another.
_DIRECTIONS: Final = "\u200e\u200f\u202a-\u202e\u2066-\u2069"
_ANY: Final = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_DIRECTIONS}]")
_BUT_LINES: Final = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_DIRECTIONS}]")


def escaped(text: str) -> str:
    r"""Return *text* with `\x1b` and the like for control characters. Lines and tabs stay."""
    return text if text.isprintable() else _BUT_LINES.sub(_shown, text)


def in_one_line(text: str) -> str:
    r"""Return *text* as `escaped`, and with `\n` for the ends of lines."""
    return text if text.isprintable() else _ANY.sub(_shown, text)


def escaped_in_json(text: str) -> str:
    """Return the JSON *text* as `escaped`: the same document. Control characters stand in its texts only."""
    return text if text.isprintable() else _BUT_LINES.sub(_shown_in_json, text)


def _shown_in_json(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _shown(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
