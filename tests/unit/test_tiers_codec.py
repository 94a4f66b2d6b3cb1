# SPDX-License-Identifier: Apache-2.0
"""Keys and envelopes on disk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.tiers.codec import (
    MAX_KEY,
    DamagedError,
    floor_key,
    key_of,
    pack,
    physical,
    physical_prefixes,
    unpack,
)
from bifrost.tiers.tier import Entry

KEYS = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.builds(lambda a, n, b: a + b"k" * n + b, st.binary(), st.integers(450, 600), st.binary()),
).filter(bool)


@given(KEYS, st.binary(max_size=300), st.floats(allow_nan=False), st.integers(0, (1 << 64) - 1))
def test_an_envelope_gives_back_what_was_packed(key, value, seconds, sequence):
    """Nothing of an entry is lost, infinity included."""
    entry = Entry(value, seconds, 1.5, sequence)

    assert entry == unpack(key, pack(key, entry))
    assert key == key_of(pack(key, entry))


@given(KEYS, st.data())
def test_any_flipped_bit_is_found(key, data):
    """One bit, anywhere in the envelope."""
    envelope = bytearray(pack(key, Entry(b"value", 1.0, 2.0, 3)))
    envelope[data.draw(st.integers(0, len(envelope) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(DamagedError):
        unpack(key, bytes(envelope))


@given(KEYS, KEYS)
def test_an_envelope_under_another_key_is_damaged(key, other):
    """A flipped bit in an index leads to an envelope that is sound, and not the one asked for."""
    if key != other:
        with pytest.raises(DamagedError):
            unpack(other, pack(key, Entry(b"value", 1.0, 2.0)))


@pytest.mark.parametrize("length", [0, 3, 31, 32])
def test_a_cut_off_envelope_is_damaged(length):
    """Too short to hold anything, or missing."""
    with pytest.raises(DamagedError):
        unpack(b"k", pack(b"k", Entry(b"", 1.0, 2.0))[:length])
    with pytest.raises(DamagedError):
        unpack(b"k", None)


@given(KEYS, KEYS)
def test_physical_keys_fit_and_differ(key, other):
    """They are what LMDB takes, and no two keys share one, nor a key and a floor."""
    assert len(physical(key)) <= MAX_KEY >= len(floor_key(key))
    assert (physical(key) == physical(other)) == (key == other)
    assert physical(key) != floor_key(other)


@given(KEYS, st.integers(0, 700))
def test_prefixes_find_their_keys(key, length):
    """All physical keys of a prefix begin with what the prefix becomes."""
    prefix = key[:length]

    assert any(physical(key).startswith(begin) for begin, _ in physical_prefixes(prefix))


@given(KEYS, KEYS)
def test_exact_prefixes_find_no_others(key, prefix):
    """Where a prefix is said to be exact, a physical key that begins with it is one of its keys."""
    for begin, is_exact in physical_prefixes(prefix):
        if is_exact and physical(key).startswith(begin):
            assert key.startswith(prefix)
