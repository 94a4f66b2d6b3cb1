# SPDX-License-Identifier: Apache-2.0
"""Caches as the host sets them up, and as it makes them forget: by reference, prefix, tag, or all."""

import os
import stat
import threading
import time

import pytest

from bifrost import errors
from bifrost.context import Context
from bifrost.errors import TierError
from bifrost.host import BifrostHostInterface
from bifrost.session import Session, caching
from bifrost.session.caching import Caching
from bifrost.settings import load
from bifrost.testing import managers
from bifrost.testing.processes import HostProcess, eventually
from bifrost.tiers.following import Follower
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.shared_cache import SharedCache

NAMES = ("set.tree", "set.rock", "hero")


@pytest.fixture
def session(monkeypatch, catalogue_url):
    monkeypatch.setenv("BIFROST_CATALOGUE__URL", catalogue_url)
    session = Session(load())
    yield session
    session.close()


@pytest.fixture
def host(session):
    return BifrostHostInterface(session)


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in (*NAMES, "other"):
        (folder / name).write_text(f"#usda 1.0\n# {name}\n")
    return folder


@pytest.fixture
def uris(host, files):
    return host.register_assets(
        {
            "asset_type": "layer",
            "asset_name": name,
            "file_path": files / name,
            "in_place": True,
            "metadata": {"tags": ["nature"] if name.startswith("set") else ["people"]},
        }
        for name in NAMES
    )


def asked_again(host, uris, forget):
    """Return which of *uris* a manager is asked about after *forget*."""
    host.resolve_asset_paths(uris)
    forget()
    found = []
    for uri in uris:
        before = host.session.stats()["manager"]["round_trips"]
        host.resolve_asset_path(uri)
        if host.session.stats()["manager"]["round_trips"] > before:
            found.append(uri)
    return found


def test_the_planned_example(host, uris, tmp_path, capsys):
    """
    As written.
    """
    bifrost_host, asset_uri = host, uris[0]
    # Configure caching
    bifrost_host.configure_cache(
        memory_size_mb=100, disk_cache_path=str(tmp_path / "bifrost_cache"), ttl_seconds=3600
    )
    host.resolve_asset_path(asset_uri)
    host.resolve_asset_path(asset_uri)

    # Manually invalidate cache entries
    bifrost_host.invalidate_cache(asset_uri)

    # Get cache statistics
    cache_stats = bifrost_host.get_cache_stats()
    print(f"Cache hit rate: {cache_stats['hit_rate']}%")

    assert "Cache hit rate: 50.0%\n" == capsys.readouterr().out
    assert (tmp_path / "bifrost_cache").is_dir()


def test_one_entity_is_forgotten_with_all_its_versions(host, uris):
    """
    And nothing else.
    """
    asked = [*uris, f"{uris[0]}?version=1", f"{uris[0]}?version=latest"]

    forgotten = asked_again(host, asked, lambda: host.invalidate_cache(uris[0]))

    assert [uris[0], f"{uris[0]}?version=1", f"{uris[0]}?version=latest"] == forgotten


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({"prefix": "bifrost:///assets/set."}, [0, 1]),
        ({"prefix": "bifrost:///assets/h%65ro"}, [2]),
        ({"prefix": "bifrost:///"}, [0, 1, 2]),
        ({"prefix": ""}, [0, 1, 2]),
        ({"prefix": "bal:///"}, []),
        ({"tag": "nature"}, [0, 1]),
        ({"tag": "nobody's"}, []),
        ({"everything": True}, [0, 1, 2]),
    ],
    ids=str,
)
def test_many_are_forgotten_at_once(host, uris, what, expected):
    """
    By how references begin, by the assets' tags, or all.
    """
    forgotten = asked_again(host, uris, lambda: host.invalidate_cache(**what))

    assert [uris[index] for index in expected] == forgotten


def test_several_entities_may_be_named(host, uris):
    """
    Any iterable of references.
    """
    assert uris[1:] == asked_again(host, uris, lambda: host.invalidate_cache(iter(uris[1:])))


