# SPDX-License-Identifier: Apache-2.0
"""
Every way into the resolver, from eight threads at once, against a manager that sleeps.

A hang inside OpenUSD can't be caught from inside the process, so each run is a process with a hard
limit. The manager is BAL with its simulated latency; nothing is cached, so that every miss sleeps.

The runs drop no stage and no layer. OpenUSD keeps the GIL states of Python's ownership callbacks in
one stack for all threads (`_pyLocks` in pxr/base/tf/pyIdentity.cpp); where dropping an object inside
one lets the GIL go, as `~UsdStage` does, threads take each other's states and the process crashes.
With plain paths and no plugin: 22 of 500 runs of these operations under a debug build of Python.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bifrost.testing import bal
from bifrost.testing.show import layer
from bifrost.usd import env

RUNS = 50
THREADS = 8
HARD_LIMIT_S = 60.0
LAYERS = 24

SOURCE = """
import os, random, sys, threading
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Ar, Sdf, Tf, Usd, UsdUtils
root, seed, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
resolver = Ar.GetResolver()
names = ["bal:///leaf%d.usda" % i for i in range({layers})]
# Stages and layers stay alive until every thread has ended: see the module's docstring.
kept = []

def keep(stage_or_layer):
    kept.append(stage_or_layer)
    return stage_or_layer

def open_stage(rng):
    stage = keep(Usd.Stage.Open(root))
    assert stage.GetPrimAtPath("/p3").GetAttribute("v").Get() == "3"

def open_by_reference(rng):
    stage = keep(Usd.Stage.Open("bal:///top.usda"))
    assert stage.GetPrimAtPath("/p3").GetAttribute("v").Get() == "3"

def find_or_open(rng):
    assert keep(Sdf.Layer.FindOrOpen(rng.choice(names)))

def resolve(rng):
    assert resolver.Resolve(rng.choice(names))

def asset_attribute(rng):
    stage = keep(Usd.Stage.CreateInMemory())
    attribute = stage.DefinePrim("/x").CreateAttribute("file", Sdf.ValueTypeNames.Asset)
    attribute.Set(Sdf.AssetPath(rng.choice(names)))
    assert attribute.Get().resolvedPath

def bind_context(rng):
    context = resolver.CreateContextFromString("bal", "user=u%d" % rng.randrange(5))
    with Ar.ResolverContextBinder(context):
        assert resolver.Resolve(rng.choice(names))

def switch_variant(rng):
    stage = keep(Usd.Stage.CreateInMemory())
    prim = stage.DefinePrim("/x")
    variants = prim.GetVariantSets().AddVariantSet("which")
    for index in range(3):
        variants.AddVariant(str(index))
        variants.SetVariantSelection(str(index))
        with variants.GetVariantEditContext():
            prim.GetReferences().AddReference(rng.choice(names))
    for index in range(3):
        variants.SetVariantSelection(str(index))
        assert prim.GetAttribute("v").Get() is not None

def all_dependencies(rng):
    layers, assets, unresolved = UsdUtils.ComputeAllDependencies(root)
    keep(layers)
    assert len(layers) > 3

def create_new(rng):
    try:
        keep(Sdf.Layer.CreateNew("bal:///new%d.usda" % rng.randrange(1000000)))
    except Tf.ErrorException:
        pass

def update_asset_info(rng):
    layer = keep(Sdf.Layer.FindOrOpen(rng.choice(names)))
    assert layer
    layer.UpdateAssetInfo()

def unresolved(rng):
    name = "bal:///nothing%d.usda" % rng.randrange(3)
    for _ in range(3):
        assert not resolver.Resolve(name)
        try:
            keep(Sdf.Layer.FindOrOpen(name))
        except Tf.ErrorException:
            pass

work = [open_stage, open_by_reference, find_or_open, resolve, asset_attribute, bind_context,
        switch_variant, all_dependencies, create_new, update_asset_info, unresolved]
failures = []

def run(index):
    rng = random.Random(seed * 100 + index)
    # Half of the runs: every thread does the same, for what only meets itself. The rest: everything.
    own = [work[seed % len(work)]] * 4 if seed % 2 else rng.sample(work, len(work))
    for step in own:
        try:
            step(rng)
        except BaseException as error:
            failures.append("%s: %r" % (step.__name__, error))

running = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(threads)]
for thread in running: thread.start()
for thread in running: thread.join()
print("\\n".join(failures) or "ok")
"""


@pytest.fixture
def sleeping_manager(own_home: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a process that resolves `bal:` through a BAL that sleeps 10 ms a call."""
    files = tmp_path / "files"
    files.mkdir()
    leaves = [f"bal:///leaf{i}.usda" for i in range(LAYERS)]
    texts = {f"leaf{i}.usda": layer(value=str(i)) for i in range(LAYERS)}
    texts["top.usda"] = layer(references=tuple(leaves))
    for name, text in texts.items():
        (files / name).write_text(text)
    (tmp_path / "root.usda").write_text(layer(references=tuple(leaves)))
    folder = env.description(["bal"], output=tmp_path / "plug")
    return {
        "PXR_PLUGINPATH_NAME": str(folder),
        **bal.install(tmp_path, {name: files / name for name in texts}, latency_ms=10),
        "BIFROST_CACHE__MEMORY_BYTES": "0",
        "BIFROST_CACHE__DISK_BYTES": "0",
    }


@pytest.mark.parametrize("seed", range(RUNS))
def test_no_way_into_the_resolver_hangs(
    seed: int, sleeping_manager: dict[str, str], run_python: Callable[..., object], tmp_path: Path
) -> None:
    """
    Eight threads, everything at once or all the same: every operation ends, with the right answer.
    """
    source = SOURCE.replace("{layers}", str(LAYERS))

    completed = run_python(
        source, tmp_path / "root.usda", seed, THREADS, limit_s=HARD_LIMIT_S, env=sleeping_manager
    )

    assert "ok\n" == completed.stdout
