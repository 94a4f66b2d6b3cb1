# SPDX-License-Identifier: Apache-2.0
"""
What queries search besides the assets' own columns: their metadata, flat, and a text of their words; and
the variants of their newest versions.

All are derived from `assets` and `versions` and can be made anew from those at any time.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.schema import assets, metadata_values, search_texts, versions

MAX_TEXT: Final = 600
"""Characters of a metadata text that queries compare; an index entry of PostgreSQL has 2,704 bytes."""
VARIANTS: Final = ".variants"
"""The path of variants among the values: no metadata has it, whose keys are neither empty nor have dots."""
_MAX_SEARCHED: Final = 20_000
_AT_ONCE: Final = 1000


class Value(NamedTuple):
    """One value of a metadata document; the columns of `metadata_values` but the asset."""

    path: str
    position: int
    kind: str
    text: str | None
    number: float | None


class Indexed(NamedTuple):
    """What of an asset is indexed. With None for *variants* the index keeps those that it has."""

    key: int
    asset_id: str
    name: str
    asset_type: str
    metadata: Mapping[str, Any]
    variants: Sequence[str] | None = None


def values(metadata: Mapping[str, Any]) -> list[Value]:
    """
    Return every value of *metadata*, with dotted paths; lists add no step to a path.

    Positions count the values of one path.
    """
    positions: dict[str, int] = {}
    found = []
    for path, kind, text, number in _walk("", metadata):
        position = positions.get(path, 0)
        positions[path] = position + 1
        found.append(Value(path, position, kind, text, number))
    return found


def _walk(path: str, value: Any) -> Iterator[tuple[str, str, str | None, float | None]]:
    match value:
        case Mapping():
            if path:
                yield path, "o", None, None
            for key, inner in value.items():
                yield from _walk(f"{path}.{key}" if path else key, inner)
        case list() | tuple():
            yield path, "l", None, None
            for inner in value:
                yield from _walk(path, inner)
        case str():
            yield path, "s", value[:MAX_TEXT], None
        case bool():
            yield path, "b", None, float(value)
        case int() | float():
            yield path, "n", None, _as_double(value)
        case _:
            yield path, "z", None, None


def _as_double(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int of hundreds of digits
        return float("inf") if value > 0 else float("-inf")


def variants_of(properties_json: str | None) -> list[str]:
    """
    Return `set=variant` for each variant that a version's properties tell of, sorted, each once.

    Of all prims, and those inside other variants too.
    """
    # Most versions have none, and reading their properties to see that takes longer than all the rest.
    if not properties_json or '"variant_sets": {"' not in properties_json:
        return []
    described = json.loads(properties_json).get("usd")
    of_prims = described.get("variant_sets") if isinstance(described, Mapping) else None
    return sorted(set(_variants(of_prims)))


def _variants(by_name: Any) -> Iterator[str]:
    """Yield what is in sets by prim, or by the variant that brings them. A publisher may say anything."""
    for sets in by_name.values() if isinstance(by_name, Mapping) else ():
        for name, found in sets.items() if isinstance(sets, Mapping) else ():
            if isinstance(found, Mapping):
                variants = found.get("variants")
                if isinstance(variants, list):
                    yield from (f"{name}={each}"[:MAX_TEXT] for each in variants)
                yield from _variants(found.get("nested"))


def _variant_values(variants: Iterable[str]) -> list[Value]:
    return [Value(VARIANTS, place, "s", text, None) for place, text in enumerate(variants)]


def search_text(asset_id: str, name: str, asset_type: str, metadata: Mapping[str, Any]) -> str:
    """Return what `$text` finds the asset by, one line for each text, folded."""
    texts = [asset_id, name, asset_type]
    texts += [text for _, kind, text, _ in _walk("", metadata) if kind == "s" and text]
    return folded("\n".join(dict.fromkeys(texts)))[:_MAX_SEARCHED]


def folded(text: str) -> str:
    """Return *text* as searches compare it: without case, one code point for what looks the same."""
    return unicodedata.normalize("NFKC", text).casefold()


def replace(connection: sa.Connection, items: Iterable[Indexed]) -> None:
    """Index *items* anew, within the caller's transaction."""
    items = list(items)
    if not items:
        return
    keys = [{"gone": item.key} for item in items]
    connection.execute(_FORGET_VALUES, keys)
    if gone := [{"gone": item.key} for item in items if item.variants is not None]:
        connection.execute(_FORGET_VARIANTS, gone)
    rows = [
        {"asset": item.key, **value._asdict()}
        for item in items
        for value in (*values(item.metadata), *_variant_values(item.variants or ()))
    ]
    if rows:
        connection.execute(sa.insert(metadata_values), rows)
    connection.execute(_FORGET_TEXT, keys)
    connection.execute(
        sa.insert(search_texts),
        [
            {
                "asset": item.key,
                "text": search_text(item.asset_id, item.name, item.asset_type, item.metadata),
            }
            for item in items
        ],
    )


