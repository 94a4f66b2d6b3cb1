# SPDX-License-Identifier: Apache-2.0
"""
Files that are no layer, through every call: one kind of error that says which file and why; nothing written.

The calls run in a process of their own with a hard limit: a FIFO is waited for without end, and text that
nests deep enough ends OpenUSD's process or keeps it busy for minutes.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pxr import Sdf, UsdUtils

from bifrost.errors import Code
from bifrost.testing.show import Show, layer
from bifrost.usd.file_checks import check, glance

CALLS = """
import json, sys
from pathlib import Path
from bifrost import bifrost_host as host
from bifrost.errors import BifrostError

OLD, NEW = "bifrost:///assets/old", "./new.usda"
ARC = {"to": "bifrost:///assets/old", "type": "reference", "metadata": {"prim_path": "/a"}}

def calls(reference, path, out):
    yield "resolve_usd_layer", lambda: host.resolve_usd_layer(reference)
    yield "get_usd_layer_metadata", lambda: host.get_usd_layer_metadata(reference)
    for each in (reference, path):
        yield f"open_usd_stage {each}", lambda: host.open_usd_stage(each)
        yield f"get_usd_layers {each}", lambda: host.get_usd_layers(each)
        yield f"extract_arcs {each}", lambda: host.extract_arcs(each)
        yield f"closure {each}", lambda: host.extract_arcs(each, closure=True)
        yield f"get_usd_variants {each}", lambda: host.get_usd_variants(each, "/a")
        yield f"find_usd_variants {each}", lambda: host.find_usd_variants(each)
        yield f"select {each}", lambda: host.select_usd_variant(each, "/a", "s", "v")
        yield f"pin_usd {each}", lambda: host.pin_usd(each, out / "made.pins.json")
        yield f"pin selected {each}", lambda: host.pin_usd(each, selected_variants=True)
        yield f"localize_usd {each}", lambda: host.localize_usd(each, out / "copy")
        yield f"package_usd {each}", lambda: host.package_usd(each, out / "made.usdz")
    yield "select in a layer", lambda: host.select_usd_variant(path, "/a", "s", "v", target="layer")
    yield "sync_relationships", lambda: host.sync_relationships(reference)
    yield "author_arcs", lambda: host.author_arcs(path, [ARC])
    yield "retarget", lambda: host.retarget(path, OLD, NEW)
    yield "register_asset", lambda: host.register_asset("model", "new", path)
    yield "register_version", lambda: host.register_version(reference, path)

def outcome(call):
    try:
        return ["returned", repr(call())]
    except BifrostError as error:
        return [str(error.code), error.message, error.remedy]
    except BaseException as error:
        return [type(error).__name__, str(error)]

cases = json.loads(sys.argv[1])
out = Path(sys.argv[2])
for name, (reference, path) in cases.items():
    cases[name] = found = {}
    for call, run in calls(reference, path, out):
        print(name, call, file=sys.stderr, flush=True)  # the last one is where it hung
        found[call] = outcome(run)
