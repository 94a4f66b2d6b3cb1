# SPDX-License-Identifier: Apache-2.0
"""The catalogue's file: opening, upgrading, sharing it, and every way in which it can be bad."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from bifrost.catalogue import (
    Catalogue,
    Dependency,
    Publication,
    VersionRecord,
    migrations,
    schema,
)
from bifrost.catalogue.database import Database
from bifrost.catalogue.sqlite import driver
from bifrost.errors import CatalogueError, ConfigurationError


def url(path):
    return f"sqlite:///{path}"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "er" / "catalogue.sqlite"


def publication(asset_id, checksum="1"):
    return Publication(asset_id, asset_id, "model", f"/show/{asset_id}.usd", checksum=checksum)


@pytest.fixture
def made(path):
    """A catalogue with one asset, closed."""
    with Catalogue.open(url(path)) as catalogue:
        catalogue.publish([publication("a")])
    return path


def layout(path):
    """Return what the database's schema is made of, by name, spaces apart."""
    connection = driver().connect(path)
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
    found = {name: " ".join(sql.replace('"', "").split()) for name, sql in rows}
    connection.close()
    return found


class TestOpening:
    def test_a_fresh_catalogue_needs_no_alembic(self, path):
        script = f"""
            import sys
            from bifrost.catalogue import Catalogue
            Catalogue.open({url(path)!r}).close()
            sys.exit("alembic" in sys.modules)
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)

    def test_records_are_had_without_sqlalchemy(self):
        script = "import sys, bifrost.catalogue; sys.exit('sqlalchemy' in sys.modules)"
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)

    def test_what_was_published_is_there_again(self, made):
        with Catalogue.open(url(made)) as catalogue:
            assert ["a"] == [asset.asset_id for asset in catalogue.assets()]

    @pytest.mark.parametrize(
        "bad", ["", "c.sqlite", "sqlite:///", "sqlite://", "sqlite:///:memory:", "mysql://x/y"]
    )
    def test_a_url_that_names_no_file_is_a_configuration_error(self, bad):
        with pytest.raises(ConfigurationError, match="sqlite:///<path of a file>"):
            Catalogue.open(bad)

    def test_foreign_keys_hold(self, made):
        database = Database.open(url(made), 1.0)

        with pytest.raises(CatalogueError, match="FOREIGN KEY"), database.write() as connection:
            connection.exec_driver_sql("INSERT INTO search_texts (asset, text) VALUES (77, '')")
        database.close()


class TestJournal:
    def test_what_the_log_grew_to_is_given_back(self, path, monkeypatch):
        """While somebody reads for long it grows; where it starts over it is cut to its bound."""
        monkeypatch.setattr("bifrost.tiers.filesystem.is_local", lambda _path: True)
        monkeypatch.setattr("bifrost.catalogue.sqlite._MOST_LOG_BYTES", 100_000)
        Catalogue.open(url(path)).close()
        database, log = Database.open(url(path), 1.0), path.with_name(path.name + "-wal")
        with database.write() as connection:
            connection.exec_driver_sql("CREATE TABLE large (bytes BLOB)")
            connection.exec_driver_sql("INSERT INTO large VALUES (zeroblob(8000000))")
        grown = log.stat().st_size
        for _ in range(2):
            with database.write() as connection:
                connection.exec_driver_sql("INSERT INTO large VALUES (1)")

        assert log.stat().st_size <= 100_000 < grown
        database.close()

    def mode(self, path):
        connection = driver().connect(path)
        [mode] = connection.execute("PRAGMA journal_mode").fetchone()
        connection.close()
        return mode

    def test_a_local_disk_gets_a_write_ahead_log(self, path, monkeypatch):
        monkeypatch.setattr("bifrost.tiers.filesystem.is_local", lambda _path: True)
        Catalogue.open(url(path)).close()

        assert "wal" == self.mode(path)

    def test_a_network_disk_gets_none_and_loses_one_it_had(self, path, monkeypatch):
        Catalogue.open(url(path)).close()
        monkeypatch.setattr("bifrost.tiers.filesystem.is_local", lambda _path: False)
        Catalogue.open(url(path)).close()

        assert "delete" == self.mode(path)

    def test_a_sqlite_with_the_wal_reset_bug_gets_none(self, path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pysqlite3.dbapi2", None)
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
        Catalogue.open(url(path)).close()

        assert sqlite3 is driver()
        assert "delete" == self.mode(path)

    def test_the_driver_in_use_has_the_fix(self):
        assert (3, 51, 3) <= driver().sqlite_version_info


class TestMigrations:
    """
    `data/catalogue_0001.sqlite` was made by the last code of schema 0001 with `Catalogue.publish`, in
    four batches, with a clock that starts at 1,700,000,060.5 and moves a minute and a half second
    each time. It has every kind of edge, a version without a file, and text beyond ASCII.
    """

    @pytest.fixture
    def old(self, tmp_path):
        path = tmp_path / "old.sqlite"
        shutil.copy(Path(__file__).parent / "data" / "catalogue_0001.sqlite", path)
        assert "0001" == self.revision(path)
        return path

    def test_revisions_end_where_the_schema_is(self, tmp_path):
        Database.open(url(tmp_path / "made.sqlite"), 1.0).close()
        engine = sa.create_engine(url(tmp_path / "grown.sqlite"), module=driver())
        with engine.begin() as connection:
            migrations.upgrade(connection)
        engine.dispose()

        assert layout(tmp_path / "made.sqlite") == layout(tmp_path / "grown.sqlite")

    def test_an_upgraded_catalogue_has_the_layout_of_a_fresh_one(self, old, path):
        Catalogue.open(url(path)).close()
        Catalogue.open(url(old)).close()

        assert schema.REVISION == self.revision(old)
        assert layout(path) == layout(old)
        assert self.sound(old)

    def test_everything_of_an_old_catalogue_still_answers(self, old):
        with Catalogue.open(url(old)) as catalogue:
            assets = catalogue.assets()
            first, second = catalogue.resolve([("rock", "1"), ("rock", None)])
            wood, shot, odd = catalogue.resolve([("wood", None), ("shot", None), ("a b/c", None)])
            edges = [catalogue.dependencies("rock", 1), catalogue.dependencies("rock", 2)]
            edges_of_shot = catalogue.dependencies("shot", 1)
            closure = catalogue.closure([("shot", None)])
            dependents = catalogue.dependents("rock")
            changed = catalogue.change_number(), catalogue.changed_since(4)

        start_us = 1_700_000_060_500_000
        turn_us = 60_500_000
        assert [
            ("a b/c", "Odd", "", start_us + 3 * turn_us, 1, start_us + 3 * turn_us, ""),
            ("rock", "Rock", "model", start_us, 2, start_us + turn_us, "ann"),
            ("shot", "Shöt 10", "shot", start_us + 2 * turn_us, 1, start_us + 2 * turn_us, ""),
            ("wood", "Wood", "texture", start_us, 1, start_us, "ann"),
        ] == [asset[:7] for asset in assets]
        assert {(False, "wip", "{}")} == {
            (asset.deprecated, asset.status, asset.metadata_json) for asset in assets
        }
        assert (1, "file:///show/rock/1/rock.usd", "r1", 11, "ann", "first\nlook") == (
            first.number, first.location, first.checksum, first.size, first.created_by,
            first.comment,
        )  # fmt: skip
        assert (2, "ben", {"ünï": ["✓", 1, None]}, {}) == (
            second.number, second.created_by, second.metadata, second.properties,
        )  # fmt: skip
        assert (True, "image/x-exr", "file:///show/tex/wood.%3CUDIM%3E.exr") == (
            wood.templated, wood.mime_type, wood.location,
        )  # fmt: skip
        assert ("Shöt 10", "") == (shot.name, odd.location)
        assert [
            [Dependency("wood", None, "texture")],
            [Dependency("wood", "1", "texture")],
        ] == edges
        assert [
            Dependency("rock", None, "reference"),
            Dependency("rock", "1", "payload"),
            Dependency("wood", "approved", "reference"),
        ] == edges_of_shot
        assert {"shot", "rock", "wood"} == {asset_id for asset_id, _ in closure}
        assert ["shot", "shot"] == [each.asset_id for each in dependents]
        assert (5, {"a b/c"}) == changed

    def test_an_old_catalogue_takes_everything_new(self, old):
        with Catalogue.open(url(old)) as catalogue:
            edges = [Dependency("wood", "1", "texture")]
            [same] = catalogue.publish(
                [
                    Publication(
                        "rock", "Rock", "model", "/show/rock/2/rock.usd",
                        checksum="r2", dependencies=edges,
                    )
                ]
            )  # fmt: skip
            [third] = catalogue.publish([publication("rock", "r3")])
            catalogue.set_metadata("rock", {"a": 1})
            for stage in ("review", "approved"):
                catalogue.set_status("wood", None, stage)
            [approved] = catalogue.resolve([("wood", "approved")])
            number = catalogue.change_number()
            catalogue.delete("a b/c")

            assert (2, False) == (same.number, same.is_new)
            assert (3, True) == (third.number, third.is_new)
            assert 1 == approved.number
            assert {"a b/c"} == catalogue.changed_since(number)
            # The files of this show were never there.
            assert {"missing_file"} == {problem.kind for problem in catalogue.check()}

    def test_two_processes_that_upgrade_at_once_do_it_once(self, old):
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(2) as processes:
            numbers = processes.map(_publish_in_child, [(str(old), n) for n in range(2)])

        assert [1, 2] == sorted(numbers)
        assert schema.REVISION == self.revision(old)

    def test_a_later_revision_is_applied_too(self, made, later):
        with Catalogue.open(url(made)) as catalogue:
            assert ["a"] == [asset.asset_id for asset in catalogue.assets()]

        assert "colours" in layout(made)
        assert "0003" == self.revision(made)

    def test_two_revisions_are_applied_in_their_order(self, old, later):
        with Catalogue.open(url(old)) as catalogue:
            assert 4 == len(catalogue.assets())

        assert {"colours", "publishes"} <= set(layout(old))
        assert "0003" == self.revision(old)

    @pytest.mark.parametrize("which", ["made", "old"])
    def test_a_failing_upgrade_leaves_the_old_catalogue_whole(self, made, old, later, which):
        path = {"made": made, "old": old}[which]
        before = layout(path), self.revision(path)
        later.write_text(later.read_text() + "    raise RuntimeError('halfway')\n")

        with pytest.raises(RuntimeError, match="halfway"):
            Catalogue.open(url(path))

        assert before == (layout(path), self.revision(path))
        assert self.sound(path)

    def test_a_newer_schema_is_refused_with_both_named(self, made):
        connection = driver().connect(made)
        connection.execute("UPDATE alembic_version SET version_num = '0099'")
        connection.commit()
        connection.close()

        expected = rf"0099.*knows up to {schema.REVISION}: use a newer Bifrost"
        with pytest.raises(CatalogueError, match=expected) as raised:
            Catalogue.open(url(made))

        assert not raised.value.retryable
        assert "0099" == self.revision(made)

    @pytest.fixture
    def later(self, tmp_path, monkeypatch):
        """A next revision, as a later release would bring it."""
        location = tmp_path / "migrations"
        shutil.copytree(migrations.LOCATION, location)
        revision = location / "versions" / "later_0003.py"
        revision.write_text(
            "from alembic import op\n"
            "revision, down_revision = '0003', '0002'\n"
            "branch_labels = depends_on = None\n"
            "def upgrade():\n"
            "    op.execute('CREATE TABLE colours (name TEXT)')\n"
        )
        upgrade = migrations.upgrade
        monkeypatch.setattr(migrations, "upgrade", lambda connection: upgrade(connection, location))
        monkeypatch.setattr(schema, "REVISION", "0003")
        return revision

    def revision(self, path):
        connection = driver().connect(path)
        [revision] = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        connection.close()
        return revision

    def sound(self, path):
        connection = driver().connect(path)
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        [state] = connection.execute("PRAGMA integrity_check").fetchone()
        connection.close()
        return ("ok", []) == (state, broken)


class TestBadFiles:
    def test_a_locked_catalogue_says_so_and_what_to_do(self, made):
        holder = driver().connect(made, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with Catalogue.open(url(made), lock_timeout_s=0.05) as catalogue:
            with pytest.raises(CatalogueError, match=r"catalogue\.sqlite: .*locked.*0\.05 s") as e:
                catalogue.publish([publication("b")])
            holder.execute("ROLLBACK")
            assert catalogue.publish([publication("b")])[0].is_new

        assert "lock_timeout_s" in e.value.message
        holder.close()

    def test_readers_do_not_wait_for_a_writer(self, made):
        holder = driver().connect(made, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with Catalogue.open(url(made), lock_timeout_s=0.05) as catalogue:
            [found] = catalogue.resolve([("a", None)])
        holder.close()

        assert isinstance(found, VersionRecord)

    def test_a_fresh_file_that_is_locked_says_so(self, tmp_path):
        holder = driver().connect(tmp_path / "c.sqlite", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")

        with pytest.raises(CatalogueError, match="locked"):
            Catalogue.open(url(tmp_path / "c.sqlite"), lock_timeout_s=0.05)
        holder.close()

    def test_a_file_that_is_no_database_is_left_as_it_is(self, tmp_path):
        path = tmp_path / "notes.txt"
        path.write_text("call the producer\n" * 100)

        with pytest.raises(CatalogueError, match=r"notes\.txt: not a catalogue"):
            Catalogue.open(url(path))

        assert path.read_text().startswith("call the producer")

    def test_another_programs_database_is_left_as_it_is(self, tmp_path):
        path = tmp_path / "other.sqlite"
        connection = driver().connect(path)
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
        connection.close()

        with pytest.raises(CatalogueError, match=r"other\.sqlite: a database, but not a Bifrost"):
            Catalogue.open(url(path))

        assert ["theirs"] == list(layout(path))

    def test_a_damaged_catalogue_says_so(self, made):
        with Catalogue.open(url(made)) as catalogue:
            catalogue.publish([publication(f"asset_{n}") for n in range(500)])
        size = made.stat().st_size
        with made.open("r+b") as file:
            file.seek(8192)
            file.write(os.urandom(size - 8192))

        with pytest.raises(CatalogueError, match=r"damaged.*restore it from a backup"):  # noqa: SIM117
            with Catalogue.open(url(made)) as catalogue:
                catalogue.resolve([(f"asset_{n}", None) for n in range(500)])

    def test_a_catalogue_without_a_revision_is_damaged(self, made):
        connection = driver().connect(made)
        connection.execute("DELETE FROM alembic_version")
        connection.commit()
        connection.close()

        with pytest.raises(CatalogueError, match="damaged"):
            Catalogue.open(url(made))

    def test_a_folder_in_its_place_says_so(self, tmp_path):
        with pytest.raises(CatalogueError, match="can't be opened"):
            Catalogue.open(url(tmp_path))

    def test_a_file_in_its_folders_place_says_so(self, tmp_path):
        (tmp_path / "file").write_text("")

        with pytest.raises(CatalogueError, match="its folder can't be made"):
            Catalogue.open(url(tmp_path / "file" / "c.sqlite"))

    @pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
    def test_a_folder_that_may_not_be_written_to_says_so(self):
        # Not below pytest's own folder, which nobody else may enter.
        folder = Path(tempfile.mkdtemp())
        try:
            Catalogue.open(url(folder / "old.sqlite")).close()
            (folder / "old.sqlite").chmod(0o444)
            folder.chmod(stat.S_IRUSR | stat.S_IXUSR | stat.S_IROTH | stat.S_IXOTH)
            script = f"""
                import os
                from bifrost.catalogue import Catalogue, Publication
                from bifrost.errors import CatalogueError
                import tempfile
                with tempfile.TemporaryDirectory() as warm:
                    Catalogue.open(f"sqlite:///{{warm}}/c.sqlite").close()
                if os.getuid() == 0:
                    os.setuid(65534)
                for name in ("new", "old"):
                    try:
                        with Catalogue.open({url(folder)!r} + f"/{{name}}.sqlite") as catalogue:
                            catalogue.publish([Publication("a", "a", "model", "/a")])
                    except CatalogueError as error:
                        print(error)
            """
            done = subprocess.run(
                [sys.executable, "-c", textwrap.dedent(script)],
                check=True, timeout=60, capture_output=True, text=True,
            )  # fmt: skip
        finally:
            folder.chmod(0o700)
            shutil.rmtree(folder)

        new, old = done.stdout.splitlines()
        assert f"{folder} may be written to" in new
        assert str(folder / "old.sqlite") in old


class TestSharing:
    def test_eight_threads_publish_one_asset_without_losing_a_version(self, made):
        with Catalogue.open(url(made)) as catalogue, ThreadPoolExecutor(8) as threads:
            ready = threading.Barrier(8)

            def work(thread):
                ready.wait()
                return [
                    catalogue.publish([publication("b", f"{thread}.{n}")])[0].number
                    for n in range(5)
                ]

            numbers = [number for done in threads.map(work, range(8)) for number in done]

        assert list(range(1, 41)) == sorted(numbers)

    def test_eight_threads_read_at_once(self, made):
        with Catalogue.open(url(made)) as catalogue, ThreadPoolExecutor(8) as threads:
            found = list(threads.map(catalogue.resolve, [[("a", None)] * 50] * 64))

        assert {("a", 1)} == {(out.asset_id, out.number) for batch in found for out in batch}

    def test_processes_that_open_a_fresh_catalogue_at_once_make_one(self, path):
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(4) as processes:
            numbers = processes.map(_publish_in_child, [(str(path), n) for n in range(4)])

        assert [1, 2, 3, 4] == sorted(numbers)

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_opens_connections_of_its_own(self, made):
        with Catalogue.open(url(made)) as catalogue:
            catalogue.resolve([("a", None)])
            child = os.fork()
            if child == 0:
                good = isinstance(catalogue.resolve([("a", None)])[0], VersionRecord)
                catalogue.publish([publication("from_child")])
                os._exit(0 if good else 1)
            _, status = os.waitpid(child, 0)
            found = catalogue.resolve([("from_child", None)])

        assert 0 == status
        assert isinstance(found[0], VersionRecord)


def _publish_in_child(job):
    path, number = job
    with Catalogue.open(url(path)) as catalogue:
        return catalogue.publish([publication("shared", str(number))])[0].number
