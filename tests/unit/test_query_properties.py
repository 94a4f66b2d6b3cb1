# SPDX-License-Identifier: Apache-2.0
"""
Filters on metadata mean the same on both databases, and what MongoDB means by them.

`mongoquery` says what MongoDB means. Where it does not do what MongoDB does, it is corrected in
`Oracle`; where we mean something else on purpose, the generated filters leave that out:

- Lists within lists are looked through at any depth, MongoDB looks only one deep.
- A step of a path is never a list's index.
- A list as a value means any of them, in MongoDB this very list.
- A null matches a null, in MongoDB also what isn't there (mongoquery agrees with us), and below a
  null there is nothing (mongoquery finds that null again).
- Objects can't be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mongoquery import Query

from bifrost.catalogue import schema
from bifrost.catalogue.database import Database
from bifrost.catalogue.query import query
from bifrost.testing.assets import Asset, add_assets

MANY = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Flag(Enum):
    """Stands for a boolean: in Python True is 1, in MongoDB and here it isn't."""

    NO = False
    YES = True


class Oracle(Query):
    """
    mongoquery, corrected where it isn't MongoDB.

    Its own `$eq`, `$ne`, `$gt`… look at a list as a whole, MongoDB's at each element. Behind a list
    of objects it leaves the lists of each as they are, MongoDB looks at all of their elements. Its
    `$exists: false` is true where any object of a list hasn't the key, MongoDB's where all haven't;
    and it recurses for ever into a text.
    """

    def _extract(self, entry, path):
        found = super()._extract(entry, path)
        if path and isinstance(found, list):
            return [one for each in found for one in (each if isinstance(each, list) else [each])]
        return found

    def _path_exists(self, operator, condition, entry):
        return condition == is_there(entry, operator.split("."))

    def _each(self, operator, condition, entry):
        entries = entry if isinstance(entry, list) else [entry]
        return any(getattr(Query, operator)(condition, each) for each in entries)

    def _eq(self, condition, entry):
        return self._each("_eq", condition, entry)

    def _ne(self, condition, entry):
        return not self._eq(condition, entry)

    def _gt(self, condition, entry):
        return self._each("_gt", condition, entry)

    def _gte(self, condition, entry):
        return self._each("_gte", condition, entry)

    def _lt(self, condition, entry):
        return self._each("_lt", condition, entry)

    def _lte(self, condition, entry):
        return self._each("_lte", condition, entry)

    def _any(self, condition, entry):
        return self._in(condition, entry)

    def _contains(self, condition, entry):
        return self._all(condition, entry)


def is_there(entry: Any, steps: list[str]) -> bool:
    if not steps:
        return True
    if isinstance(entry, list):
        return any(is_there(each, steps) for each in entry)
    return isinstance(entry, dict) and steps[0] in entry and is_there(entry[steps[0]], steps[1:])


def flagged(value: Any) -> Any:
    """Return *value* with its booleans as `Flag`, but those of `$exists`."""
    if isinstance(value, bool):
        return Flag(value)
    if isinstance(value, list):
        return [flagged(each) for each in value]
    if isinstance(value, Mapping):
        return {k: v if k == "$exists" else flagged(v) for k, v in value.items()}
    return value


KEYS = st.sampled_from(["a", "b", "c"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=3)
COMMON = st.sampled_from(["", "x", "X", "y", "é", "\uffff", "\U0001f600"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, -0.0, 1e300, -1.5])
    | COMMON
    | TEXTS
)
ORDERED = st.integers(-3, 3) | st.sampled_from([0.5, 1e300]) | COMMON | TEXTS


def documents(depth: int = 2) -> st.SearchStrategy:
    inner = SCALARS | st.lists(SCALARS, max_size=3)
    if depth:
        nested = documents(depth - 1)
        inner = inner | nested | st.lists(nested, min_size=1, max_size=2)
    return st.dictionaries(KEYS, inner, max_size=3)


