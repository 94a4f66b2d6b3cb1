# SPDX-License-Identifier: Apache-2.0
"""The geometry of a stage at one time as plain numbers: what there is to draw, and where."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from pxr import Gf, Tf, Usd, UsdGeom

from bifrost.usd.colours import Colours, Painted
from bifrost.usd.description import start_time
from bifrost.usd.surfaces import Surface, box, surface_of

# A picture of more than this many would be no better, and take longer than anybody waits.
MOST_SHAPES: Final = 5_000
_MOST_PRIMS: Final = 100_000
_MOST_INSTANCES: Final = 2_000
_MOST_NESTED: Final = 4

_PREDICATE: Final = Usd.TraverseInstanceProxies(Usd.PrimDefaultPredicate)
_TOKENS: Final = UsdGeom.Tokens
_SHOWN: Final = frozenset((_TOKENS.default_, _TOKENS.render))
_STAND_INS: Final = frozenset((_TOKENS.proxy,))


@dataclass(frozen=True, slots=True)
class Shape:
    """
    A surface in the world.

    Attributes:
        surface: Its points and faces.
        to_world: Where it is.
        painted: Its colours.
    """

    surface: Surface
    to_world: Gf.Matrix4d
    painted: Painted = Painted()  # noqa: RUF009  a tuple


def shapes(stage: Usd.Stage) -> list[Shape]:
    """
    Return what a camera would see at the stage's first time, in the order of its prims.

    The default prim's, if it has anything to see, else the whole stage's; `default` and `render`
    geometry, and `proxy` where there is nothing else. What is malformed is left out. Of enormous
    stages the first `MOST_SHAPES`, of point instancers an even choice.
    """
    for purposes in (_SHOWN, _STAND_INS):
        for root in filter(None, (stage.GetDefaultPrim(), stage.GetPseudoRoot())):
            found = list(islice(_Collector(stage, purposes).below(root), MOST_SHAPES))
            if found:
                return found
    return []


class _Collector:
    """One walk over one stage."""

    def __init__(self, stage: Usd.Stage, purposes: frozenset[str]) -> None:
        self._time = start_time(stage)
        self._purposes = purposes
        self._transforms = UsdGeom.XformCache(self._time)
        self._surfaces: dict[str, Surface | None] = {}
        self._colours = Colours(self._time)

    def below(self, root: Usd.Prim, depth: int = 0) -> Iterator[Shape]:
        """Yield the shapes of *root* and everything under it, in the world."""
        walk = iter(Usd.PrimRange(root, _PREDICATE))
        for prim in islice(walk, _MOST_PRIMS):
            if self._is_invisible(prim):
                walk.PruneChildren()
            elif prim.IsA(UsdGeom.PointInstancer):
                walk.PruneChildren()
                yield from self._instances(UsdGeom.PointInstancer(prim), depth)
            elif prim.IsA(UsdGeom.Gprim) and self._purpose(prim) in self._purposes:
                yield from self._shape(prim)

    def _is_invisible(self, prim: Usd.Prim) -> bool:
        imageable = UsdGeom.Imageable(prim)
        if not imageable:
            return False
        return bool(imageable.GetVisibilityAttr().Get(self._time) == _TOKENS.invisible)

    def _purpose(self, prim: Usd.Prim) -> str:
        return str(UsdGeom.Imageable(prim).ComputePurpose())

    def _shape(self, prim: Usd.Prim) -> Iterator[Shape]:
        # Instances of one prototype have one surface.
        own = prim.GetPrimInPrototype() if prim.IsInstanceProxy() else prim
        key = str(own.GetPath())
        if key not in self._surfaces:
            self._surfaces[key] = surface_of(prim, self._time)
        surface = self._surfaces[key]
        to_world = self._transforms.GetLocalToWorldTransform(prim)
        if surface is not None and math.isfinite(to_world.GetDeterminant()):
            yield Shape(surface, to_world, self._colours.of(prim, len(surface.counts)))

    def _instances(self, instancer: UsdGeom.PointInstancer, depth: int) -> Iterator[Shape]:
        prim = instancer.GetPrim()
        if depth >= _MOST_NESTED or self._purpose(prim) not in self._purposes:
            return
        placed = _placements(instancer, self._time)
        to_world = self._transforms.GetLocalToWorldTransform(prim)
        stage, cached = prim.GetStage(), dict[int, list[Shape]]()
        targets = instancer.GetPrototypesRel().GetForwardedTargets()
        for index, placement in placed:
            if index not in cached:
                root = stage.GetPrimAtPath(targets[index]) if 0 <= index < len(targets) else None
                cached[index] = list(self._prototype(root, depth)) if root else []
            for shape in cached[index]:
                moved = shape.to_world * placement * to_world
                yield Shape(shape.surface, moved, shape.painted)

    def _prototype(self, root: Usd.Prim, depth: int) -> Iterator[Shape]:
        away = self._transforms.GetLocalToWorldTransform(root).GetInverse()
        for shape in islice(self.below(root, depth + 1), MOST_SHAPES):
            yield Shape(shape.surface, shape.to_world * away, shape.painted)


def _placements(
    instancer: UsdGeom.PointInstancer, time: Usd.TimeCode
) -> list[tuple[int, Gf.Matrix4d]]:
    try:
        indices = instancer.GetProtoIndicesAttr().Get(time) or ()
        matrices = instancer.ComputeInstanceTransformsAtTime(time, time)
        mask = instancer.ComputeMaskAtTime(time) or [True] * len(indices)
    except Tf.ErrorException:
        return []
    count = min(len(indices), len(mask))
    seen = [number for number in range(count) if mask[number]]
    if len(matrices) != len(seen) and len(matrices) != count:
        return []
    masked = len(matrices) == len(seen)
    step = -(-len(seen) // _MOST_INSTANCES) or 1
    return [
        (indices[number], matrices[order if masked else number])
        for order, number in list(enumerate(seen))[::step]
    ]


def boxed(shape: Shape) -> Shape:
    """Return the box round a shape, turned as the shape is."""
    points = shape.surface.points
    axes = [points[axis::3] for axis in range(3)]
    around = box([min(axis) for axis in axes], [max(axis) for axis in axes])
    return Shape(around, shape.to_world, shape.painted)
