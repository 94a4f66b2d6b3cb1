# SPDX-License-Identifier: Apache-2.0
"""What a group of assets comes to: how many they are, and the least, greatest, sum… of a field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.query.compile import column_of
from bifrost.catalogue.query.fields import Field, Kind
from bifrost.catalogue.query.paging import field_at
from bifrost.catalogue.query.results import date_text
from bifrost.catalogue.query.values import as_flag, as_object, at, invalid, unknown
from bifrost.catalogue.schema import metadata_values

MEASURES: Final = ("$count", "$min", "$max", "$sum", "$avg", "$distinct")
_SUMMED: Final = (Kind.NUMBER, Kind.ANY)

_Expressions = tuple[Sequence[sa.ColumnElement[Any]], Callable[..., Any]]


class Measure(NamedTuple):
    """One of `MEASURES`, and the field it is of; `$count` has none."""

    operator: str
    field: Field | None


def read(value: Any, where: str) -> Measure:
    """
    Return the measure that *value* is: an object of one operator.

    Raises:
        InvalidQueryException: it is none.
    """
    given = as_object(value, where)
    if len(given) != 1:
        raise invalid(where, f"expected one of {', '.join(MEASURES)}")
    ((operator, operand),) = given.items()
    inside = at(where, operator)
    if operator not in MEASURES:
        raise unknown(inside, "operator", operator, MEASURES)
    if operator == "$count":
        if not as_flag(operand, inside):
            raise invalid(inside, "expected true")
        return Measure(operator, None)
    field = field_at(operand, inside)
    if operator in {"$sum", "$avg"} and field.kind not in _SUMMED:
        raise invalid(inside, f"{field.name} holds {field.kind}, no numbers to add up")
    if operator in {"$min", "$max"} and field.kind is Kind.FLAG:
        raise invalid(inside, f"{field.name} is true or false: group by it")
    return Measure(operator, field)


def expressions(measure: Measure, asset: sa.FromClause, *, unwound: bool) -> _Expressions:
    """
    Return what to select for *measure* over rows of *asset*, and how a result is made of it.

    Args:
        measure: What to tell.
        asset: The alias of `assets`.
        unwound: Whether an asset may have several rows, each of another group.
    """
    operator, field = measure
    if field is None:
        counted = sa.func.count(sa.distinct(asset.c.key)) if unwound else sa.func.count()
        return [counted], int
    if field.path:
        return _of_metadata(operator, field, asset)
    column = column_of(field, asset)
    if operator == "$distinct":
        return [sa.func.count(sa.distinct(column))], int
    if operator in {"$min", "$max"}:
        chosen = sa.func.min(column) if operator == "$min" else sa.func.max(column)
        return [chosen], date_or_none if field.kind is Kind.DATE else as_it_is
    as_double = sa.cast(column, sa.Double)
    if operator == "$sum":
        return [sa.func.sum(as_double)], lambda total: tidy(total or 0.0)
    return [sa.func.avg(as_double)], as_it_is


def _of_metadata(operator: str, field: Field, asset: sa.FromClause) -> _Expressions:
    if operator in {"$min", "$max"}:
        chosen = sa.func.min if operator == "$min" else sa.func.max
        number = chosen(_each_of("number", "n", chosen, field, asset))
        text = chosen(_each_of("text", "s", chosen, field, asset))
        return [number, text], lambda number, text: text if number is None else tidy(number)
    total = sa.func.sum(_each_of("number", "n", sa.func.sum, field, asset))
    if operator == "$sum":
        return [total], lambda total: tidy(total or 0.0)
    counted = sa.func.sum(_each_of("number", "n", sa.func.count, field, asset))
    return [total, counted], lambda total, counted: float(total) / int(counted) if counted else None


def _each_of(
    column: str, kind: str, function: Callable[..., Any], field: Field, asset: sa.FromClause
) -> sa.ColumnElement[Any]:
    """Return *function* of the values that one asset has at the field's path."""
    values = metadata_values.alias()
    return (
        sa.select(function(values.c[column]))
        .where(values.c.asset == asset.c.key, values.c.path == field.path, values.c.kind == kind)
        .correlate(asset)
        .scalar_subquery()
    )


def distinct_values(values: sa.FromClause) -> sa.ColumnElement[int]:
    """Return how many different values the rows of *values* (`metadata_values`) have."""
    value = sa.func.coalesce(values.c.text, sa.cast(values.c.number, sa.Text))
    return sa.func.count(sa.distinct(values.c.kind + value))


def as_json(kind: str | None, number: float | None, text: str | None) -> Any:
    """Return the value of a row of `metadata_values`."""
    if kind == "b":
        return bool(number)
    return text if number is None else tidy(number)


def tidy(number: float) -> float:
    """Return *number*, as an integer if it is one: JSON has no other."""
    return int(number) if float(number).is_integer() else float(number)


def date_or_none(value: int | None) -> str | None:
    """Return a time as results have it; None for none."""
    return None if value is None else date_text(value)


def as_it_is(value: Any) -> Any:
    """Return *value*."""
    return value
