# SPDX-License-Identifier: Apache-2.0
"""Mutations of values: texts, bytes, numbers, and lists and dictionaries of them, to any depth."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any, Final

_NUMBERS: Final = (
    0, 1, -1, 2**31, 2**53, 2**63 - 1, 2**63, -(2**63), 2**64, 10**400, 0.5, -0.0, 1e308,
    float("inf"), float("nan"),
)  # fmt: skip
_ODD: Final = (
    None,
    True,
    False,
    "",
    b"",
    [],
    {},
    "\0",
    "\ud800",
    "\U0001f600",
    "é",
    "%",
    *_NUMBERS,
)
_PIECES: Final = (
    "\0", "\n", " ", "%", "%00", "%2F", "..", "/", "\\", '"', "'", ";", "=", "&", "?", "#", "$", "{",
    "[", "]", "}", ":", ",", "\ud800", "\U0001f600", "İ", "٣", "-", "1e999", "9" * 30, "a" * 600,
)  # fmt: skip
_LONGEST: Final = 20_000
_MOST_STEPS: Final = 4


class Mutator:
    """Makes values of those that are *known*, by *random* alone."""

    def __init__(self, known: Sequence[Any], random: Random) -> None:
        self._known = list(known)
        self._random = random
        parts = [part for value in known for part in _parts(value)]
        self._texts = [part for part in parts if isinstance(part, str) and part] or ["a"]
        self._bytes = [part for part in parts if isinstance(part, bytes) and part] or [b"a"]

    def next(self) -> Any:
        """Return a mutation of one of the values, which stays as it is."""
        value = deepcopy(self._random.choice(self._known))
        for _ in range(self._random.randint(1, _MOST_STEPS)):
            value = self._mutated(value)
        return value

    def _mutated(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._spliced(value, self._texts, self._random.choice(_PIECES))
        if isinstance(value, bytes):
            piece = self._random.randbytes(self._random.choice((1, 1, 1, 2, 4, 8)))
            return self._spliced(value, self._bytes, piece)
        if isinstance(value, list) and value:
            return self._list(value)
        if isinstance(value, tuple) and value:
            return tuple(self._kept(list(value)))
        if isinstance(value, dict) and value:
            return self._dict(value)
        return self._random.choice(_ODD)

    def _spliced(self, value: Any, others: list[Any], piece: Any) -> Any:
        random = self._random
        begin = random.randint(0, len(value))
        end = min(len(value), begin + random.choice((0, 0, 1, 1, 2, 8, 32)))
        other = random.choice(others)
        cut = random.randint(0, len(other))
        middle = random.choice((piece, piece, value[:0], value[begin:end] * 2, other[cut:], other))
        return (value[:begin] + middle + value[end:])[:_LONGEST]

    def _list(self, value: list[Any]) -> list[Any]:
        at = self._random.randrange(len(value))
        kind = self._random.randrange(8)
        if kind == 0:
            del value[at]
        elif kind == 1:
            value.insert(at, deepcopy(value[self._random.randrange(len(value))]))
        else:
            return self._kept(value)
        return value

    def _kept(self, value: list[Any]) -> list[Any]:
        """Return *value*, as long as it was, with another element."""
        at = self._random.randrange(len(value))
        value[at] = self._other(value[at])
        return value

    def _dict(self, value: dict[Any, Any]) -> dict[Any, Any]:
        key = self._random.choice(list(value))
        kind = self._random.randrange(8)
        if kind == 0:
            del value[key]
        elif kind == 1 and isinstance(key, str):
            value[self._mutated(key)] = value.pop(key)
        elif kind == 2 and isinstance(key, str):
            value[self._random.choice(self._texts)] = deepcopy(value[key])
        else:
            value[key] = self._other(value[key])
        return value

    def _other(self, value: Any) -> Any:
        kind = self._random.randrange(12)
        if kind == 0:
            return self._random.choice(_ODD)
        if kind == 1:
            part = self._random.choice(list(_parts(self._random.choice(self._known))))
            return deepcopy(part)
        if kind == 2:
            return [value]
        return self._mutated(value)


def _parts(value: Any) -> Sequence[Any]:
    """Return *value* and everything in it, keys too."""
    if isinstance(value, dict):
        return [value, *value, *(part for each in value.values() for part in _parts(each))]
    if isinstance(value, (list, tuple)):
        return [value, *(part for each in value for part in _parts(each))]
    return [value]
