# SPDX-License-Identifier: Apache-2.0
"""Graphs as texts for other programs, and as pictures."""

from __future__ import annotations

import itertools
import json
import random
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bifrost.catalogue.export import FORMS, export
from bifrost.catalogue.graphs import GraphEdge, Node, NodeInfo, Subgraph
from bifrost.catalogue.layout import layered
from bifrost.catalogue.markup import cut
from bifrost.errors import ConfigurationError

SVG = "{http://www.w3.org/2000/svg}"
GRAPHML = "{http://graphml.graphdrawing.org/xmlns}"
HOSTILE = "<b>&\"quoted\"\\ ]]> 'x'\n\t"


def info(name, asset_type="model", deprecated=False):
    return NodeInfo(name, asset_type, 3, deprecated)


@pytest.fixture
def small():
    shot, hero, note = Node("shot", 2), Node("hero", 3), Node("note")
    return Subgraph(
        (shot,),
        {hero: info(HOSTILE), shot: info("Shot 010", "shot"), note: info("Note", deprecated=True)},
        [
            GraphEdge(shot, hero, "3", "reference", "strong"),
            GraphEdge(shot, note, None, "see", "reference", HOSTILE, "added", '{"a": [1]}'),
            GraphEdge(note, hero, "approved", "use", "weak"),
        ],
    )


def big(seed, count=50):
    """Return a graph of assets in five ranks, with a few long and backward edges."""
    rng = random.Random(seed)
    nodes = [Node(f"asset_{place:02}", 1) for place in range(count)]
    edges = []
    for place in range(1, count):
        for _ in range(rng.choice((1, 1, 2))):
            source = nodes[rng.randrange(max(0, place - 12), place)]
            edges.append(GraphEdge(source, nodes[place], strength=rng.choice(("strong", "weak"))))
    edges.append(GraphEdge(nodes[-1], nodes[3], kind="back", strength="reference"))
    infos = {
        node: info(f"A rather long name of asset {place}", f"type {place % 12}")
        for place, node in enumerate(nodes)
    }
    return Subgraph((nodes[0],), infos, edges)


@pytest.mark.parametrize("form", FORMS)
def test_equal_graphs_give_equal_texts(small, form):
    shuffled = small._replace(
        nodes=dict(reversed(small.nodes.items())), edges=list(reversed(small.edges))
    )

    assert export(small, form, "t") == export(shuffled, form, "t")


@pytest.mark.parametrize("form", FORMS)
def test_nothing_at_all_can_be_exported(form):
    assert export(Subgraph((), {}, []), form)


def test_an_unknown_format_is_refused(small):
    with pytest.raises(ConfigurationError, match=r"dot, json, graphml, svg"):
        export(small, "png")


class TestJson:
    def test_it_has_every_node_and_edge_with_all_they_say(self, small):
        read = json.loads(export(small, "json", "title"))

        assert {"title": "title", "roots": ["bifrost:///assets/shot?version=2"]} == read["graph"]
        assert [
            "bifrost:///assets/hero?version=3",
            "bifrost:///assets/note",
            "bifrost:///assets/shot?version=2",
        ] == [node["id"] for node in read["nodes"]]
        assert HOSTILE == read["nodes"][0]["name"]
        [see] = [link for link in read["links"] if link["kind"] == "see"]
        assert {"a": [1]} == see["metadata"]
        assert ("reference", HOSTILE, "added", False, None) == (
            see["strength"],
            see["purpose"],
            see["origin"],
            see["pinned"],
            see["asked_version"],
        )
        ids = {node["id"] for node in read["nodes"]}
        assert all({link["source"], link["target"]} <= ids for link in read["links"])


