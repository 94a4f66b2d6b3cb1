# SPDX-License-Identifier: Apache-2.0
"""The edges of one asset, page by page."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from bifrost.catalogue.dialect import each_text
from bifrost.catalogue.edge_values import ORIGINS, STRENGTHS, Relationship, strength_mask
from bifrost.catalogue.records import NEWEST, shown
from bifrost.catalogue.relationships import (
    number_of,
    of_strengths,
    policy_parameters,
    version_of,
)
from bifrost.catalogue.schema import assets, relationships
from bifrost.errors import Code, InvalidReferenceException

DIRECTIONS: Final = ("out", "in", "both")
_OUT, _IN = 0, 1
_edge = relationships.alias("edge")
_source = assets.alias("source")
_target = assets.alias("target")
_NUMBER: Final = sa.bindparam("number", type_=sa.Integer)
# In the order of the primary key, so that a page is read as one range. The rows of an asset that
# is used everywhere are many.
_PLACE: Final = (_edge.c.asset, _edge.c.number, _edge.c.position)


def _among(column: sa.ColumnElement[Any], parameter: str, name: str) -> sa.ColumnElement[bool]:
    texts = sa.select(each_text(parameter, name).c.value)
    return sa.bindparam(parameter, type_=sa.Text).is_(None) | column.in_(texts)


def _edges(direction: int) -> sa.Select[Any]:
    near = _source if direction == _OUT else _target
    after = [sa.bindparam(f"after_{name}", type_=sa.BigInteger) for name in _PLACE_NAMES]
    behind = sa.bindparam("after_direction", type_=sa.Integer)
    return (
        sa.select(
            sa.literal_column(str(direction), sa.Integer).label("direction"),
            *_PLACE,
            _source.c.id.label("from_id"),
            _target.c.id.label("to_id"),
            _edge.c.to_number,
            _edge.c.to_tag,
            _edge.c.kind,
            _edge.c.strength,
            _edge.c.purpose,
            _edge.c.metadata,
            _edge.c.origin,
            _edge.c.created,
            _edge.c.created_by,
        )
        .select_from(
            _edge.join(_source, _source.c.key == _edge.c.asset).join(
                _target, _target.c.key == _edge.c.to_asset
            )
        )
        .where(
            near.c.id == sa.bindparam("asset_id"),
            _belongs(direction),
            _among(_edge.c.kind, "kinds", "kind"),
            _among(_edge.c.purpose, "purposes", "purpose"),
            of_strengths(_edge),
            (behind < direction)
            | ((behind == direction) & (sa.tuple_(*_PLACE) > sa.tuple_(*after))),
        )
    )


def _belongs(direction: int) -> sa.ColumnElement[bool]:
    if direction == _OUT:
        number = sa.func.coalesce(_NUMBER, _source.c.latest_version)
        return _edge.c.number.in_([sa.literal_column("0"), number])
    current = sa.bindparam("current", type_=sa.Boolean)
    newest = _edge.c.number.in_([sa.literal_column("0"), _source.c.latest_version])
    meant = number_of(_target, _edge.c.to_number, _edge.c.to_tag)
    return (_NUMBER.is_(None) | (meant == _NUMBER)) & (sa.not_(current) | newest)


_PLACE_NAMES: Final = ("asset", "number", "position")


def _paged(statement: sa.Select[Any] | sa.CompoundSelect[Any]) -> Any:
    columns = statement.selected_columns
    names = ("direction", *_PLACE_NAMES)
    return statement.order_by(*(columns[name] for name in names)).limit(
        sa.bindparam("limit", type_=sa.Integer)
    )


_STATEMENTS: Final = {
    "out": _paged(_edges(_OUT)),
    "in": _paged(_edges(_IN)),
    "both": _paged(sa.union_all(_edges(_OUT), _edges(_IN))),
}


def relationships_of(
    connection: sa.Connection,
    asset_id: str,
    number: int | None = None,
    *,
    direction: str = "out",
    kinds: Iterable[str] | None = None,
    strengths: Iterable[str] | None = None,
    purposes: Iterable[str] | None = None,
    current: bool = False,
    limit: int = 100,
    after: str = "",
) -> list[Relationship]:
    """
    Return up to *limit* edges of the asset, outgoing first. One statement.

    The order never changes: by the asset and the version that they start at, then as they stand in
    its file or were added. For an unknown asset there are none.

    Args:
        connection: Whose catalogue.
        asset_id: The asset.
        number: A version of it. Outgoing are those of that version, the newest if None, and of the
            whole asset; incoming are those that mean that version today, any version if None.
        direction: `out`, `in` or `both`.
        kinds: Only edges of these kinds; None for all.
        strengths: Only those of these strengths; None for all.
        purposes: Only those of these purposes; None for all.
        current: Incoming only from newest versions and whole assets, not from earlier versions.
        limit: How many.
        after: The `cursor` of the last edge of the page before; "" for the first page.

    Raises:
        InvalidReferenceException: *direction* or *after* is none.
        InvalidTraitsException: one of *strengths* is none.
    """
    if direction not in DIRECTIONS:
        raise _invalid(f"direction: expected one of {', '.join(DIRECTIONS)}", direction)
    parameters = {
        "asset_id": asset_id,
        "number": number,
        "strengths": strength_mask(strengths),
        "kinds": _list(kinds),
        "purposes": _list(purposes),
        "current": current,
        "limit": limit,
        **_after(after),
        **policy_parameters(NEWEST),
    }
    return [_relationship(row) for row in connection.execute(_STATEMENTS[direction], parameters)]


def _list(texts: Iterable[str] | None) -> str | None:
    if texts is None:
        return None
    return json.dumps([texts] if isinstance(texts, str) else list(texts))


def _after(cursor: str) -> dict[str, int]:
    try:
        numbers = [int(part) for part in cursor.split(".")] if cursor else [-1] * 4
        direction, asset, number, position = (min(max(-1, each), 2**63 - 1) for each in numbers)
    except ValueError:
        raise _invalid("after: expected the cursor of a relationship", cursor) from None
    return {
        "after_direction": direction,
        "after_asset": asset,
        "after_number": number,
        "after_position": position,
    }


def _invalid(message: str, given: object) -> InvalidReferenceException:
    return InvalidReferenceException(
        f"{message}, got {shown(str(given))}", code=Code.MALFORMED_REFERENCE
    )


def _relationship(row: sa.Row[Any]) -> Relationship:
    return Relationship(
        from_id=row.from_id,
        from_number=row.number,
        to_id=row.to_id,
        to_version=version_of(row.to_number, row.to_tag),
        kind=row.kind,
        strength=STRENGTHS[row.strength],
        purpose=row.purpose,
        metadata_json=row.metadata,
        origin=ORIGINS[row.origin],
        created_us=row.created,
        created_by=row.created_by,
        direction=DIRECTIONS[row.direction],
        cursor=f"{row.direction}.{row.asset}.{row.number}.{row.position}",
    )
