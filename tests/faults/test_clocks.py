# SPDX-License-Identifier: Apache-2.0
"""
Clocks that jump: a host that boots in 2038 and is set right, one that is set back, two that differ.

Whatever was stored under a wrong clock is asked again or outdated like everything else; nothing lives
for as long as the clock was wrong.
"""

from __future__ import annotations

import itertools

import pytest

from bifrost.catalogue import Catalogue, Publication, VersionPolicy
from bifrost.context import Context
from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.pipeline.cache import Cache
from bifrost.settings import CacheSettings
from bifrost.testing import Clock
from bifrost.tiers import stores
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.tier import FOREVER, SKEW_S, Entry
from bifrost.tiers.tiered import TieredCache
from bifrost.usd.closures import Closures

YEAR_S = 365 * 86_400.0
TTL_S, NEGATIVE_S, STALE_S = 60.0, 5.0, 600.0
SETTINGS = CacheSettings(ttl_s=TTL_S, negative_ttl_s=NEGATIVE_S, stale_s=STALE_S)
HERO, PINNED, GONE = (f"bifrost:///assets/{name}" for name in ("hero", "hero?version=1", "gone"))
DOWN = Failure(Code.UNAVAILABLE, "down", retryable=True)


class Manager:
    """Answers; counts how often it was asked, and can be down."""

    def __init__(self):
        self.asked = []
        self.is_down = False

    def handle(self, request):
        self.asked += request.references
        return Reply.by_reference(request, self.answer)

    def answer(self, reference):
        if self.is_down:
            return DOWN
        if reference == GONE:
            return Failure(Code.NOT_FOUND, "gone")
        return Resolution(reference, f"/store/{len(self.asked)}", immutable="?" in reference)


@pytest.fixture
def clock():
    return Clock(1_800_000_000.0)


@pytest.fixture
def manager():
    return Manager()


@pytest.fixture(params=["memory", "lmdb", "both"])
def tiers(request, clock, tmp_path):
    kinds = {
        "memory": lambda: MemoryTier(1 << 20, clock=clock),
        "lmdb": lambda: LmdbTier(tmp_path / "cache", max_bytes=1 << 20, clock=clock),
    }
    names = ["memory", "lmdb"] if request.param == "both" else [request.param]
    ticks = itertools.count()
    with TieredCache(
        [kinds[name]() for name in names], clock=clock, monotonic_clock=lambda: float(next(ticks))
    ) as tiers:
        yield tiers


@pytest.fixture
def ask(manager, tiers, clock):
    cache = Cache(manager, tiers, "the manager", SETTINGS, clock=clock)

    def ask(reference):
        request = Request(Operation.RESOLVE, (reference,), Context().snapshot())
        return cache.handle(request).outcomes[0]

    yield ask
    cache.close()


class TestAnswers:
    def test_what_was_cached_in_the_future_is_asked_again(self, ask, manager, clock):
        """A host that boots a year ahead and is set right doesn't keep its answers for a year."""
        clock.advance(YEAR_S)
        ask(HERO)
        clock.advance(-YEAR_S)

        assert "manager" == ask(HERO).tier
        assert 2 == len(manager.asked)
        assert "manager" != ask(HERO).tier

    def test_what_is_not_found_is_not_so_for_a_year(self, ask, manager, clock):
        """Failures neither."""
        clock.advance(YEAR_S)
        ask(GONE)
        clock.advance(-YEAR_S)
        ask(GONE)

        assert [GONE, GONE] == manager.asked

    def test_in_an_outage_it_is_better_than_nothing(self, ask, manager, clock):
        """It is as good as what has expired."""
        clock.advance(YEAR_S)
        answer = ask(HERO)
        clock.advance(-YEAR_S)
        manager.is_down = True

        assert (answer.path, "stale") == (ask(HERO).path, ask(HERO).tier)

    def test_what_holds_for_ever_holds_under_any_clock(self, ask, manager, clock):
        """A reference to one version has nothing to do with time."""
        ask(PINNED)
        for jump_s in (YEAR_S, -2 * YEAR_S, YEAR_S):
            clock.advance(jump_s)
            assert "manager" != ask(PINNED).tier

        assert [PINNED] == manager.asked

    def test_a_jump_forward_expires_and_no_more(self, ask, manager, clock):
        """What has expired is asked again, and cached again."""
        ask(HERO)
        clock.advance(YEAR_S)

        assert ["manager", False] == [ask(HERO).tier, ask(HERO).tier == "manager"]

    def test_hosts_whose_clocks_differ_a_little_share_answers(self, ask, manager, clock):
        """What another host stored a moment from now is as fresh there as here."""
        clock.advance(SKEW_S - 1)
        ask(HERO)
        clock.advance(1 - SKEW_S)

        assert "manager" != ask(HERO).tier


