# SPDX-License-Identifier: Apache-2.0
"""
Processes made from one that has used everything: forked in the middle of it, or spawned afresh.

Parent and child share no connection, no thread and no lock; both go on, at the same time, and each hears
of what the other changed.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bifrost.host import BifrostHostInterface
from bifrost.publishing import Draft
from bifrost.session import Session
from bifrost.settings import load
from bifrost.testing import managers
from bifrost.testing.managers import Controls

sys.path.insert(0, str(Path(__file__).parent))
from forked_children import LIMIT_S, ended_well, forked

NAMES = [f"asset_{number}" for number in range(20)]
HERO, *_ = URIS = [f"bifrost:///assets/{name}" for name in NAMES]


def until(condition):
    """Wait until *condition* holds, and fail where it does not in good time."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


def draft(folder, name, version):
    file = folder / f"{name}_{version}.txt"
    file.write_text(f"{name} {version}")
    return Draft(name, name, "notes", str(file))


def said(path):
    """Return the name and the version of the file at *path*."""
    name, version = path.read_text().split()
    return name, int(version)


@pytest.fixture
def variables(catalogue_url, redis_server, own_home):
    """The settings, as environment variables: three tiers over a catalogue of our own."""
    redis_server.flush()
    return {
        "BIFROST_HOME": str(own_home),
        "BIFROST_CATALOGUE__URL": catalogue_url,
        "BIFROST_CACHE__DISTRIBUTED_URL": redis_server.url,
        "BIFROST_CACHE__FOLLOW_S": "0.1",
        "BIFROST_CACHE__NEGATIVE_TTL_S": "0",
    }


@pytest.fixture
def host(variables, tmp_path):
    """A host that has used everything there is: tiers, catalogue, manager, threads of all kinds."""
    session = Session(load(variables))
    host = BifrostHostInterface(session)
    host.publish([draft(tmp_path, name, 1) for name in NAMES])
    assert [(name, 1) for name in NAMES] == [
        said(path) for path in host.resolve_asset_paths(URIS, batch_size=2)
    ]
    host.invalidate_cache(HERO)
    host.resolve_asset_path(HERO)
    yield host
    session.close()


def assert_no_tier_broke(host):
    """
    No file was torn, no reply was another's: a server that is slow for a moment is all there may be.
    """
    stats = host.session.stats()["tiers"]
    assert {"redis"} >= set(stats["failures"])
    assert all(stats["tiers"][name]["errors"] == 0 for name in ("memory", "lmdb"))


def work_of(host, folder, name, version):
    """Return what a process does that uses all of it, publishing *version* of an asset of its own."""

    def work():
        uri = f"bifrost:///assets/{name}"
        assert NAMES == [said(path)[0] for path in host.resolve_asset_paths(URIS, batch_size=3)]
        host.publish([draft(folder, name, version)])
        assert (name, version) == said(host.resolve_asset_path(uri))
        for ask in (
            {"asset_uri": uri},
            {"prefix": "bifrost:///assets/asset_1"},
            {"tag": "none"},
            {"everything": True},
        ):
            host.invalidate_cache(**ask)
            assert (name, version) == said(host.resolve_asset_path(uri))
        assert [True] * len(NAMES) == host.entities_exist(URIS, batch_size=3)
        assert version == host.get_version(uri)
        assert str(version) == host.get_entity_infos([uri])[0]["version"]
        assert_no_tier_broke(host)

    return work


class TestForkOfAUsedSession:
    def test_child_and_parent_both_go_on(self, host, tmp_path):
        """
        One after the other, and each closes what it has.
        """

        def child():
            work_of(host, tmp_path, NAMES[0], 2)()
            host.session.close()

        assert ended_well(forked(child))

        work_of(host, tmp_path, NAMES[1], 2)()
        until(lambda: said(host.resolve_asset_path(HERO)) == (NAMES[0], 2))

    def test_at_the_same_time(self, host, tmp_path):
        """
        Four children and the parent: who read from another's connection would get another's reply.
        """

        def repeated(name):
            def work():
                for version in range(2, 7):
                    work_of(host, tmp_path, name, version)()

            return work

        children = [forked(repeated(name)) for name in NAMES[:4]]
        repeated(NAMES[4])()

        assert [True] * 4 == [ended_well(child) for child in children]
        host.session.follow()
        host.invalidate_cache(everything=True)
        found = [said(path) for path in host.resolve_asset_paths(URIS[:5])]
        assert [(name, 6) for name in NAMES[:5]] == found

    def test_while_threads_hold_every_lock(self, host, tmp_path):
        """
        What they held, nobody would release in the child.
        """
        ended = threading.Event()

        def busy(place):
            while not ended.is_set():
                host.resolve_asset_paths(URIS[place:], batch_size=2)
                host.invalidate_cache(URIS[place])
                host.get_cache_stats()
                host.entity_exists(URIS[place])

        with ThreadPoolExecutor(8) as pool:
            threads = [pool.submit(busy, place) for place in range(8)]
            try:
                children = []
                for version in range(2, 8):
                    children.append(forked(work_of(host, tmp_path, NAMES[10 + version], 2)))
                    time.sleep(0.02)
                assert [True] * 6 == [ended_well(child) for child in children]
            finally:
                ended.set()
            for each in threads:
                each.result(LIMIT_S)

    def test_a_child_of_a_child(self, host, tmp_path):
        """
        However deep.
        """

        def child():
            work_of(host, tmp_path, NAMES[0], 2)()
            assert ended_well(forked(work_of(host, tmp_path, NAMES[1], 2)))
            work_of(host, tmp_path, NAMES[2], 2)()

        assert ended_well(forked(child))

    def test_a_child_that_ends_takes_nothing_along(self, host):
        """
        It closes its session, or is killed: the parent's connections and files stay.
        """
        assert ended_well(forked(host.session.close))
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(child, 0)

        host.invalidate_cache(everything=True)
        assert NAMES == [said(path)[0] for path in host.resolve_asset_paths(URIS)]
        assert_no_tier_broke(host)

    def test_a_child_begins_with_its_own_counters_of_threads(self, host):
        """
        No worker of the parent's counts as busy there.
        """

        def child():
            threads = host.get_performance_stats()["manager"]["threads"]
            assert (0, 0) == (threads["workers"], threads["waiting"])

        assert ended_well(forked(child))


