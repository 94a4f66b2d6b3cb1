# SPDX-License-Identifier: Apache-2.0
"""Several tiers as one."""

import logging

import pytest

from bifrost.errors import TierError
from bifrost.testing import Clock
from bifrost.tiers.invalidation import LocalInvalidations
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.tier import FOREVER, Entry, beginning_with
from bifrost.tiers.tiered import POLL_S, TieredCache

KEY = b"r" + b"s" * 16 + b"hero"


class Far(MemoryTier):
    """A memory tier that plays a shared one."""

    name = "far"


class Shared(Far):
    """One with a log that other processes write, too."""

    def __init__(self):
        super().__init__(1 << 20)
        self.invalidations = LocalInvalidations()


class Broken(MemoryTier):
    """A tier whose backend is gone."""

    name = "broken"

    def _fail(self, *_):
        raise ConnectionError("nobody there")

    get = put = delete = delete_prefix = outdate = flush = stats = _fail


def entry(value=b"v", expires=FOREVER, sequence=1):
    return Entry(value, expires, 0.0, sequence)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def near():
    return MemoryTier(1 << 20)


@pytest.fixture
def far():
    return Far(1 << 20)


def tiered(clock, *tiers):
    return TieredCache(tiers, clock=clock, monotonic_clock=clock)


def test_what_another_invalidates_after_a_number_was_given_out_is_heard_of(clock, near):
    """Who begins with a fresh question looks into no tier before it is answered."""
    shared = Shared()
    cache = tiered(clock, near, shared)
    number = cache.sequence()

    shared.invalidations.note_invalidation([b"hero"])
    cache.put({KEY: entry(b"old", sequence=number)})

    assert {} == near.get([KEY])


@pytest.mark.parametrize("names", [[b"hero"], None, [beginning_with(b"he")]])
def test_what_no_log_could_take_is_forgotten_all_the_same(clock, near, names):
    """What was there, and what was being asked for; not what is asked for then."""
    shared = Shared()
    cache = tiered(clock, near, shared)
    number = cache.sequence()
    cache.put({KEY: entry(b"old", sequence=number)})
    shared.invalidations.note_invalidation = Broken(1)._fail

    with pytest.raises(TierError):
        cache.invalidate(names)

    assert {} == cache.get([KEY])
    cache.put({KEY: entry(b"on its way", sequence=number)})
    assert {} == cache.get([KEY])
    cache.put({KEY: entry(b"new", sequence=number + 1)})
    assert b"new" == cache.get([KEY])[KEY].value


def test_the_nearest_tier_answers_and_nearer_ones_learn(clock, near, far):
    """The second time the fast tier has it."""
    far.put({KEY: entry()})
    cache = tiered(clock, near, far)

    assert {KEY: (entry(), "far")} == cache.find([KEY])
    assert {KEY: (entry(), "memory")} == cache.find([KEY])


def test_each_key_is_asked_of_the_tiers_that_may_know_better(clock, near, far):
    """Found and fresh: no further tier is asked."""
    near.put({b"near": entry(), b"both": entry(b"near")})
    far.put({b"far": entry(), b"both": entry(b"far")})
    found = tiered(clock, near, far).find([b"near", b"far", b"both", b"none"])

    assert {b"near": "memory", b"far": "far", b"both": "memory"} == {
        key: name for key, (_, name) in found.items()
    }


def test_a_stale_entry_gives_way_to_a_fresher_one(clock, near, far):
    """Another process may have asked again meanwhile."""
    near.put({KEY: entry(b"stale", clock.now - 1)})
    far.put({KEY: entry(b"fresh", clock.now + 1)})
    cache = tiered(clock, near, far)

    assert (b"fresh", "far") == (cache.find([KEY])[KEY][0].value, "far")
    assert b"fresh" == near.get([KEY])[KEY].value


