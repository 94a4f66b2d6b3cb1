# SPDX-License-Identifier: Apache-2.0
"""
Signatures on what is kept where others might write: in Redis, in a folder on disk.

A sealed value ends in a keyed BLAKE2b (RFC 7693, 2.9: a MAC by itself, at half of what HMAC-SHA256 costs)
over the tier, the key, the lifetime and the value. So an entry can't be made, changed, made to live
longer, or moved to another reference, person or tier by who doesn't have the key. That an older entry is
put back can't be seen: it was an answer once, to the same question, and its lifetime is signed.
"""

from __future__ import annotations

from struct import Struct

from bifrost.tiers.tier import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

SETTING: Final = "cache.key_file"
_TAG_SIZE: Final = 16
_SHORTEST_KEY: Final = 32
_LONGEST_KEY: Final = 64  # of BLAKE2b; what is longer is hashed
# The length of the key, so that none of it can pass for value; when stored; when stale.
_HEAD: Final = Struct("<Idd")


class Seal:
    """
    Seals the entries of one tier, and opens those that one of the keys has sealed. Any thread.

    Args:
        keys: The one that signs, and others that are believed too.
        tier: The tier's name: what is sealed for one is nothing to another.

    Attributes:
        refused: How many entries were not believed.
    """

    def __init__(self, keys: Sequence[bytes], tier: str) -> None:
        from hashlib import blake2b
        from hmac import compare_digest

        self._begun = tuple(
            blake2b(key=_fitting(key), digest_size=_TAG_SIZE, person=tier.encode()) for key in keys
        )
        self._is_same = compare_digest
        self._tier = tier
        self.refused = 0

    def __repr__(self) -> str:
        return f"Seal({self._tier!r})"

    def sealed(self, entries: Mapping[bytes, Entry]) -> dict[bytes, Entry]:
        """Return *entries* with their signatures."""
        begun = self._begun[0]
        return {
            key: Entry(
                each.value + _tag(begun, key, each, each.value),
                each.expires,
                each.stored,
                each.sequence,
            )
            for key, each in entries.items()
        }

    def opened(
        self, entries: Mapping[bytes, Entry], forget: Callable[[list[bytes]], None]
    ) -> dict[bytes, Entry]:
        """Return those of *entries* that are ours, without signatures; have the others forgotten."""
        found: dict[bytes, Entry] = {}
        wrong: list[bytes] = []
        for key, each in entries.items():
            value, tag = each.value[:-_TAG_SIZE], each.value[-_TAG_SIZE:]
            if self._is_ours(key, each, value, tag):
                found[key] = Entry(value, each.expires, each.stored, each.sequence)
            else:
                wrong.append(key)
        if wrong:
            self._refuse(len(wrong))
            forget(wrong)
        return found

    def _is_ours(self, key: bytes, entry: Entry, value: bytes, tag: bytes) -> bool:
        return any(self._is_same(_tag(each, key, entry, value), tag) for each in self._begun)

    def _refuse(self, count: int) -> None:
        is_first = not self.refused
        self.refused += count
        if is_first:
            import logging  # slow to import, and needed only when something is wrong

            logging.getLogger("bifrost.tiers").warning(
                "the cache's tier %r holds entries that none of the keys of %s has signed; they are "
                "not believed, and counted as `refused`",
                self._tier,
                SETTING,
            )


def _fitting(key: bytes) -> bytes:
    from hashlib import blake2b

    return key if len(key) <= _LONGEST_KEY else blake2b(key).digest()


def _tag(begun: Any, key: bytes, entry: Entry, value: bytes) -> bytes:
    signing = begun.copy()
    signing.update(_HEAD.pack(len(key), entry.stored, entry.expires))
    signing.update(key)
    signing.update(value)
    tag: bytes = signing.digest()
    return tag


def keys_in(file: str) -> tuple[bytes, ...]:
    """
    Return the keys in *file*: one a line, of 32 characters or more; lines that begin with `#` are remarks.

    Raises:
        ConfigurationError: it can't be read, others could read or change it, or it holds no keys.
    """
    from bifrost.key_files import KeyFile

    content = KeyFile(SETTING, file, is_secret=True)
    lines = [line.strip() for line in content.content.splitlines()]
    keys = tuple(line for line in lines if line and not line.startswith(b"#"))
    if not keys:
        content.refuse("it holds no key: `openssl rand -hex 32` makes one")
    for number, key in enumerate(keys, 1):
        if len(key) < _SHORTEST_KEY:
            content.refuse(
                f"key {number}: expected {_SHORTEST_KEY} characters or more, got {len(key)}"
            )
    return keys