@pytest.mark.parametrize(
    "what", [{}, {"asset_uri": "a", "tag": "b"}, {"prefix": "a", "everything": True}]
)
def test_what_is_to_be_forgotten_is_one_thing(host, what):
    """
    None is no way of saying everything.
    """
    with pytest.raises(errors.ConfigurationError, match="one of"):
        host.invalidate_cache(**what)


@pytest.mark.parametrize(
    "bad",
    [
        {"memory_size_mb": -1},
        {"memory_size_mb": "much"},
        {"memory_size_mb": float("nan")},
        {"ttl_seconds": -1},
        {"ttl_seconds": "soon"},
        {"distributed_url": "localhost:6379"},
        {"distributed_url": "http://localhost"},
    ],
    ids=str,
)
def test_what_cannot_be_leaves_everything_as_it_was(host, uris, bad):
    """
    The message names it; the caches in force stay.
    """
    host.resolve_asset_paths(uris)
    with pytest.raises(errors.ConfigurationError):
        host.configure_cache(**bad)

    assert [] == asked_again(host, uris, lambda: None)
    assert 3600.0 == host.session.settings.cache.ttl_s


def test_what_is_not_given_stays_as_it_was(host, tmp_path):
    """
    One call sets one thing.
    """
    host.configure_cache(disk_cache_path=tmp_path / "elsewhere")
    host.configure_cache(ttl_seconds=7)

    cache = host.session.settings.cache
    assert (str(tmp_path / "elsewhere"), 7.0) == (cache.directory, cache.ttl_s)
    assert 100_000_000 == cache.memory_bytes


def test_a_cache_on_disk_is_found_again(host, uris, tmp_path):
    """
    Under the same path, also after another one was in force.
    """
    host.configure_cache(disk_cache_path=tmp_path / "first")
    host.resolve_asset_paths(uris)
    host.session.tiers.flush()
    host.configure_cache(disk_cache_path=tmp_path / "second")
    assert uris == asked_again_cold(host, uris)
    host.configure_cache(disk_cache_path=tmp_path / "first")

    assert [] == asked_again_cold(host, uris)


def asked_again_cold(host, uris):
    before = host.session.stats()["manager"]["round_trips"]
    host.resolve_asset_paths(uris)
    return uris if host.session.stats()["manager"]["round_trips"] > before else []


def test_configuring_again_and_again_leaks_nothing(host, uris):
    """
    No threads, no open files.
    """

    def descriptors():
        return len(os.listdir("/proc/self/fd"))

    for number in range(3):
        host.configure_cache(ttl_seconds=100 + number)
        host.resolve_asset_paths(uris)
    before, threads = descriptors(), threading.active_count()
    for number in range(20):
        host.configure_cache(ttl_seconds=200 + number)
        host.resolve_asset_paths(uris)

    assert eventually(lambda: threading.active_count() <= threads + 3)
    # A leak would be twenty or more; a pool of database connections grows up to its bound.
    assert descriptors() <= before + 15


@pytest.mark.parametrize("call", ["invalidate", "follow"])
def test_caches_that_are_replaced_meanwhile_forget_too(call, host, uris, monkeypatch):
    """
    Those before are closed, and tell nobody, when they hear of it.
    """
    host.configure_cache(follow_seconds=0)
    real = getattr(Caching, call)

    def late(caching, *arguments):
        monkeypatch.setattr(Caching, call, real)
        host.configure_cache(ttl_seconds=77)
        host.resolve_asset_paths(uris)
        return real(caching, *arguments)

    def forget():
        if call == "follow":
            asset_id = uris[0].removeprefix("bifrost:///assets/")
            host.session.catalogue.set_deprecated(asset_id, True)
        monkeypatch.setattr(Caching, call, late)
        host.invalidate_cache(uris[0]) if call == "invalidate" else host.session.follow()

    assert uris[:1] == asked_again(host, uris, forget)


def test_listeners_hear_what_was_not_heard_when_caches_are_replaced(host, uris):
    """
    Another process told the log within the second in which nobody looks.
    """
    heard = []
    host.resolve_asset_paths(uris)
    host.session.tiers.listeners.append(lambda names, _: heard.extend(names or [None]))
    with LmdbTier(host.session.settings.cache_directory, max_bytes=1 << 22) as other:
        other.invalidations.note_invalidation([b"hero"])
        host.configure_cache(ttl_seconds=77)

    assert b"hero" in heard


