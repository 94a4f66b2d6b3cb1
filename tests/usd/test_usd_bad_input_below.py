# SPDX-License-Identifier: Apache-2.0
"""
Layers under a root that are no layers: the rest is there, who names them and why is told, nobody waits.

Where OpenUSD itself would wait for a layer without end, or die of it, no stage is composed at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bifrost.testing.show import Show, layer

CALLS = """
import json, sys
from pathlib import Path
from bifrost import bifrost_host as host
from bifrost.errors import BifrostError

def outcome(call):
    try:
        return call()
    except BifrostError as error:
        return [str(error.code), error.message, error.remedy]
    except BaseException as error:
        return [type(error).__name__, str(error)]

def opened(root):
    stage = host.open_usd_stage(root)
    return bool(stage.GetPrimAtPath("/a"))

def closure(root):
    return [[arc.target, arc.problem] for arc in host.extract_arcs(root, closure=True)]

def pinned(root, **more):
    return [[each.reference, each.problem] for each in host.pin_usd(root, **more).unresolved]

def copied(root, out):
    made = host.localize_usd(root, out)
    package = host.package_usd(root, out.with_suffix(".usdz"))
    return [[each.path, each.why] for each in (*made.left, *package.left)]

cases, out = json.loads(sys.argv[1]), Path(sys.argv[2])
for number, (name, root) in enumerate(cases.items()):
    calls = {
        "opened": lambda: opened(root),
        "opened again": lambda: opened(root),
        "layers": lambda: len(host.get_usd_layers(root)),
        "arcs": lambda: len(host.extract_arcs(root)),
        "closure": lambda: closure(root),
        "pinned": lambda: pinned(root),
        "pinned as selected": lambda: pinned(root, selected_variants=True),
        "copied": lambda: copied(root, out / str(number)),
        "published": lambda: host.register_asset("model", f"new {number}", root),
    }
    cases[name] = found = {}
    for call, run in calls.items():
        print(name, call, file=sys.stderr, flush=True)  # the last one is where it hung
        found[call] = outcome(run)
print(json.dumps(cases))
"""
ROOT = '#usda 1.0\n(defaultPrim = "a")\ndef "a" {{\n}}\ndef "p" (references = @{}@) {{\n}}\n'
HEADER = b"#usda 1.0\n"

OPENS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "broken": ("x.usda", lambda path: path.write_bytes(HEADER + b'def "a" {\n'), "Expected }"),
    "empty": ("x.usda", Path.touch, "it is empty"),
    "text called .usdc": (
        "x.usdc", lambda path: path.write_bytes(layer().encode()), "it is a text layer",
    ),
    "cut off": ("x.usdc", lambda path: path.write_bytes(b"PXR-USDC" + bytes(8)), "cut off"),
    "a folder": ("x.usda", Path.mkdir, "no regular file"),
    "nothing": ("x.usda", lambda _: None, "no such file"),
    "a link to itself": ("x.usda", lambda path: path.symlink_to("x.usda"), "no such file"),
    "a name without end": ("x" * 5_000 + ".usda", lambda _: None, "no such file"),
    "a reference without end": (
        "bifrost:///assets/" + "x" * 100_000, lambda _: None, "at most 512 bytes",
    ),
}  # fmt: skip
HANGS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "a FIFO": ("x.usda", os.mkfifo, "no regular file"),
    "a device": ("x.usda", lambda path: path.symlink_to("/dev/zero"), "no regular file"),
    "too deep": (
        "x.usda", lambda path: path.write_bytes(HEADER + b'def "a" {\n' * 60_000), "2000 deep",
    ),
    "too many parentheses": (
        "x.usda",
        lambda path: path.write_bytes(HEADER + b'def "a" {\n int v = ' + b"(" * 50_000 + b"\n}\n"),
        "2000 deep",
    ),
}  # fmt: skip


@pytest.fixture
def outcomes(run_python, show: Show, tmp_path: Path):
    """Put each thing beside a root that names it; make every call about the root in one process."""

    def run(table: dict[str, tuple[str, Callable[[Path], Any], str]]) -> dict[str, dict[str, Any]]:
        cases = {}
        for number, (case, (name, place, _)) in enumerate(table.items()):
            root = show.folder / str(number) / "root.usda"
            root.parent.mkdir(parents=True)
            target = name if ":" in name else f"./{name}"
            if target != name:
                place(root.with_name(name))
            root.write_text(ROOT.format(target))
            cases[case] = str(root)
        out = tmp_path / "out"
        out.mkdir()
        done = run_python(CALLS, json.dumps(cases), out)
        found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        for case, root in cases.items():  # nobody wrote into them
            target = table[case][0]
            expected = ROOT.format(target if ":" in target else f"./{target}")
            assert expected == Path(root).read_text()
        return found

    return run


def is_told(found: list[list[str]], expected: str) -> bool:
    """Whether each trouble in a list of [what, why] is the expected one, and there is one."""
    return bool(found) and all(len(each) == 2 and expected in each[1] for each in found if each[1])


def test_what_is_wrong_below_is_told_and_the_rest_opens(outcomes) -> None:
    """
    By closures, pins and copies with what names it and why; a stage opens with what there is.
    """
    found = outcomes(OPENS)

    assert dict.fromkeys(OPENS, (True, True, 1, 1)) == {
        case: (calls["opened"], calls["opened again"], calls["layers"], calls["arcs"])
        for case, calls in found.items()
    }
    assert {} == {
        (case, call): calls[call]
        for case, calls in found.items()
        for call in ("closure", "pinned", "pinned as selected", "copied")
        if not is_told(calls[call], OPENS[case][2])
    }
    assert {"refused"} == {calls["published"][0] for calls in found.values()}


def test_nothing_below_is_waited_for_without_end(outcomes) -> None:
    """
    No stage is composed of it, the second time neither: the message says of what, and who names it.
    """
    found = outcomes(HANGS)

    assert {} == {
        (case, call): calls[call]
        for case, calls in found.items()
        for call in ("opened", "opened again", "layers", "pinned as selected")
        if calls[call][0] != "not_a_layer"
        or not all(part in calls[call][1] for part in ("x.usda", HANGS[case][2], "root.usda"))
    }
    assert {} == {
        (case, call): calls[call]
        for case, calls in found.items()
        for call in ("closure", "pinned", "copied")
        if not is_told(calls[call], HANGS[case][2])
    }
    assert {"refused"} == {calls["published"][0] for calls in found.values()}


def test_a_broken_layer_comes_along_in_a_copy(show: Show, tmp_path: Path) -> None:
    """
    Byte for byte: what could not be read may be mended later.
    """
    from bifrost import bifrost_host

    root = show.root("root.usda", "./broken.usda")
    root.with_name("broken.usda").write_bytes(HEADER + b'def "a" {\n')

    made = bifrost_host.localize_usd(str(root), tmp_path / "copy")

    assert ["broken.usda"] == [Path(each.path).name for each in made.left]
    assert HEADER + b'def "a" {\n' == (tmp_path / "copy" / "broken.usda").read_bytes()
