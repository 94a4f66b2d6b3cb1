# SPDX-License-Identifier: Apache-2.0
"""
Writing what is to be published into staging folders, with arcs to the versions that it will have.

The process's own layers are read and stay as they are, their dirty flags too.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from pxr import Sdf, Tf

from bifrost.errors import AccessModeException, Code, StorageException
from bifrost.usd.arcs import Kind
from bifrost.usd.authoring import author, replace
from bifrost.usd.contents import Contents
from bifrost.usd.edited_layers import Reach
from bifrost.usd.extraction import Arc, arcs_of
from bifrost.usd.file_checks import is_usd
from bifrost.usd.folder import split_path
from bifrost.usd.opening import root_layer
from bifrost.usd.publish_units import Unit, is_floating
from bifrost.usd.rewriting import format_arguments
from bifrost.usd.survey import PACKAGE, extension, reason

NewTarget = Callable[[Unit | None, Arc], str]
"""Returns the reference that an arc, which leads to a unit, is to name; "" where it stays as it is."""


def check_writable(reach: Reach, unit: Unit) -> None:
    """
    Make sure that what is in memory of *unit* can be written.

    Raises:
        AccessModeException: a layer is muted, in a package, or of a format that USD only reads.
    """
    assert unit.contents is not None
    for path in unit.contents.files.values():
        layer = reach.read(path)
        if layer is None:
            continue
        if layer.IsMuted():
            raise _refused(layer, "is muted: what it holds can't be read. Unmute it, then publish")
        if not layer.GetFileFormat().SupportsWriting() or extension(path) == PACKAGE:
            raise _refused(
                layer, "is of a format that USD only reads, so edits of it can't be kept"
            )


def write(reach: Reach, unit: Unit, folder: Path, target: NewTarget) -> Path:
    """
    Write the files of *unit* into *folder*; return its main file there.

    Raises:
        StorageException: a file can't be read or written.
    """
    assert unit.contents is not None
    try:
        for name, path in unit.contents.files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            _write(reach, unit.contents, path, place, target)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise StorageException(
            f"{where}{error.strerror or error}; nothing was published", code=Code.STORAGE
        ) from error
    return folder / unit.contents.name


def _write(reach: Reach, contents: Contents, path: str, place: Path, target: NewTarget) -> None:
    layer = reach.read(path)
    named = _layers_with_links(contents)
    edits: dict[Arc, str] = {}
    if os.path.relpath(path, contents.folder).replace(os.sep, "/") in named and _is_text(path):
        layer_there = layer or root_layer(path)
        edits = _edits(reach, layer_there, path, target)
        layer = layer_there if edits else layer
    if layer is None:
        shutil.copyfile(path, place)
        return
    if edits:
        layer = _redirected(layer, edits)
    _export(layer, path, place)


def _layers_with_links(contents: Contents) -> set[str]:
    """Return the names of the layers that name anything that isn't beside them."""
    named = {each.layer for each in contents.references}
    return named | {each.layer for each in contents.loose}


def _is_text(path: str) -> bool:
    return is_usd(path) and extension(path) != PACKAGE


def _edits(reach: Reach, layer: Sdf.Layer, path: str, target: NewTarget) -> dict[Arc, str]:
    """Return the new targets of the arcs of *layer* that lead to what is published along."""
    edits: dict[Arc, str] = {}
    arcs = arcs_of(layer)
    taken = {arc.target for arc in arcs if arc.kind is Kind.SUBLAYER}
    for arc in arcs:
        new = target(reach.unit_at(path, arc.target), arc) if arc.target else ""
        wanted = new + split_path(arc.target)[1] if new else arc.target
        # Sdf keeps each sublayer once: the second one says the same.
        if wanted == arc.target or (arc.kind is Kind.SUBLAYER and wanted in taken):
            continue
        if arc.kind is Kind.SUBLAYER:
            taken.add(wanted)
        edits[arc] = wanted
    return edits


def _redirected(layer: Sdf.Layer, edits: dict[Arc, str]) -> Sdf.Layer:
    """Return a copy of *layer* with the new targets."""
    copy = Sdf.Layer.CreateAnonymous(f".{layer.GetFileFormat().primaryFileExtension}")
    copy.TransferContent(layer)
    # A weaker layer may float on: what it names has to stay deleted, and so has what this one names now.
    deleted = [arc for arc in edits if arc.operation == "deleted" and is_floating(arc.target)]
    author(copy, [arc._replace(target=edits.pop(arc), position=None) for arc in deleted])
    replace(copy, edits)
    return copy


def _export(layer: Sdf.Layer, path: str, place: Path) -> None:
    try:
        written = layer.Export(str(place), args=_format_of(layer, path))
    except Tf.ErrorException as error:
        raise OSError(f"{place.name}: {reason(error)}") from error
    if not written:
        raise OSError(f"{place.name}: USD could not write it")


def _format_of(layer: Sdf.Layer, path: str) -> dict[str, str]:
    # Only `.usd` can be either: as the file is, or as the layer was made.
    if extension(path) != "usd":
        return {}
    if os.path.isfile(path):  # noqa: PTH113
        return format_arguments(path)
    asked = layer.GetFileFormatArguments().get("format")
    return {"format": asked} if asked else {}


def _refused(layer: Sdf.Layer, why: str) -> AccessModeException:
    name = layer.identifier
    return AccessModeException(f"{name} {why}", asset_uri=name, code=Code.ACCESS)
