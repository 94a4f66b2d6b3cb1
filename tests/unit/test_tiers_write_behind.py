# SPDX-License-Identifier: Apache-2.0
"""The queue before the store: what it shows, what it drops, what it never drops."""

import threading

import pytest

from bifrost.errors import TierError
from bifrost.tiers import write_behind
from bifrost.tiers.tier import FOREVER, Entry
from bifrost.tiers.write_behind import Batch, WriteBehind

LARGE = 1 << 30
SUBJECT_KEY = b"r" + b"s" * 16 + b"hero"


class Store:
    """A store whose commits wait until a test lets them through, and fail when it says so."""

    def __init__(self):
        self.entries = {}
        self.notes = []
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def commit(self, batch):
        self.reached.set()
        assert self.gate.wait(20)
        if self.fails:
            raise OSError(28, "No space left on device")
        self.notes += [None] if batch.everything else list(batch.subjects)
        for prefix in batch.prefixes:
            self.entries = {k: v for k, v in self.entries.items() if not k.startswith(prefix)}
        for key in batch.deleted:
            self.entries.pop(key, None)
        self.entries.update(batch.entries)
        return 42


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def queue(store):
    queue = WriteBehind(store.commit, 1 << 20)
    yield queue
    store.gate.set()
    queue.close(5.0)


def entry(value=b"v"):
    return Entry(value, FOREVER, 0.0, 1)


def found(queue, store, key):
    """What a tier over this queue and store would answer."""
    hits, rest = queue.look([key])
    return (
        hits[key].value
        if hits
        else store.entries[key].value
        if rest and key in store.entries
        else None
    )


def test_flush_brings_it_to_the_store(queue, store):
    """And nothing waits any more."""
    queue.put({b"k": entry()}, LARGE)
    queue.flush(5.0)

    assert {b"k": entry()} == store.entries
    assert ({}, [b"k"]) == queue.look([b"k"])


def test_put_never_waits_for_a_commit(queue, store):
    """While one hangs, entries go on being taken and shown, in the order of their coming."""
    store.gate.clear()
    queue.put({b"k": entry(b"1")}, LARGE)
    threading.Thread(target=queue.flush, args=(5.0,), daemon=True).start()
    assert store.reached.wait(5)
    assert b"1" == found(queue, store, b"k")
    queue.put({b"k": entry(b"2")}, LARGE)
    assert b"2" == found(queue, store, b"k")
    queue.delete([b"k"])
    assert found(queue, store, b"k") is None
    queue.delete_prefix(b"")
    queue.put({b"j": entry(b"3")}, LARGE)
    store.gate.set()
    queue.flush(5.0)

    assert {b"j": entry(b"3")} == store.entries


def test_the_oldest_are_dropped_when_too_much_waits(queue, store):
    """Bounded by bytes; and what a dropped put was to replace goes, too."""
    store.entries = {b"0": entry(b"old")}
    store.gate.clear()
    queue.put({b"0": entry(b"n" * 400_000)}, LARGE)
    for i in range(1, 6):
        queue.put({b"%d" % i: entry(b"n" * 400_000)}, LARGE)
        queue._batch.waiters  # noqa: B018  the batch is never the one being committed
    store.gate.set()
    queue.flush(5.0)

    assert queue.dropped > 0
    assert {b"%d" % i for i in range(6)} >= set(store.entries)
    assert b"5" in store.entries
    assert all(len(kept.value) == 400_000 for kept in store.entries.values())


def test_a_value_that_is_too_long_is_not_stored_nor_the_one_before(queue, store):
    """An old value would be wrong."""
    store.entries = {b"k": entry(b"old")}
    queue.put({b"k": entry(b"n" * 100)}, 99)
    assert found(queue, store, b"k") is None
    queue.flush(5.0)

    assert {} == store.entries
    assert 1 == queue.dropped


