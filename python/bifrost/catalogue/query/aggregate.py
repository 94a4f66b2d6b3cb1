# SPDX-License-Identifier: Apache-2.0
"""
`aggregate`: the assets of a query in groups, and what each group comes to.

A list in the metadata puts its asset into a group for each of its values, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.query import buckets, measures, planning
from bifrost.catalogue.query.buckets import Bucket
from bifrost.catalogue.query.compile import column_of
from bifrost.catalogue.query.fields import Field, Kind
from bifrost.catalogue.query.measures import Measure
from bifrost.catalogue.query.paging import field_at, order_at
from bifrost.catalogue.query.planning import Plan, asset
from bifrost.catalogue.query.values import as_list, as_object, as_text, at, invalid, unknown
from bifrost.catalogue.schema import assets, metadata_values

_MAX_GROUPINGS: Final = 5
_MAX_MEASURES: Final = 20
_SETTINGS: Final = ("by", "values")
_BY: Final = ("field", "bucket", "timezone", "as")


class Grouping(NamedTuple):
    """What assets are grouped by, and what results call it."""

    name: str
    field: Field
    bucket: Bucket | None
    where: str


class Aggregate(NamedTuple):
    """
    What groups to make, and what to tell of them.

    Attributes:
        groupings: None for one group of all.
        measures: By the names that results have them under.
        order: Names of either, and whether from the greatest down.
    """

    groupings: tuple[Grouping, ...]
    measures: dict[str, Measure]
    order: tuple[tuple[str, bool], ...]


def read(value: Any, sort: Any, where: str) -> Aggregate:
    """
    Return the aggregate that the object *value* is, in the order of the list *sort*.

    Raises:
        InvalidQueryException: it has something that the language hasn't.
    """
    given = as_object(value, where)
    for key in given:
        if key not in _SETTINGS:
            raise unknown(at(where, key), "setting", key, _SETTINGS)
    groupings = _groupings(given.get("by", ()), at(where, "by"))
    found = _measures(given.get("values", {"count": {"$count": True}}), at(where, "values"))
    names = [grouping.name for grouping in groupings] + list(found)
    if len(set(names)) < len(names):
        raise invalid(where, "two groups or values of one name: give one another name")
    _check_together(found, at(where, "values"))
    return Aggregate(groupings, found, _order(sort, names))


def _groupings(value: Any, where: str) -> tuple[Grouping, ...]:
    entries = as_list(value, where) if not isinstance(value, str | Mapping) else [value]
    if len(entries) > _MAX_GROUPINGS:
        raise invalid(where, f"at most {_MAX_GROUPINGS} fields, got {len(entries)}")
    return tuple(_grouping(entry, at(where, i)) for i, entry in enumerate(entries))


def _grouping(value: Any, where: str) -> Grouping:
    if isinstance(value, str):
        field = field_at(value, where)
        return Grouping(field.name, field, None, where)
    given = as_object(value, where)
    for key in given:
        if key not in _BY:
            raise unknown(at(where, key), "setting", key, _BY)
    field = field_at(given.get("field"), at(where, "field"))
    name = as_text(given.get("as", field.name), at(where, "as"))
    if "bucket" not in given:
        return Grouping(name, field, None, where)
    if field.kind is not Kind.DATE:
        raise invalid(at(where, "bucket"), f"{field.name} is no date")
    bucket = buckets.read_bucket(given["bucket"], given.get("timezone", "UTC"), where)
    return Grouping(name, field, bucket, where)


def _measures(value: Any, where: str) -> dict[str, Measure]:
    given = as_object(value, where)
    if len(given) > _MAX_MEASURES:
        raise invalid(where, f"at most {_MAX_MEASURES} values, got {len(given)}")
    return {name: measures.read(each, at(where, name)) for name, each in given.items()}


def _check_together(found: Mapping[str, Measure], where: str) -> None:
    """Refuse sums beside what looks at each of an asset's values: they would add them up again."""
    if any(map(_is_unwound, found.values())):
        for name, measure in found.items():
            if measure.operator in {"$sum", "$avg"}:
                message = f"{measure.operator} can't stand beside $distinct of metadata: ask twice"
                raise invalid(at(where, name), message, name=measure.operator)


def _is_unwound(measure: Measure) -> bool:
    return measure.operator == "$distinct" and bool(measure.field and measure.field.path)


def _order(value: Any, names: Sequence[str]) -> tuple[tuple[str, bool], ...]:
    found = []
    for i, entry in enumerate(as_list(value, "$.sort")):
        where = at("$.sort", i)
        given = as_object(entry, where)
        for key in given:
            if key not in {"field", "order"}:
                raise unknown(at(where, key), "setting", key, ("field", "order"))
        name = given.get("field")
        if not isinstance(name, str) or name not in names:
            raise unknown(at(where, "field"), "group or value", name, names)
        found.append((name, order_at(given.get("order", "asc"), at(where, "order"))))
    return tuple(found)


