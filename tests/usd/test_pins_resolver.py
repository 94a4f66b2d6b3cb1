# SPDX-License-Identifier: Apache-2.0
"""What the resolver makes of pins: it answers from them, and asks nobody else unless it is told to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bifrost.testing.show import Show, layer
from bifrost.usd import pinning

OPEN = """
import json, sys
from pxr import Ar, Usd
stage = Usd.Stage.Open(sys.argv[1])
prims = [prim for prim in stage.Traverse() if prim.HasAttribute("v")]
found = {"values": [prim.GetAttribute("v").Get() for prim in prims],
         "bridge": sorted(name for name in sys.modules if name.startswith("bifrost"))}
from bifrost.usd import library
from bifrost.usd.stage import resolutions
found["counters"] = library.counters()
found["rows"] = {row["reference"]: (row["tier"], row["version"]) for row in resolutions(stage)}
print(json.dumps(found))
"""


@pytest.fixture
def opened(run_python):
    """Open a root in a process that never heard of Bifrost; return what it saw, and stderr."""

    def open_root(root: str | Path, source: str = OPEN, **options: Any) -> dict[str, Any]:
        done = run_python(source, root, **options)
        return {**json.loads(done.stdout), "stderr": done.stderr}

    return open_root


@pytest.fixture
def shot(show: Show) -> Path:
    """A root over a layer that floats, which needs another."""
    leaf = show.publish("leaf.usda", layer(value="leaf 1"))
    middle = show.publish("middle.usda", layer(value="middle 1", sublayers=(leaf,)), (leaf,))
    return show.root("root.usda", middle, leaf)


@pytest.fixture
def pins(shot: Path, tmp_path: Path) -> Path:
    """The pins of the shot."""
    path = tmp_path / "shot.pins.json"
    pinning.pin(str(shot)).save(path)
    return path


def edited(pins: Path, **entry: Any) -> None:
    """Change every entity in a file of pins."""
    data = json.loads(pins.read_text())
    data["entities"] = [{**each, **entry} for each in data["entities"]]
    pins.write_text(json.dumps(data))


def test_with_pins_nothing_of_python_and_no_catalogue_is_needed(
    show: Show, shot: Path, pins: Path, own_home: Path, opened
) -> None:
    """
    The home with catalogue and caches is gone, and the bridge is never imported: no crossing.
    """
    show.catalogue.close()
    shutil.rmtree(own_home)

    untouched = own_home.with_name("untouched")

    found = opened(shot, home=untouched, env={"BIFROST_PINS": str(pins)})

    assert ["middle 1", "leaf 1"] == found["values"][1:]
    assert ([], 0, 0) == (
        found["bridge"],
        found["counters"]["crossings"],
        found["counters"]["misses"],
    )
    assert {"bifrost:///assets/middle.usda": ["pins", "1"]}.items() <= found["rows"].items()
    assert "" == found["stderr"]
    assert not untouched.exists()


def test_a_pinned_reference_stays_at_its_version(
    show: Show, shot: Path, pins: Path, opened
) -> None:
    """
    Whatever was published since; without pins it moves.
    """
    show.publish("leaf.usda", layer(value="leaf 2"))

    assert "leaf 1" == opened(shot, env={"BIFROST_PINS": str(pins)})["values"][-1]
    assert "leaf 2" == opened(shot)["values"][-1]


def test_a_root_that_is_a_reference_is_pinned_too(show: Show, tmp_path: Path, opened) -> None:
    """
    It is resolved with no context bound: `BIFROST_PINS` holds there as well.
    """
    top = show.publish("top.usda", layer(value="top"))
    pins = tmp_path / "top.pins.json"
    pinning.pin(top).save(pins)
    show.publish("top.usda", layer(value="later"))

    found = opened(top, env={"BIFROST_PINS": str(pins)})

    assert (["top"], 0) == (found["values"], found["counters"]["crossings"])


def test_two_stages_side_by_side_with_and_without_pins(
    show: Show, shot: Path, pins: Path, run_python
) -> None:
    """
    Contexts carry them: in a string, as Houdini gives it, and one stage's pins are no other's.
    """
    show.publish("leaf.usda", layer(value="leaf 2"))

    done = run_python(
        """
import sys
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from bifrost.context import Context, policy
from pxr import Ar, Sdf, Usd
resolver, root = Ar.GetResolver(), Sdf.Layer.FindOrOpen(sys.argv[1])
text = policy(Context(pins=sys.argv[2]))
pinned = resolver.CreateContextFromString("bifrost", text)
assert pinned == resolver.CreateContextFromString("bifrost", "pins=" + sys.argv[2])
assert pinned.GetDebugString().strip() == f"bifrost({text})", pinned.GetDebugString()
live = resolver.CreateContextFromString("bifrost", "user=me")
stages = [Usd.Stage.Open(root, context) for context in (pinned, live, pinned)]
for stage in stages:
    print(stage.GetPrimAtPath("/p1").GetAttribute("v").Get())
