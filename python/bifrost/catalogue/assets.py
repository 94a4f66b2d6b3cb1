# SPDX-License-Identifier: Apache-2.0
"""
Reading assets and their versions.

Every statement is built once: its text never depends on the size of a batch, which arrives as one
JSON parameter. (A statement built for each call costs 73 us against 30 us, and misses the
database's own statement cache.)
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from bifrost.catalogue.records import (
    AssetRecord,
    NoSuchAsset,
    NoSuchVersion,
    Outcome,
    VersionPolicy,
    VersionRecord,
    to_microseconds,
)
from bifrost.catalogue.schema import assets, changes, versions
from bifrost.model.entity_reference import LATEST

_MAX_NUMBER: Final = 2**31 - 1
# What a tag that no version has is looked up as: numbers count from 1.
_NO_NUMBER: Final = 0


def as_number(version: str | None) -> int | None:
    """Return the number that *version* names, None for a tag or no version."""
    if version is None or not (version.isascii() and version.isdigit()):
        return None
    return min(int(version[:20]), _MAX_NUMBER)


def floating_number(policy: VersionPolicy) -> int | None:
    """Return the number that *policy* makes of a reference without one; None for the newest."""
    if policy.version is None or policy.version == LATEST:
        return None
    number = as_number(policy.version)
    return _NO_NUMBER if number is None else number


def as_of_us(policy: VersionPolicy) -> int | None:
    """Return the policy's moment as the database holds times."""
    return None if policy.as_of is None else to_microseconds(policy.as_of)


def newest_number(asset: sa.FromClause) -> sa.ColumnElement[int]:
    """Return the number of the newest version of the *asset* row, as of the parameter `as_of`."""
    published = (
        sa.select(sa.func.max(_earlier.c.number))
        .where(_earlier.c.asset == asset.c.key, _earlier.c.created <= AS_OF)
        .correlate(asset)
        .scalar_subquery()
    )
    return sa.case((AS_OF.is_(None), asset.c.latest_version), else_=published)


AS_OF: Final = sa.bindparam("as_of", type_=sa.BigInteger)
_earlier = versions.alias("earlier")

_RECORD: Final[tuple[sa.ColumnElement[Any], ...]] = (
    assets.c.id,
    versions.c.number,
    assets.c.name,
    assets.c.type,
    versions.c.location,
    versions.c.mime_type,
    versions.c.templated,
    versions.c.size,
    versions.c.checksum,
    versions.c.created,
    versions.c.created_by,
    versions.c.comment,
    versions.c.metadata,
)


def _resolve_statement() -> sa.Select[Any]:
    # The batch is {"": [ids of newest], "3": [ids of version 3], …}, so that an id is a plain
    # string. Pairs [id, number], each a document of its own, made it 1.5 times as slow.
    group = sa.func.json_each(sa.bindparam("groups")).table_valued("key", "value", name="wanted")
    entry = sa.func.json_each(group.c.value).table_valued("key", "value", name="asked")
    number = sa.case(
        (group.c.key != "", sa.cast(group.c.key, sa.Integer)), else_=newest_number(assets)
    )
    return sa.select(
        group.c.key, entry.c.key, assets.c.latest_version, _replaced_by(group), *_RECORD
    ).select_from(
        group.join(entry, sa.true())
        .join(assets, assets.c.id == entry.c.value)
        .outerjoin(versions, (versions.c.asset == assets.c.key) & (versions.c.number == number))
    )


def _replaced_by(group: sa.FromClause) -> sa.ColumnElement[int]:
    """Return the first later version whose other content lies where this one's file was, if any."""
    later = versions.alias("later")
    number = (
        sa.select(sa.func.min(later.c.number))
        .where(
            later.c.asset == versions.c.asset,
            later.c.number > versions.c.number,
            later.c.location == versions.c.location,
            later.c.location != "",
            later.c.checksum != versions.c.checksum,
        )
        .correlate(versions)
        .scalar_subquery()
    )
    # The newest can't be replaced: the batch's common case isn't looked at.
    return sa.case((group.c.key != "", number), else_=sa.null())


_RESOLVE: Final = _resolve_statement()


def resolve(
    connection: sa.Connection,
    queries: Sequence[tuple[str, str | None]],
    policy: VersionPolicy,
) -> list[Outcome]:
    """Return one outcome for each (asset id, version) of *queries*, in order. One statement."""
    groups, places = _grouped(queries, policy)
    rows = connection.execute(_RESOLVE, {"groups": json.dumps(groups), "as_of": as_of_us(policy)})
    outcomes: list[Outcome | None] = [None] * len(queries)
    # A plain tuple is sliced and built from faster than SQLAlchemy's Row: 1.3 times the bare
    # statement's time in all, and not 1.8.
    for row in map(tuple, rows.all()):
        place = places[row[0]][row[1]]
        if row[5] is None:
            outcomes[place] = _no_version(queries[place], row[2], policy)
        elif row[3] is not None:
            outcomes[place] = NoSuchVersion(row[4], str(row[5]), row[2], replaced_by=row[3])
        else:
            outcomes[place] = tuple.__new__(VersionRecord, row[4:] + _NOT_NEW)
    return [
        outcome or NoSuchAsset(asset_id)
        for outcome, (asset_id, _) in zip(outcomes, queries, strict=True)
    ]


