# SPDX-License-Identifier: Apache-2.0
"""
LMDB filled with millions of entries of the size that resolutions have, in a process that `child.py` starts.

Keys and values are made of the entry's number, so that each that comes back can be checked.
"""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path
from typing import Any, Final

from bifrost.errors import TierError
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.tier import FOREVER, Entry

_PART: Final = 10_000
_LOOKS: Final = 20
_ASKED: Final = 1_000
_NEWEST: Final = 10_000
_PATIENCE_S: Final = 300.0


def fill_entries(*, folder: str, entries: int, max_bytes: int, seed: int) -> dict[str, Any]:
    """
    Put *entries* into a tier of *max_bytes*, flushed part by part.

    `looks` are made at each twentieth: entries put and kept, the file's bytes, what a look-up of one of the
    newest took, and how many of those were missing. Whatever comes back is right, or the process ends.
    """
    rng = random.Random(seed)
    with LmdbTier(folder, max_bytes=max_bytes) as tier:
        looks = [_look(tier, folder, 0, rng)]
        for start in range(0, entries, _PART):
            stop = min(start + _PART, entries)
            began = time.perf_counter()
            tier.put({key(number): _entry(number) for number in range(start, stop)})
            _flush(tier)
            took = time.perf_counter() - began
            if stop * _LOOKS // entries > start * _LOOKS // entries:
                looks.append({**_look(tier, folder, stop, rng), "put_s": took / (stop - start)})
        stats = tier.stats()
    return {"looks": looks, "stats": {name: stats[name] for name in ("entries", "bytes", "state")}}


def key(number: int) -> bytes:
    """Return the key of entry *number*: a kind, a scope, and a reference that is its subject."""
    return b"r" + b"s" * 16 + f"bifrost:///assets/show_{number % 97:02}_asset_{number:08}".encode()


def value(number: int) -> bytes:
    """Return the bytes of entry *number*, as many as a resolution has."""
    text = f"/shows/show_{number % 97:02}/assets/asset_{number:08}/v0003/asset_{number:08}.usd|"
    return text.encode() + hashlib.sha256(str(number).encode()).digest()


def _entry(number: int) -> Entry:
    return Entry(value(number), FOREVER, time.time())


def _look(tier: LmdbTier, folder: str, put: int, rng: random.Random) -> dict[str, Any]:
    # Of the newest: where the bound is reached, the oldest have gone.
    newest = range(max(0, put - _NEWEST), put)
    asked = rng.sample(newest, min(_ASKED, len(newest)))
    began = time.perf_counter()
    found = [tier.get([key(number)]).get(key(number)) for number in asked]
    took = time.perf_counter() - began
    for number, entry in zip(asked, found, strict=True):
        if entry is not None and entry.value != value(number):
            raise SystemExit(f"entry {number} is not what was put")
    return {
        "put": put,
        "entries": tier.stats()["entries"],
        "bytes": file_bytes(folder),
        "get_s": took / max(1, len(asked)),
        "missing": sum(entry is None for entry in found),
    }


def file_bytes(folder: str) -> int:
    """Return the bytes that the files under *folder* take on the disk."""
    files = [path.stat() for path in Path(folder).rglob("*") if path.is_file()]
    return sum(found.st_blocks * 512 for found in files)


def _flush(tier: LmdbTier) -> None:
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            tier.flush()
        except TierError:  # a busy disk
            if time.monotonic() > until:
                raise
        else:
            return


PROGRAMS: Final = {fill_entries.__name__: fill_entries}
