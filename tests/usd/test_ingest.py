# SPDX-License-Identifier: Apache-2.0
"""Plain ingest: files registered where they lie, once for each content."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from bifrost.catalogue import Catalogue, Dependency, VersionRecord
from bifrost.errors import ConfigurationError
from bifrost.usd.ingest import ingest

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
LAYER = '#usda 1.0\ndef "A" (\n    references = {references}\n)\n{{\n}}\n'


def layer(path: Path, *references: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = ", ".join(f"@{each}@</A>" for each in references)
    path.write_text(LAYER.format(references=f"[{listed}]"))
    return path


def newest(catalogue: Catalogue, asset_id: str) -> VersionRecord:
    (found,) = catalogue.resolve([(asset_id, None)])
    assert isinstance(found, VersionRecord), found
    return found


def needs(catalogue: Catalogue, asset_id: str) -> set[tuple[str, str | None, str]]:
    record = newest(catalogue, asset_id)
    return {tuple(each) for each in catalogue.dependencies(asset_id, record.number)}


def state(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(path): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_file_is_an_asset_where_it_lies(catalogue: Catalogue) -> None:
    """Layers, textures, tiles and a set of tiles; the samples' own README too."""
    report = ingest(SAMPLES, catalogue)
    files = [path for path in SAMPLES.rglob("*") if path.is_file()]

    assert len(files) + 1 == report.assets == report.new_versions
    assert (SAMPLES / "shot/shot.usda").as_uri() == newest(catalogue, "shot.shot.usda").location
    assert "texture" == newest(catalogue, "shot.textures.sky.png").asset_type
    assert (
        "broken_reference/broken.usda",
        "crowd/crowd.usda",
        "shot/shot.usda",
        "versions_and_statuses/room_as_it_was.usda",
    ) == report.roots


def test_nothing_in_the_folder_changes(catalogue: Catalogue, tmp_path: Path) -> None:
    """No byte, no mode, no time, no file more or less."""
    folder = Path(shutil.copytree(SAMPLES, tmp_path / "samples"))
    before = state(folder)
    ingest(folder, catalogue)

    assert before == state(folder)


def test_arcs_become_dependencies_of_their_kind(catalogue: Catalogue) -> None:
    """Floating, the clips of a template each by itself, a UDIM set as one."""
    ingest(SAMPLES, catalogue)

    assert {
        (f"shot.{name}.usda", None, "sublayer")
        for name in ("animation", "camera", "lighting", "layout")
    } == needs(catalogue, "shot.shot.usda")
    assert ("instances.avenue.usda", None, "payload") in needs(catalogue, "shot.layout.usda")
    house = needs(catalogue, "payload_and_udim.house.usda")
    assert ("payload_and_udim.textures.brick.<UDIM>.png", None, "attribute") in house
    assert ("payload_and_udim.house_geometry.usda", None, "metadata") in house
    drone = {asset_id for asset_id, _, kind in needs(catalogue, "value_clips.drone.usda")}
    assert {f"value_clips.clips.flight.00{n}.usda" for n in range(1, 5)} <= drone
    assert "value_clips.clips.lamp_manifest.usda" in drone


def test_pinned_dependencies_name_versions(catalogue: Catalogue, folder: Path) -> None:
    """The version of today, not the one that comes tomorrow."""
    layer(folder / "leaf.usda")
    layer(folder / "root.usda", "./leaf.usda")
    ingest(folder, catalogue, pin=True)

    assert {("leaf.usda", "1", "reference")} == needs(catalogue, "root.usda")


def test_a_second_run_makes_nothing(catalogue: Catalogue) -> None:
    """Idempotent: same files, same versions."""
    first = ingest(SAMPLES, catalogue)
    second = ingest(SAMPLES, catalogue)

    assert 0 == second.new_versions
    assert first.assets == second.unchanged
    assert first.dependencies == second.dependencies


