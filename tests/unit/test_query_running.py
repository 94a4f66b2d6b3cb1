# SPDX-License-Identifier: Apache-2.0
"""Queries, run: fields, relationships, texts, orders and pages, on both databases."""

from __future__ import annotations

import contextlib
import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bifrost.catalogue import access
from bifrost.catalogue.access import Rule
from bifrost.catalogue.database import Database
from bifrost.catalogue.query import candidates, planning, query
from bifrost.errors import InvalidQueryException
from bifrost.testing.assets import Asset, add_assets

DAY = timedelta(days=1)
START = datetime(2025, 1, 1, tzinfo=UTC)
NEWEST = [{"field": "modifiedDate", "order": "desc"}]


def tagged(*tags, **more):
    return {"tags": list(tags), **more}


SHOW = [
    Asset(
        "hero",
        "Hero_Body",
        "model",
        START,
        START + 9 * DAY,
        status="approved",
        latest_version=3,
        metadata=tagged("character", "hero", description="The green Dragon's rider"),
        comment="final",
    ),
    Asset("skin", "Hero_Skin", "texture", START + DAY, metadata=tagged("character")),
    Asset("wood", "Wood 100%", "texture", START + 2 * DAY, created_by="bob", metadata=tagged("set")),
    Asset("rig", "Hero_Rig", "rig", START + 3 * DAY, metadata={"frames": {"first": 1, "last": 24}},
          needs=[("hero", "reference", 0, 0), ("skin", "texture", 1, 0)]),
    Asset("shot", "Shot_010", "shot", START + 4 * DAY, START + 5 * DAY, deprecated=True,
          status="review", needs=[("rig", "payload", 0, 0), ("wood", "dependency", 2, 1)]),
    Asset("ghost", "Ghöst", "model", START + 5 * DAY, latest_version=0, metadata={"frames": 7}),
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


@pytest.fixture
def changing(database):
    """The same, to be changed."""
    with database.write() as connection:
        add_assets(connection, SHOW)
    return database


def run(database, document, **more):
    with database.read() as connection:
        return query(connection, document, **more)


def ids(database, document, **more):
    return [asset["id"] for asset in run(database, document, **more)]


def names_of(*wanted):
    return [asset.id for asset in reversed(SHOW) if asset.id in wanted]


class TestFilters:
    @pytest.mark.parametrize(
        ("document", "expected"),
        [
            ({}, {"hero", "skin", "wood", "rig", "shot", "ghost"}),
            ({"id": "hero"}, {"hero"}),
            ({"id": {"$nin": ["hero", "skin"]}}, {"wood", "rig", "shot", "ghost"}),
            ({"name": {"$like": "hero%"}}, {"hero", "skin", "rig"}),
            ({"name": {"$like": "%_sk_n"}}, {"skin"}),
            ({"name": {"$like": "Hero\\_Skin"}}, {"skin"}),
            ({"name": {"$like": "%100\\%"}}, {"wood"}),
            ({"name": {"$like": "100\\%"}}, set()),
            ({"name": {"$like": "GHöST"}}, {"ghost"}),
            ({"name": {"$like": "ghÖst"}}, set()),
            ({"name": {"$gte": "Hero_R", "$lt": "Hero_S"}}, {"rig"}),
            ({"types": ["model", "rig"]}, {"hero", "ghost", "rig"}),
            ({"type": {"$ne": "model"}}, {"skin", "wood", "rig", "shot"}),
            ({"type": {"$in": []}}, set()),
            ({"type": {"$nin": []}}, {"hero", "skin", "wood", "rig", "shot", "ghost"}),
            ({"status": ["approved", "review"]}, {"hero", "shot"}),
            ({"version": {"$gt": 1}}, {"hero"}),
            ({"version": {"$lt": 0.5}}, {"ghost"}),
            ({"version": [3, 0]}, {"hero", "ghost"}),
            ({"deprecated": True}, {"shot"}),
            ({"deprecated": {"$ne": True}}, {"hero", "skin", "wood", "rig", "ghost"}),
            ({"createdBy": "bob"}, {"wood"}),
            ({"publishedBy": "bob"}, {"wood"}),
            ({"publishedBy": {"$ne": "bob"}}, {"hero", "skin", "rig", "shot", "ghost"}),
            ({"publishedDate": {"$gt": "2025-01-08"}}, {"hero"}),
            ({"createdDate": {"$gt": "2025-01-04"}}, {"shot", "ghost"}),
            ({"createdDate": {"$gte": "2025-01-04", "$lte": "2025-01-05"}}, {"rig", "shot"}),
            ({"createdDate": {"$lt": "2025-01-02T01:00:00+01:00"}}, {"hero"}),
            ({"createdDate": ["2025-01-01", "2025-01-03"]}, {"hero", "wood"}),
            ({"modifiedDate": {"$gt": datetime(2025, 1, 6, tzinfo=UTC)}}, {"hero"}),
            ({"tags": "character"}, {"hero", "skin"}),
            ({"tags": {"$contains": ["character", "hero"]}}, {"hero"}),
            ({"tags": {"$contains": "set"}}, {"wood"}),
            ({"tags": {"$any": ["hero", "set"]}}, {"hero", "wood"}),
            ({"tags": {"$nin": ["hero", "set"]}}, {"skin", "rig", "shot", "ghost"}),
            ({"tags": {"$exists": False}}, {"rig", "shot", "ghost"}),
            ({"tags": {"$like": "CHAR%"}}, {"hero", "skin"}),
            ({"description": {"$like": "%dragon%"}}, {"hero"}),
            ({"metadata.frames.first": {"$lte": 1}}, {"rig"}),
            ({"metadata.frames": {"$exists": True}}, {"rig", "ghost"}),
            ({"metadata.frames": 7}, {"ghost"}),
            ({"$or": [{"id": "hero"}, {"tags": "set"}]}, {"hero", "wood"}),
            ({"$or": [{"id": "hero"}, {"createdBy": "bob"}]}, {"hero", "wood"}),
            ({"$nor": [{"type": "model"}, {"type": "texture"}]}, {"rig", "shot"}),
            ({"$not": {"$or": [{"type": "model"}, {"tags": "set"}]}}, {"skin", "rig", "shot"}),
            ({"$and": [{"tags": "character"}, {"type": "texture"}]}, {"skin"}),
            ({"filter": {"tags": "character"}, "type": "model"}, {"hero"}),
        ],
    )
    def test_a_filter_finds_these(self, show, document, expected):
        assert names_of(*expected) == ids(show, document)

    def test_now_is_the_time_given(self, show):
        now = datetime(2025, 1, 8, tzinfo=UTC)

        assert names_of("shot", "ghost") == ids(show, {"createdDate": {"$gt": "now-4d"}}, now=now)

    def test_long_texts_are_compared_by_their_beginning(self, database):
        long = "x" * 600
        texts = [long, long + "y", "x" * 599]
        with database.write() as connection:
            add_assets(
                connection, [Asset(str(i), metadata={"a": text}) for i, text in enumerate(texts)]
            )

        assert ["1", "0"] == ids(database, {"metadata.a": long + "z"})

    def test_ten_thousand_values_are_looked_for_at_once(self, show):
        many = [f"asset{i}" for i in range(9_999)] + ["hero"]

        assert ["hero"] == ids(show, {"id": {"$in": many}})
        assert ["hero"] == ids(show, {"tags": {"$in": many}})


class TestRelationships:
    @pytest.mark.parametrize(
        ("document", "expected"),
        [
            ({"dependsOn": "hero"}, {"rig"}),
            ({"dependsOn": "bifrost:///assets/hero"}, {"rig"}),
            ({"dependsOn": ["hero", "wood"]}, {"rig", "shot"}),
            ({"dependsOn": "nobody"}, set()),
            ({"dependsOn": {"asset": "skin", "strength": "weak"}}, {"rig"}),
            ({"dependsOn": {"asset": "skin", "strength": "strong"}}, set()),
            ({"dependsOn": {"strength": ["weak", "reference"]}}, {"rig", "shot"}),
            ({"dependsOn": {"kind": "payload"}}, {"shot"}),
            ({"dependsOn": {"asset": "hero", "transitive": True}}, {"rig", "shot"}),
            ({"dependsOn": {"asset": "skin", "transitive": True, "strength": "strong"}}, set()),
            ({"dependsOn": {"type": "texture"}}, {"rig", "shot"}),
            ({"dependsOn": {"type": "texture", "tags": "set"}}, {"shot"}),
            ({"dependsOn": {"tags": "character", "transitive": True}}, {"rig", "shot"}),
            ({"dependsOn": {"dependsOn": {"type": "model"}}}, {"shot"}),
            ({"dependsOn": {"$exists": True}}, {"rig", "shot"}),
            ({"dependsOn": {"$exists": False}, "types": "texture"}, {"skin", "wood"}),
            ({"neededBy": "shot"}, {"rig", "wood"}),
            ({"neededBy": {"asset": "shot", "transitive": True}}, {"rig", "wood", "hero", "skin"}),
            ({"neededBy": {"type": "rig", "kind": "texture"}}, {"skin"}),
            ({"neededBy": {"$exists": False}}, {"shot", "ghost"}),
            ({"isOrphan": True}, {"shot", "ghost"}),
            ({"isOrphan": False}, {"hero", "skin", "wood", "rig"}),
            ({"$not": {"dependsOn": "hero"}}, {"hero", "skin", "wood", "shot", "ghost"}),
        ],
    )
    def test_a_filter_finds_these(self, show, document, expected):
        assert names_of(*expected) == ids(show, document)

    def test_only_the_newest_version_and_the_whole_asset_count(self, database):
        a = Asset("a")
        with database.write() as connection:
            add_assets(connection, [a, Asset("b", needs=[("a", "old", 0, 0)])])
            connection.exec_driver_sql("UPDATE assets SET latest_version = 2 WHERE id = 'b'")
        assert [] == ids(database, {"dependsOn": "a"})
        assert [] == ids(database, {"neededBy": "b"})

        with database.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO relationships (asset, number, position, to_asset, kind, origin)"
                " VALUES (2, 0, 0, 1, 'added', 1)"
            )
        assert ["b"] == ids(database, {"dependsOn": "a"})
        assert ["a"] == ids(database, {"neededBy": {"kind": "added"}})

    def test_cycles_end(self, database):
        with database.write() as connection:
            add_assets(connection, [Asset("a"), Asset("b", needs=[("a", "", 0, 0)])])
            connection.exec_driver_sql(
                "INSERT INTO relationships (asset, number, position, to_asset, kind)"
                " VALUES (1, 1, 0, 2, '')"
            )

        assert ["b", "a"] == ids(database, {"dependsOn": {"asset": "a", "transitive": True}})


