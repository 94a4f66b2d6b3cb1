# SPDX-License-Identifier: Apache-2.0
"""
`kill -9` at moments that nobody chose, again and again, and what is there afterwards.

`--rounds 500` is the long form, `--seed` another one. A test that killed too little fails.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from bifrost.catalogue import Catalogue, migrations, schema
from bifrost.catalogue.database import Database, _backend
from bifrost.catalogue.records import file_of
from bifrost.catalogue.sqlite import driver
from bifrost.publishing import Publisher
from bifrost.usd import pins

sys.path.insert(0, str(Path(__file__).parent))
import killed_work as work
from killing import Killer

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
OLD_CATALOGUE = Path(__file__).resolve().parents[1] / "unit" / "data" / "catalogue_0001.sqlite"
TOGETHER = ("rock", "moss")
# So long two assets grow; then come new ones, or the last rounds would check what the first ones made.
GROWING_ROUNDS = 10
# A round may be over before it is killed, and a process that has just begun may be killed in vain.
LANDED_PART = 0.4
BROKEN = {"missing_file", "wrong_content", "index"}


@pytest.fixture
def killer(own_home, seed):
    """Who kills; it must have hit often enough in the end."""
    killer = Killer(random.Random(seed), BIFROST_HOME=str(own_home))
    yield killer
    assert killer.landed >= LANDED_PART * killer.kills - 1, f"{killer.landed} of {killer.kills}"


@pytest.fixture
def every_round(rounds, seed, record_property, killer):
    """Yield the rounds; who fails in one says which."""

    def numbered(short):
        count = rounds(short)
        for turn in range(count):
            yield turn, f"--seed {seed}, round {turn} of --rounds {count}"
        record_property("rounds", count)
        record_property("landed", killer.landed)

    return numbered


def in_two_hours():
    """Now as the checks see it: nothing that was left behind is too young."""
    return time.time() + 7200


def checksum(text):
    return hashlib.sha256(text.encode()).hexdigest()


# Publishing


class TestPublishing:
    def test_what_was_acknowledged_is_there_and_nothing_is_half(
        self, killer, every_round, catalogue_url, tmp_path, monkeypatch
    ):
        """
        Two assets at once, on each kind of database, through a session with its caches.

        Afterwards each version told of is there with its checksum, both assets have the same versions,
        what is left over is found and removed, and what was on its way can be resumed or given up.
        """
        store = tmp_path / "store"
        monkeypatch.setenv("BIFROST_CATALOGUE__URL", catalogue_url)
        monkeypatch.setenv("BIFROST_CATALOGUE__STORE", str(store))
        killer.set_variables(
            BIFROST_CATALOGUE__URL=catalogue_url, BIFROST_CATALOGUE__STORE=str(store)
        )
        source = tmp_path / "source"
        source.mkdir()
        for turn in range(2):
            killer.run(work.publish, str(source), TOGETHER, f"first {turn}")
        for turn, which in every_round(5):
            if turn % GROWING_ROUNDS == 0:
                with Catalogue.open(catalogue_url, store=store) as catalogue:
                    for asset in catalogue.assets():
                        catalogue.delete(asset.asset_id)
                names, told = [f"{name}_{turn}" for name in TOGETHER], {}
            for text, results in killer.kill(work.publish, str(source), names, f"{turn}"):
                told.update(dict.fromkeys(results, text))
            with Catalogue.open(catalogue_url, store=store, clock=in_two_hours) as catalogue:
                assert [] == wrong_versions(catalogue, names, told), which
                found = catalogue.check()
                assert set() == {problem.kind for problem in found} & BROKEN, (which, found)
                resume_or_give_up(catalogue, turn)
                catalogue.check(repair=True)
                assert [] == catalogue.check(), which
                assert [] == wrong_versions(catalogue, names, told), which
                assert named_files(catalogue, names) == files_in(store, names), which


def wrong_versions(catalogue, names, told):
    """Return what is wrong with the versions of *names*, of which *told* were acknowledged."""
    wrong = []
    texts = []
    for name in names:
        versions = catalogue.versions(name)
        if [each.number for each in versions] != list(range(len(versions), 0, -1)):
            wrong.append(f"{name} has a gap")
        texts.append([file_of(each.location).read_text() for each in versions])
        for each, text in zip(versions, texts[-1], strict=True):
            if each.checksum != checksum(text):
                wrong.append(f"{name} {each.number} is not what was published")
            expected = told.get(f"bifrost:///assets/{name}?version={each.number}", text)
            if expected != text:
                wrong.append(f"{name} {each.number} is {text!r}, not {expected!r}")
        wrong += [
            f"{reference} is gone"
            for reference in told
            if reference.startswith(f"bifrost:///assets/{name}?")
            and int(reference.rpartition("=")[2]) > len(versions)
        ]
    return wrong if texts[0] == texts[-1] else [*wrong, f"one was published alone: {texts}"]


def resume_or_give_up(catalogue, turn):
    """Take what is on its way to its end, or abort it: what somebody does who finds it."""
    publisher = Publisher(catalogue, validators={}, actions={"note": work.write_note})
    for left in publisher.list():
        if left.stage == "registered" or (left.stage in {"draft", "validated"} and turn % 2):
            publisher.resume(left.id)
        elif left.stage != "post-registered":
            publisher.abort(left.id)


def named_files(catalogue, names):
    """Return the files that versions and representations of *names* have."""
    versions = [(name, each.number) for name in names for each in catalogue.versions(name)]
    locations = [each.location for name in names for each in catalogue.versions(name)]
    for beside in catalogue.representations(versions).values():
        locations += [each.location for each in beside.values()]
    return sorted(str(file_of(location)) for location in locations)


def files_in(store, names):
    """Return what lies in the folders of *names*, or was left where files are staged."""
    folders = [*(store / name for name in names), store / ".staging", store / ".aside"]
    return sorted(
        str(path) for folder in folders for path in folder.rglob("*") if not path.is_dir()
    )


# Ingesting


class TestIngesting:
    @pytest.mark.parametrize("is_copied", [False, True])
    def test_what_is_visible_is_whole_and_the_next_run_ends_it(
        self, killer, every_round, tmp_path, is_copied
    ):
        """
        A folder with every kind of reference, where it lies and as a copy, into a fresh catalogue.

        Each version that is visible has its file and all its dependencies; the next ingest brings what
        is missing, and comes to what one that nobody killed comes to.
        """
        folder = small_folder(tmp_path / "folder")
        copy = str(tmp_path / "copy") if is_copied else None
        url = f"sqlite:///{tmp_path}/whole.sqlite"
        for _ in range(2):
            clear(tmp_path, "whole")
            killer.run(work.ingest, str(folder), url, copy)
        with Catalogue.open(url) as catalogue:
            whole = ingested(catalogue)
        for _, which in every_round(4):
            clear(tmp_path, "killed")
            url = f"sqlite:///{tmp_path}/killed.sqlite"
            killer.kill(work.ingest, str(folder), url, copy)
            with Catalogue.open(url) as catalogue:
                assert ingested(catalogue).items() <= whole.items(), which
                assert [] == catalogue.check(), which
            killer.run(work.ingest, str(folder), url, copy)
            with Catalogue.open(url) as catalogue:
                assert whole == ingested(catalogue), which
                assert [] == catalogue.check(), which
            assert [] == [path.name for path in (tmp_path / "copy").glob(".bifrost-unfinished")]


def small_folder(folder):
    """Copy a sample of each kind of path; return the folder."""
    for name in ("asset_with_variants", "payload_and_udim", "value_clips"):
        shutil.copytree(SAMPLES / name, folder / name)
    return folder


def clear(tmp_path, name):
    for path in tmp_path.glob(f"{name}.sqlite*"):
        path.unlink()
    shutil.rmtree(tmp_path / "copy", ignore_errors=True)


def ingested(catalogue):
    """Return each asset's versions: where, with which content, and what they need."""
    return {
        asset.asset_id: [
            (each.location, each.checksum, catalogue.dependencies(each.asset_id, each.number))
            for each in catalogue.versions(asset.asset_id)
        ]
        for asset in catalogue.assets(limit=1000)
    }


