# SPDX-License-Identifier: Apache-2.0
"""What names of assets, files and prims may look like."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pxr import Sdf

from bifrost.errors import BifrostError
from bifrost.publishing.findings import ERROR, WARNING, Finding
from bifrost.usd.opening import root_layer

# A letter or digit first; then what file systems, shells and prim paths have nothing against.
NAME: Final = re.compile(r"\w[\w.\- ]{0,127}")

_ALIKE: Final = frozenset(("ARMENIAN", "CHEROKEE", "COPTIC", "CYRILLIC", "GREEK", "LATIN"))


def of_asset(name: str, pattern: re.Pattern[str]) -> Iterator[Finding]:
    """Look at an asset's name, which *pattern* has to match whole."""
    if not pattern.fullmatch(name) or name != name.strip():
        rule = "letters, digits, '_', '-', '.' and spaces inside, 128 at most"
        rule = rule if pattern is NAME else f"what matches {pattern.pattern}"
        yield error("asset-name", f"the name {shown(name)} is not {rule}", "name")
    if unicodedata.normalize("NFKC", name) != name:
        text = f"the name {shown(name)} has letters that are written in another way elsewhere"
        yield warning(
            "unicode-form", f"{text}: {shown(unicodedata.normalize('NFKC', name))}", "name"
        )
    scripts = {unicodedata.name(ch, "").partition(" ")[0] for ch in name if ch.isalpha()} & _ALIKE
    if len(scripts) > 1:
        mixed = " and ".join(sorted(each.title() for each in scripts))
        text = f"the name {shown(name)} mixes {mixed} letters, which look alike"
        yield warning("look-alikes", text, "name")


def of_file(path: Path) -> Iterator[Finding]:
    """Look at a file's name."""
    name = path.name
    if not path.suffix:
        yield warning("no-extension", f"{shown(name)} has no extension: USD goes by it", name)
    elif path.suffix != path.suffix.lower():
        text = f"{shown(name)}: write the extension in small letters"
        yield warning("extension-case", text, name)
    bad = sorted({ch for ch in name if ch in "[]@" or not ch.isprintable()})
    if bad or ":SDF_FORMAT_ARGS:" in name:
        listed = ", ".join(map(repr, bad)) or ":SDF_FORMAT_ARGS:"
        text = f"{shown(name)} has {listed} in it, which USD reads as its own"
        yield error("file-name", text, name)
    odd = sorted({ch for ch in name.replace("<UDIM>", "") if ch in ' "*:<>?|\\'})
    if odd:
        text = f"{shown(name)} has {', '.join(map(repr, odd))} in it, which tools stumble over"
        yield warning("file-name", text, name)


def of_prims(path: Path) -> Iterator[Finding]:
    """Look at the names of the prims in a file's own layer."""
    try:
        layer = root_layer(path)
    except BifrostError:
        return  # `usd_validity` says so
    waiting = list(layer.rootPrims)
    for number, prim in enumerate(waiting):
        if number >= 10_000:
            return
        if not Sdf.Path.IsValidIdentifier(prim.name) or not prim.name.isascii():
            text = f"the prim name {shown(prim.name)} can't be read by OpenUSD before 24.03"
            yield warning("prim-name", text, str(prim.path))
        waiting += list(prim.nameChildren)


def error(code: str, message: str, where: str = "") -> Finding:
    """Return a finding that stops a publish, without its validator's name."""
    return Finding("", ERROR, code, message, where)


def warning(code: str, message: str, where: str = "") -> Finding:
    """Return a finding that stops nothing, without its validator's name."""
    return Finding("", WARNING, code, message, where)


def shown(text: str) -> str:
    """Return *text* quoted for a message, cut where it is absurdly long."""
    return repr(text if len(text) <= 200 else text[:200] + "…")
