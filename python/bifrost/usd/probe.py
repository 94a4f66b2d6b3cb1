# SPDX-License-Identifier: Apache-2.0
"""
What OpenUSD makes of this environment, found out in a process of its own and told as JSON.

`python -m bifrost.usd.probe plugin` loads the plugin; `… open REFERENCE` opens a stage and takes
the time. A plugin that crashes its process can't take `bifrost doctor` with it, and a time is that
of a process that has done nothing else.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from pxr import Ar, Plug, Sdf, Tf, Usd

from bifrost.usd import library

_REFERENCE: Final = "bifrost:///assets/bifrost.probe"


def plugin() -> dict[str, Any]:
    """
    Return whether the plugin is registered and loads, and which resolvers there are.

    `trouble` is "" or what OpenUSD said.
    """
    registered = Plug.Registry().GetPluginWithName("bifrost")
    trouble = "" if registered else "OpenUSD knows no plugin named bifrost"
    if registered:
        try:
            registered.Load()
            # Our resolver is made now, and hands the reference back untouched.
            identifier = Ar.GetResolver().CreateIdentifier(_REFERENCE)
            trouble = library.trouble()
            if not trouble and identifier != _REFERENCE:
                trouble = "the reference went to another resolver"
        except Tf.ErrorException as error:
            trouble = library.trouble() or str(error).strip()
    return {
        # Without the leading 0: as the distribution counts.
        "usd_version": ".".join(map(str, Usd.GetVersion()[1:])),
        "path": registered.path if registered else "",
        "trouble": trouble,
        "resolvers": list(_resolvers()),
    }


def opened(reference: str, *, through_plugin: bool) -> dict[str, Any]:
    """
    Open a stage and return its prims, what resolved to what, and how long each step took.

    Args:
        reference: A file path, or an entity reference.
        through_plugin: Whether to warm the plugin first and to ask it what it resolved.
    """
    started = time.perf_counter()
    if through_plugin:
        from bifrost.usd import stage as bifrost_stage

        bifrost_stage.warm()
    else:
        Ar.GetResolver().Resolve("warm.usda")
    # OpenUSD reads its schemas for the first stage, whatever it is: a share of neither.
    Usd.Stage.CreateInMemory()
    warmed = time.perf_counter()
    stage = Usd.Stage.Open(reference)
    done = time.perf_counter()
    report: dict[str, Any] = {
        "warm_ms": (warmed - started) * 1e3,
        "open_ms": (done - warmed) * 1e3,
        "layers": len(stage.GetUsedLayers()),
        "prims": [*_prims(stage)],
        "files": dict(_files(stage)),
    }
    if through_plugin:
        report["resolutions"] = bifrost_stage.resolutions(stage)
        report["stats"] = bifrost_stage.resolver_stats()
    return report


def _resolvers() -> Iterator[dict[str, Any]]:
    for kind in Plug.Registry.GetAllDerivedTypes("ArResolver"):
        provider = Plug.Registry().GetPluginForType(kind)
        if provider and provider.name != "ar":
            described = provider.metadata.get("Types", {}).get(kind.typeName, {})
            yield {
                "type": kind.typeName,
                "plugin": provider.name,
                "path": provider.path,
                "schemes": list(described.get("uriSchemes", [])),
            }


def _all(stage: Usd.Stage) -> Usd.PrimRange:
    """Return every prim, those in instances where the instance is."""
    return Usd.PrimRange.Stage(stage, Usd.TraverseInstanceProxies(Usd.PrimAllPrimsPredicate))


def _prims(stage: Usd.Stage) -> Iterator[dict[str, Any]]:
    for prim in _all(stage):
        yield {
            "path": str(prim.GetPath()),
            "type": str(prim.GetTypeName()),
            "arcs": [*dict.fromkeys(_arcs(prim))],
        }


def _files(stage: Usd.Stage) -> Iterator[tuple[str, bool]]:
    """Yield the asset-valued attributes that hold a path, and whether it resolves."""
    for prim in _all(stage):
        for attribute in prim.GetAttributes():
            value = attribute.Get() if attribute.GetTypeName() == Sdf.ValueTypeNames.Asset else None
            if value and value.path:
                yield str(attribute.GetPath()), bool(value.resolvedPath)


def _arcs(prim: Usd.Prim) -> Iterator[str]:
    for spec in prim.GetPrimStack():
        for arcs in (spec.referenceList, spec.payloadList):
            yield from (arc.assetPath for arc in arcs.GetAppliedItems() if arc.assetPath)


_QUESTIONS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "plugin": plugin,
    "open": lambda reference: opened(reference, through_plugin=True),
    "open-plain": lambda path: opened(path, through_plugin=False),
}


def main(arguments: list[str]) -> None:
    """Answer the question that *arguments* ask, as one JSON object on stdout."""
    print(json.dumps(_QUESTIONS[arguments[0]](*arguments[1:])))  # noqa: T201 - the answer


if __name__ == "__main__":
    main(sys.argv[1:])
