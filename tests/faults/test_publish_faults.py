# SPDX-License-Identifier: Apache-2.0
"""
Publishing while things break: killed processes, full disks, locks, servers that go away.

Whatever happens: the catalogue has the old state or the new, every version that resolves has its file
with the right checksum, what is left over is found and removed, and the next publish works.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import select
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from bifrost.catalogue import Catalogue, Publication
from bifrost.catalogue import catalogue as facade
from bifrost.catalogue.catalogue import publishes
from bifrost.catalogue.records import file_of
from bifrost.catalogue.store import STAGING, Store
from bifrost.errors import CatalogueError, Code, LocationException, StorageException
from bifrost.publishing import Draft, Publisher
from bifrost.testing.postgresql import PostgresqlServer

LIMIT_S = 60
ROUNDS_OF_KILLING = 8
KEY = "the same publish"


@pytest.fixture
def opened(catalogue_url, tmp_path):
    """Open the catalogue, as every process does; in two hours, so that nothing is too young."""

    @contextmanager
    def open_it(url=catalogue_url, **more):
        with Catalogue.open(
            url, store=tmp_path / "store", clock=lambda: time.time() + 7200, **more
        ) as catalogue:
            yield catalogue

    return open_it


@pytest.fixture
def draft(tmp_path):
    def make(text="one", asset_id="rock"):
        path = tmp_path / f"{asset_id}.txt"
        path.write_text(text)
        return Draft(asset_id, "Rock", "model", str(path))

    return make


def publisher(catalogue, actions=None):
    return Publisher(catalogue, validators={}, actions=actions or {})


def numbers(catalogue, asset_id="rock"):
    return [version.number for version in catalogue.versions(asset_id)]


def in_child(work):
    """Run *work* in a forked process, which then ends without a word; return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    except BaseException:  # noqa: BLE001  the child must not come back into pytest
        os._exit(2)
    os._exit(0)


def killed(child):
    """Wait for the child, and return whether it died of SIGKILL."""
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def everything_is_right(catalogue):
    """Whether the rock's versions have no gap and their files, and whether repairing leaves nothing."""
    found = numbers(catalogue)
    whole = found == list(range(len(found), 0, -1))
    broken = {"missing_file", "wrong_content", "index"}
    before = {problem.kind for problem in catalogue.check()}
    mended = all(problem.repaired for problem in catalogue.check(repair=True))
    return whole and not before & broken and mended and [] == catalogue.check()


# Where a publisher dies: what is patched in the child, and whether it happens before or after that.
POINTS = {
    "while it copies": ("bifrost.catalogue.store._check_unchanged", "before"),
    "when the files are staged": (Store, "stage", "after"),
    "when the draft is recorded": (facade.Catalogue, "begin_publish", "after"),
    "before it is validated": (facade.Catalogue, "move_publish", "before"),
    "when it is validated": (facade.Catalogue, "move_publish", "after"),
    "before the rename": (Store, "place", "before"),
    "after the rename": (Store, "place", "after"),
    "when all but the commit is done": (publishes, "move", "registered"),
    "when it is committed": (facade.Catalogue, "register_publish", "after"),
    "before what is left of staging is removed": (Store, "settle", "before"),
}


def dies_at(point):
    """Let this process die at *point* of its next publish."""
    match POINTS[point]:
        case (str(), _):
            from bifrost.catalogue import store

            store._check_unchanged = die
        case (owner, name, "before"):
            setattr(owner, name, die)
        case (owner, name, "after"):
            original = getattr(owner, name)
            setattr(owner, name, lambda *args, **kw: (original(*args, **kw), die()))
        case (owner, name, "registered"):
            original = getattr(owner, name)

            def move(connection, row):
                original(connection, row)
                if row.stage == "registered":
                    die()

            setattr(owner, name, move)


