# SPDX-License-Identifier: Apache-2.0
"""What a USD file says about itself, read once at publish: the source of the USD traits."""

from __future__ import annotations

import difflib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from pxr import Gf, Sdf, Tf, Usd, UsdGeom

from bifrost.errors import Code, InvalidTraitsException
from bifrost.usd.opening import composition_problems, opened, unresolved
from bifrost.usd.variants import nested_in

MOST_PRIMS: Final = 200_000
# What a description names one by one, at most: it is stored with the version.
_MOST_NAMED: Final = 1_000
_MOST_SHOWN: Final = 100
# Letters of JSON for all variant sets: a version's properties may have a million.
_MOST_OF_VARIANTS: Final = 500_000

_PREDICATE: Final = Usd.TraverseInstanceProxies(Usd.PrimAllPrimsPredicate)
_PURPOSES: Final = (UsdGeom.Tokens.default_, UsdGeom.Tokens.render, UsdGeom.Tokens.proxy)


class FrameRange(NamedTuple):
    """
    The frames that a file has values for.

    Attributes:
        start: The first frame.
        end: The last frame; a time between two frames counts up.
        frames_per_second: How fast they are meant to be shown.
    """

    start: int
    end: int
    frames_per_second: float


def describe(path: str | os.PathLike[str], *, most_prims: int = MOST_PRIMS) -> dict[str, Any]:
    """
    Return what the stage of a file is, as JSON can say it.

    | key | is |
    |---|---|
    | `default_prim` | its path, or None where none is named or the one that is isn't there |
    | `up_axis`, `meters_per_unit` | in force, whether authored or not |
    | `start_time_code`, `end_time_code` | None where not authored |
    | `time_codes_per_second`, `frames_per_second` | in force |
    | `authored` | which of the stage's settings the file itself states |
    | `root_prims` | `path`, `type` and `kind` of each |
    | `variant_sets` | for each prim path its sets: `variants`, `selection`, those `nested` in them |
    | `schemas`, `applied_schemas` | how many prims have which |
    | `prims`, `instances`, `references`, `payloads` | how many; prims of instances count again |
    | `layers` | of how many layers the stage is made |
    | `extent` | the world's [min, max] at the first time code, None where nothing has any |
    | `unresolved` | asset paths of layers that did not open |
    | `problems` | why, and what else did not compose |
    | `truncated` | whether there was more than *most_prims*, or than can be named one by one |

    The file is read from the disk, and nothing of the process's own layers is changed. Any thread.

    Raises:
        LocationException: there is no such file.
        InvalidTraitsException: USD can't read it.
    """
    with opened(path) as stage:
        tally = _Tally(stage, most_prims)
        problems = composition_problems(stage)
        return {
            **_settings(stage),
            **tally.found(),
            "layers": len(stage.GetUsedLayers(includeClipLayers=False)),
            "extent": _extent(stage, hinted=tally.truncated),
            "unresolved": unresolved(stage)[:_MOST_NAMED],
            "problems": problems[:_MOST_SHOWN],
            "truncated": tally.truncated or len(problems) > _MOST_SHOWN,
        }


def frames(description: Mapping[str, Any]) -> FrameRange | None:
    """Return the frames of what `describe` returned; None where the file names no range."""
    start, end = description.get("start_time_code"), description.get("end_time_code")
    if start is None or end is None or end < start:
        return None
    per_second = description["frames_per_second"]
    scale = per_second / (description["time_codes_per_second"] or per_second or 1.0)
    return FrameRange(math.floor(start * scale), math.ceil(end * scale), per_second)


def check_masks(
    path: str | os.PathLike[str], masks: Mapping[str, str | Sequence[str]]
) -> dict[str, list[str]]:
    """
    Return named population masks, each the sorted paths of prims that the file's stage has.

    Raises:
        LocationException: there is no such file.
        InvalidTraitsException: USD can't read it, or a mask names what is no prim of it; the message
            lists all that do, each with the nearest prim.
    """
    if not isinstance(masks, Mapping):
        raise _bad_masks([f"expected names with prim paths, got {type(masks).__name__}"])
    if not masks:
        return {}
    with opened(path) as stage:
        wrong = [problem for name in masks for problem in _mask_problems(stage, name, masks[name])]
        if wrong:
            raise _bad_masks(wrong)
        return {name: sorted(set(_listed(masks[name]))) for name in masks}


class _Tally:
    """What one walk over a stage's prims counts."""

    def __init__(self, stage: Usd.Stage, most_prims: int) -> None:
        self._typed: Counter[str] = Counter()
        self._applied: Counter[str] = Counter()
        self._counts = dict.fromkeys(("prims", "instances", "references", "payloads"), 0)
        self._variants: dict[str, dict[str, Any]] = {}
        self._room = _MOST_OF_VARIANTS
        walk = iter(Usd.PrimRange(stage.GetPseudoRoot(), _PREDICATE))
        next(walk, None)  # the pseudo-root
        for prim in islice(walk, most_prims):
            self._add(prim)
        self._roots = [_root(prim) for prim in stage.GetPseudoRoot().GetAllChildren()]
        self.truncated = (
            next(walk, None) is not None
            or len(self._variants) >= _MOST_NAMED
            or self._room < 0
            or len(self._roots) > _MOST_NAMED
        )

    def found(self) -> dict[str, Any]:
        """Return what was counted."""
        return {
            **self._counts,
            "schemas": dict(sorted(self._typed.items())),
            "applied_schemas": dict(sorted(self._applied.items())),
            "variant_sets": self._variants,
            "root_prims": self._roots[:_MOST_NAMED],
        }

    def _add(self, prim: Usd.Prim) -> None:
        self._counts["prims"] += 1
        self._counts["instances"] += prim.IsInstance()
        self._counts["references"] += prim.HasAuthoredReferences()
        self._counts["payloads"] += prim.HasAuthoredPayloads()
        if type_name := prim.GetTypeName():
            self._typed[str(type_name)] += 1
        self._applied.update(prim.GetAppliedSchemas())
        if not prim.IsInstanceProxy() and prim.HasVariantSets():
            self._add_variants(prim)

    def _add_variants(self, prim: Usd.Prim) -> None:
        if len(self._variants) >= _MOST_NAMED or self._room < 0:
            return
        sets, specs = prim.GetVariantSets(), prim.GetPrimStack()
        described = {}
        for name in sets.GetNames():
            nested = nested_in(specs, name)
            described[name] = {
                "variants": list(sets.GetVariantSet(name).GetVariantNames()),
                "selection": sets.GetVariantSelection(name),
                **({"nested": nested} if nested else {}),
            }
        self._room -= len(json.dumps(described))
        if self._room >= 0:
            self._variants[str(prim.GetPath())] = described