class TestText:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("dragon", {"hero"}),
            ("DRAGON rider", {"hero"}),
            ('"green dragon"', {"hero"}),
            ('"dragon green"', set()),
            ("hero", {"hero", "skin", "rig"}),
            ("hero tex", {"skin"}),
            ("he", {"hero", "skin", "rig"}),
            ("he sk", {"skin"}),
            ("100%", {"wood"}),
            ("1%0", set()),
            ("o_b", {"hero"}),
            ("oxb", set()),
            ("GHÖST", {"ghost"}),
            ("gho\u0308st", {"ghost"}),
            ("dragon's", {"hero"}),
            ("unknown", set()),
            ("AND", set()),
            ("NEAR(", set()),
            ("*", set()),
            ("_010", {"shot"}),
        ],
    )
    def test_words_are_found_anywhere_in_the_texts(self, show, words, expected):
        assert names_of(*expected) == ids(show, {"$text": words})

    def test_words_and_other_conditions_hold_together(self, show):
        assert ["skin"] == ids(show, {"$text": "hero", "tags": "character", "types": ["texture"]})
        assert ["rig"] == ids(show, {"$text": "hero", "$not": {"$text": "character"}})
        assert ["shot", "skin"] == ids(show, {"$or": [{"$text": "skin"}, {"$text": "shot"}]})
        assert ["rig", "skin", "hero"] == ids(show, {"$text": "hero", "sort": [
            {"field": "createdDate", "order": "desc"}]})  # fmt: skip


