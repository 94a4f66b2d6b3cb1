# SPDX-License-Identifier: Apache-2.0
"""The tier that a studio shares, and the events that go through it."""

import logging
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.errors import ConfigurationError, TierError
from bifrost.testing import Clock
from bifrost.testing.proxy import FaultyProxy
from bifrost.testing.redis import RedisServer
from bifrost.tiers import redis_backlog, redis_events, redis_lines
from bifrost.tiers.codec import pack
from bifrost.tiers.redis import Event, Position, RedisTier
from bifrost.tiers.redis_events import UnreadableError, pack_event, read_told, unpack_event
from bifrost.tiers.tier import FOREVER, Entry

EVERYTHING = Event(None)
PATIENCE_S = 20.0


def until(condition):
    """Wait until *condition* holds, and fail where it does not in good time."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.002)


def key(subject, kind=b"r", scope=1):
    return kind + bytes([scope]) * 16 + subject


def entry(value=b"value", expires=FOREVER):
    return Entry(value, expires, 1_700_000_000.0)


@pytest.fixture
def server(redis_server):
    redis_server.flush()
    return redis_server


@pytest.fixture
def made():
    tiers = []
    yield tiers
    for tier in tiers:
        tier.close()


@pytest.fixture
def make(server, made):
    """Make a tier that follows, and keep what it was told in `heard`."""

    def make(url=None, **arguments):
        tier = RedisTier(url or server.url, **{"budget_s": 2.0, **arguments})
        made.append(tier)
        tier.heard = []
        tier.follow(tier.heard.append)
        until(lambda: tier.position() is not None)
        tier.heard.clear()
        return tier

    return make


def stored(tier, *subjects):
    """Put *subjects* and wait until the server has them."""
    tier.put({key(subject): entry(subject) for subject in subjects})
    tier.flush()


def names(server, pattern="bifrost:*:*"):
    return server.command("KEYS", pattern)


# Making one


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://cache", "redis://cache:6379/0"),
        ("valkey://cache:7000/3", "redis://cache:7000/3"),
        ("rediss://user:secret@cache/2?ssl_cert_reqs=none", "rediss://cache:6379/2"),
        ("redis://:se%2Fcret@cache?db=4&namespace=show-1", "redis://cache:6379/4"),
        ("unix://:secret@/run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url, shown):
    """What a log or a traceback shows of a tier says where the server is, and no more."""
    assert f"RedisTier({shown!r})" == repr(RedisTier(url))


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "",
        "http://:hush@cache",
        "redis://:hush@cache:port",
        "redis://:hu[sh@cache",
        "redis://:hush@cache/zero",
        "redis://:hush@cache?namespace=a*b",
        "redis://:hush@cache?namespace=",
        "redis://:hush@cache?timeout=3",
        "unix://",
    ],
)
def test_another_url_is_refused_and_its_password_not_repeated(url):
    """A setting that can't work is an error at once, and never one that shows a secret."""
    with pytest.raises(ConfigurationError) as refused:
        RedisTier(url)

    assert "hush" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_making_one_connects_to_nobody_and_imports_no_redis(server):
    """Settings are read at start-up; a tenth of a second for an import has no place there."""
    code = (
        "import sys, threading; from bifrost.tiers.redis import RedisTier;"
        "RedisTier(sys.argv[1]).close();"
        "print('redis' in sys.modules, 'hiredis' in sys.modules, threading.active_count())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code, "redis://127.0.0.1:1"],
        capture_output=True, check=True, text=True, timeout=60,
    ).stdout  # fmt: skip

    assert "False False 1" == output.strip()


