# SPDX-License-Identifier: Apache-2.0
"""What groups of assets come to, on both databases; days, weeks, months and years of any zone."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bifrost.catalogue import schema
from bifrost.catalogue.database import Database
from bifrost.catalogue.query import query
from bifrost.errors import InvalidQueryException
from bifrost.testing.assets import Asset, add_assets


def made(*moment):
    return datetime(*moment, tzinfo=UTC)


SHOW = [
    Asset("a", type="model", created=made(2025, 3, 29, 22, 59), latest_version=3,
          metadata={"tags": ["x", "y", "x"], "size": 10, "mixed": [1, "one", True]}),
    Asset("b", type="model", created=made(2025, 3, 29, 23, 30), created_by="bob",
          metadata={"tags": ["y"], "size": 2.5, "mixed": 1}),
    Asset("c", type="rig", created=made(2025, 3, 31, 22, 30), deprecated=True,
          metadata={"size": [1, 2, 3], "mixed": "one"}),
    Asset("d", type="shot", created=made(2025, 12, 31, 23, 30), latest_version=0,
          metadata={"size": "large"}),
]  # fmt: skip


@pytest.fixture
def database(catalogue_url):
    database = Database.open(catalogue_url)
    yield database
    database.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def show(request, tmp_path_factory):
    """The assets of `SHOW`, made once: to be read only."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('show') / 'catalogue.sqlite'}"
    else:
        url = request.getfixturevalue("postgresql_server").catalogue()
    database = Database.open(url)
    with database.write() as connection:
        add_assets(connection, SHOW)
    yield database
    database.close()


def groups(database, aggregate, **more):
    with database.read() as connection:
        return query(connection, {"aggregate": aggregate, **more})


def values(database, measure, **more):
    return groups(database, {"values": {"v": measure}}, **more)[0]["v"]


def test_assets_are_counted_by_type(show):
    assert [
        {"type": "model", "count": 2},
        {"type": "rig", "count": 1},
        {"type": "shot", "count": 1},
    ] == groups(show, {"by": ["type"]})


def test_without_groups_all_assets_are_one(show):
    assert [{"count": 4}] == groups(show, {})
    assert [{"count": 2}] == groups(show, {}, types="model")
    assert [{"count": 0}] == groups(show, {}, types="camera")


def test_groups_are_sorted_and_cut(show):
    by_count = [{"field": "count", "order": "desc"}, {"field": "type", "order": "desc"}]

    assert ["model", "shot", "rig"] == [
        each["type"] for each in groups(show, {"by": "type"}, sort=by_count)
    ]
    assert [{"type": "shot", "count": 1}] == groups(
        show, {"by": "type"}, sort=by_count, limit=1, offset=1
    )


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ({"$min": "createdDate"}, "2025-03-29T22:59:00Z"),
        ({"$max": "name"}, "d"),
        ({"$max": "version"}, 3),
        ({"$sum": "version"}, 5),
        ({"$avg": "version"}, 1.25),
        ({"$distinct": "createdBy"}, 2),
        ({"$distinct": "publishedBy"}, 2),
        ({"$distinct": "tags"}, 2),
        ({"$distinct": "metadata.mixed"}, 3),
        ({"$sum": "metadata.size"}, 18.5),
        ({"$avg": "metadata.size"}, 3.7),
        ({"$min": "metadata.size"}, 1),
        ({"$max": "metadata.size"}, 10),
        ({"$max": "description"}, None),
        ({"$max": "tags"}, "y"),
        ({"$sum": "metadata.nothing"}, 0),
        ({"$avg": "metadata.nothing"}, None),
    ],
)
def test_a_group_comes_to_this(show, measure, expected):
    assert expected == values(show, measure)


def test_an_asset_is_once_in_the_group_of_each_of_its_values(show):
    found = groups(
        show, {"by": "tags", "values": {"n": {"$count": True}, "s": {"$sum": "metadata.size"}}}
    )

    assert [
        {"tags": None, "n": 2, "s": 6},
        {"tags": "x", "n": 1, "s": 10},
        {"tags": "y", "n": 2, "s": 12.5},
    ] == found


def test_groups_keep_the_types_of_values(show):
    assert [
        {"metadata.mixed": None, "count": 1},
        {"metadata.mixed": True, "count": 1},
        {"metadata.mixed": 1, "count": 2},
        {"metadata.mixed": "one", "count": 2},
    ] == groups(show, {"by": ["metadata.mixed"]})


