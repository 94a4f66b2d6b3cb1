# SPDX-License-Identifier: Apache-2.0
"""
Writing versions. Each is written once, and a batch is written whole or not at all.

A batch is checked (`checked`), then planned against what is there (`_Plan`), then written with one
statement for each table, however large it is.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue import assets as reading
from bifrost.catalogue import relationships
from bifrost.catalogue.records import (
    NEWEST,
    Dependency,
    Publication,
    VersionRecord,
    shown,
)
from bifrost.catalogue.schema import assets, changes, dependencies, versions
from bifrost.errors import (
    AssetNotFoundException,
    Code,
    InvalidReferenceException,
    InvalidTraitsException,
)
from bifrost.model.entity_reference import parse, reference_for

# Bytes. Nothing of ours comes near; a host's accident (a file's content given as a name) does.
_MAX_BYTES: Final = {
    "name": 1_000,
    "asset_type": 200,
    "checksum": 1_000,
    "mime_type": 1_000,
    "created_by": 1_000,
    "path": 32_000,
    "comment": 100_000,
}
_MAX_METADATA_BYTES: Final = 1_000_000
_MAX_SIZE: Final = 2**63 - 1


class Checked(NamedTuple):
    """A publication whose every value can be stored."""

    publication: Publication
    location: str
    dependencies: tuple[Dependency, ...]
    metadata_json: str


def checked(publications: Iterable[Publication]) -> list[Checked]:
    """
    Return *publications* ready for `publish`; needs no database.

    Raises:
        InvalidReferenceException: an id, or the version of a dependency, can't be in a reference.
        InvalidTraitsException: a value can't be stored; the message names it.
    """
    canonical: dict[tuple[str, str | None], str | None] = {}

    def version_of(asset_id: str, version: str | None) -> str | None:
        # A shot's files name the same few thousand references over and over.
        asked = (asset_id, version)
        if asked not in canonical:
            canonical[asked] = _canonical_version(asset_id, version)
        return canonical[asked]

    return [_checked(publication, version_of) for publication in publications]


def _checked(
    publication: Publication, version_of: Callable[[str, str | None], str | None]
) -> Checked:
    version_of(publication.asset_id, None)
    for field, limit in _MAX_BYTES.items():
        _check_text(publication, field, getattr(publication, field), limit)
    if not publication.name:
        raise _invalid(publication, "name", "an asset needs a name")
    if not isinstance(publication.size, int) or not 0 <= publication.size <= _MAX_SIZE:
        raise _invalid(publication, "size", f"expected a number of bytes, got {publication.size!r}")
    edges = []
    for asset_id, version, kind in publication.dependencies:
        _check_text(publication, "dependency kind", kind, 200)
        edges.append(Dependency(asset_id, version_of(asset_id, version), kind))
    return Checked(publication, _location(publication), tuple(edges), _metadata(publication))


def _canonical_version(asset_id: str, version: str | None) -> str | None:
    # What no reference can name could be published and never found.
    try:
        parsed = parse(reference_for(asset_id, version))
    except ValueError as error:
        raise InvalidReferenceException(
            f"{shown(asset_id)} can't be an asset's id, or {version!r} a version: {error}",
            asset_uri=asset_id[:1000],
            code=Code.MALFORMED_REFERENCE,
        ) from None
    return parsed.version


def _check_text(publication: Publication, field: str, text: str, limit: int) -> None:
    if not isinstance(text, str):
        raise _invalid(publication, field, f"expected text, got {type(text).__name__}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise _invalid(publication, field, f"not valid Unicode: {shown(text)}") from None
    if size > limit:
        raise _invalid(publication, field, f"at most {limit} bytes, got {size}")
    # Only a comment has lines.
    allowed = "\n\r\t" if field == "comment" else ""
    if not text.isprintable() and any(
        unicodedata.category(ch) == "Cc" and ch not in allowed for ch in text
    ):
        raise _invalid(publication, field, f"a control character in {shown(text)}")


def _location(publication: Publication) -> str:
    if not publication.path:
        return ""
    try:
        return PurePath(publication.path).as_uri()
    except ValueError:
        message = f"expected an absolute path, got {shown(publication.path)}"
        raise _invalid(publication, "path", message) from None


def _metadata(publication: Publication) -> str:
    try:
        text = json.dumps(dict(publication.metadata), allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        message = f"JSON can't say it: {error}"
        raise _invalid(publication, "metadata", message) from None
    if size > _MAX_METADATA_BYTES:
        message = f"at most {_MAX_METADATA_BYTES} bytes as JSON, got {size}"
        raise _invalid(publication, "metadata", message)
    return text


def _invalid(publication: Publication, field: str, message: str) -> InvalidTraitsException:
    asset_id = publication.asset_id
    return InvalidTraitsException(
        f"{field} of asset {shown(asset_id)}: {message}",
        asset_uri=reference_for(asset_id),
        code=Code.INVALID_TRAITS,
    )


def publish(
    connection: sa.Connection, batch: Sequence[Checked], now_us: int
) -> list[VersionRecord]:
    """
    Write *batch* within the caller's transaction; return one record for each, in order.

    A publication that changes nothing makes no version: its record is the newest one's.

    Raises:
        AssetNotFoundException: a dependency names what is neither there nor in the batch.
    """
    plan = _Plan(connection, [item.publication.asset_id for item in batch], now_us)
    records = [plan.add(item) for item in batch]
    plan.write()
    return records


class _Plan:
    """What a batch comes to, given what is there. The caller holds the write lock."""

    def __init__(self, connection: sa.Connection, ids: Sequence[str], now_us: int) -> None:
        self._connection = connection
        self._now_us = now_us
        ids = list(dict.fromkeys(ids))
        found = reading.resolve(connection, [(asset_id, None) for asset_id in ids], NEWEST)
        self._newest = {out.asset_id: out for out in found if isinstance(out, VersionRecord)}
        self._edges = {
            asset_id: tuple(edges)
            for asset_id, edges in relationships.latest_dependencies(
                connection, self._newest
            ).items()
        }
        self._there = frozenset(self._newest)
        self._versions: list[tuple[VersionRecord, tuple[Dependency, ...]]] = []
        self._changed: dict[str, None] = {}

    def add(self, item: Checked) -> VersionRecord:
        """Return the version that *item* becomes, or the newest one where nothing changed."""
        asset_id = item.publication.asset_id
        newest = self._newest.get(asset_id)
        if newest is not None and self._is_same(newest, item):
            record = newest._replace(
                name=item.publication.name, asset_type=item.publication.asset_type
            )
            if record != newest:
                self._changed[asset_id] = None
        else:
            record = self._next(newest, item)
            self._versions.append((record, item.dependencies))
            self._edges[asset_id] = item.dependencies
            self._changed[asset_id] = None
        self._newest[asset_id] = record._replace(is_new=False)
        return record

    def _is_same(self, newest: VersionRecord, item: Checked) -> bool:
        return (
            newest.checksum == item.publication.checksum
            and newest.location == item.location
            and newest.templated == item.publication.templated
            and self._edges.get(newest.asset_id, ()) == item.dependencies
        )

    def _next(self, newest: VersionRecord | None, item: Checked) -> VersionRecord:
        publication = item.publication
        return VersionRecord(
            asset_id=publication.asset_id,
            number=newest.number + 1 if newest else 1,
            name=publication.name,
            asset_type=publication.asset_type,
            location=item.location,
            mime_type=publication.mime_type,
            templated=publication.templated,
            size=publication.size,
            checksum=publication.checksum,
            # A clock that was set back must not put a version before its predecessor.
            created_us=max(self._now_us, newest.created_us) if newest else self._now_us,
            created_by=publication.created_by,
            comment=publication.comment,
            metadata_json=item.metadata_json,
            is_new=True,
        )

    def write(self) -> None:
        """Write it all. Raises `AssetNotFoundException` for a dependency on nothing."""
        if not self._changed:
            return
        self._write_assets()
        targets = (edge.asset_id for _, edges in self._versions for edge in edges)
        keys = reading.keys(self._connection, dict.fromkeys([*self._changed, *targets]))
        self._execute(sa.insert(versions), [_version_row(keys, rec) for rec, _ in self._versions])
        self._write_dependencies(keys)
        self._execute(
            sa.insert(changes),
            [{"asset": keys[asset_id], "at": self._now_us} for asset_id in self._changed],
        )

    def _write_assets(self) -> None:
        rows = [_asset_row(self._newest[asset_id]) for asset_id in self._changed]
        there = [row for row in rows if row["id"] in self._there]
        fresh = [row for row in rows if row["id"] not in self._there]
        self._execute(sa.insert(assets), fresh)
        self._execute(_MOVE_ON, [{f"new_{key}": row[key] for key in row} for row in there])

    def _write_dependencies(self, keys: dict[str, int]) -> None:
        rows, pins = [], {}
        for record, edges in self._versions:
            for position, edge in enumerate(edges):
                if edge.asset_id not in keys:
                    raise _dangling(self._connection, record, edge)
                number = reading.as_number(edge.version)
                if number is not None:
                    pins[edge.asset_id, edge.version] = (record, edge)
                rows.append(_dependency_row(keys, record, position, edge, number))
        self._execute(sa.insert(dependencies), rows)
        self._check_pins(pins)

    def _check_pins(
        self, pins: dict[tuple[str, str | None], tuple[VersionRecord, Dependency]]
    ) -> None:
        # After the versions are written, so that a batch may pin what it makes itself.
        found = reading.resolve(self._connection, list(pins), NEWEST)
        for outcome, (record, edge) in zip(found, pins.values(), strict=True):
            if not isinstance(outcome, VersionRecord):
                raise _dangling(self._connection, record, edge)

    def _execute(self, statement: sa.Executable, rows: list[dict[str, Any]]) -> None:
        if rows:
            self._connection.execute(statement, rows)


_MOVE_ON: Final = (
    sa.update(assets)
    .where(assets.c.id == sa.bindparam("new_id"))
    .values(
        name=sa.bindparam("new_name"),
        type=sa.bindparam("new_type"),
        latest_version=sa.bindparam("new_latest_version"),
    )
)


def _asset_row(newest: VersionRecord) -> dict[str, Any]:
    return {
        "id": newest.asset_id,
        "name": newest.name,
        "type": newest.asset_type,
        "created": newest.created_us,
        "latest_version": newest.number,
    }


def _version_row(keys: dict[str, int], record: VersionRecord) -> dict[str, Any]:
    return {
        "asset": keys[record.asset_id],
        "number": record.number,
        "location": record.location,
        "mime_type": record.mime_type,
        "templated": record.templated,
        "size": record.size,
        "checksum": record.checksum,
        "created": record.created_us,
        "created_by": record.created_by,
        "comment": record.comment,
        "metadata": record.metadata_json,
    }


def _dependency_row(
    keys: dict[str, int],
    record: VersionRecord,
    position: int,
    edge: Dependency,
    number: int | None,
) -> dict[str, Any]:
    return {
        "asset": keys[record.asset_id],
        "number": record.number,
        "position": position,
        "to_asset": keys[edge.asset_id],
        "to_number": number,
        "to_tag": edge.version if number is None else None,
        "kind": edge.kind,
    }


def _dangling(
    connection: sa.Connection, record: VersionRecord, edge: Dependency
) -> AssetNotFoundException:
    reference = reference_for(edge.asset_id, edge.version)
    near = reading.suggestions(connection, edge.asset_id, 5)
    return AssetNotFoundException(
        f"asset {shown(record.asset_id)} needs {reference}, which is neither in the catalogue nor "
        "in this batch: publish it before or with it",
        asset_uri=reference,
        code=Code.NOT_FOUND,
        details={"suggestions": [reference_for(asset_id) for asset_id in near]},
    )
