# SPDX-License-Identifier: Apache-2.0
"""Selecting a variant: in an open stage, for later stages of a session, or in a layer to publish."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple, NoReturn

from pxr import Sdf, Tf, Usd

from bifrost.errors import (
    AccessModeException,
    AssetException,
    Code,
    InvalidTraitsException,
    StorageException,
)
from bifrost.usd import selections
from bifrost.usd.contents import files_beside
from bifrost.usd.layer_metadata import about
from bifrost.usd.opening import shared_layer
from bifrost.usd.selections import Place
from bifrost.usd.survey import PACKAGE, extension, reason
from bifrost.usd.variant_answers import Asked, default_prim, of_prim
from bifrost.usd.variant_names import check_variant, parsed_path, path_on, shown
from bifrost.usd.variants import VariantSet, variant_sets

_TARGETS = ("session", "layer")


class Choice(NamedTuple):
    """
    What is to be selected.

    Attributes:
        prim_path: The prim; None for the default prim.
        variant_set: The set.
        variant: The variant; None takes back what was selected in the same place before.
    """

    prim_path: object
    variant_set: str
    variant: str | None


class Selected(NamedTuple):
    """
    What was selected, and where that is written.

    Attributes:
        prim_path: The prim.
        variant_set: The set.
        variant: The variant; None where a selection was taken back.
        before: What was selected before; "" for nothing, or where that wasn't looked at.
        layer: The layer that says so now: its identifier, or its file; "" for remembered.
    """

    prim_path: str
    variant_set: str
    variant: str | None
    before: str
    layer: str


def select(
    asked: Asked,
    choice: Choice,
    *,
    stage: Usd.Stage | None = None,
    target: str = "session",
    layer: Sdf.Layer | str | os.PathLike[str] | None = None,
) -> Selected:
    """
    Do as `select_usd_variant` of the host says. Nothing is written where *choice* is refused.

    Raises:
        AccessModeException: the layer can't be edited, or the prim is inside an instance.
        InvalidTraitsException: there is no such target, prim, set or variant.
        StorageException: the working copy can't be written.
        Whatever `asked.locate` raises.
    """
    if target not in _TARGETS:
        raise _invalid(asked, f"target is 'session' or 'layer', got {shown(target)}")
    if layer is not None and (target != "layer" or stage is not None):
        raise _invalid(asked, "a layer is given with target='layer' and without a stage")
    if stage is not None:
        return _on_stage(asked, choice, stage, target)
    path, before = _checked(asked, choice)
    if target == "layer":
        return _in_layer(asked, choice, path, before, layer)
    place = Place(str(path), choice.variant_set)
    selections.remember(asked.session, asked.asset_uri, place, choice.variant)
    return Selected(*place, choice.variant, before, "")


def _on_stage(asked: Asked, choice: Choice, stage: Usd.Stage, target: str) -> Selected:
    path = path_on(stage, choice.prim_path, asked.asset_uri)
    before = _allowed(asked, choice, path, variant_sets(stage.GetPrimAtPath(path), asked.asset_uri))
    layer, spec_path = stage.GetSessionLayer(), path
    if target == "layer":
        edits = stage.GetEditTarget()
        layer, spec_path = edits.GetLayer(), edits.MapToSpecPath(path)
    if layer is None or spec_path.isEmpty:
        where = "session layer" if layer is None else "edit target that reaches this prim"
        raise _refused(asked, f"the stage has no {where}, so nothing can be selected there")
    selections.author(layer, spec_path, choice.variant_set, choice.variant, asked.asset_uri)
    return Selected(str(path), choice.variant_set, choice.variant, before, layer.identifier)


def _checked(asked: Asked, choice: Choice) -> tuple[Sdf.Path, str]:
    """Return the prim's path and what is selected there now, once all is known to be there."""
    given, uri = choice.prim_path, asked.asset_uri
    path = default_prim(asked) if given is None else parsed_path(given, uri)
    if choice.variant is None:  # what is taken back may be there no more
        return path, ""
    return path, _allowed(asked, choice, path, of_prim(asked, path))


def _allowed(asked: Asked, choice: Choice, path: Sdf.Path, sets: dict[str, VariantSet]) -> str:
    """Return what is selected now; raise where *choice* can't be."""
    if choice.variant is not None:
        check_variant(sets, path, choice.variant_set, choice.variant, asked.asset_uri)
    if choice.variant_set not in sets:
        return ""
    found = sets[choice.variant_set]
    if found["instance"]:
        raise _refused(
            asked,
            f"{path} is inside the instance {found['instance']}, where USD has no opinions: select on "
            "the instance itself, or make it no instance (instanceable = false)",
        )
    return found["selection"]


def _in_layer(
    asked: Asked,
    choice: Choice,
    path: Sdf.Path,
    before: str,
    layer: Sdf.Layer | str | os.PathLike[str] | None,
) -> Selected:
    name, variant, uri = choice.variant_set, choice.variant, asked.asset_uri
    if isinstance(layer, Sdf.Layer):
        selections.author(layer, path, name, variant, uri)
        return Selected(str(path), name, variant, before, layer.identifier)
    file = None if layer is None else Path(layer).absolute()
    if file is None or not file.exists():
        file = _working_copy(asked, file)
    opened = _opened(asked, file)
    selections.author(opened, path, name, variant, uri)
    _save(asked, opened)
    return Selected(str(path), name, variant, before, str(file))


def _opened(asked: Asked, file: Path) -> Sdf.Layer:
    try:
        return shared_layer(str(file))
    except AssetException as error:
        raise about(asked.asset_uri, error) from error.__cause__


def _save(asked: Asked, layer: Sdf.Layer) -> None:
    try:
        saved = layer.Save()
    except Tf.ErrorException as error:
        _not_written(asked, layer.identifier, reason(error), error)
    if not saved:
        _not_written(asked, layer.identifier, "USD gives no reason")


def _working_copy(asked: Asked, target: Path | None) -> Path:
    """Return the copy of the asset's file, with what it reaches beside it; all of it may be edited."""
    source = asked.locate()
    if extension(source.name) == PACKAGE:
        raise _refused(asked, f"{source} is a package, which USD only reads")
    if target is not None and extension(target.name) != extension(source.name):
        wanted = f"expected a .{extension(source.name)} file as the asset's is"
        raise _invalid(asked, f"{target}: {wanted}")
    contents = files_beside(source)
    try:
        if target is None:
            target = Path(tempfile.mkdtemp(prefix="bifrost-working-")) / source.name
        for name in contents.beside:
            _copy(Path(contents.files[name]), target.parent / name)
        _copy(source, target)
    except OSError as error:
        _not_written(asked, str(target), error.strerror or str(error), error)
    return target


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Never over what is there; without the modes, which say that published files are only read.
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing)


def _not_written(asked: Asked, what: str, why: str, cause: Exception | None = None) -> NoReturn:
    raise StorageException(
        f"{what} can't be written: {why}", asset_uri=asked.asset_uri, code=Code.STORAGE
    ) from cause


def _refused(asked: Asked, message: str) -> AccessModeException:
    return AccessModeException(message, asset_uri=asked.asset_uri, code=Code.ACCESS)


def _invalid(asked: Asked, message: str) -> InvalidTraitsException:
    return InvalidTraitsException(message, asset_uri=asked.asset_uri, code=Code.INVALID_TRAITS)
