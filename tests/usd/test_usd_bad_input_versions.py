# SPDX-License-Identifier: Apache-2.0
"""Versions that go away under an open stage, and files of pins that are none."""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from bifrost import bifrost_host as host
from bifrost.errors import ConfigurationError
from bifrost.testing.show import Show, layer
from bifrost.usd.pins import load

PRELUDE = """
import json, sys
from pathlib import Path
import bifrost.usd
bifrost.usd.warm()
from pxr import Usd
from bifrost import bifrost_host as host
from bifrost.errors import BifrostError

def outcome(call):
    try:
        return call()
    except BifrostError as error:
        return [type(error).__name__, error.message, error.remedy]

def value(stage, path="/p0"):
    prim = stage.GetPrimAtPath(path)
    return prim.GetAttribute("v").Get() if prim and prim.GetAttribute("v") else None
"""
MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"
LIMIT_S = 20.0


@pytest.fixture
def shot(show: Show) -> str:
    """A shot that needs two leaves, one of them by version."""
    show.publish("leaf.usda", layer(value="leaf 1"))
    leaf = show.publish("leaf.usda", layer(value="leaf 2"))
    twig = show.publish("twig.usda", layer(value="twig"))
    needs = (f"{leaf}?version=2", twig)
    return show.publish("shot.usda", layer(value="shot", references=needs), needs)


def test_a_version_that_goes_away_under_an_open_stage_stays_open(
    show: Show, shot: str, tmp_path: Path, run_python
) -> None:
    """
    The stage keeps what it has, through a refresh too; every other call says which file is missing.
    """
    done = run_python(
        PRELUDE
        + """
shot, gone, pins, out = sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
stage = host.open_usd_stage(shot)
host.pin_usd(shot, pins)
gone.unlink()
reference = "bifrost:///assets/leaf.usda?version=2"
found = {
    "held": value(stage),
    "refreshed": [each.reference for each in host.refresh(stage).moved],
    "after": value(stage),
    "stale": [[each.reference, each.new_path] for each in bifrost.usd.stale()],
    "layers": len(host.get_usd_layers(stage)),
    "arcs": len(host.extract_arcs(stage)),
    "verified": [[str(each.trouble), each.subject] for each in host.verify_pins(pins)],
    "metadata": outcome(lambda: host.get_usd_layer_metadata(reference)),
    "layer": outcome(lambda: str(host.resolve_usd_layer(reference))),
    "variants": outcome(lambda: host.get_usd_variants(reference)),
    "synced": outcome(lambda: str(host.sync_relationships(reference))),
    "opened": outcome(lambda: str(host.open_usd_stage(reference))),
    "pinned": [[each.reference, each.problem] for each in host.pin_usd(shot).unresolved],
    "copied": [[each.path, each.why] for each in host.localize_usd(shot, out).left],
}
del stage
again = host.open_usd_stage(shot)
found["again"] = [value(again), value(again, "/p1"), value(again, "/a")]
print(json.dumps(found))
""",
        shot,
        gone := show.path("leaf.usda", 2),
        tmp_path / "shot.pins.json",
        tmp_path / "copy",
    )
    found = json.loads(done.stdout.splitlines()[-1])
    reference = "bifrost:///assets/leaf.usda?version=2"

    assert ("leaf 2", [], "leaf 2") == (found["held"], found["refreshed"], found["after"])
    assert (3, 2) == (found["layers"], found["arcs"])
    assert [["missing", reference]] == found["verified"]
    for call in ("metadata", "layer", "variants", "synced", "opened"):
        name, message, remedy = found[call]
        assert "LocationException" == name
        assert str(gone) in message
        assert remedy
    for call in ("pinned", "copied"):
        [[subject, problem]] = found[call]
        assert (reference, True) == (
            subject,
            "is not there" in problem or "no such file" in problem,
        )
    assert [None, "twig", "shot"] == found["again"]