@pytest.mark.parametrize("fails", ["log", "look"])
def test_what_others_can_not_be_told_is_forgotten_here(host, uris, monkeypatch, fails):
    """
    Failures, too, and whatever else was to be told at the same time.
    """
    missing = "bifrost:///assets/nothing"
    host.configure_cache(follow_seconds=0)

    def broken(*_):
        raise TierError("the disk is full")

    def forget():
        with pytest.raises(errors.AssetNotFoundException):
            host.resolve_asset_path(missing)
        with monkeypatch.context() as patch:
            if fails == "log":
                patch.setattr(SharedCache, "_write", broken)
            else:
                patch.setattr(Follower, "look", broken)
            with pytest.raises(TierError, match="full"):
                host.invalidate_cache([uris[0], missing])

    assert uris[:1] == asked_again(host, uris, forget)
    before = host.session.stats()["manager"]["round_trips"]
    with pytest.raises(errors.AssetNotFoundException):
        host.resolve_asset_path(missing)
    assert before < host.session.stats()["manager"]["round_trips"]


def test_looks_that_nobody_waits_for_any_more_do_not_pile_up(host, uris, monkeypatch):
    """
    Where the catalogue takes longer to say what changed than anybody waits.
    """
    host.configure_cache(follow_seconds=0)
    host.resolve_asset_paths(uris)
    gate, looks = threading.Event(), []
    with monkeypatch.context() as patch:
        patch.setattr(caching, "_LOOK_S", 0.01)
        patch.setattr(Follower, "look", lambda _: (looks.append(1), gate.wait(20.0)))
        for _ in range(20):
            host.invalidate_cache(uris[0])
        gate.set()
    host.invalidate_cache(uris[1])

    assert len(looks) <= 1


def test_memory_alone_will_do(host, uris):
    """
    Neither a disk nor a server.
    """
    host.configure_cache(disk_size_mb=0)

    assert [] == asked_again(host, uris, lambda: None)
    assert ["memory"] == list(host.get_cache_stats()["tiers"])


def test_no_cache_at_all_is_slow_and_right(host, uris, files):
    """
    Every call asks.
    """
    host.configure_cache(memory_size_mb=0, disk_size_mb=0)

    assert uris == asked_again(host, uris, lambda: None)
    assert files / "hero" == host.resolve_asset_path(uris[2])


def test_statistics_of_every_tier(host, uris):
    """
    Rates are percentages of what was asked.
    """
    for _ in range(4):
        host.resolve_asset_paths(uris)

    stats = host.get_cache_stats()
    assert 75.0 == stats["hit_rate"]
    assert (9, 3) == (stats["hits"], stats["misses"])
    assert 3 == stats["tiers"]["memory"]["entries"]
    assert 75.0 == stats["tiers"]["memory"]["hit_rate"]
    assert {"entries", "bytes", "max_bytes", "evictions", "errors", "age_s", "hit_rate"} <= set(
        stats["tiers"]["lmdb"]
    )
    assert stats["bytes"] > 0


def test_bytes_are_bounded(host, files, monkeypatch, tmp_path):
    """
    In memory and on disk; who was used last stays.
    """
    host.configure_cache(memory_size_mb=0.01, disk_size_mb=1)
    uris = [f"bifrost:///assets/{'x' * 400}{number}" for number in range(300)]
    host.resolve_asset_paths(uris, on_error="return")

    assert host.get_cache_stats()["tiers"]["memory"]["bytes"] <= 10_000


def test_files_are_the_users_own(host, uris):
    """
    0700 for folders, 0600 for what is in them.
    """
    host.resolve_asset_paths(uris)
    host.session.tiers.flush()
    root = host.session.settings.cache_directory
    (own,) = [path for path in root.iterdir() if path.is_dir()]

    for path in [own, *own.rglob("*")]:
        expected = 0o700 if path.is_dir() else 0o600
        assert expected == stat.S_IMODE(path.stat().st_mode), path