def test_without_the_library_the_extra_is_named(monkeypatch):
    """Who asks for a server and lacks the client is told what to install."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ConfigurationError, match=r"bifrost-usd\[redis\]"):
        RedisTier("redis://cache")


# Entries


def test_another_process_finds_what_was_put(make):
    """That is what it is for. Numbers of the host that put it mean nothing elsewhere."""
    one, other = make(), make()
    one.put({key(b"hero"): Entry(b"path", 2e9, 1e9, sequence=77)})
    one.flush()

    assert {key(b"hero"): Entry(b"path", 2e9, 1e9, sequence=0)} == other.get([key(b"hero")])


def test_an_entry_that_was_given_out_is_the_callers(make):
    """A caller numbers what it gets; that changes nothing for the next one."""
    tier = make()
    tier.put({key(b"hero"): entry()})
    tier.get([key(b"hero")])[key(b"hero")].sequence = 5

    assert 0 == tier.get([key(b"hero")])[key(b"hero")].sequence


def test_only_the_kinds_asked_for_are_kept(make, server):
    """What other hosts have no use for never leaves this one, and nobody asks for it."""
    tier = make(kinds=b"re")
    tier.put({key(b"hero", kind): entry() for kind in (b"r", b"e", b"x")})
    tier.flush()

    found = tier.get([key(b"hero", kind) for kind in (b"r", b"e", b"x")])
    assert {key(b"hero", b"r"), key(b"hero", b"e")} == set(found)
    assert [2] == [server.command("HLEN", name) for name in names(server)]


def test_who_does_not_follow_stores_nothing(server, made):
    """Without a position nobody could tell what an invalidation has overtaken."""
    tier = RedisTier(server.url, budget_s=2.0)
    made.append(tier)
    tier.put({key(b"hero"): entry()})
    tier.flush()

    assert tier.position() is None
    assert {} == tier.get([key(b"hero")])
    assert 1 == tier.stats()["dropped"]


@pytest.mark.parametrize("position", [7, b"", (b"e", 0, b"0-0"), Position(b"e", 0, b"0-0")])
def test_a_position_that_is_none_of_ours_stores_nothing(make, server, position):
    """What a position means is the tier's business."""
    tier = make()
    tier.put_since({key(b"hero"): entry()}, position)
    tier.flush()

    assert [] == names(server)


def test_the_server_forgets_an_entry_some_time_after_its_expiry(make, server):
    """As long as a stale answer may be of use, and for ever means a month."""
    tier = make(clock=Clock(1000.0), stale_s=50)
    tier.put({key(b"brief"): entry(expires=1010.0), key(b"long"): entry()})
    tier.put({key(b"over"): entry(expires=940.0)})
    tier.flush()

    brief, long = (server.command("PTTL", name) for name in sorted(names(server)))
    assert 40_000 < brief <= 60_001
    assert 29 * 86_400_000 < long <= 30 * 86_400_001


def test_a_group_lives_as_long_as_the_longest_of_its_entries(make, server):
    """A short-lived neighbour, before or after, does not take it away."""
    tier = make(clock=Clock(1000.0))
    for expires in (1010.0, 2000.0, 1010.0):
        tier.put({key(b"hero?version=%d" % expires): entry(expires=expires)})
        tier.flush()

    (name,) = names(server)
    assert server.command("PTTL", name) > 900_000


def test_a_group_does_not_grow_without_end(make, server, monkeypatch):
    """Many principals ask for one asset; past a limit its entries start over."""
    tier = make()
    for start in range(0, 6000, 1000):
        tier.put({key(b"hero?v=%d" % i): entry() for i in range(start, start + 1000)})
        tier.flush()

    (name,) = names(server)
    assert 0 < server.command("HLEN", name) <= 4096
    assert server.command("PTTL", name) > 0


def test_a_value_that_is_too_large_is_not_stored_and_replaces_nothing(make):
    """Where the new entry can't be kept, the one before it is not kept either."""
    tier = make()
    stored(tier, b"hero")
    tier.put({key(b"hero"): entry(b"x" * (redis_backlog.MAX_VALUE + 1))})
    tier.flush()

    assert {} == tier.get([key(b"hero")])


def test_what_was_put_is_there_however_much_others_put(make, server):
    """A flush waits for what came before it; eight threads that never pause don't hold it up."""
    tier, ended = make(), threading.Event()

    def fill(number):
        for i in count():
            if ended.is_set():
                return
            tier.put({key(b"busy%d.%d" % (number, i % 1_000)): entry()})

    with ThreadPoolExecutor(8) as threads:
        for number in range(8):
            threads.submit(fill, number)
        try:
            for round_ in range(5):
                stored(tier, b"mine%d" % round_)
                assert {key(b"mine%d" % round_)} == set(make().get([key(b"mine%d" % round_)]))
        finally:
            ended.set()