# Migrating the schema


@pytest.fixture
def old_catalogue(request, catalogue_url, tmp_path):
    """Return what makes an old catalogue, of schema 0001, and the URL of it."""
    if catalogue_url.startswith("sqlite"):
        path = tmp_path / "old.sqlite"

        def make():
            for each in tmp_path.glob("old.sqlite*"):
                each.unlink()
            shutil.copy(OLD_CATALOGUE, path)
            return f"sqlite:///{path}"

        yield make
        return
    server = request.getfixturevalue("postgresql_server")
    template = server.database()
    make_old(template)
    url = server.url("bifrost_killed")

    def make():
        server.drop(url)
        server.sql(f"CREATE DATABASE bifrost_killed TEMPLATE {sa.make_url(template).database}")
        return url

    yield make
    for each in (url, template):
        server.drop(each)


class TestMigrating:
    def test_a_catalogue_is_the_old_one_or_the_new_one(self, killer, every_round, old_catalogue):
        """
        On each kind of database: whoever opens it next gets it up to date, with everything in it.
        """
        for _ in range(2):
            [counts] = killer.run(work.migrate, old_catalogue())
        for _, which in every_round(4):
            url = old_catalogue()
            killer.kill(work.migrate, url)
            assert revision(url) in ("0001", schema.REVISION), which
            with Catalogue.open(url) as catalogue:
                assert counts == catalogue.counts(), which
                assert ["a b/c", "rock", "shot", "wood"] == [
                    asset.asset_id for asset in catalogue.assets()
                ], which
                # The files of this show were never there.
                assert {"missing_file"} == {each.kind for each in catalogue.check()}, which
            assert schema.REVISION == revision(url), which