def test_a_stale_entry_is_better_than_none(clock, near, far):
    """It is the caller's to serve it or not; a staler one does not replace it."""
    near.put({KEY: entry(b"stale", clock.now - 1)})
    far.put({KEY: entry(b"staler", clock.now - 9)})

    assert b"stale" == tiered(clock, near, far).find([KEY])[KEY][0].value


@pytest.mark.parametrize("order", [0, 1])
def test_a_broken_tier_is_a_miss_and_one_warning(clock, near, caplog, order):
    """Slow, never wrong: the other tiers go on."""
    tiers = [near, Broken(1 << 20)]
    cache = tiered(clock, *(tiers[::-1] if order else tiers))
    with caplog.at_level(logging.WARNING):
        cache.put({KEY: entry()})
        cache.delete([b"other"])
        cache.delete_prefix(b"other")
        assert {KEY: (entry(), "memory")} == cache.find([KEY, b"none"])
        cache.invalidate([b"hero"])
        assert {} == cache.find([KEY])

    assert 1 == len(caplog.records)
    assert "broken" in caplog.text
    assert "nobody there" in caplog.text
    assert 3 < cache.stats()["errors"]
    assert {"memory"} == set(cache.stats()["tiers"])
    with pytest.raises(TierError, match="broken"):
        cache.flush()


def test_invalidations_of_others_are_heard_of_once_a_second(clock, near):
    """Not more often: a look costs more than a hit. Not later: that is the promise."""
    shared = Shared()
    cache = tiered(clock, near, shared)
    cache.put({KEY: entry(sequence=cache.sequence())})
    others_cache = tiered(clock, MemoryTier(1 << 20), shared)
    others_cache.invalidate([b"hero"])
    shared.delete([KEY])  # as a shared tier knows its own log

    assert {KEY} == set(cache.find([KEY]))
    clock.advance(POLL_S)
    assert {} == cache.find([KEY])


def test_whoever_was_away_for_too_long_forgets_everything(clock, near):
    """A log that no longer knows is one that says: everything."""
    shared = Shared()
    cache = tiered(clock, near, shared)
    cache.put({KEY: entry(sequence=cache.sequence())})
    shared.delete([KEY])
    shared.invalidations.note_invalidation(None)
    clock.advance(POLL_S)

    assert {} == cache.find([KEY])


def test_an_invalidation_of_our_own_holds_at_once(clock, near, far):
    """And for an answer that is still on its way."""
    cache = tiered(clock, near, far)
    overtaken = entry(sequence=cache.sequence())
    cache.put({KEY: overtaken})
    number = cache.invalidate([b"hero"])
    assert {} == cache.find([KEY])
    cache.put({KEY: overtaken})
    assert {} == cache.find([KEY])
    cache.put({KEY: entry(sequence=number)})

    assert {KEY} == set(cache.find([KEY]))


def test_an_answer_that_others_overtook_is_found_out(clock, near):
    """The invalidation was heard of between asking and storing."""
    shared = Shared()
    cache = tiered(clock, near, shared)
    overtaken = entry(sequence=cache.sequence())
    cache.find([KEY])
    shared.invalidations.note_invalidation([b"hero"])
    clock.advance(POLL_S)
    cache.find([KEY])
    cache.put({KEY: overtaken})

    assert KEY not in near.get([KEY])


def test_a_log_that_fails_is_told_and_forgets_here(clock, near, caplog):
    """Other processes may go on serving the old answer: the caller must know that."""
    shared = Shared()
    cache = tiered(clock, near, shared)
    cache.put({KEY: entry(sequence=cache.sequence())})

    def fail(_):
        raise TierError("disk full")

    shared.invalidations.note_invalidation = fail
    with caplog.at_level(logging.WARNING), pytest.raises(TierError, match="disk full"):
        cache.invalidate([b"hero"])

    assert {} == near.get([KEY])
    near.put({KEY: entry(sequence=cache.sequence())})
    assert {} == near.get([KEY])


def test_no_tiers_are_a_cache_that_misses(clock):
    """Everything turned off in the settings."""
    cache = tiered(clock)
    cache.put({KEY: entry()})
    cache.invalidate([b"hero"])
    cache.flush()

    assert {} == cache.find([KEY])
    assert 0 == cache.stats()["entries"]


