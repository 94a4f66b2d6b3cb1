# SPDX-License-Identifier: Apache-2.0
"""
`bifrost migrate stage`: paths become references and back, and what composes stays what it was.

Each run is a process of its own, with the built plugin, as on the command line.
"""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pxr import Sdf

from bifrost.catalogue import Catalogue
from bifrost.integrations.migrating.assets import migrate as take_over
from bifrost.settings import load

USD_WG = Path(__file__).resolve().parents[3] / "shared" / "data" / "usd_wg"
MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"
DUMP = """
import sys
from bifrost.usd import stage
stage.warm()
from pxr import Usd
from bifrost.usd.dump import canonical_dump
print(canonical_dump(Usd.Stage.Open(sys.argv[1]), sys.argv[2]))
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stage(run_python: Run) -> Run:
    """Run `bifrost migrate stage`."""
    return lambda *arguments: run_python(MAIN, "migrate", "stage", *arguments, check=False)


@pytest.fixture
def store(tmp_path: Path, own_home: Path) -> Path:
    """An old tree, taken into the catalogue: a robot in two versions, a wood, a set of tiles."""
    root = tmp_path / "show" / "assets"
    for number in (1, 2):
        text = (
            '#usda 1.0\n(\n    defaultPrim = "Robot"\n)\n\ndef Xform "Robot"\n{\n'
            f"    double size = {number}\n    asset own = @./beside.txt@\n}}\n"
        )
        write(root / f"asset_robot/v00{number}/robot.usda", text)
        write(root / f"asset_robot/v00{number}/z_beside.txt", "x")
    write(root / "asset_wood/v001/wood.png", "wood")
    with Catalogue.open(load().catalogue_url) as catalogue:
        assert [] == take_over(root, catalogue).troubles
    return root


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


SHOT = """\
#usda 1.0
(
    subLayers = [ @./layers/light.usda@ ]   # of the shot's own
)

# The old robot stays old: @../assets/asset_robot/v001/robot.usda@
// It's @../assets/asset_robot/v001/robot.usda@
/* Don't: @../assets/asset_robot/v001/robot.usda@
   ("nor this) */
def "Old" ( references = @../assets/asset_robot/v001/robot.usda@ ) {}
def "New" ( prepend payload = @../assets/asset_robot/v002/robot.usda@</Robot> (offset = 3) )
{
    asset wood = @../assets/asset_wood/v001/wood.png@
    asset[] many = [@../assets/asset_wood/v001/wood.png@, @@, @./nothing.png@]
    string text = "@../assets/asset_wood/v001/wood.png@"
    variantSet "look" = {
        "worn" ( references = @../assets/asset_robot/v001/robot.usda@ ) {}
    }
}
"""
REFERENCES = SHOT
for _old, _new in {
    "references = @../assets/asset_robot/v001/robot.usda@": "references = @bifrost:///assets/asset_robot?version=1@",
    "payload = @../assets/asset_robot/v002/robot.usda@": "payload = @bifrost:///assets/asset_robot@",
    "wood = @../assets/asset_wood/v001/wood.png@": "wood = @bifrost:///assets/asset_wood@",
    "[@../assets/asset_wood/v001/wood.png@": "[@bifrost:///assets/asset_wood@",
}.items():
    REFERENCES = REFERENCES.replace(_old, _new)


@pytest.fixture
def shot(store: Path) -> Path:
    """A shot beside the tree."""
    folder = store.parent / "shots"
    write(folder / "layers/light.usda", '#usda 1.0\n\ndef "Light"\n{\n}\n')
    return write(folder / "shot.usda", SHOT)


def test_paths_become_references_and_nothing_else_changes(stage: Run, shot: Path) -> None:
    """The newest version floats, an earlier one is named; comments and blanks are where they were."""
    done = stage(shot, "--write")

    assert 0 == done.returncode, done.stderr
    assert REFERENCES == shot.read_text()
    assert f"left: {shot}: @./nothing.png@, it leads to nothing" in done.stderr
    assert "@./layers/light.usda@, no version of any asset lies there" in done.stderr
    assert {"shot.usda", "layers"} == {each.name for each in shot.parent.iterdir()}


def test_what_composes_is_what_composed(stage: Run, shot: Path, run_python: Run) -> None:
    """Dumped by another process, before and after."""
    before = run_python(DUMP, shot, shot.parent.parent).stdout
    assert 0 == stage(shot, "--write").returncode

    assert before == run_python(DUMP, shot, shot.parent.parent).stdout
    assert "double size = 1" in before
    assert "double size = 2" in before


def test_without_write_the_file_stays(stage: Run, shot: Path) -> None:
    """What would change is listed, and the exit code says that something would."""
    done = stage(shot)

    assert 1 == done.returncode
    assert SHOT == shot.read_text()
    old, new = "../assets/asset_wood/v001/wood.png", "bifrost:///assets/asset_wood"
    assert f"{shot}: @{old}@ → @{new}@" in done.stdout.splitlines()


def test_a_second_run_finds_nothing_to_do(stage: Run, shot: Path) -> None:
    """Not even the file's time changes."""
    stage(shot, "--write")
    before = shot.stat().st_mtime_ns

    done = stage(shot, "--write")

    assert (0, "") == (done.returncode, done.stdout)
    assert before == shot.stat().st_mtime_ns


