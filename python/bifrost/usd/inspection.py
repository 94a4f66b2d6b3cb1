# SPDX-License-Identifier: Apache-2.0
"""Layers and stages as a person looks at them: text, a tree, what did not resolve."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pxr import Pcp, Sdf, Tf, Usd

from bifrost.errors import BifrostError
from bifrost.usd import stage as plugin
from bifrost.usd.survey import reason


@dataclass(frozen=True, slots=True)
class Opened:
    """
    What opening a stage gave.

    Attributes:
        root: What was opened.
        prims: How many prims it has, the inactive and undefined ones included.
        layers: How many layers it is made of, its anonymous session layer included.
        unresolved: Asset paths of sublayers, references and payloads that opened nothing.
        milliseconds: How long opening took, after `warm()`.
    """

    root: str
    prims: int
    layers: int
    unresolved: tuple[str, ...]
    milliseconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return asdict(self)


def content(name: str, *, flatten: bool = False) -> Sdf.Layer:
    """
    Return a layer, or with *flatten* the stage that it is the root of, as one layer.

    Raises:
        BifrostError: it can't be opened; the message says why.
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    if flatten:
        return _stage(name).Flatten(addSourceFileComment=False)
    plugin.warm()
    return layer_named(name)


def layer_named(name: str, shown: str = "") -> Sdf.Layer:
    """
    Return the layer that USD finds under *name*; messages call it *shown*, or else *name*.

    Raises:
        BifrostError: it can't be opened; the message says why.
    """
    shown = shown or name
    try:
        layer = Sdf.Layer.FindOrOpen(name)
    except Tf.ErrorException as error:
        raise BifrostError(f"{shown}: {reason(error)}") from error
    if layer is None:
        raise BifrostError(f"{shown}: there is no such layer")
    return layer


def export(layer: Sdf.Layer, out: str | os.PathLike[str]) -> None:
    """
    Write *layer* to a file, in the format that its extension says.

    Raises:
        BifrostError: it can't be written.
    """
    try:
        written = layer.Export(os.fspath(out))
    except Tf.ErrorException as error:
        raise BifrostError(f"{os.fspath(out)}: {reason(error)}") from error
    if not written:
        raise BifrostError(f"{os.fspath(out)}: can't be written")


def tree(root: str) -> Iterator[str]:
    """
    Yield the lines of a drawing of a stage's prims; those in an instance stand where it is.

    Raises:
        BifrostError: the stage can't be opened.
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    stage = _stage(root)
    yield "/"
    yield from _branches(stage.GetPseudoRoot(), "")


def opened(root: str) -> Opened:
    """
    Open a stage and return what that gave.

    Raises:
        BifrostError: the stage can't be opened.
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    plugin.warm()
    started = time.perf_counter()
    stage = _stage(root)
    seconds = time.perf_counter() - started
    return Opened(
        root=root,
        prims=sum(1 for _ in stage.TraverseAll()),
        layers=len(stage.GetUsedLayers()),
        unresolved=tuple(sorted(set(_unresolved(stage)))),
        milliseconds=round(seconds * 1000, 3),
    )


def _stage(root: str) -> Usd.Stage:
    plugin.warm()
    try:
        return Usd.Stage.Open(root)
    except Tf.ErrorException as error:
        raise BifrostError(f"{root}: {reason(error)}") from error


def _branches(prim: Usd.Prim, indent: str) -> Iterator[str]:
    predicate = Usd.TraverseInstanceProxies(Usd.PrimAllPrimsPredicate)
    children = prim.GetFilteredChildren(predicate)
    for number, child in enumerate(children):
        last = number == len(children) - 1
        yield f"{indent}{'└── ' if last else '├── '}{_described(child)}"
        yield from _branches(child, indent + ("    " if last else "│   "))


def _described(prim: Usd.Prim) -> str:
    sets = prim.GetVariantSets()
    states = {
        "instance": prim.IsInstance(),
        "inactive": not prim.IsActive(),
        "unloaded": prim.IsActive() and not prim.IsLoaded(),
        "over": not prim.IsDefined(),
    }
    notes = [
        *filter(None, (str(prim.GetTypeName()),)),
        *(f"{name}={sets.GetVariantSelection(name)}" for name in sorted(sets.GetNames())),
        *(state for state, holds in states.items() if holds),
    ]
    return f"{prim.GetName()} [{', '.join(notes)}]" if notes else prim.GetName()


def _unresolved(stage: Usd.Stage) -> Iterator[str]:
    for error in stage.GetCompositionErrors():
        if isinstance(error, Pcp.ErrorInvalidAssetPath | Pcp.ErrorInvalidSublayerPath):
            # The path is only in the text: these errors have no such attribute in Python.
            named = re.search("@([^@]*)@", str(error))
            yield named[1] if named else str(error)