class TestGraphml:
    def test_it_is_xml_whose_values_have_declared_keys(self, small):
        root = ET.fromstring(export(small, "graphml"))
        declared = {key.get("id") for key in root.findall(f"{GRAPHML}key")}

        assert {data.get("key") for data in root.iter(f"{GRAPHML}data")} <= declared
        ids = {node.get("id") for node in root.iter(f"{GRAPHML}node")}
        assert {
            f"bifrost:///assets/{end}" for end in ("hero?version=3", "note", "shot?version=2")
        } == ids
        for edge in root.iter(f"{GRAPHML}edge"):
            assert {edge.get("source"), edge.get("target")} <= ids

    def test_texts_come_through_as_they_are(self, small):
        root = ET.fromstring(export(small, "graphml"))

        names = [data.text for data in root.iter(f"{GRAPHML}data") if data.get("key") == "n_name"]
        assert HOSTILE in names


class TestDot:
    def test_quotes_and_backslashes_do_not_end_a_text(self, small):
        text = export(small, "dot", HOSTILE)

        assert text.startswith("digraph ")
        # What is left without quoted texts is the language itself.
        bare = re.sub(r'"(?:[^"\\]|\\.)*"', "T", text)
        assert '"' not in bare
        assert 3 == len(re.findall(r"^  T -> T \[", bare, re.MULTILINE))
        assert 3 == len(re.findall(r"^  T \[label", bare, re.MULTILINE))
        assert {"solid", "dashed", "dotted"} == set(re.findall(r"style=(\w+)\]", bare))


class TestSvg:
    def boxes(self, text):
        """Return the (left, top, right, bottom) of each node's box."""
        root = ET.fromstring(text)
        rects = [
            group.find(f"{SVG}rect")
            for group in root.iter(f"{SVG}g")
            if group.get("class") == "node"
        ]
        return [
            (
                float(rect.get("x")),
                float(rect.get("y")),
                float(rect.get("x")) + float(rect.get("width")),
                float(rect.get("y")) + float(rect.get("height")),
            )
            for rect in rects
        ]

    @pytest.mark.parametrize("seed", range(6))
    def test_no_box_overlaps_another_of_fifty(self, seed):
        boxes = self.boxes(export(big(seed), "svg"))

        assert 50 == len(boxes)
        for one, other in itertools.combinations(boxes, 2):
            apart = (
                one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            )
            assert apart, (one, other)

    @pytest.mark.parametrize("seed", range(6))
    def test_no_line_runs_through_a_box(self, seed):
        text = export(big(seed), "svg")
        boxes = self.boxes(text)
        # Between layers lines curve; level they run where boxes are.
        for way in re.findall(r'class="edge" d="(M[^"]*C[^"]*)"', text):
            numbers = re.findall(r"([MCH])([^MCH]*)", way)
            x = y = 0.0
            for command, rest in numbers:
                values = [float(value) for value in rest.split()]
                if command == "H":
                    for left, top, right, bottom in boxes:
                        assert not (top < y < bottom and left < values[0] and x < right)
                    x = values[0]
                else:
                    x, y = values[-2:]

    def test_everything_is_inside_the_picture(self):
        text = export(big(1), "svg", "A title")
        root = ET.fromstring(text)
        width, height = float(root.get("width")), float(root.get("height"))

        assert all(
            left >= 0 and top >= 0 and right <= width and bottom <= height
            for left, top, right, bottom in self.boxes(text)
        )

    def test_lines_say_their_strength_and_end_in_arrows(self, small):
        text = export(small, "svg")

        lines = re.findall(r'<path class="edge" d="[^"]*" ([^>]*)><title>([^<]*)', text)
        dashes = {title.partition(" ")[0]: marks for marks, title in lines}
        assert 'stroke-dasharray="none"' in dashes["reference"]
        assert 'stroke-dasharray="8 5"' in dashes["use"]
        assert 'stroke-dasharray="1.5 4"' in next(
            marks for marks, title in lines if title.startswith("see")
        )
        assert all("url(#arrow)" in marks for marks, _ in lines)

    def test_long_names_are_cut_and_whole_in_the_tooltip(self):
        name = "The environment of the second sequence, at night, in rain"
        node = Node("a", 1)

        root = ET.fromstring(export(Subgraph((), {node: info(name)}, []), "svg"))

        [group] = [group for group in root.iter(f"{SVG}g") if group.get("class") == "node"]
        [shown] = [text.text for text in group.iter(f"{SVG}text") if "name" in text.get("class")]
        assert len(shown) < 24
        assert "…" in shown
        assert name in group.find(f"{SVG}title").text

    def test_the_legend_names_the_types_and_the_strengths(self, small):
        root = ET.fromstring(export(small, "svg"))

        legend = {text.text for text in root.iter(f"{SVG}text") if text.get("class") == "legend"}
        assert {
            "model",
            "shot",
            "strong (required)",
            "weak (optional)",
            "reference (informational)",
        } == legend

    def test_types_have_colours_of_their_own(self, small):
        root = ET.fromstring(export(small, "svg"))

        fills = {
            group.find(f"{SVG}title").text.split("\n")[-1]: group.find(f"{SVG}rect").get("fill")
            for group in root.iter(f"{SVG}g")
            if group.get("class") == "node"
        }
        hero, note, shot = (
            fills[f"bifrost:///assets/{end}"]
            for end in ("hero?version=3", "note", "shot?version=2")
        )
        assert hero == note != shot

    @pytest.mark.parametrize("name", ["\x00\x1b", "\ufffe", HOSTILE, "", "名前" * 40])
    def test_any_name_gives_well_formed_xml(self, name):
        graph = Subgraph((), {Node("a", 1): info(name, name)}, [])

        for form in ("svg", "graphml"):
            ET.fromstring(export(graph, form, name))


