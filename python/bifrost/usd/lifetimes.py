# SPDX-License-Identifier: Apache-2.0
"""
In which order stages and their layers end, where several Python threads drop some.

OpenUSD calls back into Python when nobody but Python owns an object any more, and keeps the GIL states of
these calls in one stack for all threads (`_pyLocks` in pxr/base/tf/pyIdentity.cpp). An object that ends
inside such a call, as layers do that only their stage held, lets the GIL go there; another thread then
takes its state, and runs Python without the GIL. None ends there whose Python object is still held.
"""

from __future__ import annotations

from pxr import Sdf, Usd


def outlived(stage: Usd.Stage, *layers: Sdf.Layer) -> Usd.Stage:
    """
    Return *stage*, behind whose end those of its *layers* come that Python has met.

    Only layers that the stage has for as long as it lives: they stay open. Attributes of a Python object
    go in the order in which they came, the first of which is what owns the stage itself.
    """
    stage.bifrost_layers = layers
    return stage


def used_layers(stage: Usd.Stage) -> list[Sdf.Layer]:
    """Return what `Usd.Stage.GetUsedLayers` does, each of them `owned`."""
    return list(map(owned, stage.GetUsedLayers()))


def own_roots(stage: Usd.Stage) -> None:
    """Have the root and the session layer of *stage* `owned`: whoever works on it meets them."""
    for layer in filter(None, (stage.GetRootLayer(), stage.GetSessionLayer())):
        owned(layer)


def owned(layer: Sdf.Layer) -> Sdf.Layer:
    """
    Return *layer*, owned by Python; what it is in Python is freed with it, then, whoever meets it again.

    OpenUSD (26.8) never frees Python's object of a layer, 192 bytes, that Python met and never owned. One
    that is opened is owned; by the path of its file that is the layer itself, and nothing is read, nor any
    manager asked. One that isn't found so stays as it is.
    """
    path = layer.identifier if layer.anonymous else layer.realPath
    arguments = layer.GetFileFormatArguments()
    if not path or Sdf.Layer.Find(path, arguments) != layer:
        return layer
    # Between the two its file may go.
    return Sdf.Layer.FindOrOpen(path, arguments) or layer