def test_a_failed_commit_drops_entries_and_keeps_deletions(queue, store):
    """Nothing that was replaced or deleted comes back while the store can't be written."""
    store.entries = {b"put": entry(b"old"), b"gone": entry(b"old"), b"p1": entry(b"old")}
    store.fails = True
    queue.put({b"put": entry(b"new")}, LARGE)
    queue.delete([b"gone"])
    queue.delete_prefix(b"p1")
    queue.flush(5.0)
    assert [None] * 3 == [found(queue, store, key) for key in (b"put", b"gone", b"p1")]
    queue.put({b"gone": entry(b"newer")}, LARGE)
    assert b"newer" == found(queue, store, b"gone")
    store.fails = False
    queue.flush(5.0)

    assert {b"gone": entry(b"newer")} == store.entries


def test_deletions_are_bounded(queue, store, monkeypatch):
    """Too many of them become one: of everything."""
    monkeypatch.setattr(write_behind, "MAX_DELETIONS", 10)
    store.entries = {b"%d" % i: entry() for i in range(30)}
    store.fails = True
    queue.delete([b"%d" % i for i in range(25)])
    queue.put({b"new": entry()}, LARGE)
    queue.flush(5.0)
    assert len(queue._batch.deleted) <= 11
    assert all(found(queue, store, key) is None for key in store.entries)
    store.fails = False
    queue.flush(5.0)

    assert {} == store.entries


def test_a_note_returns_what_the_commit_returned(queue, store):
    """On return it is done."""
    assert 42 == queue.note([b"hero"], 5.0)
    assert [b"hero"] == store.notes


def test_a_note_that_fails_hides_its_subject_until_it_succeeds(queue, store):
    """The caller knows, and this process serves nothing that is wrong."""
    store.entries = {SUBJECT_KEY: entry(b"old")}
    store.fails = True
    with pytest.raises(TierError, match="No space left"):
        queue.note([b"hero"], 5.0)
    assert found(queue, store, SUBJECT_KEY) is None
    assert found(queue, store, SUBJECT_KEY + b"es") is None  # absent anyway
    store.fails = False
    queue.flush(5.0)

    assert [b"hero"] == store.notes
    assert b"old" == found(queue, store, SUBJECT_KEY)  # now it is the store's to know better


def test_waiting_is_bounded(queue, store):
    """A store that hangs makes `flush` and `note` fail, not hang."""
    store.gate.clear()
    queue.put({b"k": entry()}, LARGE)

    with pytest.raises(TierError, match="stuck"):
        queue.flush(0.05)
    with pytest.raises(TierError, match="stuck"):
        queue.note([b"hero"], 0.05)
    assert not queue.close(0.05)


def test_closing_commits_what_waits(queue, store):
    """And ends the thread."""
    queue.put({b"k": entry()}, LARGE)

    assert queue.close(5.0)
    assert {b"k": entry()} == store.entries
    assert not queue._thread.is_alive()


@pytest.mark.parametrize("had_thread", [True, False])
def test_who_comes_after_closing_is_told_so_and_waits_for_nothing(queue, store, had_thread):
    """There is no thread any more that would commit it."""
    if had_thread:
        queue.put({b"k": entry()}, LARGE)
    queue.close(5.0)

    with pytest.raises(TierError, match="closed"):
        queue.note([b"hero"], 5.0)
    queue.flush(5.0)
    assert [] == store.notes


def test_touches_alone_are_no_reason_to_write(queue, store):
    """They ride along, or go with the closing."""
    queue.touch([b"k"])
    queue.flush(5.0)
    assert not store.reached.is_set()

    assert queue.close(5.0)
    assert store.reached.is_set()


def test_parts_make_the_same_changes():
    """A small store takes a large batch in small transactions."""
    batch = Batch()
    batch.note([b"s"])
    batch.forget_prefix(b"p")
    for i in range(10):
        batch.forget(b"d%d" % i)
        batch.put(b"e%d" % i, entry(b"x" * 1000))
    batch.touched.add(b"t")
    store = Store()
    store.entries = {b"p1": entry(), b"d1": entry()}
    parts = list(batch.parts(3000, 4))
    for part in parts:
        store.commit(part)

    assert len(parts) > 4
    assert [b"s"] == store.notes
    assert batch.entries == store.entries
    assert [{b"t"}] == [part.touched for part in parts if part.touched]
    assert all(len(part.deleted) <= 4 and part.size <= 3000 + 1300 for part in parts)
