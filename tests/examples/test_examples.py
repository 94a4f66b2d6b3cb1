# SPDX-License-Identifier: Apache-2.0
"""Every example runs as its docstring says, prints what it promises, and leaves nothing behind."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bifrost.errors import ConfigurationError
from bifrost.usd import env

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
LIMIT_S = 120.0


@pytest.fixture
def run(tmp_path: Path):
    """Run an example in a process of its own, from the repository's folder; return its lines."""

    def ran(name: str) -> list[str]:
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        done = subprocess.run(
            [sys.executable, f"examples/{name}.py"],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": str(scratch)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert [] == list(scratch.glob("bifrost-example-*")), "its folder is gone when it ends"
        return done.stdout.splitlines()

    return ran


@pytest.fixture
def plugin() -> None:
    """The resolver plugin, which some examples open stages with."""
    try:
        env.library()
    except ConfigurationError:
        pytest.skip("the plugin is not installed")


def test_a_hook_that_fails_undoes_nothing_and_is_called_again(run) -> None:
    lines = run("publish_hook")

    assert "published bifrost:///assets/chair?version=1" == lines[0]
    assert lines[1].startswith("dailies: FileNotFoundError")
    assert [
        "resumed: post-registered",
        "for dailies:",
        "bifrost:///assets/chair?version=1: first go",
        "bifrost:///assets/chair?version=2: it has a back now",
    ] == lines[2:]


def test_a_validators_error_stops_a_publish_and_its_warning_does_not(run) -> None:
    assert [
        'error: /Lamp has no kind: give it `kind = "component"`',
        "warning: /Lamp has nothing in it",
        "there is a lamp: False",
        "published bifrost:///assets/Lamp",
        "warned of: empty",
    ] == run("validator")


def test_a_manager_of_ones_own_answers_python_and_usd(run, plugin: None) -> None:
    """Today's chair has a back, the first one none."""
    lines = run("custom_manager")

    assert ["Chair 2 of com.example.studio: chair_2.usda", "the table has no studio:///table"] == (
        lines[:2]
    )
    names = re.findall(r"(\w+) \[", "\n".join(lines[2:]))
    assert [
        "Garden",
        "Tree",
        "Trunk",
        "Crown",
        "Chair",
        "Seat",
        "Back",
        "OldChair",
        "Seat",
    ] == names


def test_a_job_renders_what_was_submitted(run, plugin: None) -> None:
    assert [
        "submitted: 2 references, 0 other files",
        "artist: the chair is made of Seat Back",
        "farm:   the chair is made of Seat",
    ] == run("farm_submission")


def test_a_host_without_usd_reads_and_writes(run) -> None:
    assert [
        "wrote bifrost:///assets/plate?version=1",
        "read  [200, 40, 90]",
        "wrote bifrost:///assets/plate?version=2",
        "read  [55, 215, 165]",
        "read  [200, 40, 90] which stays as it was",
        "versions 2, 1",
    ] == run("nuke_like_host")


def test_the_host_without_usd_is_one_without_bifrost_too() -> None:
    """What it imports, any host of OpenAssetIO has."""
    tree = ast.parse((EXAMPLES / "nuke_like_host.py").read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {"openassetio", "openassetio_mediacreation", "pathlib"} == {
        each.partition(".")[0] for each in modules
    }


def test_a_batch_holds_up_no_event_loop(run) -> None:
    assert [
        "registered 60",
        "resolved 60 of 62",
        "bifrost:///assets/brick_60: not_found",
        "bifrost:///assets/brik_7: not_found",
        "the window was redrawn meanwhile: True",
    ] == run("async_batch")


def test_the_numbers_are_those_of_what_was_asked(run) -> None:
    """A hundred questions and a wrong one; only the first of each reached the manager."""
    lines = run("monitoring")

    assert (
        "bifrost:///assets/Chiar: did you mean bifrost:///assets/Chair?",
        "calls: 101, of which failed: {'not_found': 1}",
        "round trips to the manager: 2",
    ) == tuple(lines[:3])
    assert "furnish_room: 1 time" in lines
    assert "cache memory: 99 hits, 2 misses" in lines
    assert "bifrost_manager_round_trips_total 2.0" in lines


# What they are like, all of them


def test_every_example_has_a_test() -> None:
    ran = re.findall(r'run\("(\w+)"\)', Path(__file__).read_text(encoding="utf-8"))

    assert [path.stem for path in SCRIPTS] == sorted(set(ran))


def test_every_example_is_in_the_readme() -> None:
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")

    assert [path.name for path in SCRIPTS] == sorted(
        re.findall(r"^\| \[(\w+\.py)\]", readme, re.MULTILINE)
    )


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_says_how_to_run_it_and_is_short(path: Path) -> None:
    """Two minutes from top to bottom."""
    text = path.read_text(encoding="utf-8")

    assert f"    python examples/{path.name}\n" in ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 140


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.stem)
def test_an_example_uses_what_is_public(path: Path) -> None:
    """Names that `bifrost` offers, and the types of plug-ins that docs/catalogue.md names."""
    import bifrost
    from bifrost import publishing

    offered = {"bifrost": bifrost.__all__, "bifrost.publishing": publishing.__all__}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "bifrost":
            assert node.module in offered
            assert {each.name for each in node.names} <= set(offered[node.module])
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_") or node.attr.endswith("__")
