# SPDX-License-Identifier: Apache-2.0
"""Rules of the house that every file of ours keeps."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".ci", "benchmarks", "docs", "examples", "python", "resolver", "tests")
SUFFIXES = {
    ".c",
    ".cfg",
    ".cmake",
    ".cpp",
    ".h",
    ".ini",
    ".md",
    ".py",
    ".sh",
    ".toml",
    ".txt",
    ".yml",
}
NOT_OURS = {"__pycache__", "generated", "out", "report", "results"}

# Put together here, so that this file keeps the rules it checks.
REGISTRIES = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "deb.debian" + ".org")
# `/home/me` is everybody's.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:root|Users|work|home(?!/me\b))/\w")
MARK = re.compile(r"\b(?:TO" + "DO|FIX" + r"ME|X" + r"XX)\b(?!\(#\d+\))")
# Names that say nothing: what is in such a module belongs somewhere.
EMPTY_NAMES = {
    "base",
    "common",
    "helper",
    "helpers",
    "manager_base",
    "misc",
    "tools",
    "util",
    "utils",
}


def our_files():
    yield from (path for path in ROOT.iterdir() if path.is_file() and is_ours(path))
    for folder in FOLDERS:
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if is_ours(path))


def is_ours(path):
    inside = path.relative_to(ROOT)
    named = path.suffix in SUFFIXES or path.name in {"Makefile", "run"}
    return named and path.is_file() and not NOT_OURS.intersection(inside.parts)


FILES = list(our_files())
PYTHON = [path for path in FILES if path.suffix == ".py"]
PACKAGE = [path for path in PYTHON if path.is_relative_to(ROOT / "python")]
CODE = [
    path for path in FILES if path.suffix not in {".md", ".txt"} or path.name == "CMakeLists.txt"
]


def named(paths):
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def test_the_files_are_found():
    assert {ROOT / "Makefile", ROOT / ".ci" / "run", Path(__file__).resolve()} <= set(FILES)


@pytest.mark.parametrize("path", named(CODE))
def test_a_file_starts_with_its_licence(path):
    lines = path.read_text(encoding="utf-8").splitlines()[:2]

    assert any("SPDX-License-Identifier: Apache-2.0" in line for line in lines)


@pytest.mark.parametrize("path", named(PYTHON))
def test_a_module_says_what_it_is_for(path):
    # Alembic's and pytest's own files are named by them, not by us; they say it too.
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", named(p for p in PACKAGE if "versions" not in p.parts))
def test_what_is_public_has_a_docstring(path):
    tree = tree_of(path)

    missing = [name for name, node in public(tree, imported(tree)) if not ast.get_docstring(node)]

    assert [] == missing


def imported(tree):
    """The names that a module imports from OpenAssetIO; their methods are documented there."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or alias.name
        for node in nodes
        if (node.module or "").startswith("openassetio")
        for alias in node.names
    }


def public(node, foreign, prefix=""):
    """Yield functions, classes and methods whose names have no leading underscore."""
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_") or is_second_half(child):
                continue
            yield f"{prefix}{child.name}", child
            if isinstance(child, ast.ClassDef) and not foreign & set(map(ast.unparse, child.bases)):
                yield from public(child, foreign, f"{prefix}{child.name}.")


def is_second_half(node):
    """Whether a function says again what another of its name has said."""
    decorators = {ast.unparse(each).rpartition(".")[2] for each in node.decorator_list}
    return bool(decorators & {"overload", "override", "setter", "deleter"})


@pytest.mark.parametrize("path", named(FILES))
def test_a_file_knows_no_machine_and_no_registry(path):
    text = path.read_text(encoding="utf-8")

    assert [] == MACHINE_PATH.findall(text)
    assert [] == [host for host in REGISTRIES if host in text]


@pytest.mark.parametrize("path", named(CODE))
def test_what_is_left_to_do_names_its_issue(path):
    assert [] == MARK.findall(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", named(PACKAGE))
def test_a_module_has_a_name_that_says_something(path):
    assert path.stem not in EMPTY_NAMES
    assert path.parent.name not in EMPTY_NAMES


@pytest.mark.parametrize("path", named(p for p in CODE if p.is_relative_to(ROOT / "resolver")))
def test_the_plugin_writes_nothing_to_the_standard_streams(path):
    if {"tests", "fuzz"} & {*path.relative_to(ROOT).parts} or path.suffix not in {".cpp", ".h"}:
        pytest.skip("not part of the plugin")
    if path.name == "loader.cpp":
        pytest.skip("linked to no OpenUSD, so that it has no diagnostics to speak through")

    assert [] == re.findall(r"std::c(?:out|err|log)\b|\bf?printf\s*\(", path.read_text("utf-8"))
