# SPDX-License-Identifier: Apache-2.0
"""What the measured processes of the pipeline share: a host, and its calls timed and checked."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from library import location, reference

Taken = dict[str, float]
"""What something took: `wall_s` by the clock, `cpu_s` of the processor, for all threads of the process."""

PATIENCE_S: Final = 60.0
"""Seconds after which what is waited for won't come."""


def new_host() -> Any:
    """Return a host whose session nobody has used. Its modules are imported, and nothing is opened."""
    from bifrost.host import BifrostHostInterface

    return BifrostHostInterface()


def asked(host: Any, folder: str, size: int, seed: int | None = None) -> Taken:
    """Return what it takes to resolve assets 0 to *size*, shuffled; all answers must be right."""
    order = list(range(size))
    if seed is not None:
        random.Random(seed).shuffle(order)
    texts = [reference(index) for index in order]
    paths: list[Path] = []
    taken = timed(lambda: paths.extend(host.resolve_asset_paths(texts)))
    expected = [location(folder, index) for index in order]
    expect([str(path) for path in paths] == expected, "every answer is right")
    return taken


def timed(call: Callable[[], object], finish: Callable[[], object] | None = None) -> Taken:
    """Return what *call* took; its processor time is counted until *finish* is over, too."""
    start, cpu = time.perf_counter(), time.process_time()
    call()
    took = time.perf_counter() - start
    if finish is not None:
        finish()
    return {"wall_s": took, "cpu_s": time.process_time() - cpu}


def turned(sides: Mapping[str, Any], turn: int) -> tuple[str, ...]:
    """Return the names of *sides* in the order of this *turn*."""
    names = tuple(sides)
    first = turn % len(names)
    return (*names[first:], *names[:first])


def flush(host: Any) -> None:
    """Wait until everything is stored."""
    from bifrost.errors import TierError

    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            host.session.tiers.flush()
        except TierError:
            expect(time.monotonic() < until, "the caches can be flushed")
        else:
            return


def tier_counts(host: Any) -> dict[str, dict[str, float]]:
    """Return what each tier of the cache was asked for, and what it holds."""
    tiers = host.get_cache_stats()["tiers"]
    wanted = ("hits", "misses", "entries", "bytes", "evictions", "errors")
    return {name: {key: stats[key] for key in wanted} for name, stats in tiers.items()}


def expect(is_so: bool, what: str) -> None:
    """End the process with an error unless *what* is so."""
    if not is_so:
        raise SystemExit(f"expected: {what}")
