# SPDX-License-Identifier: Apache-2.0
"""The documentation says what the code does."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def settings_table():
    spec = importlib.util.spec_from_file_location("settings_table", ROOT / "docs/settings_table.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def settings_variables():
    from bifrost import settings

    return {variable for _, _, variable in settings._variables()}


def documented(page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return set(re.findall(r"`(BIFROST_[A-Z_]+)`", text))


def variables_in_code():
    """Yield the names of our variables that the package and the plugin read."""
    for path in (ROOT / "python").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from re.findall(r"^BIFROST_[A-Z_]*[A-Z]$", node.value)
    for path in (ROOT / "resolver").glob("*.cpp"):
        named = (
            r'"(BIFROST_\w+)"' if path.name == "environment.cpp" else r'getenv\("(BIFROST_\w+)"\)'
        )
        yield from re.findall(named, path.read_text(encoding="utf-8"))


def test_every_setting_is_on_its_page():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")

    assert settings_table().page() == page, "`make docs` writes it anew"
    assert settings_variables() == documented("settings.md") - {"BIFROST_HOME"}


def test_every_setting_says_what_it_is_and_in_which_unit():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]

    assert rows
    for key, _, _, text in rows:
        assert len(text) > len("what |"), key
        if key.rstrip("`").endswith("_s"):
            assert "econds" in text or "wait" in text, key


def test_the_list_of_variables_is_closed():
    traces = {"BIFROST_RESOLVE", "BIFROST_BRIDGE"}  # codes of TF_DEBUG; the third is a variable too
    used = set(variables_in_code()) - settings_variables()

    assert used == documented("environment.md") - traces


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test_every_link_leads_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))

    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_every_command_is_on_its_page():
    from bifrost.cli import main as cli

    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    for name in cli._ROOT.keys() - {"asset", "usd"}:
        assert f"`bifrost {name}" in page
    for name in cli._ASSET:
        assert f"`bifrost asset {name}" in page
    for name in cli._USD:
        assert re.search(rf"`bifrost usd [a-z\\|]*{name}\b", page), name


def test_the_readme_commands_are_targets():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    targets = set(re.findall(r"^make (\w+)", readme, re.MULTILINE))
    assert {"demo", "test"} <= targets
    assert [] == [name for name in targets if not re.search(rf"^{name}:", makefile, re.MULTILINE)]
