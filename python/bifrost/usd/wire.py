# SPDX-License-Identifier: Apache-2.0
"""
The bytes in which the bridge answers the C++ resolver, and in which closures are recorded.

Little-endian, packed. The reader in C++ is resolver/wire.cpp.

| part | bytes |
|---|---|
| `BFW2` | 4 |
| tier that served all of it (0: each answer says its own) | 1 |
| 1 where the answers are everything that will be asked for | 1 |
| microseconds that each answer cost, if the tier above is not 0 | 4, float |
| count | 4 |
| then, for each answer: tier, flags (1 immutable, 2 templated, 4 failed) | 1, 1 |
| modification time of the file, time to ask again: seconds since the epoch | 8, 8, doubles |
| microseconds | 4, float |
| identifier, path (or message), name, version, manager (or failure code): length, UTF-8 | 4 + n each |
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any, Final

from bifrost.errors import Code
from bifrost.model.reply import Failure
from bifrost.model.resolution import Resolution

_MAGIC: Final = b"BFW2"
_HEADER: Final = struct.Struct("<4sBBfI")
_FIXED: Final = struct.Struct("<BBddf")
_LENGTH: Final = struct.Struct("<I")
_TEXTS: Final = 5

# The values of `Tier` in resolver/resolution_table.h; a test compares them.
TIERS: Final = {
    "manager": 1,
    "memory": 2,
    "lmdb": 3,
    "redis": 4,
    "stale": 5,
    "pins": 6,
    "fallback": 7,
}
_TIER_NAMES: Final = {number: name for name, number in TIERS.items()}
_IMMUTABLE: Final = 1
_TEMPLATED: Final = 2
_FAILED: Final = 4


def encode(
    answers: Iterable[tuple[str, Any]],
    *,
    microseconds: float = 0.0,
    failure_expires: float = 0.0,
    is_complete: bool = False,
) -> bytes:
    """
    Return the bytes for (identifier, `Resolution` or `Failure`) pairs.

    Args:
        answers: What to tell C++.
        microseconds: What each of them cost.
        failure_expires: Until when failures are believed, in seconds since the epoch.
        is_complete: Whether these are everything that will be asked for.
    """
    chunks: list[bytes] = [b""]
    count = 0
    for identifier, outcome in answers:
        count += 1
        if isinstance(outcome, Failure):
            chunks.append(_FIXED.pack(0, _FAILED, 0.0, failure_expires, microseconds))
            texts = (identifier, outcome.message, "", "", outcome.code.value)
        else:
            _, path, name, version, immutable, templated, modified, manager, tier, expires = outcome
            flags = _IMMUTABLE * immutable | _TEMPLATED * templated
            chunks.append(_FIXED.pack(TIERS.get(tier, 0), flags, modified, expires, microseconds))
            texts = (identifier, path, name, version, manager)
        for text in texts:
            data = text.encode("utf-8", "surrogateescape")
            chunks += (_LENGTH.pack(len(data)), data)
    chunks[0] = _HEADER.pack(_MAGIC, 0, is_complete, 0.0, count)
    return b"".join(chunks)


def served_by(data: bytes, tier: str, microseconds: float, *, is_complete: bool) -> bytes:
    """Return *data* marked as served by *tier*, each answer at *microseconds*, without reading it."""
    header = _HEADER.pack(_MAGIC, TIERS[tier], is_complete, microseconds, count(data))
    return header + memoryview(data)[_HEADER.size :]


def count(data: bytes) -> int:
    """
    Return how many answers *data* holds.

    Raises:
        ValueError: it is of another format.
    """
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        raise ValueError("not the bridge's format")
    number: int = _HEADER.unpack_from(data)[4]
    return number


def mentions(data: bytes, identifier: str) -> bool:
    """Whether *data* has an answer for *identifier*: a search of its bytes, not a reading of it."""
    text = identifier.encode("utf-8", "surrogateescape")
    return _LENGTH.pack(len(text)) + text in data


def decode(data: bytes) -> Iterator[tuple[str, Any]]:
    """
    Yield the (identifier, `Resolution` or `Failure`) pairs that *data* holds.

    Raises:
        ValueError: it is of another format, or damaged.
    """
    try:
        number = count(data)
        at = _HEADER.size
        for _ in range(number):
            tier, flags, modified, expires, _ = _FIXED.unpack_from(data, at)
            texts, at = _texts(data, at + _FIXED.size)
            yield texts[0], _outcome(texts, tier, flags, modified, expires)
        if at != len(data):
            raise ValueError("damaged: bytes are left over")
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError(f"damaged: {error}") from error


def _texts(data: bytes, at: int) -> tuple[list[str], int]:
    texts = []
    for _ in range(_TEXTS):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if at + length > len(data):
            raise ValueError("damaged: a text is cut short")
        texts.append(data[at : at + length].decode("utf-8", "surrogateescape"))
        at += length
    return texts, at


def _outcome(texts: list[str], tier: int, flags: int, modified: float, expires: float) -> Any:
    identifier, path, name, version, manager = texts
    if flags & _FAILED:
        return Failure(Code(manager), path)
    return Resolution(
        identifier,
        path,
        name,
        version,
        bool(flags & _IMMUTABLE),
        bool(flags & _TEMPLATED),
        modified,
        manager,
        _TIER_NAMES.get(tier, ""),
        expires,
    )
