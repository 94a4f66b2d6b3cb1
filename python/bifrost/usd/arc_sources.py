# SPDX-License-Identifier: Apache-2.0
"""The layers whose arcs are read and written: given as they are, as stages, files or references."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeAlias

from pxr import Sdf, Tf, Usd

from bifrost.catalogue.strengths import Strengths
from bifrost.errors import Code, PermissionDeniedException, StorageException
from bifrost.usd.extraction import Arc, arcs_of
from bifrost.usd.folder import is_uri
from bifrost.usd.opening import shared_layer
from bifrost.usd.permissions import HOW, lock_of
from bifrost.usd.stage_arcs import arcs_of_stage, layers_of
from bifrost.usd.survey import reason

Source: TypeAlias = Sdf.Layer | Usd.Stage | str | os.PathLike[str]
"""A layer, a stage, an entity reference, or a file."""
Locate = Callable[[str], str | os.PathLike[str]]
"""Returns the file that a reference resolves to; raises where there is none."""


def arcs_in(source: Source, locate: Locate, strengths: Strengths) -> list[Arc]:
    """Return the arcs of *source*: of a stage those of every layer that it uses."""
    if isinstance(source, Usd.Stage):
        return arcs_of_stage(source, strengths)
    return arcs_of(layer_of(source, locate), strengths)


def layers_in(source: Source, locate: Locate) -> list[Sdf.Layer]:
    """Return the layers of *source*: of a stage every one that it uses."""
    if isinstance(source, Usd.Stage):
        return layers_of(source)
    return [layer_of(source, locate)]


def layer_of(source: Sdf.Layer | str | os.PathLike[str], locate: Locate) -> Sdf.Layer:
    """
    Return the layer that *source* is or names.

    Raises:
        As `opening.shared_layer`, and what *locate* raises.
    """
    if isinstance(source, Sdf.Layer):
        return source
    name = os.fspath(source)
    return shared_layer(os.fspath(locate(name)) if is_uri(name) else name)


def saved(layer: Sdf.Layer) -> None:
    """
    Save *layer*.

    Raises:
        StorageException: it can't be; what was edited is still in memory.
    """
    try:
        done = layer.Save()
    except Tf.ErrorException as error:
        why = reason(error)
    else:
        if done:
            return
        why = "USD gives no reason"
    raise StorageException(f"{layer.identifier} can't be saved: {why}", code=Code.STORAGE)


def check_editable(layer: Sdf.Layer) -> None:
    """
    Make sure that *layer* may be edited.

    Raises:
        PermissionDeniedException: it may not; says how to go on.
    """
    if not layer.permissionToEdit:
        lock = lock_of(layer)
        raise PermissionDeniedException(
            lock.why if lock else f"{layer.identifier} may not be edited. {HOW}",
            asset_uri=layer.identifier,
            code=Code.PERMISSION_DENIED,
        )
