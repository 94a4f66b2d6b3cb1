# SPDX-License-Identifier: Apache-2.0
"""The memory tier's bound, and what it counts."""

import os

from bifrost.tiers.memory import ENTRY_OVERHEAD, MemoryTier
from bifrost.tiers.tier import FOREVER, Entry


def entry(size=100, sequence=1):
    return Entry(b"v" * size, FOREVER, 0.0, sequence)


def test_the_least_recently_used_entries_go_first():
    """Using an entry keeps it; the bound counts what an entry really takes."""
    tier = MemoryTier(3 * (ENTRY_OVERHEAD + 1 + 100))
    tier.put({b"1": entry(), b"2": entry(), b"3": entry()})
    tier.get([b"1"])
    tier.put({b"4": entry()})

    assert {b"1", b"3", b"4"} == set(tier.get([b"1", b"2", b"3", b"4"]))
    assert 1 == tier.stats()["evictions"]


def test_the_bound_holds():
    """Whatever is put, no more than the bound is kept."""
    tier = MemoryTier(100_000)
    for size in (0, 10, 3_000, 50_000, 99_000):
        tier.put({b"%d/%d" % (size, i): entry(size) for i in range(50)})
        assert tier.stats()["bytes"] <= 100_000

    assert 0 < tier.stats()["evictions"]


def test_an_entry_larger_than_the_tier_is_not_kept_nor_the_one_before():
    """Otherwise an old answer would survive the newer one."""
    tier = MemoryTier(10_000)
    tier.put({b"k": entry(10)})
    tier.put({b"k": entry(10_000)})

    assert {} == tier.get([b"k"])
    assert 0 == tier.stats()["evictions"]


def test_a_forked_child_starts_empty():
    """A child may have been forked in the middle of a change, and must not wait for a lock."""
    tier = MemoryTier(10_000)
    tier.put({b"k": entry()})
    tier._lock.acquire()
    child = os.fork()
    if child == 0:
        os._exit(len(tier.get([b"k"])) + 40)
    tier._lock.release()

    assert 40 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert 1 == len(tier.get([b"k"]))
