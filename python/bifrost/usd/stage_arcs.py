# SPDX-License-Identifier: Apache-2.0
"""The arcs of every layer that a stage uses, and which layers the classes that prims inherit stand in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from pxr import Pcp, Sdf, Usd

from bifrost.catalogue.strengths import DEFAULTS, Strengths
from bifrost.usd.arcs import Kind
from bifrost.usd.extraction import Arc, order, read


def arcs_of_stage(stage: Usd.Stage, strengths: Strengths = DEFAULTS) -> list[Arc]:
    """
    Return the arcs of every layer that *stage* uses, those of `layers_of` in that order.

    Paths are those of each layer: before relocation, and as often as there are layers, not instances.
    Muted layers are not used. A class whose opinions stand in another layer than the inherit or specialize
    arc makes one arc more for each such layer, with that as its target.
    """
    found: list[Arc] = []
    prims: dict[str, list[str]] = {}
    for layer in layers_of(stage):
        arcs, prims[layer.identifier] = read(layer, strengths)
        found += arcs
    if local := _that_may_lead_elsewhere(found, prims):
        others = {arc._replace(target=layer) for arc, layer in _to_other_layers(stage, local)}
        found += sorted(others, key=order)
    return found


def layers_of(stage: Usd.Stage) -> list[Sdf.Layer]:
    """Return the layers that *stage* uses, its root and session layer first; muted ones it doesn't."""
    first = (stage.GetRootLayer(), stage.GetSessionLayer())
    # USD returns them in an order that differs from process to process.
    others = sorted(stage.GetUsedLayers(), key=lambda layer: str(layer.identifier))
    return [layer for layer in first if layer] + [each for each in others if each not in first]


_Place = tuple[str, str, Kind]
_CLASSES: Final = {Pcp.ArcTypeInherit: Kind.INHERIT, Pcp.ArcTypeSpecialize: Kind.SPECIALIZE}


def _that_may_lead_elsewhere(
    arcs: Iterable[Arc], prims: Mapping[str, Iterable[str]]
) -> dict[_Place, list[Arc]]:
    """Return the arcs of classes of whose names there are prims in other layers, by where they stand."""
    classes = [arc for arc in arcs if arc.kind in _CLASSES.values()]
    layers: dict[str, set[str]] = {_name(arc.target_prim): set() for arc in classes}
    if not layers:
        return {}
    # Whatever brings a class into another layer's namespace leaves its name: composing thousands of
    # prims only to learn that nobody says anything about their classes would be most of the work.
    for layer, paths in prims.items():
        for name in layers.keys() & set(map(_name, paths)):
            layers[name].add(layer)
    found: dict[_Place, list[Arc]] = {}
    for arc in classes:
        if layers[_name(arc.target_prim)] - {arc.layer}:
            found.setdefault((arc.layer, arc.path, arc.kind), []).append(arc)
    return found


def _name(path: str) -> str:
    return path.rpartition("/")[2].rpartition("}")[2]


def _to_other_layers(
    stage: Usd.Stage, local: Mapping[_Place, list[Arc]]
) -> Iterator[tuple[Arc, str]]:
    """Yield (arc, layer) for each layer with opinions about a class that an arc in another layer names."""
    for prim in _with_classes(stage):
        # Not `Usd.PrimCompositionQuery`, which composes each prim anew, in full.
        for node in _class_nodes(prim.GetPrimIndex().rootNode):
            for arc in _authored(node, local):
                for layer in node.layerStack.layers:
                    if layer.identifier != arc.layer and layer.GetPrimAtPath(node.path):
                        yield arc, layer.identifier


def _with_classes(stage: Usd.Stage) -> Iterator[Usd.Prim]:
    for root in (stage.GetPseudoRoot(), *stage.GetPrototypes()):
        for prim in Usd.PrimRange(root, Usd.PrimAllPrimsPredicate):
            if prim.HasAuthoredInherits() or prim.HasAuthoredSpecializes():
                yield prim


def _class_nodes(root: Pcp.NodeRef) -> Iterator[Pcp.NodeRef]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        waiting += node.children
        if node.arcType in _CLASSES and node.hasSpecs:
            yield node


def _authored(node: Pcp.NodeRef, local: Mapping[_Place, list[Arc]]) -> list[Arc]:
    """Return the arcs that *node* comes of; of a class that is implied further up, those below."""
    origin = node.GetOriginRootNode()
    path, target = str(origin.GetIntroPath()), str(origin.GetPathAtIntroduction())
    kind = _CLASSES[node.arcType]
    return [
        arc
        for layer in origin.parent.layerStack.layers
        for arc in local.get((layer.identifier, path, kind), ())
        if arc.target_prim == target and arc.operation != "deleted"
    ]