def test_groups_of_several_fields(show):
    by = ["deprecated", {"field": "type", "as": "kind"}]

    assert [
        {"deprecated": False, "kind": "model", "count": 2},
        {"deprecated": False, "kind": "shot", "count": 1},
        {"deprecated": True, "kind": "rig", "count": 1},
    ] == groups(show, {"by": by})


def test_sums_beside_distinct_metadata_are_refused(show):
    with pytest.raises(InvalidQueryException, match="ask twice") as caught:
        groups(show, {"values": {"d": {"$distinct": "tags"}, "s": {"$sum": "version"}}})

    assert "$.aggregate.values.s" == caught.value.where


@pytest.mark.parametrize(
    ("bucket", "zone", "expected"),
    [
        ("day", "UTC", {"2025-03-29": 2, "2025-03-31": 1, "2025-12-31": 1}),
        (
            "day",
            "Europe/Berlin",
            {"2025-03-29": 1, "2025-03-30": 1, "2025-04-01": 1, "2026-01-01": 1},
        ),
        ("week", "UTC", {"2025-03-24": 2, "2025-03-31": 1, "2025-12-29": 1}),
        ("month", "UTC", {"2025-03": 3, "2025-12": 1}),
        ("month", "Europe/Berlin", {"2025-03": 2, "2025-04": 1, "2026-01": 1}),
        ("year", "UTC", {"2025": 4}),
        ("year", "Europe/Berlin", {"2025": 3, "2026": 1}),
    ],
)
def test_dates_are_grouped_by_the_calendar_of_a_zone(show, bucket, zone, expected):
    by = {"field": "createdDate", "bucket": bucket, "timezone": zone, "as": "when"}

    found = groups(show, {"by": [by]})

    assert expected == {each["when"]: each["count"] for each in found}
    assert list(expected) == [each["when"] for each in found]


def test_a_catalogue_without_assets_has_no_groups(database):
    by = {"field": "createdDate", "bucket": "day"}

    assert [] == groups(database, {"by": [by]})
    assert [{"count": 0}] == groups(database, {})


def test_the_dates_of_versions_are_grouped_too(show):
    by = {"field": "publishedDate", "bucket": "month"}

    assert [
        {"publishedDate": None, "count": 1},
        {"publishedDate": "2025-03", "count": 3},
    ] == groups(show, {"by": [by]})


ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca",
         "Australia/Lord_Howe", "America/Sao_Paulo"]  # fmt: skip
LABELS = {
    "day": lambda day: day.date().isoformat(),
    "week": lambda day: (day.date() - timedelta(days=day.weekday())).isoformat(),
    "month": lambda day: f"{day:%Y-%m}",
    "year": lambda day: f"{day:%Y}",
}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    moments=st.lists(
        st.datetimes(
            datetime(1969, 1, 1),  # noqa: DTZ001  the strategy adds the zone
            datetime(2040, 1, 1),  # noqa: DTZ001
            timezones=st.just(UTC),
        ),
        min_size=1,
        max_size=8,
    ),
    zone=st.sampled_from(ZONES),
    bucket=st.sampled_from(sorted(LABELS)),
)
def test_the_calendar_is_that_of_python(database, moments, zone, bucket):
    expected = Counter(LABELS[bucket](moment.astimezone(ZoneInfo(zone))) for moment in moments)
    with database.write() as connection:
        for table in (schema.metadata_values, schema.search_texts, schema.versions, schema.assets):
            connection.execute(table.delete())
        add_assets(connection, [Asset(str(i), created=each) for i, each in enumerate(moments)])

    by = {"field": "createdDate", "bucket": bucket, "timezone": zone, "as": "when"}

    assert expected == {each["when"]: each["count"] for each in groups(database, {"by": [by]})}


@pytest.mark.parametrize("microseconds", [2**62, -(2**62)])
@pytest.mark.parametrize("bucket", ["day", "week", "month", "year"])
def test_a_time_that_no_calendar_has_is_shown_as_the_nearest(database, bucket, microseconds):
    """One such row, however it came in, keeps nobody from asking."""
    with database.write() as connection:
        add_assets(connection, [Asset("far")])
        connection.execute(sa.update(schema.assets).values(created=microseconds))

    dated = {"field": "createdDate", "bucket": bucket, "timezone": "Asia/Tokyo"}
    with database.read() as connection:
        [shown] = query(connection, {})
    counted = groups(database, {"by": dated})

    year = "9998" if microseconds > 0 else "0001"
    assert shown["createdDate"].startswith(year)
    assert [1] == [group["count"] for group in counted]