def test_a_backlog_is_bounded(make, monkeypatch):
    """The oldest is dropped, and with it what it was to replace; the server lacks nothing else."""
    tier = make()
    stored(tier, b"kept")
    monkeypatch.setattr(tier._backlog, "_max_bytes", 10_000)
    tier.put({key(b"%03d" % i): entry(b"x" * 600) for i in range(100)})
    tier.flush()

    found = tier.get([key(b"kept"), *(key(b"%03d" % i) for i in range(100))])
    assert {key(b"kept"), key(b"099")} <= set(found)
    assert len(found) < 20
    assert tier.stats()["dropped"] > 80


def test_two_namespaces_share_a_server(make, server):
    """Each studio, or test, sees and forgets its own."""
    ours, theirs = make(), make(f"{server.url}?namespace=theirs")
    stored(ours, b"hero")
    stored(theirs, b"hero")
    ours.delete_prefix(b"")
    ours.announce(EVERYTHING)
    ours.flush()

    assert {} == ours.get([key(b"hero")])
    assert b"hero" == theirs.get([key(b"hero")])[key(b"hero")].value
    assert [] == names(server)


def test_what_is_out_of_reach_is_removed_and_nothing_of_others(make, server):
    """Forgetting everything is one step for the server; the room comes back soon after."""
    for name in ("bifrost:other:thing", "elsewhere", "bifrost:x.1:y"):
        server.command("SET", name, "theirs")
    tier = make()
    stored(tier, *(b"%d" % i for i in range(3000)))
    tier.announce(EVERYTHING)
    tier.flush()

    assert {b"bifrost:other:thing", b"bifrost:x.1:y"} == set(names(server))


# What lies under our keys


def named(server, subject):
    epoch, generation = server.command("HMGET", "bifrost:meta", "epoch", "g")
    return b"bifrost:%b.%b:%b" % (epoch, generation, subject)


@pytest.mark.parametrize(
    "planted",
    [
        b"",
        b"garbage",
        b"\0" * 5000,
        pack(key(b"villain"), entry()),
        pack(key(b"hero"), entry(expires=float("nan"))),
        pack(key(b"hero"), entry())[:-1],
        pack(key(b"hero"), entry()) + b"x",
    ],
)
def test_what_is_no_entry_of_ours_is_a_counted_miss(make, server, planted):
    """Anybody may write to a server. It is never believed, and goes."""
    tier = make()
    server.command("HSET", named(server, b"hero"), key(b""), planted)

    assert {} == tier.get([key(b"hero")])
    assert 1 == tier.stats()["damaged"]
    tier.flush()
    assert [] == names(server)
    assert "up" == tier.stats()["state"]


@pytest.mark.parametrize(
    "command", [("SET", "text"), ("RPUSH", "item"), ("SADD", "member"), ("XADD", "*", "a", "b")]
)
def test_another_type_under_our_key_is_a_miss_and_is_replaced(make, server, command):
    """A string where a hash belongs is an error of the server's, for one key only."""
    tier = make()
    stored(tier, b"villain")
    verb, *rest = command
    server.command(verb, named(server, b"hero"), *rest)

    assert {key(b"villain")} == set(tier.get([key(b"hero"), key(b"villain")]))
    server.command("DEL", named(server, b"hero"))
    server.command(verb, named(server, b"hero"), *rest)
    stored(tier, b"hero")
    assert {key(b"hero")} == set(tier.get([key(b"hero")]))


def test_a_huge_value_costs_one_miss_and_is_removed(make, server):
    """It is not read to its end, whatever its size, and its neighbours come back at once."""
    tier = make()
    stored(tier, b"before", b"after")
    server.command("HSET", named(server, b"hero"), key(b""), b"x" * (32 << 20))
    keys = [key(b"before"), key(b"hero"), key(b"after")]

    assert key(b"hero") not in tier.get(keys)
    until(lambda: {keys[0], keys[2]} == set(tier.get(keys)))
    tier.flush()
    assert 0 == server.command("EXISTS", named(server, b"hero"))
    assert 1 == tier.stats()["damaged"]


