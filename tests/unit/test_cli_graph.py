# SPDX-License-Identifier: Apache-2.0
"""`bifrost graph` prints what depends on what."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from bifrost import session
from bifrost.catalogue import Dependency, Publication, edges
from bifrost.cli.main import run


def reference(asset_id, version=None):
    return f"bifrost:///assets/{asset_id}" + (f"?version={version}" if version else "")


@pytest.fixture
def catalogue(own_home, catalogue_url, monkeypatch):
    """shot -> hero -> skin@1, and shot -> rig (weak)."""
    monkeypatch.setenv("BIFROST_CATALOGUE__URL", catalogue_url)
    catalogue = session.current().catalogue
    for asset_id, *needs in (
        ("skin",),
        ("rig",),
        ("hero", Dependency("skin", "1", "reference")),
        ("shot", Dependency("hero", None, "sublayer")),
    ):
        catalogue.publish(
            [Publication(asset_id, asset_id.title(), "model", "", "1", dependencies=needs)]
        )
    relate(catalogue, "shot", "rig", optional=True, purpose="posing")
    return catalogue


def relate(catalogue, source, target, **metadata):
    with catalogue._database.write() as connection:
        edges.add(connection, (source, None), (target, None), "uses", metadata, now_us=1)


def printed(capsys, *arguments, code=0):
    assert code == run(["graph", *arguments])
    return capsys.readouterr().out


def as_json(capsys, *arguments, code=0):
    return json.loads(printed(capsys, *arguments, "--json", code=code))


def test_dependencies_are_a_table(catalogue, capsys):
    lines = printed(capsys, "dependencies", reference("shot")).splitlines()

    assert ["distance", "asset", "type", "strength"] == lines[0].split()
    assert ["1", reference("hero", 1), "model", "strong"] == lines[1].split()
    assert ["1", reference("rig", 1), "model", "weak"] == lines[2].split()
    assert ["2", reference("skin", 1), "model", "strong"] == lines[3].split()


def test_an_id_alone_names_an_asset_too(catalogue, capsys):
    assert as_json(capsys, "dependencies", "shot") == as_json(
        capsys, "dependencies", reference("shot")
    )


def test_depth_and_strength_narrow_it(catalogue, capsys):
    near = as_json(capsys, "dependencies", "shot", "--depth", "1", "--strength", "strong")

    assert ["hero"] == [each["asset_id"] for each in near]


def test_dependents_and_impact(catalogue, capsys):
    assert ["hero", "shot"] == [each["asset_id"] for each in as_json(capsys, "dependents", "skin")]
    hero, shot = as_json(capsys, "impact", "skin")
    assert (1, False, ["skin"]) == (hero["distance"], hero["follows"], hero["through"])
    assert (2, "strong", ["hero"]) == (shot["distance"], shot["strength"], shot["through"])
    assert "pinned" in printed(capsys, "impact", "skin")
    assert "nothing is affected\n" == printed(capsys, "impact", "shot")


def test_orphans(catalogue, capsys):
    assert ["shot"] == [each["asset_id"] for each in as_json(capsys, "orphans")]
    assert "there are none\n" == printed(capsys, "orphans", "--type", "texture")


def test_path_says_each_step(catalogue, capsys):
    text = printed(capsys, "path", "shot", "skin")

    assert [
        f"{reference('shot', 1)} -> {reference('hero', 1)}  (sublayer, strong, floats)",
        f"{reference('hero', 1)} -> {reference('skin', 1)}  (reference, strong, pins 1)",
    ] == text.splitlines()


def test_no_path_is_one_and_says_whether_there_is_one_back(catalogue, capsys):
    assert 1 == run(["graph", "path", "skin", "shot"])

    captured = capsys.readouterr()
    assert "" == captured.out
    assert f"but {reference('shot')} needs {reference('skin')}" in captured.err


def test_order_puts_everything_behind_what_it_needs(catalogue, capsys):
    assert [reference("skin", 1), reference("hero", 1), reference("shot", 1)] == (
        printed(capsys, "order", "shot").splitlines()
    )
    assert 4 == len(as_json(capsys, "order", "--strength", "strong", "--strength", "weak"))


def test_diff_says_what_came_and_went(catalogue, capsys):
    catalogue.publish(
        [Publication("hero", "Hero", "model", "", "2", dependencies=[Dependency("rig", None, "x")])]
    )

    found = as_json(capsys, "diff", reference("hero", 1), "hero")
    assert [reference("rig", 1)] == [edge["target"] for edge in found["added"]]
    assert [reference("skin", 1)] == [edge["target"] for edge in found["removed"]]
    assert ["-", "+"] == [
        line[0] for line in printed(capsys, "diff", reference("hero", 1), "hero").splitlines()
    ]
    assert "there is no difference\n" == printed(capsys, "diff", "hero", "hero")


def test_check_and_cycles_are_silent_about_what_holds(catalogue, capsys):
    assert "every relationship holds\n" == printed(capsys, "check")
    assert "there are none\n" == printed(capsys, "cycles")


def test_check_is_one_where_something_is_broken_and_says_what_to_do(catalogue, capsys):
    catalogue.publish(
        [Publication("rig", "Rig", "model", "", "2", dependencies=[Dependency("shot")])]
    )
    assert [] == as_json(capsys, "cycles")
    assert ["rig", "shot"] == as_json(
        capsys, "cycles", "--strength", "strong", "--strength", "weak"
    )[0]["assets"]

    with catalogue._database.write() as connection:
        connection.exec_driver_sql("DELETE FROM relationships WHERE origin = 1")
    relate(catalogue, "hero", "shot", optional=True)
    catalogue.publish(
        [Publication("skin", "Skin", "model", "", "2", dependencies=[Dependency("hero")])]
    )
    catalogue.publish(
        [Publication("hero", "Hero", "model", "", "2", dependencies=[Dependency("skin")])]
    )

    text = printed(capsys, "check", code=1)
    assert text.startswith("error: 2 assets need each other:")
    assert "make one of these relationships weak" in text
    assert ["strong_cycle"] == [each["kind"] for each in as_json(capsys, "check", code=1)]


def test_warnings_alone_are_no_failure(catalogue, capsys):
    catalogue.set_deprecated("hero", deprecated=True)

    assert printed(capsys, "check").startswith("warning: ")


def test_export_takes_the_format_from_the_file_name(catalogue, capsys, tmp_path):
    for form in ("svg", "graphml", "json", "dot"):
        out = tmp_path / f"graph.{form}"
        assert "" == printed(capsys, "export", "shot", "-o", str(out))
        text = out.read_text(encoding="utf-8")
        if form in ("svg", "graphml"):
            ET.fromstring(text)
        assert text == printed(capsys, "export", "shot", "--format", form).rstrip("\n") + (
            "\n" if text.endswith("\n") else ""
        )


def test_export_goes_either_way_or_takes_everything(catalogue, capsys):
    def ids(*arguments):
        found = json.loads(printed(capsys, "export", "--format", "json", *arguments))
        return {node["asset_id"] for node in found["nodes"]}

    assert {"hero", "skin"} == ids("hero")
    assert {"hero", "shot"} == ids("hero", "--direction", "in")
    assert {"hero", "rig", "shot", "skin"} == ids()


@pytest.mark.parametrize(
    "arguments", [["dependencies", "skim"], ["path", "shot", "skim"], ["order", "skim"]]
)
def test_an_unknown_asset_is_one_and_names_it(catalogue, capsys, arguments):
    assert 1 == run(["graph", *arguments])
    assert "skim" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["", "bifrost:///assets/a?version=1&representation=x", "other:///a/b"]
)
def test_what_names_no_asset_is_wrong_usage(catalogue, capsys, name):
    assert 2 == run(["graph", "dependencies", name])
