# SPDX-License-Identifier: Apache-2.0
"""Hosts of a studio that share a Redis: who hears of what, and what happens when the server fails."""

import os
import signal

import pytest

from bifrost import errors
from bifrost.host import BifrostHostInterface
from bifrost.session import Session
from bifrost.settings import load
from bifrost.testing import managers
from bifrost.testing.processes import HostProcess, eventually
from bifrost.testing.redis import RedisServer

NAMES = [f"asset_{number:02d}" for number in range(12)]


@pytest.fixture
def server():
    with RedisServer() as server:
        yield server


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in (*NAMES, "other"):
        (folder / name).write_text(f"#usda 1.0\n# {name}\n")
    return folder


class Studio:
    """Hosts, each with a home of its own, over one catalogue and one Redis."""

    def __init__(self, tmp_path, variables):
        self.tmp_path = tmp_path
        self.variables = variables
        self.hosts = []

    def host(self, name, **more):
        host = HostProcess(self.tmp_path / name, **{**self.variables, **more})
        self.hosts.append(host)
        return host

    def close(self):
        for host in self.hosts:
            host.close()


@pytest.fixture
def studio(tmp_path, server):
    studio = Studio(
        tmp_path,
        {
            "BIFROST_CACHE__DISTRIBUTED_URL": server.url,
            "BIFROST_CATALOGUE__URL": f"sqlite:///{tmp_path / 'catalogue.sqlite'}",
            "BIFROST_CATALOGUE__STORE": str(tmp_path / "store"),
        },
    )
    yield studio
    studio.close()


@pytest.fixture
def quiet(studio):
    """Without looking at the catalogue: what is heard came through Redis."""
    studio.variables["BIFROST_CACHE__FOLLOW_S"] = "0"
    return studio


def registered(host, files):
    return host.call(
        "register_assets",
        [
            {"asset_type": "layer", "asset_name": name, "file_path": str(files / name),
             "in_place": True}
            for name in NAMES
        ],
    )  # fmt: skip


def round_trips(host):
    return host.call("get_performance_stats")["manager"]["round_trips"]


def up(host):
    return host.call("get_cache_stats")["tiers"]["redis"].get("following") is True


def test_what_one_host_asked_another_need_not_ask(studio, files):
    """
    A new host is warm from the first reference on.
    """
    first, second = studio.host("first"), studio.host("second")
    uris = registered(first, files)
    first.call(
        "resolve_asset_path", uris[0]
    )  # starts following; what was asked before is not stored
    assert eventually(lambda: up(first))
    first.call("invalidate_cache", everything=True)
    first.call("resolve_asset_paths", uris)
    second.call("get_cache_stats")
    second.call("resolve_asset_path", uris[0])
    assert eventually(lambda: up(second))

    def warm():
        # Without a disk, which would know on the second try what was asked for on the first.
        second.call("configure_cache", memory_size_mb=50, disk_size_mb=0)
        before = round_trips(second)
        second.call("resolve_asset_paths", uris)
        return round_trips(second) == before

    assert eventually(warm)
    assert second.call("get_cache_stats")["tiers"]["redis"]["hits"] >= 1


def test_a_publish_is_heard_through_redis(quiet, files):
    """
    The other host looks at nothing.
    """
    first, second = quiet.host("first"), quiet.host("second")
    uris = registered(first, files)
    for host in (first, second):
        host.call("resolve_asset_paths", uris)
        assert eventually(lambda host=host: up(host))
    second.call("resolve_asset_paths", uris)
    first.call("register_version", uris[3], str(files / "other"), in_place=True)

    assert eventually(lambda: second.call("resolve_asset_path", uris[3]) == str(files / "other"))
    assert str(files / NAMES[4]) == second.call("resolve_asset_path", uris[4])


def test_a_status_a_relationship_and_a_hand_are_heard_too(quiet, files):
    """
    Whatever changes what somebody may have cached.
    """
    first, second = quiet.host("first"), quiet.host("second")
    uris = registered(first, files)
    approved = f"{uris[0]}?version=approved"
    assert "NotFound" in second.call("resolve_asset_path", approved)
    assert eventually(lambda: up(second))
    first.call("set_status", uris[0], "review")
    first.call("set_status", uris[0], "approved")
    assert eventually(lambda: second.call("resolve_asset_path", approved) == str(files / NAMES[0]))

    for change in (
        ("add_relationship", uris[1], uris[2]),
        ("invalidate_cache", uris[1]),
    ):
        second.call("resolve_asset_path", uris[1])
        second.call("resolve_asset_path", uris[1])
        misses = second.call("get_cache_stats")["misses"]
        first.call(*change)

        def asked(misses=misses):
            second.call("resolve_asset_path", uris[1])
            return second.call("get_cache_stats")["misses"] > misses

        assert eventually(asked), change


def test_another_managers_answers_are_shared_and_forgotten(monkeypatch, tmp_path, server, files):
    """
    It has no log of changes; what is invalidated by hand reaches every host.
    """
    variables = managers.install(tmp_path, files=files)
    studio = Studio(tmp_path, {**variables, "BIFROST_CACHE__DISTRIBUTED_URL": server.url})
    first, second = studio.host("first"), studio.host("second")
    uris = [managers.PREFIX + name for name in NAMES]
    for host in (first, second):
        host.call("resolve_asset_paths", uris)
        assert eventually(lambda host=host: up(host))
        host.call("resolve_asset_paths", uris)
    before = round_trips(second)
    first.call("invalidate_cache", prefix=managers.PREFIX + "asset_0")

    def asked():
        second.call("resolve_asset_paths", uris)
        return round_trips(second) > before

    assert eventually(asked)
    studio.close()


