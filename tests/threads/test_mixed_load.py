# SPDX-License-Identifier: Apache-2.0
"""
Twenty-four threads and another process, everything at once, over one session and one catalogue.

Each file says of which asset and version it is, so that every answer can be checked. What a thread may
rely on: a pinned version is that version; a floating one is no older than what this process published
before the question, nor than what the thread saw before it invalidated the asset; what a context froze in
time stays. `BIFROST_SOAK_S=120` makes it two minutes of load.
"""

import asyncio
import contextlib
import functools
import gc
import multiprocessing
import os
import threading
import time
import traceback
import weakref
from collections import Counter, defaultdict
from datetime import UTC, datetime
from multiprocessing import resource_tracker
from random import Random

import pytest

from bifrost.context import Context
from bifrost.errors import (
    AssetNotFoundException,
    BatchCancelledException,
    ConflictException,
)
from bifrost.host import BifrostHostInterface
from bifrost.publishing import Draft
from bifrost.session import Session
from bifrost.settings import load

SOAK_S = float(os.environ.get("BIFROST_SOAK_S", "10"))
THREADS = 24
# How long one operation, or the end of all, may take on a machine that is busy with other things.
LIMIT_S = 120.0
ASSETS = [f"asset_{number}" for number in range(16)]
# Those of the other process, which it alone publishes.
OTHERS = [f"other_{number}" for number in range(4)]
MISSING = "bifrost:///assets/nobody"
OURS = ("bifrost.session", "bifrost.pipeline", "bifrost.tiers", "bifrost.host", "bifrost.manager")


def uri_of(asset, version=None):
    return f"bifrost:///assets/{asset}" + ("" if version is None else f"?version={version}")


def said(path):
    """Return the asset and the version whose file is at *path*."""
    asset, version = path.read_text().split()
    return asset, int(version)


def draft(folder, asset, version):
    """Return the publish of *version* of *asset*, and of no other."""
    file = folder / f"{asset}_{version}_{threading.get_ident()}.txt"
    file.write_text(f"{asset} {version}")
    return Draft(
        asset, asset, "notes", str(file), metadata={"tags": ["load"]}, expected_version=version - 1
    )


class Truth:
    """What this process has been told is published or approved. Any thread."""

    def __init__(self):
        self._lock = threading.Lock()
        self._newest = dict.fromkeys([*ASSETS, *OTHERS], 1)
        self.approving = defaultdict(set)

    def newest(self, asset):
        """Return the newest version that a publish of this process has returned."""
        return self._newest[asset]

    def published(self, asset, version):
        with self._lock:
            self._newest[asset] = max(self._newest[asset], version)


