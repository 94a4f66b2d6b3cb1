# SPDX-License-Identifier: Apache-2.0
"""The canonical dump: equal for what is composed alike, and telling for what isn't."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pxr import Usd

from bifrost.usd.dump import canonical_dump

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
ROOTS = [
    "asset_with_variants/robot.usda",
    "broken_reference/broken.usda",
    "instances/avenue.usda",
    "payload_and_udim/house.usda",
    "shot/shot.usda",
    "value_clips/drone.usda",
]


def dump(root: Path, folder: Path) -> str:
    return canonical_dump(Usd.Stage.Open(str(root)), folder)


def composed(text: str, folder: Path) -> str:
    path = folder / "layer.usda"
    # The parser wants what stands in braces on lines of its own.
    lines = text.replace("{", "{\n").replace("}", "\n}\n")
    path.write_text(f"#usda 1.0\n{lines}")
    return dump(path, folder)


@pytest.mark.parametrize("root", ROOTS)
def test_a_copy_elsewhere_gives_the_same_text(tmp_path: Path, root: str) -> None:
    """Where a folder lies is nothing that a stage means."""
    copy = Path(shutil.copytree(SAMPLES, tmp_path / "copy"))

    assert dump(SAMPLES / root, SAMPLES) == dump(copy / root, copy)


def test_no_path_of_this_machine_is_in_it() -> None:
    """With a root folder given, everything in it is relative."""
    assert str(SAMPLES) not in dump(SAMPLES / "shot/shot.usda", SAMPLES)


def test_what_shows_in_an_instance_stands_where_it_shows() -> None:
    """Prototypes have names that differ from run to run; they aren't in it."""
    text = dump(SAMPLES / "instances/avenue.usda", SAMPLES)

    assert "Prototype" not in text
    assert all(f"def Sphere /Avenue/Tree_{n}/Crown" in text for n in range(1, 5))
    assert 4 == text.count("  is instance")


def test_clips_tiles_and_targets_are_in_it() -> None:
    """Samples that come from clips, files that only a renderer looks for, and connections."""
    text = dump(SAMPLES / "shot/shot.usda", SAMPLES)

    assert "    3.0: Gf.Vec3d(2.0, 6.5, 1.0)" in text
    assert "asset inputs:file = @payload_and_udim/textures/brick.<UDIM>.png@" in text
    assert "connected to [</World/Characters/Blue/Paint/Texture.outputs:rgb>]" in text
    assert "variants size = 'large' of ['large', 'small']" in text
    assert "  from asset_with_variants/antenna_dish.usda /Dish/Antenna" in text


def test_an_unresolved_asset_is_its_path(tmp_path: Path) -> None:
    """Missing is missing alike, by whichever name."""
    text = composed('def "A" {\n    asset a = @./gone.png@\n    asset b = @@\n}\n', tmp_path)

    assert "asset a = unresolved @./gone.png@" in text
    assert "asset b = @@" in text


@pytest.mark.parametrize(
    "changed",
    [
        'def Xform "A" { double v = 2 }',
        'def Xform "A" { float v = 1 }',
        'def Xform "A" { custom double v = 1 }',
        'def Xform "A" { uniform double v = 1 }',
        'def Xform "A" { double v.timeSamples = { 1: 1 } }',
        'def Xform "A" { double v = 1\n rel r = </A> }',
        'def Xform "A" { double v = 1\n double w.connect = </A.v> }',
        'def Scope "A" { double v = 1 }',
        'over Xform "A" { double v = 1 }',
        'def Xform "A" (active = false) { double v = 1 }',
        'def Xform "A" (kind = "group") { double v = 1 }',
        'def Xform "A" (variants = {string s = "x"}\n prepend variantSets = "s") { double v = 1 }',
        'def Xform "A" { double v = 1 (doc = "more") }',
        'def Xform "A" { double v = 1 }\ndef "B" {}',
        '(startTimeCode = 3)\ndef Xform "A" { double v = 1 }',
    ],
)
def test_every_kind_of_difference_shows(tmp_path: Path, changed: str) -> None:
    """A dump that forgets something would call unequal stages equal."""
    base = composed('def Xform "A" { double v = 1 }', tmp_path)
    (tmp_path / "other").mkdir()

    assert base != composed(changed, tmp_path / "other")


@pytest.mark.parametrize("kind", ["float", "token", "matrix4d", "bool", "half", "string"])
def test_long_arrays_differ_in_a_digest(tmp_path: Path, kind: str) -> None:
    """With and without a buffer to read."""
    one = "( (1,0,0,0), (0,1,0,0), (0,0,1,0), (0,0,0,1) )" if kind == "matrix4d" else '"1"'
    other = one.replace("(1,", "(2,") if kind == "matrix4d" else '"0"'
    if kind in ("float", "bool", "half"):
        one, other = "1", "0"
    texts = []
    for name, last in (("a", one), ("b", one), ("c", other)):
        (tmp_path / name).mkdir()
        values = ", ".join([one] * 40 + [last])
        texts.append(composed(f'def "A" {{ {kind}[] v = [{values}] }}', tmp_path / name))

    assert "of 41, sha256" in texts[0]
    assert texts[0] == texts[1] != texts[2]