class TestResults:
    def test_a_result_has_what_is_known_of_the_asset(self, show):
        assert [
            {
                "uri": "bifrost:///assets/hero",
                "id": "hero",
                "name": "Hero_Body",
                "type": "model",
                "status": "approved",
                "tags": ["character", "hero"],
                "description": "The green Dragon's rider",
                "version": 3,
                "deprecated": False,
                "createdDate": "2025-01-01T00:00:00Z",
                "modifiedDate": "2025-01-10T00:00:00Z",
                "createdBy": "ann",
                "metadata": {
                    "tags": ["character", "hero"],
                    "description": "The green Dragon's rider",
                },
            }
        ] == run(show, {"id": "hero"})

    def test_fields_choose_what_a_result_has(self, show):
        fields = ["id", "metadata.frames.last", "comment", "publishedBy", "publishedDate"]

        assert [
            {
                "id": "ghost",
                "metadata.frames.last": None,
                "comment": None,
                "publishedBy": None,
                "publishedDate": None,
            },
            {
                "id": "rig",
                "metadata.frames.last": 24,
                "comment": "",
                "publishedBy": "ann",
                "publishedDate": "2025-01-04T00:00:00Z",
            },
        ] == run(show, {"metadata.frames": {"$exists": True}, "fields": fields})

    def test_paths_reach_into_lists_and_keys_with_dots(self, database):
        metadata = {"a": [{"b": 1}, {"c": 2}, {"b": [3]}], "x.y": {"z": 4}}
        with database.write() as connection:
            add_assets(connection, [Asset("a", metadata=metadata)])

        assert [{"metadata.a.b": [1, [3]], "metadata.x.y.z": 4}] == run(
            database, {"metadata.x.y.z": 4, "fields": ["metadata.a.b", "metadata.x.y.z"]}
        )

    def test_the_total_counts_every_page(self, show):
        page = run(show, {"tags": {"$exists": True}, "count": True, "limit": 1})

        assert (1, 3) == (len(page.assets), page.total)
        assert run(show, {"limit": 1}).total is None

    def test_a_page_of_none_still_has_the_total(self, show):
        page = run(show, {"limit": 0, "count": True})

        assert ([], 6) == (page.assets, page.total)