class TestKilled:
    @pytest.mark.parametrize("point", POINTS)
    def test_at_a_chosen_point_it_was_published_or_not(self, opened, draft, point):
        with opened() as catalogue:
            publisher(catalogue).publish([draft("one")])
        two = draft("two")

        def work():
            dies_at(point)
            with opened() as catalogue:
                publisher(catalogue).publish([two], idempotency_key=KEY)

        assert killed(in_child(work))

        with opened() as catalogue:
            assert numbers(catalogue) in ([1], [2, 1])
            assert everything_is_right(catalogue)
            # Whoever sends it again gets it done, once.
            done = publisher(catalogue).publish([two], idempotency_key=KEY)
            assert ("post-registered", ("bifrost:///assets/rock?version=2",)) == (
                done.stage, done.results,
            )  # fmt: skip
            assert [2, 1] == numbers(catalogue)
            publisher(catalogue).publish([draft("three")])
            assert [3, 2, 1] == numbers(catalogue)
            assert everything_is_right(catalogue)
            assert [] == list((catalogue.store.root / STAGING).iterdir())

    def test_another_who_takes_its_number_leaves_it_its_files(self, opened, draft):
        """Killed between rename and commit, overtaken by another publish, and resumed without a check."""
        two = draft("two")

        def work():
            dies_at("after the rename")
            with opened() as catalogue:
                publisher(catalogue).publish([two], idempotency_key=KEY)

        assert killed(in_child(work))

        with opened() as catalogue:
            publisher(catalogue).publish([draft("three")])
            done = publisher(catalogue).publish([two], idempotency_key=KEY)
            assert ("bifrost:///assets/rock?version=2",) == done.results
            assert [hashlib.sha256(text).hexdigest() for text in (b"two", b"three")] == [
                version.checksum for version in catalogue.versions("rock")
            ]
            assert everything_is_right(catalogue)

    def test_in_an_action_the_version_is_there_and_the_action_is_done_later(self, opened, draft):
        two = draft("two")

        def work():
            with opened() as catalogue:
                publisher(catalogue, {"thumbnail": die}).publish([two])

        assert killed(in_child(work))

        with opened() as catalogue:
            [left] = publisher(catalogue).list(stage="registered")
            done = []
            resumed = publisher(catalogue, {"thumbnail": done.append}).resume(left.id)
            assert "post-registered" == resumed.stage
            assert 1 == len(done)
            assert everything_is_right(catalogue)

    def test_at_any_moment_nothing_that_was_told_is_lost(self, opened, tmp_path):
        """A process publishes on and on and is killed at a moment that nobody chose."""
        chance = random.Random(20250601)
        made = 0
        for turn in range(ROUNDS_OF_KILLING):
            read, write = os.pipe()

            def work(turn=turn, write=write):
                with opened() as catalogue:
                    publishing, count = publisher(catalogue), 0
                    path = tmp_path / "endless.txt"
                    while True:
                        path.write_text(f"{turn}.{count}")
                        done = publishing.publish([Draft("rock", "Rock", "model", str(path))])
                        number = done.results[0].rpartition("=")[2]
                        os.write(write, f"{number} {turn}.{count}\n".encode())
                        count += 1

            child = in_child(work)
            os.close(write)
            told = os.read(read, 1 << 16)  # it has published at least once
            select.select([], [], [], chance.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
            assert killed(child)
            while more := os.read(read, 1 << 16):
                told += more
            os.close(read)
            promised = dict(line.split() for line in told.decode().splitlines())
            made += len(promised)
            with opened() as catalogue:
                assert everything_is_right(catalogue)
                for number, text in promised.items():
                    path = catalogue.store.folder_of("rock", int(number)) / "endless.txt"
                    assert text == path.read_text()
                for left in publisher(catalogue).list():
                    publisher(catalogue).resume(left.id)
                assert everything_is_right(catalogue)

        assert made >= ROUNDS_OF_KILLING


class TestFilesThatChange:
    @pytest.mark.parametrize("in_place", [False, True])
    def test_a_file_that_somebody_still_writes_is_refused(self, opened, tmp_path, in_place):
        path = tmp_path / "large.bin"
        with path.open("wb") as file:
            file.truncate(64 << 20)
        made = Draft("rock", "Rock", "model", str(path), in_place=in_place)
        begun, over = threading.Event(), threading.Event()

        def write():
            with path.open("r+b", buffering=0) as file:
                while not over.is_set():
                    file.seek(0)
                    file.write(b"again")
                    begun.set()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert begun.wait(LIMIT_S)
            with opened() as catalogue:
                with pytest.raises(LocationException, match="changed while it was read") as raised:
                    publisher(catalogue).publish([made])
                assert Code.CONFLICT == raised.value.code
                assert [] == catalogue.assets()
                assert everything_is_right(catalogue)
        finally:
            over.set()
            writer.join()
        with opened() as catalogue:
            publisher(catalogue).publish([made])

    def test_a_file_that_may_not_be_read_is_refused(self, opened, tmp_path):
        path = tmp_path / "secret.txt"
        path.write_text("secret")
        path.chmod(0)
        read, write = os.pipe()

        def work():
            with opened("sqlite:///" + str(tmp_path / "their" / "c.sqlite")) as catalogue:
                catalogue.store.root.mkdir()
                for folder in tmp_path.parents:
                    mode = folder.stat().st_mode
                    if not mode & 0o001:  # pytest's, which are closed to others
                        folder.chmod(mode | 0o055)
                for folder in (tmp_path, catalogue.store.root):
                    folder.chmod(0o777)
                catalogue.path.chmod(0o666)
                catalogue.path.parent.chmod(0o777)
                if os.getuid() == 0:
                    os.setuid(65534)
                try:
                    publisher(catalogue).publish([Draft("rock", "Rock", "model", str(path))])
                except StorageException as error:
                    os.write(write, error.message.encode())

        _, status = os.waitpid(in_child(work), 0)
        os.close(write)
        told = os.read(read, 10_000).decode()
        os.close(read)

        assert 0 == status
        assert f"{path}: Permission denied; nothing was published" == told


class TestFullDisks:
    def test_a_file_that_does_not_fit_leaves_nothing(self, opened, tmp_path):
        """The process may write no file of more than a megabyte; a full disk answers alike."""
        path = tmp_path / "large.bin"
        path.write_bytes(os.urandom(2 << 20))
        opened_once = opened()
        with opened_once as catalogue:
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
            try:
                with pytest.raises(StorageException, match="File too large; nothing") as raised:
                    publisher(catalogue).publish([Draft("rock", "Rock", "model", str(path))])
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
                signal.signal(signal.SIGXFSZ, ignored)

            assert Code.STORAGE == raised.value.code
            assert [] == catalogue.assets() + publisher(catalogue).list()
            assert [] == list((catalogue.store.root / STAGING).iterdir())
            publisher(catalogue).publish([Draft("rock", "Rock", "model", str(path))])
            assert everything_is_right(catalogue)

    @pytest.fixture
    def small_disk(self, tmp_path):
        """A disk of two megabytes."""
        place = tmp_path / "disk"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
        if os.getuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only who may mount can have a small disk")
        yield place
        subprocess.run(["umount", "--lazy", str(place)], check=True)

    def test_a_store_without_room_keeps_what_it_has(self, catalogue_url, small_disk, tmp_path):
        path = tmp_path / "rock.bin"
        filler = small_disk / "filler"
        filler.write_bytes(bytes(600_000))

        def publish_until_full():
            for _ in range(100):
                path.write_bytes(os.urandom(300_000))
                publishing.publish([Draft("rock", "Rock", "model", str(path))])

        with Catalogue.open(catalogue_url, store=small_disk / "store") as catalogue:
            publishing = publisher(catalogue)
            with pytest.raises(StorageException, match="No space left on device; nothing was"):
                publish_until_full()

            count = len(numbers(catalogue))
            assert 0 < count < 5
            assert everything_is_right(catalogue)
            assert [] == publishing.list(stage="draft") + publishing.list(stage="validated")
            filler.unlink()
            publishing.publish([Draft("rock", "Rock", "model", str(path))])
            assert count + 1 == len(numbers(catalogue))
            assert everything_is_right(catalogue)

    def test_a_catalogue_and_a_store_on_one_full_disk(self, small_disk, tmp_path):
        """SQLite's file and the published ones fight for the last pages; something refuses."""
        url = f"sqlite:///{small_disk}/catalogue.sqlite"
        path = tmp_path / "rock.bin"
        done = []

        def publish_until_full():
            for _ in range(1000):
                path.write_bytes(os.urandom(5_000))
                metadata = {"note": os.urandom(5_000).hex()}
                draft = Draft("rock", "Rock", "model", str(path), metadata=metadata)
                done.append(publishing.publish([draft]).results)

        with Catalogue.open(url, store=small_disk / "store") as catalogue:
            publishing = publisher(catalogue)
            refused = (StorageException, CatalogueError)
            with pytest.raises(refused, match=r"No space left|disk is full|its disk"):
                publish_until_full()

            assert len(done) <= len(numbers(catalogue)) <= len(done) + 1
            kinds = {problem.kind for problem in catalogue.check()}
            assert kinds.isdisjoint({"missing_file", "wrong_content", "index"})

    def test_a_database_without_room_changes_nothing(self, tmp_path, draft):
        url = f"sqlite:///{tmp_path}/c.sqlite"
        with Catalogue.open(url, store=tmp_path / "store") as catalogue:
            publishing = publisher(catalogue)
            publishing.publish([draft("one")])
            made = draft("two")._replace(metadata={"note": "x" * 200_000})
            pages = limit_pages(catalogue, 1)  # as few as there are
            with pytest.raises(CatalogueError, match="the disk is full; nothing was changed"):
                publishing.publish([made], idempotency_key=KEY)
            assert [1] == numbers(catalogue)
            assert everything_is_right(catalogue)

            limit_pages(catalogue, pages + 1000)
            publishing.publish([made], idempotency_key=KEY)
            assert [2, 1] == numbers(catalogue)
            assert everything_is_right(catalogue)


def limit_pages(catalogue, pages):
    """Let the one connection in the pool grow the file to *pages* at most; return how many there are."""
    with catalogue._database.read() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        return connection.exec_driver_sql("PRAGMA page_count").scalar_one()


class TestLocks:
    def test_a_catalogue_that_another_process_holds_says_so_and_can_be_tried_again(
        self, opened, draft
    ):
        with opened() as catalogue:
            publisher(catalogue).publish([draft("one")])
        read, write = os.pipe()

        def hold():
            with opened() as catalogue, catalogue._database.write():
                os.write(write, b"held")
                signal.pause()

        holder = in_child(hold)
        assert b"held" == os.read(read, 4)
        try:
            with opened(lock_timeout_s=0.1) as catalogue:
                with pytest.raises(CatalogueError, match=r"locked: another process.*0\.1 s") as e:
                    publisher(catalogue).publish([draft("two")], idempotency_key=KEY)
                assert e.value.retryable
                # Readers wait for nobody.
                assert [1] == numbers(catalogue)
        finally:
            os.kill(holder, signal.SIGKILL)
            killed(holder)
            os.close(read)
            os.close(write)
        with opened(lock_timeout_s=LIMIT_S) as catalogue:
            publisher(catalogue).publish([draft("two")], idempotency_key=KEY)
            assert [2, 1] == numbers(catalogue)
            assert everything_is_right(catalogue)


@pytest.fixture(scope="module")
def own_server():
    """A server that these tests may stop."""
    with PostgresqlServer() as server:
        yield server


class TestServer:
    @pytest.fixture
    def url(self, own_server):
        url = own_server.catalogue()
        yield url
        own_server.drop(url)

    @pytest.fixture
    def server_catalogue(self, url, tmp_path):
        with Catalogue.open(
            url, store=tmp_path / "store", clock=lambda: time.time() + 7200
        ) as made:
            publisher(made).publish([Draft("rock", "Rock", "model", "")])
            yield made

    def drop_connections(self, server, url):
        name = url.partition("?")[0].rpartition("/")[2]
        server.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE datname = '{name}'"
        )

    @pytest.mark.parametrize("point", ["place", "move", "commit"])
    def test_a_connection_dropped_in_mid_transaction_leaves_the_old_state(
        self, own_server, url, server_catalogue, draft, monkeypatch, point
    ):
        drops = []

        def drop():
            if not drops:
                drops.append(1)
                self.drop_connections(own_server, url)

        if point == "commit":
            engine = server_catalogue._database._writer
            registering = Catalogue.register_publish

            def register(*arguments, **options):
                sa.event.listen(engine, "commit", lambda _: drop())
                return registering(*arguments, **options)

            monkeypatch.setattr(Catalogue, "register_publish", register)
        else:
            owner = Store if point == "place" else publishes
            original = getattr(owner, point)

            def call(*arguments):
                if point == "place" or arguments[1].stage == "registered":
                    drop()
                return original(*arguments)

            monkeypatch.setattr(owner, point, call)

        made = draft("two")
        with pytest.raises(CatalogueError, match=r"connection|going down") as raised:
            publisher(server_catalogue).publish([made], idempotency_key=KEY)

        assert [1] == drops
        assert raised.value.retryable
        assert [1] == numbers(server_catalogue)
        done = publisher(server_catalogue).publish([made], idempotency_key=KEY)
        assert ("bifrost:///assets/rock?version=2",) == done.results
        assert [2, 1] == numbers(server_catalogue)
        assert [] == server_catalogue.check()

    @pytest.mark.parametrize("point", ["place", "put_back"])
    def test_who_lost_the_lock_leaves_alone_what_others_committed(
        self, own_server, url, server_catalogue, draft, monkeypatch, point
    ):
        """The server lets go of a lock with its connection; whoever held it learns of it later."""
        original = getattr(Store, point)
        others = []

        def call(*arguments):
            if not others:
                others.append(1)
                self.drop_connections(own_server, url)
                with Catalogue.open(url, store=server_catalogue.store.root) as other:
                    others.append(publisher(other).publish([draft("theirs")]))
            return original(*arguments)

        monkeypatch.setattr(Store, point, call)
        if point == "put_back":  # it is called where a publish that crashed left its files
            server_catalogue.store.folder_of("rock", 2).joinpath("left").mkdir(parents=True)

        with pytest.raises(CatalogueError):
            publisher(server_catalogue).publish([draft("ours")])

        assert ("bifrost:///assets/rock?version=2",) == others[1].results
        assert [2, 1] == numbers(server_catalogue)
        [found] = server_catalogue.resolve([("rock", "2")])
        assert "theirs" == Path(file_of(found.location)).read_text()
        assert everything_is_right(server_catalogue)

    def test_connections_that_were_dropped_while_idle_are_replaced(
        self, own_server, url, server_catalogue, draft
    ):
        self.drop_connections(own_server, url)

        publisher(server_catalogue).publish([draft("two")])

        assert [2, 1] == numbers(server_catalogue)

    @pytest.mark.parametrize("how", ["stop", "kill"])
    def test_a_server_that_goes_away_comes_back_with_everything(
        self, own_server, server_catalogue, draft, how
    ):
        made = publisher(server_catalogue).draft([draft("two")], idempotency_key=KEY)
        getattr(own_server, how)()
        try:
            for call in (
                lambda: server_catalogue.resolve([("rock", None)]),
                lambda: publisher(server_catalogue).resume(made.id),
            ):
                with pytest.raises(CatalogueError) as raised:
                    call()
                assert raised.value.retryable
        finally:
            own_server.start()

        done = publisher(server_catalogue).publish([draft("two")], idempotency_key=KEY)
        assert (made.id, "post-registered") == (done.id, done.stage)
        assert [2, 1] == numbers(server_catalogue)
        assert [] == server_catalogue.check()

    def test_too_many_connections_can_be_tried_again(self, own_server, url):
        for statement in (
            "DROP ROLE IF EXISTS few",
            "CREATE ROLE few LOGIN CONNECTION LIMIT 1",
            "GRANT pg_read_all_data TO few",
        ):
            own_server.sql(statement)
        engine = sa.create_engine(
            sa.make_url(url).set(drivername="postgresql+psycopg", username="few")
        )
        with engine.connect():
            with pytest.raises(CatalogueError, match=r"out of resources: .*too many") as raised:
                Catalogue.open(url.replace("postgres:@", "few@"))
            assert raised.value.retryable
        engine.dispose()

    def test_threads_that_find_no_connection_in_time_can_try_again(self, url):
        with Catalogue.open(url, lock_timeout_s=0.1) as catalogue:
            held = [catalogue._database._engine.connect() for _ in range(32)]
            with pytest.raises(CatalogueError, match="every connection is in use") as raised:
                catalogue.assets()
            for connection in held:
                connection.close()
            assert raised.value.retryable
            assert [] == catalogue.assets()

    def test_a_statement_that_takes_too_long_is_given_up(self, url, tmp_path):
        with (
            Catalogue.open(url) as holder,
            Catalogue.open(url, lock_timeout_s=LIMIT_S, statement_timeout_s=0.2) as catalogue,
        ):
            expected = pytest.raises(CatalogueError, match=r"longer than 0\.2 s; raise")
            with holder._database.write(), expected as raised:
                catalogue.publish([Publication("rock", "Rock", "model", "")])
            assert not raised.value.retryable
            assert catalogue.publish([Publication("rock", "Rock", "model", "")])[0].is_new
