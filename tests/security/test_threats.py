# SPDX-License-Identifier: Apache-2.0
"""Every line of the threat model names tests, and those are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "security.md"


def lines() -> list[list[str]]:
    """Return the cells of each row of the table of threats."""
    text = PAGE.read_text(encoding="utf-8").partition("## Threats")[2].partition("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


def names_in(file: Path) -> set[str]:
    """Return the tests of a file, those of classes as `Class::test`."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        functions = [each for each in inside if isinstance(each, ast.FunctionDef)]
        names |= {f"{prefix}{each.name}" for each in functions if each.name.startswith("test_")}
    return names


def test_every_threat_says_who_what_and_what_holds() -> None:
    """
    Who it is stands in the first of somebody's rows.
    """
    assert lines()
    assert lines()[0][0]
    assert [] == [row for row in lines() if len(row) != 4 or not all(row[1:])]


def test_every_threat_is_tried_by_tests_that_are_there() -> None:
    """
    A test that is renamed takes its line along.
    """
    named = {row[1]: re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", row[3]) for row in lines()}

    assert [] == [threat for threat, tests in named.items() if not tests]
    assert [] == [
        f"{file}::{test}"
        for tests in named.values()
        for file, test in tests
        if test not in names_in(REPOSITORY / file)
    ]


def test_every_test_of_security_is_somebodys_threat_or_says_how() -> None:
    """
    A file of these tests that no line names would prove nothing to who reads the page.
    """
    text = PAGE.read_text(encoding="utf-8")
    files = {each.name for each in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}

    assert [] == [name for name in sorted(files) if f"tests/security/{name}::" not in text]