resolver.RefreshContext(pinned)
print(stages[0].GetPrimAtPath("/p1").GetAttribute("v").Get())
""",
        shot,
        pins,
    )

    assert ["leaf 1", "leaf 2", "leaf 1", "leaf 1"] == done.stdout.splitlines()


def test_what_is_not_pinned_is_refused_warned_of_or_asked_for(
    show: Show, shot: Path, pins: Path, opened
) -> None:
    """
    `pins_missing` says which; refused by default, and then nobody is asked.
    """
    new = show.publish("new.usda", layer(value="new"))
    shot.write_text(layer(references=("bifrost:///assets/leaf.usda", new)))
    environment = {"BIFROST_PINS": str(pins)}

    refused = opened(shot, env=environment)
    warned = opened(shot, env={**environment, "BIFROST_PINS_MISSING": "warn"})
    asked = opened(shot, env={**environment, "BIFROST_PINS_MISSING": "resolve"})

    assert ["leaf 1"] == refused["values"][1:]
    assert 0 == refused["counters"]["crossings"]
    assert f"{new}: {pins} does not pin it" in refused["stderr"]
    assert ["leaf 1", "new"] == warned["values"][1:] == asked["values"][1:]
    assert f"{new}: {pins} does not pin it, so the manager is asked" in warned["stderr"]
    assert "" == asked["stderr"]


def test_a_refresh_asks_for_what_is_not_pinned_alone(
    show: Show, shot: Path, pins: Path, run_python
) -> None:
    """
    Pins are frozen; what was let through moves on.
    """
    new = show.publish("new.usda", layer(value="new 1"))
    shot.write_text(layer(references=("bifrost:///assets/leaf.usda", new)))

    done = run_python(
        """
import sys
from bifrost.testing.show import Show, layer
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pathlib import Path
from pxr import Ar, Usd
stage = Usd.Stage.Open(sys.argv[1])
def values():
    return [stage.GetPrimAtPath(path).GetAttribute("v").Get() for path in ("/p0", "/p1")]
print(values())
show = Show(Path(sys.argv[2]))
show.publish("leaf.usda", layer(value="leaf 2"))
show.publish("new.usda", layer(value="new 2"))
Ar.GetResolver().RefreshContext(stage.GetPathResolverContext())
print(values())
""",
        shot,
        show.folder,
        env={"BIFROST_PINS": str(pins), "BIFROST_PINS_MISSING": "resolve"},
    )

    assert ["['leaf 1', 'new 1']", "['leaf 1', 'new 2']"] == done.stdout.splitlines()


def test_a_missing_file_is_named(shot: Path, show: Show, pins: Path, opened) -> None:
    """
    With the reference, the file, and what may be set: the rest of the shot opens.
    """
    gone = show.path("leaf.usda", 1)
    gone.unlink()

    found = opened(shot, env={"BIFROST_PINS": str(pins)})

    assert "middle 1" in found["values"]
    assert (
        f"bifrost:///assets/leaf.usda: the file that {pins} pins it to is not there: {gone}"
        in (found["stderr"])
    )
    assert 0 == found["counters"]["crossings"]


def test_a_changed_file_is_told_and_opened(shot: Path, show: Show, pins: Path, opened) -> None:
    """
    By its size, which costs nothing; `pin verify` reads it all.
    """
    show.path("leaf.usda", 1).write_text(layer(value="tampered with"))

    found = opened(shot, env={"BIFROST_PINS": str(pins)})

    assert "tampered with" == found["values"][-1]
    assert "bytes and was pinned at" in found["stderr"]


def test_another_site_has_its_folders_elsewhere(
    show: Show, shot: Path, pins: Path, tmp_path: Path, opened
) -> None:
    """
    `BIFROST_PINS_ROOTS` says where, for the same file of pins.
    """
    there = tmp_path / "site" / "show"
    shutil.copytree(show.folder, there)
    shutil.rmtree(show.folder)

    found = opened(
        there / shot.name,
        env={"BIFROST_PINS": str(pins), "BIFROST_PINS_ROOTS": f"/nowhere=/x;{show.folder}={there}"},
    )

    assert ["middle 1", "leaf 1"] == found["values"][1:]
    assert "" == found["stderr"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "it is no JSON: line 1"),
        ("", "it is empty"),
        ("[]", "it is no JSON object"),
        ('{"bifrost_pins": 2}', "a later version of Bifrost wrote it"),
        ('{"layers": []}', 'it holds no pins: "bifrost_pins" is missing'),
        ("[" * 100_000, "it is nested too deeply"),
        (None, "there is no such file"),
    ],
)
def test_pins_that_cannot_be_read_pin_nothing_and_let_nothing_through(
    shot: Path, tmp_path: Path, text: str | None, expected: str, opened
) -> None:
    """
    A farm that was told to be frozen never asks a manager because of a broken file.
    """
    bad = tmp_path / "bad.pins.json"
    if text is not None:
        bad.write_text(text)

    found = opened(shot, env={"BIFROST_PINS": str(bad)})

    assert ([""], 0) == (found["values"], found["counters"]["crossings"])
    assert f"{bad}: the pins can't be used: {expected}" in found["stderr"]


def test_pins_of_another_openusd_hold_and_say_so(shot: Path, pins: Path, opened) -> None:
    """
    Files are files; what they compose to may differ.
    """
    pins.write_text(pins.read_text().replace('"openusd": "', '"openusd": "1'))

    found = opened(shot, env={"BIFROST_PINS": str(pins)})

    assert ["middle 1", "leaf 1"] == found["values"][1:]
    assert "it was made with OpenUSD 1" in found["stderr"]


def test_pins_of_another_manager_hold(shot: Path, pins: Path, opened) -> None:
    """
    The resolver asks no manager, so it is no matter which one made them.
    """
    edited(pins, manager="org.elsewhere")

    found = opened(shot, env={"BIFROST_PINS": str(pins)})

    assert (["middle 1", "leaf 1"], "") == (found["values"][1:], found["stderr"])


def test_an_unknown_policy_for_what_is_missing_refuses(shot: Path, pins: Path, opened) -> None:
    """
    A typo must not let anything through.
    """
    shot.write_text(layer(references=("bifrost:///assets/nothing",)))

    found = opened(shot, env={"BIFROST_PINS": str(pins), "BIFROST_PINS_MISSING": "wran"})

    assert 0 == found["counters"]["crossings"]
    assert "expected fail, warn or resolve, got wran" in found["stderr"]
