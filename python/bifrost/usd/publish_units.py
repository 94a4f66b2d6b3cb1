# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH100, PTH118, PTH120 - paths compared by their text, as ArDefaultResolver does
"""What layers are published as: one unit for each version that there will be, or that there is."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import NamedTuple

from pxr import Sdf

from bifrost.model.entity_reference import is_asset_reference, parse
from bifrost.usd.contents import Contents
from bifrost.usd.folder import is_uri, split_path
from bifrost.usd.working_copies import Origin


class Owner(NamedTuple):
    """The asset that a layer becomes: its id, and its type, "" where nobody said one."""

    asset_id: str
    asset_type: str


class Stray(NamedTuple):
    """A layer that belongs to no asset: which, and the layer that names it."""

    layer: str
    named_by: str


@dataclass(eq=False, slots=True)
class Unit:
    """
    What is, or becomes, one version.

    Attributes:
        asset_id: The asset.
        path: The main file, absolute; where the layer has no file, the one that it would have.
        name: The main layer's identifier.
        layer: The main layer, where its content in memory counts.
        asset_type: The asset's type; "" where nobody said one.
        is_given: Whether the caller said that it becomes this asset, which then need not be there.
        origin: What it was made of, of a working copy.
        is_published: Whether its files are those of a version.
        is_edited: Whether it has to be published.
        contents: What it consists of, where that was looked at.
        links: The units that its layers name, and whether they do so without floating.
    """

    asset_id: str
    path: str
    name: str
    layer: Sdf.Layer | None = None
    asset_type: str = ""
    is_given: bool = False
    origin: Origin | None = None
    is_published: bool = False
    is_edited: bool = False
    contents: Contents | None = None
    links: dict[Unit, bool] = field(default_factory=dict)


def edited_in_memory() -> dict[str, Sdf.Layer]:
    """Return the layers of files that this process has unsaved edits of, by the absolute paths."""
    # One that another thread closes meanwhile is none any more.
    living = filter(None, Sdf.Layer.GetLoadedLayers())
    dirty = (layer for layer in living if layer.dirty and not layer.anonymous)
    files = (layer for layer in dirty if not is_uri(layer.realPath))
    return {os.path.abspath(layer.realPath or layer.identifier): layer for layer in files}


def is_floating(reference: str) -> bool:
    """Whether an asset path is an entity reference that names no version by its number."""
    base = split_path(reference)[0]
    try:
        return is_asset_reference(base) and not parse(base).is_pinned
    except ValueError:
        return False


def file_for(layer: Sdf.Layer, asset_id: str) -> str:
    """Return the path, below the working folder, of the file that a layer without one would have."""
    kind = layer.GetFileFormat().primaryFileExtension
    stem = "".join(ch if ch.isalnum() or ch in "-_." else "_" for ch in asset_id)
    name = stem if stem.endswith(f".{kind}") else f"{stem}.{kind}"
    return os.path.abspath(name)


def place_of(layer: str, path: str) -> str:
    """Return the absolute path that a relative one means in the layer whose file is *layer*."""
    return os.path.normpath(os.path.join(os.path.dirname(layer), path))
