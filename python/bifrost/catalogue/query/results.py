# SPDX-License-Identifier: Apache-2.0
"""What a query answers: assets as plain dictionaries, whole or projected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.dialect import each_text
from bifrost.catalogue.indexing import VARIANTS
from bifrost.catalogue.query import fields
from bifrost.catalogue.query.values import as_list, at, unknown
from bifrost.catalogue.records import from_microseconds
from bifrost.catalogue.schema import assets, metadata_values, versions
from bifrost.model.entity_reference import reference_for


class QueryPage(list[dict[str, Any]]):
    """
    The assets of one page, a list; or the groups, where the query has an `aggregate`.

    Attributes:
        cursor: The `cursor` of the next page; None where this is the last.
        total: How many assets match in all, where the query has `count`; else None.
        grouped: Whether these are groups.
    """

    def __init__(
        self,
        assets: Iterable[dict[str, Any]] = (),
        cursor: str | None = None,
        total: int | None = None,
        *,
        grouped: bool = False,
    ) -> None:
        super().__init__(assets)
        self.grouped = grouped
        self.cursor = cursor
        self.total = total

    @property
    def assets(self) -> list[dict[str, Any]]:
        """The page's assets: the list itself."""
        return self


class _Row(NamedTuple):
    key: int
    id: str
    name: str
    type: str
    status: str
    latest_version: int
    deprecated: bool
    created: int
    modified: int
    created_by: str
    metadata: str


_BEHIND_VERSION: Final = ("publishedDate", "publishedBy", "comment")
_INDEXED: Final = "variants"
_wanted: Final = each_text("keys", "wanted")
_ASSETS: Final = sa.select(*(assets.c[name] for name in _Row._fields)).where(
    assets.c.key.in_(sa.select(sa.cast(_wanted.c.value, sa.BigInteger)))
)
_VERSIONS: Final = (
    sa.select(assets.c.key, versions.c.created, versions.c.created_by, versions.c.comment)
    .join_from(
        assets,
        versions,
        (versions.c.asset == assets.c.key) & (versions.c.number == assets.c.latest_version),
    )
    .where(assets.c.key.in_(sa.select(sa.cast(_wanted.c.value, sa.BigInteger))))
)

_VARIANTS: Final = (
    sa.select(metadata_values.c.asset, metadata_values.c.text)
    .where(
        metadata_values.c.path == VARIANTS,
        metadata_values.c.asset.in_(sa.select(sa.cast(_wanted.c.value, sa.BigInteger))),
    )
    .order_by(metadata_values.c.asset, metadata_values.c.position)
)


def read_fields(value: Any, where: str) -> tuple[str, ...]:
    """
    Return the names of the fields that a result shall have.

    Raises:
        InvalidQueryException: one is no field.
    """
    return tuple(_projected(name, at(where, i)) for i, name in enumerate(as_list(value, where)))


def _projected(name: Any, where: str) -> str:
    if isinstance(name, str):
        if name in fields.PROJECTED or name.startswith(fields.METADATA):
            return name
        if name in fields.ALIASES:
            return fields.ALIASES[name]
    raise unknown(where, "field", name, fields.PROJECTED)


def fetch(
    connection: sa.Connection, keys: Sequence[int], wanted: Sequence[str] | None
) -> list[dict[str, Any]]:
    """Return the assets of *keys*, in order, with the fields *wanted*; None for the usual ones."""
    if not keys:
        return []
    parameters = {"keys": json.dumps(keys)}
    rows = {row[0]: _Row(*row) for row in connection.execute(_ASSETS, parameters)}
    newest: dict[int, Any] = {}
    if any(name in _BEHIND_VERSION for name in wanted or ()):
        newest = {row[0]: row for row in connection.execute(_VERSIONS, parameters)}
    variants: dict[int, list[str]] = {}
    if _INDEXED in (wanted or ()):
        for key, text in connection.execute(_VARIANTS, parameters):
            variants.setdefault(key, []).append(text)
    # An asset that was deleted in this very moment is gone.
    return [
        _shown(rows[key], newest.get(key), variants.get(key, []), wanted)
        for key in keys
        if key in rows
    ]


def _shown(
    row: _Row, newest: Any, variants: list[str], names: Sequence[str] | None
) -> dict[str, Any]:
    metadata = json.loads(row.metadata)
    known = _known(row, metadata)
    if names is None:
        return known
    known[_INDEXED] = variants
    return {
        name: known[name] if name in known else _value(name, newest, metadata) for name in names
    }


def _known(row: _Row, metadata: dict[str, Any]) -> dict[str, Any]:
    """Return what a result has where the query names no fields."""
    return {
        "uri": reference_for(row.id),
        "id": row.id,
        "name": row.name,
        "type": row.type,
        "status": row.status,
        "tags": metadata.get("tags", []),
        "description": metadata.get("description", ""),
        "version": row.latest_version,
        "deprecated": bool(row.deprecated),
        "createdDate": date_text(row.created),
        "modifiedDate": date_text(row.modified),
        "createdBy": row.created_by,
        "metadata": metadata,
    }


def _value(name: str, newest: Any, metadata: dict[str, Any]) -> Any:
    if name in _BEHIND_VERSION:
        return _of_version(name, newest)
    return _at_path(metadata, name.removeprefix(fields.METADATA).split("."))


def _of_version(name: str, newest: Any) -> Any:
    if newest is None:
        return None
    value = newest[1 + _BEHIND_VERSION.index(name)]
    return date_text(value) if name == "publishedDate" else value


def date_text(microseconds: int) -> str:
    """Return a time as results have it: ISO 8601, in UTC."""
    return from_microseconds(microseconds).isoformat()[:-6] + "Z"


def _at_path(value: Any, steps: Sequence[str]) -> Any:
    """Return what is at a path; of lists each element's, without those that have none."""
    if not steps:
        return value
    if isinstance(value, list):
        found = [_at_path(each, steps) for each in value]
        return [each for each in found if each is not None]
    if isinstance(value, Mapping):
        # A key may have dots of its own.
        for end in range(1, len(steps) + 1):
            key = ".".join(steps[:end])
            if key in value and (found := _at_path(value[key], steps[end:])) is not None:
                return found
    return None