def test_only_what_changed_gets_a_version(catalogue: Catalogue, folder: Path) -> None:
    """The layer that names it is as it was."""
    leaf = layer(folder / "leaf.usda")
    layer(folder / "root.usda", "./leaf.usda")
    ingest(folder, catalogue)
    leaf.write_text(leaf.read_text() + "\n# changed\n")
    report = ingest(folder, catalogue)

    assert ("bifrost:///assets/leaf.usda?version=2",) == report.published
    assert 1 == newest(catalogue, "root.usda").number


def test_ids_that_collide_are_the_same_on_every_run(catalogue: Catalogue, folder: Path) -> None:
    """And each file keeps its own."""
    layer(folder / "a/b.usda")
    layer(folder / "a.b.usda", "./a/b.usda")
    first = ingest(folder, catalogue)
    second = ingest(folder, catalogue)

    assert 2 == first.new_versions
    assert 0 == second.new_versions
    ((target, _, _),) = {
        edge for record in catalogue.assets() for edge in catalogue.dependencies(record.asset_id, 1)
    }
    assert (folder / "a/b.usda").as_uri() == newest(catalogue, target).location


def test_what_leads_nowhere_and_out_of_the_folder_is_reported(
    catalogue: Catalogue, folder: Path, tmp_path: Path
) -> None:
    """Neither is a dependency."""
    outside = layer(tmp_path / "outside.usda")
    layer(folder / "root.usda", "./gone.usda", "../outside.usda", str(outside), "http://a/b.usd")
    report = ingest(folder, catalogue)

    assert (("root.usda", "./gone.usda"),) == report.missing
    assert {("root.usda", "../outside.usda"), ("root.usda", str(outside))} == set(report.outside)
    assert set() == needs(catalogue, "root.usda")


def test_a_broken_layer_is_registered_and_reported(catalogue: Catalogue, folder: Path) -> None:
    """It is a file like any other; what it names nobody knows."""
    (folder / "broken.usda").write_text("#usda 1.0\ndef {")
    report = ingest(folder, catalogue)

    assert 1 == report.new_versions
    assert 0 == report.layers
    ((name, reason),) = report.unreadable
    assert "broken.usda" == name
    assert "it doesn't parse" in reason


def test_dotfiles_and_links_that_lead_out_or_round_are_left_out(
    catalogue: Catalogue, folder: Path, tmp_path: Path
) -> None:
    """Only what a person would call the folder's files."""
    layer(folder / "sub/real.usda")
    layer(folder / ".hidden/secret.usda")
    (folder / ".dot.usda").write_text("#usda 1.0\n")
    layer(tmp_path / "elsewhere/outside.usda")
    (folder / "out").symlink_to(tmp_path / "elsewhere")
    (folder / "out.usda").symlink_to(tmp_path / "elsewhere/outside.usda")
    (folder / "sub/round").symlink_to(folder)
    (folder / "dead.usda").symlink_to(folder / "nothing")
    (folder / "inner.usda").symlink_to(folder / "sub/real.usda")
    report = ingest(folder, catalogue)

    assert {"inner.usda", "sub.real.usda"} == {each.asset_id for each in catalogue.assets()}
    assert ["dead.usda", "out", "out.usda", "sub/round"] == [name for name, _ in report.left_out]


def test_a_name_that_no_reference_can_say_is_left_out(catalogue: Catalogue, folder: Path) -> None:
    """The rest is registered."""
    layer(folder / "good.usda")
    (folder / "new\nline.usda").write_text("#usda 1.0\n")
    with open(os.fsencode(folder) + b"/latin\xe9.usda", "w") as file:
        file.write("#usda 1.0\n")
    report = ingest(folder, catalogue)

    assert 1 == report.assets
    assert 2 == len(report.left_out)


