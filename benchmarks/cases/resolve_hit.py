# SPDX-License-Identifier: Apache-2.0
"""One Resolve that the table answers, in C++, with the root's context bound."""

from __future__ import annotations

from typing import Any

import measure
from bench import PLAIN, Bench, Reach, Row, Subject
from measure import Estimate, Side

_EACH = 400_000
_ROUNDS = 7
_ONE = Reach(
    0.3,
    why="0.26 us where a core is its own; what other programs take of the processor's cache is added",
)
_TWO = Reach(
    1.8,
    at_least=True,
    why="the table shares no lock between readers, and processor time a Resolve stays as it is: two "
    "threads of a virtual machine whose cores are others', too, are not twice one",
)


def rows(bench: Bench, subject: Subject) -> list[Row]:
    """Measure it on one thread and on two."""
    sides = (_plain(bench, subject), _bifrost(bench, subject))
    samples = bench.take_turns("resolve_loop", sides, 2 if bench.is_quick else 5)
    ours, plain = samples["bifrost"], samples[PLAIN]
    one, two = _seconds(ours, "1"), _seconds(ours, "2")
    cpu_one, cpu_two = (
        _seconds(ours, "1", "per_resolve_cpu_s"),
        _seconds(ours, "2", "per_resolve_cpu_s"),
    )
    plain_one, plain_two = _seconds(plain, "1"), _seconds(plain, "2")
    details = {
        "references": len(subject.own.references),
        "2 threads, wall per Resolve, us": 1e6 * Estimate.of(two).median,
        "processor time per Resolve, 2 threads to 1, x": measure.ratio(cpu_two, cpu_one).median,
        "ArDefaultResolver on absolute paths, 1 thread, us": 1e6 * Estimate.of(plain_one).median,
        "ArDefaultResolver, 2 threads to 1, x": measure.ratio(plain_one, plain_two).median,
    }
    return [
        Row(
            f"one Resolve, table hit, 1 thread ({subject.name})",
            _ONE,
            Estimate.of(one).scaled(1e6),
            "us",
            details=details,
        ),
        Row(
            f"one Resolve, table hit: throughput of 2 threads to 1 ({subject.name})",
            _TWO,
            measure.ratio(one, two),
            "x",
        ),
    ]


def _seconds(
    samples: list[measure.Sample], threads: str, what: str = "per_resolve_s"
) -> list[float]:
    return [took for sample in samples for took in sample[what][threads]]


def _bifrost(bench: Bench, subject: Subject) -> Side:
    own = subject.own
    arguments = _arguments(bench, str(own.root), "bifrost", list(own.references), _EACH)
    return Side("bifrost", arguments, own.environment)


def _plain(bench: Bench, subject: Subject) -> Side:
    root = subject.plain_root
    layers = [str(path) for path in root.parent.rglob("*.usd*")]
    return Side(PLAIN, _arguments(bench, str(root), "plain", layers, _EACH // 10))


def _arguments(
    bench: Bench, root: str, side: str, references: list[str], each: int
) -> dict[str, Any]:
    return {
        "root": root,
        "side": side,
        "references": references,
        "library": str(bench.native.resolve_loop),
        "each": each,
        "rounds": _ROUNDS,
    }