def test_a_version_that_comes_back_is_found_again(show: Show, shot: str, run_python) -> None:
    """
    What was missing once is asked for anew by the next opening, when the failure is remembered no more.
    """
    done = run_python(
        PRELUDE
        + """
shot, gone = sys.argv[1], Path(sys.argv[2])
content = gone.read_bytes()
gone.unlink()
before = value(host.open_usd_stage(shot))
gone.write_bytes(content)
print(json.dumps([before, value(host.open_usd_stage(shot))]))
""",
        shot,
        show.path("leaf.usda", 2),
        env={"BIFROST_CACHE__NEGATIVE_TTL_S": "0"},
    )

    assert [None, "leaf 2"] == json.loads(done.stdout.splitlines()[-1])


def whole(shot: str, tmp_path: Path) -> Path:
    path = tmp_path / "whole.pins.json"
    host.pin_usd(shot, path)
    return path


def test_pins_that_are_cut_off_anywhere_are_refused(shot: str, tmp_path: Path) -> None:
    """
    At every tenth of their length; half a file of pins must not pin half a shot.
    """
    data = whole(shot, tmp_path).read_bytes()
    cut = tmp_path / "cut.pins.json"

    for tenth in range(10):
        cut.write_bytes(data[: len(data) * tenth // 10])
        for call in (host.verify_pins, lambda path: host.diff_pins(path, path)):
            with pytest.raises(ConfigurationError, match="no JSON") as raised:
                call(cut)
            assert str(cut) in raised.value.message


def not_a_file(kind: str, path: Path) -> None:
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(path.name)


@pytest.mark.parametrize("kind", ["FIFO", "device", "folder", "link", "nothing"])
def test_pins_that_are_no_file_are_refused_and_not_waited_for(
    shot: str, tmp_path: Path, run_python, kind: str
) -> None:
    """
    By Python, by the commands, in one line; the stage that should be pinned opens without them.
    """
    pins, good = tmp_path / "odd.pins.json", whole(shot, tmp_path)
    not_a_file(kind, pins)

    for arguments in (("verify", pins), ("diff", good, pins), ("diff", pins, good)):
        done = run_python(MAIN, "usd", "pin", *arguments, check=False, limit_s=LIMIT_S)
        line = done.stderr.splitlines()[-1]
        assert line.startswith(("bifrost: ", "Error: "))  # click's own of a folder, under the usage
        assert str(pins) in line
        assert done.returncode in (1, 2)
        assert "Traceback" not in done.stderr


def test_a_hundred_thousand_pins_are_read_compared_and_written(shot: str, tmp_path: Path) -> None:
    """
    Thirty megabytes, in seconds.
    """
    path, huge = whole(shot, tmp_path), tmp_path / "huge.pins.json"
    data: dict[str, Any] = json.loads(path.read_text())
    [entity, *_] = data["entities"]
    data["entities"] = [
        {**entity, "reference": f"bifrost:///assets/thing_{i}.usda"} for i in range(100_000)
    ]
    huge.write_text(json.dumps(data, indent=1))
    started = monotonic()

    pins = load(huge)
    changes = host.diff_pins(path, huge)

    assert 100_000 == len(pins.entities)
    assert 100_000 <= len(changes)
    assert monotonic() - started < LIMIT_S


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"manager": "org.elsewhere"}, "other manager"),
        ({"openusd": "99.1"}, "other OpenUSD"),
        ({"bifrost_pins": 2}, "a later version"),
    ],
)
def test_pins_of_another_kind_are_told_by_the_command(
    shot: str, tmp_path: Path, run_python, header: dict[str, Any], expected: str
) -> None:
    """
    Another manager or OpenUSD is a warning, and every pin holds; a later format is refused.
    """
    path = whole(shot, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **header}))

    done = run_python(MAIN, "usd", "pin", "verify", path, check=False)

    assert expected in (done.stdout + done.stderr)
    assert ("bifrost_pins" in header) == (done.returncode == 1)
    assert "Traceback" not in done.stderr
