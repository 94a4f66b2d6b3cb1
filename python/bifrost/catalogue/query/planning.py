# SPDX-License-Identifier: Apache-2.0
"""
How the page of a query is found among a million assets.

Either few assets can match at all, by the index of one condition: those are looked at and sorted.
Or many do: then the assets are walked in the order asked for until the page is full. Which it is,
is counted, up to a bound: an index counts 5,000 entries in half a millisecond. And a walk goes only
so far before it is asked again whether some condition matches a tenth of the assets or less.

Slow is left what matches seldom though each of its conditions matches often, and what no index
knows: such a walk goes on to the end, one or two seconds for a million assets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.query import text
from bifrost.catalogue.query.candidates import Candidate, candidates
from bifrost.catalogue.query.compile import column_of, compared, holds
from bifrost.catalogue.query.conditions import All, Compare, Condition, Search, conjuncts
from bifrost.catalogue.query.paging import Cursor, Sort, Term, behind, terms
from bifrost.catalogue.schema import assets

_FEW: Final = 5_000
"""So many assets are looked at one by one at once; a walk passes twice as many in the time."""
_WINDOW: Final = 10_000
"""So far a walk goes before it is asked how many assets the conditions leave, up to `_MANY`."""
_GLANCE: Final = 1_000
_MANY: Final = 100_000
_MOST: Final = 500_000

asset: Final = assets.alias("asset")


class Plan(NamedTuple):
    """
    What is known about a condition.

    Attributes:
        condition: What has to hold.
        candidates: The keys that each of its parts leaves, where an index finds them.
        words: What the database's trigram index may find the assets by.
        few: That one of the candidates that leaves few; None if all leave many.
    """

    condition: Condition
    candidates: tuple[Candidate, ...]
    words: tuple[str, ...]
    few: Candidate | None


class Page(NamedTuple):
    """
    Which page.

    Attributes:
        sorts: The order.
        cursor: What the page before ended with.
        limit: How many assets at most.
        offset: How many to leave out before.
    """

    sorts: tuple[Sort, ...]
    cursor: Cursor | None
    limit: int
    offset: int


def plan(connection: sa.Connection, condition: Condition) -> Plan:
    """Count what each part of *condition* leaves. One round trip, or none."""
    dialect = connection.dialect.name
    words = text.indexed(tuple(dict.fromkeys(_words(condition))), dialect)
    found = tuple(candidates(condition))
    return Plan(condition, found, words, _fewest(connection, found, _FEW))


def _words(condition: Condition) -> Iterator[str]:
    for part in conjuncts(condition):
        if isinstance(part, Search):
            yield from part.words
        elif isinstance(part, Compare):
            yield from text.implied(part)


def _with_words(words: tuple[str, ...], condition: Condition, dialect: str) -> Candidate:
    """Return what the words leave; they needn't be looked for once more."""
    rest: list[Condition] = []
    for part in conjuncts(condition):
        if not isinstance(part, Search):
            rest.append(part)
        elif others := tuple(word for word in part.words if word not in words):
            rest.append(Search(others))
    return Candidate(text.source(words, dialect).keys, All(tuple(rest)))


def _fewest(connection: sa.Connection, found: Sequence[Candidate], most: int) -> Candidate | None:
    """Return the one that leaves the fewest keys, if it leaves no more than *most*."""
    counts = _counts(connection, [each.keys.limit(most + 1) for each in found])
    if not counts or min(counts) > most:
        return None
    return found[counts.index(min(counts))]


def _counts(connection: sa.Connection, asked: Sequence[sa.Select[Any]]) -> list[int]:
    """Return how many rows each of *asked* has. One round trip, or none."""
    if not asked:
        return []
    counts = (
        sa.select(sa.func.count()).select_from(each.subquery()).scalar_subquery() for each in asked
    )
    return list(connection.execute(sa.select(*counts)).one())


def find(connection: sa.Connection, plan: Plan, page: Page) -> list[tuple[Any, ...]]:
    """Return the values that the assets of *page* are sorted by, the key last of them."""
    if plan.few is not None:
        return _execute(connection, _driven(plan, page, plan.few))
    if plan.words and not page.sorts:
        return _execute(connection, _searched(connection, plan, page))
    if not page.sorts or (len(page.sorts) == 1 and page.sorts[0].field.indexed):
        found = _near(connection, plan, page)
        if found is not None:
            return found
    fewer = _fewest(connection, _all_candidates(connection, plan), _MANY)
    return _execute(connection, _driven(plan, page, fewer))


