# SPDX-License-Identifier: Apache-2.0
"""A stage ends before the Python objects of its layers do: see bifrost/usd/lifetimes.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pxr import Usd

from bifrost.testing.show import Show, layer
from bifrost.usd.lifetimes import outlived, used_layers
from bifrost.usd.opening import opened

GIVEN = """
import sys
from bifrost import bifrost_host
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
given = bifrost_host.open_usd_stage(sys.argv[1])
assert (given.GetRootLayer(),) == vars(given)["bifrost_layers"], vars(given)
"""

LOOKED_AT = """
import gc, sys
from pxr import Sdf
from bifrost.usd.opening import opened

def living():
    gc.collect()
    return sum(isinstance(each, Sdf.Layer) for each in gc.get_objects())

def look():
    with opened(sys.argv[1]) as stage:
        assert 4 == len(stage.GetUsedLayers())
        below = {spec.layer for prim in stage.Traverse() for spec in prim.GetPrimStack()}
        assert below < set(stage.GetUsedLayers())

look()
before = living()
for _ in range(20):
    look()
print(living() - before)
"""


class Witness:
    """Notes at its end whether a prim's stage was still there."""

    def __init__(self, prim: Usd.Prim, seen: list[bool]) -> None:
        self._prim = prim
        self._seen = seen

    def __del__(self) -> None:
        self._seen.append(self._prim.IsValid())


def test_what_outlives_a_stage_ends_behind_it() -> None:
    """
    It rests on the order in which a Python object lets go of its attributes.
    """
    seen: list[bool] = []
    stage = Usd.Stage.CreateInMemory()
    witness: Any = Witness(stage.GetPseudoRoot(), seen)
    outlived(stage, stage.GetRootLayer(), witness)
    del witness

    del stage

    assert [False] == seen


def test_all_layers_outlive_a_stage_that_is_opened_to_be_looked_at(tmp_path: Path) -> None:
    """
    Asking for them gives each a Python object, which the stage then keeps.
    """
    file = tmp_path / "shot.usda"
    file.write_text(layer(sublayers=("./below.usda",)))
    (tmp_path / "below.usda").write_text(layer())

    with opened(file) as stage:
        assert set(stage.GetUsedLayers()) <= set(vars(stage)["bifrost_layers"])


def test_the_root_layer_outlives_a_stage_that_is_given_away(show: Show, run_python) -> None:
    """
    Python has met no other: they stay open no longer than the stage has them.
    """
    run_python(GIVEN, show.publish("prop.usda", layer()))


def test_a_look_leaves_no_python_object_of_a_layer_behind(show: Show, run_python) -> None:
    """
    OpenUSD keeps what Python met and never owned: who publishes shots all day had thousands more each time.
    """
    below = [show.publish(f"{name}.usda", layer()) for name in ("first", "second")]
    shot = show.root("shot.usda", *below)

    done = run_python(LOOKED_AT, shot)

    assert "0" == done.stdout.split()[-1]


def test_layers_are_returned_though_their_file_is_gone(tmp_path: Path) -> None:
    """
    The file of a layer that is open may be gone meanwhile, and another one in its place.
    """
    file = tmp_path / "shot.usda"
    file.write_text(layer())
    stage = Usd.Stage.Open(str(file))
    file.unlink()

    assert set(stage.GetUsedLayers()) == set(used_layers(stage))
