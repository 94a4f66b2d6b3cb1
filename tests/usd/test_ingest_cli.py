# SPDX-License-Identifier: Apache-2.0
"""`bifrost ingest` and `bifrost usd cat|tree|deps|open` as a shell sees them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
# Every file, and the set that the UDIM tiles are together.
ASSETS = 1 + sum(path.is_file() for path in SAMPLES.rglob("*"))
MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"

Bifrost = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def bifrost(run_python) -> Bifrost:
    """Run `bifrost` with arguments in a process of its own."""
    return lambda *arguments: run_python(MAIN, *arguments, check=False)


@pytest.fixture
def out(bifrost: Bifrost, tmp_path: Path) -> Path:
    """The samples, ingested with `--rewrite`."""
    made = tmp_path / "out"
    done = bifrost("ingest", SAMPLES, "--rewrite", made)
    assert done.returncode == 0, done.stderr
    return made


def test_ingest_tells_what_it_did(bifrost: Bifrost) -> None:
    """The answer on stdout, what it is doing on stderr; missing files are no failure."""
    done = bifrost("ingest", SAMPLES)

    assert 0 == done.returncode
    assert f"new versions  {ASSETS}" in done.stdout
    assert "broken_reference/broken.usda: @./statue.usda@" in done.stdout
    assert "hashing files" in done.stderr
    assert "hashing files" not in done.stdout


def test_ingest_json_is_json(bifrost: Bifrost, tmp_path: Path) -> None:
    """And nothing else is on stdout."""
    first = json.loads(bifrost("ingest", SAMPLES, "--json").stdout)
    second = json.loads(bifrost("ingest", SAMPLES, "--json").stdout)

    assert ASSETS == first["assets"] == first["new_versions"] == second["unchanged"]
    assert [["broken_reference/broken.usda", "./statue.usda"]] == first["missing"]
    assert 0 == second["new_versions"]


@pytest.mark.parametrize("out", ["{folder}/inner", "{folder}", "{folder}/.."])
def test_ingest_into_itself_is_wrong_usage(bifrost: Bifrost, tmp_path: Path, out: str) -> None:
    """2, and a line that says why."""
    folder = Path(shutil.copytree(SAMPLES / "instances", tmp_path / "instances"))
    done = bifrost("ingest", folder, "--rewrite", out.format(folder=folder))

    assert 2 == done.returncode
    assert "can't lie" in done.stderr
    assert "Traceback" not in done.stderr


def test_ingest_of_nothing_is_wrong_usage(bifrost: Bifrost, tmp_path: Path) -> None:
    """As for any command with a wrong path."""
    assert 2 == bifrost("ingest", tmp_path / "nothing").returncode


def test_a_new_version_is_what_floats_from_then_on(bifrost: Bifrost, tmp_path: Path) -> None:
    """Ingest drops what the caches hold of what it replaced."""
    folder = Path(shutil.copytree(SAMPLES / "instances", tmp_path / "instances"))
    bifrost("ingest", folder, "--rewrite", tmp_path / "out")
    before = json.loads(bifrost("usd", "deps", "bifrost:///assets/tree.usda", "--json").stdout)
    tree = folder / "tree.usda"
    tree.write_text(tree.read_text().replace("radius = 1.1", "radius = 2.2"))
    bifrost("ingest", folder, "--rewrite", tmp_path / "out")
    after = json.loads(bifrost("usd", "deps", "bifrost:///assets/tree.usda", "--json").stdout)

    assert ("1", "2") == (before[0]["version"], after[0]["version"])


def test_open_counts_and_leaves_with_1_when_something_is_unresolved(
    bifrost: Bifrost, out: Path
) -> None:
    """By path and by reference."""
    good = bifrost("usd", "open", out / "shot/shot.usda", "--json")
    bad = bifrost("usd", "open", "bifrost:///assets/broken_reference.broken.usda", "--json")
    found = json.loads(good.stdout)

    assert (0, 1) == (good.returncode, bad.returncode)
    assert [] == found["unresolved"]
    assert 15 == found["layers"]
    assert found["prims"] > 40
    assert found["milliseconds"] > 0
    assert [str(out / "broken_reference/statue.usda")] == json.loads(bad.stdout)["unresolved"]


def test_tree_draws_the_composed_prims(bifrost: Bifrost, out: Path) -> None:
    """With types, variants, and what lies in instances."""
    lines = bifrost("usd", "tree", "bifrost:///assets/shot.shot.usda").stdout.splitlines()

    assert ["/", "└── World [Xform]"] == lines[:2]
    assert "    │   ├── Blue [Xform, antenna=dish, colour=blue, size=large]" in lines
    assert "    │       ├── Tree_1 [Xform, instance]" in lines
    assert 4 == sum(line.endswith("Crown [Sphere]") for line in lines)


def test_deps_lists_everything_below_with_version_tier_and_file(
    bifrost: Bifrost, out: Path
) -> None:
    """Variants that aren't selected and textures included; plain paths by path."""
    done = bifrost("usd", "deps", out / "shot/shot.usda", "--json")
    rows = {row["reference"]: row for row in json.loads(done.stdout)}
    dish = rows["bifrost:///assets/asset_with_variants.antenna_dish.usda"]
    tiles = rows["bifrost:///assets/payload_and_udim.textures.brick.<UDIM>.png"]

    assert 0 == done.returncode
    assert "file" == rows[str(out / "shot/shot.usda")]["tier"]
    assert ("1", str(out / "asset_with_variants/antenna_dish.usda")) == (
        dish["version"],
        dish["path"],
    )
    assert dish["tier"] in ("manager", "lmdb", "memory")
    assert "bifrost:///assets/asset_with_variants.textures.red.png" in rows
    assert str(out / "payload_and_udim/textures/brick.<UDIM>.png") == tiles["path"]
    assert "attribute" == tiles["kind"]


def test_deps_names_what_does_not_resolve_and_leaves_with_1(bifrost: Bifrost, out: Path) -> None:
    """Which one, why, and which layer names it."""
    done = bifrost("usd", "deps", "bifrost:///assets/broken_reference.broken.usda")
    nothing = bifrost("usd", "deps", "bifrost:///assets/nothing.usda")

    assert (1, 1) == (done.returncode, nothing.returncode)
    assert "statue.usda: no such file (from " in done.stderr
    assert "bifrost:///assets/nothing.usda" in nothing.stderr
    assert "bifrost:///assets/instances.tree.usda" in done.stdout


@pytest.mark.parametrize("command", [["cat"], ["cat", "--flatten"], ["tree"], ["open"]])
@pytest.mark.parametrize("root", ["nothing.usda", "bifrost:///assets/nothing.usda", "broken"])
def test_what_cant_be_opened_is_one_line_and_1(
    bifrost: Bifrost, tmp_path: Path, command: list[str], root: str
) -> None:
    """No traceback, and nothing on stdout that could be taken for an answer."""
    if root == "broken":
        (tmp_path / "broken.usda").write_text("#usda 1.0\ndef {")
        root = str(tmp_path / "broken.usda")
    done = bifrost("usd", *command, root)

    assert 1 == done.returncode
    assert "" == done.stdout
    assert f"bifrost: {root}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_cat_to_a_place_that_cant_be_written_is_one_line_and_1(
    bifrost: Bifrost, tmp_path: Path
) -> None:
    """As any other failure."""
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "tree.usda"
    done = bifrost("usd", "cat", SAMPLES / "instances/tree.usda", "-o", target)

    assert 1 == done.returncode
    assert "Traceback" not in done.stderr
