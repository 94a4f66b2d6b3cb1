# SPDX-License-Identifier: Apache-2.0
"""
The promises of `Tier`, as tests that every tier's own test class inherits.

```python
class TestMyTier(TierSuite):
    @pytest.fixture
    def tier(self, tmp_path):
        with MyTier(tmp_path) as tier:
            yield tier

    def kept(self, tier, key): ...
    def plant(self, tier, key, entry): ...
```
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bifrost.tiers.tier import FOREVER, SUBJECT_AT, Entry, Tier, beginning_with

_STORED = 1_700_000_000.0


class TierSuite(ABC):
    """Inherit this, give it a `tier`, and it must pass."""

    @pytest.fixture
    @abstractmethod
    def tier(self) -> Any:
        """Yield an open, empty tier."""

    @abstractmethod
    def kept(self, tier: Tier, key: bytes) -> bytes | None:
        """Return the value that the backend holds under *key*. Use none of the tier's methods."""

    @abstractmethod
    def plant(self, tier: Tier, key: bytes, entry: Entry) -> None:
        """Put *entry* into the backend. Use none of the tier's methods."""

    def damage(self, tier: Tier, key: bytes) -> None:
        """Flip a bit of what the backend holds under *key*. Skip where there is no backend."""
        del tier, key
        pytest.skip("this tier's backend can't flip bits behind its back")

    def sequence(self, tier: Tier) -> int:
        """Return the number that an invalidation would follow now."""
        del tier
        return 7

    def entry(self, tier: Tier, value: bytes = b"value", expires: float = FOREVER) -> Entry:
        """Return an entry that nothing outdates yet."""
        return Entry(value, expires, _STORED, self.sequence(tier))

    def key(self, subject: bytes, kind: bytes = b"r", scope: int = 1) -> bytes:
        """Return a key about *subject*."""
        key = kind + bytes([scope]) * 16 + subject
        assert key[SUBJECT_AT:] == subject
        return key

    # get

    def test_what_is_planted_is_found(self, tier: Tier) -> None:
        """What the backend holds, `get` returns, lifetime and all."""
        entry = self.entry(tier, b"\0\xff" * 50, expires=_STORED + 60)
        self.plant(tier, self.key(b"hero"), entry)

        assert {self.key(b"hero"): entry} == tier.get([self.key(b"hero")])

    def test_absent_keys_are_left_out(self, tier: Tier) -> None:
        """A miss is an absence, not a None."""
        tier.put({self.key(b"hero"): self.entry(tier)})

        assert {self.key(b"hero")} == set(tier.get([self.key(b"hero"), self.key(b"villain")]))

    def test_nothing_is_found_for_no_keys(self, tier: Tier) -> None:
        """An empty question has an empty answer."""
        assert {} == tier.get([])

    def test_stale_entries_are_returned(self, tier: Tier) -> None:
        """Whether a stale entry may be served is the caller's decision."""
        entry = self.entry(tier, expires=_STORED - 1)
        tier.put({self.key(b"hero"): entry})

        assert entry == tier.get([self.key(b"hero")])[self.key(b"hero")]

    def test_duplicate_keys_are_one(self, tier: Tier) -> None:
        """Asking twice for one key finds it once."""
        tier.put({self.key(b"hero"): self.entry(tier)})

        assert 1 == len(tier.get([self.key(b"hero")] * 3))

    def test_damaged_entries_are_misses(self, tier: Tier) -> None:
        """A flipped bit is never a wrong value, and the damage is gone afterwards."""
        key = self.key(b"hero")
        tier.put({key: self.entry(tier, b"x" * 100)})
        tier.flush()
        self.damage(tier, key)

        assert {} == tier.get([key])
        tier.flush()
        assert self.kept(tier, key) is None

    # put

    def test_what_is_put_is_kept_after_flush(self, tier: Tier) -> None:
        """After `flush` the backend itself holds what was put."""
        tier.put({self.key(b"hero"): self.entry(tier, b"there")})
        tier.flush()

        assert b"there" == self.kept(tier, self.key(b"hero"))

    def test_what_is_put_is_found_at_once(self, tier: Tier) -> None:
        """The process that put an entry need not flush to get it."""
        entry = self.entry(tier)
        tier.put({self.key(b"hero"): entry})

        assert {self.key(b"hero"): entry} == tier.get([self.key(b"hero")])

    @pytest.mark.parametrize("flushes", [True, False])
    def test_the_newest_put_wins(self, tier: Tier, *, flushes: bool) -> None:
        """An entry replaces the one before it, wherever that one is by then."""
        key = self.key(b"hero")
        tier.put({key: self.entry(tier, b"old")})
        if flushes:
            tier.flush()
        tier.put({key: self.entry(tier, b"new")})

        assert b"new" == tier.get([key])[key].value
        tier.flush()
        assert b"new" == tier.get([key])[key].value

    @pytest.mark.parametrize("size", [0, 1, 5_000, 60_000])
    def test_values_of_many_sizes_come_back(self, tier: Tier, size: int) -> None:
        """The empty value is a value, and one larger than a page is, too."""
        value = bytes(range(256)) * (size // 256 + 1)
        tier.put({self.key(b"hero"): self.entry(tier, value[:size])})
        tier.flush()

        assert value[:size] == tier.get([self.key(b"hero")])[self.key(b"hero")].value

    @pytest.mark.parametrize("length", [1, 17, 18, 400, 494, 509, 510, 511, 512, 5_000])
    def test_keys_of_any_length_are_told_apart(self, tier: Tier, length: int) -> None:
        """Long keys are no worse than short ones: no two of them meet, and none is refused."""
        keys = [bytes([first]) + b"k" * (length - 2) + bytes([last]) for first, last in _PAIRS]
        keys = [key[-length:] for key in keys]
        tier.put({key: self.entry(tier, b"of " + key) for key in keys})
        tier.flush()

        found = tier.get(keys)
        assert {key: b"of " + key for key in keys} == {k: e.value for k, e in found.items()}

    def test_one_call_takes_thousands(self, tier: Tier) -> None:
        """A batch is one call, however large."""
        entries = {self.key(b"%d" % i): self.entry(tier, b"%d" % i) for i in range(3000)}
        tier.put(entries)
        tier.flush()

        assert entries == tier.get(entries)

    # delete

    @pytest.mark.parametrize("flushes", [True, False])
    def test_what_is_deleted_is_not_found(self, tier: Tier, *, flushes: bool) -> None:
        """Deleting holds at once, whether or not the entry had reached the backend."""
        hero, villain = self.key(b"hero"), self.key(b"villain")
        tier.put({hero: self.entry(tier), villain: self.entry(tier)})
        if flushes:
            tier.flush()
        tier.delete([hero, self.key(b"absent")])

        assert {villain} == set(tier.get([hero, villain]))
        tier.flush()
        assert {villain} == set(tier.get([hero, villain]))
        assert self.kept(tier, hero) is None

    @pytest.mark.parametrize("flushes", [True, False])
    def test_put_after_delete_is_found(self, tier: Tier, *, flushes: bool) -> None:
        """A deletion is about the past only."""
        key = self.key(b"hero")
        tier.put({key: self.entry(tier, b"old")})
        tier.flush()
        tier.delete([key])
        tier.delete_prefix(key[:5])
        tier.put({key: self.entry(tier, b"new")})
        if flushes:
            tier.flush()

        assert b"new" == tier.get([key])[key].value

    @pytest.mark.parametrize("flushes", [True, False])
    @pytest.mark.parametrize("length", [1, 5, 477, 478, 509, 510, 600])
    def test_delete_prefix_takes_all_and_only_those(
        self, tier: Tier, length: int, *, flushes: bool
    ) -> None:
        """Prefixes work for keys of any length, up to and including the whole key."""
        prefix = b"p" * length
        inside = [prefix, prefix + b"1", prefix + b"2" * 40, prefix + b"3" * 700]
        outside = [prefix[:-1] + b"q", prefix[:-1] + b"o" * 800, b"other", b"other" * 200]
        tier.put({key: self.entry(tier) for key in inside + outside})
        if flushes:
            tier.flush()
        tier.delete_prefix(prefix)

        assert set(outside) == set(tier.get(inside + outside))
        tier.flush()
        assert set(outside) == set(tier.get(inside + outside))

    def test_the_empty_prefix_is_everything(self, tier: Tier) -> None:
        """`delete_prefix(b"")` empties the tier."""
        keys = [self.key(b"%d" % i) for i in range(100)] + [b"x", b"y" * 1000]
        tier.put({key: self.entry(tier) for key in keys})
        tier.flush()
        tier.delete_prefix(b"")
        tier.flush()

        assert {} == tier.get(keys)
        assert 0 == tier.stats()["entries"]

    # outdate

    def test_older_entries_of_a_subject_are_absent(self, tier: Tier) -> None:
        """An invalidation reaches every kind and scope, and no other subject."""
        hero = [self.key(b"hero", b"r", 1), self.key(b"hero", b"r", 2), self.key(b"hero", b"c", 1)]
        others = [self.key(b"heroes"), self.key(b"her"), self.key(b""), b"hero", b"r"]
        tier.put({key: self.entry(tier) for key in hero + others})
        tier.flush()
        tier.outdate([b"hero"], self.sequence(tier) + 1)

        assert set(others) == set(tier.get(hero + others))

    def test_an_answer_that_was_overtaken_is_not_kept(self, tier: Tier) -> None:
        """What was asked for before an invalidation and arrives after it is outdated."""
        key = self.key(b"hero")
        overtaken = self.entry(tier, b"old")
        tier.outdate([b"hero"], overtaken.sequence + 1)
        tier.put({key: overtaken})

        assert {} == tier.get([key])
        tier.flush()
        assert {} == tier.get([key])

    def test_an_overtaken_answer_takes_the_one_before_with_it(self, tier: Tier) -> None:
        """Dropping a put never brings back what it was to replace."""
        key = self.key(b"hero")
        older = self.entry(tier, b"older")
        tier.put({key: older})
        tier.flush()
        tier.outdate([b"hero"], older.sequence + 1)
        tier.put({key: older})
        tier.flush()

        assert {} == tier.get([key])

    def test_answers_asked_for_later_are_found(self, tier: Tier) -> None:
        """An invalidation is about the past only."""
        key = self.key(b"hero")
        before = self.sequence(tier)
        tier.put({key: self.entry(tier, b"old")})
        tier.outdate([b"hero"], before + 1)
        newer = Entry(b"new", FOREVER, _STORED, max(before + 1, self.sequence(tier)))
        tier.put({key: newer})

        assert newer == tier.get([key])[key]
        tier.flush()
        assert newer == tier.get([key])[key]

    def test_everything_may_be_outdated(self, tier: Tier) -> None:
        """None as subjects means all of them; keys without a subject may stay or go."""
        keys = [self.key(b"hero"), self.key(b"villain", b"c", 9)]
        overtaken = self.entry(tier)
        tier.put(dict.fromkeys(keys, overtaken))
        tier.flush()
        tier.outdate(None, overtaken.sequence + 1)
        tier.put({keys[0]: overtaken})

        assert {} == tier.get(keys)
        tier.flush()
        assert {} == tier.get(keys)

    def test_a_group_is_outdated_with_all_its_members(self, tier: Tier) -> None:
        """A `?` ends what a name is about; what merely begins with the name stays."""
        members = [self.key(text) for text in (b"hero", b"hero?version=3", b"hero?v=latest")]
        others = [self.key(text) for text in (b"heroine", b"her", b"villain?version=3")]
        overtaken = self.entry(tier)
        tier.put(dict.fromkeys([*members[1:], *others], overtaken))
        tier.flush()
        tier.outdate([b"hero"], overtaken.sequence + 1)
        tier.put({members[0]: overtaken})

        assert set(others) == set(tier.get([*members, *others]))
        tier.flush()
        assert set(others) == set(tier.get([*members, *others]))

    def test_a_beginning_outdates_all_that_starts_so(self, tier: Tier) -> None:
        """Whatever was asked for before, and nothing that was asked for later."""
        inside = [self.key(text) for text in (b"set.a", b"set.b?version=3", b"set.")]
        outside = [self.key(text) for text in (b"set", b"other", b"")]
        overtaken = self.entry(tier)
        tier.put(dict.fromkeys([*inside[1:], *outside], overtaken))
        tier.flush()
        before = overtaken.sequence + 1
        tier.outdate([beginning_with(b"set.")], before)
        tier.put({inside[0]: overtaken})
        later = self.key(b"set.later")
        tier.put({later: Entry(b"new", FOREVER, _STORED, max(before, self.sequence(tier)))})

        assert {*outside, later} == set(tier.get([*inside, *outside, later]))
        tier.flush()
        assert {*outside, later} == set(tier.get([*inside, *outside, later]))

    def test_any_number_of_beginnings_may_be_outdated(self, tier: Tier) -> None:
        """Past what a tier tells apart it forgets more than it was told to."""
        keys = [self.key(b"%03d.asset" % number) for number in range(200)]
        overtaken = self.entry(tier)
        tier.put(dict.fromkeys(keys, overtaken))
        for number in range(200):
            tier.outdate([beginning_with(b"%03d." % number)], overtaken.sequence + 1 + number)

        assert {} == tier.get(keys)

    def test_long_subjects_are_outdated(self, tier: Tier) -> None:
        """A subject is as long as it likes."""
        subjects = [b"s" * 600 + b"1", b"s" * 600 + b"2"]
        tier.put({self.key(subject): self.entry(tier) for subject in subjects})
        tier.outdate(subjects[:1], self.sequence(tier) + 1)

        found = tier.get([self.key(subject) for subject in subjects])
        assert [self.key(subjects[1])] == list(found)

    # The rest

    def test_stats_have_the_promised_counters(self, tier: Tier) -> None:
        """Monitoring relies on five names."""
        tier.put({self.key(b"hero"): self.entry(tier)})
        tier.flush()
        stats = tier.stats()

        assert {"entries", "bytes", "max_bytes", "evictions", "errors"} <= set(stats)
        assert 0 < stats["entries"]
        assert 0 < stats["bytes"] <= stats["max_bytes"]

    def test_a_closed_tier_is_empty_and_silent(self, tier: Tier) -> None:
        """After `close` nothing raises, nothing is found, nothing is kept."""
        key = self.key(b"hero")
        entry = self.entry(tier)
        tier.put({key: entry})
        tier.close()
        tier.close()
        tier.put({key: entry})
        tier.delete([key])
        tier.delete_prefix(b"")
        tier.outdate([b"hero"], entry.sequence + 1)
        tier.flush()

        assert {} == tier.get([key])
        assert 0 == tier.stats()["entries"]

    def test_threads_do_not_disturb_each_other(self, tier: Tier) -> None:
        """Eight threads put, get and delete keys of their own, and find them right."""
        with ThreadPoolExecutor(8) as pool:
            wrong = sum(pool.map(lambda thread: self._work(tier, thread), range(8)))

        assert 0 == wrong

    def _work(self, tier: Tier, thread: int) -> int:
        wrong = 0
        for turn in range(30):
            keys = [self.key(b"%d/%d" % (thread, i), scope=turn % 3) for i in range(5)]
            value = b"%d/%d" % (thread, turn)
            tier.put({key: self.entry(tier, value) for key in keys})
            wrong += any(entry.value != value for entry in tier.get(keys).values())
            wrong += any(key not in tier.get(keys) for key in keys)
            tier.delete(keys[:1])
            wrong += keys[0] in tier.get(keys)
        return wrong


_PAIRS = ((1, 1), (1, 2), (2, 1), (2, 2))
