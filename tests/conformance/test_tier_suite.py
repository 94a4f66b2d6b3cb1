# SPDX-License-Identifier: Apache-2.0
"""Every tier keeps the promises of the port."""

import pytest

from bifrost.testing import Clock, TierSuite
from bifrost.tiers.codec import pack, physical
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.memory import ENTRY_OVERHEAD, MemoryTier
from bifrost.tiers.records import record_key
from bifrost.tiers.tiered import TieredCache


class TestMemoryTier(TierSuite):
    """The dictionary."""

    @pytest.fixture
    def tier(self):
        with MemoryTier(100_000_000) as tier:
            yield tier

    def kept(self, tier, key):
        found = (tier._entries or {}).get(key)
        return found and found[0].value

    def plant(self, tier, key, entry):
        tier._opened()[key] = (entry, ENTRY_OVERHEAD + len(key) + len(entry.value))


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