class _Columns(NamedTuple):
    """What a statement selects for one name, and how a row's values become the result's."""

    expressions: Sequence[sa.ColumnElement[Any]]
    value: Any


def groups(
    connection: sa.Connection, plan: Plan, aggregate: Aggregate, limit: int, offset: int
) -> list[dict[str, Any]]:
    """Return the groups, each a dictionary of what it is grouped by and of what it comes to."""
    start: sa.FromClause = asset
    columns: dict[str, _Columns] = {}
    for grouping in aggregate.groupings:
        start, columns[grouping.name] = _grouped(connection, start, grouping)
    grouped = [each for column in columns.values() for each in column.expressions]
    unwound = any(grouping.field.path for grouping in aggregate.groupings)
    unwound |= any(map(_is_unwound, aggregate.measures.values()))
    for name, measure in aggregate.measures.items():
        if measure.field is not None and _is_unwound(measure):
            values = metadata_values.alias()
            start = start.outerjoin(values, _first_of_its_kind(values, measure.field.path))
            columns[name] = _Columns([measures.distinct_values(values)], int)
        else:
            columns[name] = _Columns(*measures.expressions(measure, asset, unwound=unwound))
    everything = [each for column in columns.values() for each in column.expressions]
    statement = sa.select(*everything).select_from(start)
    statement = planning.restricted(connection, statement, plan).limit(limit).offset(offset or None)
    if grouped:
        # By place: PostgreSQL doesn't see that an expression with parameters is the same again.
        statement = statement.group_by(
            *(sa.literal_column(str(i + 1)) for i in range(len(grouped)))
        )
    statement = statement.order_by(*_ordered(aggregate, columns, len(grouped)))
    return [_read_row(row, columns) for row in connection.execute(statement)]


def _ordered(
    aggregate: Aggregate, columns: Mapping[str, _Columns], grouped: int
) -> list[sa.ColumnElement[Any]]:
    places: dict[str, list[int]] = {}
    at_place = 1
    for name, column in columns.items():
        places[name] = list(range(at_place, at_place + len(column.expressions)))
        at_place += len(column.expressions)
    wanted = [(place, down) for name, down in aggregate.order for place in places[name]]
    wanted += [(place, False) for place in range(1, grouped + 1)]
    # Databases don't agree on where null comes.
    return [
        sa.literal_column(str(place)).desc().nulls_last()
        if down
        else sa.literal_column(str(place)).asc().nulls_first()
        for place, down in wanted
    ]


def _read_row(row: Sequence[Any], columns: Mapping[str, _Columns]) -> dict[str, Any]:
    found, place = {}, 0
    for name, column in columns.items():
        end = place + len(column.expressions)
        found[name] = column.value(*row[place:end])
        place = end
    return found


def _grouped(
    connection: sa.Connection, start: sa.FromClause, grouping: Grouping
) -> tuple[sa.FromClause, _Columns]:
    field = grouping.field
    if field.path:
        values = metadata_values.alias()
        joined = start.outerjoin(values, _first_of_its_kind(values, field.path))
        return joined, _Columns([values.c.kind, values.c.number, values.c.text], measures.as_json)
    column = column_of(field, asset)
    if grouping.bucket is None:
        return start, _Columns([column], _READERS.get(field.kind, measures.as_it_is))
    return start, _bucketed(connection, column, grouping, grouping.bucket)


def _bucketed(
    connection: sa.Connection, column: sa.ColumnElement[Any], grouping: Grouping, bucket: Bucket
) -> _Columns:
    every = assets.alias()
    bound = column_of(grouping.field, every)
    first, last = connection.execute(
        sa.select(
            sa.select(sa.func.min(bound)).select_from(every).scalar_subquery(),
            sa.select(sa.func.max(bound)).select_from(every).scalar_subquery(),
        )
    ).one()
    if first is None:
        return _Columns([sa.cast(sa.null(), sa.BigInteger)], lambda _: None)
    number = buckets.number(column, bucket, first, last, grouping.where)
    if grouping.field.version_column:
        number = sa.case((column.is_not(None), number))
    return _Columns(
        [number], lambda found: None if found is None else buckets.label(bucket, int(found))
    )


def _first_of_its_kind(values: sa.FromClause, path: str) -> sa.ColumnElement[bool]:
    """Return which rows of *values* are an asset's values at *path*, each of them once."""
    before = metadata_values.alias()
    earlier = sa.exists().where(
        before.c.asset == values.c.asset,
        before.c.path == path,
        before.c.position < values.c.position,
        before.c.kind == values.c.kind,
        sa.func.coalesce(before.c.text, "") == sa.func.coalesce(values.c.text, ""),
        sa.func.coalesce(before.c.number, 0.0) == sa.func.coalesce(values.c.number, 0.0),
    )
    return sa.and_(
        values.c.asset == asset.c.key,
        values.c.path == path,
        values.c.kind.in_(("s", "n", "b")),
        ~earlier,
    )


_READERS: Final = {
    Kind.DATE: measures.date_or_none,
    Kind.FLAG: bool,
}
