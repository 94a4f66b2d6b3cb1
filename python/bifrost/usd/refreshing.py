# SPDX-License-Identifier: Apache-2.0
"""Lets a stage have what its references mean now, and says what moved."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from pxr import Ar, Pcp, Sdf, Tf, Usd

from bifrost.errors import ConfigurationError
from bifrost.usd import library
from bifrost.usd.survey import reason

_NOWHERE: Final = Sdf.Path("/_bifrost_refresh")
_SUBLAYER: Final = Pcp.ErrorInvalidSublayerPath
_OF_LAYER: Final = re.compile(r" of layer @+([^@]+)@")


class Moved(NamedTuple):
    """
    A reference that means another file than before.

    Attributes:
        reference: The entity reference.
        path: The file that it meant; "" where it did not resolve.
        new_path: The file that it means now; "" where it does not resolve any more.
        version: The version that it meant, as the manager calls it; "" where that is unknown.
        new_version: The version that it means now.
    """

    reference: str
    path: str
    new_path: str
    version: str
    new_version: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """
    What a refresh did.

    Attributes:
        moved: The references that mean another file now, sorted.
        root_moved: Whether the stage's own root layer is among them. OpenUSD gives a stage no other
            root: to see it, open the stage again.
    """

    moved: tuple[Moved, ...]
    root_moved: bool = False

    def __bool__(self) -> bool:
        return bool(self.moved)


def refresh(stage: Usd.Stage) -> Refreshed:
    """
    Ask anew for what floats on *stage*, recompose what moved, and return that.

    All stages of an equal context follow, those of others stay as they are. What is known to be as it
    was is not asked for: see docs/staleness.md. What did not resolve when it was composed and does now
    is composed, too. An outage leaves everything as it was, and pins what they pin.

    On the main thread, as OpenUSD wants it of everything that changes a stage.

    Raises:
        ConfigurationError: *stage* is none, or closed.
    """
    if not isinstance(stage, Usd.Stage) or not stage:
        raise ConfigurationError(f"refresh: expected an open Usd.Stage, got {type(stage).__name__}")
    context = stage.GetPathResolverContext()
    Ar.GetResolver().RefreshContext(context)
    names = {str(each) for each in context.Get()}
    moved = tuple(
        sorted(
            Moved(*move) for table in library.moves() if table.name in names for move in table.moves
        )
    )
    _compose_what_came(stage, moved)
    root = stage.GetRootLayer().identifier
    return Refreshed(moved, any(each.reference == root for each in moved))


def _compose_what_came(stage: Usd.Stage, moved: tuple[Moved, ...]) -> None:
    """
    Have OpenUSD try again what could not be opened: a notice alone doesn't.

    On this stage only, and without reloading a layer that another stage shares. What can't be opened
    now either is logged.
    """
    came = [each.reference for each in moved if not each.path and each.new_path]
    broken = [each for each in stage.GetCompositionErrors() if _names(each, came)] if came else []
    if not broken:
        return
    try:
        with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
            _try_sublayers_again(stage, {_holder(e) for e in broken if isinstance(e, _SUBLAYER)})
            _try_arcs_again(
                stage.GetSessionLayer(),
                {e.rootSite.path for e in broken if not isinstance(e, _SUBLAYER)},
            )
    except Tf.ErrorException as error:
        logging.getLogger("bifrost").warning("a refresh: %s", reason(error))


def _names(error: Pcp.ErrorBase, references: list[str]) -> bool:
    """Whether a composition error is about one of *references*."""
    text = str(error)
    return any(f"@{reference}" in text for reference in references)


def _holder(error: Pcp.ErrorBase) -> str:
    """Return the layer that names a sublayer which can't be opened; OpenUSD tells it in the text alone."""
    found = _OF_LAYER.search(str(error))
    return found[1] if found else ""


def _try_sublayers_again(stage: Usd.Stage, holders: set[str]) -> None:
    """Build the layer stacks of *holders* anew: the root's by its session layer, others by muting."""
    root, session = stage.GetRootLayer().identifier, stage.GetSessionLayer()
    if root in holders:
        with Sdf.ChangeBlock():
            session.subLayerPaths.append(root)
            session.subLayerPaths.remove(root)
    others = [each for each in holders - {root, ""} if not stage.IsLayerMuted(each)]
    stage.MuteAndUnmuteLayers(others, [])
    stage.MuteAndUnmuteLayers([], others)


def _try_arcs_again(layer: Sdf.Layer, paths: Iterable[Sdf.Path]) -> None:
    """Compose the prims at *paths* anew: by an edit of their arcs that leaves *layer* as it was."""
    with Sdf.ChangeBlock():
        for path in paths:
            missing = [each for each in path.GetPrefixes() if not layer.GetPrimAtPath(each)]
            arcs = Sdf.CreatePrimInLayer(layer, path).inheritPathList
            arcs.Prepend(_NOWHERE)
            arcs.Erase(_NOWHERE)
            if missing:
                del layer.GetPrimAtPath(missing[0].GetParentPath()).nameChildren[missing[0].name]
