# SPDX-License-Identifier: Apache-2.0
"""
Metadata between JSON and OpenAssetIO, whose property values are bool, int, float and str.

Objects become dotted keys; what has no type of its own there (lists, null, huge numbers) is JSON in a
text, and the types tell it from a text that only looks like that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Value = bool | int | float | str

_MAX_INTEGER: Final = 2**63


def flat(metadata: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Value, str]]:
    """
    Yield the key, the value and the type of everything in *metadata*, in its order.

    Types are `text`, `number`, `boolean`, `null`, `list`, and `object` for an empty one.
    """
    for key, value in metadata.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from flat(value, f"{path}.")
        else:
            yield path, *_plain(value)


def _plain(value: Any) -> tuple[Value, str]:
    if isinstance(value, str):
        return value, "text"
    if isinstance(value, bool):
        return value, "boolean"
    if isinstance(value, (int, float)):
        # OpenAssetIO makes True of a number that has no 64 bits.
        fits = isinstance(value, float) or -_MAX_INTEGER <= value < _MAX_INTEGER
        return (value if fits else str(value)), "number"
    kinds = {type(None): "null", dict: "object"}
    return json.dumps(value, ensure_ascii=False), kinds.get(type(value), "list")


def nested(values: Iterable[tuple[str, Value]], types: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the metadata whose dotted keys are *values*; the opposite of `flat`.

    A text is read as JSON only where *types* says that it is no text.

    Raises:
        ValueError: a key is below another that has a value of its own, or a text is not of its type.
    """
    metadata: dict[str, Any] = {}
    for path, value in values:
        *outer, key = path.split(".")
        place = metadata
        for step in outer:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise ValueError(f"{path!r}: {step!r} has a value of its own")  # noqa: TRY004  it is what it says
        if key in place:
            raise ValueError(f"{path!r}: it has keys below it")
        place[key] = _typed(path, value, types.get(path, "text"))
    return metadata


_KINDS: Final[dict[str, Any]] = {
    "list": list,
    "null": type(None),
    "object": dict,
    "number": (int, float),
    "boolean": bool,
}


def _typed(path: str, value: Value, kind: str) -> Any:
    if not isinstance(value, str) or kind not in _KINDS:
        return value
    try:
        read = json.loads(value)
    except (ValueError, RecursionError):
        read = value
    if isinstance(read, str) or not isinstance(read, _KINDS[kind]):
        raise ValueError(f"{path!r}: expected {kind} as JSON, got {value[:80]!r}")  # noqa: TRY004
    return read
