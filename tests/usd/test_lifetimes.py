# SPDX-License-Identifier: Apache-2.0
"""A stage ends before the Python objects of its layers do: see bifrost/usd/lifetimes.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pxr import Usd

from bifrost.testing.show import Show, layer
from bifrost.usd.lifetimes import outlived
from bifrost.usd.opening import opened

GIVEN = """
import sys
from bifrost import bifrost_host
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
given = bifrost_host.open_usd_stage(sys.argv[1])
assert (given.GetRootLayer(),) == vars(given)["bifrost_layers"], vars(given)
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