class Studio(Far):
    """A tier that other hosts share: it has numbers of its own, and hands entries out without any."""

    name = "studio"

    def __init__(self):
        super().__init__(1 << 20)
        self.at = 1
        self.puts = []

    def outdate(self, subjects, sequence):
        """This host's numbers mean nothing to it: what changed is announced to it."""

    def position(self):
        return self.at

    def put_since(self, entries, position):
        self.puts.append((dict(entries), position))
        self.put({key: Entry(e.value, e.expires, e.stored, 0) for key, e in entries.items()})


@pytest.fixture
def studio():
    return Studio()


def test_what_a_studio_knows_is_numbered_for_this_host(clock, near, studio):
    """So that what is invalidated from now on outdates it, and nothing before does."""
    cache = tiered(clock, near, studio)
    cache.invalidate([b"hero"])
    studio.put({KEY: entry(sequence=0)})

    assert "studio" == cache.find([KEY])[KEY][1]
    assert "memory" == cache.find([KEY])[KEY][1]
    cache.invalidate([b"hero"])
    assert {} == near.get([KEY])


def test_an_overtaken_answer_does_not_reach_the_studio(clock, near, studio):
    """Whether its own entity, all that begins so, or everything was invalidated meanwhile."""
    cache = tiered(clock, near, studio)
    other = b"r" + b"s" * 16 + b"villain"
    for names in ([b"hero"], [beginning_with(b"he")], None):
        sequence = cache.sequence()
        cache.invalidate(names)
        studio.puts.clear()
        cache.put({KEY: entry(sequence=sequence), other: entry(sequence=sequence)})
        assert [set() if names is None else {other}] == [set(put) for put, _ in studio.puts]


@pytest.mark.parametrize("names", [[b"hero"], [beginning_with(b"he")], None])
def test_an_answer_from_before_an_announcement_does_not_reach_the_studio_behind_it(
    clock, near, studio, names
):
    """By the studio's numbers it comes later, and this host's log does not say so yet."""
    cache = tiered(clock, near, studio)
    other = b"r" + b"s" * 16 + b"villain"
    sequence = cache.sequence()

    def announce():
        cache.put({KEY: entry(sequence=sequence), other: entry(sequence=sequence)})

    cache.invalidate(names, announce)

    assert [set() if names is None else {other}] == [set(put) for put, _ in studio.puts]
    cache.put({KEY: entry(sequence=cache.sequence())})
    assert {KEY} == set(studio.puts[-1][0])


def test_without_a_position_nothing_reaches_the_studio(clock, near, studio):
    """It has not been heard of, so what it would have told is not known."""
    cache = tiered(clock, near, studio)
    studio.at = None
    cache.put({KEY: entry(sequence=cache.sequence())})

    assert [] == studio.puts
    assert KEY in near.get([KEY])


def test_listeners_hear_of_every_invalidation(clock, near):
    """Of this process, and of others that share a tier's log; of each once."""
    shared, heard = Shared(), []
    cache, others_cache = tiered(clock, near, shared), tiered(clock, shared)
    cache.find([KEY])
    cache.listeners.append(lambda names, _: heard.append(names))
    cache.invalidate([b"hero", b"hero"])
    others_cache.invalidate([b"villain"])
    cache.catch_up()
    cache.invalidate(None)

    assert [(b"hero",), [b"villain"], None] == heard


def test_hits_and_misses_are_counted_for_each_tier(clock, near, far):
    """By what each was asked for."""
    cache = tiered(clock, near, far)
    far.put({KEY: entry()})
    cache.find([KEY, b"none"])
    cache.find([KEY])

    tiers = cache.stats()["tiers"]
    assert (1, 2) == (tiers["memory"]["hits"], tiers["memory"]["misses"])
    assert (1, 1) == (tiers["far"]["hits"], tiers["far"]["misses"])