class Worker:
    """One thread's part: what it does, by chance, and what it may rely on."""

    def __init__(self, host, truth, folder, frozen_at, seed):
        self.host = host
        self.truth = truth
        self.folder = folder
        self.frozen_at = frozen_at
        self.rng = Random(seed)
        self.saw = defaultdict(lambda: 1)
        self.floor = defaultdict(lambda: 1)
        self.name = f"user_{seed % 3}"

    def step(self):
        """Do one thing; return its name. Raises AssertionError where an answer is wrong."""
        (work,) = self.rng.choices(list(WORK), list(WORK.values()))
        work(self)
        return work.__name__

    def asset(self):
        return self.rng.choice([*ASSETS, *OTHERS])

    def least(self, asset):
        """Return the oldest version that an answer to a question asked now may have."""
        return max(self.floor[asset], self.truth.newest(asset))

    def check(self, asset, least, found, version):
        assert asset == found, f"asked for {asset}, got {found}"
        assert version >= least, f"{asset}: {version} came after {least} was known"
        self.saw[asset] = max(self.saw[asset], version)

    def forget(self, *assets):
        """Rely, from now on, on what was seen before the invalidation that is over."""
        for asset in assets:
            self.floor[asset] = max(self.floor[asset], self.saw[asset])

    # Questions

    def resolve(self):
        asset = self.asset()
        least = self.least(asset)
        self.check(asset, least, *said(self.host.resolve_asset_path(uri_of(asset))))

    def resolve_fully(self):
        asset = self.asset()
        least = self.least(asset)
        found = self.host.resolve_asset(uri_of(asset))
        name, version = said(self.folder.__class__(found.path))
        assert str(version) == found.version
        self.check(asset, least, name, version)

    def resolve_pinned(self):
        asset = self.asset()
        version = self.rng.randint(1, self.truth.newest(asset))
        assert (asset, version) == said(self.host.resolve_asset_path(uri_of(asset, version)))

    def resolve_missing(self):
        with pytest.raises(AssetNotFoundException) as caught:
            self.host.resolve_asset_path(MISSING)
        assert MISSING == caught.value.asset_uri

    def _questions(self):
        """Return references of every kind, with what is known of the answer: asset, version, least."""
        asked = []
        for asset in (self.asset() for _ in range(self.rng.randint(1, 12))):
            newest = self.truth.newest(asset)
            pinned = self.rng.choice([None, self.rng.randint(1, newest)])
            asked.append((uri_of(asset, pinned), asset, pinned, self.least(asset)))
        return asked

    def _check_paths(self, asked, paths):
        for (_, asset, pinned, least), path in zip(asked, paths, strict=True):
            name, version = said(path)
            if pinned is None:
                self.check(asset, least, name, version)
            else:
                assert (asset, pinned) == (name, version)

    def resolve_batch(self):
        asked = self._questions()
        uris = [uri for uri, *_ in asked]
        place = self.rng.randint(0, len(uris))
        uris.insert(place, MISSING)
        outcomes = self.host.resolve_asset_paths(
            uris,
            batch_size=self.rng.choice([1, 3, 100]),
            adaptive=self.rng.random() < 0.5,
            on_error="return",
        )
        assert isinstance(outcomes.pop(place), AssetNotFoundException)
        self._check_paths(asked, outcomes)

    def stream(self):
        asked = self._questions()
        found = self.host.iter_resolve_asset_paths((uri for uri, *_ in asked), batch_size=2)
        self._check_paths(asked, list(found))

    def resolve_async(self):
        asked = self._questions()
        coroutine = self.host.aresolve_asset_paths([uri for uri, *_ in asked])
        self._check_paths(asked, asyncio.run(coroutine))

    def cancel(self):
        asked = self._questions()
        uris = [uri for uri, *_ in asked]
        try:
            outcomes = self.host.resolve_asset_paths(
                uris, batch_size=1, adaptive=False, progress=lambda *_: False
            )
        except BatchCancelledException as cancelled:
            outcomes = cancelled.results
        answered = [pair for pair in zip(asked, outcomes, strict=True) if pair[1] is not None]
        self._check_paths([one for one, _ in answered], [path for _, path in answered])

    def versions(self):
        assets = [self.asset() for _ in range(5)]
        least = [self.least(asset) for asset in assets]
        found = self.host.get_versions([uri_of(asset) for asset in assets])
        for asset, lowest, version in zip(assets, least, found, strict=True):
            self.check(asset, lowest, asset, version)

    def exist(self):
        uris = [uri_of(self.asset()), MISSING, uri_of(self.asset(), 1), uri_of(self.asset(), 99999)]
        assert [True, False, True, False] == self.host.entities_exist(uris)

    def infos(self):
        asset = self.asset()
        least = self.least(asset)
        for info in (
            self.host.get_entity_info(uri_of(asset)),
            *self.host.get_entity_infos([uri_of(asset)]),
        ):
            name, version = said(self.folder.__class__(info["location"]))
            assert str(version) == info["version"]
            self.check(asset, least, name, version)

    def resolve_frozen(self):
        context = Context(user=self.name, as_of=self.frozen_at)
        asset = self.rng.choice(ASSETS)
        assert (asset, 1) == said(self.host.resolve_asset_path(uri_of(asset), context=context))

    def resolve_as_somebody(self):
        asset = self.asset()
        least = self.least(asset)
        with Context(user=self.name, current_project="load").active():
            self.check(asset, least, *said(self.host.resolve_asset_path(uri_of(asset))))

    def resolve_approved(self):
        asset = self.rng.choice(ASSETS)
        with contextlib.suppress(AssetNotFoundException):
            if self.rng.random() < 0.5:
                path = self.host.resolve_asset_path(uri_of(asset, "approved"))
            else:
                context = Context(version="approved")
                path = self.host.resolve_asset_path(uri_of(asset), context=context)
            name, version = said(path)
            assert asset == name
            assert version in self.truth.approving[asset]

    def query(self):
        found = self.host.query_assets({"filter": {"id": {"$in": ASSETS}}, "fields": ["id"]})
        assert set(ASSETS) == {each["id"] for each in found}

    # Changes

    def publish(self):
        asset = self.rng.choice(ASSETS)
        version = self.truth.newest(asset) + 1
        with contextlib.suppress(ConflictException):  # another thread was faster
            publish = self.host.publish([draft(self.folder, asset, version)])
            assert [uri_of(asset, version)] == list(publish.results)
            self.truth.published(asset, version)
            self.floor[asset] = max(self.floor[asset], version)

    def approve(self):
        asset = self.rng.choice(ASSETS)
        version = self.rng.randint(1, self.truth.newest(asset))
        self.truth.approving[asset].add(version)
        for status in ("review", "approved"):
            with contextlib.suppress(ConflictException):  # it is there already, or moved on
                self.host.set_status(uri_of(asset, version), status)

    def describe(self):
        self.host.set_metadata(uri_of(self.rng.choice(ASSETS)), {"note": self.rng.random()})

    def relate(self):
        start, end = self.rng.sample(ASSETS, 2)
        with contextlib.suppress(ConflictException, AssetNotFoundException):
            if self.rng.random() < 0.5:
                self.host.add_relationship(uri_of(start), uri_of(end), "likes")
            else:
                self.host.remove_relationship(uri_of(start), uri_of(end), "likes")
        edges = self.host.get_relationships_with_metadata(uri_of(start))
        assert {uri_of(start)} >= {edge["from"] for edge in edges}

    def invalidate(self):
        asset = self.asset()
        self.host.invalidate_cache(uri_of(asset))
        self.forget(asset)

    def invalidate_many(self):
        kind = self.rng.choice(
            [{"prefix": "bifrost:///assets/asset_"}, {"tag": "load"}, {"everything": True}]
        )
        self.host.invalidate_cache(**kind)
        self.forget(*ASSETS)

    def configure(self):
        self.host.configure_cache(
            memory_size_mb=self.rng.choice([0, 1, 100]),
            ttl_seconds=self.rng.choice([0, 1, 3600]),
            revalidate_seconds=0,
        )

    def look_at_statistics(self):
        assert 0 <= self.host.get_cache_stats()["hit_rate"] <= 100
        assert "closed" == self.host.get_performance_stats()["manager"]["breaker"]


