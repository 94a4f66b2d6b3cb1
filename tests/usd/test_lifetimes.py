# SPDX-License-Identifier: Apache-2.0
"""A stage ends before the Python objects of its layers do: see bifrost/usd/lifetimes.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pxr import Usd

from bifrost import bifrost_host
from bifrost.testing.show import Show, layer
from bifrost.usd import stage as bifrost_stage
from bifrost.usd.lifetimes import outlived
from bifrost.usd.opening import opened

bifrost_stage.warm()


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


def test_layers_that_python_has_met_outlive_the_stages_that_we_open(
    show: Show, tmp_path: Path
) -> None:
    """
    All of a stage that we open to look at it, the root's of one that is given away.
    """
    file = tmp_path / "shot.usda"
    file.write_text(layer(sublayers=["./below.usda"]))
    (tmp_path / "below.usda").write_text(layer())
    reference = show.publish("prop.usda", layer())

    with opened(file) as stage:
        assert set(stage.GetUsedLayers()) <= set(vars(stage)["bifrost_layers"])
    given = bifrost_host.open_usd_stage(reference)
    assert (given.GetRootLayer(),) == vars(given)["bifrost_layers"]
