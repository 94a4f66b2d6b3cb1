# SPDX-License-Identifier: Apache-2.0
"""The shared file, as one process sees it."""

import logging
import os
import stat
import subprocess
import sys
import threading

import pytest

from bifrost.errors import TierError
from bifrost.testing import Clock
from bifrost.tiers import lmdb as lmdb_module
from bifrost.tiers import records, shared_cache
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.store_folder import StoreFolder
from bifrost.tiers.tier import FOREVER, Entry
from bifrost.tiers.write_behind import WriteBehind

KEY = b"r" + b"s" * 16 + b"hero"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(autouse=True)
def warnings_again(monkeypatch):
    """Each thing is told once per process: each test is a new one."""
    monkeypatch.setattr(shared_cache, "_told", set())


@pytest.fixture
def tier(tmp_path, clock):
    with LmdbTier(tmp_path, max_bytes=8 << 20, clock=clock) as tier:
        yield tier


def entry(tier, value=b"v"):
    return Entry(value, FOREVER, 0.0, tier.invalidations.sequence())


def number(i):
    return b"r" + b"s" * 16 + b"%06d" % i


def store_of(tier):
    tier.stats()
    return tier._cache._store


def test_making_a_tier_opens_nothing(tmp_path):
    """A DCC that never asks pays nothing, not even an import."""
    program = (
        "import sys; from bifrost.tiers.lmdb import LmdbTier;"
        f"LmdbTier({str(tmp_path / 'cache')!r}, max_bytes=1 << 20).close();"
        "heavy = {'lmdb', 'logging', 'tempfile', 'cachetools', 'dataclasses', 'hashlib'};"
        "print(heavy & set(sys.modules))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )

    assert "set()" == shown.stdout.strip(), shown.stderr
    assert not (tmp_path / "cache").exists()


def test_folder_and_files_are_ours_alone(tmp_path, tier):
    """0700 and 0600, in a folder for schema and user, behind a pointer."""
    tier.put({KEY: entry(tier)})
    tier.flush()
    root = tmp_path / f"2-{os.geteuid()}"

    assert "store-1" == (root / "CURRENT").read_text().strip()
    assert (root / "store-1/data.mdb").is_file()
    for path in (root, *root.rglob("*")):
        expected = 0o700 if path.is_dir() else 0o600
        assert expected == stat.S_IMODE(path.stat().st_mode), path


def test_entries_outlive_the_process_that_put_them(tmp_path, tier):
    """It is a persistent cache."""
    kept = entry(tier)
    tier.put({KEY: kept})
    tier.close()
    with LmdbTier(tmp_path, max_bytes=8 << 20) as again:
        assert {KEY: kept} == again.get([KEY])


def test_two_tiers_share_one_environment(tmp_path, tier):
    """LMDB's locks break when a process opens a file twice. The last one to leave closes it."""
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    other = LmdbTier(link, max_bytes=1 << 20)
    tier.put({KEY: entry(tier)})

    assert {KEY} == set(other.get([KEY]))
    tier.close()
    assert {} == tier.get([KEY])
    assert {KEY} == set(other.get([KEY]))
    other.close()
    assert not [path for path in lmdb_module._registry if path.startswith(str(tmp_path))]


def test_closing_does_not_wait_for_ever_for_a_transaction(tmp_path, tier, monkeypatch):
    """As closing LMDB's environment would; and letting go of it would break the transaction."""
    monkeypatch.setattr(lmdb_module, "_PATIENCE_S", 0.1)
    tier.put({KEY: entry(tier)})
    tier.flush()
    put_in_force = StoreFolder.put_in_force
    waited = []

    def closed_meanwhile(folder, name):
        closing.start()
        closing.join(20)
        waited.append(closing.is_alive())
        put_in_force(folder, name)

    closing = threading.Thread(target=tier.close)
    monkeypatch.setattr(StoreFolder, "put_in_force", closed_meanwhile)
    tier.compact()
    closing.join()

    assert [False] == waited
    with LmdbTier(tmp_path, max_bytes=8 << 20) as again:
        assert {KEY} == set(again.get([KEY]))


def test_who_is_told_while_it_closes_hears_that_nobody_was(tmp_path, tier, monkeypatch):
    """The file keeps what was to be forgotten, and the next process would serve it."""
    note = WriteBehind.note

    def late(queue, *arguments):
        tier.close()
        return note(queue, *arguments)

    tier.put({KEY: entry(tier)})
    tier.flush()
    monkeypatch.setattr(WriteBehind, "note", late)

    with pytest.raises(TierError, match="closed"):
        tier.invalidations.note_invalidation([b"hero"])


def test_the_bound_holds_and_the_newest_stay(tmp_path, tier):
    """However much is put: the file stays within the bound, and the oldest entries go."""
    made = entry(tier, os.urandom(300))
    for i in range(0, 40_000, 500):
        tier.put({number(j): made for j in range(i, i + 500)})
        tier.flush()
    stats = tier.stats()

    assert 0 < stats["evictions"]
    assert 0 == stats["dropped"]
    assert stats["bytes"] <= 0.9 * stats["max_bytes"]
    assert os.path.getsize(store_of(tier)._data) <= (8 << 20) + (3 << 20)  # a hole at its end
    kept = sorted(tier.get([number(i) for i in range(40_000)]))
    assert kept == [number(i) for i in range(40_000 - len(kept), 40_000)]
    assert 5_000 < len(kept)
    assert {"entries": len(kept), "damaged": 0} == tier.verify()


def test_used_entries_outlive_unused_ones(tier, clock):
    """An entry that was used an hour after it was stored counts as new."""
    made = entry(tier, b"x" * 3000)
    tier.put({number(i): made for i in range(1_200)})
    tier.flush()
    clock.advance(3700)
    used = [number(i) for i in range(100)]
    assert 100 == len(tier.get(used))
    tier.put({number(i): made for i in range(10_000, 10_900)})
    tier.flush()

    assert 0 < tier.stats()["evictions"]
    assert 100 == len(tier.get(used))
    assert 100 > len(tier.get([number(i) for i in range(100, 200)]))


def test_a_huge_value_is_not_kept(tier):
    """One entry must not push out all others. The one it replaces goes, too."""
    tier.put({KEY: entry(tier, b"small")})
    tier.flush()
    tier.put({KEY: entry(tier, b"x" * (2 << 20) + b"x")})
    assert {} == tier.get([KEY])
    tier.flush()
    assert {} == tier.get([KEY])
    tier.put({KEY: entry(tier, b"x" * (2 << 20))})
    tier.flush()

    assert 2 << 20 == len(tier.get([KEY])[KEY].value)
    assert 1 == tier.stats()["dropped"]


def test_the_smallest_cache_works(tmp_path):
    """A silly bound is raised to one that LMDB can live in."""
    with LmdbTier(tmp_path, max_bytes=1) as tier:
        made = entry(tier, b"x" * 200)
        for i in range(0, 10_000, 200):
            tier.put({number(j): made for j in range(i, i + 200)})
            tier.flush()

        assert 1 << 20 == tier.stats()["max_bytes"]
        assert {number(9_999)} == set(tier.get([number(9_999)]))


def test_compaction_keeps_everything(tmp_path, tier):
    """A smaller file, and the old one is gone once nobody has it open."""
    tier.put({number(i): entry(tier, b"x" * 300) for i in range(5_000)})
    tier.flush()
    tier.delete([number(i) for i in range(4_900)])
    number_before = tier.invalidations.note_invalidation([b"004999"])
    tier.compact()
    root = tmp_path / f"2-{os.geteuid()}"

    assert {number(i) for i in range(4_900, 4_999)} == set(
        tier.get([number(i) for i in range(5_000)])
    )
    assert number_before == tier.invalidations.sequence()
    assert "store-2" == (root / "CURRENT").read_text().strip()
    assert os.path.getsize(root / "store-2/data.mdb") < 200_000
    tier.put({KEY: entry(tier)})
    tier.flush()
    assert not (root / "store-1").exists()


def test_verify_finds_damage_and_forgets_it(tier):
    """Every checksum is checked, not only those of entries that somebody asks for."""
    tier.put({number(i): entry(tier, b"x" * 300) for i in range(2_500)})
    tier.flush()
    with store_of(tier).environment.begin(write=True) as txn:
        for i in (3, 1_700):
            record = txn.get(records.physical(number(i)))
            txn.put(record, txn.get(record)[:-1] + b"y")
        txn.delete(txn.get(records.physical(number(2_400))))

    assert {"entries": 2_497, "damaged": 3} == tier.verify()
    assert {"entries": 2_497, "damaged": 0} == tier.verify()


class TestInvalidations:
    """The log that the users of a folder share."""

    def test_it_counts_subjects(self, tier):
        """Each has a number of its own."""
        log = tier.invalidations
        start = log.sequence()

        assert start + 2 == log.note_invalidation([b"hero", b"villain"]) == log.sequence()
        assert start + 2 == log.note_invalidation([])
        assert [b"hero", b"villain"] == log.invalidated_since(start)
        assert [b"villain"] == log.invalidated_since(start + 1)
        assert [] == log.invalidated_since(start + 2)
        assert log.invalidated_since(start + 3) is None
        assert log.invalidated_since(start - 1) is None

    def test_it_outdates_what_is_stored_and_what_is_under_way(self, tier):
        """In all kinds and scopes, before and after a commit."""
        keys = [b"r" + b"1" * 16 + b"hero", b"c" + b"2" * 16 + b"hero"]
        overtaken = entry(tier)
        tier.put({keys[0]: overtaken})
        tier.flush()
        tier.put({keys[1]: overtaken})
        tier.invalidations.note_invalidation([b"hero"])
        assert {} == tier.get(keys)
        tier.put(dict.fromkeys(keys, overtaken))
        assert {} == tier.get(keys)
        tier.flush()
        assert {} == tier.get(keys)
        assert 0 == tier.stats()["entries"]
        tier.put(dict.fromkeys(keys, entry(tier)))
        tier.flush()

        assert set(keys) == set(tier.get(keys))

    def test_it_outlives_the_process_and_a_clearing(self, tmp_path, tier):
        """What is cleared is entries; an answer under way is outdated all the same."""
        overtaken = entry(tier)
        noted = tier.invalidations.note_invalidation([b"hero"])
        tier.delete_prefix(b"")
        tier.close()
        with LmdbTier(tmp_path, max_bytes=8 << 20) as again:
            assert noted == again.invalidations.sequence()
            assert [b"hero"] == again.invalidations.invalidated_since(noted - 1)
            again.put({KEY: overtaken})
            again.flush()
            assert {} == again.get([KEY])

    def test_it_is_bounded(self, tier, monkeypatch):
        """Past the limit everything is invalidated, which is true, if more than was asked for."""
        monkeypatch.setattr(records, "LOG_LIMIT", 10)
        log = tier.invalidations
        start = log.sequence()
        overtaken = entry(tier)
        tier.put({KEY: overtaken, b"short": overtaken})
        for _ in range(4):
            log.note_invalidation([b"a", b"b", b"c"])
        assert log.invalidated_since(start) is None
        assert 10 == len(log.invalidated_since(start + 2))
        assert {KEY} == set(tier.get([KEY]))
        log.note_invalidation([b"%d" % i for i in range(9)])
        assert log.invalidated_since(start + 12) is None
        assert {} == tier.get([KEY])
        tier.put({KEY: overtaken})
        tier.flush()
        assert {} == tier.get([KEY])
        tier.put({KEY: entry(tier)})

        assert {KEY} == set(tier.get([KEY]))

    def test_a_new_store_has_larger_numbers(self, tmp_path, tier):
        """Whoever remembers a number of the old one is told: everything."""
        before = tier.invalidations.note_invalidation([b"hero"])
        overtaken = entry(tier)
        tier.close()
        (tmp_path / f"2-{os.geteuid()}" / "store-1/data.mdb").write_bytes(b"garbage")
        with LmdbTier(tmp_path, max_bytes=8 << 20) as again:
            assert before < again.invalidations.sequence()
            assert again.invalidations.invalidated_since(before) is None
            again.put({KEY: overtaken})
            again.flush()
            assert {} == again.get([KEY])

    def test_damaged_numbers_are_not_believed(self, tier):
        """A floor that nobody can read outdates; a log that nobody can read ends the store."""
        tier.put({KEY: entry(tier)})
        before = tier.invalidations.note_invalidation([b"other"])
        with store_of(tier).environment.begin(write=True) as txn:
            txn.put(records.floor_key(b"hero"), b"\0" * 12)
        assert {} == tier.get([KEY])
        with store_of(tier).environment.begin(write=True) as txn:
            txn.put(records.NUMBERS, txn.get(records.NUMBERS)[:-1] + b"?")

        assert before < tier.invalidations.sequence()
        assert tier.stats()["path"].endswith("store-2")

    def test_a_hole_in_the_log_means_everything(self, tier):
        """An invalidation that is lost would be one that nobody hears of."""
        start = tier.invalidations.sequence()
        tier.invalidations.note_invalidation([b"a", b"b", b"c"])
        with store_of(tier).environment.begin(write=True) as txn:
            txn.delete(records.LOG + (start + 2).to_bytes(8, "big"))

        assert tier.invalidations.invalidated_since(start) is None


class TestNetworkFileSystems:
    """LMDB must not be used there."""

    @pytest.fixture
    def temporary(self, tmp_path, monkeypatch):
        import tempfile

        folder = tmp_path / "tmp"
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        monkeypatch.setattr(lmdb_module, "is_local", lambda path: "net" not in str(path))
        return folder

    def test_a_local_temporary_folder_takes_their_place(self, tmp_path, temporary, caplog):
        """With one warning that names both, however many sessions there are."""
        network = tmp_path / "net" / "cache"
        with caplog.at_level(logging.WARNING):
            for _ in range(2):
                with LmdbTier(network, max_bytes=1 << 20) as tier:
                    tier.put({KEY: entry(tier)})
                    assert {KEY} == set(tier.get([KEY]))
        fallback = temporary / f"bifrost-{os.geteuid()}"

        assert 1 == len(caplog.records)
        assert str(network) in caplog.text
        assert str(fallback) in caplog.text
        assert 0o700 == stat.S_IMODE(fallback.stat().st_mode)
        assert not network.exists()

    def test_a_planted_folder_is_not_used(self, tmp_path, temporary, caplog):
        """Anybody may make a link of that name in a shared temporary folder."""
        (tmp_path / "elsewhere").mkdir()
        (temporary / f"bifrost-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
        with caplog.at_level(logging.WARNING), LmdbTier(tmp_path / "net", max_bytes=1) as tier:
            tier.put({KEY: entry(tier)})
            assert {} == tier.get([KEY])
            assert "bypassed" == tier.stats()["state"]

        assert 1 == len(caplog.records)
        assert [] == os.listdir(tmp_path / "elsewhere")

    def test_no_local_folder_at_all_is_no_cache(self, tmp_path, temporary, caplog, monkeypatch):
        """Better none than a corrupt one."""
        monkeypatch.setattr(lmdb_module, "is_local", lambda _: False)
        with caplog.at_level(logging.WARNING), LmdbTier(tmp_path / "net", max_bytes=1) as tier:
            tier.put({KEY: entry(tier)})
            before = tier.invalidations.sequence()
            assert before + 1 == tier.invalidations.note_invalidation([b"hero"])
            assert [b"hero"] == tier.invalidations.invalidated_since(before)
            assert {} == tier.get([KEY])

        assert 1 == len(caplog.records)
        assert [] == os.listdir(temporary)
