# SPDX-License-Identifier: Apache-2.0
"""Texts without secrets: what looks like one, and what is known to be one."""

import copy
import gc
import pickle
import threading
import time

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost import redaction
from bifrost.context import Context
from bifrost.redaction import Secret, redacted

JWT = jwt.encode({"sub": "ann", "exp": 2_000_000_000}, "x" * 32, algorithm="HS256")
OTHER_JWT = jwt.encode({"sub": "ben", "exp": 2_000_000_000}, "x" * 32, algorithm="HS256")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"token {JWT} refused", "token … refused"),
        (f"'{JWT}'", "'…'"),
        (f"?token={JWT}&a=1", "?token=…&a=1"),
        (JWT[:60] + "…", "……"),
        (f"{JWT},{OTHER_JWT}", "…,…"),
        (f"x%3D{JWT}", "x%3D…"),
        ("Authorization: Bearer abc", "Authorization: …"),
        ("{'authorization': 'Basic dXNlcjpwYXNz'}", "{'authorization': '…'}"),
        ("AUTHORIZATION=Token abc, next", "AUTHORIZATION=…, next"),
        ("sent Bearer mF_9.B5f-4.1JqM to it", "sent Bearer … to it"),
        ("sent bearer 0123456789", "sent bearer …"),
        ("redis://:hunter2@host:6379/0", "redis://:…@host:6379/0"),
        ("postgresql://ann:p%40ss@host/db", "postgresql://ann:…@host/db"),
        ("postgresql://ann:p@ss@host/db", "postgresql://ann:…@host/db"),
        ("postgresql://ann:p/ss@host/db", "postgresql://ann:…@host/db"),
        ("redis://:p#s?s/@host:6379/0", "redis://:…@host:6379/0"),
        ('{"a": "https://a:b/c@d/", "mail": "e@f"}', '{"a": "https://a:…@d/", "mail": "e@f"}'),
        ("https://a:b@c/ and http://d:e@f/", "https://a:…@c/ and http://d:…@f/"),
        ("postgresql://host/db?user=a&password=hunter2&x=1", "postgresql://host/db?user=a&password=…&x=1"),
        ('{"access_token": "abcdef", "a": 1}', '{"access_token": "…", "a": 1}'),
        ("api_key=abcdef", "api_key=…"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_taken_out(text, expected):
    """
    Tokens, headers, passwords in URLs and in parameters.
    """
    assert expected == redacted(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "an access token is required, and there is none",
        "the bearer token is missing",
        "Bearer tokens are verified",
        "bifrost:///assets/hero?version=3",
        "@bifrost:///assets/hero@ and mail to ann@example.com",
        "http://host:8080/path@2x.png",
        "postgresql://ann@host:5432/db",
        '{"url":"http://host:8080/path","mail":"ann@example.com"}',
        "keyJsonValues and eyJust",
        "access.key_file: expected the file that holds the secret",
        "secret: expected text",
        "the key is a secret (HS…) or a public key (RS…)",
    ],
)
def test_what_is_none_stays(text):
    """
    A message that nobody can read helps nobody.
    """
    assert text == redacted(text)


@given(st.text())
def test_any_text_is_fine(text):
    """
    And twice is once.
    """
    assert redacted(text) == redacted(redacted(text))


@pytest.mark.parametrize("token", ["user-token-123", "tok€n with spaces/&%", "a'b\\c\nd", "s3cret"])
def test_a_token_of_a_living_context_is_known(token):
    """
    Whatever it looks like, as it is and as messages and URLs escape it.
    """
    from urllib.parse import quote

    context = Context(access_token=token)
    for spelling in (token, repr(token), quote(token), quote(token, safe="")):
        assert token not in redacted(f"a {spelling} b")
        assert "a " in redacted(f"a {spelling} b")
        assert "…" in redacted(f"a {spelling} b")
    assert context.access_token == token


def test_it_is_known_as_long_as_anything_has_it():
    """
    A child, a snapshot; with the last of them it is forgotten.
    """
    gc.collect()
    before = len(redaction._living)
    context = Context(access_token="user-token-123")
    snapshot = context.child(user="ann").snapshot()
    del context
    gc.collect()
    assert "…" == redacted("user-token-123")

    del snapshot
    gc.collect()
    assert "user-token-123" == redacted("user-token-123")
    assert before == len(redaction._living)


def test_a_token_that_was_cut_short_is_known_too():
    """
    Messages show the beginning of long texts.
    """
    context = Context(access_token="opaque-" * 20)

    assert "got '……'" == redacted(f"got '{context.access_token[:80]}…'")


def test_another_token_that_begins_alike_is_taken_out_whole():
    """
    All tokens of one issuer have one header.
    """
    context = Context(access_token=JWT)

    assert "…" == redacted(OTHER_JWT)
    assert "… …" == redacted(f"{OTHER_JWT} {context.access_token}")


def test_one_secret_within_another():
    """
    The longer one first, or its rest would stay.
    """
    contexts = [Context(access_token="abcdef"), Context(access_token="abcdefghi")]

    assert "… and …" == redacted("abcdefghi and abcdef")
    assert 2 == len(contexts)


@pytest.mark.parametrize("text", ["", "a", "abc"])
def test_what_is_too_short_is_no_secret(text):
    """
    Or no message would be left.
    """
    secret = Secret(text)

    assert "a, abc" == redacted("a, abc")
    assert secret.reveal() == text


def test_a_secret_shows_nothing():
    """
    Nor is it pickled; a copy is itself.
    """
    secret = Secret("s3cret")

    assert {"…"} == {repr(secret), str(secret), f"{secret}", f"{[secret]}"[1:-1]}
    assert secret is copy.copy(secret) is copy.deepcopy([secret])[0]
    assert Secret("s3cret") == secret != Secret("other")
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(secret)


def test_no_text_takes_longer_than_it_is_long():
    """
    Patterns that go back and forth would let a log line stop a process.
    """
    hostile = ["://", "a:", "@", "eyJ", "Bearer ", "authorization", "token=", "a" * 50_000]
    texts = [piece * (100_000 // len(piece)) + tail for piece in hostile for tail in ("", "@ ://")]
    start = time.perf_counter()

    for text in texts:
        redacted(text)

    assert time.perf_counter() - start < 20


def test_many_threads_make_and_forget_secrets():
    """
    While others take them out of texts.
    """
    wrong = []
    stop = threading.Event()

    def make(number):
        while not stop.is_set():
            token = f"token-of-{number}-and-more"
            context = Context(access_token=token)
            if token in redacted(f"x {token} y"):
                wrong.append(token)
            del context

    threads = [threading.Thread(target=make, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join(30)

    assert [] == wrong
