# SPDX-License-Identifier: Apache-2.0
"""The files that a MaterialX document names, for a USD that can't read it as a layer."""

from __future__ import annotations

import os
from typing import Final
from xml.etree import ElementTree as ET

EXTENSION: Final = "mtlx"
_INCLUDE: Final = "{http://www.w3.org/2001/XInclude}include"


def file_names(path: str | os.PathLike[str]) -> list[str]:
    """
    Return the file names in the document at *path*, each once, in its order; none where it can't be read.

    Relative ones are meant beside it.
    """
    try:
        root = ET.parse(path).getroot()  # noqa: S314  expat bounds what entities grow to
    except (OSError, ET.ParseError, ValueError):
        return []
    found: dict[str, None] = {}
    waiting = [(root, "")]
    for element, prefix in waiting:
        prefix = prefix + element.get("fileprefix", "")
        value = element.get("value", "") if element.get("type") == "filename" else ""
        if value:
            found[prefix + value] = None
        elif element.tag == _INCLUDE and element.get("href"):
            found[element.get("href", "")] = None
        waiting += [(child, prefix) for child in element]
    return list(found)
