# SPDX-License-Identifier: Apache-2.0
"""What users, managers, caches and files give Bifrost to read, as hypothesis makes it: mostly right."""

from __future__ import annotations

import json
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from bifrost.errors import Code
from bifrost.model.entity_reference import PREFIX
from bifrost.model.reply import Failure
from bifrost.model.resolution import Resolution
from bifrost.usd import wire

ANY_TEXT: Final = st.text(max_size=30)
PLAIN_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBERS: Final = st.integers() | st.floats()
VALUES: Final[SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | NUMBERS | PLAIN_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN_TEXT, inner, max_size=4),
    max_leaves=12,
)


def references() -> SearchStrategy[str]:
    """References to our assets, right and wrong, with file format arguments or without."""
    ids = st.sampled_from(["hero", "Hero%20one", "%C3%A4", "a:b", "../x", "a%2Fb"]) | ANY_TEXT
    parameters = st.builds(
        "{}{}{}".format,
        st.sampled_from(
            ["version", "representation", "publish", "type", "name", "format", "x", ""]
        ),
        st.sampled_from(["=", "=", "=", "", "=="]),
        st.sampled_from(["3", "007", "latest", "approved", "thumbnail", "0" * 32, ""]) | ANY_TEXT,
    )
    queries = st.lists(parameters, max_size=4).map("&".join)
    return st.builds(
        lambda start, name, mark, query, end: f"{start}{name}{mark}{query}{end}",
        st.sampled_from([PREFIX, PREFIX, PREFIX, "bifrost://", "bal:///", ""]),
        ids,
        st.sampled_from(["?", "?", "", "??", "#"]),
        queries,
        st.sampled_from(["", "", ":SDF_FORMAT_ARGS:target=usd", "#1", "[inner.usd]"]),
    )


def context_strings() -> SearchStrategy[bytes]:
    """Context strings, of bytes as C++ has them."""
    keys = st.sampled_from(
        ["version", "as_of", "project", "user", "locale", "pins", "pins_missing", "token", "a", ""]
    )
    raw = st.sampled_from([b"approved", b"2026-03-01T18:00:00Z", b"a,b", b"%20x%", b"%ff%00"])
    pairs = st.tuples(
        keys.map(str.encode), st.sampled_from([b"=", b" = ", b""]), raw | st.binary(max_size=20)
    ).map(b"".join)
    return st.lists(pairs, max_size=5).map(b";".join)


def replies() -> SearchStrategy[bytes]:
    """What the bridge answers C++ with: whole, cut, and with bits flipped."""
    resolutions = st.builds(
        Resolution, ANY_BYTES_TEXT, ANY_BYTES_TEXT, ANY_BYTES_TEXT, ANY_BYTES_TEXT, st.booleans(),
        st.booleans(), st.floats(), ANY_BYTES_TEXT, st.sampled_from(list(wire.TIERS)), st.floats(),
    )  # fmt: skip
    failures = st.builds(Failure, st.sampled_from(list(Code)), ANY_BYTES_TEXT)
    answers = st.lists(st.tuples(ANY_BYTES_TEXT, resolutions | failures), max_size=4)
    whole = answers.map(wire.encode)
    cut = st.tuples(whole, st.integers(0, 200)).map(lambda each: each[0][: each[1]])
    return whole | whole | cut | st.binary(max_size=80)


# Texts that are bytes to C++, as os.fsdecode makes them.
ANY_BYTES_TEXT: Final = st.binary(max_size=20).map(
    lambda data: data.decode("utf-8", "surrogateescape")
)


def json_texts() -> SearchStrategy[str]:
    """JSON, and what is nearly JSON."""
    return VALUES.map(lambda value: json.dumps(value, ensure_ascii=False)) | ANY_TEXT


def pins_files() -> SearchStrategy[str]:
    """Files of pins, as texts."""
    paths = st.sampled_from(["/a.usd", "/site/b.usd", "relative", ""]) | PLAIN_TEXT
    entries = st.fixed_dictionaries(
        {"reference": st.sampled_from(["x:a", "x:b"]) | PLAIN_TEXT, "path": paths},
        optional={
            "size": NUMBERS,
            "version": PLAIN_TEXT,
            "name": PLAIN_TEXT,
            "manager": PLAIN_TEXT,
            "immutable": st.booleans(),
            "templated": st.booleans(),
            "modified": NUMBERS,
            "kind": PLAIN_TEXT,
            "sha256": PLAIN_TEXT,
        },
    )
    files = st.fixed_dictionaries(
        {"bifrost_pins": st.just(1), "entities": st.lists(entries, max_size=4)},
        optional={
            "manager": PLAIN_TEXT,
            "files": st.lists(entries, max_size=2),
            "unresolved": st.lists(st.dictionaries(PLAIN_TEXT, PLAIN_TEXT), max_size=2),
            "openusd": PLAIN_TEXT,
            "root": VALUES,
        },
    )
    return files.map(lambda value: json.dumps(value, ensure_ascii=False))
