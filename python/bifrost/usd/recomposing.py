# SPDX-License-Identifier: Apache-2.0
"""
Has one stage try again what a notice of the resolver alone doesn't: what could not be opened, and clips.

On that stage only, without reloading a layer that another stage shares, and in the end without an edit.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from pxr import Ar, Pcp, Sdf, Tf, Usd

from bifrost.usd.folder import is_uri
from bifrost.usd.lifetimes import owned, used_layers
from bifrost.usd.survey import reason

_NOWHERE: Final = Sdf.Path("/_bifrost_refresh")
_CANT_BE_OPENED: Final = (Pcp.ErrorInvalidAssetPath, Pcp.ErrorInvalidSublayerPath)
_SUBLAYER: Final = Pcp.ErrorInvalidSublayerPath
# OpenUSD tells these in the text alone.
_OF_ASSET: Final = re.compile(r"^Could not \w+ \w+ @+([^@]+)@")
_OF_LAYER: Final = re.compile(r" of layer @+([^@]+)@")


def compose_what_came(stage: Usd.Stage) -> None:
    """
    Compose the references, payloads and sublayers that could not be opened and can be now.

    Whenever they came: another stage of the same context may have been refreshed first. What can't be
    opened now either is logged.
    """
    broken = [
        each
        for each in stage.GetCompositionErrors()
        if isinstance(each, _CANT_BE_OPENED) and is_uri(_named(_OF_ASSET, each))
    ]
    if not broken:
        return
    with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
        layers = {name: _opened(name) for name in {_named(_OF_ASSET, each) for each in broken}}
        came = [each for each in broken if layers[_named(_OF_ASSET, each)]]
        _try_sublayers_again(
            stage, {_named(_OF_LAYER, each) for each in came if isinstance(each, _SUBLAYER)}
        )
        _try_arcs_again(
            stage, {each.rootSite.path for each in came if not isinstance(each, _SUBLAYER)}
        )


def read_clips_again(stage: Usd.Stage, new: Collection[str], before: Collection[str]) -> None:
    """
    Have the prims whose value clips name a reference that moved read those anew.

    Looks at every prim, unless nothing moved *before*, and all that is *new* are layers that compose
    the stage: to ask that of many costs memory (`_composes`).
    """
    with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
        if not before and all(_composes(stage, each) for each in new):
            return
    clips = {*new, *before}
    paths = {
        # Of an instance's prototype the path that it is composed at.
        prim.GetPrimIndex().rootNode.path
        for top in (stage.GetPseudoRoot(), *stage.GetPrototypes())
        for prim in Usd.PrimRange(top, Usd.PrimIsActive & Usd.PrimIsLoaded)
        if prim.HasAuthoredMetadata("clips") and _names_one(prim.GetMetadata("clips"), clips)
    }
    with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
        _try_arcs_again(stage, paths)


def _composes(stage: Usd.Stage, reference: str) -> bool:
    """
    Whether *reference* is a layer that composes *stage*. Its context has to be bound.

    Not by the stage's `GetUsedLayers`: a shot that is opened and refreshed all day has thousands of layers
    each time, and to own them all takes time.
    """
    layer = Sdf.Layer.Find(reference)
    if not layer:
        return False
    cache = stage._GetPcpCache()  # noqa: SLF001
    stacks = cache.FindAllLayerStacksUsingLayer(owned(layer))
    for stack in stacks:
        # As `owned` is for a layer: it is there, and what computes one gives it to Python to own.
        cache.ComputeLayerStack(stack.identifier)
    return bool(stacks)


def _names_one(sets: Mapping[str, Any], references: set[str]) -> bool:
    """Whether clip sets name one of *references*; a template names all that begin as it does."""
    for clips in sets.values():
        if not isinstance(clips, Mapping):  # a layer may hold anything there
            continue
        paths = clips.get("assetPaths")
        assets = [
            *(paths if isinstance(paths, Sdf.AssetPathArray) else ()),
            clips.get("manifestAssetPath"),
        ]
        if not references.isdisjoint(
            each.path for each in assets if isinstance(each, Sdf.AssetPath)
        ):
            return True
        beginning = str(clips.get("templateAssetPath", "")).partition("#")[0]
        if beginning and any(each.startswith(beginning) for each in references):
            return True
    return False


def _named(pattern: re.Pattern[str], error: Pcp.ErrorBase) -> str:
    found = pattern.search(str(error))
    return found[1] if found else ""


def _opened(identifier: str) -> Any:
    """Return the layer of *identifier*; None where it can't be opened now either."""
    try:
        if not Ar.GetResolver().Resolve(identifier):
            return None
        return Sdf.Layer.FindOrOpen(identifier)
    except Tf.ErrorException as error:
        _log(reason(error))
        return None


def _try_sublayers_again(stage: Usd.Stage, holders: set[str]) -> None:
    """Build the layer stacks of *holders* anew: the root's by its session layer, others by muting."""
    root, session = stage.GetRootLayer().identifier, stage.GetSessionLayer()
    if root in holders and session:
        with _editable(session), Sdf.ChangeBlock():
            session.subLayerPaths.append(root)
            session.subLayerPaths.remove(root)
    elif root in holders:
        _log(f"{root}: a sublayer came: without a session layer, open the stage again to see it")
    others = [each for each in holders - {root, ""} if not stage.IsLayerMuted(each)]
    if others:
        # Sdf lets go of layers that nobody else has while they are muted, unsaved edits and all.
        held = used_layers(stage)
        stage.MuteAndUnmuteLayers(others, [])
        stage.MuteAndUnmuteLayers([], others)
        del held


def _try_arcs_again(stage: Usd.Stage, paths: Collection[Sdf.Path]) -> None:
    """Compose the prims at *paths* anew; without a session layer, all."""
    layer = stage.GetSessionLayer()
    if layer and paths:
        with _editable(layer), Sdf.ChangeBlock():
            _edit_and_take_back(layer, paths)
    elif paths:
        stage.SetPopulationMask(stage.GetPopulationMask())


def _edit_and_take_back(layer: Sdf.Layer, paths: Iterable[Sdf.Path]) -> None:
    for path in paths:
        missing = [each for each in path.GetPrefixes() if not layer.GetPrimAtPath(each)]
        arcs = Sdf.CreatePrimInLayer(layer, path).inheritPathList
        arcs.Prepend(_NOWHERE)
        arcs.Erase(_NOWHERE)
        if missing:
            del layer.GetPrimAtPath(missing[0].GetParentPath()).nameChildren[missing[0].name]


@contextmanager
def _editable(layer: Sdf.Layer) -> Iterator[None]:
    """Allow edits of *layer*, which somebody may have locked, as long as the block lasts."""
    was_allowed = layer.permissionToEdit
    layer.SetPermissionToEdit(True)
    try:
        yield
    finally:
        layer.SetPermissionToEdit(was_allowed)


def _log(problem: str) -> None:
    logging.getLogger("bifrost").warning("a refresh: %s", problem)
