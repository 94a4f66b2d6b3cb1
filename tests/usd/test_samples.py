# SPDX-License-Identifier: Apache-2.0
"""Each folder of `usd_samples` shows what its README says, opened in a process as an application would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from pxr import Sdf, Usd, UsdGeom

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
CHAIR = "bifrost:///assets/versions_and_statuses.chair.usda"
PRIMS = """
import json, sys
from pxr import Usd
stage = Usd.Stage.Open(sys.argv[1])
json.dump([str(prim.GetPath()) for prim in stage.Traverse()], sys.stdout)
"""
CHAIR_SHOWN = """
import sys
from pxr import Usd
stage = Usd.Stage.Open(sys.argv[1])
print(stage.GetPrimAtPath("/Room/Chair").GetPrimStack()[-1].layer.comment)
"""
INGEST = "import sys; from bifrost.cli.main import run; sys.exit(run(['ingest', *sys.argv[1:]]))"

Run = Callable[..., subprocess.CompletedProcess[str]]


def opened(name: str) -> Usd.Stage:
    return Usd.Stage.Open(str(SAMPLES / name))


def prims(run_python: Run, root: str | Path, env: Mapping[str, str] | None = None) -> list[str]:
    return json.loads(run_python(PRIMS, root, env=env).stdout)


def test_every_folder_is_in_the_readme() -> None:
    text = (SAMPLES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)/` \|.*\| (.*) \|$", text, re.MULTILINE)

    assert sorted(path.name for path in SAMPLES.iterdir() if path.is_dir()) == sorted(
        folder for folder, _ in rows
    )
    roots = [
        SAMPLES / folder / name for folder, names in rows for name in re.findall(r"`(.+?)`", names)
    ]
    assert [] == [path for path in roots if not path.is_file()]


@pytest.mark.parametrize("path", sorted(SAMPLES.rglob("*.usda")), ids=lambda path: path.stem)
def test_a_sample_names_only_samples(path: Path) -> None:
    """By relative paths, or as the second manager's; no path leads out of the folder."""
    layer = Sdf.Layer.FindOrOpen(str(path))
    named = [each for each in layer.GetCompositionAssetDependencies() if each != "bal:///stall"]

    files = [(path.parent / each).resolve() for each in named]

    assert [] == [each for each in files if not each.is_relative_to(SAMPLES)]


def test_variants_are_nested() -> None:
    stage = opened("asset_with_variants/robot.usda")
    robot = stage.GetDefaultPrim()
    assert ["antenna", "colour"] == sorted(robot.GetVariantSets().GetNames())

    robot.GetVariantSet("antenna").SetVariantSelection("dish")

    assert ["antenna", "colour", "size"] == sorted(robot.GetVariantSets().GetNames())


def test_geometry_waits_behind_a_payload_and_bricks_are_tiles() -> None:
    path = str(SAMPLES / "payload_and_udim/house.usda")
    stage = Usd.Stage.Open(path, Usd.Stage.LoadNone)
    assert not stage.GetPrimAtPath("/House/Walls")

    stage.Load()

    assert stage.GetPrimAtPath("/House/Walls")
    tiles = stage.GetAttributeAtPath("/House/Brick/Texture.inputs:file").Get()
    assert tiles.path.endswith("brick.<UDIM>.png")
    assert 3 == len(list((SAMPLES / "payload_and_udim/textures").glob("brick.????.png")))


def test_trees_are_instances_of_one() -> None:
    stage = opened("instances/avenue.usda")

    assert 4 == sum(prim.IsInstance() for prim in stage.Traverse())
    assert 1 == len(stage.GetPrototypes())


def test_clips_give_the_drone_its_flight() -> None:
    stage = opened("value_clips/drone.usda")
    flight = stage.GetAttributeAtPath("/Drone.xformOp:translate")

    places = {str(flight.Get(frame)) for frame in (1, 2, 3, 4)}

    assert 4 == len(places)


def test_the_shot_has_layers_of_four_departments() -> None:
    stage = opened("shot/shot.usda")

    assert 5 == len(stage.GetLayerStack(includeSessionLayers=False))
    assert stage.GetPrimAtPath("/World/Street/Avenue").HasAuthoredPayloads()
    assert [] == stage.GetCompositionErrors()


def test_what_is_not_broken_opens() -> None:
    stage = opened("broken_reference/broken.usda")

    assert stage.GetPrimAtPath("/Yard/Tree/Crown")
    assert ["/Yard/Statue"] == [str(each.rootSite.path) for each in stage.GetCompositionErrors()]


def test_a_crowd_is_two_prototypes() -> None:
    stage = opened("crowd/crowd.usda")
    robots = UsdGeom.PointInstancer(stage.GetPrimAtPath("/Crowd/Robots"))

    assert 12 == robots.GetInstanceCount()
    assert {0, 1} == set(robots.GetProtoIndicesAttr().Get())
    colours = [
        stage.GetPrimAtPath(path).GetVariantSet("colour").GetVariantSelection()
        for path in robots.GetPrototypesRel().GetTargets()
    ]
    assert ["red", "blue"] == colours


@pytest.fixture
def room(run_python: Run, tmp_path: Path) -> Path:
    """The folder of the room, by reference, after the README's commands: the chair's second is approved."""
    from bifrost import bifrost_host

    run_python(INGEST, SAMPLES, "--rewrite", tmp_path / "street")
    folder = SAMPLES / "versions_and_statuses"
    bifrost_host.register_version(CHAIR, folder / "chair_2.usda")
    bifrost_host.set_status(CHAIR, "review")
    bifrost_host.set_status(CHAIR, "approved")
    bifrost_host.register_version(CHAIR, folder / "chair_3.usda")
    return tmp_path / "street" / "versions_and_statuses"


def test_the_context_says_which_chair(run_python: Run, room: Path) -> None:
    """The newest is the third, the approved one the second; a root layer may insist on the first."""
    approved = {"BIFROST_CONTEXT": "version=approved"}

    assert "third" in run_python(CHAIR_SHOWN, room / "room.usda").stdout
    assert "second" in run_python(CHAIR_SHOWN, room / "room.usda", env=approved).stdout
    assert "first" in run_python(CHAIR_SHOWN, room / "room_as_it_was.usda").stdout


def test_the_market_needs_its_manager(run_python: Run, own_home: Path) -> None:
    """With the README's two variables it opens, and without them it has no stalls."""
    pytest.importorskip("openassetio_manager_bal")
    config = SAMPLES / "second_manager" / "manager.toml"
    environ = {**os.environ, "OPENASSETIO_DEFAULT_CONFIG": str(config)}
    command = [
        sys.executable,
        "-m",
        "bifrost.cli",
        "usd",
        "env",
        "--scheme",
        "bal",
        "--format",
        "json",
    ]
    printed = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    market = SAMPLES / "second_manager" / "market.usda"

    found = prims(run_python, market, {**environ, **json.loads(printed)})

    assert {"/Market/Fruit/Table", "/Market/Fish/Awning"} <= set(found)
    assert {"/Market", "/Market/Fruit", "/Market/Fish"} == set(prims(run_python, market))