WORK = {
    Worker.resolve: 12,
    Worker.resolve_fully: 4,
    Worker.resolve_pinned: 6,
    Worker.resolve_missing: 1,
    Worker.resolve_batch: 8,
    Worker.stream: 2,
    Worker.resolve_async: 1,
    Worker.cancel: 2,
    Worker.versions: 3,
    Worker.exist: 2,
    Worker.infos: 2,
    Worker.resolve_frozen: 2,
    Worker.resolve_as_somebody: 2,
    Worker.resolve_approved: 2,
    Worker.query: 1,
    Worker.publish: 3,
    Worker.approve: 1,
    Worker.describe: 1,
    Worker.relate: 1,
    Worker.invalidate: 4,
    Worker.invalidate_many: 1,
    Worker.configure: 0.2,
    Worker.look_at_statistics: 1,
}


def publish_elsewhere(variables, folder, parent):
    """Publish, in another process, until *parent* says something; tell it which versions are the newest."""
    session = Session(load(variables))
    host = BifrostHostInterface(session)
    newest = dict.fromkeys(OTHERS, 1)
    rng = Random(99)
    while not parent.poll(0.02):
        asset = rng.choice(OTHERS)
        host.publish([draft(folder, asset, newest[asset] + 1)])
        newest[asset] += 1
        assert (asset, newest[asset]) == said(host.resolve_asset_path(uri_of(asset)))
        parent.send(newest)
    parent.recv()  # or what was sent last would be lost
    session.close()


