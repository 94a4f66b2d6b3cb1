# SPDX-License-Identifier: Apache-2.0
"""What crashes and other programs leave behind is found, explained and mended; the rest is left alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from bifrost.catalogue import Catalogue, Dependency, Publication
from bifrost.catalogue.store import ASIDE, STAGING
from bifrost.publishing import Draft, Publisher

HOUR_S = 3600


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    """A catalogue with a rock of two versions, a set of textures, a shot, and a file in place."""
    with Catalogue.open(catalogue_url, store=tmp_path / "store") as catalogue:
        publisher = Publisher(catalogue, validators={}, actions={})
        for name in ("rock.txt", "wood.1001.txt", "wood.1002.txt"):
            (tmp_path / name).write_text(name)
        rock = Draft("rock", "Rock", "model", str(tmp_path / "rock.txt"), metadata={"a": [1, "b"]})
        publisher.publish([rock])
        (tmp_path / "rock.txt").write_text("two")
        wood = Draft("wood", "Wood", "texture", str(tmp_path / "wood.<UDIM>.txt"), templated=True)
        (tmp_path / "place.txt").write_text("in place")
        place = Draft("place", "Place", "model", str(tmp_path / "place.txt"), in_place=True)
        publisher.publish([rock, wood, place])
        edges = [Dependency("rock"), Dependency("wood", "1")]
        catalogue.publish([Publication("shot", "Shot", "shot", "", dependencies=edges)])
        catalogue.put_representation(
            "rock", 2, "thumbnail", b"png", suffix=".png", mime_type="image/png"
        )
        yield catalogue


@pytest.fixture
def publisher(catalogue):
    return Publisher(catalogue, validators={}, actions={})


def draft(tmp_path, text="three", asset_id="rock"):
    path = tmp_path / f"{asset_id}.txt"
    path.write_text(text)
    return Draft(asset_id, "Rock", "model", str(path))


def everything(catalogue):
    """Return what the store holds and the catalogue says."""
    root = catalogue.store.root
    files = {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
    assets = catalogue.assets()
    versions = [catalogue.versions(asset.asset_id) for asset in assets]
    return files, assets, versions, rows(catalogue)


def rows(catalogue):
    with catalogue._database.read() as connection:
        return {
            table: sorted(map(repr, connection.exec_driver_sql(f"SELECT * FROM {table}")))
            for table in ("relationships", "metadata_values", "search_texts", "representations")
        }


def kinds(problems):
    return [problem.kind for problem in problems]


def age(folder):
    """Make everything in *folder* older than any publish on its way."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (0, 0))


def mends(catalogue, kind, message):
    """Whether the one problem is found, mended, and then gone."""
    [found] = catalogue.check()
    assert (kind, False) == (found.kind, found.repaired)
    assert message in found.message
    assert found.remedy
    [mended] = catalogue.check(repair=True)
    assert (kind, True, "") == (mended.kind, mended.repaired, mended.remedy)
    return [] == catalogue.check()


def break_rows(catalogue, *statements):
    """Do to the database what another program does that minds no foreign keys."""
    with catalogue._database._engine.connect() as connection:
        if catalogue.path is not None:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        else:
            connection.exec_driver_sql("SET session_replication_role = replica")
        for statement in statements:
            connection.exec_driver_sql(statement)
        connection.invalidate()


def key(catalogue, asset_id):
    with catalogue._database.read() as connection:
        statement = sa.text("SELECT key FROM assets WHERE id = :id")
        return connection.execute(statement, {"id": asset_id}).scalar_one()


class TestClean:
    def test_nothing_is_found_and_nothing_is_touched(self, catalogue):
        before = everything(catalogue)
        number = catalogue.change_number()

        assert [] == catalogue.check()
        assert [] == catalogue.check(repair=True)

        assert before == everything(catalogue)
        assert number == catalogue.change_number()

    def test_an_empty_catalogue_without_a_store_is_clean(self, catalogue_url, tmp_path):
        with Catalogue.open(catalogue_url, store=tmp_path / "none") as catalogue:
            assert [] == catalogue.check(repair=True)

        assert not (tmp_path / "none").exists()

    def test_publishes_on_their_way_are_left_alone_however_old(
        self, catalogue, publisher, tmp_path
    ):
        made = publisher.draft([draft(tmp_path)])
        age(catalogue.store.root / STAGING)

        assert [] == catalogue.check(repair=True)
        assert "post-registered" == publisher.resume(made.id).stage

    def test_files_that_are_just_being_copied_are_left_alone(self, catalogue, tmp_path):
        """The folder is old; what is being written into it is not."""
        folder = catalogue.store.folder()
        (folder / "large").write_text("half of it")
        os.utime(folder, (0, 0))

        assert [] == catalogue.check(repair=True)
        assert (folder / "large").exists()

    def test_what_an_earlier_check_mended_stays_mended(self, catalogue):
        before = everything(catalogue)
        (catalogue.store.root / "ghost" / "v0001").mkdir(parents=True)
        catalogue.check(repair=True)

        assert before == everything(catalogue)


