# SPDX-License-Identifier: Apache-2.0
"""What changes an asset without making a version: metadata, deprecation, deletion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from bifrost.catalogue import assets as reading
from bifrost.catalogue import changes, indexing
from bifrost.catalogue.checks import invalid, metadata_json
from bifrost.catalogue.records import AssetRecord, NoSuchAsset
from bifrost.catalogue.schema import (
    assets,
    deleted_assets,
    metadata_values,
    relationships,
    representations,
    search_texts,
    status_history,
    version_status,
    versions,
)
from bifrost.errors import Code, ConflictException
from bifrost.model.entity_reference import reference_for
from bifrost.model.permissions import User, name_of

_SHOWN_DEPENDENTS: Final = 5
_SET: Final = (
    sa.update(assets)
    .where(assets.c.key == sa.bindparam("of_key"))
    .values(metadata=sa.bindparam("new_metadata"))
)
_DEPRECATE: Final = (
    sa.update(assets)
    .where(assets.c.key == sa.bindparam("of_key"))
    .values(deprecated=sa.bindparam("new_deprecated"))
)


def set_metadata(
    connection: sa.Connection,
    asset_id: str,
    metadata: Mapping[str, Any],
    *,
    replace: bool,
    now_us: int,
    user: User | None = None,
) -> dict[str, Any]:
    """
    Set the keys of *metadata* in the asset's, those of value None removed; return all of it then.

    With *replace* nothing else stays. Within the caller's transaction.

    Raises:
        AssetNotFoundException: no such asset.
        InvalidTraitsException: a value can't be stored.
    """
    key, asset = existing(connection, asset_id, user)
    if not isinstance(metadata, Mapping):
        raise invalid(
            asset_id, "metadata", f"expected names and values, got {type(metadata).__name__}"
        )
    merged = {**({} if replace else asset.metadata), **metadata}
    merged = {name: value for name, value in merged.items() if value is not None}
    text = metadata_json(asset_id, merged)
    connection.execute(_SET, {"of_key": key, "new_metadata": text})
    indexed = indexing.Indexed(key, asset_id, asset.name, asset.asset_type, merged)
    indexing.replace(connection, [indexed])
    changes.record(connection, [key], now_us)
    return dict(json.loads(text))


def set_deprecated(
    connection: sa.Connection,
    asset_id: str,
    deprecated: bool,
    now_us: int,
    *,
    user: User | None = None,
) -> None:
    """
    Mark the asset as one that people should not use, or undo that. Within the caller's transaction.

    Raises:
        AssetNotFoundException: no such asset.
    """
    key, asset = existing(connection, asset_id, user)
    if asset.deprecated != deprecated:
        connection.execute(_DEPRECATE, {"of_key": key, "new_deprecated": deprecated})
        changes.record(connection, [key], now_us)


_DEPENDENTS: Final = (
    sa.select(assets.c.id)
    .join_from(relationships, assets, assets.c.key == relationships.c.asset)
    .where(
        relationships.c.to_asset == sa.bindparam("of_key"),
        relationships.c.asset != sa.bindparam("of_key"),
    )
    .distinct()
    .order_by(assets.c.id)
    .limit(_SHOWN_DEPENDENTS + 1)
)


def delete(
    connection: sa.Connection, asset_id: str, now_us: int, *, user: User | None = None
) -> int:
    """
    Remove the asset and every version of it; return the newest version's number.

    Its files stay for `check` to remove, and its versions' numbers are never used again. Within the
    caller's transaction.

    Raises:
        AssetNotFoundException: no such asset.
        ConflictException: another asset has a relationship to it, of whatever strength.
    """
    key, asset = existing(connection, asset_id, user)
    needed_by = connection.execute(_DEPENDENTS, {"of_key": key}).scalars().all()
    if needed_by:
        more = ", …" if len(needed_by) > _SHOWN_DEPENDENTS else ""
        raise ConflictException(
            f"asset {asset_id!r} is needed by {', '.join(needed_by[:_SHOWN_DEPENDENTS])}{more}: "
            "deprecate it, or remove those relationships first",
            asset_uri=reference_for(asset_id),
            code=Code.CONFLICT,
        )
    changes.record(connection, [key], now_us)
    for table in (
        representations,
        version_status,
        status_history,
        relationships,
        metadata_values,
        search_texts,
        versions,
    ):
        connection.execute(sa.delete(table).where(table.c.asset == key))
    connection.execute(sa.delete(assets).where(assets.c.key == key))
    connection.execute(sa.delete(deleted_assets).where(deleted_assets.c.id == asset_id))
    row = {"id": asset_id, "asset": key, "latest_version": asset.latest_version}
    connection.execute(sa.insert(deleted_assets), {**row, "at": now_us, "by": name_of(user)})
    return asset.latest_version


def existing(
    connection: sa.Connection, asset_id: str, user: User | None
) -> tuple[int, AssetRecord]:
    """
    Return the asset and its row's key.

    Raises:
        AssetNotFoundException: no such asset; with suggestions of what *user* may read.
    """
    asset = reading.found(connection, [asset_id]).get(asset_id)
    if asset is None:
        message, uri = NoSuchAsset(asset_id).message, reference_for(asset_id[:1000])
        raise reading.not_there(connection, asset_id, message, uri, user)
    return reading.keys(connection, [asset_id])[asset_id], asset