def test_answers_of_one_never_serve_another(host, uris):
    """
    Who asks, for which project, with which token: each is a cache of its own.
    """
    for context in (
        Context(),
        Context(user="ada"),
        Context(user="bob"),
        Context(access_token="token-1"),
        Context(access_token="token-2"),
        Context(current_project="x"),
    ):
        before = host.session.stats()["manager"]["round_trips"]
        host.resolve_asset_path(uris[0], context=context)
        assert 1 == host.session.stats()["manager"]["round_trips"] - before, context


@pytest.fixture(params=["same host", "another host"])
def another(request, catalogue_url, own_home, tmp_path, session):
    """A process on the same host shares our cache; one on another host shares the catalogue alone."""
    home = own_home if request.param == "same host" else tmp_path / "another_home"
    another = HostProcess(home, BIFROST_CATALOGUE__URL=catalogue_url)
    yield another
    another.close()


def test_a_publish_is_seen_by_other_processes(host, uris, files, another):
    """
    Within about a second, without Redis: through the catalogue's change number.
    """
    assert str(files / "hero") == another.call("resolve_asset_path", uris[2])
    host.register_version(uris[2], files / "other", in_place=True)

    assert eventually(lambda: another.call("resolve_asset_path", uris[2]) == str(files / "other"))
    assert str(files / "hero") == another.call("resolve_asset_path", f"{uris[2]}?version=1")


def test_a_status_move_is_seen_by_other_processes(host, uris, files, another):
    """
    What had no approved version has one.
    """
    approved = f"{uris[0]}?version=approved"
    assert "AssetNotFoundException" in another.call("resolve_asset_path", approved)
    for status in ("review", "approved"):
        host.set_status(uris[0], status)

    assert eventually(
        lambda: another.call("resolve_asset_path", approved) == str(files / "set.tree")
    )


def test_a_deletion_and_a_rule_are_seen_by_other_processes(host, uris, another):
    """
    A pinned version may go, too; and a rule may close an asset to somebody.
    """
    from bifrost.catalogue.access import Rule

    pinned = f"{uris[1]}?version=1"
    assert "Exception" not in another.call("resolve_asset_path", pinned)
    assert "Exception" not in another.call("resolve_asset_path", uris[0])
    host.delete_asset(uris[1])
    assert eventually(
        lambda: "AssetNotFoundException" in another.call("resolve_asset_path", pinned)
    )

    host.allow([Rule("set.tree", "read", "ada")])
    assert eventually(
        lambda: "PermissionDeniedException" in another.call("resolve_asset_path", uris[0])
    )


def test_what_is_invalidated_here_is_forgotten_on_this_host(host, uris, own_home, catalogue_url):
    """
    By hand, for every process that shares the cache on disk.
    """
    another = HostProcess(own_home, BIFROST_CATALOGUE__URL=catalogue_url)
    another.call("resolve_asset_path", uris[0])
    another.call("resolve_asset_path", uris[0])
    misses = another.call("get_cache_stats")["misses"]
    host.invalidate_cache(prefix="\ud800")  # of no reference
    host.invalidate_cache(prefix="bifrost:///assets/set.")

    def asked():
        another.call("resolve_asset_path", uris[0])
        return another.call("get_cache_stats")["misses"] > misses

    assert eventually(asked)
    another.close()


def test_another_manager_has_no_log_of_changes(monkeypatch, tmp_path, files):
    """
    Its answers live as long as they were given; nobody follows anything.
    """
    for name, value in managers.install(tmp_path, files=files).items():
        monkeypatch.setenv(name, value)
    session = Session(load())
    host = BifrostHostInterface(session)
    host.configure_cache(ttl_seconds=0.05)
    uri = f"{managers.PREFIX}hero"
    for expected in (1, 2):
        host.resolve_asset_path(uri)
        assert expected == session.stats()["manager"]["round_trips"]
        assert eventually(lambda: session.cache.peek([uri], "")[uri].expires < time.time())
    with pytest.raises(errors.UnsupportedOperationException):
        host.invalidate_cache(tag="nature")
    session.close()