def test_and_back(stage: Run, shot: Path, store: Path, run_python: Run) -> None:
    """Into absolute paths: a file elsewhere has no better name."""
    before = run_python(DUMP, shot, shot.parent.parent).stdout
    stage(shot, "--write")

    assert 0 == stage(shot, "--to-paths", "--write").returncode

    assert SHOT.replace("= @../assets", f"= @{store}").replace("[@../assets", f"[@{store}") == (
        shot.read_text()
    )
    assert before == run_python(DUMP, shot, shot.parent.parent).stdout
    assert 0 == stage(shot, "--to-paths").returncode


def test_paths_below_the_layers_own_folder_are_relative(stage: Run, store: Path) -> None:
    """There and back, a layer over the tree is what it was, to the byte."""
    text = '#usda 1.0\n\ndef "R" ( references = @./asset_robot/v002/robot.usda@ )\n{\n}\n'
    over = write(store / "over.usda", text)

    assert 0 == stage(over, "--write").returncode
    assert text != over.read_text()
    assert 0 == stage(over, "--to-paths", "--write").returncode
    assert text == over.read_text()


def test_pinned_references_name_the_versions_of_today(stage: Run, shot: Path) -> None:
    """For a shot that is done."""
    assert 0 == stage(shot, "--pin", "--write").returncode

    assert "payload = @bifrost:///assets/asset_robot?version=2@" in shot.read_text()


def test_as_json(stage: Run, shot: Path) -> None:
    """The same, for programs."""
    done = stage(shot, "--json")

    [row] = json.loads(done.stdout)
    assert {"file", "edits", "left", "is_written", "problem"} == set(row)
    assert 3 == len(row["edits"])
    assert (False, "") == (row["is_written"], row["problem"])
    assert ["./layers/light.usda", "./nothing.png"] == [each["path"] for each in row["left"]]


@pytest.mark.parametrize("name", ["a.usdc", "a.usd"])
def test_crate_stays_crate(stage: Run, shot: Path, name: str) -> None:
    """Modes stay as well, and a link stays a link."""
    file = shot.parent / name
    Sdf.Layer.FindOrOpen(str(shot)).Export(str(file), args={"format": "usdc"})
    file.chmod(0o640)
    link = shot.parent / "link.usd"
    link.symlink_to(file)

    done = stage(link if name.endswith(".usd") else file, "--write")

    assert 0 == done.returncode, done.stderr
    assert file.read_bytes().startswith(b"PXR-USDC")
    assert 0o640 == stat.S_IMODE(file.stat().st_mode)
    assert link.is_symlink()
    assert "bifrost:///assets/asset_wood" in Sdf.Layer.OpenAsAnonymous(str(file)).ExportToString()


