# SPDX-License-Identifier: Apache-2.0
"""What the catalogue keeps and how it answers."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bifrost.catalogue import (
    Catalogue,
    Dependency,
    NoSuchAsset,
    NoSuchVersion,
    Publication,
    VersionPolicy,
    VersionRecord,
)
from bifrost.errors import (
    AssetNotFoundException,
    CatalogueError,
    InvalidReferenceException,
    InvalidTraitsException,
)

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that tests set."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def catalogue(catalogue_url, clock):
    with Catalogue.open(catalogue_url, clock=clock) as catalogue:
        yield catalogue


def publication(asset_id, checksum="1", *needs, **values):
    edges = [need if isinstance(need, Dependency) else Dependency(need) for need in needs]
    defaults = {
        "name": asset_id.title(),
        "asset_type": "model",
        "path": f"/show/{checksum}/{asset_id}.usd",
    }
    return Publication(asset_id, checksum=checksum, dependencies=edges, **{**defaults, **values})


def statements(catalogue):
    """Return a list that grows with every statement the catalogue executes."""
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    sa.event.listen(catalogue._database._engine, "before_cursor_execute", note)
    return seen


class TestResolve:
    def test_a_floating_query_is_the_newest_version(self, catalogue):
        catalogue.publish([publication("hero", "1")])
        catalogue.publish([publication("hero", "2")])

        [found] = catalogue.resolve([("hero", None)])

        assert (2, "2") == (found.number, found.checksum)

    def test_everything_published_comes_back(self, catalogue):
        catalogue.publish(
            [
                publication(
                    "hero",
                    "abc",
                    path="/show/a hero/tex.<UDIM>.exr",
                    size=12,
                    mime_type="image/x-exr",
                    templated=True,
                    comment="two\nlines",
                    created_by="ann",
                    metadata={"sources": ["a", 1, None], "ünï": "✓"},
                )
            ]
        )

        [found] = catalogue.resolve([("hero", "1")])

        assert (
            VersionRecord(
                asset_id="hero",
                number=1,
                name="Hero",
                asset_type="model",
                location="file:///show/a%20hero/tex.%3CUDIM%3E.exr",
                mime_type="image/x-exr",
                templated=True,
                size=12,
                checksum="abc",
                created_us=int(NOON.timestamp()) * 1_000_000,
                created_by="ann",
                comment="two\nlines",
                metadata_json='{"sources": ["a", 1, null], "ünï": "✓"}',
            )
            == found
        )
        assert NOON == found.created
        assert {"sources": ["a", 1, None], "ünï": "✓"} == found.metadata
        assert True is found.templated

    def test_outcomes_keep_the_order_of_a_mixed_batch(self, catalogue):
        catalogue.publish([publication("a"), publication("b")])
        catalogue.publish([publication("a", "2")])

        found = catalogue.resolve(
            [("b", None), ("x", None), ("a", "1"), ("a", "9"), ("a", "latest"), ("a", "1")]
        )

        assert [VersionRecord, NoSuchAsset, VersionRecord, NoSuchVersion] == [
            type(out) for out in found[:4]
        ]
        assert [("b", 1), ("a", 1), ("a", 2), ("a", 1)] == [
            (out.asset_id, out.number) for out in found if isinstance(out, VersionRecord)
        ]

    @pytest.mark.parametrize("size", [0, 1, 5000])
    def test_any_batch_is_one_statement_of_one_text(self, catalogue, size):
        catalogue.publish([publication("a")])
        seen = statements(catalogue)

        catalogue.resolve([("a", None), ("a", "1"), ("x", "latest")] * size)
        catalogue.resolve([("a", None)])

        assert 2 == len(seen)
        assert 1 == len(set(seen))

    def test_messages_say_what_and_which(self, catalogue):
        catalogue.publish([publication("hero")])

        unknown, version, tag = catalogue.resolve(
            [("hera", None), ("hero", "7"), ("hero", "approved")]
        )

        assert "the catalogue has no asset 'hera'" == unknown.message
        assert "asset 'hero' has no version '7'; the newest is 1" == version.message
        assert "asset 'hero' has no version 'approved'; the newest is 1" == tag.message

    @pytest.mark.parametrize(
        "asset_id", ["", "a\0b", "\ud800", "a" * 1_000_000, "'; DROP TABLE assets --", '"\\']
    )
    def test_an_id_that_cannot_be_is_no_such_asset(self, catalogue, asset_id):
        catalogue.publish([publication("a")])

        assert [NoSuchAsset(asset_id)] == catalogue.resolve([(asset_id, None)])

    @pytest.mark.parametrize("version", ["0", "9" * 30, "²", "", "-1"])
    def test_a_version_that_cannot_be_is_no_such_version(self, catalogue, version):
        catalogue.publish([publication("a")])

        assert [NoSuchVersion("a", version, 1)] == catalogue.resolve([("a", version)])


class TestPolicy:
    @pytest.fixture(autouse=True)
    def three_days(self, catalogue, clock):
        for day in range(3):
            clock.now = NOON + timedelta(days=day)
            catalogue.publish([publication("a", str(day))])
        catalogue.publish([publication("late")])

    def numbers(self, catalogue, policy, *versions):
        found = catalogue.resolve([("a", version) for version in versions], policy)
        return [getattr(out, "number", None) for out in found]

    def test_a_number_is_for_what_floats_without_a_rule(self, catalogue):
        policy = VersionPolicy("2")

        assert [2, 3, 1] == self.numbers(catalogue, policy, None, "latest", "1")

    def test_a_number_the_asset_lacks_is_not_replaced(self, catalogue):
        assert [NoSuchVersion("late", "2", 1)] == catalogue.resolve(
            [("late", None)], VersionPolicy("2")
        )

    def test_a_status_no_version_has_is_not_found(self, catalogue):
        policy = VersionPolicy("approved")

        assert [None, 3, 1] == self.numbers(catalogue, policy, None, "latest", "1")

    def test_as_of_is_the_newest_of_that_moment(self, catalogue):
        policy = VersionPolicy(None, NOON + timedelta(days=1))

        assert [2, 2, 3] == self.numbers(catalogue, policy, None, "latest", "3")

    def test_before_its_first_version_an_asset_has_none(self, catalogue):
        policy = VersionPolicy(None, NOON)

        [out] = catalogue.resolve([("late", None)], policy)

        assert NoSuchVersion("late", None, 1, NOON) == out
        assert "no version yet as of 2025-06-01T12:00:00+00:00" in out.message

    def test_a_clock_set_back_keeps_versions_in_order(self, catalogue, clock):
        clock.now = NOON - timedelta(days=30)
        catalogue.publish([publication("a", "after the clock was set back")])
        newest, before, *_ = catalogue.versions("a")

        assert newest.created == before.created

    def test_strings_make_a_policy(self):
        assert VersionPolicy("3", NOON) == VersionPolicy.of("3", "2025-06-01T14:00:00+02:00")
        assert VersionPolicy(None, NOON) == VersionPolicy.of("", "2025-06-01T12:00:00")
        with pytest.raises(ValueError, match=r"ISO 8601.*'yesterday'"):
            VersionPolicy.of(None, "yesterday")


class TestPublish:
    def test_the_same_again_makes_no_version(self, catalogue):
        hero = publication("hero", "1", "tex")
        first = catalogue.publish([hero, publication("tex")])
        change = catalogue.change_number()

        again = catalogue.publish([hero])

        assert [True, True] == [record.is_new for record in first]
        assert [first[0]._replace(is_new=False)] == again
        assert change == catalogue.change_number()

    @pytest.mark.parametrize(
        "change",
        [
            {"checksum": "2"},
            {"path": "/elsewhere.usd"},
            {"dependencies": [Dependency("tex", "1")]},
            {"dependencies": []},
        ],
    )
    def test_content_location_or_dependencies_make_a_version(self, catalogue, change):
        hero = publication("hero", "1", "tex")
        catalogue.publish([hero, publication("tex")])

        [record] = catalogue.publish([hero._replace(**change)])

        assert (2, True) == (record.number, record.is_new)

    def test_a_new_name_is_in_force_without_a_new_version(self, catalogue):
        catalogue.publish([publication("hero")])
        change = catalogue.change_number()

        [record] = catalogue.publish([publication("hero", name="The Hero")])

        assert (1, False, "The Hero") == (record.number, record.is_new, record.name)
        assert [record] == catalogue.resolve([("hero", None)])
        assert change < catalogue.change_number()

    def test_one_batch_may_hold_two_versions_of_an_asset(self, catalogue):
        records = catalogue.publish(
            [publication("a", "1"), publication("a", "2"), publication("a", "2")]
        )

        assert [(1, True), (2, True), (2, False)] == [(r.number, r.is_new) for r in records]
        assert ["2", "1"] == [record.checksum for record in catalogue.versions("a")]

    def test_a_version_without_a_file_has_no_location(self, catalogue):
        [record] = catalogue.publish([publication("set", path="")])

        assert "" == record.location

    def test_a_dependency_may_come_in_the_same_batch(self, catalogue):
        catalogue.publish([publication("a", "1", "b"), publication("b", "1", Dependency("a", "1"))])

        assert [Dependency("b")] == catalogue.dependencies("a", 1)

    @pytest.mark.parametrize("version", [None, "3"])
    def test_a_dependency_on_nothing_undoes_the_whole_batch(self, catalogue, version):
        catalogue.publish([publication("prop_chair"), publication("x")])
        need = Dependency("prop_chair" if version else "prop_chairs", version)

        with pytest.raises(AssetNotFoundException, match="publish it before or with it") as raised:
            catalogue.publish([publication("b"), publication("a", "1", need)])

        assert "bifrost:///assets/prop_chair" in raised.value.suggestions
        assert raised.value.asset_uri in str(raised.value)
        assert [NoSuchAsset("a"), NoSuchAsset("b")] == catalogue.resolve([("a", None), ("b", None)])

    @pytest.mark.parametrize("asset_id", ["", "a\0", "x" * 513, "\ud800"])
    def test_an_id_that_no_reference_can_name_is_refused(self, catalogue, asset_id):
        with pytest.raises(InvalidReferenceException):
            catalogue.publish([publication(asset_id)])

    def test_a_dependency_version_that_no_reference_can_name_is_refused(self, catalogue):
        with pytest.raises(InvalidReferenceException, match="version=<number"):
            catalogue.publish([publication("a"), publication("b", "1", Dependency("a", "v 1"))])

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("name", "", "an asset needs a name"),
            ("name", "a\0b", "control character"),
            ("name", "a\nb", "control character"),
            ("name", "\ud800", "not valid Unicode"),
            ("name", "x" * 1_000_000, "at most 1000 bytes, got 1000000"),
            ("name", None, "expected text, got NoneType"),
            ("comment", "a\0b", "control character"),
            ("path", "relative.usd", "expected an absolute path"),
            ("size", -1, "expected a number of bytes"),
            ("size", 2**63, "expected a number of bytes"),
            ("metadata", {"x": float("nan")}, "JSON can't say it"),
            ("metadata", {"x": object()}, "JSON can't say it"),
            ("metadata", {"x": "y" * 1_000_001}, "at most 1000000 bytes"),
        ],
    )
    def test_a_value_that_cannot_be_kept_is_named(self, catalogue, field, value, message):
        with pytest.raises(InvalidTraitsException, match=f"^{field} of asset 'a': .*{message}"):
            catalogue.publish([publication("b"), publication("a", **{field: value})])

        assert [] == catalogue.assets()

    def test_metadata_too_deep_is_named(self, catalogue):
        deep = {}
        for _ in range(100_000):
            deep = {"x": deep}

        with pytest.raises(InvalidTraitsException, match=r"^metadata of asset 'a'"):
            catalogue.publish([publication("a", metadata=deep)])

    @pytest.mark.parametrize(
        "statement", ["UPDATE versions SET checksum = 'x'", "UPDATE relationships SET kind = 'x'"]
    )
    def test_the_database_itself_refuses_to_change_a_version(self, catalogue, statement):
        catalogue.publish([publication("a", "1", "a")])

        with (
            pytest.raises(CatalogueError, match="written once"),
            catalogue._database.write() as connection,
        ):
            connection.exec_driver_sql(statement)


class TestRelationships:
    def test_the_closure_holds_references_as_files_say_them(self, catalogue):
        catalogue.publish(
            [
                publication(
                    "shot", "1", "set", Dependency("hero", "latest"), Dependency("hero", "1")
                ),
                publication("set", "1", "tex", Dependency("hero")),
                publication("hero", "1", Dependency("tex", "1", "texture")),
                publication("tex"),
                publication("unrelated"),
            ]
        )

        assert {
            ("shot", None),
            ("set", None),
            ("hero", None),
            ("hero", "1"),
            ("hero", "latest"),
            ("tex", None),
            ("tex", "1"),
        } == set(catalogue.closure([("shot", None)]))

    def test_the_roots_come_first_known_or_not(self, catalogue):
        catalogue.publish([publication("a", "1", "b"), publication("b")])

        assert [("x", "2"), ("a", None), ("b", None)] == catalogue.closure(
            [("x", "2"), ("a", None)]
        )

    def test_cycles_end(self, catalogue):
        catalogue.publish([publication("a", "1", "b"), publication("b", "1", "a", "b")])

        assert [("a", None), ("b", None)] == catalogue.closure([("a", None)])

    def test_a_closure_is_one_statement(self, catalogue):
        catalogue.publish([publication("a", "1", "b"), publication("b", "1", "a")])
        seen = statements(catalogue)

        catalogue.closure([("a", None), ("b", "1")])

        assert 1 == len(seen)

    def test_the_closure_follows_the_policy(self, catalogue, clock):
        catalogue.publish([publication("old"), publication("new")])
        catalogue.publish([publication("a", "1", "old")])
        clock.now += timedelta(days=1)
        catalogue.publish([publication("a", "2", "new")])
        by_policy = {
            VersionPolicy(): "new",
            VersionPolicy("1"): "old",
            VersionPolicy("latest"): "new",
            VersionPolicy(None, NOON): "old",
            VersionPolicy("2", NOON): "new",
        }

        for policy, needed in by_policy.items():
            assert [("a", None), (needed, None)] == catalogue.closure([("a", None)], policy)
        assert [("a", None)] == catalogue.closure([("a", None)], VersionPolicy("approved"))
        assert [("a", "latest"), ("old", None)] == catalogue.closure(
            [("a", "latest")], VersionPolicy("2", NOON)
        )

    @settings(
        max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(
        edges=st.lists(
            st.tuples(st.integers(0, 7), st.integers(0, 7), st.sampled_from([None, "1", "latest"])),
            max_size=25,
        )
    )
    def test_the_closure_is_what_a_walk_finds(self, tmp_path_factory, edges):
        needs = {str(i): [] for i in range(8)}
        for source, target, version in edges:
            needs[str(source)].append(Dependency(str(target), version))
        path = tmp_path_factory.mktemp("walk") / "c.sqlite"

        with Catalogue.open(f"sqlite:///{path}") as catalogue:
            catalogue.publish([publication(a, "1", *deps) for a, deps in needs.items()])
            found = catalogue.closure([("0", None)])

        assert len(found) == len(set(found))
        assert walked(needs, ("0", None)) == set(found)

    def test_dependents_name_version_and_kind(self, catalogue):
        catalogue.publish([publication("tex"), publication("b", "1", Dependency("tex", "1", "t"))])
        catalogue.publish([publication("a", "1", Dependency("tex", None, "u"))])
        catalogue.publish([publication("a", "2", Dependency("tex", None, "u"))])

        assert [("a", 2, None, "u"), ("a", 1, None, "u"), ("b", 1, "1", "t")] == (
            catalogue.dependents("tex")
        )


def walked(needs, root):
    reached, queue = {root}, deque([root])
    while queue:
        asset_id, _ = queue.popleft()
        for edge in needs[asset_id]:
            if (target := (edge.asset_id, edge.version)) not in reached:
                reached.add(target)
                queue.append(target)
    return reached


class TestListing:
    def test_pages_follow_each_other(self, catalogue):
        catalogue.publish([publication(name, asset_type=name[0]) for name in ("a1", "a2", "b1")])

        first = catalogue.assets(limit=2)
        second = catalogue.assets(after=first[-1].asset_id, limit=2)

        assert ["a1", "a2", "b1"] == [asset.asset_id for asset in first + second]
        assert ["b1"] == [asset.asset_id for asset in catalogue.assets(asset_type="b")]
        assert (NOON, 1) == (first[0].created, first[0].latest_version)

    def test_suggestions_are_the_likeliest_ids(self, catalogue):
        names = ["props.chair.usd", "props.table.usd", "sets.kitchen.usd"]
        catalogue.publish([publication(name) for name in names])

        assert "props.chair.usd" == catalogue.suggestions("props.chiar.usd")[0]
        assert "props.chair.usd" == catalogue.suggestions("chair.usd")[0]
        assert [] == catalogue.suggestions("%%%")

    def test_the_change_number_grows_and_tells_what_changed(self, catalogue):
        assert 0 == catalogue.change_number()
        catalogue.publish([publication("a"), publication("b")])
        before = catalogue.change_number()

        catalogue.publish([publication("b", "2"), publication("c"), publication("a")])

        assert before < catalogue.change_number()
        assert {"b", "c"} == catalogue.changed_since(before)
