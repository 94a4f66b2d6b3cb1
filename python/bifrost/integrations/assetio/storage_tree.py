# SPDX-License-Identifier: Apache-2.0
"""Assets that are in the storage tree of earlier releases, and not in the catalogue yet."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bifrost.model.entity_reference import LATEST, parse
from bifrost.session import Session
from bifrost.uri_mapper import AssetUriMapper


class Filed(NamedTuple):
    """
    A version's file in the tree.

    Attributes:
        asset_id: The asset's id.
        version: The number of its folder.
        path: The file.
    """

    asset_id: str
    version: int
    path: Path


def filed(session: Session, asset_uri: str) -> Filed | None:
    """
    Return what the tree has for *asset_uri*, or None.

    None for an asset that the catalogue has: what a version of that is, and who may see it, the
    catalogue alone says. None where another manager answers.

    Raises:
        CatalogueError: the catalogue can't be asked.
    """
    if not session.uses_own_catalogue:
        return None
    asked = parse(asset_uri)
    is_floating = asked.version in {None, LATEST}
    if asked.representation or not (is_floating or asked.is_pinned):
        return None
    if session.catalogue.found([asked.asset_id]):
        return None
    number = None if is_floating else int(str(asked.version))
    path = AssetUriMapper.uri_to_path(asset_uri, number)
    if path is None:
        return None
    return Filed(asked.asset_id, int(path.parent.name.removeprefix("v")), path)