def test_a_child_asks_a_manager_of_its_own(tmp_path, monkeypatch):
    """
    Another's plugin is made anew there; while the parent's hangs, the child's answers.
    """
    files = tmp_path / "files"
    files.mkdir()
    for name in NAMES:
        (files / name).write_text(name)
    controls = Controls(tmp_path / "controls")
    installed = managers.install(tmp_path, files=files, controls=str(controls.directory))
    for name, value in {**installed, "BIFROST_CACHE__DISK_BYTES": "0"}.items():
        monkeypatch.setenv(name, value)
    session = Session(load())
    host = BifrostHostInterface(session)
    uris = [managers.PREFIX + name for name in NAMES]
    host.resolve_asset_path(uris[0])
    controls.set(fault="hang")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(host.resolve_asset_path, uris[1], deadline_s=LIMIT_S)
        until(lambda: len(controls.calls()) == 2)
        controls.set(fault="none")

        def child():
            # The very reference that a thread of the parent is waiting for, too.
            assert [files / name for name in NAMES] == host.resolve_asset_paths(uris, batch_size=4)

        assert ended_well(forked(child))
        managers.release()
        assert files / NAMES[1] == waiting.result(LIMIT_S)
    assert 2 == len({call.pid for call in controls.calls()})
    session.close()


_inherited: BifrostHostInterface | None = None


def _resolve_inherited(uri):
    return said(_inherited.resolve_asset_path(uri))


def _resolve_afresh(uri):
    from bifrost.host import bifrost_host

    return said(bifrost_host.resolve_asset_path(uri))


class TestPools:
    def test_a_pool_of_forked_processes_uses_the_session_it_inherited(self, host):
        """
        As `multiprocessing` does it, with a thread of the parent's asking meanwhile.
        """
        global _inherited  # noqa: PLW0603  what a forked worker finds
        _inherited = host
        try:
            with multiprocessing.get_context("fork").Pool(3) as pool:
                found = pool.map_async(_resolve_inherited, URIS * 5)
                assert NAMES == [said(path)[0] for path in host.resolve_asset_paths(URIS)]
                assert [(name, 1) for name in NAMES] * 5 == found.get(LIMIT_S)
        finally:
            _inherited = None

    def test_spawned_processes_make_their_own(self, host, variables, monkeypatch):
        """
        From the same settings; they find what this one cached.
        """
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

        with multiprocessing.get_context("spawn").Pool(2) as pool:
            found = pool.map_async(_resolve_afresh, URIS).get(LIMIT_S)

        assert [(name, 1) for name in NAMES] == found
        assert_no_tier_broke(host)


IMPORTING = """
import threading

begun, go_on = threading.Event(), threading.Event()
begun.set()
go_on.wait(0.5)  # long enough for a fork that waits for nobody
"""


def test_a_child_that_is_forked_while_a_manager_is_imported_makes_its_own(
    own_home, tmp_path, monkeypatch
):
    """
    Python's lock of a module that a thread of the parent's is importing would never be given back there.
    """
    (tmp_path / "a.usda").write_text("#usda 1.0\n")
    (tmp_path / "imported_slowly.py").write_text(IMPORTING)
    monkeypatch.syspath_prepend(str(tmp_path))
    variables = managers.install(tmp_path, files=tmp_path)
    (plugin,) = Path(variables["OPENASSETIO_PLUGIN_PATH"]).iterdir()
    plugin.write_text("import imported_slowly\n" + plugin.read_text())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    session = Session(load({**variables, "BIFROST_HOME": str(own_home)}))
    host = BifrostHostInterface(session)

    def ask():
        assert tmp_path / "a.usda" == host.resolve_asset_path(managers.PREFIX + "a.usda")

    def ask_in_child():
        # Of the threads that stayed behind, none's stack is free: what is Python's name of a thread would
        # be a new one's, who would be taken for the one that imports.
        for _ in range(64):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        ask()

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        until(lambda: hasattr(sys.modules.get("imported_slowly"), "go_on"))
        child = forked(ask_in_child)
        asking.result(LIMIT_S)

    assert ended_well(child)
    session.close()
