# SPDX-License-Identifier: Apache-2.0
"""Other files that stand for a version: its thumbnail, its preview, and whatever a publisher adds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from bifrost.catalogue import assets as reading
from bifrost.catalogue import changes
from bifrost.catalogue.checks import check_text, invalid, metadata_json
from bifrost.catalogue.dialect import each_row, number_item, text_item
from bifrost.catalogue.records import Representation
from bifrost.catalogue.schema import assets, representations
from bifrost.model.entity_reference import parse, reference_for

_asked = each_row("versions", "asked")
_OF: Final = (
    sa.select(
        assets.c.id,
        representations.c.number,
        representations.c.name,
        representations.c.location,
        representations.c.mime_type,
        representations.c.size,
        representations.c.checksum,
        representations.c.created,
        representations.c.properties,
    )
    .select_from(
        _asked.join(assets, assets.c.id == text_item(_asked, 0)).join(
            representations,
            (representations.c.asset == assets.c.key)
            & (representations.c.number == number_item(_asked, 1)),
        )
    )
    .order_by(assets.c.id, representations.c.number, representations.c.name)
)


def of_versions(
    connection: sa.Connection, asked: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], dict[str, Representation]]:
    """Return the representations of each (asset id, number), by name. One statement."""
    found: dict[tuple[str, int], dict[str, Representation]] = {}
    for row in connection.execute(_OF, {"versions": json.dumps(list(dict.fromkeys(asked)))}):
        representation = Representation(*row[2:8], properties=json.loads(row[8]))
        found.setdefault((row[0], row[1]), {})[representation.name] = representation
    return found


def check_name(asset_id: str, number: int, name: str) -> None:
    """
    Make sure that *name* can be in a reference.

    Raises:
        InvalidTraitsException: it can't.
    """
    try:
        parse(reference_for(asset_id, number, name))
    except ValueError:
        raise invalid(asset_id, "representation", f"{name[:80]!r} can't be a name") from None


_FORGET: Final = sa.delete(representations).where(
    representations.c.asset == sa.bindparam("of_asset"),
    representations.c.number == sa.bindparam("of_number"),
    representations.c.name == sa.bindparam("of_name"),
)


def put(
    connection: sa.Connection,
    asset_id: str,
    number: int,
    representation: Representation,
    now_us: int,
) -> None:
    """
    Record *representation* of a version that exists, in place of the one of that name.

    Within the caller's transaction; the file is there already.

    Raises:
        InvalidTraitsException: its name can't be in a reference, or a value can't be stored.
    """
    check_name(asset_id, number, representation.name)
    check_text(asset_id, "mime_type", representation.mime_type, 1000)
    row: dict[str, Any] = representation._asdict()
    row["properties"] = metadata_json(asset_id, representation.properties, "properties")
    row["created"] = row.pop("created_us")
    key = reading.keys(connection, [asset_id])[asset_id]
    connection.execute(
        _FORGET, {"of_asset": key, "of_number": number, "of_name": representation.name}
    )
    connection.execute(sa.insert(representations), {"asset": key, "number": number, **row})
    changes.record(connection, [key], now_us)
