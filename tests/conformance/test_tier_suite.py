# SPDX-License-Identifier: Apache-2.0
"""Every tier keeps the promises of the port."""

import contextlib
import time

import pytest

from bifrost.errors import TierError
from bifrost.testing import Clock, TierSuite
from bifrost.tiers.codec import pack, physical
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.memory import ENTRY_OVERHEAD, MemoryTier
from bifrost.tiers.records import record_key
from bifrost.tiers.redis import Event, RedisTier
from bifrost.tiers.seal import Seal
from bifrost.tiers.tier import Entry, beginning_in
from bifrost.tiers.tiered import TieredCache


class TestMemoryTier(TierSuite):
    """The dictionary."""

    @pytest.fixture
    def tier(self):
        with MemoryTier(100_000_000) as tier:
            yield tier

    def kept(self, tier, key):
        entry = (tier._entries or {}).get(key)
        return entry and entry.value

    def plant(self, tier, key, entry):
        tier._opened()[key] = entry
        tier._bytes += ENTRY_OVERHEAD + len(key) + len(entry.value)


class TestLmdbTier(TierSuite):
    """The shared file."""

    @pytest.fixture
    def tier(self, tmp_path):
        with LmdbTier(tmp_path, max_bytes=64 << 20, clock=Clock()) as tier:
            yield tier

    def sequence(self, tier):
        return tier.invalidations.sequence()

    def environment(self, tier):
        tier.stats()
        return tier._cache._store.environment

    def kept(self, tier, key):
        with self.environment(tier).begin() as txn:
            record = txn.get(physical(key))
            envelope = record and txn.get(record)
        return envelope and envelope[32 + len(key) :]

    def plant(self, tier, key, entry):
        with self.environment(tier).begin(write=True) as txn:
            txn.put(physical(key), record_key(1))
            txn.put(record_key(1), pack(key, entry))

    def damage(self, tier, key):
        with self.environment(tier).begin(write=True) as txn:
            record = txn.get(physical(key))
            envelope = bytearray(txn.get(record))
            envelope[-1] ^= 4
            txn.put(record, bytes(envelope))


class TestSealedLmdbTier(TestLmdbTier):
    """The shared file, signed."""

    @pytest.fixture
    def tier(self, tmp_path):
        seal = Seal([b"k" * 32], "lmdb")
        with LmdbTier(tmp_path, max_bytes=64 << 20, clock=Clock(), seal=seal) as tier:
            yield tier

    def kept(self, tier, key):
        value = super().kept(tier, key)
        return value and value[:-16]

    def plant(self, tier, key, entry):
        super().plant(tier, key, tier._seal.sealed({key: entry})[key])


class HostedRedisTier(RedisTier):
    """
    A server's tier as a host uses it: the host's numbers stand for positions in the stream.

    What is outdated here is announced, and what comes back is numbered for the host.
    """

    def __init__(self, url, **arguments):
        super().__init__(url, **arguments)
        self.number = 7
        self.positions = {}

    def outdate(self, subjects, sequence):
        self.positions.setdefault(self.number, self.position())
        prefixes = [beginning_in(name) for name in subjects or ()]
        groups = [name for name in subjects or () if beginning_in(name) is None]
        inside = tuple(prefix for prefix in prefixes if prefix is not None)
        with contextlib.suppress(TierError):  # of one that is closed
            self.announce(Event(None if subjects is None else tuple(groups), inside))
        self.number = sequence

    def put(self, entries):
        for key, entry in entries.items():
            self.put_since({key: entry}, self.position_at(entry.sequence))

    def get(self, keys):
        found = super().get(keys)
        return {k: Entry(e.value, e.expires, e.stored, self.number) for k, e in found.items()}

    def position_at(self, number):
        """Return what the position was at the host's *number*: for the newest, what it is now."""
        return self.positions.get(number) or self.position()


class TestRedisTier(TierSuite):
    """The server that a studio shares."""

    @pytest.fixture
    def tier(self, redis_server):
        redis_server.flush()
        with HostedRedisTier(redis_server.url, clock=Clock(), stale_s=60, budget_s=2.0) as tier:
            tier.server = redis_server
            tier.follow(lambda event: None)
            until = time.monotonic() + 20
            while tier.position() is None and time.monotonic() < until:
                time.sleep(0.001)
            yield tier

    def sequence(self, tier):
        return tier.number

    def name(self, tier, key):
        """Return the names of the hash and of the field that have *key*."""
        epoch, generation = tier.server.command("HMGET", "bifrost:meta", "epoch", "g")
        group = key[17:].partition(b"?")[0]
        return b"bifrost:%b.%b:%b" % (epoch, generation, group), key[:17] + key[17 + len(group) :]

    def kept(self, tier, key):
        envelope = tier.server.command("HGET", *self.name(tier, key))
        return envelope and envelope[32 + len(key) :]

    def plant(self, tier, key, entry):
        tier.server.command("HSET", *self.name(tier, key), pack(key, entry))

    def damage(self, tier, key):
        envelope = bytearray(tier.server.command("HGET", *self.name(tier, key)))
        envelope[-1] ^= 4
        tier.server.command("HSET", *self.name(tier, key), bytes(envelope))


class TestTieredCache(TierSuite):
    """Memory over the shared file."""

    @pytest.fixture
    def tier(self, tmp_path):
        lmdb = LmdbTier(tmp_path, max_bytes=64 << 20, clock=Clock())
        clock = Clock()
        tiers = [MemoryTier(100_000_000), lmdb]
        with TieredCache(tiers, clock=clock, monotonic_clock=clock) as tier:
            yield tier

    def sequence(self, tier):
        return tier.sequence()

    def kept(self, tier, key):
        return TestLmdbTier().kept(tier._tiers[1], key)

    def plant(self, tier, key, entry):
        TestLmdbTier().plant(tier._tiers[1], key, entry)


class TestTieredMemory(TierSuite):
    """Two dictionaries, nothing shared."""

    @pytest.fixture
    def tier(self):
        with TieredCache([MemoryTier(100_000_000), MemoryTier(100_000_000)]) as tier:
            yield tier

    def sequence(self, tier):
        return tier.sequence()

    def kept(self, tier, key):
        return TestMemoryTier().kept(tier._tiers[1], key)

    def plant(self, tier, key, entry):
        TestMemoryTier().plant(tier._tiers[1], key, entry)


def test_the_suite_finds_a_tier_that_forgets_nothing():
    """The suite is worth its name: a tier whose `delete` does nothing fails it."""

    class Hoarder(MemoryTier):
        def delete(self, keys):
            pass

    class Suite(TierSuite):
        tier = kept = plant = None

    with pytest.raises(AssertionError):
        Suite().test_what_is_deleted_is_not_found(Hoarder(1 << 20), flushes=False)