class TestLeftovers:
    def test_a_folder_that_no_version_has(self, catalogue):
        before = everything(catalogue)
        folder = catalogue.store.folder_of("rock", 3)
        folder.mkdir()
        (folder / "rock.txt").write_text("orphan")

        assert mends(catalogue, "orphan", "files that no version has")
        assert before == everything(catalogue)

    def test_files_of_an_asset_that_was_deleted_and_made_anew(self, catalogue, publisher, tmp_path):
        """Its old numbers are below the newest, and nobody's all the same."""
        publisher.publish([draft(tmp_path, "one", "gone")])
        kept = tmp_path / "kept"
        shutil.copytree(catalogue.store.root / "gone", kept)
        catalogue.delete("gone")
        publisher.publish([draft(tmp_path, "two", "gone")])
        shutil.copytree(kept, catalogue.store.root / "gone", dirs_exist_ok=True)

        assert mends(catalogue, "orphan", "files that no version has")
        assert ["v0002"] == [each.name for each in (catalogue.store.root / "gone").iterdir()]

    def test_an_empty_folder_of_no_asset(self, catalogue):
        (catalogue.store.root / "ghost").mkdir()

        assert mends(catalogue, "orphan", "an asset that is not there")

    def test_staged_files_that_nobody_waits_for(self, catalogue, tmp_path):
        folder = catalogue.store.folder()
        (folder / "rock.txt").write_text("staged")
        age(folder)

        assert mends(catalogue, "staging", "never was recorded, or ended")
        assert not folder.exists()

    def test_staged_files_of_a_publish_that_was_aborted(self, catalogue, publisher, tmp_path):
        made = publisher.draft([draft(tmp_path)])
        [folder] = (catalogue.store.root / STAGING).iterdir()
        shutil.copytree(folder, tmp_path / "kept")
        publisher.abort(made.id)
        shutil.copytree(tmp_path / "kept", folder)
        age(folder)

        assert mends(catalogue, "staging", "or ended")

    def test_what_was_put_aside(self, catalogue):
        (catalogue.store.root / ASIDE / "rock-v0003-12345678").mkdir(parents=True)

        assert mends(catalogue, "aside", "crashed before it was recorded")

    @pytest.mark.parametrize(
        "name", [f".staged-{'0' * 32}", f".representations/.thumbnail-{'0' * 16}.png-0123abcd"]
    )
    def test_what_a_publish_that_crashed_at_its_end_left_beside_its_files(self, catalogue, name):
        left = catalogue.store.folder_of("rock", 2) / name
        left.touch()
        assert [] == catalogue.check()  # as young as it is, the publish may go on
        os.utime(left, (0, 0))

        assert mends(catalogue, "unfinished", "crashed at its end")
        assert not left.exists()

    def test_files_in_place_of_a_publish_that_can_be_resumed(self, catalogue, publisher, tmp_path):
        """It crashed between the rename and the commit: the files go back, they are not removed."""
        made = publisher.validate(publisher.draft([draft(tmp_path)]).id)
        data = catalogue.publish_of(made.id).drafts[0]
        folder = Path(data["folder"])
        catalogue.store.place(_staged(data), "rock", 3)

        assert mends(catalogue, "orphan", "it can be resumed")
        assert "three" == (folder / "rock.txt").read_text()
        assert ("bifrost:///assets/rock?version=3",) == publisher.resume(made.id).results
        assert [] == catalogue.check()

    def test_many_problems_are_all_told_and_all_mended(self, catalogue):
        root = catalogue.store.root
        for name in ("ghost", "spectre"):
            (root / name / "v0001").mkdir(parents=True)
        (root / ASIDE / "thing").mkdir(parents=True)

        assert ["aside", "orphan", "orphan"] == kinds(catalogue.check())
        assert all(problem.repaired for problem in catalogue.check(repair=True))
        assert [] == catalogue.check()


def _staged(data):
    from bifrost.catalogue import Staged

    return Staged(Path(data["folder"]), data["main"])