_NOT_NEW: Final = (False,)


def _grouped(
    queries: Sequence[tuple[str, str | None]], policy: VersionPolicy
) -> tuple[dict[str, list[str]], dict[str, list[int]]]:
    """Return the ids by the number wanted of them, and their places in *queries* likewise."""
    floating = floating_number(policy)
    groups: dict[str, list[str]] = {}
    places: dict[str, list[int]] = {}
    keys: dict[str | None, str] = {}
    for place, (asset_id, version) in enumerate(queries):
        key = keys.get(version)
        if key is None:
            key = keys[version] = _group_key(version, floating)
            groups.setdefault(key, [])
            places.setdefault(key, [])
        groups[key].append(asset_id)
        places[key].append(place)
    return groups, places


def _group_key(version: str | None, floating: int | None) -> str:
    if version is None:
        return "" if floating is None else str(floating)
    if version == LATEST:
        return ""
    number = as_number(version)
    return str(_NO_NUMBER if number is None else number)


def _no_version(query: tuple[str, str | None], newest: int, policy: VersionPolicy) -> NoSuchVersion:
    asset_id, version = query
    asked = version if version is not None else policy.version
    return NoSuchVersion(asset_id, asked, newest, policy.as_of)


_VERSIONS: Final = (
    sa.select(*_RECORD)
    .join_from(versions, assets, assets.c.key == versions.c.asset)
    .where(assets.c.id == sa.bindparam("asset_id"))
    .order_by(versions.c.number.desc())
)


def all_versions(connection: sa.Connection, asset_id: str) -> list[VersionRecord]:
    """Return every version of the asset, newest first; nothing for an unknown asset."""
    rows = connection.execute(_VERSIONS, {"asset_id": asset_id})
    return [VersionRecord(*row) for row in rows]


_KEYS: Final = sa.select(assets.c.id, assets.c.key).where(
    assets.c.id.in_(
        sa.select(
            sa.func.json_each(sa.bindparam("ids")).table_valued("value", name="asked").c.value
        )
    )
)


def keys(connection: sa.Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the row keys of those *ids* that exist. One statement."""
    rows = connection.execute(_KEYS, {"ids": json.dumps(list(ids))})
    return {row[0]: row[1] for row in rows}


_LISTING: Final = (
    sa.select(assets.c.id, assets.c.name, assets.c.type, assets.c.created, assets.c.latest_version)
    .where(assets.c.id > sa.bindparam("after"))
    .order_by(assets.c.id)
    .limit(sa.bindparam("limit"))
)
_LISTING_OF_TYPE: Final = _LISTING.where(assets.c.type == sa.bindparam("asset_type"))


def listing(
    connection: sa.Connection, after: str, limit: int, asset_type: str | None
) -> list[AssetRecord]:
    """Return up to *limit* assets by id, from the one behind *after* on."""
    statement = _LISTING if asset_type is None else _LISTING_OF_TYPE
    parameters = {"after": after, "limit": limit, "asset_type": asset_type}
    return [AssetRecord(*row) for row in connection.execute(statement, parameters)]


# Ids that sort near a misspelt one, and ids that hold its longest word. (In the word's LIKE pattern
# `_` stands for any character, which does no harm here.)
_BELOW: Final = (
    sa.select(assets.c.id)
    .where(assets.c.id <= sa.bindparam("asset_id"))
    .order_by(assets.c.id.desc())
    .limit(100)
)
_ABOVE: Final = (
    sa.select(assets.c.id)
    .where(assets.c.id > sa.bindparam("asset_id"))
    .order_by(assets.c.id)
    .limit(100)
)
_HOLDING: Final = (
    sa.select(assets.c.id).where(assets.c.id.contains(sa.bindparam("word"))).limit(200)
)


def suggestions(connection: sa.Connection, asset_id: str, limit: int) -> list[str]:
    """Return up to *limit* existing ids that look like *asset_id*, likeliest first."""
    words = re.findall(r"\w+", asset_id)
    word = max(words, key=len, default=asset_id)
    candidates = {
        row[0]
        for statement in (_BELOW, _ABOVE, _HOLDING)
        for row in connection.execute(statement, {"asset_id": asset_id, "word": word})
    }
    return difflib.get_close_matches(asset_id, sorted(candidates), n=limit, cutoff=0.6)


_CHANGE_NUMBER: Final = sa.select(sa.func.coalesce(sa.func.max(changes.c.number), 0))
_CHANGED_SINCE: Final = (
    sa.select(assets.c.id)
    .join_from(changes, assets, assets.c.key == changes.c.asset)
    .where(changes.c.number > sa.bindparam("number"))
    .distinct()
)


def change_number(connection: sa.Connection) -> int:
    """Return the number of the last change; 0 before the first."""
    return int(connection.execute(_CHANGE_NUMBER).scalar_one())


def changed_since(connection: sa.Connection, number: int) -> set[str]:
    """Return the ids of the assets that changed after change *number*."""
    return set(connection.execute(_CHANGED_SINCE, {"number": number}).scalars())