def _root(prim: Usd.Prim) -> dict[str, str]:
    return {
        "path": str(prim.GetPath()),
        "type": str(prim.GetTypeName()),
        "kind": str(Usd.ModelAPI(prim).GetKind()),
    }


def _settings(stage: Usd.Stage) -> dict[str, Any]:
    default = stage.GetDefaultPrim()
    timed = stage.HasAuthoredTimeCodeRange()
    return {
        "default_prim": str(default.GetPath()) if default else None,
        "up_axis": str(UsdGeom.GetStageUpAxis(stage)),
        "meters_per_unit": _finite(UsdGeom.GetStageMetersPerUnit(stage)),
        "start_time_code": _finite(stage.GetStartTimeCode()) if timed else None,
        "end_time_code": _finite(stage.GetEndTimeCode()) if timed else None,
        "time_codes_per_second": _finite(stage.GetTimeCodesPerSecond()),
        "frames_per_second": _finite(stage.GetFramesPerSecond()),
        "authored": [name for key, name in _STATED.items() if stage.HasAuthoredMetadata(key)],
    }


_STATED: Final = {
    "defaultPrim": "default_prim",
    "upAxis": "up_axis",
    "metersPerUnit": "meters_per_unit",
    "startTimeCode": "start_time_code",
    "endTimeCode": "end_time_code",
    "timeCodesPerSecond": "time_codes_per_second",
    "framesPerSecond": "frames_per_second",
}


def start_time(stage: Usd.Stage) -> Usd.TimeCode:
    """Return the time at which a stage is looked at: its first time code."""
    if stage.HasAuthoredTimeCodeRange() and math.isfinite(stage.GetStartTimeCode()):
        return Usd.TimeCode(stage.GetStartTimeCode())
    return Usd.TimeCode.EarliestTime()


def world_bounds(stage: Usd.Stage, *, hinted: bool = False) -> Gf.Range3d | None:
    """
    Return the box round a stage's geometry of every purpose but guides; None where there is none.

    Args:
        stage: The stage.
        hinted: Whether to believe models' `extentsHint`, which saves reading their geometry.
    """
    cache = UsdGeom.BBoxCache(start_time(stage), list(_PURPOSES), useExtentsHint=hinted)
    try:
        box = cache.ComputeWorldBound(stage.GetPseudoRoot()).ComputeAlignedRange()
    except Tf.ErrorException:
        return None
    ends = (*box.GetMin(), *box.GetMax())
    return None if box.IsEmpty() or not all(map(math.isfinite, ends)) else box


def _extent(stage: Usd.Stage, *, hinted: bool) -> list[list[float]] | None:
    box = world_bounds(stage, hinted=hinted)
    return None if box is None else [list(box.GetMin()), list(box.GetMax())]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _listed(paths: Any) -> list[Any]:
    return [paths] if isinstance(paths, str) else list(paths)


def _mask_problems(stage: Usd.Stage, name: object, paths: object) -> Iterator[str]:
    if not isinstance(name, str) or not name:
        yield f"{name!r}: a mask needs a name"
    if not isinstance(paths, str | Sequence) or not paths:
        yield f"mask {name!r}: expected prim paths, got {_cut(paths)}"
        return
    for each in _listed(paths):
        if problem := _path_problem(stage, each):
            yield f"mask {name!r}: {problem}"


def _path_problem(stage: Usd.Stage, path: object) -> str:
    if not isinstance(path, str) or not Sdf.Path.IsValidPathString(path)[0]:
        return f"{_cut(path)} is no prim path"
    parsed = Sdf.Path(path)
    if not (parsed.IsAbsolutePath() and parsed.IsAbsoluteRootOrPrimPath()):
        return f"{_cut(path)} is no absolute path of a prim, such as /World/Hero"
    if stage.GetPrimAtPath(parsed):
        return ""
    walk = iter(Usd.PrimRange(stage.GetPseudoRoot(), _PREDICATE))
    known = [str(prim.GetPath()) for prim in islice(walk, 10_000)]
    near = difflib.get_close_matches(path, known, 1)
    return f"the stage has no prim {_cut(path)}" + (f"; did you mean {near[0]}?" if near else "")


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"


def _bad_masks(problems: Sequence[str]) -> InvalidTraitsException:
    shown = "; ".join(problems[:20]) + ("; …" if len(problems) > 20 else "")
    return InvalidTraitsException(f"population masks: {shown}", code=Code.INVALID_TRAITS)