class TestFiles:
    @pytest.mark.parametrize(
        ("asset_id", "name", "reference"),
        [
            ("rock", "v0001/rock.txt", "rock?version=1"),
            ("wood", "v0001/wood.1002.txt", "wood?version=1"),
        ],
    )
    @pytest.mark.parametrize("fault", ["missing", "longer", "other content"])
    def test_a_row_without_its_file(self, catalogue, asset_id, name, reference, fault):
        path = catalogue.store.root / asset_id / name
        content = path.read_text()
        path.chmod(0o644)
        match fault:
            case "missing":
                path.unlink()
            case "longer":
                path.write_text(content + "!")
            case "other content":
                path.write_text(content[::-1])

        [found] = catalogue.check()
        [again] = catalogue.check(repair=True)

        assert found == again
        assert ("missing_file" if fault == "missing" else "wrong_content") == found.kind
        assert f"bifrost:///assets/{reference}" == found.what
        assert "restore it from a backup" in found.remedy
        assert not found.repaired
        quick = catalogue.check(content=False)
        assert [found] * (fault != "other content") == quick

    def test_a_file_in_place_that_changed(self, catalogue, tmp_path):
        (tmp_path / "place.txt").write_text("elsewhere")

        assert [("wrong_content", "bifrost:///assets/place?version=1")] == [
            problem[:2] for problem in catalogue.check()
        ]

    def test_a_thumbnail_that_is_gone(self, catalogue):
        [path] = catalogue.store.folder_of("rock", 2).rglob("*.png")
        path.unlink()

        assert [("missing_file", "bifrost:///assets/rock?version=2&representation=thumbnail")] == [
            problem[:2] for problem in catalogue.check()
        ]

    def test_a_folder_in_a_files_place(self, catalogue):
        path = catalogue.store.folder_of("rock", 1) / "rock.txt"
        path.unlink()
        path.mkdir()

        [found] = catalogue.check()
        assert "bifrost:///assets/rock?version=1" == found.what

    def test_a_store_that_is_gone_is_one_problem_for_each_file(self, catalogue):
        shutil.rmtree(catalogue.store.root)

        assert ["missing_file"] * 5 == kinds(catalogue.check(repair=True))


class TestIndex:
    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM search_texts WHERE asset = {rock}",
            "DELETE FROM metadata_values WHERE asset = {rock} AND position = 1",
            "UPDATE search_texts SET text = 'stone' WHERE asset = {rock}",
            "UPDATE metadata_values SET text = 'c' WHERE asset = {rock} AND kind = 's'",
            "INSERT INTO metadata_values (asset, path, position, kind) VALUES ({rock}, 'x', 0, 'z')",
        ],
    )
    def test_what_queries_search_is_made_anew(self, catalogue, statement):
        before = rows(catalogue)
        break_rows(catalogue, statement.format(rock=key(catalogue, "rock")))

        assert mends(catalogue, "index", "queries don't find")
        assert before == rows(catalogue)


class TestRelationships:
    def test_an_edge_to_nothing_is_removed(self, catalogue):
        break_rows(
            catalogue,
            "INSERT INTO relationships (asset, number, position, to_asset, kind)"
            f" VALUES ({key(catalogue, 'shot')}, 1, 7, 4711, 'reference')",
        )
        before = catalogue.change_number()

        assert mends(catalogue, "relationship_no_target", "isn't there")
        assert ["rock", "wood"] == [each.asset_id for each in catalogue.dependencies("shot", 1)]
        assert {"shot"} == catalogue.changed_since(before)

    def test_an_edge_from_nothing_is_removed(self, catalogue):
        break_rows(
            catalogue,
            "INSERT INTO relationships (asset, number, position, to_asset, kind)"
            f" VALUES (4711, 1, 0, {key(catalogue, 'rock')}, 'reference')",
        )

        assert mends(catalogue, "relationship_no_source", "isn't there")

    def test_an_edge_of_a_version_that_is_not_there_is_removed(self, catalogue):
        break_rows(
            catalogue,
            "INSERT INTO relationships (asset, number, position, to_asset, kind)"
            f" VALUES ({key(catalogue, 'shot')}, 9, 0, {key(catalogue, 'rock')}, 'reference')",
        )

        assert mends(catalogue, "relationship_no_source_version", "isn't there")

    def test_a_pin_to_a_version_that_is_not_there_is_for_people_to_mend(self, catalogue):
        break_rows(
            catalogue,
            "INSERT INTO relationships (asset, number, position, to_asset, to_number, kind)"
            f" VALUES ({key(catalogue, 'shot')}, 1, 7, {key(catalogue, 'rock')}, 9, 'reference')",
        )

        [found] = catalogue.check(repair=True)

        assert ("relationship_no_version", False) == (found.kind, found.repaired)
        assert "bifrost:///assets/rock?version=9" in found.message
        assert found.remedy

    def test_what_resolves_is_no_problem(self, catalogue):
        """A deprecated asset that is in use, and a status that no version has yet."""
        edges = [Dependency("rock", "approved")]
        catalogue.publish([Publication("other", "Other", "shot", "", dependencies=edges)])
        catalogue.set_deprecated("rock", True)

        assert [] == catalogue.check(repair=True)
