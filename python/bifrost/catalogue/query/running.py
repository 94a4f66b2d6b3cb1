# SPDX-License-Identifier: Apache-2.0
"""A query from its document to its page."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.query import aggregate, fields, paging, planning, results
from bifrost.catalogue.query.aggregate import Aggregate
from bifrost.catalogue.query.conditions import All, Condition
from bifrost.catalogue.query.language import FilterReader
from bifrost.catalogue.query.paging import Cursor, Sort
from bifrost.catalogue.query.planning import Page
from bifrost.catalogue.query.reading import readable
from bifrost.catalogue.query.results import QueryPage
from bifrost.catalogue.query.values import as_flag, as_integer, as_object, at, invalid
from bifrost.model.permissions import User

DEFAULT_LIMIT: Final = 100
MAX_LIMIT: Final = 10_000
MAX_OFFSET: Final = 1_000_000


class Query(NamedTuple):
    """A query that was read and found to be one."""

    condition: Condition
    sorts: tuple[Sort, ...] = ()
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    cursor: Cursor | None = None
    fields: tuple[str, ...] | None = None
    counted: bool = False
    aggregate: Aggregate | None = None


def read(document: Any, now: datetime) -> Query:
    """
    Return the query that *document* is; `now` in it is *now*. Needs no database.

    Raises:
        InvalidQueryException: it has something that the language hasn't; the error says what, where
            it stands, and what was perhaps meant.
    """
    given = as_object(document, "$")
    reader = FilterReader(now)
    conditions = {key: value for key, value in given.items() if key not in fields.SETTINGS}
    condition = reader.read(conditions, "$")
    if "filter" in given:
        condition = All((condition, reader.read(given["filter"], "$.filter")))
    grouped = _read_aggregate(given)
    sorts = () if grouped else paging.read_sorts(given.get("sort", ()), "$.sort")
    query = Query(
        condition,
        sorts,
        as_integer(given.get("limit", DEFAULT_LIMIT), "$.limit", MAX_LIMIT),
        as_integer(given.get("offset", 0), "$.offset", MAX_OFFSET),
        None
        if given.get("cursor") is None
        else paging.read_cursor(given["cursor"], sorts, "$.cursor"),
        None if given.get("fields") is None else results.read_fields(given["fields"], "$.fields"),
        as_flag(given.get("count", False), "$.count"),
        grouped,
    )
    if query.cursor and query.offset:
        raise invalid("$.offset", "a cursor says where the page begins: leave out the offset")
    return query


def _read_aggregate(given: Mapping[str, Any]) -> Aggregate | None:
    if "aggregate" not in given:
        return None
    for key in ("cursor", "fields"):
        if key in given:
            raise invalid(
                at("$", key), f"{key} is for assets: leave it out beside aggregate", name=key
            )
    return aggregate.read(given["aggregate"], given.get("sort", ()), "$.aggregate")


def query(
    connection: sa.Connection,
    document: Mapping[str, Any],
    *,
    now: datetime | None = None,
    user: User | None = None,
) -> QueryPage:
    """
    Return the page of assets that *document* asks for; `docs/queries.md` is its language.

    A few statements: within one transaction of a snapshot they see one state.

    Args:
        connection: The catalogue.
        document: The query.
        now: What `now` in it means; None for now.
        user: Who asks: assets that they may not read are as if they weren't there. None asks
            without rules.

    Raises:
        InvalidQueryException: the document is not of the language.
    """
    asked = read(document, now or datetime.now(UTC))
    condition = asked.condition if user is None else readable(connection, asked.condition, user)
    plan = planning.plan(connection, condition)
    total = planning.count(connection, plan) if asked.counted else None
    if asked.aggregate is not None:
        groups = aggregate.groups(connection, plan, asked.aggregate, asked.limit, asked.offset)
        return QueryPage(groups, total=total, grouped=True)
    page = Page(asked.sorts, asked.cursor, asked.limit + 1, asked.offset)
    rows = planning.find(connection, plan, page)
    shown = rows[: asked.limit]
    cursor = None
    if shown and len(rows) > asked.limit:
        cursor = paging.written(asked.sorts, shown[-1])
    keys = [row[-1] for row in shown]
    return QueryPage(results.fetch(connection, keys, asked.fields), cursor, total)
