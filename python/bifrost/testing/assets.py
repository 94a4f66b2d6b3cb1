# SPDX-License-Identifier: Apache-2.0
"""Assets put into a catalogue's tables as a test wants them, times and authors included."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from bifrost.catalogue import indexing, schema
from bifrost.catalogue.records import to_microseconds

if TYPE_CHECKING:
    from sqlalchemy import Connection

_NEW_YEAR = datetime(2025, 1, 1, tzinfo=UTC)


class Asset(NamedTuple):
    """
    One asset.

    Attributes:
        id: Its id; what else isn't given is made of that, or the same for all.
        needs: What its newest version needs: (id, kind, strength, origin), of those added before.
    """

    id: str
    name: str = ""
    type: str = "model"
    created: datetime = _NEW_YEAR
    modified: datetime | None = None
    created_by: str = "ann"
    deprecated: bool = False
    latest_version: int = 1
    status: str = "draft"
    metadata: Mapping[str, Any] = {}
    comment: str = ""
    needs: Sequence[tuple[str, str, int, int]] = ()


def add_assets(connection: Connection, assets: Sequence[Asset], first_key: int = 1) -> None:
    """Write *assets*, with keys from *first_key* on, within the caller's transaction."""
    keys: dict[str, int] = {
        row.id: row.key for row in connection.execute(schema.assets.select())
    } | {asset.id: key for key, asset in enumerate(assets, first_key)}
    connection.execute(
        schema.assets.insert(),
        [
            {
                "key": keys[asset.id],
                "id": asset.id,
                "name": asset.name or asset.id,
                "type": asset.type,
                "created": to_microseconds(asset.created),
                "modified": to_microseconds(asset.modified or asset.created),
                "created_by": asset.created_by,
                "deprecated": asset.deprecated,
                "latest_version": asset.latest_version,
                "status": asset.status,
                "metadata": json.dumps(asset.metadata),
            }
            for asset in assets
        ],
    )
    for asset in assets:
        _add_version(connection, asset, keys)
    indexing.replace(
        connection,
        [
            indexing.Indexed(
                keys[asset.id], asset.id, asset.name or asset.id, asset.type, asset.metadata
            )
            for asset in assets
        ],
    )


def _add_version(connection: Connection, asset: Asset, keys: Mapping[str, int]) -> None:
    if not asset.latest_version:
        return
    version = {
        "asset": keys[asset.id],
        "number": asset.latest_version,
        "created": to_microseconds(asset.modified or asset.created),
        "created_by": asset.created_by,
        "comment": asset.comment,
        "size": 0,
        "templated": False,
        "metadata": "{}",
        "properties": "{}",
    }
    empty = {"location": "", "mime_type": "", "checksum": ""}
    connection.execute(schema.versions.insert(), [version | empty])
    for position, (needed, kind, strength, origin) in enumerate(asset.needs):
        edge = {
            "asset": keys[asset.id],
            "number": asset.latest_version,
            "position": position,
            "to_asset": keys[needed],
            "kind": kind,
            "strength": strength,
            "origin": origin,
        }
        connection.execute(schema.relationships.insert(), [edge])
