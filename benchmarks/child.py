# SPDX-License-Identifier: Apache-2.0
"""
What is measured, each in a process of its own: `python child.py PROGRAM`, arguments as JSON on stdin.

A program's last line on stdout is a JSON object. Keys that end in `_s` are seconds by the wall
clock; `unmeasured_s` is what the parent takes from the whole process's time: counting and checking.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

_now = time.perf_counter


def open_stage(*, root: str, side: str, manager: bool = False) -> dict[str, Any]:
    """Open *root* once and read its asset-valued attributes."""
    began = _now()
    from pxr import Ar, Sdf, Usd  # noqa: F401  both sides import the same

    imported = _now()
    _start(side)
    warmed = _now()
    if manager:
        start_manager()
    started, cpu = _now(), _cpu_s()
    stage = Usd.Stage.Open(root)
    opened, open_cpu = _now(), _cpu_s()
    after_open = _counters(side)

    found = _asset_attributes(stage)
    looking = _now()
    values = [attribute.Get() for attribute in found]
    read = _now()
    after_read = _counters(side)
    result = {
        "import_s": imported - began,
        "start_s": warmed - imported,
        "manager_s": started - warmed,
        "open_s": opened - started,
        "open_cpu_s": open_cpu - cpu,
        "attributes_s": read - looking,
        "layers": sum(1 for layer in stage.GetUsedLayers() if not layer.anonymous),
        "attributes": len(found),
        "resolved_attributes": sum(_resolved(value) for value in values),
        "after_open": after_open,
        "after_attributes": after_read,
        "openassetio_imported": "openassetio" in sys.modules,
        "bifrost_imported": "bifrost" in sys.modules,
    }
    del values, found
    result["unmeasured_s"] = _now() - opened
    return result


def open_often(*, root: str, side: str, times: int) -> dict[str, Any]:
    """Open and close *root* so often; what the table weighs each time, open and closed."""
    from pxr import Usd

    _start(side)
    opened, closed, resident = [], [], []
    for _ in range(times):
        stage = Usd.Stage.Open(root)
        opened.append(_counters(side))
        resident.append(_resident_bytes())
        del stage
        closed.append(_counters(side))
    return {"opened": opened, "closed": closed, "resident_bytes": resident}


def resolve_loop(
    *, root: str, side: str, references: list[str], library: str, each: int, rounds: int
) -> dict[str, Any]:
    """Resolve *references* in C++ on one thread and on two, in turns, while the stage is open."""
    from pxr import Usd

    _start(side)
    stage = Usd.Stage.Open(root)
    loop = ctypes.CDLL(library).bifrost_bench_resolve
    loop.restype = ctypes.c_double
    names = (ctypes.c_char_p * len(references))(*(text.encode() for text in references))
    seconds: dict[str, list[float]] = {"1": [], "2": []}
    cpu_seconds: dict[str, list[float]] = {"1": [], "2": []}
    cpu = ctypes.c_double()
    for _ in range(rounds + 1):
        for threads in (1, 2):
            count = ctypes.c_longlong(each)
            took = loop(root.encode(), names, len(references), threads, count, ctypes.byref(cpu))
            if took < 0:
                raise SystemExit(f"{side}: a reference did not resolve")
            seconds[str(threads)].append(took / each / threads)
            cpu_seconds[str(threads)].append(cpu.value / each / threads)
    del stage
    # The first round fills the table and the processor's caches.
    return {
        "per_resolve_s": {threads: every[1:] for threads, every in seconds.items()},
        "per_resolve_cpu_s": {threads: every[1:] for threads, every in cpu_seconds.items()},
    }


def _start(side: str) -> None:
    """Do what an application does once, before it opens anything."""
    if side == "bifrost":
        from bifrost.usd.stage import warm

        warm()
    elif side == "each_call":
        import each_call
        from pxr import Ar

        each_call.start()
        Ar.GetResolver().CreateIdentifier("bifrost:///assets/")  # loads the plugin
        Ar.GetResolver().CreateIdentifier("bal:///")
    elif side == "pins":
        from pxr import Plug

        # Loads the library and no more: the file of pins is read by the open.
        Plug.Registry().GetPluginWithName("bifrost").Load()
    else:
        from pxr import Ar

        Ar.GetResolver().Resolve("bifrost-bench-empty:///x" if side == "empty" else "/nowhere")


def start_manager() -> None:
    """Import and initialise what only a cache miss needs."""
    from bifrost.session import current

    session = current()
    session.assetio_manager().manager()
    if session.uses_own_catalogue:
        assert session.catalogue  # opens it


def _counters(side: str) -> dict[str, Any]:
    if side == "each_call":
        import each_call

        return {"calls": each_call.calls()}
    if side != "bifrost":
        return {}
    from bifrost.usd.stage import resolver_stats

    counters = dict(resolver_stats())
    counters["round_trips"] = _round_trips()
    return counters


def _round_trips() -> int:
    from bifrost.session import current

    return int(current().stats()["manager"]["round_trips"])


def _asset_attributes(stage: Any) -> list[Any]:
    from pxr import Sdf, Usd

    wanted = (Sdf.ValueTypeNames.Asset, Sdf.ValueTypeNames.AssetArray)
    trees = [stage.TraverseAll()]
    trees += [Usd.PrimRange.AllPrims(prototype) for prototype in stage.GetPrototypes()]
    return [
        attribute
        for tree in trees
        for prim in tree
        for attribute in prim.GetAttributes()
        if attribute.GetTypeName() in wanted
    ]


def _resolved(value: Any) -> int:
    paths = [value] if hasattr(value, "resolvedPath") else value or []
    return sum(1 for path in paths if path.resolvedPath)


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _program(name: str) -> Callable[..., Any]:
    for function in (open_stage, open_often, resolve_loop):
        if name == function.__name__:
            return function
    import entries_child  # what opens stages is timed without them
    import pipeline_child
    import usd_child

    programs = {**entries_child.PROGRAMS, **pipeline_child.PROGRAMS, **usd_child.PROGRAMS}
    return programs[name]


if __name__ == "__main__":
    # Who talks to the process that started it through its stdin has the arguments on the command line.
    _arguments = json.loads(sys.argv[2] if len(sys.argv) > 2 else sys.stdin.read())
    print(json.dumps(_program(sys.argv[1])(**_arguments)), flush=True)