class AtOnce:
    """Does now what was to be done later."""

    def put(self, name, delay_s, job, *, within_s):
        job()


def test_a_closure_of_the_future_is_recorded_anew(tiers, clock):
    """Its answers would not expire for a year."""
    closures = Closures(tiers, AtOnce(), clock=clock)
    scope, root = b"s" * 16, "/show/shot.usda"

    def record():
        answer = Resolution(HERO, "/store/hero", expires=clock() + TTL_S)
        closures.record(scope, root, {HERO: answer}, tiers.sequence())

    clock.advance(YEAR_S)
    record()
    clock.advance(-YEAR_S)
    assert closures.find(scope, root) is None
    record()

    assert clock() + TTL_S == closures.find(scope, root).expires


class TestSharedCache:
    def test_entries_of_a_clock_that_was_ahead_are_evicted_in_their_order(self, tmp_path, clock):
        """What is stored later goes later, whatever the clock says, and the bound holds."""
        with LmdbTier(tmp_path, max_bytes=1 << 20, clock=clock) as tier:
            numbers = range(3000)
            for start in numbers[::500]:
                clock.advance(-YEAR_S if start % 1000 else YEAR_S)
                entry = Entry(b"v" * 400, FOREVER, clock(), tier.invalidations.sequence())
                tier.put({key(i): entry for i in range(start, start + 500)})
                tier.flush()
            kept = tier.get([key(i) for i in numbers])

            assert 0 < tier.stats()["evictions"]
            assert set(map(key, numbers[-500:])) <= set(kept)
            assert 0.0 <= tier.stats()["age_s"]

    def test_a_store_begun_under_a_clock_set_back_is_invalidated_too(
        self, tmp_path, monkeypatch, clock
    ):
        """
        Who asked under the numbers of the store before it, a year ahead, doesn't outlive invalidations.
        """
        monkeypatch.setattr(stores, "time", clock)
        clock.advance(YEAR_S)
        with LmdbTier(tmp_path / "ahead", max_bytes=1 << 20) as tier:
            ahead = tier.invalidations.sequence()
        clock.advance(-YEAR_S)
        with LmdbTier(tmp_path / "now", max_bytes=1 << 20) as tier:
            assert tier.invalidations.sequence() < ahead
            tier.put({key(1): Entry(b"old", FOREVER, clock(), ahead)})
            tier.flush()
            tier.invalidations.note_invalidation([b"asset1"])

            assert {} == tier.get([key(1)])


def key(number):
    return b"r" + b"s" * 16 + b"asset%d" % number


def test_versions_keep_their_order_and_a_point_in_time_its_meaning(catalogue_url, clock):
    """A clock that jumps there and back makes no version earlier than the one before it."""
    with Catalogue.open(catalogue_url, clock=clock) as catalogue:
        for number, jump_s in enumerate((0.0, YEAR_S, -2 * YEAR_S, YEAR_S, 1.0)):
            clock.advance(jump_s)
            catalogue.publish([Publication("rock", "Rock", "model", "", checksum=str(number))])
        made = [version.created_us for version in catalogue.versions("rock")]
        [before] = catalogue.resolve(
            [("rock", None)], VersionPolicy.of(None, "2027-01-16T00:00:00Z")
        )

        assert sorted(made, reverse=True) == made
        assert 1 == before.number
        assert 5 == len(catalogue.changed_since(0)) + 4
