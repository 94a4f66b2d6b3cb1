# SPDX-License-Identifier: Apache-2.0
"""What a stage depends on as a graph and as a picture; its prims as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bifrost.cli.main import run
from bifrost.testing.show import Show, layer
from bifrost.usd.dependencies import dependencies
from bifrost.usd.dependency_graph import Need, dependency_graph

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"
SVG = "{http://www.w3.org/2000/svg}"

Run = Callable[..., subprocess.CompletedProcess[str]]


def boxes(root: ET.Element) -> dict[str, str]:
    """The tooltip of each box, by the name in it."""
    return {
        node.find(f"{SVG}text").text: node.find(f"{SVG}title").text
        for node in root.iter(f"{SVG}g")
        if node.get("class") == "node"
    }


def arrows(root: ET.Element) -> list[str]:
    paths = root.iter(f"{SVG}path")
    return sorted(title.text for path in paths if (title := path.find(f"{SVG}title")) is not None)


def test_the_graph_says_which_layer_names_what(tmp_path: Path) -> None:
    """For what, and how strongly that binds; two names for one thing are one edge each."""
    (tmp_path / "a.usda").write_text(
        "#usda 1.0\n(\n    subLayers = [@b.usda@]\n)\n"
        'def "p" (\n    payload = @b.usda@\n)\n{\n    asset t = @t.png@\n}\n'
    )
    (tmp_path / "b.usda").write_text('#usda 1.0\ndef "p"\n{\n    asset t = @./t.png@\n}\n')
    (tmp_path / "t.png").touch()
    a, b, t = (str(tmp_path / name) for name in ("a.usda", "b.usda", "t.png"))

    found = dependency_graph(a)

    assert [a, b, t] == [each.reference for each in found.found]
    assert {
        Need(a, b, "sublayer", "strong"),
        Need(a, b, "payload", "weak"),
        Need(a, t, "attribute", "strong"),
        Need(b, t, "attribute", "strong"),
    } == set(found.needs)
    assert 4 == len(found.needs)


def test_the_settings_say_how_strongly_things_bind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of the catalogue's relationships."""
    monkeypatch.setenv("BIFROST_CATALOGUE__STRENGTHS", "payload=strong")
    (tmp_path / "a.usda").write_text('#usda 1.0\ndef "p" (\n    payload = @./b.usda@\n)\n{\n}\n')

    (need,) = dependency_graph(str(tmp_path / "a.usda")).needs

    assert ("payload", "strong") == (need.kind, need.strength)


@pytest.mark.parametrize("root", ["shot/shot.usda", "broken_reference/broken.usda"])
def test_it_finds_what_the_list_has(root: str) -> None:
    """In the same order."""
    name = str(SAMPLES / root)

    assert dependencies(name) == list(dependency_graph(name).found)


def test_circles_end(tmp_path: Path) -> None:
    """And are drawn."""
    for name, other in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.usda").write_text(
            f"#usda 1.0\n(\n    subLayers = [@{other}.usda@]\n)\n"
        )

    found = dependency_graph(str(tmp_path / "a.usda"))

    assert 2 == len(found.needs)
    assert 2 == len(boxes(ET.fromstring(found.to_svg())))


def test_the_command_writes_a_picture(show: Show, tmp_path: Path) -> None:
    """Beside the table: boxes say version and file in tooltips, what is missing is struck through."""
    hero = show.publish("hero.usda", layer(value="x", references=("./<gone> & lost.usda",)))
    root = show.root("shot.usda", hero)
    out = tmp_path / "shot.svg"

    assert 1 == run(["usd", "deps", str(root), "--svg", str(out)])

    picture = ET.parse(out).getroot()
    found = boxes(picture)
    assert {"shot.usda", "hero.usda", "<gone> & lost.usda"} == set(found)
    assert f"reference {hero}\nversion 1\n{show.path('hero.usda', 1)}" == found["hero.usda"]
    assert "no such file" in found["<gone> & lost.usda"]
    assert ["reference (strong)"] * 2 == arrows(picture)
    gone = [text.text for text in picture.iter(f"{SVG}text") if text.get("class") == "name gone"]
    assert ["<gone> & lost.usda"] == gone


def test_a_picture_that_can_not_be_written_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the file."""
    out = tmp_path / "nowhere" / "x.svg"

    assert 1 == run(["usd", "deps", str(SAMPLES / "shot/shot.usda"), "--svg", str(out)])
    assert str(out) in capsys.readouterr().err


def test_json_and_picture_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what was asked for is on stdout."""
    out = tmp_path / "x.svg"

    assert 0 == run(["usd", "deps", str(SAMPLES / "shot/shot.usda"), "--json", "--svg", str(out)])
    listed = json.loads(capsys.readouterr().out)

    assert len(listed) == len(
        [node for node in ET.parse(out).iter(f"{SVG}g") if node.get("class") == "node"]
    )


def test_the_prims_of_a_stage_are_json(run_python: Run) -> None:
    """What the drawing of the tree shows, nested."""
    root = SAMPLES / "instances/avenue.usda"

    (avenue,) = json.loads(run_python(MAIN, "usd", "tree", root, "--json").stdout)

    assert ("/Avenue", "Xform", [], {}) == tuple(
        avenue[key] for key in ("path", "type", "states", "variants")
    )
    assert ["Tree_1", "Tree_2", "Tree_3", "Tree_4"] == [each["name"] for each in avenue["children"]]
    assert [["instance"]] * 4 == [each["states"] for each in avenue["children"]]
    assert ["/Avenue/Tree_1/Trunk", "/Avenue/Tree_1/Crown"] == [
        each["path"] for each in avenue["children"][0]["children"]
    ]


def test_the_tree_says_which_variants_are_selected(run_python: Run) -> None:
    """As the drawing does."""
    root = SAMPLES / "asset_with_variants/robot.usda"

    drawn = run_python(MAIN, "usd", "tree", root).stdout
    (robot,) = json.loads(run_python(MAIN, "usd", "tree", root, "--json").stdout)

    assert robot["variants"]
    for name, variant in robot["variants"].items():
        assert f"{name}={variant}" in drawn