class Load:
    """All of it, run once; what came of it."""

    def __init__(self, variables, folder):
        self.variables = variables
        self.folder = folder
        self.wrong = []
        self.done = Counter()
        self.hung = []
        self.truth = Truth()
        self._ended = threading.Event()

    def run(self):
        """Run it from the first publish to the session's close."""
        session = Session(load(self.variables))
        host = BifrostHostInterface(session)
        host.publish([draft(self.folder, asset, 1) for asset in (*ASSETS, *OTHERS)])
        frozen_at = datetime.now(UTC).isoformat()
        with self._another_process() as newest:
            workers = [
                Worker(host, self.truth, self.folder, frozen_at, seed) for seed in range(THREADS)
            ]
            self._run_all(workers)
        self.expected = {
            **{asset: self.truth.newest(asset) for asset in ASSETS},
            **newest,
        }
        host.session.follow()
        self.found = dict(said(host.resolve_asset_path(uri_of(asset))) for asset in self.expected)
        self.stats = session.stats()
        session.close()

    def _run_all(self, workers):
        threads = [
            threading.Thread(target=self._work, args=(worker,), daemon=True) for worker in workers
        ]
        for thread in threads:
            thread.start()
        self._ended.wait(SOAK_S)
        self._ended.set()
        end = time.monotonic() + LIMIT_S
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        self.hung = [thread.name for thread in threads if thread.is_alive()]

    def _work(self, worker):
        while not self._ended.is_set():
            try:
                self.done[worker.step()] += 1
            except BaseException:  # noqa: BLE001  whatever it is, it is wrong
                self.wrong.append(traceback.format_exc())
                self._ended.set()

    @contextlib.contextmanager
    def _another_process(self):
        """Let another process publish, too, from its first publish on; give what it published."""
        spawn = multiprocessing.get_context("spawn")
        here, there = spawn.Pipe()
        process = spawn.Process(
            target=publish_elsewhere, args=(self.variables, self.folder, there), daemon=True
        )
        process.start()
        there.close()
        newest = {}
        try:
            assert here.poll(LIMIT_S), "the other process does not start"
            yield newest
            here.send("enough")
            with contextlib.suppress(EOFError):  # it has ended
                while here.poll(LIMIT_S):
                    newest.update(here.recv())
            process.join(LIMIT_S)
            assert 0 == process.exitcode, "what went wrong there is in the captured output"
        finally:
            here.close()
            process.kill()
            process.join()
            process.close()


def open_files():
    """Return what this process has open, by what it is."""
    found = Counter()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[os.readlink(f"/proc/self/fd/{number}").partition(":")[0]] += 1
    return found


def objects():
    """Return how many objects of ours live, by class, that a session consists of."""
    gc.collect()
    kinds = Counter(map(type, gc.get_objects()))
    return Counter(
        {
            f"{kind.__module__}.{kind.__name__}": number
            for kind, number in kinds.items()
            if str(kind.__module__).startswith(OURS)
        }
    )


