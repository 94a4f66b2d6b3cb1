# SPDX-License-Identifier: Apache-2.0
"""What a file says of itself is read as it is on the disk, and nothing else of the process is touched."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from pxr import Sdf, Usd, UsdUtils

from bifrost.errors import Code, InvalidTraitsException, LocationException
from bifrost.usd import trial
from bifrost.usd.description import FrameRange, check_masks, describe, frames
from bifrost.usd.file_checks import check

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
ROBOT = SAMPLES / "asset_with_variants" / "robot.usda"


def written(path, text):
    # The format wants a line of its own for a closing brace.
    path.write_text("#usda 1.0\n" + text.replace(" }", "\n}"), encoding="utf-8")
    return path


def test_a_robot_is_described():
    found = describe(ROBOT)

    assert ("/Robot", "Y", 1.0) == (
        found["default_prim"],
        found["up_axis"],
        found["meters_per_unit"],
    )
    assert [{"path": "/Robot", "type": "Xform", "kind": "component"}] == found["root_prims"]
    assert {"variants": ["blue", "red"], "selection": "red"} == found["variant_sets"]["/Robot"][
        "colour"
    ]
    assert {"Cube": 1, "Cylinder": 1, "Material": 1, "Shader": 2, "Sphere": 1, "Xform": 1} == found[
        "schemas"
    ]
    assert 2 == found["applied_schemas"]["MaterialBindingAPI"]
    assert (1, 1, 4) == (found["references"], found["payloads"], found["layers"])
    assert [-0.4, 0.4, -0.3] == pytest.approx(found["extent"][0])
    assert not found["truncated"]


@pytest.mark.parametrize("path", sorted(SAMPLES.rglob("*.usda")), ids=lambda path: path.stem)
def test_a_description_is_plain_json(path):
    assert describe(path) == json.loads(json.dumps(describe(path), allow_nan=False))


def test_what_does_not_open_is_named():
    found = describe(SAMPLES / "broken_reference" / "broken.usda")

    assert ["statue.usda"] == [Path(path).name for path in found["unresolved"]]
    assert "statue.usda" in found["problems"][0]
    assert "SDF_FORMAT_ARGS" not in found["problems"][0]


def test_a_shot_has_frames():
    found = describe(SAMPLES / "shot" / "shot.usda")

    assert FrameRange(1, 5, 24.0) == frames(found)
    assert 4 == found["instances"]


def test_time_codes_that_are_no_frames_become_frames(tmp_path):
    text = (
        "(startTimeCode = 0\nendTimeCode = 4801\ntimeCodesPerSecond = 4800\nframesPerSecond = 24)"
    )

    found = describe(written(tmp_path / "a.usda", text))

    assert FrameRange(0, 25, 24.0) == frames(found)


def test_a_file_that_names_no_range_has_no_frames():
    assert None is frames(describe(ROBOT))


def test_an_empty_file_has_no_extent_and_no_default_prim(tmp_path):
    found = describe(written(tmp_path / "a.usda", ""))

    assert (None, None, 0, []) == (
        found["extent"],
        found["default_prim"],
        found["prims"],
        found["authored"],
    )


def test_numbers_that_json_cannot_say_are_left_out(tmp_path):
    text = '(startTimeCode = -inf\nendTimeCode = inf)\ndef Cube "A" { double size = inf }\n'

    found = describe(written(tmp_path / "a.usda", text))

    assert (None, None, None) == (
        found["start_time_code"],
        found["end_time_code"],
        found["extent"],
    )


def test_a_long_walk_stops(tmp_path):
    prims = "".join(f'def "P{number}" {{}}\n' for number in range(50))

    found = describe(written(tmp_path / "a.usda", prims), most_prims=20)

    assert (20, True) == (found["prims"], found["truncated"])


def test_what_the_process_has_unsaved_is_not_what_is_described(tmp_path):
    path = written(tmp_path / "a.usda", 'def "A" {}\n')
    layer = Sdf.Layer.FindOrOpen(str(path))
    Sdf.CreatePrimInLayer(layer, "/Unsaved")

    found = describe(path)

    assert ["/A"] == [root["path"] for root in found["root_prims"]]
    assert layer.dirty
    assert layer.GetPrimAtPath("/Unsaved")


def test_a_file_that_changes_is_read_again_while_its_stage_is_held(tmp_path):
    from bifrost.usd.opening import opened

    path = written(tmp_path / "a.usda", 'def "A" {}\n')
    with opened(path) as held:
        written(path, 'def "B" {}\n')
        found = describe(path)
        assert held.GetPrimAtPath("/A")

    assert "/B" == found["root_prims"][0]["path"]


def test_nothing_stays_open(tmp_path):
    path = written(tmp_path / "a.usda", 'def "A" {}\n')
    before = set(Sdf.Layer.GetLoadedLayers())
    cache = UsdUtils.StageCache.Get()

    with Usd.StageCacheContext(cache):
        describe(path)

    assert before == set(Sdf.Layer.GetLoadedLayers())
    assert 0 == cache.Size()


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(LocationException) as caught:
        describe(tmp_path / "nothing.usda")

    assert Code.FILE_MISSING == caught.value.code


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("garbage.usda", b"\x00\xff garbage"),
        ("garbage.usdc", b"\x00\xff garbage"),
        ("garbage.usd", b""),
        ("garbage.usdz", b"PK\x03\x04 no zip"),
        ("broken.usda", b'#usda 1.0\ndef "A" {'),
        ("deep.usda", b"#usda 1.0\n" + b'def "A" {\n' * 60_000),
        ("header.usdc", b"PXR-USDC" + bytes(100)),
        ("image.png", b"\x89PNG"),
        ("none", b"#usda 1.0\n"),
    ],
)
def test_what_is_no_usd_is_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(InvalidTraitsException) as caught:
        describe(path)

    assert name in caught.value.message


@pytest.mark.parametrize("path", ["a\x00b.usda", "x" * 5000 + ".usda"])
def test_a_path_that_no_file_can_have_is_refused(path):
    with pytest.raises((InvalidTraitsException, LocationException)) as caught:
        describe(path)

    assert len(caught.value.message) < 700


def test_a_folder_and_a_pipe_are_refused(tmp_path):
    import os

    (tmp_path / "folder.usda").mkdir()
    os.mkfifo(tmp_path / "pipe.usda")

    for name in ("folder.usda", "pipe.usda"):
        with pytest.raises(InvalidTraitsException):
            describe(tmp_path / name)


def crate(tmp_path):
    source = written(
        tmp_path / "a.usda", 'def Xform "A" { double3 b = (1, 2, 3)\nstring c = "d" }\n'
    )
    path = tmp_path / "a.usdc"
    Sdf.Layer.OpenAsAnonymous(str(source)).Export(str(path))
    return path


def test_a_crate_file_is_described(tmp_path):
    assert ["/A"] == [root["path"] for root in describe(crate(tmp_path))["root_prims"]]


def test_a_crate_file_that_is_cut_off_is_refused(tmp_path):
    path = crate(tmp_path)
    whole = path.read_bytes()

    for length in range(8, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidTraitsException):
            describe(path)


def test_damaged_crate_files_do_not_end_the_process(tmp_path):
    """What OpenUSD crashes over, it crashes over elsewhere."""
    path = crate(tmp_path)
    whole = path.read_bytes()
    chance = random.Random(7)
    outcomes = []

    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(2):
            damaged[chance.randrange(88, len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        outcomes.append(outcome(path))

    assert {"described", "refused"} == set(outcomes)


def outcome(path):
    try:
        describe(path)
    except InvalidTraitsException:
        return "refused"
    return "described"


def test_a_file_whose_reader_dies_is_refused(tmp_path, monkeypatch):
    path = crate(tmp_path)
    dying = [sys.executable, "-c", "import os; input(); os.abort()"]
    monkeypatch.setattr(trial, "_started", lambda: started(dying))
    trial._reader.close()

    with pytest.raises(InvalidTraitsException, match="ends OpenUSD's process"):
        check(path)


def test_a_file_that_is_read_without_end_is_refused(tmp_path, monkeypatch):
    path = crate(tmp_path)
    endless = [sys.executable, "-c", "import time; input(); time.sleep(600)"]
    monkeypatch.setattr(trial, "_started", lambda: started(endless))
    trial._reader.close()

    assert "more than 0 seconds" in trial.survives(path, limit_s=0.2)


def test_a_file_is_tried_in_a_process_with_many_open_files(tmp_path):
    """Applications have thousands open: what is counted to 1,024 alone would call each file damaged."""
    path = crate(tmp_path)
    trial._reader.close()

    with contextlib.ExitStack() as files:
        for _ in range(1_100):
            files.enter_context(Path(os.devnull).open("rb"))
        assert "" == trial.survives(path)
        trial._reader.close()


def started(command):
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_masks_name_prims_of_the_stage():
    masks = {"all": "/Robot", "head": ["/Robot/Head", "/Robot/Head", "/Robot/Body"]}

    assert {"all": ["/Robot"], "head": ["/Robot/Body", "/Robot/Head"]} == check_masks(ROBOT, masks)


def test_no_masks_need_no_file():
    assert {} == check_masks("nothing.usda", {})


def test_every_wrong_mask_is_named_with_the_nearest_prim():
    masks = {
        "a": ["/Robot/Haed"],
        "b": ["no path", "Robot"],
        "c": [],
        "d": ["/Robot.x"],
        "": "/Robot",
    }

    with pytest.raises(InvalidTraitsException) as caught:
        check_masks(ROBOT, masks)

    message = caught.value.message
    assert "did you mean /Robot/Head?" in message
    assert all(f"mask {name!r}" in message for name in "abcd")
    assert "a mask needs a name" in message


@pytest.mark.parametrize("masks", [[], "x", {"a": 5}, {"a": [5]}, {5: "/Robot"}])
def test_what_is_no_mask_is_refused(masks):
    if not masks:
        masks = ["x"]
    with pytest.raises(InvalidTraitsException):
        check_masks(ROBOT, masks)
