# SPDX-License-Identifier: Apache-2.0
"""
What is measured of the pipeline, each in a process of its own that `child.py` starts.

What can be compared takes turns within one process, the order turning round by one each time.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import invalidation_child
import monitoring_child
from asking import Taken, asked, expect, flush, new_host, tier_counts, timed, turned
from library import location, reference

_LOOKS: Final = 200
"""How often a stream's memory is looked at."""


def fill(*, folder: str, size: int, times: int) -> dict[str, Any]:
    """Ask for all of the library once, then *times* again in other orders; leave the caches full."""
    host = new_host()
    host.initialize()
    gc.freeze()  # a library of 100,000 dictionaries is BAL's way, and none of what is measured
    first = asked(host, folder, size)
    again = [asked(host, folder, size, seed=turn) for turn in range(times)]
    flush(host)
    result = {"first": first, "again": again, "tiers": tier_counts(host)}
    host.session.close()
    return result


def look_up(*, folder: str, size: int, times: int) -> dict[str, Any]:
    """
    Ask for all of the library in another order each time; the caches know it.

    `first` is the first call of a process whose imports are done: it opens or connects whatever there is.
    `paths` is what making as many paths takes, with nothing else: the machine's measure.
    """
    host = new_host()
    first = asked(host, folder, size, seed=-1)
    found = tier_counts(host)
    again = [asked(host, folder, size, seed=turn) for turn in range(times)]
    texts = [location(folder, index) for index in range(size)]
    paths = [timed(lambda: [Path(text) for text in texts]) for _ in range(3)]
    result = {"first": first, "again": again, "paths": paths}
    result["tiers_first"], result["tiers"] = found, tier_counts(host)
    result["asked_of_manager"] = host.get_cache_stats()["misses"]
    host.session.close()
    return result


def cold_batch(*, folder: str, size: int, ones: int) -> dict[str, Any]:
    """Ask for *size* references in one call, and for *ones* others one at a time. Nothing is cached."""
    host = new_host()
    host.initialize()
    gc.freeze()
    texts = [reference(index) for index in range(size, size + ones)]
    start = time.perf_counter()
    for text in texts:
        host.resolve_asset_path(text)
    took = time.perf_counter() - start
    batch = asked(host, folder, size)
    stats = host.session.stats()["manager"]
    return {"each_s": took / ones, "batch": batch, "manager": stats}


def overhead(*, folder: str, rounds: int, each: int) -> dict[str, Any]:
    """
    Resolve *each* references that no cache knows: by the manager alone, and through all of ours.

    `bare` is the call with references that are made, and a callback that keeps the answers; `used` makes
    the references before and reads the locations after. Processor time includes writing the caches.
    """
    host = new_host()
    host.initialize()
    gc.freeze()
    manager = _Bare(host.session.assetio_manager().manager())
    indices = iter(range((rounds + 1) * 4 * each))
    taken: dict[str, list[Taken]] = {}
    for turn in range(rounds + 1):
        sides = {}
        for name in ("bare", "used", "session", "host"):
            texts = [reference(next(indices)) for _ in range(each)]
            sides[name] = _side(name, texts, manager, host)
        for name in turned(sides, turn):
            gc.collect()
            found = timed(sides[name], lambda: flush(host))
            if turn:  # the first one warms up
                taken.setdefault(name, []).append(found)
    outcomes = host.session.resolve([reference(0)]).outcomes
    expect(outcomes[0].path == location(folder, 0), "it resolves")
    return dict(taken)


def _side(name: str, texts: list[str], manager: _Bare, host: Any) -> Callable[[], object]:
    references = manager.references(texts)
    return {
        "bare": lambda: manager.resolve(references),
        "used": lambda: manager.locations(texts),
        "session": lambda: host.session.resolve(texts),
        "host": lambda: host.resolve_asset_paths(texts),
    }[name]


class _Bare:
    """A manager as any OpenAssetIO host uses it, asked for the traits that we ask for."""

    def __init__(self, manager: Any) -> None:
        from openassetio.access import ResolveAccess
        from openassetio_mediacreation.traits.content import LocatableContentTrait_v1

        from bifrost.assetio import _RESOLVED_TRAITS

        self._manager = manager
        self._traits = set(_RESOLVED_TRAITS)
        self._access = ResolveAccess.kRead
        self._context = manager.createContext()
        self._located = LocatableContentTrait_v1.kId

    def references(self, texts: Sequence[str]) -> list[Any]:
        """Return *texts* as OpenAssetIO's references."""
        return [self._manager.createEntityReferenceIfValid(text) for text in texts]

    def resolve(self, references: list[Any]) -> dict[int, Any]:
        """Return what the manager says, by place."""
        answers: dict[int, Any] = {}
        errors: list[Any] = []
        self._manager.resolve(
            references,
            self._traits,
            self._access,
            self._context,
            answers.__setitem__,
            lambda _, error: errors.append(error),
        )
        expect(len(answers) == len(references) and not errors, "the manager answers")
        return answers

    def locations(self, texts: Sequence[str]) -> list[str]:
        """Return the locations of *texts*."""
        answers = self.resolve(self.references(texts))
        return [
            answers[index].getTraitProperty(self._located, "location")
            for index in range(len(texts))
        ]


def stream(*, folder: str, size: int, count: int) -> dict[str, Any]:
    """Stream *count* references through the host: those of the library over and over, caches warm."""
    return _streamed(new_host(), (reference(index % size) for index in range(count)), count)


def stream_distinct(*, count: int) -> dict[str, Any]:
    """Stream *count* references that are all different, through a manager that knows any."""
    from bifrost.testing.managers import PREFIX

    host = new_host()
    host.initialize()
    names = (f"{PREFIX}seq/frame_{index:08}.<UDIM>.exr" for index in range(count))
    return _streamed(host, names, count)


def _streamed(host: Any, references: Iterator[str], count: int) -> dict[str, Any]:
    gc.collect()
    start, began = _Memory.now(), time.perf_counter()
    seen = [start]
    done = 0
    for done, _ in enumerate(host.iter_resolve_asset_paths(references), 1):
        if done % max(1, count // _LOOKS) == 0:
            seen.append(_Memory.now())
    took = time.perf_counter() - began
    expect(done == count, f"{count} answers, not {done}")
    result = {
        "start_bytes": start.resident,
        "resident_bytes": max(each.resident for each in seen) - start.resident,
        "anonymous_bytes": max(each.anonymous for each in seen) - start.anonymous,
        "resident_at": [each.resident for each in seen[:: _LOOKS // 10]],
        "took_s": took,
        "tiers": tier_counts(host),
    }
    host.session.close()
    return result


class _Memory(NamedTuple):
    """Bytes of this process: all, and those that are no file's."""

    resident: int
    anonymous: int

    @classmethod
    def now(cls) -> _Memory:
        found = {}
        for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            found[name] = 1024 * int(rest.split()[0])
        return cls(found["Rss"], found["Anonymous"])


PROGRAMS: Final[dict[str, Callable[..., Any]]] = {
    function.__name__: function
    for function in (
        fill,
        look_up,
        cold_batch,
        overhead,
        stream,
        stream_distinct,
        monitoring_child.monitored,
        monitoring_child.traced,
        monitoring_child.scrape,
        invalidation_child.invalidate,
        invalidation_child.hear,
    )
}
