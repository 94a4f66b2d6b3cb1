# SPDX-License-Identifier: Apache-2.0
"""Where an edge starts and leads: found in the database, or refused."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue import assets as reading
from bifrost.catalogue.records import End, shown
from bifrost.catalogue.relationships import split
from bifrost.catalogue.schema import assets, relationships, versions
from bifrost.errors import Code, InvalidReferenceException, not_found
from bifrost.model.entity_reference import reference_for
from bifrost.model.permissions import User


class Ends(NamedTuple):
    """Where an edge starts and leads, as the database has it."""

    source: End
    target: End
    from_key: int
    from_number: int
    to_key: int
    to_number: int | None
    to_tag: str | None
    kind: str

    @property
    def uri(self) -> str:
        """The reference that it starts at."""
        return reference_for(*self.source)

    def __str__(self) -> str:
        return f"{self.kind} from {self.uri} to {reference_for(*self.target)}"


def ends_of(
    connection: sa.Connection, source: End, target: End, kind: str, user: User | None
) -> Ends:
    """
    Return the ends of an edge, both of them there.

    Raises:
        AssetNotFoundException: one isn't; with suggestions of what *user* may read.
        InvalidReferenceException: the source is a tag, or both ends are one asset.
    """
    _, from_number, from_tag = split(*source)
    if from_tag is not None:
        raise InvalidReferenceException(
            f"{reference_for(*source)} names no version for ever: start at a version's number, or "
            "without any at the whole asset",
            asset_uri=reference_for(*source),
            code=Code.MALFORMED_REFERENCE,
        )
    if source[0] == target[0]:
        raise InvalidReferenceException(
            f"a relationship of {reference_for(*source)} to itself",
            asset_uri=reference_for(*source),
            code=Code.MALFORMED_REFERENCE,
        )
    from_key = key_of(connection, source[0], from_number, user)
    _, to_number, to_tag = split(*target)
    to_key = key_of(connection, target[0], to_number, user)
    return Ends(source, target, from_key, from_number or 0, to_key, to_number, to_tag, kind)


_KEY: Final = (
    sa.select(assets.c.key, assets.c.latest_version, versions.c.number)
    .select_from(
        assets.outerjoin(
            versions,
            (versions.c.asset == assets.c.key)
            & (versions.c.number == sa.bindparam("number", type_=sa.Integer)),
        )
    )
    .where(assets.c.id == sa.bindparam("asset_id"))
)


def key_of(connection: sa.Connection, asset_id: str, number: int | None, user: User | None) -> int:
    """
    Return the key of the asset's row, which has a version *number* unless that is None.

    Raises:
        AssetNotFoundException: it isn't there, or has no such version; with suggestions of what *user* may
            read.
    """
    row = connection.execute(_KEY, {"asset_id": asset_id, "number": number}).first()
    if row is None:
        message = f"the catalogue has no asset {shown(asset_id)}"
        raise reading.not_there(connection, asset_id, message, reference_for(asset_id), user)
    if number is not None and row[2] is None:
        newest = f"the newest is {row[1]}" if row[1] else "it has none yet"
        raise not_found(
            f"asset {shown(asset_id)} has no version {number}; {newest}",
            reference_for(asset_id, number),
            [reference_for(asset_id, row[1])] if row[1] else [],
        )
    return int(row[0])


_COLUMNS: Final = tuple(relationships.c)
_FIND: Final = (
    sa.select(*_COLUMNS)
    .where(
        relationships.c.asset == sa.bindparam("from_key"),
        relationships.c.number == sa.bindparam("from_number"),
        relationships.c.to_asset == sa.bindparam("to_key"),
        relationships.c.kind == sa.bindparam("kind"),
        relationships.c.to_number.is_not_distinct_from(sa.bindparam("to_number", type_=sa.Integer)),
        relationships.c.to_tag.is_not_distinct_from(sa.bindparam("to_tag", type_=sa.Text)),
    )
    # An added one before a file's: that one can be changed.
    .order_by(relationships.c.origin.desc(), relationships.c.position)
    .limit(1)
)


def find(connection: sa.Connection, ends: Ends) -> dict[str, Any] | None:
    """Return the row of the edge of this identity; None where there is none."""
    parameters = {key: value for key, value in ends._asdict().items() if key in _FIND_PARAMETERS}
    row = connection.execute(_FIND, parameters).mappings().first()
    return None if row is None else dict(row)


_FIND_PARAMETERS: Final = frozenset(
    ("from_key", "from_number", "to_key", "to_number", "to_tag", "kind")
)