@st.composite
def filters(draw, depth: int = 2, *, scalars_only: bool = False):
    kind = draw(st.sampled_from(["field", "field", "$and", "$or", "$nor", "$not"]))
    if not depth or kind == "field":
        # mongoquery recurses for ever where a dotted $exists meets a text.
        steps = 1 if scalars_only else 2
        path = ".".join(draw(st.lists(KEYS, min_size=1, max_size=steps)))
        return {path: draw(conditions(scalars_only=scalars_only))}
    inner = filters(depth - 1, scalars_only=scalars_only)
    return {kind: draw(inner if kind == "$not" else st.lists(inner, min_size=1, max_size=3))}


@st.composite
def conditions(draw, *, scalars_only: bool = False, depth: int = 1):
    lists = ["$in", "$nin", "$any"] + ([] if scalars_only else ["$contains"])
    singles = ["$eq", "$ne"]
    order = ["$gt", "$gte", "$lt", "$lte"]
    kinds = [*lists, *singles, *order, "$exists", "value", "several"] + ["$not"] * bool(depth)
    kind = draw(st.sampled_from(kinds))
    if kind == "value":
        return draw(SCALARS)
    if kind == "$exists":
        return {"$exists": draw(st.booleans())}
    if kind == "$not":
        # mongoquery takes $exists for a field's only where it stands right behind the field.
        inner = conditions(scalars_only=scalars_only, depth=0)
        return {"$not": draw(inner.filter(lambda it: isinstance(it, dict) and "$exists" not in it))}
    if kind == "several":
        return {name: draw(ORDERED) for name in draw(st.lists(st.sampled_from(order), min_size=1))}
    if kind in lists:
        return {kind: draw(st.lists(SCALARS, max_size=4))}
    return {kind: draw(ORDERED if kind in order else SCALARS)}


def under_metadata(condition: Any) -> Any:
    """Return a filter on documents as one on the metadata of assets."""
    return {
        key if key.startswith("$") else f"metadata.{key}": (
            value
            if not key.startswith("$")
            else [under_metadata(each) for each in value]
            if isinstance(value, list)
            else under_metadata(value)
        )
        for key, value in condition.items()
    }


def has_null_on_the_way(value: Any) -> bool:
    """Whether mongoquery would find a null below a null."""
    if isinstance(value, list):
        return any(each is None or has_null_on_the_way(each) for each in value)
    return isinstance(value, Mapping) and any(
        each is None or has_null_on_the_way(each) for each in value.values()
    )


@pytest.fixture
def database(catalogue_url):
    database = Database.open(catalogue_url)
    yield database
    database.close()


def matching(database: Database, found: list[dict], asked: dict) -> list[int]:
    """Return the places of those of *found* that the database matches."""
    with database.write() as connection:
        for table in (schema.metadata_values, schema.search_texts, schema.versions, schema.assets):
            connection.execute(table.delete())
        add_assets(connection, [Asset(f"{i:02}", metadata=each) for i, each in enumerate(found)])
        page = query(connection, {"filter": asked, "sort": [{"field": "id"}], "count": True})
    assert page.total == len(page)
    return [int(asset["id"]) for asset in page]


@MANY
@given(found=st.lists(documents(), min_size=1, max_size=6), asked=filters())
def test_a_filter_means_what_mongodb_means(database, found, asked):
    oracle = Oracle(flagged(asked))
    usable = [each for each in found if not has_null_on_the_way(each)]

    expected = [i for i, each in enumerate(usable) if oracle.match(flagged(each))]

    assert not usable or expected == matching(database, usable, under_metadata(asked))


@MANY
@given(
    found=st.lists(st.dictionaries(KEYS, ORDERED, max_size=3), min_size=1, max_size=6),
    asked=filters(scalars_only=True),
)
def test_without_lists_mongoquery_itself_agrees(database, found, asked):
    """No correction at all but `$any`, which it hasn't: nothing is hidden by `Oracle`."""

    class Plain(Query):
        def _any(self, condition, entry):
            return self._in(condition, entry)

    oracle = Plain(flagged(asked))

    expected = [i for i, each in enumerate(found) if oracle.match(flagged(each))]

    assert expected == matching(database, found, under_metadata(asked))
