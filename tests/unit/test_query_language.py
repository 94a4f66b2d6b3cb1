# SPDX-License-Identifier: Apache-2.0
"""What the query language has, and what its errors say of what it hasn't."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from bifrost.catalogue.query.conditions import All, Compare, Edge, Exists, Not, Search
from bifrost.catalogue.query.fields import FIELDS, field_named
from bifrost.catalogue.query.running import read
from bifrost.errors import InvalidQueryException

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
DAY = 86_400_000_000


def us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000


def condition(document):
    return read(document, NOW).condition


def compare(name, operator, *values):
    return Compare(field_named(name), operator, values)


def error(document) -> InvalidQueryException:
    with pytest.raises(InvalidQueryException) as caught:
        read(document, NOW)
    return caught.value


def test_the_planned_example_is_read_as_it_stands():
    query = read(
        {
            "types": ["model", "texture"],
            "tags": {"$contains": ["character"]},
            "createdDate": {"$gt": "2025-01-01"},
            "sort": [{"field": "modifiedDate", "order": "desc"}],
            "limit": 100,
            "offset": 0,
        },
        NOW,
    )

    assert query.condition == All(
        (
            compare("type", "$in", "model", "texture"),
            All((compare("tags", "$in", "character"),)),
            compare("createdDate", "$gt", us(2025, 1, 1)),
        )
    )
    assert [("modifiedDate", True)] == [(s.field.name, s.descending) for s in query.sorts]
    assert (100, 0) == (query.limit, query.offset)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"name": "a"}, compare("name", "$in", "a")),
        ({"name": {"$eq": "a"}}, compare("name", "$in", "a")),
        ({"name": {"$ne": "a"}}, Not(compare("name", "$in", "a"))),
        ({"name": {"$nin": ["a", "b"]}}, Not(compare("name", "$in", "a", "b"))),
        ({"name": {"$not": {"$like": "a%"}}}, Not(compare("name", "$like", "a%"))),
        ({"tags": {"$any": ["a", "b"]}}, compare("tags", "$in", "a", "b")),
        ({"tags": ["a", "b"]}, compare("tags", "$in", "a", "b")),
        ({"metadata.a.b": {"$gt": 1}}, compare("metadata.a.b", "$gt", 1.0)),
        ({"metadata.a": {"$exists": False}}, Not(Exists(field_named("metadata.a")))),
        ({"filter": {"name": "a"}}, All((All(()), compare("name", "$in", "a")))),
        ({"$text": 'Fire "Green Dragon"'}, Search(("fire", "green dragon"))),
        ({"dependsOn": "a"}, Edge(False, assets=("a",))),
        ({"neededBy": ["a", "bifrost:///assets/b"]}, Edge(True, assets=("a", "b"))),
        (
            {"dependsOn": {"strength": "weak", "type": "rig", "transitive": True}},
            Edge(False, strengths=(1,), transitive=True, other=compare("type", "$in", "rig")),
        ),
        ({"isOrphan": True}, Not(Edge(True))),
        ({"neededBy": {"$exists": False}}, Not(Edge(True))),
    ],
)
def test_what_is_written_means_that(written, meant):
    assert meant == condition(written)


@pytest.mark.parametrize(
    ("written", "microseconds"),
    [
        ("2025-01-31", us(2025, 1, 31)),
        ("2025-01-31T18:00:00", us(2025, 1, 31, 18)),
        ("2025-01-31T18:00:00Z", us(2025, 1, 31, 18)),
        ("2025-01-31T18:00:00+02:00", us(2025, 1, 31, 16)),
        (datetime(2025, 1, 31, 18), us(2025, 1, 31, 18)),  # noqa: DTZ001  what is tested
        (datetime(2025, 1, 31, 18, tzinfo=UTC), us(2025, 1, 31, 18)),
        (date(2025, 1, 31), us(2025, 1, 31)),
        ("now", us(2026, 1, 15, 12)),
        ("now-7d", us(2026, 1, 8, 12)),
        ("now+2h", us(2026, 1, 15, 14)),
    ],
)
def test_dates_are_read_in_utc(written, microseconds):
    assert compare("createdDate", "$gt", microseconds) == condition(
        {"createdDate": {"$gt": written}}
    )


@pytest.mark.parametrize(
    ("document", "where", "name", "nearest"),
    [
        ({"tgas": "a"}, "$.tgas", "tgas", "tags"),
        ({"tags": {"$contians": ["a"]}}, "$.tags.$contians", "$contians", "$contains"),
        (
            {"filter": {"tags": {"$contians": 1}}},
            "$.filter.tags.$contians",
            "$contians",
            "$contains",
        ),
        ({"$adn": []}, "$.$adn", "$adn", "$and"),
        ({"$or": [{"name": "a"}, {"naem": "b"}]}, "$.$or[1].naem", "naem", "name"),
        ({"limt": 5}, "$.limt", "limt", "limit"),
        ({"sort": [{"field": "modified"}]}, "$.sort[0].field", "modified", "modifiedDate"),
        ({"sort": [{"field": "name", "order": "dsc"}]}, "$.sort[0].order", "dsc", "desc"),
        ({"sort": [{"feild": "name"}]}, "$.sort[0].feild", "feild", "field"),
        ({"fields": ["id", "nmae"]}, "$.fields[1]", "nmae", "name"),
        ({"dependsOn": {"strength": "stong"}}, "$.dependsOn.strength", "stong", "strong"),
        ({"dependsOn": {"tpye": "rig"}}, "$.dependsOn.tpye", "tpye", "type"),
        (
            {"aggregate": {"values": {"n": {"$conut": True}}}},
            "$.aggregate.values.n.$conut",
            "$conut",
            "$count",
        ),
        ({"aggregate": {"by": ["tpye"]}}, "$.aggregate.by[0]", "tpye", "type"),
        (
            {"aggregate": {"by": [{"field": "createdDate", "bucket": "moth"}]}},
            "$.aggregate.by[0].bucket",
            "moth",
            "month",
        ),
        (
            {
                "aggregate": {
                    "by": [{"field": "createdDate", "bucket": "day", "timezone": "Europe/Berln"}]
                }
            },
            "$.aggregate.by[0].timezone",
            "Europe/Berln",
            "Europe/Berlin",
        ),
    ],
)
def test_an_unknown_name_is_told_with_its_place_and_the_nearest(document, where, name, nearest):
    found = error(document)

    assert (where, name, nearest) == (found.where, found.name, found.nearest)
    assert found.message.startswith(f"{where}: ")
    assert f"did you mean {nearest!r}?" in found.message


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ([], "$"),
        ({1: "a"}, "$"),
        ({"name": 5}, "$.name"),
        ({"name": None}, "$.name"),
        ({"name": {}}, "$.name"),
        ({"name": {"$in": "a"}}, "$.name.$in"),
        ({"name": {"$contains": "a"}}, "$.name.$contains"),
        ({"name": {"$exists": True}}, "$.name.$exists"),
        ({"name": {"$like": "a\\b"}}, "$.name.$like"),
        ({"version": "3"}, "$.version"),
        ({"version": True}, "$.version"),
        ({"deprecated": 1}, "$.deprecated"),
        ({"deprecated": {"$gt": True}}, "$.deprecated.$gt"),
        ({"createdDate": {"$gt": "yesterday"}}, "$.createdDate.$gt"),
        ({"createdDate": {"$gt": 5}}, "$.createdDate.$gt"),
        ({"metadata.a": {"b": 1}}, "$['metadata.a'].b"),
        ({"metadata": {"a": 1}}, "$.metadata"),
        ({"metadata.a": {"$gt": None}}, "$['metadata.a'].$gt"),
        ({"metadata.a": {"$gt": [1]}}, "$['metadata.a'].$gt"),
        ({"metadata.a": {"$in": [{}]}}, "$['metadata.a'].$in[0]"),
        ({"$and": []}, "$.$and"),
        ({"$and": {"name": "a"}}, "$.$and"),
        ({"$text": "  "}, "$.$text"),
        ({"$gt": 5}, "$.$gt"),
        ({"$not": {"limit": 5}}, "$.$not.limit"),
        ({"dependsOn": 5}, "$.dependsOn"),
        ({"dependsOn": "bifrost:///assets/a?version=2"}, "$.dependsOn"),
        ({"dependsOn": "other:///a"}, "$.dependsOn"),
        ({"dependsOn": {"$exists": True, "kind": "a"}}, "$.dependsOn"),
        ({"isOrphan": "yes"}, "$.isOrphan"),
        ({"limit": -1}, "$.limit"),
        ({"limit": 10_001}, "$.limit"),
        ({"limit": True}, "$.limit"),
        ({"limit": 1.5}, "$.limit"),
        ({"offset": 2_000_000}, "$.offset"),
        ({"cursor": "nonsense"}, "$.cursor"),
        ({"cursor": 5}, "$.cursor"),
        ({"count": 1}, "$.count"),
        ({"fields": "id"}, "$.fields"),
        ({"sort": "name"}, "$.sort"),
        ({"sort": [{"order": "asc"}]}, "$.sort[0]"),
        ({"aggregate": {}, "cursor": "a"}, "$.cursor"),
        ({"aggregate": {"values": {"n": {"$sum": "name"}}}}, "$.aggregate.values.n.$sum"),
        ({"aggregate": {"values": {"n": {}}}}, "$.aggregate.values.n"),
        ({"aggregate": {"by": ["type", "types"]}}, "$.aggregate"),
        ({"aggregate": {"by": [{"field": "name", "bucket": "day"}]}}, "$.aggregate.by[0].bucket"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_with_its_place(document, where):
    assert where == error(document).where


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        -float("inf"),
        2**63,
        -(2**63) - 1,
        pytest.param(10**5000, id="digits"),
        "a\0b",
        "\ud800",
        pytest.param("a" * 10_001, id="long"),
        b"bytes",
        object(),
        {1, 2},
    ],
)
def test_values_that_no_database_holds_are_refused(value):
    for document in ({"metadata.a": value}, {"metadata.a": {"$in": [value]}}):
        assert len(error(document).message) < 1000


def test_what_is_too_deep_or_too_long_is_refused():
    deep = {"name": "a"}
    for _ in range(100_000):
        deep = {"$not": deep}
    negated = {"$eq": "a"}
    for _ in range(100_000):
        negated = {"$not": negated}
    endless: dict = {}
    endless["$and"] = [endless]
    listed: list = []
    for _ in range(100_000):
        listed = [listed]

    assert "deep" in error(deep).message
    assert "deep" in error({"name": negated}).message
    assert "deep" in error(endless).message
    assert "a list" in error({"name": listed}).message
    assert "200 conditions" in error({"$or": [{"name": "a"}] * 300}).message
    assert "at most 10000" in error({"name": {"$in": ["a"] * 10_001}}).message
    assert "20000 values" in error({"$or": [{"name": {"$in": ["a"] * 9000}}] * 3}).message
    assert "at most 20 words" in error({"$text": " ".join(f"w{i}" for i in range(21))}).message
    assert read({"name": {"$in": ["a"] * 10_000}}, NOW).condition


def test_absurd_names_are_cut():
    found = error({"x" * 9_000: 1})

    assert len(found.message) < 1500
    assert len(found.name) <= 200


def test_every_field_has_its_place_in_the_database():
    for field in FIELDS.values():
        assert 1 == sum(map(bool, (field.column, field.version_column, field.path)))