print(json.dumps(cases))
"""
EXPECTED = {Code.NOT_A_LAYER, Code.NOT_A_FILE, Code.FILE_MISSING, Code.REFUSED}


def deep(opening: str, closing: str, depth: int = 5_000) -> bytes:
    return (
        f'#usda 1.0\ndef "a" {{\n custom int x = {opening * depth}{closing * depth}\n}}\n'
    ).encode()


TEXTS: dict[str, tuple[str, bytes, str]] = {
    "broken syntax": ("a.usda", b'#usda 1.0\ndef "a" {\n', "Expected }"),
    "an empty file": ("a.usda", b"", "it is empty"),
    "NUL bytes": ("a.usda", bytes(100), "doesn't start as"),
    "a byte order mark": ("a.usda", b"\xef\xbb\xbf#usda 1.0\n", "a byte order mark stands before it"),
    "no UTF-8": ("a.usda", b'#usda 1.0\n("\xff\xfe")\n', "no UTF-8"),
    "a name that is no UTF-8": ("a.usda", b'#usda 1.0\ndef "a\xff" {\n}\n', "no UTF-8"),
    "prims without end": (
        "a.usda", b"#usda 1.0\n" + b'def "a" {\n' * 60_000, "more than 2000 deep",
    ),
    "prims 5,000 deep": (
        "a.usda", b"#usda 1.0\n" + b'def "a" {\n' * 5_000 + b"}\n" * 5_000, "more than 2000 deep",
    ),
    "parentheses 50,000 deep": ("a.usda", deep("(", ")", 50_000), "parentheses more than 2000 deep"),
    "dictionaries 5,000 deep": (
        "a.usda",
        b"#usda 1.0\n(customLayerData = {" + b"dictionary d = {" * 5_000 + b"}" * 5_000 + b"})\n",
        "more than 2000 deep",
    ),
}  # fmt: skip


def crate(folder: Path) -> bytes:
    made = Sdf.Layer.CreateAnonymous(".usda")
    made.ImportFromString(layer(value="x" * 5_000))
    made.Export(str(folder / "crate.usdc"))
    return (folder / "crate.usdc").read_bytes()


def package(folder: Path) -> bytes:
    (folder / "in.usda").write_text(layer())
    made = folder / "package.usdz"
    assert UsdUtils.CreateNewUsdzPackage(str(folder / "in.usda"), str(made))
    return made.read_bytes()


BINARIES: dict[str, tuple[str, Callable[[Path], bytes], str]] = {
    "text called .usdc": ("a.usdc", lambda _: layer().encode(), "it is a text layer"),
    "text called .usdz": ("a.usdz", lambda _: layer().encode(), "it is a text layer"),
    "a crate called .usda": ("a.usda", crate, "it is a binary layer"),
    "a crate called .usdz": ("a.usdz", crate, "it is a binary layer"),
    "a package called .usda": ("a.usda", package, "it is a package"),
    "a package called .usd": ("a.usd", package, "it is a package"),
    "a crate that is cut off": ("a.usdc", lambda folder: crate(folder)[:200], "cut off"),
    "a package that is cut off": ("a.usdz", lambda folder: package(folder)[:200], "cut off"),
}

NO_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a directory": (Path.mkdir, ""),
    "a FIFO": (os.mkfifo, ""),
    "a device": (lambda path: path.symlink_to("/dev/zero"), ""),
    "a link to itself": (lambda path: path.symlink_to(path.name), ""),
    "nothing": (lambda _: None, ""),
}


@pytest.fixture
def rows(show: Show) -> Callable[[], list[str]]:
    """Return what is in the catalogue, but for what it records of publishes that were refused."""

    def dumped() -> list[str]:
        with sqlite3.connect(show.catalogue.path) as connection:
            lines = list(connection.iterdump())
        return [line for line in lines if not line.startswith('INSERT INTO "publishes"')]

    return dumped


@pytest.fixture
def outcomes(run_python, tmp_path: Path):
    """Make every call about each (reference, file); return what became of it, in one process."""

    def run(cases: dict[str, tuple[str, str]]) -> dict[str, dict[str, list[str]]]:
        out = tmp_path / "out"
        out.mkdir()
        found: dict[str, dict[str, list[str]]] = json.loads(
            run_python(CALLS, json.dumps(cases), out).stdout.splitlines()[-1]
        )
        return found

    return run


def wrong(outcome: list[str], expected: str) -> bool:
    """Whether an outcome is no clear refusal."""
    code, message = outcome[:2]
    return code not in EXPECTED or expected not in message or "a." not in message or not outcome[2]


def published(show: Show, number: int, name: str, place: Callable[[Path], Any]) -> tuple[str, str]:
    """Have something in the place of a published file, and in that of a working file."""
    reference = show.publish(f"{number}.{name}", layer())
    stored, working = show.path(f"{number}.{name}", 1), show.folder / str(number) / name
    stored.unlink()
    working.parent.mkdir()
    for path in (stored, working):
        place(path)
    return reference, str(working)


@pytest.mark.parametrize("kind", ["text", "binary"])
def test_what_is_no_layer_is_refused_by_every_call(
    show: Show, outcomes, rows, kind: str, tmp_path: Path
) -> None:
    """
    With the file and the reason; the files keep their bytes, the catalogue its rows.
    """
    made: dict[str, tuple[str, bytes, str]] = TEXTS
    if kind == "binary":
        made = {each: (name, make(tmp_path), why) for each, (name, make, why) in BINARIES.items()}
    cases = {
        each: published(show, number, name, lambda path, data=data: path.write_bytes(data))
        for number, (each, (name, data, _)) in enumerate(made.items())
    }
    before = rows()

    found = outcomes(cases)

    assert {} == {
        (case, call): outcome
        for case, calls in found.items()
        for call, outcome in calls.items()
        if wrong(outcome, made[case][2])
    }
    assert [] == list((tmp_path / "out").iterdir())
    assert [] == sorted(set(before) ^ set(rows()))
    assert {each: data for each, (_, data, _) in made.items()} == {
        each: Path(path).read_bytes() for each, (_, path) in cases.items()
    }


def test_what_is_no_file_is_refused_by_every_call(show: Show, outcomes, rows) -> None:
    """
    A directory, a FIFO that nobody writes to, a device without end, a link to itself: nobody waits.
    """
    cases = {
        each: published(show, number, "a.usda", place)
        for number, (each, (place, _)) in enumerate(NO_FILES.items())
    }
    before = rows()

    found = outcomes(cases)

    assert {} == {
        (case, call): outcome
        for case, calls in found.items()
        for call, outcome in calls.items()
        if wrong(outcome, "")
    }
    assert [] == sorted(set(before) ^ set(rows()))


@pytest.mark.parametrize(
    "text",
    [
        'string v = "' + "{(" * 5_000 + '"',
        "string v = '" + "{(" * 5_000 + "'",
        'string v = """' + '{(\n"' * 5_000 + ' """',
        "string v = '''" + "{(\\'" * 5_000 + "'''",
        "asset v = @" + "{(" * 5_000 + "@",
        "asset v = @@@" + "{(@" * 5_000 + " @@@",
        "int v # " + "{(" * 5_000,
        "int[] v = [" + ", ".join("0" * 5_000) + "]",
        "float3[] v = [" + ", ".join(["(1, 2, 3)"] * 5_000) + "]",
    ],
)
def test_brackets_in_texts_nest_nothing(tmp_path: Path, text: str) -> None:
    """
    A layer that USD reads is not refused for what it says.
    """
    path = tmp_path / "a.usda"
    path.write_text(f'#usda 1.0\ndef "a" {{\n    {text}\n}}\n')

    check(path)
    glance(path)
    assert Sdf.Layer.FindOrOpen(str(path)).GetPropertyAtPath("/a.v")


