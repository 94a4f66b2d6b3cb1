# SPDX-License-Identifier: Apache-2.0
"""All of a library in one batch call, from each tier of the cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import measure
from bench import Bench, Reach, Row
from library import Library
from measure import Estimate, Sample, Side

from bifrost.testing.redis import RedisServer

_MEMORY = Reach(
    200_000, at_least=True, why="half of a hit is the `Path` that is returned: the machine was slow"
)
_LMDB = Reach(
    120_000,
    at_least=True,
    why="of 14 us a hit five are the two look-ups, four the `Path`, two the envelope's checksum, three "
    "garbage collection",
)
_SERVED = Reach(
    60_000, at_least=True, why="as from LMDB, and Redis' reply read and taken apart besides"
)


def rows(bench: Bench, library: Library) -> list[Row]:
    """Measure memory and LMDB in the same processes, Redis alone in others."""
    return [*_local(bench, library), *_redis(bench, library)]


def _local(bench: Bench, library: Library) -> list[Row]:
    environment = library.environment("caches")
    bench.say("filling LMDB")
    filled = measure.run("fill", _side("fill", library, environment, 3))
    look_up = _side("LMDB warm", library, environment, 3 if bench.is_quick else 5)
    signed = _signed(bench, library, look_up.arguments["times"])
    taken = bench.take_turns("look_up", [look_up, signed], _turns(bench, 7))
    samples = taken[look_up.name]
    for each in (samples, taken[signed.name]):
        _only(each, "lmdb", "tiers_first")
    _only(samples, "memory", "tiers")
    in_first = [library.size / taken["wall_s"] for taken in filled["again"]]
    return [
        _row(
            f"{library.size:,} references, warm memory",
            _MEMORY,
            [_again(sample, "wall_s") for sample in samples],
            library,
            {
                **_details(samples, library, [_again(sample, "cpu_s") for sample in samples]),
                "in the process that filled it, a second": [round(rate) for rate in in_first],
            },
        ),
        _row(
            "the same, LMDB warm, first call of a process",
            _LMDB,
            measure.values(samples, "first", "wall_s"),
            library,
            _details(samples, library, measure.values(samples, "first", "cpu_s")),
        ),
        _row(
            "the same, each entry's signature verified (`cache.key_file`)",
            None,
            measure.values(taken[signed.name], "first", "wall_s"),
            library,
            _details(
                taken[signed.name],
                library,
                measure.values(taken[signed.name], "first", "cpu_s"),
            ),
        ),
    ]


def _signed(bench: Bench, library: Library, times: int) -> Side:
    """Return the side whose cache on disk is signed, once it is filled."""
    key = library.folder / "cache_key"
    key.write_text("benchmark" * 8)
    key.chmod(0o600)
    environment = library.environment("signed", settings={"CACHE__KEY_FILE": str(key)})
    bench.say("filling LMDB with signed entries")
    measure.run("fill", _side("fill", library, environment, 0))
    return _side("LMDB warm, signed", library, environment, times)


def _redis(bench: Bench, library: Library) -> list[Row]:
    with RedisServer() as server:
        only = {
            "CACHE__MEMORY_BYTES": 0,
            "CACHE__DISK_BYTES": 0,
            "CACHE__DISTRIBUTED_URL": server.url,
        }
        environment = library.environment("redis", settings=only)
        bench.say("filling Redis")
        measure.run("fill", _side("fill", library, environment, 0))
        look_up = _side("Redis only", library, environment, 2 if bench.is_quick else 3)
        samples = bench.take_turns("look_up", [look_up], _turns(bench, 5))[look_up.name]
    again = [_again(sample, "cpu_s") for sample in samples]
    return [
        _row(
            "the same, Redis only",
            _SERVED,
            [_again(sample, "wall_s") for sample in samples],
            library,
            {**_details(samples, library, again), "asked of the manager": _missed(samples)},
        ),
        _row(
            "the same, Redis only, first call of a process",
            None,
            measure.values(samples, "first", "wall_s"),
            library,
            _details(samples, library, measure.values(samples, "first", "cpu_s")),
        ),
    ]


def _side(name: str, library: Library, environment: dict[str, str], times: int) -> Side:
    arguments = {"folder": str(library.folder), "size": library.size, "times": times}
    return Side(name, arguments, environment)


def _turns(bench: Bench, most: int) -> int:
    return 1 if bench.is_quick else min(bench.turns, most)


def _again(sample: Sample, what: str) -> float:
    """Return what the calls after the first one took, as a rule."""
    return Estimate.of([taken[what] for taken in sample["again"]]).median


def _only(samples: Sequence[Sample], tier: str, when: str) -> None:
    """
    See to it that *tier* had everything.

    Raises:
        ChildFailed: it had not: something else was measured.
    """
    for sample in samples:
        counts = sample[when][tier]
        if sample["asked_of_manager"] or counts["evictions"] or not counts["hits"]:
            raise measure.ChildFailed(f"{tier} did not have everything: {counts}")


def _missed(samples: Sequence[Sample]) -> list[int]:
    # A server that does not answer within its 80 ms is passed over: on a busy machine that shows here.
    return [sample["asked_of_manager"] for sample in samples]


def _row(
    what: str,
    reach: Reach | None,
    seconds: Sequence[float],
    library: Library,
    details: dict[str, Any],
) -> Row:
    rates = Estimate.of([library.size / each for each in seconds])
    return Row(what, reach, rates, "/s", details=details)


def _details(samples: Sequence[Sample], library: Library, cpu_s: Sequence[float]) -> dict[str, Any]:
    paths = [
        Estimate.of([taken["cpu_s"] for taken in sample["paths"]]).median for sample in samples
    ]
    each = Estimate.of(cpu_s).median
    return {
        "a second of processor time": Estimate.of([library.size / taken for taken in cpu_s]).median,
        "processor time for each, us": 1e6 * each / library.size,
        "the same for `Path(text)` alone, us": 1e6 * Estimate.of(paths).median / library.size,
        "processor time to that of `Path(text)` alone, x": measure.ratio(cpu_s, paths).median,
    }