@pytest.mark.parametrize(
    "spoiling",
    [
        ("DEL", "bifrost:meta"),
        ("SET", "bifrost:meta", "x"),
        ("HSET", "bifrost:meta", "n", "many"),
        ("HSET", "bifrost:meta", "epoch", "*"),
        ("HSET", "bifrost:meta", "run_id", "another"),
        ("HDEL", "bifrost:meta", "g"),
        ("SET", "bifrost:events", "x"),
    ],
)
def test_spoiled_bookkeeping_ends_the_epoch(make, server, spoiling):
    """Nothing that was stored under it is believed any more, and everybody is told so."""
    tier = make()
    stored(tier, b"hero")
    before = tier.position()
    server.command(*spoiling)

    until(lambda: EVERYTHING in tier.heard and tier.position() is not None)
    assert before.epoch != tier.position().epoch
    until(lambda: tier.stats()["state"] == "up")
    assert {} == tier.get([key(b"hero")])
    until(lambda: (stored(tier, b"hero"), tier.get([key(b"hero")]))[1])


def test_a_stream_that_was_removed_loses_no_event_that_follows(make, server):
    """What was heard before is known; the next one has the next number."""
    tier, other = make(), make()
    server.command("DEL", "bifrost:events")
    other.announce(Event((b"hero",)))

    until(lambda: tier.heard)
    assert [Event((b"hero",))] == tier.heard


# Events


def test_what_one_process_announces_another_applies(make):
    """In order, each once, with all that the event says; one's own don't come back."""
    one, other = make(), make()
    told = [
        Event((b"hero", b"villain"), (b"set.",), 3, 4),
        Event((), (b"a",)),
        Event((b"x",), (), 4, 5),
    ]
    for event in told:
        one.announce(event)

    until(lambda: len(other.heard) == 3)
    assert told == other.heard
    until(lambda: one.stats()["events_own"] == 3)
    assert [] == one.heard


def test_two_processes_hear_of_each_other(make, server):
    """It holds between real processes, too."""
    tier = make()
    code = (
        "import sys; from bifrost.tiers.redis import Event, RedisTier;"
        "tier = RedisTier(sys.argv[1], budget_s=10.0);"
        "tier.announce(Event((b'hero',), (), 1, 2)); tier.close()"
    )
    stored(tier, b"hero")
    subprocess.run([sys.executable, "-c", code, server.url], check=True, timeout=60)

    until(lambda: tier.heard)
    assert [Event((b"hero",), (), 1, 2)] == tier.heard
    assert {} == tier.get([key(b"hero")])


def test_an_announcement_forgets_the_whole_group_and_nothing_else(make):
    """In every kind and scope and version, on return."""
    tier, other = make(), make()
    group = [key(b"hero"), key(b"hero?v=3"), key(b"hero", b"c", 9), key(b"hero?x", b"c")]
    others = [key(b"heroine"), key(b"her"), b"short"]
    tier.put({each: entry() for each in group + others})
    tier.flush()
    tier.announce(Event((b"hero?v=latest",)))

    assert set(others) == set(other.get(group + others))


def test_prefixes_mean_what_they_say_and_no_pattern(make):
    """A name with a star in it is a name."""
    tier = make()
    subjects = [b"set.a", b"set.b?v=1", b"set", b"s*t.a", b"[set].a", b"\\set"]
    stored(tier, *subjects)
    tier.announce(Event((), (b"s*", b"[", b"\\s")))

    assert {b"set.a", b"set.b?v=1", b"set"} == {
        each.value for each in tier.get([key(subject) for subject in subjects]).values()
    }
    tier.announce(Event((), (b"set.b?v", b"set.a")))
    assert {key(b"set")} == set(tier.get([key(subject) for subject in subjects]))


def test_a_prefix_in_a_large_database_forgets_all_entries(make, server, monkeypatch):
    """Looking through millions of keys would hold up everybody; forgetting too much holds up few."""
    tier, other = make(), make()
    stored(tier, b"hero", b"set.a")
    server.command("EVAL", "for i = 1, 20001 do redis.call('SET', 'other' .. i, 1) end", 0)
    tier.announce(Event((), (b"set.",)))
    tier.flush()

    assert {} == tier.get([key(b"hero"), key(b"set.a")])
    until(lambda: other.heard)
    assert [Event((), (b"set.",))] == other.heard


@pytest.mark.parametrize(
    "event",
    [
        Event(tuple(b"%d" % i for i in range(redis_events.MAX_SUBJECTS + 1)), (), 8, 9),
        Event((), tuple(b"%d" % i for i in range(redis_events.MAX_PREFIXES + 1)), 8, 9),
        Event((b"hero",), (b"",), 8, 9),
    ],
)
def test_an_event_about_too_much_is_about_everything(make, event):
    """And still says between which numbers of the catalogue."""
    tier, other = make(), make()
    stored(tier, b"hero")
    tier.announce(event)

    assert {} == tier.get([key(b"hero")])
    until(lambda: other.heard)
    assert [Event(None, (), 8, 9)] == other.heard