class TestCut:
    @given(st.text(), st.integers(3, 30))
    def test_it_is_never_too_wide(self, text, width):
        shown = cut(text, width)

        assert len(shown) <= width
        assert shown == text or "…" in shown

    def test_both_ends_stay(self):
        assert "character_…r_04" == cut("character_hero_hair_color_04", 15)

    def test_wide_characters_take_two_columns(self):
        assert "名前名…前" == cut("名前名前名前", 9)


class TestLayout:
    @settings(max_examples=150, deadline=None)
    @given(
        st.integers(1, 14).flatmap(
            lambda count: st.tuples(
                st.just(count),
                st.lists(
                    st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(
                        lambda edge: edge[0] != edge[1]
                    ),
                    max_size=30,
                ),
            )
        )
    )
    def test_whatever_the_graph_nodes_keep_apart_and_edges_change_layers(self, drawn):
        count, edges = drawn

        layout = layered(count, edges, room=50, bend_room=10)

        for one, other in itertools.combinations(range(count), 2):
            if layout.layers[one] == layout.layers[other]:
                assert abs(layout.heights[one] - layout.heights[other]) >= 50 - 1e-6
        for (source, target), bends in zip(edges, layout.bends, strict=True):
            assert abs(layout.layers[source] - layout.layers[target]) == len(bends) + 1
        assert all(25 - 1e-6 <= height <= layout.height - 25 + 1e-6 for height in layout.heights)

    def test_a_chain_is_a_level_line(self):
        layout = layered(4, [(0, 1), (1, 2), (2, 3)], room=50, bend_room=10)

        assert [0, 1, 2, 3] == layout.layers
        assert [25.0] * 4 == layout.heights

    def test_arrows_point_right_where_there_is_no_cycle(self):
        rng = random.Random(5)
        edges = [(one, rng.randrange(one + 1, 40)) for one in range(39) for _ in range(3)]

        layers = layered(40, edges, room=50, bend_room=10).layers

        assert all(layers[source] < layers[target] for source, target in edges)

    def test_crossings_that_need_not_be_are_gone(self):
        # Two trees whose children are numbered the wrong way round.
        edges = [(0, 5), (0, 4), (1, 3), (1, 2)]

        heights = layered(6, edges, room=50, bend_room=10).heights

        def crossing(one, other):
            return (heights[one[0]] - heights[other[0]]) * (heights[one[1]] - heights[other[1]]) < 0

        assert not any(itertools.starmap(crossing, itertools.combinations(edges, 2)))
