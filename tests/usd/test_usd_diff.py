# SPDX-License-Identifier: Apache-2.0
"""`bifrost usd diff`: what two roots depend on and compose to, and the exit codes of diff(1)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bifrost.testing.show import Show, layer

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
USD_WG = Path(__file__).resolve().parents[3] / "shared" / "data" / "usd_wg"
MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"
SHOT = "shot/shot.usda"

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def diff(run_python: Run) -> Run:
    """Run `bifrost usd diff` in a process of its own."""
    return lambda *arguments: run_python(MAIN, "usd", "diff", *arguments, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the samples, elsewhere."""
    return Path(shutil.copytree(SAMPLES, tmp_path / "copy of the samples"))


def as_json(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("options", [(), ("--layers",)])
def test_a_copy_elsewhere_does_not_differ(diff: Run, copy: Path, options: tuple[str, ...]) -> None:
    """Where a folder lies is nothing that a stage means; textures are compared by what they hold."""
    done = diff(SAMPLES / SHOT, copy / SHOT, *options)

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_what_composes_to_something_else_is_shown_at_its_prim(diff: Run, copy: Path) -> None:
    """In lines as diff(1) writes them, below the prim that they are of."""
    replaced(copy / "asset_with_variants/robot.usda", "radius = 0.4", "radius = 0.45")

    done = diff(SAMPLES / SHOT, copy / SHOT)

    prim = "/World/Characters/Blue/Antenna"
    lines = [prim, f" def Cone {prim}", "-  double radius = 0.4", "+  double radius = 0.45"]
    assert (1, ["", *lines]) == (done.returncode, done.stdout.splitlines())


def test_what_is_not_composed_is_no_difference(diff: Run, copy: Path) -> None:
    """A variant that nobody selected, say: `--layers` shows it."""
    replaced(copy / "asset_with_variants/antenna_dish.usda", "radius = 0.3", "radius = 0.35")
    robot = "asset_with_variants/robot.usda"

    assert 0 == diff(SAMPLES / robot, copy / robot).returncode
    assert 1 == diff(SAMPLES / robot, copy / robot, "--layers").returncode


def test_layers_are_compared_as_they_are_written(diff: Run, copy: Path) -> None:
    """In variants that are not selected, too."""
    replaced(copy / "asset_with_variants/antenna_dish.usda", "radius = 0.3", "radius = 0.35")

    found = as_json(diff(SAMPLES / SHOT, copy / SHOT, "--layers", "--json"))

    (passage,) = found["layers"]
    assert "../asset_with_variants/antenna_dish.usda" == passage["subject"]
    changed = [" ".join(line.split()) for line in passage["lines"] if line[0] in "+-"]
    assert ["- double radius = 0.3", "+ double radius = 0.35"] == changed
    assert ([], []) == (found["composition"], found["dependencies"])


def test_a_texture_that_holds_something_else_is_a_difference(diff: Run, copy: Path) -> None:
    """No stage says so: renderers read textures."""
    (copy / "shot/textures/sky.png").write_bytes(b"night")

    found = as_json(diff(SAMPLES / SHOT, copy / SHOT, "--json"))

    assert not found["same"]
    (change,) = found["dependencies"]
    assert ("changed", "textures/sky.png") == (change["change"], change["subject"])
    assert str(copy / "shot/textures/sky.png") == change["after"]["path"]
    assert [] == found["composition"]


def test_what_only_one_needs_is_added_or_removed(diff: Run, tmp_path: Path) -> None:
    """And what is missing is told."""
    (tmp_path / "x.png").touch()
    texts = {"a": "asset t = @./x.png@", "b": "asset t = @./gone.png@"}
    for name, text in texts.items():
        (tmp_path / f"{name}.usda").write_text(f'#usda 1.0\ndef "p"\n{{\n    {text}\n}}\n')

    done = diff(tmp_path / "a.usda", tmp_path / "b.usda")
    rows = [line.split() for line in done.stdout.splitlines()[:3]]

    assert 1 == done.returncode
    assert [
        ["change", "what", "A", "B", "file", "in", "A", "file", "in", "B"],
        ["added", "gone.png", "-", "unresolved"],
        ["removed", "x.png", "file", "-", str(tmp_path / "x.png")],
    ] == rows
    assert "bifrost: " in done.stderr
    assert "gone.png: no such file (from" in done.stderr


class TestEntities:
    """Two versions of a shot in a catalogue."""

    @pytest.fixture
    def shot(self, show: Show) -> str:
        """Version 1 shows hero 1, version 2 shows hero 2 and a prop; both float on the skin."""
        show.publish("skin.usda", layer(value="skin"))
        show.publish("prop.usda", layer(value="prop"))
        for number in (1, 2):
            show.publish("hero.usda", layer(value=f"hero {number}"))
        needs = ("bifrost:///assets/hero.usda?version=1", "bifrost:///assets/skin.usda")
        show.publish("shot.usda", layer(references=needs), needs)
        needs = (
            "bifrost:///assets/hero.usda?version=2",
            "bifrost:///assets/skin.usda",
            "bifrost:///assets/prop.usda",
        )
        return show.publish("shot.usda", layer(references=needs), needs)

    def test_a_reference_is_compared_without_its_version(self, diff: Run, shot: str) -> None:
        """So that a new version is a change, and not one thing gone and another come."""
        found = as_json(diff(f"{shot}?version=1", shot, "--json"))

        changes = {each["subject"]: each for each in found["dependencies"]}
        assert {"bifrost:///assets/hero.usda", "bifrost:///assets/prop.usda"} == set(changes)
        hero = changes["bifrost:///assets/hero.usda"]
        assert ("changed", "1", "2") == (
            hero["change"],
            hero["before"]["version"],
            hero["after"]["version"],
        )
        assert "added" == changes["bifrost:///assets/prop.usda"]["change"]

    def test_the_table_says_which_versions_and_files(
        self, diff: Run, show: Show, shot: str
    ) -> None:
        """In the columns of the two roots."""
        done = diff(f"{shot}?version=1", shot)

        lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
        files = f"{show.path('hero.usda', 1)} {show.path('hero.usda', 2)}"
        assert f"changed bifrost:///assets/hero.usda version 1 version 2 {files}" in lines
        assert 1 == done.returncode

    def test_only_prims_that_compose_to_something_else_are_shown(
        self, diff: Run, shot: str
    ) -> None:
        """A file of another version in the same place of the stack is none."""
        found = as_json(diff(f"{shot}?version=1", shot, "--json"))

        passages = {each["subject"]: each["lines"] for each in found["composition"]}
        assert {"/p0", "/p2"} == set(passages)
        assert [
            " def - /p0",
            "-  string v = 'hero 1'",
            "+  string v = 'hero 2'",
        ] == passages["/p0"]
        assert all(line.startswith("+") for line in passages["/p2"])

    def test_a_version_does_not_differ_from_itself(self, diff: Run, shot: str) -> None:
        """However it is named."""
        done = diff(f"{shot}?version=2", shot)

        assert (0, "") == (done.returncode, done.stdout), done.stderr

    def test_layers_show_the_references_that_changed(self, diff: Run, shot: str) -> None:
        """In the roots' own text."""
        done = diff(f"{shot}?version=1", shot, "--layers")

        assert 1 == done.returncode
        assert "-    references = @bifrost:///assets/hero.usda?version=1@" in done.stdout
        assert "\nbifrost:///assets/hero.usda\n" in done.stdout
        assert '-    string v = "hero 1"\n+    string v = "hero 2"\n' in done.stdout


@pytest.mark.skipif(
    not USD_WG.is_dir(), reason=f"needs the assets of the USD working group in {USD_WG}"
)
def test_a_copy_of_a_real_set_differs_in_what_was_changed(diff: Run, tmp_path: Path) -> None:
    """Binary layers, textures, and files of a format that this OpenUSD doesn't read."""
    chess = USD_WG / "full_assets" / "OpenChessSet"
    copy = Path(shutil.copytree(chess, tmp_path / "chess"))

    assert 0 == diff(chess / "chess_set.usda", copy / "chess_set.usda").returncode

    (changed,) = copy.glob("assets/King/King_mat.mtlx")
    changed.chmod(0o644)
    changed.write_text(changed.read_text() + "<!-- edited -->\n")
    found = as_json(diff(chess / "chess_set.usda", copy / "chess_set.usda", "--json"))

    assert ["assets/King/King_mat.mtlx"] == [each["subject"] for each in found["dependencies"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such file"),
        ("#usda 1.0\ndef {", "broken.usda"),
        ("bifrost:///assets/nobody", "nobody"),
    ],
)
def test_a_root_that_does_not_open_is_trouble(
    diff: Run, tmp_path: Path, text: str | None, said: str
) -> None:
    """Which is neither the same nor a difference: 2, and one line that says why."""
    root = tmp_path / "broken.usda"
    if text is not None and text.startswith("#"):
        root.write_text(text)
    name = text if text and text.startswith("bifrost:") else root

    done = diff(SAMPLES / SHOT, name)

    assert (2, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert 1 == len(done.stderr.splitlines())


def test_wrong_usage_is_trouble_too(diff: Run) -> None:
    """As with diff(1)."""
    assert 2 == diff(SAMPLES / SHOT).returncode
