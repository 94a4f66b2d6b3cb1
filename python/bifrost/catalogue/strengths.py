# SPDX-License-Identifier: Apache-2.0
"""
How strongly what a file names binds: the kind of an arc decides.

| kind | strength | why |
|---|---|---|
| `sublayer`, `reference`, `inherit`, `specialize` | strong | without it the scene is another one |
| `payload` | weak | a stage opens without its payloads |
| `clip`, `attribute` | strong | animation, textures: it is drawn with them |
| `metadata` | reference | says something about it; composition never opens it |

The setting `catalogue.strengths` changes entries, `payload=strong; attribute=weak`, and adds kinds. A
kind that nobody named is strong. A version's relationships keep the strength that was in force when it
was published; `sync_relationships` brings them up to date.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bifrost.catalogue.edge_values import KIND, STRENGTHS
from bifrost.errors import ConfigurationError

Strengths = Mapping[str, str]
"""The strength of each kind of arc."""

DEFAULTS: Final[Strengths] = MappingProxyType(
    {
        "sublayer": "strong",
        "reference": "strong",
        "payload": "weak",
        "inherit": "strong",
        "specialize": "strong",
        "clip": "strong",
        "attribute": "strong",
        "metadata": "reference",
    }
)


def parse(text: str) -> Strengths:
    """
    Return the default table with the changes that *text* names: `payload=strong; texture=weak`.

    Raises:
        ConfigurationError: it can't be read; says which entry.
    """
    table = dict(DEFAULTS)
    for entry in filter(None, map(str.strip, text.split(";"))):
        kind, _, strength = map(str.strip, entry.partition("="))
        if not KIND.fullmatch(kind) or strength not in STRENGTHS:
            raise ConfigurationError(
                f"catalogue.strengths: expected '<kind>=<{'|'.join(STRENGTHS)}>; …', got "
                f"{entry[:200]!r}"
            )
        table[kind] = strength
    return MappingProxyType(table)


def strength_of(strengths: Strengths, kind: str) -> str:
    """Return the strength of a *kind* of arc; strong where the table has none."""
    return strengths.get(kind, STRENGTHS[0])
