# SPDX-License-Identifier: Apache-2.0
"""What a second ingest may and may not do to what is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pxr import Sdf

from bifrost.catalogue import Publication
from bifrost.catalogue.store import digest_of
from bifrost.errors import AssetNotFoundException, ConfigurationError
from bifrost.host import BifrostHostInterface
from bifrost.session import current
from bifrost.testing.show import layer
from bifrost.usd.arcs import asset_paths
from bifrost.usd.ingest import ingest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of one layer."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.usda").write_text(layer(value="1"))
    return tmp_path / "in"


def test_a_version_whose_file_was_written_over_is_never_another_ones_bytes(
    folder: Path, tmp_path: Path
) -> None:
    """
    The older version fails, and says which one took its place; the newer ones resolve.
    """
    out = tmp_path / "out"
    ingest(folder, current().catalogue, rewrite=out)
    (folder / "a.usda").write_text(layer(value="2"))
    ingest(folder, current().catalogue, rewrite=out)
    host = BifrostHostInterface()

    with pytest.raises(AssetNotFoundException, match="version 2 was written over it"):
        host.resolve_asset_path("bifrost:///assets/a.usda?version=1")
    assert out / "a.usda" == host.resolve_asset_path("bifrost:///assets/a.usda?version=2")
    assert out / "a.usda" == host.resolve_asset_path("bifrost:///assets/a.usda")


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
@pytest.mark.parametrize("rewritten", [False, True], ids=["in place", "rewritten"])
def test_what_somebody_published_since_stays_the_newest_until_the_folder_changes(
    folder: Path, tmp_path: Path, rewritten: bool, pin: bool
) -> None:
    """
    A folder in which nothing happened has nothing to say against it.
    """
    catalogue = current().catalogue
    out = tmp_path / "out" if rewritten else None
    (folder / "root.usda").write_text("#usda 1.0\n(\n    subLayers = [@./a.usda@]\n)\n")
    ingest(folder, catalogue, rewrite=out, pin=pin)
    elsewhere = tmp_path / "a.usda"
    elsewhere.write_text(layer(value="2"))
    file = {"path": str(elsewhere), "checksum": digest_of(elsewhere), "size": 1}
    catalogue.publish([Publication(asset_id="a.usda", name="a", asset_type="layer", **file)])
    again = ingest(folder, catalogue, rewrite=out, pin=pin)
    (newest,) = catalogue.resolve([("a.usda", None)])

    assert (("a.usda", "bifrost:///assets/a.usda?version=2"),) == again.superseded
    assert (0, 2, elsewhere.as_uri()) == (again.new_versions, newest.number, newest.location)

    (folder / "a.usda").write_text(layer(value="3"))
    assert "bifrost:///assets/a.usda?version=3" in ingest(folder, catalogue, rewrite=out).published


def test_an_id_stays_its_files_whoever_published_last(folder: Path, tmp_path: Path) -> None:
    """
    A file that comes to collide gets another, although the newest version says nothing of a file.
    """
    catalogue = current().catalogue
    ingest(folder, catalogue)
    elsewhere = tmp_path / "a.usda"
    elsewhere.write_text(layer(value="2"))
    file = {"path": str(elsewhere), "checksum": digest_of(elsewhere), "size": 1}
    catalogue.publish([Publication(asset_id="b.a.usda", name="a", asset_type="layer", **file)])
    (folder / "b").mkdir()
    (folder / "b/a.usda").write_text(layer(value="2"))
    first = ingest(folder, catalogue)
    catalogue.publish([Publication(asset_id="b.a.usda", name="a", asset_type="layer", **file)])
    (folder / "b.a.usda").write_text(layer(value="4"))
    second = ingest(folder, catalogue)

    assert ("bifrost:///assets/b.a.usda?version=2",) == first.published
    assert (("b/a.usda", "bifrost:///assets/b.a.usda?version=3"),) == second.superseded
    assert 1 == second.new_versions


def test_a_folder_that_no_rewrite_made_is_left_alone(folder: Path, tmp_path: Path) -> None:
    """
    Read-only files of a user's own are not ours to replace.
    """
    out = tmp_path / "workspace"
    out.mkdir()
    (out / "a.usda").write_text("precious")
    (out / "a.usda").chmod(0o444)

    with pytest.raises(ConfigurationError, match="no file that an earlier"):
        ingest(folder, current().catalogue, rewrite=out)

    assert "precious" == (out / "a.usda").read_text()


def test_an_empty_name_for_the_copy_is_refused(folder: Path) -> None:
    """
    `--rewrite "$UNSET"` must not fill the current folder.
    """
    command = [sys.executable, "-m", "bifrost.cli", "ingest", str(folder), "--rewrite", ""]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert 2 == done.returncode
    assert "empty" in done.stderr


def test_what_is_no_regular_file_is_left_out_and_said(folder: Path, tmp_path: Path) -> None:
    """
    A FIFO would be read for ever.
    """
    os.mkfifo(folder / "pipe.usda")

    report = ingest(folder, current().catalogue, rewrite=tmp_path / "out")

    assert ("pipe.usda", "no regular file") in [tuple(each) for each in report.left_out]


def held(path: Path) -> list[str]:
    """Return the paths that the layer *path* holds."""
    return [use.path for use in asset_paths(Sdf.Layer.OpenAsAnonymous(str(path)))]


def test_what_is_gone_from_the_folder_stays_in_the_copy_and_no_path_leads_there(
    folder: Path, tmp_path: Path
) -> None:
    """
    Its versions may be named elsewhere; in the copy it is as missing as in the folder, and that is said.
    """
    out = tmp_path / "out"
    for name in ("t.1001.png", "t.1002.png", "s.1001.png", "c.1.usda", "c.2.usda"):
        (folder / name).write_text("#usda 1.0\n")
    clips = 'clips = {\n dictionary default = {\n string templateAssetPath = "./c.#.usda"\n }\n}'
    (folder / "root.usda").write_text(
        "#usda 1.0\n(\n    subLayers = [@./a.usda@]\n)\n"
        f'def "P" (\n{clips}\n) {{\n    asset s = @./s.<UDIM>.png@\n'
        f"    asset t = @./t.<UDIM>.png@\n    asset u = @{folder}/a.usda@\n}}\n"
    )
    ingest(folder, current().catalogue, rewrite=out)
    for name in ("a.usda", "t.1002.png", "s.1001.png", "c.2.usda"):
        (folder / name).unlink()
    report = ingest(folder, current().catalogue, rewrite=out)

    assert (out / "a.usda").is_file()
    assert {str(folder / "a.usda"), str(folder / "s.<UDIM>.png")} <= set(held(out / "root.usda"))
    assert {"./a.usda", f"{folder}/a.usda", "./s.<UDIM>.png"} == {
        path for _, path in report.missing
    }
    assert {"./a.usda", "./s.<UDIM>.png", "./t.<UDIM>.png", "./c.#.usda"} == {
        path for _, path, why in report.untouched if "still has" in why
    }
    assert 0 == ingest(folder, current().catalogue, rewrite=out).new_versions


def test_what_cant_be_read_this_time_is_not_what_an_earlier_run_read(
    folder: Path, tmp_path: Path
) -> None:
    """
    Neither the file nor its version: the path leads to the source, and that is said.
    """
    out = tmp_path / "out"
    (folder / "root.usda").write_text("#usda 1.0\n(\n    subLayers = [@./a.usda@]\n)\n")
    ingest(folder, current().catalogue, rewrite=out)

    def lose(step: str, done: int, _: int) -> None:
        if (step, done) == ("hashing files", 0):
            (folder / "a.usda").unlink()

    report = ingest(folder, current().catalogue, rewrite=out, progress=lose)

    assert ["a.usda"] == [name for name, _ in report.unreadable]
    assert [str(folder / "a.usda")] == held(out / "root.usda")
    assert [("root.usda", "./a.usda")] == [each[:2] for each in report.untouched]


@pytest.mark.parametrize("pin", [False, True], ids=["floating", "pinned"])
@pytest.mark.parametrize("text", [None, '#usda 1.0\ndef "P" ( referen'], ids=["gone", "half"])
def test_what_goes_or_breaks_during_a_run_is_left_out_and_the_rest_goes_on(
    folder: Path, tmp_path: Path, text: str | None, pin: bool
) -> None:
    """
    A temporary file, a layer that is being saved: unreadable, as if the survey had come too late.
    """
    sublayers = "@./a.usda@, @./middle.usda@, @bifrost:///assets/middle.usda@"
    for name, listed in (("middle", "@./a.usda@"), ("root", sublayers)):
        (folder / f"{name}.usda").write_text(f"#usda 1.0\n(\n    subLayers = [{listed}]\n)\n")
    (folder / "note.txt").write_text("x")

    def change(step: str, done: int, total: int) -> None:
        if step == "reading layers" and done == total:
            (folder / "note.txt").unlink(missing_ok=True)
            (folder / "middle.usda").unlink(missing_ok=True)
            if text is not None:
                (folder / "middle.usda").write_text(text)

    out, catalogue = tmp_path / "out", current().catalogue
    report = ingest(folder, catalogue, rewrite=out, pin=pin, progress=change)

    assert ["middle.usda", "note.txt"] == [name for name, _ in report.unreadable]
    assert (2, 2) == (report.assets, report.layers)
    assert ["a.usda", "root.usda"] == sorted(path.name for path in out.iterdir())
    assert ["a.usda"] == [each.asset_id for each in catalogue.dependencies("root.usda", 1)]
    assert "./middle.usda" in held(out / "root.usda")


@pytest.mark.parametrize("step", ["hashing files", "reading layers"])
def test_a_set_of_tiles_goes_with_its_last_tile(folder: Path, tmp_path: Path, step: str) -> None:
    """
    Whenever in a run it goes: there is no asset of nothing.
    """
    text = '#usda 1.0\ndef Scope "P" {\n    asset t = @./t.<UDIM>.png@\n}\n'
    (folder / "root.usda").write_text(text)
    (folder / "t.1001.png").write_text("x")

    def lose(told: str, done: int, total: int) -> None:
        if told == step and done == (0 if step == "hashing files" else total):
            (folder / "t.1001.png").unlink(missing_ok=True)

    out, catalogue = tmp_path / "out", current().catalogue
    report = ingest(folder, catalogue, rewrite=out, progress=lose)

    assert ["t.1001.png"] == [name for name, _ in report.unreadable]
    assert ["a.usda", "root.usda"] == sorted(each.asset_id for each in catalogue.assets())
    assert ["./t.<UDIM>.png"] == held(out / "root.usda")


def test_a_file_that_became_a_folder_makes_way(folder: Path, tmp_path: Path) -> None:
    """
    As any file of an earlier run makes way for what took its place.
    """
    out = tmp_path / "out"
    (folder / "notes").write_text("x")
    ingest(folder, current().catalogue, rewrite=out)
    (folder / "notes").unlink()
    (folder / "notes/deep").mkdir(parents=True)
    (folder / "notes/deep/n.txt").write_text("y")
    ingest(folder, current().catalogue, rewrite=out)

    assert "y" == (out / "notes/deep/n.txt").read_text()


def test_a_users_own_file_makes_no_way_for_a_folder(folder: Path, tmp_path: Path) -> None:
    """
    Be it read-only or not.
    """
    out = tmp_path / "out"
    out.mkdir()
    (folder / "notes").mkdir()
    (folder / "notes/n.txt").write_text("y")
    (out / "notes").write_text("mine")
    for mode in (0o644, 0o444):
        (out / "notes").chmod(mode)
        with pytest.raises(ConfigurationError, match="notes: no "):
            ingest(folder, current().catalogue, rewrite=out)

    assert "mine" == (out / "notes").read_text()
