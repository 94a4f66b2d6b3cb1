# SPDX-License-Identifier: Apache-2.0
"""
The order of a page's assets, and where it begins.

A cursor says which asset a page ended with, by what it is sorted by: what others insert or remove
meanwhile neither repeats an asset nor hides one. Assets that sort alike come in the order of their
keys, which is that in which they were made.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.query import fields
from bifrost.catalogue.query.compile import column_of
from bifrost.catalogue.query.fields import Field, Kind
from bifrost.catalogue.query.values import MAX_INTEGER, as_list, as_object, at, invalid, unknown
from bifrost.catalogue.schema import Text, metadata_values

MAX_SORTS: Final = 8
_MAX_CURSOR: Final = 20_000
_ORDERS: Final = {"asc": False, "desc": True}


class Sort(NamedTuple):
    """A field to sort by, and whether from its greatest value down."""

    field: Field
    descending: bool


class Term(NamedTuple):
    """One expression of an ORDER BY, never null."""

    expression: sa.ColumnElement[Any]
    descending: bool

    @property
    def ordered(self) -> sa.ColumnElement[Any]:
        """The element of the ORDER BY."""
        return self.expression.desc() if self.descending else self.expression.asc()

    def at_or_after(self, value: Any) -> sa.ColumnElement[bool]:
        """Return whether a row comes with *value*, or after it."""
        limit = sa.literal(value, self.expression.type)
        return self.expression <= limit if self.descending else self.expression >= limit

    def at_or_before(self, value: Any) -> sa.ColumnElement[bool]:
        """Return whether a row comes with *value*, or before it."""
        limit = sa.literal(value, self.expression.type)
        return self.expression >= limit if self.descending else self.expression <= limit


class Cursor(NamedTuple):
    """What the page before ended with: the value of each term, the key last."""

    values: tuple[Any, ...]


def read_sorts(value: Any, where: str) -> tuple[Sort, ...]:
    """
    Return what the list *value* sorts by.

    Raises:
        InvalidQueryException: it is no such list.
    """
    entries = as_list(value, where)
    if len(entries) > MAX_SORTS:
        raise invalid(where, f"at most {MAX_SORTS} fields, got {len(entries)}")
    return tuple(_sort(entry, at(where, i)) for i, entry in enumerate(entries))


def _sort(value: Any, where: str) -> Sort:
    entry = as_object(value, where)
    for key in entry:
        if key not in {"field", "order"}:
            raise unknown(at(where, key), "setting", key, ("field", "order"))
    if "field" not in entry:
        raise invalid(where, "expected the name of a field as 'field'")
    return Sort(
        field_at(entry["field"], at(where, "field")),
        order_at(entry.get("order", "asc"), at(where, "order")),
    )


def field_at(name: Any, where: str) -> Field:
    """Return the field called *name*, or raise."""
    field = fields.field_named(name) if isinstance(name, str) else None
    if field is None:
        raise unknown(where, "field", name, fields.FIELDS)
    return field


def order_at(name: Any, where: str) -> bool:
    """Return whether *name* says to sort from the greatest down, or raise."""
    if not isinstance(name, str) or name not in _ORDERS:
        raise unknown(where, "order", name, _ORDERS)
    return _ORDERS[name]


def terms(sorts: Sequence[Sort], asset: sa.FromClause) -> list[Term]:
    """
    Return the order of *asset*'s rows (an alias of `assets`): by *sorts*, then by key.

    Without *sorts* the newest assets come first.
    """
    found = [term for sort in sorts for term in _terms(sort, asset)]
    return [*found, Term(asset.c.key, sorts[-1].descending if sorts else True)]


def _terms(sort: Sort, asset: sa.FromClause) -> list[Term]:
    if sort.field.path:
        return [Term(each, sort.descending) for each in _least(sort, asset)]
    column = column_of(sort.field, asset)
    if sort.field.version_column:
        column = sa.func.coalesce(column, 0 if sort.field.kind is Kind.DATE else "")
    elif sort.field.kind is Kind.FLAG:
        column = sa.cast(column, sa.Integer)
    return [Term(column, sort.descending)]


def _least(sort: Sort, asset: sa.FromClause) -> list[sa.ColumnElement[Any]]:
    """
    Return what stands for the values at a path, as MongoDB has it: of a list the least one.

    (The greatest where the order is descending.) Nothing comes before numbers, these before texts,
    these before false and true: so a rank, a number and a text.
    """
    number, text, flag = (_of_kind(kind, sort, asset) for kind in "nsb")
    zero, empty = sa.literal(0.0, sa.Double), sa.literal("", Text)
    ranked = [(number, 1), (text, 2), (flag, 3)]
    if sort.descending:
        ranked.reverse()
    first, last = ranked[0][0], ranked[-1][0]
    rank = sa.case(*((value.is_not(None), place) for value, place in ranked), else_=0)
    return [
        rank,
        sa.case(
            (first.is_not(None), first),
            (text.is_not(None), zero),
            else_=sa.func.coalesce(last, zero),
        ),
        sa.case((first.is_not(None), empty), else_=sa.func.coalesce(text, empty)),
    ]


def _of_kind(kind: str, sort: Sort, asset: sa.FromClause) -> sa.ColumnElement[Any]:
    values = metadata_values.alias()
    column = values.c.text if kind == "s" else values.c.number
    chosen = sa.func.max(column) if sort.descending else sa.func.min(column)
    return (
        sa.select(chosen)
        .where(
            values.c.asset == asset.c.key, values.c.path == sort.field.path, values.c.kind == kind
        )
        .correlate(asset)
        .scalar_subquery()
    )


def behind(order: Sequence[Term], cursor: Cursor) -> sa.ColumnElement[bool]:
    """Return whether a row comes after the one that *cursor* names, in this *order*."""
    after: sa.ColumnElement[bool] | None = None
    for term, value in zip(reversed(order), reversed(cursor.values), strict=True):
        strictly = sa.not_(term.at_or_before(value))
        # In this form an index on the column finds where to begin.
        after = strictly if after is None else term.at_or_after(value) & (strictly | after)
    assert after is not None
    return after


def written(sorts: Sequence[Sort], values: Sequence[Any]) -> str:
    """Return the cursor of a page that ended with *values*, as text."""
    text = json.dumps([_fingerprint(sorts), *values], ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(value: Any, sorts: Sequence[Sort], where: str) -> Cursor:
    """
    Return the cursor that a page of the same order gave.

    Raises:
        InvalidQueryException: it is no cursor, or that of another order.
    """
    message = "expected the cursor of a page before"
    if not isinstance(value, str) or len(value) > _MAX_CURSOR:
        raise invalid(where, message)
    try:
        text = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
        fingerprint, *values = json.loads(text)
    except (binascii.Error, ValueError, TypeError, RecursionError):
        raise invalid(where, message) from None
    if fingerprint != _fingerprint(sorts):
        raise invalid(where, f"{message} with the same sort, got that of another sort")
    types = [type_ for sort in sorts for type_ in _types(sort.field)] + [int]
    if len(values) != len(types) or not all(map(_fits, values, types)):
        raise invalid(where, message)
    return Cursor(tuple(values))


def _types(field: Field) -> list[type]:
    if field.path:
        return [int, float, str]
    return [str if field.kind is Kind.TEXT else int]


def _fits(value: Any, type_: type[Any]) -> bool:
    if type(value) is not type_:  # a bool is no int here
        return False
    if isinstance(value, str):
        return "\0" not in value and not any("\ud800" <= ch <= "\udfff" for ch in value)
    if isinstance(value, int):
        return abs(value) <= MAX_INTEGER
    return isinstance(value, float) and math.isfinite(value)


def _fingerprint(sorts: Sequence[Sort]) -> str:
    named = json.dumps([(sort.field.name, sort.descending) for sort in sorts])
    return hashlib.sha256(named.encode()).hexdigest()[:12]
