# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PT017 - whether there is an exception is what the input decides
"""
Grammars that C++ and Python both read: neither may understand what the other doesn't, or otherwise.

Some hundred inputs each; `--rounds` more, `--seed` elsewhere.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
sys.path.insert(0, str(Path(__file__).parent))
import grammars
from fuzzing import fuzz
from twin_process import TwinProcess

from bifrost.context import Context, from_policy, policy
from bifrost.errors import BifrostError, Code, InvalidTraitsException
from bifrost.model.entity_reference import PREFIX, parse, without_format_args
from bifrost.model.reply import Failure
from bifrost.model.resolution import Resolution
from bifrost.usd import pins, wire
from bifrost.usd.written import split

pytestmark = pytest.mark.timeout(1_800)

Twin = Callable[[bytes], bytes]
SHORT = 150
# Where C++ keeps to JSON and Python doesn't: no NaN, no half characters, no brackets without end.
NOT_JSON = ("NaN", "Infinity", "\\u")


@pytest.fixture(scope="session")
def twins(cpp_build: Callable[..., Path]) -> Iterator[Callable[[str], Twin]]:
    """The C++ parsers, as functions of bytes."""
    folder = cpp_build("fuzz", "-DBIFROST_BUILD_FUZZERS=ON", target="fuzzers").parent / "fuzz"
    path = folder / "libfuzz_twins.so"
    if not path.exists():
        pytest.skip("this Python has no shared libpython to link USD's library with")
    process = TwinProcess(path)
    yield lambda name: partial(process.call, name)
    process.close()


def test_a_context_string_means_the_same_to_both(
    twins: Callable[[str], Twin], rounds: Callable[[int], int], seed: int
) -> None:
    """
    What C++ makes of any text, Python reads and writes as it stands, if it is UTF-8 and no handle.
    """
    canonical = twins("canonicalPolicy")

    def agree(text: bytes) -> None:
        found = canonical(text).decode("ascii")
        if "context=" in found:
            return
        try:
            read = from_policy(found)
        except ValueError as error:
            assert "UTF-8" in str(error)
            return
        assert found == policy(read)

    fuzz(agree, grammars.context_strings(), rounds(SHORT), seed)


def test_what_python_writes_of_a_context_is_canonical_in_c(
    twins: Callable[[str], Twin], rounds: Callable[[int], int], seed: int
) -> None:
    """
    Else a context made in Python and one made from its string would share no answers.
    """
    canonical = twins("canonicalPolicy")

    def agree(texts: tuple[Any, ...]) -> None:
        if not all(isinstance(text, str) for text in texts):
            return  # the mutator's; what such attributes come to is test_fuzz_parsers' business
        given = dict(
            zip(("version", "as_of", "current_project", "user", "pins"), texts, strict=True)
        )
        try:
            text = policy(Context(**given)).encode()
        except InvalidTraitsException:
            assert any(_is_surrogate(character) for text in texts for character in text)
            return
        assert text == canonical(text)

    fuzz(agree, st.tuples(*[grammars.PLAIN_TEXT] * 5), rounds(SHORT), seed)


def test_a_reference_means_the_same_to_both(
    twins: Callable[[str], Twin], rounds: Callable[[int], int], seed: int
) -> None:
    """
    Its format arguments, its version, and what is said for writing only.
    """
    plain, version, stripped = map(
        twins, ("withoutFormatArgs", "versionOf", "withoutWritingParameters")
    )

    def agree(reference: str) -> None:
        data = reference.encode("utf-8", "surrogatepass")
        known = without_format_args(reference)
        assert known.encode("utf-8", "surrogatepass") == plain(data)
        try:
            parsed = parse(reference)
        except ValueError:
            parsed = None
        if parsed is not None:
            said = version(data).decode()
            number = str(int(said)) if said.isdigit() else said or None
            assert parsed.version == number
        if reference.startswith(PREFIX):
            kept, said_for_writing = split(reference)
            if said_for_writing:
                assert kept.encode("utf-8", "surrogatepass") == stripped(data)
            else:
                assert b"" == stripped(data)

    fuzz(agree, grammars.references(), rounds(SHORT), seed)


def test_a_reply_is_read_the_same_by_both(
    twins: Callable[[str], Twin], rounds: Callable[[int], int], seed: int
) -> None:
    """
    Whole replies, cut ones, and bytes of any kind; but texts that are bytes to C++.
    """
    decode = twins("decodeAnswers")

    def agree(data: bytes) -> None:
        try:
            answers = list(wire.decode(data))
            expected = _told(answers)
            if any("\\" in told.message for _, told in answers if isinstance(told, Failure)):
                data = wire.encode(answers)  # a failure's message has become one line
        except ValueError as error:
            if "is not a valid Code" in str(error):
                return  # Python has a list of failure codes, and C++ passes them on
            expected = b"bad"
        assert expected == decode(data)

    fuzz(agree, grammars.replies(), rounds(SHORT), seed)


def _told(answers: list[tuple[str, Any]]) -> bytes:
    told = f"{len(answers)};".encode()
    for identifier, outcome in answers:
        if isinstance(outcome, Failure):
            texts = (identifier, "", outcome.message, "", "", "", str(outcome.code))
            told += b"--"
        else:
            answer: Resolution = outcome
            texts = (
                identifier, answer.path, "", answer.name, answer.version, answer.manager, "",
            )  # fmt: skip
            told += b"i" if answer.immutable else b"-"
            told += b"t" if answer.templated else b"-"
        told += b"".join(map(_netstring, texts))
    return told


def _netstring(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return f"{len(data)}:".encode() + data


def test_json_is_json_to_both(
    twins: Callable[[str], Twin], rounds: Callable[[int], int], seed: int
) -> None:
    """
    What the reader in C++ takes for JSON is what Python takes for it, their known differences aside.
    """
    read = twins("readJson")

    def agree(text: str) -> None:
        found = read(text.encode("utf-8", "surrogatepass"))
        if found == b"deep" or any(word in text for word in NOT_JSON):
            return
        assert _is_json(text) == (found == b"json")

    fuzz(agree, grammars.json_texts(), rounds(SHORT), seed)


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_int=float)
    except ValueError:
        return False
    return True


def test_a_number_is_the_same_to_both(
    twins: Callable[[str], Twin], rounds: Callable[[int], int], seed: int
) -> None:
    """
    As near as a long double gets: sizes exactly, times to the last bit but one.
    """
    read = twins("readNumber")

    def agree(text: str) -> None:
        data = read(text.encode("utf-8", "surrogatepass"))
        expected = _number_in(text)
        assert bool(data) == (expected is not None)
        if data:
            (number,) = struct.unpack("<d", data)
            assert number == pytest.approx(expected, rel=1e-15, abs=5e-323)
            if text.isdigit() and int(text) < 2**53:
                assert int(text) == number

    numbers = st.from_regex(r"-?[0-9]{0,25}(\.[0-9]{0,25})?([eE][-+]?[0-9]{0,3})?", fullmatch=True)
    floats = st.floats(allow_nan=False, allow_infinity=False).map(repr)
    fuzz(agree, numbers | floats, rounds(SHORT), seed)
    assert math.isinf(struct.unpack("<d", read(b"1e400"))[0])


def _number_in(text: str) -> float | None:
    """Return the number that *text* is in JSON, which has neither NaN nor Infinity."""

    def no_constant(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(text, parse_int=float, parse_constant=no_constant)
    except ValueError:
        return None
    return value if isinstance(value, float) else None


def test_pins_that_python_reads_are_pinned_in_c(
    twins: Callable[[str], Twin], rounds: Callable[[int], int], seed: int, tmp_path: Path
) -> None:
    """
    Each entity's path, version, name and manager. C++ passes over bad entries, Python refuses the file.
    """
    pinned = twins("pinned")
    path = tmp_path / "fuzzed.pins.json"

    def agree(text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        path.write_bytes(data)
        try:
            loaded = pins.load(path)
        except BifrostError:
            return
        for pin in {each.reference: each for each in reversed(loaded.entities)}.values():
            if "\0" in pin.reference or any(map(_is_surrogate, pin.reference)):
                continue
            expected = b"".join(map(_netstring, (pin.path, pin.version, pin.name, pin.manager)))
            found = pinned(pin.reference.encode() + b"\0" + data)
            assert expected == found or _is_odd(pin, text)

    fuzz(agree, grammars.pins_files(), rounds(SHORT), seed)


def _is_surrogate(character: str) -> bool:
    return "\ud800" <= character <= "\udfff"


def _is_odd(pin: pins.Pin, text: str) -> bool:
    """Whether C++ may know better: a path that is none to the system, or what is no JSON."""
    is_path = pin.path.startswith("/") and "\0" not in pin.path
    return not is_path or any(word in text for word in NOT_JSON) or text.count("[") > 60


def test_every_failure_code_is_told(twins: Callable[[str], Twin]) -> None:
    """
    C++ passes on what Python calls a failure.
    """
    answers = [("x:a", Failure(code, "why")) for code in Code]

    assert _told(answers) == twins("decodeAnswers")(wire.encode(answers))
