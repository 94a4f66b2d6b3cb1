# SPDX-License-Identifier: Apache-2.0
"""The graph of relationships, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bifrost.catalogue import (
    Catalogue,
    Dependency,
    Publication,
    VersionPolicy,
    edges,
    schema,
    walks,
    whole_graph,
)
from bifrost.catalogue.graph import Graph
from bifrost.catalogue.graphs import Node
from bifrost.errors import (
    AssetNotFoundException,
    ConfigurationError,
    ConflictException,
    InvalidQueryException,
)

STRENGTHS = ("strong", "weak", "reference")


@pytest.fixture
def catalogue(catalogue_url):
    with Catalogue.open(catalogue_url) as catalogue:
        yield catalogue


@pytest.fixture
def graph(catalogue):
    return Graph(catalogue._database)


def end(text):
    asset_id, _, version = text.partition("@")
    return asset_id, version or None


def publish(catalogue, asset_id, *needs, checksum="1", kind="reference"):
    dependencies = [Dependency(*end(need), kind) for need in needs]
    catalogue.publish(
        [Publication(asset_id, asset_id.title(), "model", "", checksum, dependencies=dependencies)]
    )


def add(catalogue, source, target, **metadata):
    with catalogue._database.write() as connection:
        edges.add(connection, end(source), end(target), "dependency", metadata, now_us=1)


@pytest.fixture
def show(catalogue):
    """shot -> hero -> skin -> map; shot -> rig (weak); note -> skin (informational)."""
    publish(catalogue, "map")
    publish(catalogue, "skin", "map")
    publish(catalogue, "rig")
    publish(catalogue, "hero", "skin@1")
    publish(catalogue, "shot", "hero")
    publish(catalogue, "note")
    add(catalogue, "shot", "rig", optional=True)
    add(catalogue, "note", "skin", strength="reference")
    return catalogue


def statements(catalogue):
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    sa.event.listen(catalogue._database._engine, "before_cursor_execute", note)
    return seen


class TestDependencies:
    def test_they_come_nearest_first_with_their_strength(self, show, graph):
        assert [
            ("hero", 1, "Hero", "model", 1, "strong"),
            ("rig", 1, "Rig", "model", 1, "weak"),
            ("skin", 1, "Skin", "model", 2, "strong"),
            ("map", 1, "Map", "model", 3, "strong"),
        ] == graph.dependencies("shot")

    @pytest.mark.parametrize("depth", [1, 2, 3, 20])
    def test_depth_ends_them(self, show, graph, depth):
        everything = graph.dependencies("shot")

        assert [each for each in everything if each.distance <= depth] == graph.dependencies(
            "shot", depth=depth
        )

    def test_strengths_choose_the_ways(self, show, graph):
        def found(*strengths):
            return [each.asset_id for each in graph.dependencies("shot", strengths=strengths)]

        assert ["hero", "skin", "map"] == found("strong")
        assert ["rig"] == found("weak")
        assert [] == found("reference")

    def test_they_are_found_in_one_statement(self, show):
        seen = statements(show)

        with show._database.read() as connection:
            walks.forth(connection, [("shot", None)])
            walks.back(connection, [("map", None)])

        assert 2 == len(seen)

    def test_what_floats_follows_the_policy(self, show, graph):
        publish(show, "hero", checksum="2")
        status = show.workflow.moves[show.workflow.first][0]
        show.set_status("hero", "1", status)

        assert ["hero", "rig"] == [each.asset_id for each in graph.dependencies("shot")]
        for policy in (VersionPolicy("1"), VersionPolicy(status)):
            found = graph.dependencies("shot", "1", policy=policy)
            assert ("hero", 1) in [each[:2] for each in found]

    def test_cycles_end(self, catalogue, graph):
        publish(catalogue, "a")
        publish(catalogue, "b", "a")
        publish(catalogue, "a", "b", checksum="2")

        assert [("b", 1, 1)] == [(*each[:2], each.distance) for each in graph.dependencies("a")]
        assert [("b", 1)] == [each[:2] for each in graph.dependencies("a", depth=10)]

    @pytest.mark.parametrize("name", ["dependencies", "dependents", "impact"])
    def test_an_asset_that_is_not_there_is_not_found_with_suggestions(self, show, graph, name):
        with pytest.raises(AssetNotFoundException) as caught:
            getattr(graph, name)("skim")

        assert ["bifrost:///assets/skin"] == caught.value.suggestions
        with pytest.raises(AssetNotFoundException, match="no version 7"):
            getattr(graph, name)("skin", "7")


class TestDependents:
    def test_they_come_nearest_first(self, show, graph):
        assert [("hero", 1, "strong"), ("note", 1, "reference"), ("shot", 2, "strong")] == [
            (each.asset_id, each.distance, each.strength) for each in graph.dependents("skin")
        ]

    def test_earlier_versions_count_only_where_something_needs_them(self, show, graph):
        publish(show, "hero", checksum="2")

        assert ["note"] == [each.asset_id for each in graph.dependents("skin")]
        assert {("note", 0), ("hero", 1)} == {
            each[:2] for each in graph.dependents("skin", every_version=True)
        }

        publish(show, "other", "hero@1")

        assert [("hero", 1), ("note", 0), ("other", 1)] == [
            each[:2] for each in graph.dependents("skin")
        ]

    def test_of_a_version_they_are_those_that_mean_it_today(self, show, graph):
        publish(show, "skin", "map", checksum="2")

        assert {"hero", "shot"} == {each.asset_id for each in graph.dependents("skin", "1")}
        assert {"note"} == {each.asset_id for each in graph.dependents("skin", "2")}


class TestImpact:
    def test_it_says_who_is_affected_how_and_through_what(self, show, graph):
        found = {each.asset_id: each for each in graph.impact("map")}

        assert ["skin", "hero", "note", "shot"] == list(found)
        assert [1, 2, 2, 3] == [each.distance for each in found.values()]
        assert ("strong", ("skin",)) == (found["hero"].strength, found["hero"].through)
        assert ("reference", ("skin",)) == (found["note"].strength, found["note"].through)
        assert ("strong", ("hero",)) == (found["shot"].strength, found["shot"].through)
        assert [True, False, False, False] == [each.is_direct for each in found.values()]

    def test_a_pin_keeps_a_new_version_away(self, show, graph):
        found = {each.asset_id: each.follows for each in graph.impact("skin")}

        assert {"hero": False, "note": True, "shot": False} == found
        assert all(each.follows for each in graph.impact("map"))

    def test_changing_one_version_affects_those_that_use_it(self, show, graph):
        publish(show, "skin", "map", checksum="2")

        assert ["hero", "shot"] == [each.asset_id for each in graph.impact("skin", "1")]
        assert ["note"] == [each.asset_id for each in graph.impact("skin", "2")]

    def test_depth_and_strength_limit_it(self, show, graph):
        assert ["skin"] == [each.asset_id for each in graph.impact("map", depth=1)]
        assert ["skin", "hero", "shot"] == [
            each.asset_id for each in graph.impact("map", strengths=["strong"])
        ]


class TestOrphans:
    def test_they_are_what_nothing_needs_strongly_or_weakly(self, show, graph):
        assert ["note", "shot"] == [each.asset_id for each in graph.orphans()]

        add(show, "shot", "note", strength="reference")
        assert ["note", "shot"] == [each.asset_id for each in graph.orphans()]

        add(show, "shot@1", "note", optional=True)
        assert ["shot"] == [each.asset_id for each in graph.orphans()]

    def test_they_come_page_by_page_and_by_type(self, show, graph):
        assert ["note"] == [each.asset_id for each in graph.orphans(limit=1)]
        assert ["shot"] == [each.asset_id for each in graph.orphans(after="note")]
        assert [] == graph.orphans(types=["texture"])
        assert 2 == len(graph.orphans(types=["texture", "model"]))
        assert [] == graph.orphans(limit=0)
        for limit in (-1, 1.5, None, 2**70):
            with pytest.raises(InvalidQueryException, match="limit: expected a"):
                graph.orphans(limit=limit)


class TestCyclesAndOrder:
    def test_a_cycle_is_given_with_one_way_around(self, catalogue, graph):
        for name in "abcd":
            publish(catalogue, name)
        add(catalogue, "a", "b")
        add(catalogue, "b", "c")
        add(catalogue, "d", "a")
        publish(catalogue, "c", "a", checksum="2")

        [cycle] = graph.cycles()

        assert ("a", "b", "c") == cycle.assets
        assert (Node("a", 1), Node("b", 1), Node("c", 2)) == cycle.example

    def test_weaker_edges_make_a_cycle_only_where_they_are_asked_for(self, catalogue, graph):
        publish(catalogue, "a")
        publish(catalogue, "b", "a")
        add(catalogue, "a", "b", optional=True)

        assert [] == graph.cycles()
        assert [("a", "b")] == [cycle.assets for cycle in graph.cycles(strengths=None)]
        assert [] == graph.cycles(strengths=["weak"])

    def test_row_keys_far_apart_do_no_harm(self, catalogue, graph):
        with catalogue._database.write() as connection:
            rebuild(connection, [])
            for key, name in ((2**31, "x"), (2**60, "y")):
                connection.execute(sa.insert(schema.assets).values(asset_row(key, name, 1)))
            for source, target in ((2**31, 2**60), (2**60, 2**31)):
                connection.execute(
                    sa.insert(schema.relationships).values(
                        asset=source, number=0, position=0, to_asset=target, kind="k"
                    )
                )

        assert [("x", "y")] == [cycle.assets for cycle in graph.cycles()]

    def test_a_cycle_of_assets_is_none_of_versions(self, catalogue, graph):
        publish(catalogue, "b")
        publish(catalogue, "a", "b@1")
        publish(catalogue, "b", "a", checksum="2")

        assert [] == graph.cycles()
        assert ["b@1", "a@1", "b@2"] == [
            f"{node.asset_id}@{node.number}" for node in graph.order([("b", None)])
        ]

    def test_everything_comes_behind_what_it_needs(self, show, graph):
        order = graph.order([("shot", None)])
        whole = graph.order(strengths=STRENGTHS)

        assert ["map", "skin", "hero", "shot"] == [node.asset_id for node in order]
        place = {node.asset_id: index for index, node in enumerate(whole)}
        assert {"map", "skin", "hero", "shot", "rig", "note"} == set(place)
        assert place["map"] < place["skin"] < place["hero"] < place["shot"]
        assert place["rig"] < place["shot"]
        assert place["skin"] < place["note"]

    def test_where_there_is_no_order_it_says_why(self, catalogue, graph):
        publish(catalogue, "a")
        publish(catalogue, "b", "a")
        publish(catalogue, "a", "b", checksum="2")

        with pytest.raises(ConflictException) as caught:
            graph.order()

        assert "bifrost:///assets/a?version=2 -> bifrost:///assets/b?version=1" in str(caught.value)

    @pytest.mark.parametrize("question", [Graph.cycles, Graph.order])
    def test_without_rustworkx_it_says_what_to_install(self, graph, monkeypatch, question):
        monkeypatch.setitem(__import__("sys").modules, "rustworkx", None)

        with pytest.raises(ConfigurationError, match=r"pip install 'bifrost-usd\[graph\]'"):
            question(graph)


class TestPath:
    def test_it_is_a_shortest_way(self, show, graph):
        way = graph.path(("shot", None), ("map", None))

        assert ["shot", "hero", "skin"] == [edge.source.asset_id for edge in way]
        assert ["hero", "skin", "map"] == [edge.target.asset_id for edge in way]
        assert [None, "1", None] == [edge.version for edge in way]

        add(show, "shot", "skin", optional=True)

        assert 2 == len(graph.path(("shot", None), ("map", None)))
        assert 3 == len(graph.path(("shot", None), ("map", None), strengths=["strong"]))

    def test_against_the_arrows_there_is_none(self, show, graph):
        assert graph.path(("map", None), ("shot", None)) is None
        assert [] == graph.path(("map", None), ("map", None))

    def test_a_version_is_another_end(self, show, graph):
        publish(show, "skin", "map", checksum="2")

        assert graph.path(("shot", None), ("skin", "2")) is None
        assert 2 == len(graph.path(("shot", None), ("skin", "1")))


class TestDiff:
    def test_it_says_what_came_went_and_changed(self, show, graph):
        publish(show, "hero", "skin", "rig", checksum="2")
        publish(show, "skin", checksum="2")

        found = graph.diff(("hero", "1"), ("hero", "2"))

        assert [("hero", "rig")] == [
            (edge.source.asset_id, edge.target.asset_id) for edge in found.added
        ]
        assert [("skin", "map")] == [
            (edge.source.asset_id, edge.target.asset_id) for edge in found.removed
        ]
        [(old, new)] = found.changed
        assert ("1", Node("skin", 1)) == (old.version, old.target)
        assert (None, Node("skin", 2)) == (new.version, new.target)

    def test_a_version_differs_in_nothing_from_itself_nor_from_a_copy(self, show, graph):
        publish(show, "shot", "hero", checksum="2")

        assert ((), (), ()) == graph.diff(("shot", "1"), ("shot", "1"))
        assert ((), (), ()) == graph.diff(("shot", "1"), ("shot", "2"))

    def test_edges_of_one_kind_between_two_assets_are_counted(self, catalogue, graph):
        publish(catalogue, "skin")
        publish(catalogue, "hero", "skin", "skin", "skin@1")
        publish(catalogue, "hero", "skin", checksum="2")

        found = graph.diff(("hero", "1"), ("hero", "2"))

        assert (0, 2, 0) == tuple(map(len, found))


# A small world: three assets of two versions, one of one, one of none.
LATEST = {"a": 2, "b": 2, "c": 2, "d": 1, "e": 0}
APPROVED = {"a": 1, "b": 2}


@st.composite
def drawn_edges(draw):
    names = st.sampled_from("abcde")
    drawn = []
    for position in range(draw(st.integers(0, 12))):
        source, target = draw(names), draw(names)
        number = draw(st.integers(0, LATEST[source]))
        version = draw(
            st.sampled_from([None, "latest", "approved", *map(str, range(1, LATEST[target] + 1))])
        )
        drawn.append((source, number, position, target, version, draw(st.integers(0, 2))))
    return drawn


def asset_row(key, name, latest):
    return {
        "key": key,
        "id": name,
        "name": name,
        "type": "t",
        "created": 1,
        "modified": 1,
        "created_by": "",
        "deprecated": False,
        "latest_version": latest,
        "status": "",
        "metadata": "{}",
    }


def rebuild(connection, drawn):
    for table in reversed(schema.metadata.sorted_tables):
        if table.name != "alembic_version":
            connection.execute(sa.delete(table))
    keys = {}
    for key, (name, latest) in enumerate(LATEST.items(), 1):
        keys[name] = key
        connection.execute(sa.insert(schema.assets).values(asset_row(key, name, latest)))
        for number in range(1, latest + 1):
            connection.execute(
                sa.insert(schema.versions).values(
                    asset=key,
                    number=number,
                    location="",
                    mime_type="",
                    templated=False,
                    size=0,
                    checksum="",
                    created=1,
                    created_by="",
                    comment="",
                    metadata="{}",
                    properties="{}",
                )
            )
            status = "approved" if APPROVED.get(name) == number else "draft"
            connection.execute(
                sa.insert(schema.version_status).values(asset=key, number=number, status=status)
            )
    for source, number, position, target, version, strength in drawn:
        pinned = version is not None and version.isdigit()
        connection.execute(
            sa.insert(schema.relationships).values(
                asset=keys[source],
                number=number,
                position=position,
                to_asset=keys[target],
                to_number=int(version) if pinned else None,
                to_tag=None if pinned else version,
                kind="k",
                strength=strength,
                origin=1 if number == 0 else 0,
            )
        )


def meant(target, version):
    if version is None or version == "latest":
        return LATEST[target]
    return int(version) if version.isdigit() else APPROVED.get(target, 0)


def brute_steps(drawn, strengths):
    """Return the successors of each node, found by looking at every edge for every node."""
    nodes = [(name, number) for name, latest in LATEST.items() for number in range(latest + 1)]
    return {
        node: {
            (target, meant(target, version))
            for source, number, _, target, version, strength in drawn
            if strength in strengths and source == node[0] and number in (0, node[1])
        }
        for node in nodes
    }


def brute_distances(steps, root):
    found, level, distance = {root: 0}, {root}, 0
    while level:
        distance += 1
        level = {end for node in level for end in steps[node]} - found.keys()
        found.update(dict.fromkeys(level, distance))
    return found


class TestAgainstBruteForce:
    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(drawn_edges(), st.sampled_from([(0,), (0, 1), (0, 1, 2), (1,)]), st.integers(1, 4))
    def test_every_walk_is_what_looking_at_every_edge_gives(self, catalogue, drawn, ranks, depth):
        strengths = [STRENGTHS[rank] for rank in ranks]
        with catalogue._database.write() as connection:
            rebuild(connection, drawn)
        steps = brute_steps(drawn, ranks)
        with catalogue._database.read() as connection:
            for name, latest in LATEST.items():
                root = (name, latest)
                expected = brute_distances(steps, root)
                found = walks.forth(connection, [(name, None)], strengths=strengths)
                assert expected == {tuple(node): far for node, far in found.distances().items()}
                assert set(expected) == {tuple(node) for node in found.nodes}
                near = walks.forth(connection, [(name, None)], strengths=strengths, depth=depth)
                assert {node: far for node, far in expected.items() if far <= depth} == {
                    tuple(node): far for node, far in near.distances().items()
                }
            self.check_back(connection, steps, strengths)
            self.check_cycles(connection, steps, strengths)

    def check_back(self, connection, steps, strengths):
        reached = {node: set(brute_distances(steps, node)) for node in steps}
        for name in LATEST:
            found = walks.back(connection, [(name, None)], strengths=strengths)
            # The whole asset stands for each of its versions.
            covered = {
                node
                for node in steps
                for asset_id, number in found.nodes
                if node[0] == asset_id and (node[1] == number or not number)
            }
            assert covered == {
                node for node, ends in reached.items() if any(end[0] == name for end in ends)
            } | {node for node in steps if node[0] == name}

    def check_cycles(self, connection, steps, strengths):
        # The number 0 is a version only where there are none.
        nodes = [
            node
            for node in steps
            if node[1] or not LATEST[node[0]] or any(node in ends for ends in steps.values())
        ]
        reached = {
            node: set().union(*(brute_distances(steps, end) for end in steps[node]))
            for node in nodes
        }
        components = {
            frozenset(other for other in nodes if other in reached[node] and node in reached[other])
            for node in nodes
            if node in reached[node]
        }
        found = whole_graph.cycles(connection, strengths=strengths)
        assert sorted(tuple(sorted({node[0] for node in part})) for part in components) == sorted(
            cycle.assets for cycle in found
        )
        for cycle in found:
            for node, following in zip(
                cycle.example, [*cycle.example[1:], cycle.example[0]], strict=True
            ):
                assert tuple(following) in steps[tuple(node)]


def test_a_version_may_be_a_number_and_a_type_a_text(graph, show):
    """As a context's version may, and as a strength does."""
    assert graph.dependencies("hero", 1) == graph.dependencies("hero", "1")
    assert graph.order([("hero", 1)]) == graph.order([("hero", "1")])
    assert graph.orphans(types="model") == graph.orphans(types=["model"]) != []
    policies = (VersionPolicy.of(*each) for each in [("1", ""), (1, None)])
    assert 1 == len({*map(tuple, policies)})


@pytest.mark.parametrize("roots", ["shot", ["shot"], ("shot", "1"), [("shot",)], [1]])
def test_roots_that_are_no_pairs_are_refused(graph, show, roots):
    """A text is not taken for its letters, nor an asset's version for another asset."""
    for ask in (graph.order, graph.subgraph):
        with pytest.raises(InvalidQueryException, match="version"):
            ask(roots)
