# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PT017 - whether there is an exception is what the input decides
"""
Python's parsers, given everything: what is wrong is an error of the tree in bifrost/errors.py, or a miss.

Some hundred inputs each; `--rounds 200000` is `make fuzz`. `--seed` begins elsewhere.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
import corpus
import grammars
from fuzzing import fuzz

from bifrost import settings
from bifrost.catalogue.database import Database
from bifrost.catalogue.query import query
from bifrost.context import Context, from_policy, policy
from bifrost.errors import (
    BifrostError,
    ConfigurationError,
    InvalidQueryException,
    InvalidTraitsException,
)
from bifrost.manager.metadata import flat, nested
from bifrost.model.entity_reference import canonical, names_of, parse
from bifrost.model.language import fallbacks
from bifrost.redaction import redacted
from bifrost.testing.assets import Asset, add_assets
from bifrost.uri_mapper import AssetUriMapper
from bifrost.usd import env, pins

pytestmark = pytest.mark.timeout(1_800)

SHORT = 200
# Where an input costs a transaction or a file.
SHORT_SLOW = 100
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
# Every form of what an artist may type, by one of which the others are found.
QUERIES = [
    {"types": ["model", "texture"], "tags": {"$contains": ["character"]},
     "createdDate": {"$gt": "2025-01-01"}, "sort": [{"field": "modifiedDate", "order": "desc"}],
     "limit": 100, "offset": 0},
    {"$or": [{"name": {"$like": "hero%"}}, {"$not": {"id": {"$nin": ["hero", "skin"]}}}]},
    {"metadata.frames.first": {"$gte": 1, "$lt": 24}, "deprecated": {"$ne": True}},
    {"relationships": {"dependsOn": {"type": "rig"}}, "text": "dragon", "fields": ["id", "name"]},
    {"groupBy": "type", "aggregate": {"count": True}, "version": [3, 0], "status": "approved"},
]  # fmt: skip


def test_references(rounds: Callable[[int], int], seed: int) -> None:
    """
    A reference is read or refused; what was read is written so that it is read the same.
    """

    def check(reference: str) -> None:
        try:
            read = parse(reference)
        except ValueError:
            assert isinstance(canonical(reference), str)
        else:
            assert read == parse(str(read)) == parse(canonical(reference))
            assert str(read) == canonical(str(read))
            assert names_of(read.asset_id)
        AssetUriMapper.uri_to_asset_id(reference)
        AssetUriMapper.detect_uri_in_string(reference)
        AssetUriMapper.is_valid_uri(reference)

    fuzz(check, grammars.references(), rounds(SHORT), seed, corpus.texts("reference"))


def test_context_strings(rounds: Callable[[int], int], seed: int) -> None:
    """
    A context string is a context, which has a string, or it is refused.
    """

    def check(text: str) -> None:
        try:
            read = from_policy(text)
        except ValueError:
            return
        assert policy(read) == policy(from_policy(policy(read)))

    texts = grammars.context_strings().map(lambda data: data.decode("utf-8", "surrogateescape"))
    fuzz(check, texts, rounds(SHORT), seed, corpus.texts("context"))


def test_context_attributes(rounds: Callable[[int], int], seed: int) -> None:
    """
    Attributes of any kind have a snapshot, a scope and a text; or are refused as what they are.
    """
    names = st.sampled_from(
        ["user", "current_project", "locale", "version", "as_of", "pins", "own"]
    )

    def check(values: Any) -> None:
        if not isinstance(values, dict) or not all(map(_is_attribute, values)):
            return
        context = Context(**values)
        try:
            snapshot = context.snapshot()
        except InvalidTraitsException as error:
            assert "at most 16 projects" in str(error)
            return
        assert snapshot.scope == context.child().snapshot().scope
        assert isinstance(snapshot.who, str) and isinstance(snapshot.projects, tuple)  # noqa: PT018
        assert isinstance(snapshot.trace_id, str) and repr(context)  # noqa: PT018
        try:
            text = policy(context)
        except BifrostError:
            return
        if all(isinstance(value, str) for value in values.values()):
            assert text == policy(from_policy(text))

    fuzz(check, st.dictionaries(names, grammars.VALUES), rounds(SHORT), seed)


def _is_attribute(name: Any) -> bool:
    """Whether a context may have it set: no private name, no method, no token, which is a text."""
    return (
        isinstance(name, str)
        and not name.startswith("_")
        and not hasattr(Context, name)
        and name != "access_token"
    )


def test_pins(rounds: Callable[[int], int], seed: int, tmp_path: Path) -> None:
    """
    A file is pins, which are written so that they are read the same, or a ConfigurationError.
    """
    path, again = tmp_path / "fuzzed.pins.json", tmp_path / "again.pins.json"

    def check(text: str) -> None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            read = pins.load(path)
        except ConfigurationError:
            return
        again.write_bytes(read.text().encode("utf-8", "surrogateescape"))
        assert read.text() == pins.load(again).text()

    fuzz(check, grammars.pins_files(), rounds(SHORT_SLOW), seed, corpus.texts("pins"))


def test_settings_files(rounds: Callable[[int], int], seed: int, tmp_path: Path) -> None:
    """
    A settings file gives settings, or is a ConfigurationError; TOML, and YAML of earlier releases.
    """
    toml, yaml = tmp_path / "settings.toml", tmp_path / "settings.yaml"

    def check(text: str) -> None:
        for path in (toml, yaml):
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            try:
                settings.check(settings.read_file(path).table, path)
            except ConfigurationError as error:
                assert str(path) in str(error)

    fuzz(check, _settings_texts(), rounds(SHORT_SLOW), seed, corpus.texts("settings"))


def _settings_texts() -> st.SearchStrategy[str]:
    sections = st.sampled_from(["cache", "resolve", "manager", "catalogue", "access", "retry", "x"])
    keys = st.sampled_from(["ttl_s", "url", "disk_bytes", "deadline_s", "mode", "redis_url", "y"])
    values = grammars.VALUES.map(json.dumps)
    return st.builds(
        "[{}]\n{} = {}\n{}".format, sections, keys, values, st.sampled_from(["", "[", "a = 1"])
    )


def test_settings_in_the_environment(
    rounds: Callable[[int], int], seed: int, own_home: Path
) -> None:
    """
    Any value of any of our variables is a setting, or a ConfigurationError that names the variable.
    """
    names = [name for name, _, _ in settings._variables()]

    def check(value: tuple[int, str]) -> None:
        number, text = value
        name = names[int(number) % len(names)] if isinstance(number, int) else names[0]
        try:
            settings.load({"BIFROST_HOME": str(own_home), name: text})
        except ConfigurationError as error:
            assert name in str(error)

    values = st.sampled_from(["3", "-1", "1e5", "nan", "sqlite:///x", "redis://h", "~nobody"])
    pairs = st.tuples(st.integers(0, 200), values | grammars.ANY_TEXT)
    fuzz(check, pairs, rounds(SHORT_SLOW), seed)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A catalogue with something in it."""
    path = tmp_path_factory.mktemp("fuzzed") / "catalogue.sqlite"
    database = Database.open(f"sqlite:///{path}")
    assets = [
        Asset(f"{name}_{number}", name, kind, NOW, metadata={"frames": {"first": number}})
        for number, (name, kind) in enumerate([("Hero", "model"), ("Skin", "texture")] * 5)
    ]
    with database.write() as connection:
        add_assets(connection, assets)
    yield database
    database.close()