def test_a_process_that_starts_keeps_what_its_host_has(studio, files):
    """
    It goes on where the last one was: no event was missed, nothing is forgotten.
    """
    first = studio.host("first")
    uris = registered(first, files)
    first.call("resolve_asset_paths", uris)
    assert eventually(lambda: up(first))
    first.call("resolve_asset_paths", uris)  # what was asked before it could hear was forgotten
    first.close()
    studio.hosts.remove(first)
    again = studio.host("first")
    assert again.call("resolve_asset_paths", uris)
    assert eventually(lambda: up(again))

    assert 0 == round_trips(again)
    assert 0 == again.call("get_cache_stats")["tiers"]["redis"]["events_missed"]


def test_what_was_missed_while_no_process_ran_is_heard_of(quiet, files):
    """
    The stream still has it.
    """
    first, second = quiet.host("first"), quiet.host("second")
    uris = registered(first, files)
    for host in (first, second):
        host.call("resolve_asset_paths", uris)
        assert eventually(lambda host=host: up(host))
        host.call("resolve_asset_path", f"{uris[0]}?version=1")
    second.close()
    quiet.hosts.remove(second)
    first.call("register_version", uris[3], str(files / "other"), in_place=True)
    second = quiet.host("second")

    assert eventually(lambda: second.call("resolve_asset_path", uris[3]) == str(files / "other"))


@pytest.mark.parametrize("fault", ["kill", "pause", "flush", "restart"])
def test_while_the_server_fails_answers_are_right_and_come_from_elsewhere(
    studio, server, files, fault
):
    """
    Slower, never wrong; and back by itself.
    """
    first, second = studio.host("first"), studio.host("second")
    uris = registered(first, files)
    for host in (first, second):
        host.call("resolve_asset_paths", uris)
        assert eventually(lambda host=host: up(host))
    getattr(server, fault)()

    first.call("register_version", uris[5], str(files / "other"), in_place=True)
    assert str(files / "other") == first.call("resolve_asset_path", uris[5])
    assert eventually(lambda: second.call("resolve_asset_path", uris[5]) == str(files / "other"))
    if fault == "kill":
        server.start()
    if fault == "pause":
        server.resume()
    for host in (first, second):
        assert eventually(lambda host=host: up(host))
        assert str(files / "other") == host.call("resolve_asset_path", uris[5])
        assert [str(files / name) for name in NAMES[:5]] == host.call(
            "resolve_asset_paths", uris[:5]
        )


def test_a_publisher_without_redis_is_heard_of_all_the_same(studio, files):
    """
    Through the catalogue; and what Redis holds of it is forgotten there.
    """
    reader = studio.host("reader")
    outsider = studio.host("outsider", BIFROST_CACHE__DISTRIBUTED_URL="")
    late = studio.host("late", BIFROST_CACHE__FOLLOW_S="0")
    uris = registered(reader, files)
    reader.call("resolve_asset_paths", uris)
    assert eventually(lambda: up(reader))
    reader.call("invalidate_cache", uris[1])
    reader.call("resolve_asset_paths", uris)
    outsider.call("register_version", uris[1], str(files / "other"), in_place=True)
    assert eventually(lambda: reader.call("resolve_asset_path", uris[1]) == str(files / "other"))

    assert eventually(lambda: up(late) or not late.call("resolve_asset_path", uris[2]))
    assert str(files / "other") == late.call("resolve_asset_path", uris[1])


def test_a_killed_process_takes_nothing_along(studio, files):
    """
    Neither what it had noted nor what it announced.
    """
    first, second = studio.host("first"), studio.host("second")
    uris = registered(first, files)
    for host in (first, second):
        host.call("resolve_asset_paths", uris)
        assert eventually(lambda host=host: up(host))
    first.call("register_version", uris[7], str(files / "other"), in_place=True)
    os.kill(first.pid, signal.SIGKILL)
    studio.hosts.remove(first)
    first.kill()

    assert eventually(lambda: second.call("resolve_asset_path", uris[7]) == str(files / "other"))
    first = studio.host("first")
    assert eventually(lambda: first.call("resolve_asset_path", uris[7]) == str(files / "other"))


def test_no_secret_is_in_what_people_see(monkeypatch, tmp_path, files):
    """
    The server's password is in no statistic and no message.
    """
    secret = "pl4nted-s3cret"
    with RedisServer(password=secret) as server:
        monkeypatch.setenv("BIFROST_CACHE__DISTRIBUTED_URL", server.url)
        session = Session(load())
        host = BifrostHostInterface(session)
        with pytest.raises(errors.AssetException):
            host.resolve_asset_path("bifrost:///assets/nobody")
        assert eventually(lambda: host.get_cache_stats()["tiers"]["redis"]["following"])
        server.kill()
        host.invalidate_cache(everything=True)

        assert secret not in repr(host.get_cache_stats())
        assert secret not in repr(session.tiers.tier("redis"))
        session.close()
