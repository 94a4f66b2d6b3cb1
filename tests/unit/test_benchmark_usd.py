# SPDX-License-Identifier: Apache-2.0
"""What the benchmark measures of USD is what it says, on a shot of a few layers."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
LAYERS = 60  # fewer are all in instances


@pytest.fixture
def own(monkeypatch, tmp_path):
    """A generated shot with references into a catalogue of its own."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import rewritten
    import shot

    made = shot.generate(tmp_path / "shot", LAYERS)
    yield rewritten.own_catalogue(Path(made.directory), made.root.name, tmp_path / "own")
    for name in ("measure", "rewritten", "shot", "layer_text"):
        sys.modules.pop(name, None)


@pytest.fixture
def run(own):
    """Run a program of `usd_child.py` in a process of its own."""

    def run(program: str, **arguments: Any) -> dict[str, Any]:
        import measure

        sample: dict[str, Any] = measure.run(
            program, measure.Side(program, arguments, own.environment)
        )
        return sample

    return run


def test_every_way_to_read_arcs_reads_the_same(own, run) -> None:
    """
    Layer by layer, as a closure and of the stage: all arcs of all layers.
    """
    files = [str(file) for file in sorted(own.root.parent.rglob("*.usd*"))]

    read = {
        how: run("read_arcs", how=how, root=str(own.root), files=files)
        for how in ("sdf", "layers", "closure", "stage")
    }

    assert LAYERS == read["sdf"]["layers"] == read["layers"]["layers"]
    assert 0 < read["layers"]["arcs"] == read["closure"]["arcs"] == read["stage"]["arcs"]


def test_variants_are_of_a_prim_that_has_some(own, run) -> None:
    """
    The prim that is asked about is found in the shot.
    """
    reference = own.reference_of_root
    prim = run("find_variants", reference=reference)["prim"]

    assert run("ask_variants", how="variants", reference=reference, prim=prim)["sets"] > 0
    assert run("ask_variants", how="stage", reference=reference, prim=prim)["prims"] > 0


def test_pins_hold_everything_and_open_without_python(own, run, tmp_path: Path) -> None:
    """
    Layers and textures of the shot are pinned, and Bifrost's Python is not imported by an open.
    """
    import measure

    file = tmp_path / "shot.pins.json"
    pinned = run("pin", root=str(own.root), output=str(file))
    assert (True, 0) == (pinned["pinned"] > LAYERS, pinned["unresolved"])
    opening = measure.Side(
        "pins",
        {"root": str(own.root), "side": "pins"},
        {**own.environment, "BIFROST_PINS": str(file)},
    )

    opened = measure.run("open_stage", opening)

    assert (LAYERS, False) == (opened["layers"], opened["bifrost_imported"])


def test_publishing_restores_the_shot_for_the_next_turn(own, run) -> None:
    """
    All layers are published as one version each, and `restore` takes that back.
    """
    own.keep()
    first = run("publish_layers", root=str(own.root), reference=own.reference_of_root)
    own.restore()
    second = run("publish_layers", root=str(own.root), reference=own.reference_of_root)

    assert (LAYERS, LAYERS) == (first["published"], second["published"])


def test_one_call_each_opens_the_same_layers_by_a_call_for_each(own, run, tmp_path: Path) -> None:
    """
    As many calls of the manager as layers are named by references, and none of Bifrost's resolver.
    """
    import measure
    import native

    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("it takes a C++ compiler")
    plugin = native.plugin(
        tmp_path / "plugin", "each_call", "BifrostBenchEachCallResolver", "bifrost", "bal"
    )
    environment = {**own.environment, "PXR_PLUGINPATH_NAME": str(plugin)}
    arguments = {"root": str(own.root), "side": "each_call"}

    opened = measure.run("open_stage", measure.Side("one call each", arguments, environment))

    assert (LAYERS, LAYERS - 1) == (opened["layers"], opened["after_open"]["calls"])
    assert opened["attributes"] <= opened["resolved_attributes"]


def test_caches_elsewhere_are_over_the_same_catalogue(own, run) -> None:
    """
    A process of that home opens everything, and leaves the other home's cache cold.
    """
    import measure

    other = own.elsewhere("other")
    arguments = {"root": str(own.root), "side": "bifrost"}
    opened = measure.run("open_stage", measure.Side("other", arguments, other.environment))

    assert LAYERS == opened["layers"]
    assert (True, False) == ((other.home / "cache").is_dir(), (own.home / "cache").is_dir())