def test_an_event_counts_when_it_was_applied(make):
    """Not when it was read; one that could not be applied is applied again."""
    one, other = make(), make()
    before = other.position()
    positions, failures = [], [ValueError("not now")]

    def apply(event):
        positions.append(other.position())
        if failures:
            raise failures.pop()
        other.heard.append(event)

    other._follower._apply = apply
    one.announce(Event((b"hero",)))

    until(lambda: other.heard and other.position() is not None)
    assert [Event((b"hero",))] == other.heard
    assert before == positions[0]
    until(lambda: other.position().number == 1)


def test_following_twice_is_following_once(make):
    """Each event is applied once, by the first that was given."""
    one, other = make(), make()
    other.follow(lambda event: pytest.fail("the second one"))
    one.announce(Event((b"hero",)))

    until(lambda: other.heard)
    assert [Event((b"hero",))] == other.heard


def test_the_first_connection_says_that_everything_changed(server, made):
    """Nobody knows what was announced before."""
    tier, heard = RedisTier(server.url), []
    made.append(tier)
    tier.follow(heard.append)
    until(lambda: tier.position() is not None)

    assert [EVERYTHING] == heard


def test_a_stream_that_was_trimmed_is_a_gap(make, server):
    """Who was away for longer than the stream remembers assumes everything."""
    one = make()
    with FaultyProxy("127.0.0.1", server.port) as proxy:
        other = make(f"redis://127.0.0.1:{proxy.port}")
        proxy.refuse()
        until(lambda: other.position() is None)
        for i in range(5):
            one.announce(Event((b"%d" % i,)))
        server.command("XTRIM", "bifrost:events", "MAXLEN", 2)
        proxy.pass_on()
        until(lambda: other.position() is not None)
        other.close()

    assert [EVERYTHING] == other.heard


def test_who_was_away_for_a_while_hears_what_was_missed(make, server):
    """A reconnection is no gap as long as the stream reaches back: nothing is flushed for it."""
    one = make()
    told = [Event((b"%d" % i,)) for i in range(250)]
    with FaultyProxy("127.0.0.1", server.port) as proxy:
        other = make(f"redis://127.0.0.1:{proxy.port}")
        proxy.refuse()
        until(lambda: other.position() is None)
        for event in told:
            one.announce(event)
        proxy.pass_on()
        until(lambda: len(other.heard) >= len(told) and other.position() is not None)
        other.close()

    assert told == other.heard


@pytest.mark.parametrize("fields", [("a", "b"), ("n", "1", "d", "junk"), ("n", "x", "d", "")])
def test_what_can_not_be_read_is_a_gap(make, server, fields):
    """Whoever wrote it: something was meant to be told."""
    one, other = make(), make()
    server.command("XADD", "bifrost:events", "*", *fields)
    one.announce(Event((b"hero",)))

    until(lambda: other.heard)
    assert EVERYTHING == other.heard[0]
    one.heard.clear()
    other.heard.clear()
    until(lambda: one.position() == other.position() is not None)
    one.announce(Event((b"hero",)))
    until(lambda: other.heard)
    assert [Event((b"hero",))] == other.heard


TEXTS = st.lists(st.binary(max_size=30), max_size=5).map(tuple)
NUMBERS = st.integers(0, 2**63 - 1)


@given(st.binary(max_size=8), st.none() | TEXTS, TEXTS, NUMBERS, NUMBERS)
def test_an_event_survives_packing(origin, subjects, prefixes, before, after):
    """Whatever bytes names are made of."""
    event = Event(subjects, prefixes, before, after)

    assert (origin, event) == unpack_event(pack_event(origin, event))


@given(st.binary(max_size=60))
def test_bytes_that_are_no_event_are_refused(data):
    """Whatever they are, the error is one."""
    with pytest.raises(UnreadableError):
        unpack_event(data)