def test_a_published_file_stays_as_it_is(stage: Run, store: Path) -> None:
    """A version is written once; what to do instead is said."""
    file = store / "asset_cage/v001/cage.usda"
    write(file, '#usda 1.0\n\ndef "C" ( references = @../../asset_robot/v002/robot.usda@ ) {}\n')
    with Catalogue.open(load().catalogue_url) as catalogue:
        take_over(store, catalogue)
    before = file.read_text()

    done = stage(file, "--write")

    assert 2 == done.returncode
    assert before == file.read_text()
    assert "it is published, as bifrost:///assets/asset_cage, and stays as it is." in done.stderr


def test_a_read_only_file_stays(stage: Run, shot: Path) -> None:
    """Whoever made it so meant it."""
    shot.chmod(0o444)

    done = stage(shot, "--write")

    assert 2 == done.returncode
    assert SHOT == shot.read_text()
    assert f"bifrost: {shot}: it is read-only" in done.stderr


def test_what_would_compose_to_something_else_is_not_written(
    stage: Run, shot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a policy by which the newest version isn't what floats, floating references lie."""
    monkeypatch.setenv("BIFROST_CONTEXT", "version=1")

    done = stage(shot, "--write")

    assert 2 == done.returncode
    assert SHOT == shot.read_text()
    assert "it would compose to something else:" in done.stderr


def test_arcs_to_one_file_by_two_paths_are_not_folded_into_one(
    stage: Run, store: Path, run_python: Run
) -> None:
    """Sdf takes nothing into a list twice, and by two names USD would compose the file twice."""
    paths = ("./asset_robot/v002/robot.usda", "asset_robot/v002/robot.usda")
    listed = ", ".join(f"@{path}@" for path in paths)
    over = write(store / "over.usda", f'#usda 1.0\n\ndef "R" ( references = [{listed}] )\n{{\n}}\n')
    before = run_python(DUMP, over, store).stdout

    done = stage(over, "--write")

    assert 0 == done.returncode
    assert "by another path the same is in that list, too" in done.stderr
    assert before == run_python(DUMP, over, store).stdout


ALIASES = (
    '#usda 1.0\n\ndef "A" ( references = @./asset_robot/latest/robot.usda@ ) {}\n'
    'def "B" ( references = @./asset_robot/v002/robot.usda@ ) {}\n'
)


def test_a_file_by_a_link_and_by_its_own_name_is_one_asset(
    stage: Run, store: Path, run_python: Run
) -> None:
    """In one layer, and in two that are scanned together."""
    (store / "asset_robot/latest").symlink_to("v002")
    (store / "shots").mkdir()
    both = write(store / "shots/both.usda", ALIASES.replace("./", "../"))
    own = write(store / "shots/own.usda", ALIASES.replace("./", "../").replace("latest", "v002"))

    told = json.loads(
        run_python(MAIN, "migrate", "scan", store / "shots", "--json", check=False).stdout
    )
    done = stage(both, "--write")

    assert [(str(both), "latest"), (str(both), "v002"), (str(own), "v002")] == [
        (each["file"], each["path"].split("/")[-2]) for each in told["usd"]
    ]
    assert 0 == done.returncode, done.stderr
    assert 2 == both.read_text().count("references = @bifrost:///assets/asset_robot@")


def test_a_relative_search_path_is_one_below_the_working_folder(
    stage: Run, store: Path, run_python: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As USD takes it."""
    monkeypatch.chdir(store.parent)
    monkeypatch.setenv("PXR_AR_DEFAULT_SEARCH_PATH", store.name)
    text = '#usda 1.0\n\ndef "R" ( references = @asset_robot/v002/robot.usda@ ) {}\n'
    shot = write(store.parent / "shots/search.usda", text)

    scan = run_python(MAIN, "migrate", "scan", shot, "--json", check=False)
    done = stage(shot, "--write")

    assert ["asset_robot/v002/robot.usda"] == [
        each["path"] for each in json.loads(scan.stdout)["usd"]
    ]
    assert 0 == done.returncode, done.stderr
    assert "references = @bifrost:///assets/asset_robot@" in shot.read_text()


def test_what_usd_cannot_read_is_trouble_and_the_rest_is_done(stage: Run, shot: Path) -> None:
    """Each file for itself; the exit code is 2."""
    bad = write(shot.parent / "bad.usda", "#usda 1.0\ndef {")
    package = write(shot.parent / "p.usdz", "PK\x03\x04")

    done = stage(bad, package, shot, "--write")

    assert 2 == done.returncode
    assert REFERENCES == shot.read_text()
    assert f"bifrost: {bad}: " in done.stderr
    assert f"bifrost: {package}: " in done.stderr


def test_another_manager_cannot_say_what_lies_at_a_path(
    stage: Run, shot: Path, run_python: Run, tmp_path: Path
) -> None:
    """OpenAssetIO has no such question; it is trouble, and not an answer."""
    config = tmp_path / "bal.toml"
    library = write(tmp_path / "library.json", '{"entities": {}}')
    config.write_text(
        '[manager]\nidentifier = "org.openassetio.examples.manager.bal"\n'
        f'[manager.settings]\nlibrary_path = "{library}"\n'
    )

    done = run_python(
        MAIN, "migrate", "stage", shot, check=False, env={"OPENASSETIO_DEFAULT_CONFIG": str(config)}
    )

    assert 2 == done.returncode
    assert "not supported by org.openassetio.examples.manager.bal" in done.stderr


def test_scan_finds_what_stage_would_change(run_python: Run, shot: Path, stage: Run) -> None:
    """And is clean behind it, but for what is published."""
    scan = [MAIN, "migrate", "scan", shot.parent, "--json"]

    before = run_python(*scan, check=False)
    stage(shot, "--write")
    after = run_python(*scan, check=False)

    told: dict[str, Any] = json.loads(before.stdout)
    assert (1, 0) == (before.returncode, after.returncode)
    assert [
        "bifrost:///assets/asset_robot",
        "bifrost:///assets/asset_robot?version=1",
        "bifrost:///assets/asset_wood",
    ] == sorted(each["reference"] for each in told["usd"])
    assert {str(shot)} == {each["file"] for each in told["usd"]}
    assert [] == json.loads(after.stdout)["usd"]


@pytest.mark.skipif(not USD_WG.is_dir(), reason=f"{USD_WG} is absent: no real assets to migrate")
def test_a_real_asset(run_python: Run, stage: Run, tmp_path: Path, own_home: Path) -> None:
    """The chess set, whose files became assets: every layer's paths, text and crate, there and back."""
    from bifrost.usd.ingest import ingest

    show = Path(shutil.copytree(USD_WG / "full_assets/OpenChessSet", tmp_path / "chess"))
    for path in [show, *show.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    with Catalogue.open(load().catalogue_url) as catalogue:
        ingest(show, catalogue)
    # Its root is a layer of one's own; all that it names is published.
    mine = Path(shutil.copy(show / "chess_set.usda", show / "mine.usda"))
    before = run_python(DUMP, mine, show).stdout

    there = stage(mine, "--write")
    assert 0 == there.returncode, there.stderr
    assert "@bifrost:///assets/" in mine.read_text()
    assert before == run_python(DUMP, mine, show).stdout

    back = stage(mine, "--to-paths", "--write")
    assert 0 == back.returncode, back.stderr
    assert (show / "chess_set.usda").read_text() == mine.read_text()