def test_search_paths_come_after_the_layers_own_folder(
    catalogue: Catalogue, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `ArDefaultResolver` does it."""
    layer(folder / "library/both.usda")
    layer(folder / "library/only.usda")
    layer(folder / "shot/both.usda")
    layer(folder / "shot/root.usda", "both.usda", "only.usda", "./only.usda")
    monkeypatch.setenv("PXR_AR_DEFAULT_SEARCH_PATH", str(folder / "library"))
    report = ingest(folder, catalogue)

    assert {
        ("shot.both.usda", None, "reference"),
        ("library.only.usda", None, "reference"),
    } == needs(catalogue, "shot.root.usda")
    assert (("shot/root.usda", "./only.usda"),) == report.missing


def test_references_that_a_layer_already_holds_are_dependencies_when_they_mean_something(
    catalogue: Catalogue, folder: Path
) -> None:
    """The others are reported: the catalogue can't depend on what it doesn't know."""
    layer(folder / "leaf.usda")
    layer(
        folder / "root.usda",
        "bifrost:///assets/leaf.usda",
        "bifrost:///assets/unknown.usda",
        "bifrost:///assets/leaf.usda?version=7",
    )
    report = ingest(folder, catalogue)

    assert {("leaf.usda", None, "reference")} == needs(catalogue, "root.usda")
    assert 2 == len(report.missing)


def test_a_version_that_the_run_itself_makes_is_not_missing(
    catalogue: Catalogue, folder: Path
) -> None:
    """What is reported is what leads nowhere once the run is over."""
    layer(folder / "leaf.usda")
    layer(folder / "root.usda", "bifrost:///assets/leaf.usda?version=1")
    report = ingest(folder, catalogue)

    assert () == report.missing


def test_a_udim_set_is_one_templated_asset_that_changes_with_its_tiles(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    """Beside the tiles' own assets."""
    folder = Path(shutil.copytree(SAMPLES / "payload_and_udim", tmp_path / "house"))
    ingest(folder, catalogue)
    first = newest(catalogue, "textures.brick.<UDIM>.png")
    (folder / "textures/brick.1002.png").write_bytes(b"another brick")
    ingest(folder, catalogue)
    second = newest(catalogue, "textures.brick.<UDIM>.png")

    assert first.templated
    assert first.location.endswith("textures/brick.%3CUDIM%3E.png")
    assert (1, 2) == (first.number, second.number)
    assert 1 == newest(catalogue, "textures.brick.1001.png").number


def test_progress_is_told_on_the_calling_thread_up_to_the_end(catalogue: Catalogue) -> None:
    """Each step ends with all of its items."""
    told: list[tuple[str, int, int]] = []
    ingest(SAMPLES, catalogue, progress=lambda *each: told.append(each))
    last = {step: (done, total) for step, done, total in told}

    assert ["hashing files", "reading layers", "preparing", "registering"] == list(last)
    assert all(done == total for step, (done, total) in last.items() if step != "preparing")


def test_a_folder_that_is_none_is_a_clear_error(catalogue: Catalogue, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(ConfigurationError, match="no such folder"):
        ingest(tmp_path / "nothing", catalogue)


def test_the_report_is_json(catalogue: Catalogue) -> None:
    """Lists of plain values, and the counts a script asks for."""
    found = ingest(SAMPLES, catalogue).as_dict()

    assert {"assets", "new_versions", "unchanged", "dependencies", "missing", "seconds"} <= set(
        found
    )
    assert (("broken_reference/broken.usda", "./statue.usda"),) == found["missing"]


def test_two_kinds_of_use_are_two_dependencies(catalogue: Catalogue, folder: Path) -> None:
    """A layer that is referenced and a payload at once."""
    layer(folder / "leaf.usda")
    (folder / "root.usda").write_text(
        '#usda 1.0\ndef "A" (\n    references = @./leaf.usda@</A>\n'
        "    payload = @leaf.usda@</A>\n)\n{\n}\n"
    )
    ingest(folder, catalogue)

    assert {
        Dependency("leaf.usda", None, "payload"),
        Dependency("leaf.usda", None, "reference"),
    } == set(catalogue.dependencies("root.usda", 1))
