# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PT017 - whether there is an exception is what the input decides
"""
What caches hold and others send, of another version, damaged or planted: a miss or a refusal, never a lie.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import msgpack
import pytest
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import grammars
from fuzzing import fuzz

from bifrost.context import Context
from bifrost.errors import Code, PermissionDeniedException
from bifrost.model.permissions import Principal
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.pipeline.cache import Cache
from bifrost.settings import AccessSettings, CacheSettings
from bifrost.tiers import codec
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.redis_events import (
    Event,
    UnreadableError,
    pack_event,
    read_look,
    read_told,
    unpack_event,
)
from bifrost.tiers.tier import FOREVER, Entry
from bifrost.tiers.tiered import TieredCache
from bifrost.tokens import Verifier
from bifrost.usd import wire
from bifrost.usd.closures import Closures
from bifrost.usd.later import Later

pytestmark = pytest.mark.timeout(1_800)

SHORT = 200
HERO = "bifrost:///assets/hero"
NOW = 1_000_000.0
SECRET = "an example of a secret, long enough"
ANSWER = Resolution(HERO, "/store/hero.usd", "Hero", "3", False, False, 12.5, "m", "memory")
TYPES = (str, str, str, str, bool, bool, float, str, str, float)


class Manager:
    """Knows every reference."""

    def handle(self, request: Request) -> Reply:
        """Answer with what only the manager says."""
        return Reply.by_reference(request, lambda _: ANSWER._replace(tier="manager"))


def clock() -> float:
    """The time, which stands still."""
    return NOW


@pytest.fixture
def tiers() -> TieredCache:
    """A memory."""
    return TieredCache([MemoryTier(1 << 20, clock)], clock=clock)


def planted(tiers: TieredCache, value: bytes, write: Callable[[], Any]) -> None:
    """Let *write* write, then put *value* in place of all that it wrote."""
    put = tiers.put
    tiers.put = lambda entries: put(
        {key: Entry(value, FOREVER, NOW, tiers.sequence()) for key in entries}
    )
    try:
        write()
    finally:
        tiers.put = put


def test_cached_answers(rounds: Callable[[int], int], seed: int, tiers: TieredCache) -> None:
    """
    What the cache serves has the types of an answer, whatever lies in its place.
    """
    cache = Cache(Manager(), tiers, "m", CacheSettings(), clock=clock)

    def ask(operation: Operation, *, fresh: bool = False) -> Any:
        request = Request(operation, (HERO,), Context().snapshot(), fresh=fresh)
        return cache.handle(request).outcomes[0]

    def check(value: bytes) -> None:
        planted(tiers, value, lambda: ask(Operation.RESOLVE, fresh=True))
        found = ask(Operation.RESOLVE)
        assert [type(field) for field in found] == list(TYPES), found
        located = ask(Operation.LOCATE)
        assert isinstance(located, Path | Resolution)
        assert set(cache.peek([HERO], "")) <= {HERO}

    fuzz(check, _records(), rounds(SHORT), seed)


def _records() -> st.SearchStrategy[bytes]:
    path = b"\x0f\0\0\0/store/hero.usd"
    good = msgpack.packb(("Hero", "3", False, False, 12.5, "m"))
    fields = st.tuples(*[grammars.VALUES] * 6) | st.lists(grammars.VALUES, max_size=8)
    made = fields.map(lambda each: path + _packed(each))
    return st.just(path + good) | made | st.binary(max_size=60).map(lambda data: path + data)


def _packed(value: Any) -> bytes:
    try:
        return msgpack.packb(value)
    except (OverflowError, UnicodeEncodeError):
        return b"\xc1"


def test_envelopes(rounds: Callable[[int], int], seed: int) -> None:
    """
    An envelope is what was stored under that key, or is damaged.
    """
    entry = Entry(b"value", FOREVER, NOW, 7)
    good = codec.pack(b"key", entry)

    def check(value: tuple[bytes, bytes]) -> None:
        key, envelope = value
        if not isinstance(key, bytes) or not isinstance(envelope, bytes):
            return
        try:
            read = codec.unpack(key, envelope)
        except codec.DamagedError:
            assert (key, envelope) != (b"key", good)
        else:
            assert codec.pack(key, read) == envelope
            assert key == codec.key_of(envelope)

    pairs = st.tuples(st.just(b"key") | st.binary(max_size=8), st.just(good) | st.binary())
    fuzz(check, pairs, rounds(SHORT), seed)


def test_closures(rounds: Callable[[int], int], seed: int, tiers: TieredCache) -> None:
    """
    A closure that can't be read is none, or a ValueError, which asks for everything again.
    """
    closures = Closures(tiers, Later(), clock=clock)
    written: list[bytes] = []

    def check(value: bytes) -> None:
        key = written[0] if written else _key_of_a_closure(tiers, closures, written)
        tiers.put({key: Entry(value, FOREVER, NOW, tiers.sequence())})
        found = closures.find(b"scope", "/root.usda")
        if found is None:
            return
        assert all(isinstance(reference, str) for reference in found.failed)
        try:
            stale = closures.stale_references(found)
        except ValueError:
            return
        assert stale is None or all(isinstance(each, str) for each in stale)

    fuzz(check, _closures(), rounds(SHORT), seed)


def _key_of_a_closure(tiers: TieredCache, closures: Closures, written: list[bytes]) -> bytes:
    """Return the key that closures looks under."""
    find = tiers.find
    tiers.find = lambda keys: written.extend(keys) or find(keys)
    try:
        closures.find(b"scope", "/root.usda")
    finally:
        tiers.find = find
    return written[0]


def _closures() -> st.SearchStrategy[bytes]:
    answers = [(HERO, ANSWER._replace(expires=NOW - 1)), ("x:a", ANSWER)]
    failed = [(HERO, Failure(Code.NOT_FOUND, "none"))]
    bodies = st.sampled_from([wire.encode(answers), wire.encode(failed), b""]) | grammars.replies()
    numbers = st.floats() | st.just(NOW - 1)
    header = st.builds(
        _closure_header,
        numbers,
        st.integers(0, 3),
        st.sampled_from([0, 0, 3, 2**31]),
    )
    return st.tuples(header, bodies).map(b"".join) | st.binary(max_size=60)


def _closure_header(expires: float, sequence: int, length: int) -> bytes:
    return struct.pack("<dQQdI", expires, sequence, 1, 2.0, length)


def test_events(rounds: Callable[[int], int], seed: int) -> None:
    """
    An event of another host is one that we could have written, or unreadable.
    """
    good = pack_event(b"origin", Event((b"hero",), (b"bifrost:",), 3, 4))

    def check(value: tuple[bytes, Any]) -> None:
        payload, reply = value
        if isinstance(payload, bytes):
            try:
                origin, event = unpack_event(payload)
            except UnreadableError:
                assert payload != good
            else:
                assert (origin, event) == unpack_event(pack_event(origin, event))
        for read in (lambda: read_told(b"epoch", reply), lambda: read_look(reply)):
            try:
                read()
            except UnreadableError:
                continue

    told = st.just([b"1-0", [b"n", b"4", b"d", good]]) | grammars.VALUES
    fuzz(check, st.tuples(st.just(good) | st.binary(max_size=60), told), rounds(SHORT), seed)


def test_tokens(rounds: Callable[[int], int], seed: int, tmp_path: Path) -> None:
    """
    A token is believed when our key has signed it; whatever else there is, is a refusal.
    """
    key = tmp_path / "key"
    key.write_text(SECRET)
    key.chmod(0o600)
    verifier = Verifier(
        AccessSettings(tokens="required", algorithms="HS256", key_file=str(key)), clock=clock
    )

    def check(value: tuple[Any, Any]) -> None:
        claims, token = value
        if isinstance(claims, dict):
            try:
                token = jwt.encode(claims, SECRET, algorithm="HS256")
            except (TypeError, ValueError, RecursionError, AttributeError):
                return
            try:
                principal = verifier.verify(token)
            except PermissionDeniedException as error:
                assert token not in str(error)
            else:
                assert isinstance(principal, Principal)
                assert principal.subject == claims["sub"]
        elif isinstance(token, str):
            with pytest.raises(PermissionDeniedException):
                verifier.verify(token)

    good = {"sub": "ann", "exp": NOW + 60, "roles": ["artist"], "projects": {"show": ["lead"]}}
    none = jwt.encode(good, None, algorithm="none")
    foreign = jwt.encode(good, SECRET + "!", algorithm="HS256")
    names = st.sampled_from(["sub", "exp", "iat", "nbf", "aud", "iss", "roles", "projects"])
    claims = st.dictionaries(names, grammars.VALUES).map(lambda more: {**good, **more})
    tokens = st.sampled_from([none, foreign, "a.b.c", "é.é.é"]) | grammars.ANY_TEXT
    fuzz(check, st.tuples(claims, tokens) | st.tuples(st.none(), tokens), rounds(SHORT), seed)