@pytest.mark.parametrize(
    ("place", "number"),
    [(2**64, b"4"), (10**12, b"4"), ([1], b"4"), (b"1-0", float("inf")), (b"1-0", None)],
)
def test_a_reply_of_other_types_is_refused(place, number):
    """
    A number for a name was taken for that many bytes of memory.
    """
    payload = pack_event(b"origin", Event((b"hero",), (), 3, 4))
    assert b"1-0" == read_told(b"epoch", [b"1-0", [b"n", b"4", b"d", payload]]).position.place

    with pytest.raises(UnreadableError):
        read_told(b"epoch", [place, [b"n", number, b"d", payload]])


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_a_flipped_bit_makes_an_event_unreadable(place, bit):
    """A subject that was altered on its way would be an invalidation that nobody hears of."""
    packed = bytearray(pack_event(b"origin", Event((b"hero",), (b"set.",), 1, 2)))
    packed[place % len(packed)] ^= 1 << bit

    with pytest.raises(UnreadableError):
        unpack_event(bytes(packed))


# Fills that an invalidation overtakes


@pytest.mark.parametrize("event", [Event((b"hero",)), Event((), (b"he",)), EVERYTHING])
@pytest.mark.parametrize("who", ["itself", "another"])
def test_a_fill_that_arrives_after_the_event_is_not_stored(make, event, who):
    """It was asked for before, and may say what was true then. Others may be stored."""
    tier, other = make(), make()
    position = tier.position()
    (tier if who == "itself" else other).announce(event)
    tier.put_since({key(b"hero?v=1"): entry(), key(b"villain"): entry()}, position)

    assert {} == tier.get([key(b"hero?v=1")]) or who == "another"
    tier.flush()
    assert {} == tier.get([key(b"hero?v=1")])
    expected = set() if event is EVERYTHING else {key(b"villain")}
    assert expected == set(other.get([key(b"hero?v=1"), key(b"villain")]))


@pytest.mark.parametrize("event", [Event((b"hero",)), Event((), (b"he",)), EVERYTHING])
@pytest.mark.parametrize("flushes", [True, False])
def test_a_fill_that_arrives_before_the_event_is_removed(make, event, flushes):
    """Wherever it is by then: on the server, or on its way."""
    tier, other = make(), make()
    tier.put({key(b"hero?v=1"): entry()})
    if flushes:
        tier.flush()
    tier.announce(event)

    assert {} == tier.get([key(b"hero?v=1")])
    tier.flush()
    assert {} == other.get([key(b"hero?v=1")])


def test_a_fill_that_waits_is_dropped_by_anothers_event(make):
    """Who applies an event does not find the old answer in its own backlog once more."""
    tier, other = make(), make()
    seen = []
    tier._follower._apply = lambda event: seen.append(tier.get([key(b"hero")]))
    tier._lines._due = time.monotonic() + 1000  # nothing is stored meanwhile
    tier.put({key(b"hero"): entry()})
    assert {key(b"hero")} == set(tier.get([key(b"hero")]))
    other.announce(Event((b"hero",)))

    until(lambda: seen)
    assert [{}] == seen
    tier._lines._due = None


def test_what_is_asked_for_after_an_announcement_may_be_stored_at_once(make):
    """Who publishes and reads back need not wait until the own event has come by."""
    tier, other = make(), make()
    for turn in range(20):
        tier.announce(Event((b"hero",)))
        tier.put({key(b"hero"): entry(b"%d" % turn)})
        tier.flush()

        assert b"%d" % turn == other.get([key(b"hero")])[key(b"hero")].value
    until(lambda: tier.stats()["events_own"] == 20)
    assert 0 == tier.stats()["dropped"]


def test_who_is_far_behind_stores_nothing(make):
    """Comparing with ever so many events would hold up the server."""
    tier, other = make(), make()
    position = tier.position()
    for i in range(300):
        other.announce(Event((b"%d" % i,)))
    tier.put_since({key(b"hero"): entry()}, position)
    tier.flush()

    assert {} == other.get([key(b"hero")])


def test_threads_never_find_an_answer_older_than_the_last_announcement(make):
    """Eight threads fill while one changes the truth: what is found was true when asked, or later."""
    reader, writer = make(), make()
    truth = [0]
    subject = key(b"hero")

    def fill(_):
        wrong = 0
        for _ in range(60):
            position, answer = reader.position(), truth[0]
            reader.put_since({subject: entry(b"%d" % answer)}, position)
            announced = done[0]
            for found in writer.get([subject]).values():
                wrong += int(found.value) < announced
        return wrong

    done = [0]
    with ThreadPoolExecutor(9) as pool:
        fills = [pool.submit(fill, i) for i in range(8)]
        while not all(each.done() for each in fills):
            truth[0] += 1
            writer.announce(Event((b"hero",)))
            done[0] = truth[0]
        wrong = sum(each.result() for each in fills)

    assert 0 == wrong
    assert truth[0] > 3