def test_brackets_after_a_text_that_does_not_end_are_counted(tmp_path: Path) -> None:
    """
    A quote in a comment or a text of several lines hides nothing.
    """
    path = tmp_path / "a.usda"
    path.write_text("#usda 1.0\n# it's\n" + 'def "a" {\n' * 3_000)

    with pytest.raises(Exception, match="more than 2000 deep"):
        glance(path)


@pytest.mark.parametrize(
    "hidden",
    [
        "# {0}\n",
        "// {0}\n",
        "/* {0}\n{0} */\n",
        '(\n    doc = "{0}"\n)\n',
        "(\n    doc = '{0}'\n)\n",
        '(\n    doc = """\n{0}\n"""\n)\n',
        "(\n    customLayerData = {{ asset a = @@@\\@@@{0}@@@ }}\n)\n",
        "(\n    customLayerData = {{ asset a = @@@{0}@@@@ }}\n)\n",
    ],
)
def test_closing_brackets_in_texts_close_nothing(tmp_path: Path, hidden: str) -> None:
    """
    What a comment closes is open to USD, which would end the process over it.
    """
    path = tmp_path / "a.usda"
    closing = "}" * 10_000
    path.write_text(f"#usda 1.0\n{hidden.format(closing)}" + 'def "a" {\n' * 3_000 + "}\n" * 3_000)

    with pytest.raises(Exception, match="more than 2000 deep"):
        glance(path)


def test_a_comment_beside_each_prim_closes_none_of_them(tmp_path: Path) -> None:
    """
    Nor where as many are closed in comments as are opened, all the way.
    """
    path = tmp_path / "a.usda"
    path.write_text("#usda 1.0\n" + 'def "a" { # }\n' * 3_000 + "}\n" * 3_000)

    with pytest.raises(Exception, match="more than 2000 deep"):
        glance(path)


def test_square_brackets_nest_as_others_do(tmp_path: Path) -> None:
    """
    A million of them end the process too.
    """
    path = tmp_path / "a.usda"
    depth = 1_000_000
    path.write_text(f'#usda 1.0\ndef "a" {{\n    int[] v = {"[" * depth}1{"]" * depth}\n}}\n')

    with pytest.raises(Exception, match="square brackets more than 2000 deep"):
        glance(path)


def test_a_long_scene_in_every_spelling_nests_nothing(tmp_path: Path) -> None:
    """
    Ten thousand prims beside each other, each with a list, an array and a dictionary, are as deep as one.
    """
    prim = """def Xform "p{0}" (
    prepend references = [@a.usda@</A>, @b.usda@ (offset = 1)]
    customData = {{ string s = "it's {{" }} # )}}]
)
{{
    token[] order = ["a", "b"]; float3[] points = [(1, 2, 3), (4, 5, 6)]
    def "c" {{}}
}}
"""
    path = tmp_path / "a.usda"
    path.write_text("#usda 1.0\n" + "".join(prim.format(each) for each in range(10_000)))

    glance(path)
