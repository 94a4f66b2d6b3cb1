# SPDX-License-Identifier: Apache-2.0
"""
Keys and entries as bytes for a store that limits its keys and may hand back flipped bits.

A physical key is the schema's number, a marker, and the key itself where it fits into 511 bytes
(LMDB's limit). Of a longer one it is the first 477 bytes and a hash; another marker keeps the two
kinds apart, and the literal beginning keeps them in the order of their prefixes.

An envelope is a CRC-32 of all that follows, the lifetime, the whole key, the value. With the key in
it an envelope found under the wrong key is known for damaged, too.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from bifrost.tiers.tier import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SCHEMA: Final = 2
"""Number of this layout. A new one means a new folder: old and new code may run side by side."""

MAX_KEY: Final = 511

_SCHEMA: Final = bytes([SCHEMA])
# Markers, in the order in which a store keeps what they mark: see records.py.
INDEX_LONG: Final = _SCHEMA + b"#"
INDEX: Final = _SCHEMA + b"="
LOG: Final = _SCHEMA + b"L"
NUMBERS: Final = _SCHEMA + b"N"
_FLOOR: Final = _SCHEMA + b"f"
_FLOOR_LONG: Final = _SCHEMA + b"g"
BEGINNING: Final = _SCHEMA + b"p"
RECORD: Final = _SCHEMA + b"~"

_DIGEST_SIZE: Final = 32
_LONGEST_LITERAL: Final = MAX_KEY - len(INDEX)
MAX_BEGINNING: Final = MAX_KEY - len(BEGINNING)
"""A longer beginning can't have a floor of its own."""
_KEPT_OF_LONG: Final = _LONGEST_LITERAL - _DIGEST_SIZE

_HEAD: Final = Struct("<IQddI")  # checksum, sequence, stored, expires, length of the key
_HEAD_UNPACK: Final = _HEAD.unpack_from
_HEAD_SIZE: Final = _HEAD.size
_BODY: Final = Struct("<QddI")
_CHECKED_FROM: Final = 4


class DamagedError(ValueError):
    """These bytes are not what was stored."""


def physical(key: bytes) -> bytes:
    """Return the key under which a store's index has *key*: at most `MAX_KEY` bytes."""
    if len(key) <= _LONGEST_LITERAL:
        return INDEX + key
    return _hashed(INDEX_LONG, key)


def floor_key(subject: bytes) -> bytes:
    """Return the key under which a store has the floor of *subject*."""
    if len(subject) <= _LONGEST_LITERAL:
        return _FLOOR + subject
    return _hashed(_FLOOR_LONG, subject)


def beginning_key(prefix: bytes) -> bytes:
    """Return the key under which a store has the floor of what begins with *prefix*."""
    return BEGINNING + prefix


def _hashed(marker: bytes, key: bytes) -> bytes:
    from hashlib import blake2b  # milliseconds to import, and few keys are this long

    return marker + key[:_KEPT_OF_LONG] + blake2b(key, digest_size=_DIGEST_SIZE).digest()


def physical_prefixes(prefix: bytes) -> tuple[tuple[bytes, bool], tuple[bytes, bool]]:
    """
    Return what the physical keys of all keys that start with *prefix* start with.

    With each, whether the reverse holds, too. Where it does not (*prefix* is longer than what is
    kept of a long key), look at the key in the envelope.
    """
    return (
        (INDEX + prefix[:_LONGEST_LITERAL], len(prefix) <= _LONGEST_LITERAL),
        (INDEX_LONG + prefix[:_KEPT_OF_LONG], len(prefix) <= _KEPT_OF_LONG),
    )


def pack(key: bytes, entry: Entry) -> bytes:
    """Return the envelope of *entry*."""
    body = _BODY.pack(entry.sequence, entry.stored, entry.expires, len(key)) + key + entry.value
    return crc32(body).to_bytes(_CHECKED_FROM, "little") + body


def unpack(key: bytes, envelope: bytes | None) -> Entry:
    """
    Return the entry that was stored under *key*.

    Raises:
        DamagedError: bits flipped, or it is another key's.
    """
    if envelope is None or len(envelope) < _HEAD.size:
        raise DamagedError("too short")
    checksum, sequence, stored, expires, length = _HEAD_UNPACK(envelope)
    if (
        crc32(envelope[_CHECKED_FROM:]) != checksum
        or length != len(key)
        or not envelope.startswith(key, _HEAD_SIZE)
    ):
        raise DamagedError("checksum or key differ")
    return Entry(envelope[_HEAD_SIZE + length :], expires, stored, sequence)


def key_of(envelope: bytes) -> bytes:
    """
    Return the key that *envelope* was stored under.

    Raises:
        DamagedError: bits flipped.
    """
    if len(envelope) < _HEAD.size:
        raise DamagedError("too short")
    checksum, _, _, _, length = _HEAD.unpack_from(envelope)
    if crc32(envelope[_CHECKED_FROM:]) != checksum:
        raise DamagedError("checksum differs")
    return bytes(envelope[_HEAD.size : _HEAD.size + length])
