# SPDX-License-Identifier: Apache-2.0
"""`bifrost migrate scan`: every use of the old API in Python code, and only those."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bifrost.cli.main import run
from bifrost.integrations.migrating.finding import Source, Use
from bifrost.integrations.migrating.scanning import PYTHON, files_under
from bifrost.integrations.replacements import TABLE, Kind

OLD = "bifrost.integrations.assetio"
HOST = f"from {OLD}.bifrost_host import bifrost_host\n"
CLASS = f"from {OLD}.bifrost_host import BifrostHostInterface\n"
MAPPER = f"from {OLD}.uri_mapper import AssetUriMapper\n"


def uses(text: str) -> list[Use]:
    return Source(text.encode()).uses()


def names(text: str) -> list[tuple[int, str]]:
    return [(use.line, use.old.rpartition(".")[2]) for use in uses(text) if use.is_sure]


def test_an_import_and_a_call_are_two_uses_with_place_and_replacement() -> None:
    """The line and the column are where an editor finds it, whatever letters stand before."""
    _, call = uses(HOST + "é = 'ü', bifrost_host.get_entity_info(uri)\n")

    assert (2, 10) == call[:2]
    assert f"{OLD}.bifrost_host.BifrostHostInterface.get_entity_info" == call.old
    assert "bifrost.bifrost_host.get_entity_info" == call.new
    assert "other keys" in call.note


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind is Kind.METHOD])
def test_every_old_method_is_found(row) -> None:
    """Whatever the table has, the scan knows."""
    old_class = row.old.rpartition(".")[0]
    module, _, name = old_class.rpartition(".")

    [*_, use] = uses(f"from {module} import {name} as C\nC.{row.name}('x')\n")

    assert (row.old, row.new, row.note) == use[2:5]


@pytest.mark.parametrize(
    "code",
    [
        HOST.replace("import bifrost_host", "import bifrost_host as h") + "h.get_version(u)\n",
        CLASS + "h = BifrostHostInterface()\nh.get_version(u)\n",
        CLASS + "BifrostHostInterface().get_version(u)\n",
        CLASS + "def f(h: BifrostHostInterface):\n    return h.get_version(u)\n",
        CLASS + "def f(h: 'BifrostHostInterface | None' = None):\n    return h.get_version(u)\n",
        CLASS + "class A:\n    def f(self):\n        self._h = BifrostHostInterface()\n"
        "    def g(self):\n        return self._h.get_version(u)\n",
        HOST + "other = bifrost_host\nother.get_version(u)\n",
        f"import {OLD}.bifrost_host\n{OLD}.bifrost_host.bifrost_host.get_version(u)\n",
        f"import {OLD}.bifrost_host as m\nm.bifrost_host.get_version(u)\n",
        f"from {OLD} import bifrost_host as m\nm.BifrostHostInterface().get_version(u)\n",
    ],
)  # fmt: skip
def test_a_host_is_followed_to_its_calls(code: str) -> None:
    """Through other names, annotations, attributes of self, and modules."""
    assert "get_version" == names(code)[-1][1]


def test_strings_that_name_an_old_module_are_found_and_docstrings_are_not() -> None:
    """`importlib` and mocks go by strings; a docstring runs nothing."""
    code = f'"""See {OLD}.bifrost_host."""\nmock.patch("{OLD}.bifrost_host.bifrost_host")\n'

    [use] = uses(code)

    assert (2, f"{OLD}.bifrost_host.bifrost_host") == (use.line, use.old)


def test_traits_count_where_the_file_is_of_the_old_api() -> None:
    """Elsewhere the same word may be anybody's."""
    code = "wanted = {'locatableContent'}\n"

    [alone] = uses(code)
    [*_, beside] = uses(HOST + code)

    assert not alone.is_sure
    assert beside.is_sure
    assert "openassetio-mediacreation:content.LocatableContent" == beside.new


def test_a_name_that_is_something_else_too_is_only_perhaps_a_use() -> None:
    """Nobody can tell, without running it, which of the two it is."""
    code = HOST + "try:\n    bifrost_host.get_version(u)\nexcept E:\n    bifrost_host = None\n"

    assert [(1, "bifrost_host")] == names(code)
    assert any("perhaps" in use.note for use in uses(code))


