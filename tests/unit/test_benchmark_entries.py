# SPDX-License-Identifier: Apache-2.0
"""What the benchmark measures of a cache with many entries is what it says, on a few."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("lmdb")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
ENTRIES = 20_000


@pytest.fixture
def fill(monkeypatch, tmp_path: Path):
    """Fill a tier of that many bytes, in this process."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from entries_child import fill_entries

    yield lambda max_bytes: fill_entries(
        folder=str(tmp_path / "cache"), entries=ENTRIES, max_bytes=max_bytes, seed=1
    )
    sys.modules.pop("entries_child", None)


def test_with_room_for_all_nothing_is_missing(fill) -> None:
    """
    All entries are there at the end, and on the way every one that was looked up.
    """
    found = fill(64_000_000)

    assert ENTRIES == found["stats"]["entries"] == found["looks"][-1]["put"]
    assert {0} == {look["missing"] for look in found["looks"]}


def test_past_its_bound_the_file_stays_within_it_and_the_newest_are_there(fill) -> None:
    """
    The oldest have gone.
    """
    bound = 4_000_000

    found = fill(bound)

    assert 0 < found["stats"]["entries"] < ENTRIES
    assert bound >= max(look["bytes"] for look in found["looks"])