class TestPages:
    def test_offset_and_limit_cut_a_page_out(self, show):
        by_id = {"sort": [{"field": "id"}]}

        assert ["hero", "rig"] == ids(show, {**by_id, "offset": 1, "limit": 2})
        assert [] == ids(show, {**by_id, "offset": 6})
        assert [] == ids(show, {**by_id, "limit": 0})

    def test_without_a_sort_the_newest_asset_comes_first(self, show):
        assert [asset.id for asset in reversed(SHOW)] == ids(show, {})

    @pytest.mark.parametrize(
        ("sort", "expected"),
        [
            ("name:asc", ["ghost", "hero", "rig", "skin", "shot", "wood"]),
            ("type:asc name:desc", ["hero", "ghost", "rig", "shot", "wood", "skin"]),
            ("type:desc", ["wood", "skin", "shot", "rig", "ghost", "hero"]),
            ("version:desc id:asc", ["hero", "rig", "shot", "skin", "wood", "ghost"]),
            ("deprecated:desc id:asc", ["shot", "ghost", "hero", "rig", "skin", "wood"]),
            ("publishedBy:asc id:asc", ["ghost", "hero", "rig", "shot", "skin", "wood"]),
            ("publishedDate:desc", ["hero", "shot", "rig", "wood", "skin", "ghost"]),
            ("tags:asc id:asc", ["ghost", "rig", "shot", "hero", "skin", "wood"]),
            ("tags:desc id:asc", ["wood", "hero", "skin", "ghost", "rig", "shot"]),
            ("metadata.frames:desc id:asc", ["ghost", "hero", "rig", "shot", "skin", "wood"]),
        ],
    )
    def test_assets_come_in_the_order_asked_for(self, show, sort, expected):
        by = [dict(zip(("field", "order"), each.split(":"), strict=True)) for each in sort.split()]

        assert expected == ids(show, {"sort": by})
        assert expected == list(itertools.chain(*pages(show, {"sort": by, "limit": 2})))

    def test_values_of_different_types_have_an_order(self, database):
        values = [True, "b", 2, None, "a", -1.5, False, [3, "c"], [], "é", "\U0001f600", "\uffff"]
        with database.write() as connection:
            add_assets(
                connection,
                [Asset(f"{i:02}", metadata={"v": value}) for i, value in enumerate(values)],
            )
        order = ["03", "08", "05", "02", "07", "04", "01", "09", "11", "10", "06", "00"]
        # Down, the list [3, "c"] stands by its greatest element.
        down = ["00", "06", "10", "11", "09", "07", "01", "04", "02", "05", "08", "03"]

        for by, expected in (("asc", order), ("desc", down)):
            sort = [{"field": "metadata.v", "order": by}]
            assert expected == ids(database, {"sort": sort})
            assert expected == list(itertools.chain(*pages(database, {"sort": sort, "limit": 5})))

    def test_a_cursor_neither_repeats_nor_leaves_out(self, changing):
        document = {"sort": NEWEST, "limit": 2}
        first = run(changing, document)
        with changing.write() as connection:
            late = Asset("late", modified=START + 20 * DAY)
            add_assets(connection, [late, Asset("early", created=START)], first_key=50)

        second = run(changing, {**document, "cursor": first.cursor})
        rest = run(changing, {**document, "limit": 10, "cursor": second.cursor})

        # Of shot and ghost, that have one date, each page has one.
        assert ["hero", "ghost"] == [asset["id"] for asset in first]
        assert ["shot", "rig"] == [asset["id"] for asset in second]
        assert ["wood", "skin", "early"] == [asset["id"] for asset in rest]
        assert rest.cursor is None

    def test_the_last_page_has_no_cursor(self, show):
        assert run(show, {"limit": 6}).cursor is None
        assert run(show, {"limit": 5}).cursor is not None
        assert run(show, {"limit": 0}).cursor is None

    def test_a_cursor_is_of_its_sort_alone(self, show):
        cursor = run(show, {"sort": NEWEST, "limit": 2}).cursor

        for sort in ([], [{"field": "modifiedDate"}], [{"field": "createdDate", "order": "desc"}]):
            with pytest.raises(InvalidQueryException, match="another sort") as caught:
                run(show, {"sort": sort, "cursor": cursor})
            assert "$.cursor" == caught.value.where
        with pytest.raises(InvalidQueryException, match="leave out the offset"):
            run(show, {"sort": NEWEST, "cursor": cursor, "offset": 1})

    @settings(
        max_examples=50,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(place=st.integers(0, 200), character=st.characters())
    def test_a_damaged_cursor_is_refused_or_read(self, show, place, character):
        cursor = run(show, {"sort": [*NEWEST, {"field": "tags"}], "limit": 2}).cursor
        damaged = cursor[: place % len(cursor)] + character + cursor[place % len(cursor) + 1 :]
        with contextlib.suppress(InvalidQueryException):
            run(show, {"sort": [*NEWEST, {"field": "tags"}], "cursor": damaged})


def pages(database, document):
    cursor = None
    while True:
        page = run(database, {**document, "cursor": cursor})
        yield [asset["id"] for asset in page]
        if page.cursor is None:
            return
        cursor = page.cursor


FILTERS = [
    {},
    {"types": ["model", "rig"]},
    {"tags": "character"},
    {"tags": ["character", "set"], "createdDate": {"$gt": "2025-01-01"}},
    {"$text": "hero"},
    {"$text": "hero rig"},
    {"name": {"$like": "%hero%"}},
    {"name": {"$like": "Hero\\_%"}, "$text": "he"},
    {"dependsOn": {"asset": "hero", "transitive": True}},
    {"dependsOn": {"tags": "character"}},
    {"neededBy": {"types": ["shot"]}},
    {"$or": [{"tags": "set"}, {"type": "rig"}]},
    {"$or": [{"tags": "set"}, {"$and": [{"type": "rig"}, {"version": 1}]}]},
    {"metadata.frames": {"$exists": True}},
    {"status": {"$gt": "a"}, "modifiedDate": {"$lt": "2025-01-08"}},
]
BOUNDS = ("_FEW", "_WINDOW", "_GLANCE", "_MANY")
SORTS = [[], NEWEST, [{"field": "type"}, {"field": "tags", "order": "desc"}]]


@pytest.mark.parametrize(
    "bounds",
    [(0, 1, 1, 0), (0, 1, 1, 99), (0, 99, 99, 0), (99, 0, 0, 0), (1, 2, 2, 2), (0, 3, 3, 2)],
)
def test_however_assets_are_found_they_are_the_same(show, monkeypatch, bounds):
    """Few or many, walked, driven or searched: the plan is about time only."""
    expected = {
        (i, j): (list(itertools.chain(*pages(show, {**each, "sort": sort, "limit": 2}))), None)
        for (i, each), (j, sort) in itertools.product(enumerate(FILTERS), enumerate(SORTS))
    }
    for name, bound in zip(BOUNDS, bounds, strict=True):
        assert hasattr(planning, name)
        monkeypatch.setattr(planning, name, bound)

    for (i, j), (found, _) in expected.items():
        document = {**FILTERS[i], "sort": SORTS[j], "limit": 2}
        assert found == list(itertools.chain(*pages(show, document))), document
        assert len(found) == run(show, {**document, "count": True}).total, document


def test_every_indexable_part_is_a_candidate():
    from bifrost.catalogue.query.running import read

    def found(document):
        return len(list(candidates.candidates(read(document, START).condition)))

    assert [0, 1, 1, 2, 1, 0, 1, 1, 1] == [
        found(document)
        for document in (
            {"createdBy": "a"},
            {"type": "a"},
            {"createdDate": {"$gt": "2025-01-01", "$lt": "2025-02-01"}},
            {"tags": {"$contains": ["a", "b"]}},
            {"$or": [{"type": "a"}, {"tags": "b"}]},
            {"$or": [{"type": "a"}, {"createdBy": "b"}]},
            {"dependsOn": "a"},
            {"dependsOn": {"type": "a"}},
            {"metadata.a": {"$gt": 3}, "createdBy": "b"},
        )
    ]


class TestPermission:
    @pytest.fixture
    def ruled(self, changing):
        with changing.write() as connection:
            access.add(
                connection,
                [Rule("sk*", "read", "bob"), Rule("hero", "read", "bob"), Rule("*", "write", "eve"),
                 Rule("hero", "read", "ann"), Rule("wood\U0010ffff*", "read", "bob")],
                "root", 0,
            )  # fmt: skip
        return changing

    @pytest.mark.parametrize(
        ("user", "document", "expected"),
        [
            ("bob", {}, {"hero", "skin", "wood", "rig", "shot", "ghost"}),
            ("ann", {}, {"hero", "wood", "rig", "shot", "ghost"}),
            ("", {}, {"wood", "rig", "shot", "ghost"}),
            (None, {"tags": "character"}, {"hero", "skin"}),
            ("ann", {"tags": "character"}, {"hero"}),
            ("", {"$text": "hero"}, {"rig"}),
            # Nor is anything to be learnt of an asset by what needs it.
            ("ann", {"dependsOn": {"tags": "character"}}, {"rig"}),
            ("", {"dependsOn": {"tags": "character"}}, set()),
        ],
    )
    def test_what_one_may_not_read_is_not_found(self, ruled, user, document, expected):
        assert names_of(*expected) == ids(ruled, document, user=user)
        assert len(expected) == run(ruled, {**document, "count": True}, user=user).total

    def test_nor_is_it_counted_in_groups(self, ruled):
        document = {"aggregate": {"by": "type"}, "types": ["model", "texture"]}

        assert [{"type": "model", "count": 1}, {"type": "texture", "count": 1}] == run(
            ruled, document, user=""
        )