# The rest


def test_a_thousand_keys_are_one_round_trip(make, server):
    """However many keys; and a batch that fills more is one for each thousand."""
    with FaultyProxy("127.0.0.1", server.port) as proxy:
        tier = make(f"redis://127.0.0.1:{proxy.port}")
        keys = [key(b"%d" % i) for i in range(3000)]
        tier.put(dict.fromkeys(keys, entry()))
        tier.flush()
        tier.close()
        follower_less = RedisTier(f"redis://127.0.0.1:{proxy.port}", budget_s=5.0)
        assert keys[:1] == list(follower_less.get(keys[:1]))
        before = proxy.requests
        assert keys == list(follower_less.get(keys))
        follower_less.close()

    # A large request may arrive in pieces; thousands of keys one by one would be thousands.
    assert 3 <= proxy.requests - before < 30


def test_many_threads_share_few_connections(make, server, made):
    """A server has 10,000 connections for everybody."""
    stored(make(), b"hero")
    with FaultyProxy("127.0.0.1", server.port) as proxy:
        # Without a follower: on a busy machine it may have to connect again, which it may.
        tier = RedisTier(f"redis://127.0.0.1:{proxy.port}", budget_s=PATIENCE_S)
        made.append(tier)
        with ThreadPoolExecutor(24) as pool:
            found = list(pool.map(lambda _: tier.get([key(b"hero")]), range(500)))
        tier.close()

    assert all(found)
    assert proxy.accepted <= redis_lines.MAX_LINES


def test_a_password_is_needed_and_never_shown(caplog):
    """Not in messages, not in statistics, not where the server refuses it."""
    secret = "hush/hush"
    with RedisServer(password=secret) as server, caplog.at_level(logging.DEBUG):
        with RedisTier(f"redis://:hush%2Fhush@127.0.0.1:{server.port}", budget_s=5.0) as tier:
            tier.announce(Event((b"hero",)))
            said = [repr(tier), tier.stats()]
        wrong = RedisTier(f"redis://user:{secret[:4]}wrong@127.0.0.1:{server.port}", budget_s=1.0)
        with pytest.raises(TierError) as refused:
            wrong.announce(Event((b"hero",)))
        until(lambda: wrong.stats()["errors"])
        wrong.follow(lambda event: None)
        said += [repr(wrong), wrong.stats(), refused.value, refused.value.__cause__, caplog.text]
        wrong.close()

    assert "hush" not in " ".join(map(str, said))


def test_a_forked_child_has_connections_and_events_of_its_own(make):
    """It follows from where its parent was, and hears its parent as anybody else."""
    tier, other = make(), make()
    stored(tier, b"hero")
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            end = time.monotonic() + PATIENCE_S
            found = tier.get([key(b"hero")])
            os.write(writes, b"!")
            while len(tier.heard) < 2 and time.monotonic() < end:
                time.sleep(0.01)
            tier.put({key(b"child"): entry()})
            tier.flush()
            status = 0 if found and len(tier.heard) == 2 and EVERYTHING not in tier.heard else 2
        finally:
            os._exit(status)
    os.close(writes)
    os.read(reads, 1)
    os.close(reads)
    tier.announce(Event((b"villain",)))
    other.announce(Event((b"extra",)))

    assert 0 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    until(lambda: tier.get([key(b"child")]))
    assert {key(b"hero")} == set(tier.get([key(b"hero")]))


def test_closing_ends_all_threads_and_stores_what_waits(make, server):
    """In bounded time, twice if need be."""
    import threading

    def ours():
        return {each for each in threading.enumerate() if each.name.startswith("bifrost-redis")}

    before = ours()
    tier = make()
    assert 2 == len(ours() - before)
    tier.put({key(b"hero"): entry()})
    tier.close()
    tier.close()

    assert set() == ours() - before
    assert 1 == len(names(server))
    assert tier.position() is None
    with pytest.raises(TierError, match="closed"):
        tier.announce(EVERYTHING)
