# SPDX-License-Identifier: Apache-2.0
"""
Secrets, and texts without them.

A `Secret` shows as "…" wherever it is printed. `redacted` takes out of a text what looks like a secret
(JSON Web Tokens, authorization headers, passwords in URLs) and every `Secret` that is alive: they are
known by weak references, so that a token is forgotten with the last context that has it.
"""

from __future__ import annotations

import re
import weakref
from itertools import takewhile
from typing import Final, NoReturn
from urllib.parse import quote

MASK: Final = "…"
"""What stands for a secret."""

# Shorter texts are no secrets, and taking them out would leave nothing readable.
_SHORTEST: Final = 4
# Messages cut long texts short: that much of a secret is enough to know it by.
_KNOWN_BY: Final = 16
_PLAIN: Final = re.compile(r"[\w.~-]+", re.ASCII)

_living: Final[dict[int, weakref.ref[Secret]]] = {}


class Secret:
    """A text that is not to be seen: not by `repr`, `str`, `format`, `vars`, nor in a pickle."""

    __slots__ = ("__weakref__", "_text", "spellings")

    def __init__(self, text: str) -> None:
        self._text = text
        self.spellings = _spellings(text)
        # Not a WeakSet, which several threads must not use at once; these are single operations.
        key, living = id(self), _living
        living[key] = weakref.ref(self, lambda _: living.pop(key, None))

    def reveal(self) -> str:
        """Return the text. For whoever sends or verifies it, and nobody else."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return MASK

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: it stays in its process")


def _spellings(text: str) -> tuple[tuple[str, str], ...]:
    """Return how *text* may stand in a message, as it is or escaped, each with how it begins."""
    if len(text) < _SHORTEST:
        return ()
    spellings = {text}
    if not _PLAIN.fullmatch(text):
        url = {quote(text, safe=safe, errors="replace") for safe in ("", "/")}
        spellings |= {*url, repr(text)[1:-1]}
    return tuple((each[:_KNOWN_BY], each) for each in spellings)


# What any of the patterns needs to be there, for texts (nearly all) in which nothing of it is.
_MARKS: Final = ("eyj", "bearer", "authorization", "token", "passw", "pwd", "secret", "key")
_PATTERNS: Final = (
    # Begins with {" in base64: a JSON Web Token, perhaps cut short. Not within a word like keyJson….
    (
        re.compile(r"(?:(?<![A-Za-z0-9])eyJ[\w-]{6,}|eyJ[\w-]{20,})(?:\.[\w-]*){0,4}", re.ASCII),
        MASK,
    ),
    (
        re.compile(
            r"""(\bauthorization["']?\s*[:=]\s*["']?)(?:[a-z]+\s+)?[^\s"',;]+""", re.IGNORECASE
        ),
        rf"\1{MASK}",
    ),
    # Of a lower-case "bearer" what follows has to look like no word.
    (
        re.compile(
            r"(\b(?:Bearer|BEARER)[ \t]+)(?!tokens?\b|auth)[\w.~+/=-]{4,}"
            r"|(\bbearer[ \t]+)(?=[a-z]*[\d_A-Z~+/])[\w.~+/=-]{4,}",
            re.ASCII,
        ),
        rf"\1\2{MASK}",
    ),
    (
        re.compile(
            r"""((?:(?:access|refresh|id|auth|session)_?token|api_?key|passw(?:or)?d|pwd|secret)"""
            r"""(?:["']\s*:\s*["']|=["']?))[^\s"'&;,]{4,}""",
            re.IGNORECASE,
        ),
        rf"\1{MASK}",
    ),
)
# Starts at the one thing that is rare, so that no text takes longer than it is long.
_URL: Final = re.compile(r"""(://[^\s:/?#@"'<>]*:)(?![0-9]+[/?#])([^\s"'<>]*)""")


def redacted(text: str) -> str:
    """
    Return *text* with "…" for each secret in it.

    A text without any takes a few microseconds, and a quarter of one more for each secret alive.
    """
    if _living:
        # Long ones first: one may begin with another.
        for spelling in sorted(_spellings_in(text), key=len, reverse=True):
            text = _without(text, spelling)
    if "@" in text and "://" in text:
        text = _URL.sub(_without_password, text)
    folded = text.lower()
    if any(mark in folded for mark in _MARKS):
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
    return text


def _without_password(url: re.Match[str]) -> str:
    # Up to the last "@": a password may have what it should have escaped.
    password, at, place = url[2].rpartition("@")
    return f"{url[1]}{MASK if password else ''}{at}{place}"


def _spellings_in(text: str) -> set[str]:
    """Return the spellings of living secrets of which *text* has the beginning."""
    secrets = [reference() for reference in list(_living.values())]
    return {
        spelling
        for secret in secrets
        if secret is not None
        for head, spelling in secret.spellings
        if head in text
    }


def _without(text: str, spelling: str) -> str:
    head = spelling[:_KNOWN_BY]
    parts: list[str] = []
    done = 0
    while (at := text.find(head, done)) >= 0:
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(text[at:], spelling, strict=False))
        length = sum(1 for _ in shared)
        end = at + length
        # Tokens of one issuer begin alike: one that goes on otherwise is another's, for the patterns.
        is_it = length == len(spelling) or not _PLAIN.match(text, end)
        parts += text[done:at], MASK if is_it else text[at:end]
        done = end
    return "".join([*parts, text[done:]])