_FORGET_VALUES: Final = sa.delete(metadata_values).where(
    metadata_values.c.asset == sa.bindparam("gone"), metadata_values.c.path != VARIANTS
)
_FORGET_VARIANTS: Final = sa.delete(metadata_values).where(
    metadata_values.c.asset == sa.bindparam("gone"), metadata_values.c.path == VARIANTS
)
_FORGET_TEXT: Final = sa.delete(search_texts).where(search_texts.c.asset == sa.bindparam("gone"))
_ASSETS: Final = (
    sa.select(
        assets.c.key,
        assets.c.id,
        assets.c.name,
        assets.c.type,
        assets.c.metadata,
        versions.c.properties,
    )
    .join_from(
        assets,
        versions,
        (versions.c.asset == assets.c.key) & (versions.c.number == assets.c.latest_version),
        isouter=True,
    )
    .where(assets.c.key > sa.bindparam("after"))
    .order_by(assets.c.key)
    .limit(_AT_ONCE)
)


def outdated(connection: sa.Connection, *, mend: bool = False) -> Iterator[Indexed]:
    """
    Yield the assets whose index is not what `replace` would make of them.

    With *mend* it is made anew, within the caller's transaction.
    """
    after = 0
    while rows := connection.execute(_ASSETS, {"after": after}).all():
        last = rows[-1][0]
        span = {"after": after, "last": last}
        found: dict[int, set[Value]] = {}
        for key, *value in connection.execute(_VALUES_OF, span):
            found.setdefault(key, set()).add(Value(*value))
        texts = dict(map(tuple, connection.execute(_TEXTS_OF, span)))
        items = [_as_it_should_be(row) for row in rows]
        wrong = [item for item in items if not _is_current(item, found, texts)]
        if mend:
            replace(connection, wrong)
        yield from wrong
        after = last


def _as_it_should_be(row: Sequence[Any]) -> Indexed:
    key, asset_id, name, asset_type, metadata, properties = row
    return Indexed(key, asset_id, name, asset_type, json.loads(metadata), variants_of(properties))


def _is_current(item: Indexed, found: Mapping[int, set[Value]], texts: Mapping[int, str]) -> bool:
    text = search_text(item.asset_id, item.name, item.asset_type, item.metadata)
    expected = {*values(item.metadata), *_variant_values(item.variants or ())}
    return texts.get(item.key) == text and found.get(item.key, set()) == expected


_VALUES_OF: Final = sa.select(
    metadata_values.c.asset,
    metadata_values.c.path,
    metadata_values.c.position,
    metadata_values.c.kind,
    metadata_values.c.text,
    metadata_values.c.number,
).where(
    metadata_values.c.asset > sa.bindparam("after"),
    metadata_values.c.asset <= sa.bindparam("last"),
)
_TEXTS_OF: Final = sa.select(search_texts.c.asset, search_texts.c.text).where(
    search_texts.c.asset > sa.bindparam("after"), search_texts.c.asset <= sa.bindparam("last")
)


def rebuild(connection: sa.Connection) -> None:
    """Index every asset anew, within the caller's transaction."""
    after = 0
    while rows := connection.execute(_ASSETS, {"after": after}).all():
        replace(connection, map(_as_it_should_be, rows))
        after = rows[-1][0]
