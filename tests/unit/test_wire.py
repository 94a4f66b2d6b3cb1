# SPDX-License-Identifier: Apache-2.0
"""The bytes between Python and C++: what goes in comes out, and damage is noticed."""

import math
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.errors import Code
from bifrost.model.reply import Failure
from bifrost.model.resolution import Resolution
from bifrost.usd import wire

ROOT = Path(__file__).resolve().parents[2]
# Text as it comes from C++ and from file names: any UTF-8, and bytes that are none.
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(max_size=20).map(lambda data: data.decode("utf-8", "surrogateescape")),
)
TIMES = st.one_of(st.floats(0, 1e12), st.just(math.inf))


@st.composite
def answers(draw):
    reference = draw(TEXTS)
    if draw(st.booleans()):
        return reference, Failure(draw(st.sampled_from(Code)), draw(TEXTS))
    return reference, Resolution(
        reference,
        path=draw(TEXTS),
        name=draw(TEXTS),
        version=draw(TEXTS),
        immutable=draw(st.booleans()),
        templated=draw(st.booleans()),
        modified=draw(TIMES),
        manager=draw(TEXTS),
        tier=draw(st.sampled_from(sorted(wire.TIERS))),
        expires=draw(TIMES),
    )


SOME = [
    ("a", Resolution("a", "/a.usda", tier="manager", manager="m", expires=5.0)),
    ("b", Failure(Code.NOT_FOUND, "no such asset")),
    ("c", Resolution("c", "/c.<UDIM>.png", immutable=True, templated=True, tier="lmdb")),
]


@given(st.lists(answers(), max_size=5))
def test_what_goes_in_comes_out(pairs):
    """
    Every field that C++ has a use for, in order, duplicates kept.
    """
    data = wire.encode(pairs, microseconds=1.5, failure_expires=7.0)

    assert pairs == list(wire.decode(data))
    assert len(pairs) == wire.count(data)


@given(st.lists(answers(), max_size=5), st.sampled_from(sorted(wire.TIERS)))
def test_marking_a_tier_changes_the_header_only(pairs, tier):
    """
    A replay hands on recorded bytes without reading them.
    """
    data = wire.encode(pairs)
    marked = wire.served_by(data, tier, 2.5, is_complete=True)

    assert (b"BFW2", wire.TIERS[tier], 1, 2.5, len(pairs)) == struct.unpack_from("<4sBBfI", marked)
    assert data[14:] == marked[14:]
    assert [name for name, _ in pairs] == [name for name, _ in wire.decode(marked)]


def test_the_layout_is_the_documented_one():
    """
    Byte for byte, as resolver/wire.cpp reads it.
    """
    data = wire.encode(SOME[:2], microseconds=0.5, failure_expires=9.0)

    def texts(*each):
        return b"".join(struct.pack("<I", len(text)) + text for text in each)

    assert data == (
        struct.pack("<4sBBfI", b"BFW2", 0, 0, 0.0, 2)
        + struct.pack("<BBddf", 1, 0, 0.0, 5.0, 0.5)
        + texts(b"a", b"/a.usda", b"", b"", b"m")
        + struct.pack("<BBddf", 0, 4, 0.0, 9.0, 0.5)
        + texts(b"b", b"no such asset", b"", b"", b"not_found")
    )


def test_cpp_counts_the_tiers_alike():
    """
    `Tier` in resolver/resolution_table.h has the values of `TIERS`.
    """
    source = (ROOT / "resolver" / "resolution_table.h").read_text(encoding="utf-8")
    body = re.search(r"enum class Tier : std::uint8_t \{([^}]*)\}", source)[1]
    numbers = {name.lower(): int(value) for name, value in re.findall(r"k(\w+) = (\d+)", body)}

    assert {"none": 0, **wire.TIERS} == numbers


def test_cpp_reads_the_same_format():
    """
    The magic, the flags, and the bytes that the smallest answer takes.
    """
    source = (ROOT / "resolver" / "wire.cpp").read_text(encoding="utf-8")
    constants = dict(re.findall(r"constexpr [\w:]+ k(\w+) = ([^;]+);", source))

    assert wire._MAGIC.decode() == constants["Magic"].strip('"')
    assert [wire._IMMUTABLE, wire._TEMPLATED, wire._FAILED] == [
        int(constants[name]) for name in ("Immutable", "Templated", "Failed")
    ]
    least = sum(
        math.prod(map(int, each.split("*"))) for each in constants["LeastEntryBytes"].split("+")
    )
    assert wire._FIXED.size + wire._TEXTS * wire._LENGTH.size == least


def test_an_unknown_tier_is_no_tier():
    """
    A tier that C++ has no number for is not mistaken for another.
    """
    ((_, outcome),) = wire.decode(wire.encode([("a", Resolution("a", "/a", tier="floppy"))]))

    assert "" == outcome.tier


@given(st.data())
def test_what_is_cut_short_is_damaged(data):
    """
    At whatever byte.
    """
    whole = wire.encode(SOME)
    cut = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(ValueError, match=r"damaged|format"):
        list(wire.decode(whole[:cut]))


def test_what_has_bytes_left_over_is_damaged():
    """
    C++ refuses it too.
    """
    with pytest.raises(ValueError, match="damaged"):
        list(wire.decode(wire.encode(SOME) + b"\0"))


@given(st.one_of(st.binary(), st.binary().map(wire.encode(SOME)[:13].__add__)))
def test_any_other_bytes_are_a_value_error(data):
    """
    What lies in a cache may be anything; nothing else escapes.
    """
    try:
        list(wire.decode(data))
    except ValueError:
        return


@given(st.data())
def test_a_flipped_bit_is_a_value_error_or_another_answer(data):
    """
    The tiers' checksums find it; this must only not crash.
    """
    damaged = bytearray(wire.encode(SOME))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        list(wire.decode(bytes(damaged)))
    except ValueError:
        return


def test_a_count_beyond_the_bytes_asks_for_no_memory():
    """
    Four billion answers in twenty bytes are damage, not an allocation.
    """
    with pytest.raises(ValueError, match="damaged"):
        list(wire.decode(struct.pack("<4sBBfI", b"BFW2", 0, 0, 0.0, 2**32 - 1) + b"\0" * 20))


def test_nothing_is_something():
    """
    No answers are a valid message.
    """
    assert (0, []) == (wire.count(wire.encode([])), list(wire.decode(wire.encode([]))))
