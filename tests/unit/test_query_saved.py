# SPDX-License-Identifier: Apache-2.0
"""Queries kept under a name, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bifrost.catalogue.database import Database
from bifrost.catalogue.query import saved
from bifrost.errors import InvalidQueryException
from bifrost.testing.assets import Asset, add_assets

NOW = 1_760_000_000_000_000


@pytest.fixture
def connection(catalogue_url):
    database = Database.open(catalogue_url)
    with database.write() as connection:
        add_assets(connection, [Asset("a"), Asset("b"), Asset("c", type="rig")])
        yield connection
    database.close()


def test_a_saved_query_is_run_by_its_name(connection):
    saved.save(connection, "models", {"type": "model"}, now_us=NOW, created_by="ann")

    assert ["b", "a"] == [asset["id"] for asset in saved.run(connection, "models")]
    assert saved.SavedQuery("models", {"type": "model"}, NOW, "ann") == saved.get(
        connection, "models"
    )


def test_another_page_of_it_is_asked_for_by_overrides(connection):
    saved.save(connection, "models", {"type": "model", "limit": 1}, now_us=NOW)
    first = saved.run(connection, "models")

    second = saved.run(connection, "models", {"cursor": first.cursor, "fields": ["id"]})

    assert ([{"id": "a"}], None) == (second.assets, second.cursor)
    with pytest.raises(InvalidQueryException, match="not 'type'"):
        saved.run(connection, "models", {"type": "rig"})


def test_now_is_the_time_of_each_run(connection):
    saved.save(connection, "old", {"createdDate": {"$lt": "now-1d"}}, now_us=NOW)

    assert [] == saved.run(connection, "old", now=datetime(2025, 1, 1, tzinfo=UTC))
    assert 3 == len(saved.run(connection, "old", now=datetime(2025, 1, 3, tzinfo=UTC)))


def test_dates_are_saved_as_text(connection):
    document = {"createdDate": {"$gt": datetime(2024, 1, 1, 12, tzinfo=UTC)}}

    saved.save(connection, "new", document, now_us=NOW)

    assert {"createdDate": {"$gt": "2024-01-01T12:00:00Z"}} == saved.get(connection, "new").document
    assert 3 == len(saved.run(connection, "new"))


def test_the_same_name_replaces(connection):
    saved.save(connection, "q", {"type": "model"}, now_us=NOW)
    saved.save(connection, "q", {"type": "rig"}, now_us=NOW + 1)

    assert [{"type": "rig"}] == [each.document for each in saved.listed(connection)]


def test_they_are_listed_by_name_and_deleted(connection):
    for name in ("b", "ä", "A"):
        saved.save(connection, name, {}, now_us=NOW)

    saved.delete(connection, "b")

    assert ["A", "ä"] == [each.name for each in saved.listed(connection)]


def test_an_unknown_name_is_told_with_the_nearest(connection):
    saved.save(connection, "approved models", {}, now_us=NOW)

    for act in (saved.get, saved.run, saved.delete):
        with pytest.raises(InvalidQueryException, match="did you mean") as caught:
            act(connection, "aproved models")
        assert "approved models" == caught.value.nearest


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a\0b", "x" * 201, 5, "\ud800"])
def test_names_that_nobody_could_type_are_refused(connection, name):
    with pytest.raises(InvalidQueryException):
        saved.save(connection, name, {}, now_us=NOW)


@pytest.mark.parametrize("document", [{"nmae": "a"}, [], {"metadata.a": float("nan")}])
def test_what_is_no_query_is_not_saved(connection, document):
    with pytest.raises(InvalidQueryException):
        saved.save(connection, "q", document, now_us=NOW)

    assert [] == saved.listed(connection)
