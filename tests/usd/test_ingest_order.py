# SPDX-License-Identifier: Apache-2.0
"""Ids never depend on the order of files, and what is named is published before what names it."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from bifrost.model.entity_reference import parse, reference_for
from bifrost.usd.folder import asset_ids
from bifrost.usd.ordering import cycles, levels

NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1)
GRAPHS = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=4), min_size=1
).map(lambda graph: {n: [u for u in used if u in graph] for n, used in graph.items()})


def nobody(_: str) -> None:
    """An empty catalogue: no id has an owner."""


def test_an_id_is_the_name_with_dots() -> None:
    """The extension stays, so that USD can tell the format from the reference."""
    assert {"a/b/c.usda": "a.b.c.usda"} == asset_ids(["a/b/c.usda"], nobody)


def test_ids_that_collide_all_get_a_hash_of_their_own_name() -> None:
    """Which file was found first decides nothing."""
    names = ["a/b.usda", "a.b.usda", "other.usda"]
    answers = [asset_ids(order, nobody) for order in permutations(names)]

    assert all(answers[0] == answer for answer in answers)
    assert 3 == len(set(answers[0].values()))
    assert "other.usda" == answers[0]["other.usda"]
    assert all(answers[0][name].startswith("a.b-") for name in names[:2])
    assert all(answers[0][name].endswith(".usda") for name in names[:2])


def test_an_id_once_given_stays_when_a_file_that_collides_comes_or_goes() -> None:
    """A reference that was handed out must not come to mean another file."""
    first = asset_ids(["a/b.usda"], nobody)
    owners = {asset_id: name for name, asset_id in first.items()}
    second = asset_ids(["a/b.usda", "a.b.usda"], owners.get)
    owners |= {asset_id: name for name, asset_id in second.items()}
    third = asset_ids(["a.b.usda"], owners.get)

    assert first["a/b.usda"] == second["a/b.usda"] == "a.b.usda"
    assert second["a.b.usda"] == third["a.b.usda"] != "a.b.usda"


@given(st.sets(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=12))
def test_every_file_gets_an_id_of_its_own_that_a_reference_can_name(names: set[str]) -> None:
    """Whatever the file is called: spaces, percent signs, brackets, other scripts."""
    ids = asset_ids(names, nobody)

    assert len(names) == len(set(ids.values()))
    for asset_id in ids.values():
        assert asset_id == parse(reference_for(asset_id)).asset_id


def test_a_name_too_long_for_an_id_is_cut_and_keeps_its_extension() -> None:
    """A reference has a bound; a path may be longer."""
    long = "/".join(["folder" * 10] * 20)
    ids = asset_ids([f"{long}/a.usda", f"{long}/b.usda"], nobody)

    assert 2 == len(set(ids.values()))
    assert all(len(each.encode()) <= 512 and each.endswith(".usda") for each in ids.values())


def test_levels_put_what_is_named_first() -> None:
    """One batch for each step from the leaves."""
    graph = {"shot": ["asset", "light"], "asset": ["texture"], "light": [], "texture": []}

    assert [["light", "texture"], ["asset"], ["shot"]] == levels(graph)


def test_files_that_name_each_other_are_one_cycle() -> None:
    """They can't be told apart by order, so they are published together."""
    graph = {"root": ["a"], "a": ["b"], "b": ["a", "leaf"], "leaf": [], "self": ["self"]}
    found = cycles(graph)

    assert found["a"] == found["b"]
    assert 4 == len(set(found.values()))
    assert [["leaf", "self"], ["a", "b"], ["root"]] == levels(graph)


def test_a_long_chain_is_no_recursion() -> None:
    """Python's stack is about a thousand frames deep."""
    graph = {str(n): [str(n + 1)] for n in range(5000)} | {"5000": []}

    assert 5001 == len(levels(graph))


@settings(max_examples=200)
@given(GRAPHS)
def test_levels_hold_everything_and_name_only_what_came_before(graph: dict[str, list[str]]) -> None:
    """Or what is in the same cycle."""
    found, seen = cycles(graph), set()
    for batch in levels(graph):
        for name in batch:
            assert all(used in seen or found[used] == found[name] for used in graph[name])
        seen.update(batch)

    assert graph.keys() == seen