def test_a_method_of_an_unknown_object_is_only_perhaps_a_use() -> None:
    """What it is called on comes from elsewhere; of the new API's own host it is none."""
    [perhaps] = uses("def f(thing):\n    return thing.resolve_asset_path(u)\n")

    assert not perhaps.is_sure
    assert [] == uses("from bifrost import bifrost_host\nbifrost_host.resolve_asset_path(u)\n")


def test_code_of_the_new_api_is_clean(tmp_path: Path) -> None:
    """So that a studio can hold its code to it: exit code 0."""
    (tmp_path / "new.py").write_text("from bifrost import bifrost_host, AssetUriMapper\n")

    assert 0 == run(["migrate", "scan", str(tmp_path), "--only", "code"])


def test_folders_are_searched_and_installed_packages_are_not(tmp_path: Path) -> None:
    """Nor what is hidden; a file that is named itself is looked at whatever it is called."""
    for name in ("a.py", "b/c.pyi", ".e.py", ".venv/d.py", "x/site-packages/e.py", "tool", "f.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(HOST)

    found, troubles = files_under([tmp_path, tmp_path / "tool"], PYTHON)

    assert ["a.py", "b/c.pyi", "tool"] == [str(each.relative_to(tmp_path)) for each in found]
    assert [] == troubles


def test_the_command_lists_and_leaves_with_1(tmp_path: Path, capsys) -> None:
    """One line for each use, as compilers print them."""
    file = tmp_path / "publish.py"
    file.write_text(MAPPER + "AssetUriMapper.is_valid_uri(x)\n")

    assert 1 == run(["migrate", "scan", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert [f"{file}:1:", f"{file}:2:"] == [line[: len(str(file)) + 3] for line in lines]
    assert lines[1].endswith("AssetUriMapper.is_valid_uri → bifrost.AssetUriMapper.is_valid_uri")


def test_as_json(tmp_path: Path, capsys) -> None:
    """The same, for programs."""
    (tmp_path / "publish.py").write_text(HOST)

    assert 1 == run(["migrate", "scan", str(tmp_path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert ([], []) == (told["usd"], told["troubles"])
    [row] = told["code"]
    expected = {"line": 1, "column": len(HOST) - len("bifrost_host"), "is_sure": True}
    assert expected == {key: row[key] for key in expected}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"print 'old'\n", "it doesn't parse"),
        (b"\x00", "null bytes"),
        (b"# coding: klingon\n", "unknown encoding"),
        (b"\xff\xfe = 1\n", "can't decode"),
        (b"(" * 100_000, "too"),
        (None, "there is no such file"),
    ],
)
def test_what_is_no_python_is_trouble_and_the_rest_is_scanned(
    tmp_path: Path, capsys, content: bytes | None, why: str
) -> None:
    """Exit code 2 wins over 1."""
    bad, good = tmp_path / "bad.py", tmp_path / "good.py"
    good.write_text(HOST)
    if content is not None:
        bad.write_bytes(content)

    assert 2 == run(["migrate", "scan", str(bad), str(good)])
    told = capsys.readouterr()
    assert str(good) in told.out
    assert f"bifrost: {bad}: " in told.err
    assert why in told.err


def test_declared_encodings_and_marks_are_honoured() -> None:
    """The column is counted in characters of the file's own encoding."""
    latin = b"# -*- coding: latin-1 -*-\n" + HOST.encode() + b"'\xe9', bifrost_host.initialize()\n"
    marked = b"\xef\xbb\xbf" + HOST.encode()

    assert (3, 6) == Source(latin).uses()[-1][:2]
    assert (1, HOST.index("bifrost_host\n") + 1) == Source(marked).uses()[0][:2]


@pytest.mark.parametrize("row", [row for row in TABLE if row.kind is Kind.METHOD])
def test_the_page_says_what_becomes_of_every_method(row) -> None:
    """Of the one table, as `migrate code` goes by it."""
    page = Path(__file__).resolve().parents[2] / "docs" / "migrating.md"
    outcomes = {None: "left to people", "": "stays"}
    becomes = outcomes.get(row.fallback, f"a `try` round it, with {row.fallback}")

    assert f"| `{row.name}` | {becomes} |" in page.read_text(encoding="utf-8").splitlines()
