# SPDX-License-Identifier: Apache-2.0
"""Layers and stages as a person looks at them: text, a tree, what did not resolve."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pxr import Ar, Sdf, Tf, Usd

from bifrost.errors import AssetException, BifrostError, Code, LayerException
from bifrost.usd import file_checks
from bifrost.usd import stage as plugin
from bifrost.usd.dependencies import looked_below
from bifrost.usd.layer_metadata import about
from bifrost.usd.opening import unresolved
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
        return stage_of(name).Flatten(addSourceFileComment=False)
    plugin.warm()
    return layer_named(name)


def layer_named(name: str, shown: str = "") -> Sdf.Layer:
    """
    Return the layer that USD finds under *name*; messages call it *shown*, or else *name*.

    Raises:
        BifrostError: it can't be opened; the message says why.
    """
    shown = shown or name
    _look_at(name, shown)
    try:
        layer = Sdf.Layer.FindOrOpen(name)
    except (Tf.ErrorException, UnicodeError) as error:
        raise _unreadable(shown, reason(error)) from error
    if layer is None:
        raise _unreadable(shown, "there is no such layer")
    return layer


def _look_at(name: str, shown: str) -> None:
    """Look at the file that *name* leads to before USD does, unless this process has the layer."""
    base, _ = Sdf.Layer.SplitIdentifier(name)
    outer = Ar.SplitPackageRelativePathOuter(base)[0] if Ar.IsPackageRelativePath(base) else base
    path = str(Ar.GetResolver().Resolve(outer))
    # What does not resolve to a file is for USD to say.
    if not os.path.isabs(path) or Sdf.Layer.Find(name):  # noqa: PTH117  any resolver's text
        return
    try:
        file_checks.check(path)
    except AssetException as error:
        raise about(shown, error) from error.__cause__


def _unreadable(shown: str, why: str) -> LayerException:
    return LayerException(
        f"{shown[:1000]}: {why}",
        asset_uri=shown[:1000],
        code=Code.NOT_A_LAYER,
        details={"why": why},
    )


def export(layer: Sdf.Layer, out: str | os.PathLike[str]) -> None:
    """
    Write *layer* to a file, in the format that its extension says.

    Raises:
        BifrostError: it can't be written.
    """
    try:
        written = layer.Export(os.fspath(out))
    except (Tf.ErrorException, UnicodeError) as error:
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
    stage = stage_of(root)
    yield "/"
    yield from _branches(stage.GetPseudoRoot())


def opened(root: str) -> Opened:
    """
    Open a stage and return what that gave.

    Raises:
        BifrostError: the stage can't be opened.
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    plugin.warm()
    _look_at(root, root)  # once: it is no part of opening
    started = time.perf_counter()
    stage = stage_of(root)
    seconds = time.perf_counter() - started
    return Opened(
        root=root,
        prims=sum(1 for _ in stage.TraverseAll()),
        layers=len(stage.GetUsedLayers()),
        unresolved=tuple(unresolved(stage)),
        milliseconds=round(seconds * 1000, 3),
    )


def stage_of(root: str) -> Usd.Stage:
    """
    Return the stage of a file or an entity reference.

    Raises:
        BifrostError: it can't be opened; the message says why.
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    plugin.warm()
    with looked_below(layer_named(root)):
        return _opened(root)


def _opened(root: str) -> Usd.Stage:
    try:
        return Usd.Stage.Open(root)
    except (Tf.ErrorException, UnicodeError) as error:
        raise _unreadable(root, reason(error)) from error


def prims(root: str) -> list[dict[str, Any]]:
    """
    Return what `tree` draws as JSON can say it: the root prims, each with its `children`.

    Of each `path`, `name`, `type`, the selected `variants` by set, and its `states`: `instance`,
    `inactive`, `unloaded`, `over`.

    Raises:
        BifrostError: the stage can't be opened.
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    stage = stage_of(root)
    found: list[dict[str, Any]] = []
    waiting = [(stage.GetPseudoRoot(), found)]
    while waiting:
        prim, listed = waiting.pop()
        for child in _children(prim):
            described = _prim(child)
            listed.append(described)
            waiting.append((child, described["children"]))
    return found


def _prim(prim: Usd.Prim) -> dict[str, Any]:
    sets = prim.GetVariantSets()
    return {
        "path": str(prim.GetPath()),
        "name": prim.GetName(),
        "type": str(prim.GetTypeName()),
        "variants": {name: sets.GetVariantSelection(name) for name in sorted(sets.GetNames())},
        "states": _states(prim),
        "children": [],
    }


def _children(prim: Usd.Prim) -> list[Usd.Prim]:
    predicate = Usd.TraverseInstanceProxies(Usd.PrimAllPrimsPredicate)
    return list(prim.GetFilteredChildren(predicate))


def _branches(root: Usd.Prim) -> Iterator[str]:
    waiting = _under(root, "")  # prims may nest deeper than functions can
    while waiting:
        prim, indent, is_last = waiting.pop()
        yield f"{indent}{'└── ' if is_last else '├── '}{_described(prim)}"
        waiting += _under(prim, indent + ("    " if is_last else "│   "))


def _under(prim: Usd.Prim, indent: str) -> list[tuple[Usd.Prim, str, bool]]:
    """Return the children of *prim*, the last one first, and whether each is that."""
    children = _children(prim)[::-1]
    return [(child, indent, number == 0) for number, child in enumerate(children)]


def _states(prim: Usd.Prim) -> list[str]:
    states = {
        "instance": prim.IsInstance(),
        "inactive": not prim.IsActive(),
        "unloaded": prim.IsActive() and not prim.IsLoaded(),
        "over": not prim.IsDefined(),
    }
    return [state for state, holds in states.items() if holds]


def _described(prim: Usd.Prim) -> str:
    sets = prim.GetVariantSets()
    notes = [
        *filter(None, (str(prim.GetTypeName()),)),
        *(f"{name}={sets.GetVariantSelection(name)}" for name in sorted(sets.GetNames())),
        *_states(prim),
    ]
    return f"{prim.GetName()} [{', '.join(notes)}]" if notes else prim.GetName()