def _near(connection: sa.Connection, plan: Plan, page: Page) -> list[tuple[Any, ...]] | None:
    """Return the page if it can be found without going far in its order."""
    if plan.words:
        # Finding out whether a word is rare takes longer than a look around: PostgreSQL finds all of
        # them before it counts the first.
        if (found := _within(connection, plan, page, _GLANCE)) is not None:
            return found
        rare = _with_words(plan.words, plan.condition, connection.dialect.name)
        if (few := _fewest(connection, [rare], _FEW)) is not None:
            return _execute(connection, _driven(plan, page, few))
    return _within(connection, plan, page, _WINDOW)


def _within(
    connection: sa.Connection, plan: Plan, page: Page, size: int
) -> list[tuple[Any, ...]] | None:
    """Return the page if the next *size* assets of the order fill it, or are all there are."""
    first = terms(page.sorts, asset)[0]
    statement = _sorted(page).where(_matches(plan))
    horizon = connection.execute(_horizon(page, first, size)).scalar()
    if horizon is None:
        return _execute(connection, statement)
    near = first.at_or_before(horizon)
    found = _execute(connection, statement.where(near))
    return found if len(found) == page.limit else None


def _horizon(page: Page, first: Term, size: int) -> sa.Select[Any]:
    """Return the value of the order's first term *size* assets on; its index alone knows."""
    statement = sa.select(first.expression).select_from(asset).order_by(first.ordered)
    if page.cursor is not None:
        statement = statement.where(first.at_or_after(page.cursor.values[0]))
    return statement.limit(1).offset(page.offset + size)


def _driven(plan: Plan, page: Page, candidate: Candidate | None) -> sa.Select[Any]:
    """Return the page, from what *candidate* leaves; None to walk all the way."""
    if candidate is None:
        return _sorted(page).where(_matches(plan))
    # The offset keeps them apart: first the assets, then their order. PostgreSQL would else walk
    # the order after all, where it thinks that a page of it is near.
    columns = (column for column in asset.c if column.name != "metadata")
    inside = sa.select(*columns).where(*_among(candidate)).offset(sa.literal_column("0"))
    return _sorted(page, inside.subquery("few"))


def _execute(connection: sa.Connection, statement: sa.Select[Any]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in connection.execute(statement)]


def _matches(plan: Plan, rows: sa.FromClause = asset) -> sa.ColumnElement[bool]:
    return holds(plan.condition, rows)


def _among(candidate: Candidate) -> list[sa.ColumnElement[bool]]:
    return [
        asset.c.key.in_(sa.select(candidate.keys.subquery().c.key)),
        holds(candidate.rest, asset),
    ]


def _all_candidates(connection: sa.Connection, plan: Plan) -> list[Candidate]:
    if not plan.words:
        return list(plan.candidates)
    return [*plan.candidates, _with_words(plan.words, plan.condition, connection.dialect.name)]


def _sorted(page: Page, rows: sa.FromClause = asset) -> sa.Select[Any]:
    order = terms(page.sorts, rows)
    statement = sa.select(*(term.expression for term in order)).select_from(rows)
    if page.cursor is not None:
        statement = statement.where(behind(order, page.cursor))
    statement = statement.order_by(*(term.ordered for term in order))
    return statement.limit(page.limit).offset(page.offset or None)


def _searched(connection: sa.Connection, plan: Plan, page: Page) -> sa.Select[Any]:
    """Return the newest assets with the words: FTS5 and the texts' primary key have their order."""
    dialect = connection.dialect.name
    source = text.source(plan.words, dialect)
    rest = _with_words(plan.words, plan.condition, dialect).rest
    statement = (
        sa.select(source.key)
        .select_from(source.table.join(asset, asset.c.key == source.key))
        .where(source.found, holds(rest, asset))
        .order_by(source.key.desc())
        .limit(page.limit)
        .offset(page.offset or None)
    )
    if page.cursor is not None:
        statement = statement.where(source.key < page.cursor.values[-1])
    return statement


def restricted(connection: sa.Connection, statement: sa.Select[Any], plan: Plan) -> sa.Select[Any]:
    """Return *statement* of rows of `asset`, of those that the plan finds, in any order."""
    few = plan.few or _fewest(connection, _all_candidates(connection, plan), _MOST)
    if few is None:
        return statement.where(_matches(plan))
    if few.compares:
        return statement.where(
            holds(few.rest, asset),
            *(
                compared(column_of(each.field, asset), each.operator, each.values)
                for each in few.compares
            ),
        )
    return statement.where(*_among(few))


def count(connection: sa.Connection, plan: Plan) -> int:
    """Return how many assets match."""
    statement = restricted(connection, sa.select(sa.func.count()).select_from(asset), plan)
    return int(connection.execute(statement).scalar_one())
