# SPDX-License-Identifier: Apache-2.0
"""
What is measured of arcs, variants, pins, refreshing and publishing, each in a process that `child.py`
starts.

Everything is imported before the time is taken: start-up has rows of its own.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

_WARM_CALLS: Final = 300


def read_arcs(*, how: str, root: str, files: list[str]) -> dict[str, Any]:
    """
    Open *files* through Sdf alone (`sdf`), with `extract_arcs` of each (`layers`), or as the closure
    of *root* (`closure`); `stage` extracts from an open stage and takes the time of that alone.
    """
    from pxr import Sdf, Usd

    from bifrost.host import bifrost_host as host
    from bifrost.usd import arc_walk  # noqa: F401  the closure's

    host.extract_arcs(Sdf.Layer.CreateAnonymous(".usda"))
    stage = Usd.Stage.Open(root) if how == "stage" else None
    programs: dict[str, Callable[[], tuple[list[Any], int]]] = {
        "sdf": lambda: (_kept([Sdf.Layer.FindOrOpen(file) for file in files]), 0),
        "layers": lambda: _with_arcs([Sdf.Layer.FindOrOpen(file) for file in files], host),
        "closure": lambda: ([], len(host.extract_arcs(root, closure=True))),
        "stage": lambda: ([], len(host.extract_arcs(stage))),
    }
    with _timed() as took:
        layers, arcs = programs[how]()
    opened = len(layers) or sum(1 for layer in Sdf.Layer.GetLoadedLayers() if not layer.anonymous)
    return {**took, "layers": opened, "arcs": arcs}


def ask_variants(*, how: str, reference: str, prim: str) -> dict[str, Any]:
    """
    Open *reference* without payloads (`stage`), or ask for the variants of *prim* (`variants`), once
    with nothing kept and then over and over: `warm_s` is a call's median.
    """
    host = _started()
    from pxr import Usd

    from bifrost.usd import variant_answers  # noqa: F401

    if how == "stage":
        with _timed() as took:
            stage = Usd.Stage.Open(reference, Usd.Stage.LoadNone)
        return {**took, "prims": sum(1 for _ in stage.TraverseAll())}
    with _timed() as took:
        found = host.get_usd_variants(reference, prim)
    warm = []
    for _ in range(_WARM_CALLS):
        with _timed() as again:
            repeated = host.get_usd_variants(reference, prim)
        warm.append(again["took_s"])
    if repeated != found:
        raise SystemExit(f"{reference}{prim}: kept variants are not those that were read")
    return {**took, "sets": len(found), "warm_s": sorted(warm)[_WARM_CALLS // 2]}


def find_variants(*, reference: str) -> dict[str, Any]:
    """Return the path of the first prim with variants, else of the default prim."""
    from pxr import Usd

    _started()
    stage = Usd.Stage.Open(reference)
    prims = (prim for prim in stage.TraverseAll() if prim.HasVariantSets())
    return {"prim": str(next(prims, stage.GetDefaultPrim()).GetPath())}


def pin(*, root: str, output: str, selected: bool = False) -> dict[str, Any]:
    """Pin *root* into the file *output*."""
    host = _started()
    from bifrost.usd import pinning  # noqa: F401

    with _timed() as took:
        pins = host.pin_usd(root, output, selected_variants=selected)
    return {
        **took,
        "pinned": len(pins.pinned),
        "unresolved": len(pins.unresolved),
        "bytes": sum(each.size for each in pins.pinned),
    }


def refresh(
    *, root: str, moving: int, library: str, how: str, neighbour: bool = False
) -> dict[str, Any]:
    """
    Open *root*, publish a version of *moving* leaf layers, and refresh the stage (`refresh`), or send the
    bare notice that everything may have changed (`notice`): with nothing asked or moved. With *neighbour*
    the same root is open in another context, too.
    """
    host = _started()
    from pxr import Ar, Tf, Usd

    from bifrost.context import Context
    from bifrost.usd import context

    with _timed() as opened:
        stage = Usd.Stage.Open(root)
    elsewhere = context(Context(user="another")) if neighbour else None
    other = Usd.Stage.Open(stage.GetRootLayer(), elsewhere) if neighbour else None
    _publish_leaves(host, stage, moving)
    host.refresh(Usd.Stage.CreateInMemory())  # imports
    notices: list[str] = []
    held = [
        Tf.Notice.Register(kind, lambda notice, _: notices.append(type(notice).__name__), stage)
        for kind in (Usd.Notice.ObjectsChanged, Usd.Notice.StageContentsChanged)
    ]
    held.append(
        Tf.Notice.RegisterGlobally(Ar.Notice.ResolverChanged, lambda *_: notices.append("resolver"))
    )
    before = _round_trips(host)
    gc.collect()
    with _timed() as took:
        moved = _refreshed(host, stage, library, how)
    trips = _round_trips(host) - before
    del held, other
    return {
        **took,
        "open_s": opened["took_s"],
        "open_cpu_s": opened["took_cpu_s"],
        "moved": moved,
        "round_trips": trips,
        "notices": len(notices),
        "resolver_notices": notices.count("resolver"),
        "layers": len(stage.GetUsedLayers()),
    }


def publish_layers(*, root: str, reference: str) -> dict[str, Any]:
    """Edit every layer under *root* in memory, and publish all of them with it, the root as *reference*."""
    host = _started()
    from pxr import Usd

    from bifrost.usd import layer_publishing  # noqa: F401

    stage = Usd.Stage.Open(root)
    edited = [layer for layer in stage.GetUsedLayers() if not layer.anonymous]
    for layer in edited:
        layer.comment = "edited"
    catalogue = host.session.catalogue
    before = catalogue.change_number()
    with _timed() as took:
        made = host.publish_layer(stage, reference, thumbnails=False)
    return {
        **took,
        "edited": len(edited),
        "published": len(made.published),
        "changes": catalogue.change_number() - before,
    }


def _refreshed(host: Any, stage: Any, library: str, how: str) -> int:
    if how == "refresh":
        return len(host.refresh(stage).moved)
    ctypes.CDLL(library).bifrost_bench_everything_changed()
    return 0


def _publish_leaves(host: Any, stage: Any, count: int) -> None:
    """Publish another version of some layers that need no other, spread over all of them."""
    from pxr import Sdf

    leaves = sorted(
        (str(layer.identifier), layer)
        for layer in stage.GetUsedLayers()
        if layer.identifier.startswith("bifrost:") and not layer.GetExternalAssetDependencies()
    )
    for at in range(count):
        reference, layer = leaves[(2 * at + 1) * len(leaves) // (2 * count)]
        copy = Sdf.Layer.CreateAnonymous(".usda")
        copy.TransferContent(layer)
        copy.comment = "another version"
        file = Path(host.session.settings.home) / f"another_{at}.usda"
        copy.Export(str(file))
        host.register_version(reference, file)


def _with_arcs(layers: list[Any], host: Any) -> tuple[list[Any], int]:
    return layers, sum(len(host.extract_arcs(layer)) for layer in layers)


def _kept(layers: list[Any]) -> list[Any]:
    if not all(layers):
        raise SystemExit("a layer can't be opened")
    return layers


def _started() -> Any:
    """Return the host, with the plugin loaded and the manager initialised."""
    from child import start_manager

    from bifrost.host import bifrost_host
    from bifrost.usd.stage import warm

    warm()
    start_manager()
    return bifrost_host


def _round_trips(host: Any) -> int:
    return int(host.session.stats()["manager"]["round_trips"])


@contextmanager
def _timed() -> Iterator[dict[str, float]]:
    """Yield where the block's time by the clock and its processor time are, when it is over."""
    took: dict[str, float] = {}
    start, cpu = time.perf_counter(), _cpu_s()
    yield took
    took["took_s"], took["took_cpu_s"] = time.perf_counter() - start, _cpu_s() - cpu


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


PROGRAMS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    each.__name__: each
    for each in (read_arcs, ask_variants, find_variants, pin, refresh, publish_layers)
}
