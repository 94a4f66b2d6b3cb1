# SPDX-License-Identifier: Apache-2.0
"""The numbers of invalidations, in one process."""

import pytest

from bifrost.tiers import invalidation
from bifrost.tiers.invalidation import Floors, LocalInvalidations

KEY = b"r" + b"s" * 16 + b"hero"


def test_the_log_tells_what_came_after_a_number():
    """In order, with nothing left out."""
    log = LocalInvalidations()
    start = log.sequence()
    first = log.note_invalidation([b"a", b"b"])
    second = log.note_invalidation([b"c"])

    assert start < first < second == log.sequence()
    assert [b"a", b"b", b"c"] == log.invalidated_since(start)
    assert [b"c"] == log.invalidated_since(first)
    assert [] == log.invalidated_since(second)


def test_numbers_of_another_log_mean_everything():
    """Whoever remembers a number that this log can't have given must not trust anything."""
    log = LocalInvalidations(100)
    log.note_invalidation([b"a"])

    assert log.invalidated_since(99) is None
    assert log.invalidated_since(102) is None


def test_everything_may_be_invalidated():
    """One number, and the log has nothing to tell about before."""
    log = LocalInvalidations()
    before = log.note_invalidation([b"a"])

    assert before + 1 == log.note_invalidation(None)
    assert log.invalidated_since(before) is None
    assert [] == log.invalidated_since(before + 1)


def test_the_log_is_bounded(monkeypatch):
    """Whoever was away for too long assumes everything."""
    monkeypatch.setattr(invalidation, "LOG_LIMIT", 3)
    log = LocalInvalidations()
    start = log.sequence()
    assert start + 3 == log.note_invalidation([b"1", b"2", b"3"])
    assert 3 == len(log.invalidated_since(start))
    log.note_invalidation([b"4"])

    assert log.invalidated_since(start + 3) is None
    assert [] == log.invalidated_since(start + 4)


@pytest.mark.parametrize(
    ("sequence", "is_outdated"), [(0, True), (4, True), (5, False), (6, False)]
)
def test_a_floor_outdates_what_is_below(sequence, is_outdated):
    """The number itself is not below: it was read after the invalidation."""
    floors = Floors()
    assert not floors
    floors.raise_to([b"hero"], 5)
    floors.raise_to([b"hero"], 3)

    assert is_outdated == floors.outdates(KEY, sequence)
    assert not floors.outdates(KEY + b"es", sequence)
    assert not floors.outdates(KEY[:17], sequence)


def test_floors_past_the_limit_become_one():
    """Bounded, and conservative: more is outdated, never less."""
    floors = Floors(limit=2)
    floors.raise_to([b"hero", b"other"], 5)

    assert floors.raise_to([b"third"], 9)
    assert floors.outdates(KEY, 8)
    assert not floors.outdates(KEY, 9)
