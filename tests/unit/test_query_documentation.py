# SPDX-License-Identifier: Apache-2.0
"""docs/queries.md: each example finds what the page says, in the catalogue that the page shows."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bifrost.catalogue.database import Database
from bifrost.catalogue.query import fields, query
from bifrost.errors import InvalidQueryException
from bifrost.testing.assets import Asset, add_assets

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "queries.md").read_text()
EXAMPLE = re.compile(
    r"```json\n(?P<query>.*?)\n```\n\n"
    r"(?:Finds (?P<ids>[^.]*)\.|Answers\n\n(?P<groups>(?:    [^\n]*\n)+)|Refused at (?P<where>\S+)\.\n)",
    re.DOTALL,
)
NAMES = re.compile(r"`([^`]+)`")


def catalogue_of_the_page():
    for line in PAGE.splitlines():
        if re.match(r"\| `\w+` \|.*\{", line):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            name, display, kind, status, created, tags, metadata, needs = cells
            yield Asset(
                name.strip("`"),
                display,
                kind,
                datetime.fromisoformat(created).replace(tzinfo=UTC),
                status=status,
                metadata={**({"tags": tags.split(", ")} if tags else {}), **json.loads(metadata)},
                needs=[(needed, "reference", 0, 0) for needed in needs.split(", ") if needed],
            )


@pytest.fixture
def database(catalogue_url):
    database = Database.open(catalogue_url)
    with database.write() as connection:
        add_assets(connection, list(catalogue_of_the_page()))
    yield database
    database.close()


def test_the_examples_find_what_the_page_says(database):
    examples = list(EXAMPLE.finditer(PAGE))

    assert PAGE.count("```json") == len(examples) >= 20
    for example in examples:
        document = json.loads(example["query"])
        if example["where"]:
            with database.read() as connection, pytest.raises(InvalidQueryException) as caught:
                query(connection, document)
            assert example["where"].strip(".`") == caught.value.where
            continue
        with database.read() as connection:
            page = query(connection, document)
        if example["groups"]:
            groups = [json.loads(line) for line in example["groups"].splitlines()]
            assert groups == page, document
        else:
            assert NAMES.findall(example["ids"]) == [each["id"] for each in page], document


def test_the_planned_example_runs_on_it(database):
    document = re.search(r"query_assets\(\s*(\{.*?\})\s*\)", PAGE, re.DOTALL)[1]

    with database.read() as connection:
        page = query(connection, ast.literal_eval(document))

    assert ["dragon", "skin", "hero"] == [each["id"] for each in page]


def test_the_page_names_every_field_and_operator():
    listed = set(re.findall(r"`(\$?[\w.<>]+)`", PAGE))
    operators = {each for known in fields.OPERATORS.values() for each in known}

    assert {*fields.FIELDS, *fields.EDGES, *fields.SETTINGS, *operators, *fields.COMBINATIONS} <= {
        *listed,
        "$text",
    }