def test_queries(rounds: Callable[[int], int], seed: int, database: Database) -> None:
    """
    A query has a page of answers, or is an InvalidQueryException that says where it is none.
    """

    def check(document: Any) -> None:
        try:
            with database.read() as connection:
                page = query(connection, document, now=NOW)
        except InvalidQueryException as error:
            assert error.where.startswith("$")
            assert error.message
        else:
            json.dumps(list(page), default=str)

    fields = st.sampled_from(
        ["id", "type", "types", "tags", "name", "createdDate", "sort", "limit"]
    )
    documents = st.dictionaries(fields | grammars.PLAIN_TEXT, grammars.VALUES, max_size=4)
    # SQLAlchemy keeps the last 500 to 750 shapes of statements, of which there are many here.
    forget = database._engine.clear_compiled_cache
    fuzz(check, documents, rounds(SHORT_SLOW), seed, QUERIES, forget=forget)


def test_metadata(rounds: Callable[[int], int], seed: int) -> None:
    """
    Metadata goes to OpenAssetIO's properties and comes back the same, unless two keys are one there.
    """

    def check(metadata: Any) -> None:
        if not isinstance(metadata, dict) or not _has_text_keys(metadata):
            return
        rows = list(flat(metadata))
        values = [(path, value) for path, value, _ in rows]
        types = {path: kind for path, _, kind in rows}
        try:
            read = nested(values, types)
        except ValueError:
            assert _has_dots(metadata)
            return
        assert _has_dots(metadata) or repr(metadata) == repr(read) or _has_huge(rows)

    fuzz(check, st.dictionaries(grammars.PLAIN_TEXT, grammars.VALUES), rounds(SHORT), seed)


