# SPDX-License-Identifier: Apache-2.0
"""
A text layer with other asset paths in it, and every blank and comment where it was.

USD writes a layer anew and drops its comments; people who keep their files under version control would
see nothing else. So the paths alone are replaced in the text, and the result is used only where it is,
to the letter of USD's own writing, the layer that `rewriting.rewrite` makes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pxr import Sdf, Tf

_TEXT: Final = b"#usda"
# Strings and comments are passed over: an `@` in them is none.
_TOKENS: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""'
    r"|'''(?:[^'\\]|\\.|'(?!''))*'''"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*'"
    r"|#[^\n]*|//[^\n]*|/\*.*?\*/"
    r"|(?P<long>@@@(?:\\@@@|[^@]|@(?!@@))*@{3,5})"
    r"|(?P<short>@[^@\n]*@)",
    re.DOTALL,
)


def keep_text(source: str, target: str, paths: Mapping[str, str]) -> bool:
    """
    Write the text of *source* with new *paths* over *target*, the same layer as USD writes it.

    Returns whether it could be done; *target* is else left alone.

    Raises:
        OSError: a file can't be read or written.
    """
    content = Path(source).read_bytes()
    if not content.startswith(_TEXT):
        return False
    try:
        text = replaced(content.decode(), paths)
        kept = Sdf.Layer.CreateAnonymous(".usda")
        is_same = kept.ImportFromString(text) and (
            kept.ExportToString() == Sdf.Layer.OpenAsAnonymous(target).ExportToString()
        )
    except (Tf.ErrorException, UnicodeError):
        return False
    if is_same:
        Path(target).write_bytes(text.encode())
    return bool(is_same)


def replaced(text: str, paths: Mapping[str, str]) -> str:
    """Return the *text* of a layer with new *paths* for those in it."""
    return _TOKENS.sub(lambda match: _replaced(match, paths), text)


def _replaced(match: re.Match[str], paths: Mapping[str, str]) -> str:
    token = match[0]
    if match["long"]:
        return _written(paths.get(token[3:-3].replace("\\@@@", "@@@")), token)
    if match["short"]:
        return _written(paths.get(token[1:-1]), token)
    return token


def _written(path: str | None, token: str) -> str:
    if path is None:
        return token
    # What holds an `@` itself stands between three of them.
    return f"@@@{path}@@@" if "@" in path else f"@{path}@"
