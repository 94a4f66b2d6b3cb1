# SPDX-License-Identifier: Apache-2.0
"""
Runs a check on inputs, as many as are asked for, the same ones for the same seed.

hypothesis makes the first of them, from what the grammar allows, and makes those that break something
small. The rest are mutations of these (mutating.py): some fifty times as many for the time.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.strategies import SearchStrategy
from mutating import Mutator

_MOST_FROM_GRAMMAR: Final = 3_000
_MOST_MUTATED: Final = 1_000
# Judged where there are so many: caches that have a bound are full by then.
_LEAST_TO_JUDGE: Final = 40_000
_PARTS: Final = 20
_MOST_KEPT: Final = 0.02  # objects for each input


def fuzz(
    check: Callable[[Any], None],
    inputs: SearchStrategy[Any],
    count: int,
    seed: int,
    seeds: list[Any] | None = None,
    *,
    forget: Callable[[], object] = lambda: None,
) -> None:
    """
    Call *check* with *seeds*, and with *count* more: *inputs*, and mutations of all of these.

    *forget* is called before objects are counted: it empties a cache that has a bound, and is not
    full by then.

    Raises:
        AssertionError: objects stay behind, more with every input.
        Exception: whatever *check* raises; a note says the input and the seed.
    """
    met: list[Any] = list(seeds or ())
    for value in met:
        _try(check, deepcopy(value), seed)
    from_grammar = min(count, max(count // 4, 100), _MOST_FROM_GRAMMAR)
    _generated(check, inputs, from_grammar, seed, met)
    _mutated(check, met, count - from_grammar, seed, forget)
    print(f"{count} inputs, {from_grammar} of them from the grammar")


def _generated(
    check: Callable[[Any], None], inputs: SearchStrategy[Any], count: int, seed: int, met: list[Any]
) -> None:
    @seeded(seed)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    @given(inputs)
    def tried(value: Any) -> None:
        if len(met) < _MOST_MUTATED:
            met.append(deepcopy(value))
        _try(check, value, seed)

    tried()


def _mutated(
    check: Callable[[Any], None],
    met: list[Any],
    count: int,
    seed: int,
    forget: Callable[[], object],
) -> None:
    mutator = Mutator(met, Random(seed))
    held: list[int] = []
    for number in range(count):
        if number % max(1, count // _PARTS) == 0:
            held.append(_allocated(forget))
        _try(check, mutator.next(), seed)
    if count >= _LEAST_TO_JUDGE:
        begin = len(held) * 3 // 4
        kept = (_allocated(forget) - held[begin]) / (count * (1 - begin / len(held)))
        assert kept < _MOST_KEPT, (
            f"--seed {seed}: {kept:.3f} objects stay for each input; there were {held}"
        )


def _allocated(forget: Callable[[], object]) -> int:
    forget()
    gc.collect()
    return sys.getallocatedblocks()


def _try(check: Callable[[Any], None], value: Any, seed: int) -> None:
    try:
        check(value)
    except BaseException as error:
        error.add_note(f"of {value!r:.2000} (--seed {seed})")
        raise
