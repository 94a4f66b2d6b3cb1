# SPDX-License-Identifier: Apache-2.0
"""
What a publish asks of others.

| entry points | called | with | returns |
|---|---|---|---|
| `bifrost.readers` | before a file is copied; the name is its extension | its path, `Lookup` | `Reading` |
| `bifrost.validators` | once the files are staged | the staged path, the draft, `Lookup` | findings |
| `bifrost.post_publish` | once the version is there | `Published` | nothing |

Any of them may raise: a reader's or validator's exception is an error among the findings, an action's
is reported and the action tried again. A plug-in of the name of a shipped one takes its place.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bifrost.catalogue import Dependency, VersionRecord
from bifrost.model.permissions import User
from bifrost.publishing.drafts import Draft
from bifrost.publishing.findings import Finding

if TYPE_CHECKING:
    from bifrost.catalogue import Catalogue

Lookup = Callable[[Sequence[str]], list[bool]]
"""Tells of entity references whether they exist, in one round trip."""


class Reading(NamedTuple):
    """
    What a file is made of and what it says.

    Attributes:
        files: (path, relative name) of the files to copy, the file itself first.
        dependencies: The assets that it names, in order.
        properties: What it says of itself, as JSON can say it: `usd`, `frames`.
        problems: (code, message, where) of what kept it from being read whole.
    """

    files: Sequence[tuple[Path, str]]
    dependencies: Sequence[Dependency] = ()
    properties: Mapping[str, Any] = {}
    problems: Sequence[tuple[str, str, str]] = ()


class Published(NamedTuple):
    """
    A version that was just made.

    Attributes:
        asset_uri: The reference to it.
        version: What the catalogue recorded.
        draft: What it was made from.
        catalogue: The catalogue.
        user: Who published it, or "".
        who: The same, with what they have proved: who an action does something for.
    """

    asset_uri: str
    version: VersionRecord
    draft: Draft
    catalogue: Catalogue
    user: str
    who: User = ""


Reader = Callable[[Path, Lookup], Reading]
Validator = Callable[[Path, Draft, Lookup], Iterable[Finding]]
Action = Callable[[Published], None]

# By name and not by import: what reads USD files is above this in the layers.
_USD: Final = "bifrost.usd.publishing:read"
_SHIPPED: Final[dict[str, dict[str, str]]] = {
    "bifrost.readers": {".usd": _USD, ".usda": _USD, ".usdc": _USD, ".usdz": _USD},
    "bifrost.validators": {
        "usd_validity": "bifrost.usd.validation:usd_validity",
        "dangling_references": "bifrost.usd.validation:dangling_references",
        "default_prim": "bifrost.usd.validation:default_prim",
        "naming": "bifrost.usd.validation:naming",
        "population_masks": "bifrost.usd.publishing:population_masks",
    },
    "bifrost.post_publish": {
        "relationships": "bifrost.publishing.actions:record_relationships",
        "thumbnail": "bifrost.usd.publishing:write_thumbnail",
        "preview": "bifrost.usd.publishing:write_preview",
    },
}


@cache
def readers() -> dict[str, Reader]:
    """Return the readers by extension, lower case with the dot."""
    return _loaded("bifrost.readers")


@cache
def validators() -> dict[str, Validator]:
    """Return the validators by name, in the order in which they run."""
    return _loaded("bifrost.validators")


@cache
def actions() -> dict[str, Action]:
    """Return the actions by name, in the order in which they run."""
    return _loaded("bifrost.post_publish")


def _loaded(group: str) -> dict[str, Any]:
    found: dict[str, Any] = {name: _Lazy(where) for name, where in _SHIPPED[group].items()}
    for entry in sorted(entry_points(group=group), key=lambda each: each.name):
        found[entry.name] = _Lazy(entry.value)
    return found


class _Lazy:
    """A plug-in that is imported by its first call, where its trouble is the call's own."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __call__(self, *arguments: Any) -> Any:
        module, _, attribute = self._where.partition(":")
        return getattr(importlib.import_module(module), attribute)(*arguments)
