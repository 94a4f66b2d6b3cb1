# SPDX-License-Identifier: Apache-2.0
"""With a key set, nothing is believed of a cache that the key has not signed; nothing in one is ever run."""

from __future__ import annotations

import contextlib
import logging
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bifrost.context import Context
from bifrost.errors import BifrostError
from bifrost.host import BifrostHostInterface
from bifrost.session import Session
from bifrost.settings import load
from bifrost.testing.processes import eventually
from bifrost.testing.redis import RedisServer
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.redis import RedisTier
from bifrost.tiers.seal import Seal, keys_in
from bifrost.tiers.tier import FOREVER, Entry, Tier

KEY, OLD, OTHER = b"k" * 32, b"o" * 40, b"x" * 100
CACHE_KEY = b"r" + b"s" * 16 + b"bifrost:///assets/rock"
ENTRY = Entry(b"value", FOREVER, 1_000.0, 0)
MakeTier = Callable[..., Tier]


@pytest.fixture(params=["lmdb", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeTier]:
    """Make tiers over one folder, or one server, with the keys of somebody; without: unsigned."""
    made: list[Tier] = []

    def make(*keys: bytes) -> Tier:
        seal = Seal(keys, request.param) if keys else None
        if request.param == "lmdb":
            tier: Tier = LmdbTier(tmp_path / "cache", max_bytes=64 << 20, seal=seal)
        else:
            server: RedisServer = request.getfixturevalue("redis_server")
            tier = followed(RedisTier(server.url, seal=seal, budget_s=2.0))
        made.append(tier)
        return tier

    if request.param == "redis":
        request.getfixturevalue("redis_server").flush()
    yield make
    for tier in made:
        tier.close()


def followed(tier: RedisTier) -> RedisTier:
    """Return *tier* once it may store."""
    tier.follow(lambda _: None)
    assert eventually(lambda: tier.position() is not None)
    return tier


def put(tier: Tier, key: bytes, entry: Entry) -> None:
    tier.put({key: entry})
    tier.flush()


def values(tier: Tier, *keys: bytes) -> dict[bytes, bytes]:
    return {key: entry.value for key, entry in tier.get(keys).items()}


class TestTiers:
    """LMDB and Redis alike: the key decides, and nothing else."""

    def test_what_is_signed_comes_back(self, make: MakeTier) -> None:
        """
        As it was put, from this process and to others with the key.
        """
        put(make(KEY), CACHE_KEY, ENTRY)

        found = make(KEY).get([CACHE_KEY])[CACHE_KEY]

        assert (ENTRY.value, ENTRY.expires, ENTRY.stored) == (
            found.value,
            found.expires,
            found.stored,
        )

    @pytest.mark.parametrize("writer", [(), (OTHER,)], ids=["no key", "another key"])
    def test_what_others_wrote_is_a_miss_and_counted(
        self, make: MakeTier, writer: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
    ) -> None:
        """
        With one warning, however much there is of it; it is forgotten.
        """
        reader = make(KEY)
        put(make(*writer), CACHE_KEY, ENTRY)

        with caplog.at_level(logging.WARNING, "bifrost.tiers"):
            assert {} == values(reader, CACHE_KEY)

        assert 1 == reader.stats()["refused"]
        assert 1 == caplog.text.count("none of the keys")
        reader.flush()
        assert {} == values(make(*writer), CACHE_KEY)

    def test_a_signature_is_for_its_key_its_lifetime_and_its_tier(self, make: MakeTier) -> None:
        """
        An entry can't be moved to another reference or person, nor live longer, nor change tiers.
        """
        reader, thief = make(KEY), make()
        put(reader, CACHE_KEY, ENTRY)
        signed = thief.get([CACHE_KEY])[CACHE_KEY]
        moved = b"r" + b"t" * 16 + b"bifrost:///assets/rock"
        foreign = Seal([KEY], "another").sealed({moved: ENTRY})[moved]
        forged = {
            moved: signed,
            b"later" * 5: Entry(signed.value, ENTRY.expires, ENTRY.stored + 1),
            b"other tier" * 3: foreign,
            b"flipped" * 4: Entry(
                bytes([signed.value[0] ^ 1]) + signed.value[1:], FOREVER, 1_000.0
            ),
            b"cut" * 9: Entry(signed.value[:-1], FOREVER, 1_000.0),
            b"short" * 5: Entry(b"", FOREVER, 1_000.0),
        }

        thief.put(forged)
        thief.flush()

        assert {} == values(reader, *forged)
        assert len(forged) == reader.stats()["refused"]
        assert {CACHE_KEY: ENTRY.value} == values(reader, CACHE_KEY)

    def test_keys_are_changed_without_a_cold_start(self, make: MakeTier) -> None:
        """
        The old one is believed beside the new one until it is taken away; it signs nothing any more.
        """
        new = b"r" + b"s" * 16 + b"new"
        put(make(OLD), CACHE_KEY, ENTRY)

        both = make(KEY, OLD)
        assert {CACHE_KEY: ENTRY.value} == values(both, CACHE_KEY)
        put(both, new, ENTRY)

        assert {new: ENTRY.value} == values(make(KEY), CACHE_KEY, new)


def test_keys_are_lines_of_a_file(tmp_path: Path) -> None:
    """
    The first signs; remarks and empty lines are none.
    """
    file = tmp_path / "keys"
    file.write_bytes(b"# since May\n\n" + KEY + b"\r\n" + OLD + b"\n")
    file.chmod(0o600)

    assert (KEY, OLD) == keys_in(str(file))


# A host


@pytest.fixture
def rock(tmp_path: Path) -> Path:
    """A file to resolve to."""
    path = tmp_path / "rock.txt"
    path.write_text("rock")
    return path


@pytest.fixture
def host_with(own_home: Path, tmp_path: Path) -> Iterator[Callable[..., BifrostHostInterface]]:
    """Start hosts over the test's home, each as a process that just started: no answer in memory."""
    file = tmp_path / "keys"
    file.write_bytes(KEY)
    file.chmod(0o600)
    hosts: list[BifrostHostInterface] = []

    def start(*, signed: bool = False, **variables: str) -> BifrostHostInterface:
        environment = {
            "BIFROST_HOME": str(own_home),
            "BIFROST_CACHE__MEMORY_BYTES": "0",
            **({"BIFROST_CACHE__KEY_FILE": str(file)} if signed else {}),
            **variables,
        }
        hosts.append(BifrostHostInterface(Session(load(environment))))
        return hosts[-1]

    yield start
    for host in hosts:
        host.session.close()


@pytest.mark.parametrize("signed", [False, True])
def test_a_poisoned_entry_leads_nowhere_when_a_key_is_set(
    host_with: Callable[..., BifrostHostInterface],
    poison: Any,
    rock: Path,
    tmp_path: Path,
    signed: bool,
) -> None:
    """
    The same attack works where nothing is signed: what is on a user's own disk is believed.
    """
    # Nor does it hear of its own publish a second later, and ask again.
    host = host_with(signed=signed, BIFROST_CACHE__FOLLOW_S="0")
    uri = host.register_asset("model", "Rock", rock, in_place=True)
    other = tmp_path / "other.txt"
    other.write_text("other")
    poison.answer(host.session, uri, str(other))

    assert str(rock if signed else other) == str(host.resolve_asset_path(uri))


def test_who_signs_and_who_does_not_have_nothing_in_common(
    host_with: Callable[..., BifrostHostInterface], rock: Path
) -> None:
    """
    A host that was given no key yet reads nothing wrong in what the others signed, nor they in its.
    """
    first, second = host_with(signed=True), host_with()
    uri = first.register_asset("model", "Rock", rock, in_place=True)

    for host in (first, second, first, second):
        assert str(rock) == str(host.resolve_asset_path(uri))

    assert 0 == first.get_cache_stats()["tiers"]["lmdb"]["refused"]


class Exploit:
    """Leaves a file behind wherever it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(garbage=st.binary(max_size=200), kind=st.sampled_from([b"r", b"c", b"a"]))
def test_whatever_is_in_a_cache_is_data(
    host_with: Callable[..., BifrostHostInterface],
    rock: Path,
    tmp_path: Path,
    poison: Any,
    garbage: bytes,
    kind: bytes,
) -> None:
    """
    Pickles, garbage: a miss or a path, never code that runs, never an exception that is none of ours.
    """
    host = host_with()
    uri = "bifrost:///assets/rock"
    mark = tmp_path / "ran"
    for value in (garbage, pickle.dumps(Exploit(mark)), b"!!python/object/apply:os.system [true]"):
        poison.entry(host.session, poison.key_of(host.session, uri, kind), value)
        with contextlib.suppress(BifrostError):
            host.resolve_asset_path(uri)
        host.session.tiers.find([poison.key_of(host.session, uri, kind)])

    assert not mark.exists()


def test_a_secret_is_in_no_bytes_of_a_cache(
    host_with: Callable[..., BifrostHostInterface], rock: Path, own_home: Path
) -> None:
    """
    Neither the token of who asks, nor the key that signs, is in what is written.
    """
    host = host_with(signed=True)
    uri = host.register_asset("model", "Rock", rock, in_place=True)
    context = Context(access_token="pl4nted-opaque-token", user="ann")
    host.resolve_asset_path(uri, context=context)
    host.session.tiers.flush()
    host.session.close()

    files = [each for each in own_home.rglob("*") if each.is_file()]
    assert any(each.name == "data.mdb" for each in files)
    secrets = (b"pl4nted-opaque-token", KEY)
    assert [] == [each for each in files if any(text in each.read_bytes() for text in secrets)]


def test_one_users_answer_is_nobody_elses(
    host_with: Callable[..., BifrostHostInterface], rock: Path
) -> None:
    """
    What one was answered is asked again for another, whose token, or whose word, is another.
    """
    host = host_with()
    uri = host.register_asset("model", "Rock", rock, in_place=True)
    people = [
        Context(user="ann"),
        Context(user="bob"),
        Context(user="ann", access_token="one-0paque-token"),
        Context(user="ann", access_token="another-0paque-one"),
    ]

    def round_trips() -> int:
        return int(host.get_performance_stats()["manager"]["round_trips"])

    asked = []
    for context in [*people, *people]:
        before = round_trips()
        host.resolve_asset_path(uri, context=context)
        asked.append(round_trips() - before)

    assert [1, 1, 1, 1, 0, 0, 0, 0] == asked


def test_an_entry_that_is_put_back_has_its_own_lifetime(make: MakeTier) -> None:
    """
    What can't be seen is bounded: an old answer, to the same question, until it expires.
    """
    reader, thief = make(KEY), make()
    soon = Entry(b"old", time.time() + 600.0, time.time())
    put(reader, CACHE_KEY, soon)
    signed = thief.get([CACHE_KEY])[CACHE_KEY]
    put(reader, CACHE_KEY, ENTRY)

    put(thief, CACHE_KEY, Entry(signed.value, FOREVER, signed.stored))
    assert {} == values(reader, CACHE_KEY)
    reader.flush()
    put(thief, CACHE_KEY, Entry(signed.value, signed.expires, signed.stored))
    assert {CACHE_KEY: soon.expires} == {
        key: each.expires for key, each in reader.get([CACHE_KEY]).items()
    }