def held():
    """Return what this process holds: threads, files, objects."""
    return {thread.name for thread in threading.enumerate()}, open_files(), objects()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def load_run(request, redis_server, tmp_path_factory):
    """The load, run once over each kind of database; with what the process held before and after."""
    home = tmp_path_factory.mktemp(request.param)
    folder = home / "files"
    folder.mkdir()
    variables = {
        "BIFROST_HOME": str(home / "home"),
        "BIFROST_CACHE__DISTRIBUTED_URL": redis_server.url,
        "BIFROST_CACHE__NEGATIVE_TTL_S": "1",
        "BIFROST_CATALOGUE__LOCK_TIMEOUT_S": "60",
        "BIFROST_MANAGER__DEADLINE_S": "100",
    }
    if request.param == "postgresql":
        variables["BIFROST_CATALOGUE__URL"] = request.getfixturevalue(
            "postgresql_server"
        ).catalogue()
    _warm_up({**variables, "BIFROST_HOME": str(home / "warm")}, folder)
    resource_tracker.ensure_running()  # so that `multiprocessing` has its pipe already
    run = Load(variables, folder)
    before = held()
    run.run()
    return run, before, functools.partial(_until_nothing_is_left, before)


def _warm_up(variables, folder):
    """Import what is imported late, and let libraries open what they keep."""
    session = Session(load({**variables, "BIFROST_CATALOGUE__URL": ""}))
    host = BifrostHostInterface(session)
    host.publish([draft(folder, "warm", 1)])
    host.resolve_asset_paths([uri_of("warm"), uri_of("warm", 1)], batch_size=1)
    host.get_entity_info(uri_of("warm"))
    host.entity_exists(MISSING)
    session.close()


def _until_nothing_is_left(before):
    """Return what is held more than *before*, once it is nothing or there was time enough."""
    end = time.monotonic() + 10
    while True:
        threads, files, things = held()
        more = (threads - before[0], files - before[1], things - before[2])
        if not any(more) or time.monotonic() > end:
            return more
        time.sleep(0.2)


class TestMixedLoad:
    def test_no_answer_is_wrong(self, load_run):
        """
        Not one, of any thread; everything was done at least once.
        """
        run, *_ = load_run

        assert [] == run.wrong, "\n".join(run.wrong)
        assert {work.__name__ for work in WORK} == set(run.done)

    def test_nothing_hangs(self, load_run):
        """
        Every thread came to its end.
        """
        assert [] == load_run[0].hung

    def test_in_the_end_everybody_sees_the_same(self, load_run):
        """
        The newest version of each asset, those that the other process published, too.
        """
        run, *_ = load_run

        assert run.expected == run.found
        assert sum(run.expected[asset] for asset in OTHERS) > len(OTHERS)

    def test_no_tier_broke(self, load_run):
        """
        A server that is slow for a moment is all there may be.
        """
        assert {"redis"} >= set(load_run[0].stats["tiers"]["failures"])

    def test_no_thread_is_left(self, load_run):
        """
        After the session's close.
        """
        assert set() == load_run[2]()[0]

    def test_no_file_is_left_open(self, load_run):
        """
        Connections to databases and servers neither.
        """
        assert Counter() == load_run[2]()[1]

    def test_no_object_is_left(self, load_run):
        """
        Of all that a session consists of, it included.
        """
        assert Counter() == load_run[2]()[2]


def test_a_closed_session_is_gone(own_home, tmp_path):
    """
    With its manager, and the connections that this had to the catalogue.
    """
    host = BifrostHostInterface(Session(load()))
    host.publish([draft(tmp_path, "asset", 1)])
    host.session.close()
    del host

    def used():
        session = Session(load())
        assert BifrostHostInterface(session).entity_exists(uri_of("asset"))  # no cache answers that
        assert session.catalogue
        session.close()
        return weakref.ref(session)

    gc.collect()
    before = open_files()

    sessions = [used() for _ in range(3)]

    end = time.monotonic() + 10  # threads may be on their way out
    while time.monotonic() < end and (open_files() - before or any(each() for each in sessions)):
        gc.collect()
        time.sleep(0.05)
    assert [None] * 3 == [session() for session in sessions]
    assert Counter() == open_files() - before
