# SPDX-License-Identifier: Apache-2.0
"""`bifrost query` prints what the catalogue answers."""

from __future__ import annotations

import csv
import io
import json

import pytest

from bifrost import session
from bifrost.catalogue.access import Rule
from bifrost.catalogue.records import Publication
from bifrost.cli import query_command
from bifrost.cli.main import run


@pytest.fixture(autouse=True)
def show(own_home):
    session.current().catalogue.publish(
        [
            Publication("hero", "Hero", "model", "", asset_metadata={"tags": ["a", "b"]}),
            Publication("wood", "Wood, dark", "texture", "", asset_metadata={"note": "a\x1b[2Jb"}),
            Publication("skin", "Skin", "texture", ""),
        ]
    )


def asked(capsys, *arguments):
    code = run(["query", *arguments])
    out, err = capsys.readouterr()
    assert (0, "") == (code, err) or err.startswith("bifrost: ")
    return out


def test_without_a_terminal_a_table_is_plain_text(capsys):
    lines = asked(capsys, '{"types": ["model"]}').splitlines()

    assert ["id", "name", "type", "status", "version", "modifiedDate", "tags"] == lines[0].split()
    assert ["hero", "Hero", "model"] == lines[1].split()[:3]
    assert lines[1].endswith("a b")


def test_a_terminal_gets_a_drawn_table(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    assert "━" in asked(capsys, '{"types": ["model"], "fields": ["id", "name"]}')


def test_json_has_the_assets_and_the_next_page(capsys):
    document = {"fields": ["id"], "limit": 2, "sort": [{"field": "id"}], "count": True}

    first = json.loads(asked(capsys, json.dumps(document), "--json"))
    second = json.loads(
        asked(capsys, json.dumps({**document, "cursor": first["cursor"]}), "--json")
    )

    assert ([{"id": "hero"}, {"id": "skin"}], 3) == (first["assets"], first["total"])
    assert {"assets": [{"id": "wood"}], "cursor": None, "total": 3} == second


def test_csv_has_every_field_of_an_asset(capsys):
    rows = list(csv.DictReader(io.StringIO(asked(capsys, '{"id": "wood"}', "--csv"))))

    assert ["Wood, dark"] == [row["name"] for row in rows]
    assert {"note": "a\x1b[2Jb"} == json.loads(rows[0]["metadata"])
    assert set(query_command._CSV_COLUMNS) == rows[0].keys()


def test_groups_have_columns_of_their_own(capsys):
    document = '{"aggregate": {"by": ["type"]}}'

    assert "type,count\nmodel,1\ntexture,2\n" == asked(capsys, document, "--csv")
    assert {
        "groups": [{"type": "model", "count": 1}, {"type": "texture", "count": 2}]
    } == json.loads(asked(capsys, document, "--json"))


def test_nothing_found_is_no_failure(capsys):
    assert asked(capsys, '{"id": "nobody"}').startswith("id")
    assert {"assets": [], "cursor": None} == json.loads(asked(capsys, '{"id": "nobody"}', "--json"))


def test_what_a_table_has_no_place_for_is_said_beside_it(capsys):
    assert 0 == run(["query", '{"limit": 1, "count": true}'])

    said = capsys.readouterr().err

    assert "bifrost: 3 in all\n" in said
    assert 'bifrost: there are more: "cursor": "' in said


def test_a_terminal_is_not_at_the_mercy_of_the_metadata(capsys):
    document = '{"id": "wood", "fields": ["metadata.note"]}'

    assert "a [2Jb" in asked(capsys, document)


def test_the_query_may_come_from_standard_input(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO('{"id": "hero", "fields": ["id"]}'))

    assert "id\nhero\n" == asked(capsys, "-")


def test_a_query_is_saved_listed_run_and_forgotten(capsys):
    assert "" == asked(capsys, '{"types": ["texture"], "fields": ["id"]}', "--save", "wooden")
    assert "wooden" in asked(capsys, "--list")
    assert "id\nskin\nwood\n" == asked(capsys, "--saved", "wooden", "--csv")
    assert "id\nskin\n" == asked(capsys, '{"limit": 1}', "--saved", "wooden", "--csv")
    assert "" == asked(capsys, "--forget", "wooden")
    assert {"queries": []} == json.loads(asked(capsys, "--list", "--json"))


def test_a_wrong_query_is_one_and_says_where(capsys):
    assert 1 == run(["query", '{"tgas": "a"}'])

    assert capsys.readouterr().err.startswith("bifrost: $.tgas: there is no field 'tgas'")


def test_what_the_user_may_not_read_is_not_found(capsys):
    session.current().catalogue.allow([Rule("hero", "read", "somebody else")])

    assert {"assets": [], "cursor": None} == json.loads(asked(capsys, '{"id": "hero"}', "--json"))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["{"],
        ["[" * 100_000],
        ["9" * 5_000],
        ["--list", "--saved", "a"],
        ["{}", "--list"],
        ["{}", "--save", "a", "--saved", "b"],
    ],
    ids=range(7),
)
def test_wrong_usage_is_two(arguments, capsys):
    assert 2 == run(["query", *arguments])
    assert "Error: " in capsys.readouterr().err