def _has_text_keys(value: Any) -> bool:
    """Whether it is JSON: metadata that is none is refused before."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and _has_text_keys(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_has_text_keys, value))
    return value is None or isinstance(value, (str, bool, int, float))


def _has_dots(value: Any) -> bool:
    return isinstance(value, dict) and any("." in k or _has_dots(v) for k, v in value.items())


def _has_huge(rows: list[tuple[str, Any, str]]) -> bool:
    """Whether a number has no 64 bits: it is a text on the way."""
    return any(kind == "number" and isinstance(value, str) for _, value, kind in rows)


def test_locales_and_messages(rounds: Callable[[int], int], seed: int) -> None:
    """
    Whatever a locale says, it is served or not; whatever a message says, it may be told.
    """

    def check(text: str) -> None:
        for tag in fallbacks(text):
            assert fallbacks(tag)[0] == tag
        assert redacted(redacted(text)) == redacted(text)

    parts = st.sampled_from(
        ["de", "AT", "_", "-", "UTF-8", ".", "@", "token=", "eyJhbGciOi", "://a:b@"]
    )
    texts = st.lists(parts | grammars.ANY_TEXT, max_size=6).map("".join)
    fuzz(check, texts, rounds(SHORT), seed)


def test_plug_info(rounds: Callable[[int], int], seed: int, tmp_path: Path) -> None:
    """
    Schemes are described in JSON that OpenUSD reads back, or refused; foreign files describe nothing.
    """
    place = tmp_path / "plugInfo.json"

    def check(value: tuple[str, str]) -> None:
        scheme, text = value
        if isinstance(scheme, str) and isinstance(text, str):
            try:
                schemes = env.normalised_schemes([scheme])
            except ConfigurationError as error:
                assert repr(scheme) in str(error)
            else:
                described = json.loads(json.dumps(env.plug_info(schemes, text)))
                assert list(schemes) == _schemes_in(described)
        if isinstance(text, str):
            place.write_bytes(text.encode("utf-8", "surrogatepass"))
            (tmp_path / "build_info.json").write_bytes(place.read_bytes())
            assert env.describes(tmp_path, place) in {True, False}
            assert isinstance(env.mismatch(place, "26.8"), str)

    described = st.sampled_from(corpus.texts("plug_info")) | grammars.json_texts()
    schemes = st.sampled_from(["bal", "a+b-c.d", "a_b", "Bifrost"]) | grammars.ANY_TEXT
    fuzz(check, st.tuples(schemes, described), rounds(SHORT_SLOW), seed)


def _schemes_in(description: dict[str, Any]) -> list[str]:
    [plugin] = description["Plugins"]
    return plugin["Info"]["Types"]["BifrostResolver"]["uriSchemes"]


def test_lines_for_shells(rounds: Callable[[int], int], seed: int) -> None:
    """
    A value stands in a shell's line so that the shell reads that value, and runs nothing.
    """

    def check(value: str) -> None:
        [name, read] = shlex.split(env.shell_lines({"A": value}, "bash"), comments=True)[1].split(
            "=", 1
        )
        assert ("A", value) == (name, read)
        fish = env.shell_lines({"A": value}, "fish").removeprefix("set -gx A ")
        assert value == _fish(fish)

    fuzz(check, grammars.ANY_TEXT, rounds(SHORT), seed, ["it's", "\\", "$(rm)", "a\nb", "\u2019"])


def _fish(quoted: str) -> str:
    """Return what fish reads: within '…' a backslash stands before a quote and before itself only."""
    assert quoted[0] == quoted[-1] == "'"
    return re.sub(r"\\(['\\])", r"\1", quoted[1:-1])