def make_old(url):
    """Fill an empty PostgreSQL database with what the old SQLite catalogue holds."""
    from alembic import command
    from alembic.config import Config

    there = sa.MetaData()
    old = sa.create_engine(f"sqlite:///{OLD_CATALOGUE}", module=driver())
    there.reflect(old)
    database = Database(_backend(url, 10.0, 60.0))
    with database.write() as connection, old.connect() as rows:
        database._backend.prepare(connection)
        config = Config()
        config.set_main_option("script_location", str(migrations.LOCATION))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for table in there.sorted_tables:
            if table.name == "alembic_version":
                continue
            if found := [each._asdict() for each in rows.execute(sa.select(table))]:
                connection.execute(sa.insert(table), found)
    old.dispose()
    database.close()


def revision(url):
    """Return a catalogue's revision, without bringing it up to date."""
    database = Database(_backend(url, 10.0, 60.0))
    with database.read() as connection:
        found = database._backend.revision(connection)
    database.close()
    return found


# Writing pins


class TestPins:
    def test_a_file_of_pins_is_the_old_or_the_new_one(self, killer, every_round, tmp_path):
        """Whole, and never older than one that was acknowledged. At most one part of a file is left over."""
        path = tmp_path / "shot.pins.json"
        many_pins(200).save(path)
        for turn in range(2):
            killer.run(work.write_pins, str(path), f"first {turn}")
        last = pins.load(path)
        for turn, which in every_round(6):
            told = killer.kill(work.write_pins, str(path), f"{turn}")
            found = pins.load(path)
            assert last.entities == found.entities, which
            assert found.text() == path.read_text(), which
            count = len(told)
            after = {f"{turn}.{count - 1}" if told else last.by, f"{turn}.{count}"}
            assert found.by in after, which
            left = list(tmp_path.glob(".shot.pins.json.*"))
            assert len(left) <= 1, which
            for each in left:
                each.unlink()
            last = found


def many_pins(count):
    """Return pins of a shot with *count* files."""
    return pins.Pins(
        root="/show/shot.usda",
        variants="all",
        made="2026-03-01T12:00:00+00:00",
        by="nobody",
        manager="org.bifrost.assetmanager",
        openusd="26.8",
        policy="",
        entities=tuple(
            pins.Pin(
                f"bifrost:///assets/asset_{number}",
                f"/show/store/asset_{number}/v0001/asset.usda",
                "reference",
                number,
                checksum(str(number)),
            )
            for number in range(count)
        ),
        files=(),
    )


# The cache


class TestFilling:
    def test_the_next_process_is_answered_right(self, killer, every_round, tmp_path):
        """
        A process that has everything forgotten and resolves it anew is killed; what it filled is served.

        Between the rounds some assets move on, so that an old answer would show.
        """
        url = f"sqlite:///{tmp_path}/show.sqlite"
        killer.set_variables(BIFROST_CATALOGUE__URL=url)
        references = [f"bifrost:///assets/asset_{number:03}" for number in range(60)]
        with Catalogue.open(url) as catalogue:
            truth = {each: published(catalogue, tmp_path, each, "first") for each in references}
            for _ in range(2):
                killer.run(work.fill, references)
            for turn, which in every_round(4):
                told = [each for part in killer.kill(work.fill, references) for each in part]
                answers, (verified, stats) = killer.run(work.ask, references)
                assert truth == {each: found.path for each, found in answers.items()}, which
                assert {"lmdb"} >= {answers[each].tier for each in told}, which
                assert (0, 0, "open") == (
                    verified["damaged"], stats["errors"], stats["state"],
                ), which  # fmt: skip
                for number in range(turn, turn + 5):
                    moved = references[number % len(references)]
                    truth[moved] = published(catalogue, tmp_path, moved, f"{turn}")


def published(catalogue, folder, reference, text):
    """Publish a file where it lies as the next version of an asset; return the file."""
    asset_id = reference.rpartition("/")[2]
    path = folder / f"{text}.{asset_id}"
    path.write_text(text)
    publisher = Publisher(catalogue, validators={}, actions={})
    publisher.publish([work.Draft(asset_id, asset_id, "model", str(path), in_place=True)])
    return str(path)


# Each adds entries, and from some 290 on a cache of this size lets its oldest go.
ROUNDS_OF_A_CACHE = 200


class TestCompacting:
    def test_everything_is_still_there(self, killer, every_round, tmp_path):
        """Nothing that was flushed is lost, nothing is wrong, and no more than one store is left over."""
        for turn, which in every_round(4):
            if turn % ROUNDS_OF_A_CACHE == 0:
                folder, start = tmp_path / f"cache{turn}", 0
                for _ in range(2):
                    flushed = killer.run(work.compact, str(folder), start)
                    start += len(flushed) * 10
                kept = set(range(start))
            for numbers in killer.kill(work.compact, str(folder), start):
                kept.update(numbers)
            start += work.PARTS * 10
            (there, wrong), (verified, stats) = killer.run(work.look, str(folder), start)
            assert [] == wrong, which
            assert set() == kept - set(there), which
            assert (0, 0, "open") == (verified["damaged"], stats["errors"], stats["state"]), which
            [root] = folder.iterdir()
            assert sum("store-" in name for name in os.listdir(root)) <= 2, which
            assert stats["file_bytes"] < work.MOST_BYTES, which
