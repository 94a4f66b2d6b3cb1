# SPDX-License-Identifier: Apache-2.0
"""Pins: what they hold, their file, what `verify` and `diff` make of them, the command."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bifrost.context import Context
from bifrost.errors import AssetNotFoundException, BifrostError, ConfigurationError
from bifrost.host.usd_pins import UsdPinCalls
from bifrost.testing.show import Show, layer
from bifrost.usd import pin_checks
from bifrost.usd.pin_checks import Trouble
from bifrost.usd.pinning import openusd_version, pin
from bifrost.usd.pins import Pins, load

USD_WG = Path(__file__).resolve().parents[3] / "shared" / "data" / "usd_wg"
MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

VARIANTS = """#usda 1.0
(
    defaultPrim = "a"
)
def "a" (
    variants = {
        string look = "red"
    }
    prepend variantSets = "look"
)
{
    asset always = @./always.png@
    variantSet "look" = {
        "blue" (
            references = @bifrost:///assets/blue.usda@
        ) {
            asset texture = @./blue.png@
        }
        "red" (
            references = @bifrost:///assets/red.usda@
        ) {
            asset texture = @./red.<UDIM>.png@
            def "inner" (
                payload = @bifrost:///assets/inner.usda@
            )
            {
            }
        }
    }
}
def "unused"
{
    asset texture = @./unused.png@
}
"""

CLIPS = """#usda 1.0
(
    defaultPrim = "a"
    expressionVariables = {
        string WHICH = "chosen"
    }
    subLayers = [@`"./${WHICH}.usda"`@, @`${NOTHING}`@]
)
def "a" (
    clips = {
        dictionary default = {
            string templateAssetPath = "./clips/frame.##.usda"
            double templateStartTime = 1
            double templateEndTime = 2
            double templateStride = 1
            string primPath = "/a"
            asset manifestAssetPath = @./clips/manifest.usda@
        }
    }
)
{
}
"""

CHESS = """
import sys
from pxr import Usd
from bifrost.usd import library
stage = Usd.Stage.Open(sys.argv[1])
values = [a.Get() for p in stage.TraverseAll() for a in p.GetAttributes() if a.GetTypeName() == "asset"]
print(len(stage.GetUsedLayers()), len(values))
# Not zero: the wheel's OpenUSD reads no MaterialX.
print(len(stage.GetCompositionErrors()), sum(not each.resolvedPath for each in values if each))
print(library.counters()["crossings"])
"""


def reached(pins: Pins) -> list[str]:
    """Return what was pinned: references, and the names of files."""
    return [each.reference or Path(each.path).name for each in pins.pinned]


@pytest.fixture
def variants(show: Show) -> Path:
    """A root with two variants, each with a reference and textures of its own."""
    for name in ("blue", "red", "inner"):
        show.publish(f"{name}.usda", layer(value=name))
    root = show.root("root.usda")
    root.write_text(VARIANTS)
    for name in ("always", "blue", "red.1001", "red.1002", "unused"):
        root.with_name(f"{name}.png").write_bytes(name.encode())
    return root


@pytest.fixture
def simple(show: Show) -> Path:
    """A root over one layer."""
    return show.root("root.usda", show.publish("leaf.usda", layer(value="1")))


def test_an_entry_says_what_who_when_and_of_which_content(show: Show, simple: Path) -> None:
    """
    Reference, version, path, size, hash, manager; and above all of them when, and who.
    """
    pins = pin(str(simple), context=Context(user="anna", version="latest"), clock=lambda: NOON)

    file = show.path("leaf.usda", 1)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    [entity] = pins.entities
    assert ("bifrost:///assets/leaf.usda", "1", str(file), file.stat().st_size, digest) == (
        entity.reference,
        entity.version,
        entity.path,
        entity.size,
        entity.sha256,
    )
    assert ("2026-03-01T12:00:00+00:00", "anna", "user=anna;version=latest", "all") == (
        pins.made,
        pins.by,
        pins.policy,
        pins.variants,
    )
    assert ("org.bifrost.assetmanager", openusd_version()) == (pins.manager, pins.openusd)
    assert [str(simple)] == [each.path for each in pins.files]


def test_every_variant_is_pinned_with_its_textures(variants: Path) -> None:
    """
    Whether it is selected or not; a set of tiles is one entry.
    """
    pins = pin(str(variants))

    assert [
        *(f"bifrost:///assets/{name}.usda" for name in ("blue", "inner", "red")),
        *("always.png", "blue.png", "red.<UDIM>.png", "root.usda", "unused.png"),
    ] == reached(pins)
    assert not pins.unresolved
    assert len("red.1001" + "red.1002") == next(e.size for e in pins.files if "UDIM" in e.path)


def test_the_selected_variants_alone(variants: Path, run_python, tmp_path: Path) -> None:
    """
    What the stage composes, its payloads loaded: no other branch, and it opens from these pins.
    """
    out = tmp_path / "selected.pins.json"
    run_python(MAIN, "usd", "pin", variants, "-o", out, "--selected-variants")

    assert [
        "bifrost:///assets/inner.usda",
        "bifrost:///assets/red.usda",
        *("always.png", "red.<UDIM>.png", "root.usda", "unused.png"),
    ] == reached(load(out))
    assert "selected" == load(out).variants
    opening = "import sys; from pxr import Usd; stage = Usd.Stage.Open(sys.argv[1]); print(stage)"
    assert "" == run_python(opening, variants, env={"BIFROST_PINS": str(out)}).stderr


def test_what_the_ancestors_of_a_referenced_prim_bring_composes(
    show: Show, run_python, tmp_path: Path
) -> None:
    text = '#usda 1.0\n(defaultPrim = "I")\ndef "I"\n{\n def "M"\n {\n }\n}\n'
    inner = show.publish("inner.usda", text)
    arcs = f"prepend references = @{inner}@"
    outer = show.publish(
        "outer.usda", f'#usda 1.0\ndef "O" ({arcs})\n{{\n over "M"\n {{\n }}\n}}\n', (inner,)
    )
    shot, out = tmp_path / "shot.usda", tmp_path / "shot.pins.json"
    shot.write_text(f'#usda 1.0\ndef "S" (references = @{outer}@</O/M>) {{}}\n')

    run_python(MAIN, "usd", "pin", shot, "-o", out, "--selected-variants")

    assert {inner, outer} == {each.reference for each in load(out).entities}


def test_the_selected_variants_of_instanced_and_inactive_prims(
    variants: Path, run_python, tmp_path: Path
) -> None:
    """
    What lies in a prototype composes, in the variant that the instance selects; a prim that nothing
    refers to does not.
    """
    shot, out = variants.with_name("shot.usda"), tmp_path / "shot.pins.json"
    instance = (
        '(instanceable = true, references = @./root.usda@, variants = {string look = "blue"})'
    )
    off = "(active = false, references = @bifrost:///assets/inner.usda@)"
    shot.write_text(
        "#usda 1.0\n" + f'def "one" {instance} {{}}\ndef "off" {off} {{}}\n'.replace(", ", "\n")
    )

    run_python(MAIN, "usd", "pin", shot, "-o", out, "--selected-variants")

    assert [
        *("bifrost:///assets/blue.usda", "bifrost:///assets/inner.usda"),
        *("always.png", "blue.png", "root.usda", "shot.usda"),
    ] == reached(load(out))


def test_clips_and_expressions_are_followed(show: Show) -> None:
    """
    The files of a clip template, and what a variable expression means under the root; what it leaves
    open is told.
    """
    root = show.root("root.usda")
    root.write_text(CLIPS)
    (root.parent / "clips").mkdir()
    for name in ("chosen", "clips/frame.01", "clips/frame.02", "clips/manifest"):
        (root.parent / f"{name}.usda").write_text(layer())

    pins = pin(str(root))

    assert [
        "chosen.usda",
        "frame.01.usda",
        "frame.02.usda",
        "manifest.usda",
        "root.usda",
    ] == sorted(reached(pins))
    assert ["`${NOTHING}`"] == [each.reference for each in pins.unresolved]


def test_what_does_not_resolve_is_in_the_pins(show: Show) -> None:
    """
    With the layer that names it and why; the rest is pinned.
    """
    leaf = show.publish("leaf.usda", layer())
    root = show.root("root.usda", leaf, "bifrost:///assets/none.usda", "./gone.usda")

    pins = pin(str(root))

    assert [leaf] == [each.reference for each in pins.entities]
    assert {str(root.with_name("gone.usda")), "bifrost:///assets/none.usda"} == {
        each.reference for each in pins.unresolved
    }
    assert {str(root)} == {each.layer for each in pins.unresolved}


def test_a_root_that_does_not_resolve_raises(show: Show) -> None:
    """
    There is nothing to pin; files that are none, likewise.
    """
    with pytest.raises(AssetNotFoundException, match="nothing"):
        pin("bifrost:///assets/nothing.usda")
    with pytest.raises(BifrostError, match="nowhere"):
        pin(str(show.folder / "nowhere.usda"))


def test_layers_that_name_each_other_end(show: Show) -> None:
    """
    A circle of references, and one of sublayers, is walked once.
    """
    one, other = "bifrost:///assets/one.usda", "bifrost:///assets/other.usda"
    show.publish("one.usda", layer(references=(other,), sublayers=(other,)))
    show.publish("other.usda", layer(references=(one,), sublayers=(one,)))

    assert [one, other] == reached(pin(one))


def test_a_file_of_pins_is_read_as_it_was_written(variants: Path, tmp_path: Path) -> None:
    """
    Also with a path that is no UTF-8; and the same shot gives the same text but for the time.
    """
    pins = pin(str(variants), clock=lambda: NOON)
    odd = replace(pins.files[0], path='/odd/\udcff\n"é.png', size=0)
    pins = replace(pins, files=(odd, *pins.files[1:]))
    pins.save(tmp_path / "a.json")

    assert pins == load(tmp_path / "a.json")
    assert pins.text() == replace(load(tmp_path / "a.json")).text()
    assert pin(str(variants), clock=lambda: NOON) == pin(str(variants), clock=lambda: NOON)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "'bifrost_pins' is missing"),
        ('{"bifrost_pins": true}', "'bifrost_pins' is missing"),
        ('{"bifrost_pins": 2}', "a later version"),
        ('{"bifrost_pins": 1, "root": 5}', "root: expected a text, got 5"),
        ('{"bifrost_pins": 1, "entities": 5}', "entities: expected a list"),
        ('{"bifrost_pins": 1, "entities": [{"path": "/a"}]}', r"entities\[0\]: it has no 'refere"),
        ('{"bifrost_pins": 1, "files": [{"path": "/a", "size": "1"}]}', r"files\[0\].size"),
        ('{"bifrost_pins": 1, "files": [{"path": "/a", "size": true}]}', r"files\[0\].size"),
    ],
)
def test_a_file_that_holds_no_pins_says_where_and_why(
    tmp_path: Path, text: str, expected: str
) -> None:
    """
    In one line, with the file's name.
    """
    bad = tmp_path / "bad.json"
    bad.write_text(text)

    with pytest.raises(ConfigurationError, match=expected) as caught:
        load(bad)
    assert str(bad) in caught.value.message


def test_verify_finds_what_is_missing_and_what_changed(variants: Path, tmp_path: Path) -> None:
    """
    One byte of one tile, too; sizes alone would not see it.
    """
    calls, out = UsdPinCalls(), tmp_path / "a.json"
    calls.pin_usd(str(variants), out)
    assert [] == calls.verify_pins(out)

    variants.with_name("red.1002.png").write_bytes(b"red.1003")
    variants.with_name("blue.png").write_bytes(b"longer than before")
    variants.with_name("always.png").unlink()

    found = {Path(each.subject).name: each.trouble for each in calls.verify_pins(out)}
    assert {
        "red.<UDIM>.png": Trouble.CHANGED,
        "blue.png": Trouble.CHANGED,
        "always.png": Trouble.MISSING,
    } == found
    fast = {Path(each.subject).name for each in calls.verify_pins(out, hashes=False)}
    assert {"blue.png", "always.png"} == fast


def test_verify_warns_of_another_manager_and_openusd(simple: Path) -> None:
    """
    The pins hold nevertheless.
    """
    pins = replace(pin(str(simple)), manager="org.elsewhere", openusd="1.2")

    found = pin_checks.verify(pins, manager="org.bifrost.assetmanager", openusd="26.8")

    assert [Trouble.OTHER_MANAGER, Trouble.OTHER_OPENUSD] == [each.trouble for each in found]
    assert all(each.trouble.is_warning for each in found)
    assert "made with the manager org.elsewhere" in found[0].message


def test_verify_looks_where_a_site_has_its_folders(
    show: Show, simple: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    As the resolver does, by the same variable.
    """
    pins = pin(str(simple))
    there = tmp_path / "there"
    show.folder.rename(there)

    assert {Trouble.MISSING} == {each.trouble for each in pin_checks.verify(pins)}
    monkeypatch.setenv("BIFROST_PINS_ROOTS", f"{show.folder}/={there}/")
    assert [] == pin_checks.verify(pins)


@pytest.mark.parametrize(
    ("path", "roots", "expected"),
    [
        ("/site/a", "/site=/here", "/here/a"),
        ("/sites/a", "/site=/here", "/sites/a"),
        ("/site/a/b", "/site=/here;/site/a=/there", "/there/b"),
        ("/site/a", "/=/mnt", "/mnt/site/a"),
        ("/site/a", "/site=/", "/a"),
        ("/site", "/site=/here", "/here"),
    ],
)
def test_folders_are_remapped_as_the_resolver_does_it(path: str, roots: str, expected: str) -> None:
    """
    The same cases as in resolver/tests/pins_test.cpp.
    """
    assert expected == pin_checks.remapped(path, pin_checks.roots_of(roots))


def test_roots_that_are_no_pairs_raise() -> None:
    """
    Rather than look in the wrong place.
    """
    with pytest.raises(ConfigurationError, match="expected OLD=NEW"):
        pin_checks.roots_of("/a=/b;/c")


def test_pins_that_name_no_manager_are_written_again(tmp_path: Path) -> None:
    """
    Another program may have written them; neither the header nor the entry says who resolved it.
    """
    path = tmp_path / "made_by_hand.pins.json"
    entry = {"reference": "x:a", "path": "/a.usd"}
    path.write_text(json.dumps({"bifrost_pins": 1, "entities": [entry]}))

    load(path).save(path)

    assert [{**entry, "size": 0}] == json.loads(path.read_text())["entities"]


def test_diff_says_what_moved_came_and_went(show: Show, simple: Path) -> None:
    """
    From which version to which; when they were made is no difference.
    """
    before = pin(str(simple), clock=lambda: NOON)
    show.publish("leaf.usda", layer(value="22"))
    new = show.publish("new.usda", layer())
    simple.write_text(layer(references=("bifrost:///assets/leaf.usda", new)))
    UsdPinCalls().session.invalidate(["bifrost:///assets/leaf.usda"])

    changes = pin_checks.diff(before, pin(str(simple)))

    assert [
        ("changed", str(simple)),
        ("changed", "bifrost:///assets/leaf.usda"),
        ("added", new),
    ] == [(each.change, each.subject) for each in changes]
    assert ("1", "2") == changes[1].fields["version"]
    assert ["added"] == [
        each.change
        for each in pin_checks.diff(
            before, replace(before, files=(*before.files, replace(before.files[0], path="/x")))
        )
    ]
    assert ["header"] == [e.change for e in pin_checks.diff(before, replace(before, manager="m"))]


@pytest.fixture
def bifrost(run_python) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `bifrost usd pin` with arguments in a process of its own."""
    return lambda *arguments: run_python(MAIN, "usd", "pin", *arguments, check=False)


def test_the_command_pins_verifies_and_compares(
    show: Show, simple: Path, tmp_path: Path, bifrost
) -> None:
    """
    Exit code 1 for what could not be pinned, and for pins that don't hold.
    """
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    made = bifrost(simple, "-o", one)
    assert (0, f"{one}: 1 references and 1 plain paths, all variants\n") == (
        made.returncode,
        made.stdout,
    )
    assert (0, f"{one}: every pin holds\n") == (
        (done := bifrost("verify", one)).returncode,
        done.stdout,
    )
    simple.write_text(layer(references=("bifrost:///assets/leaf.usda", "bifrost:///assets/none")))
    assert 1 == (broken := bifrost(simple, "-o", other)).returncode
    assert "bifrost:///assets/none" in broken.stderr
    assert 1 == (changed := bifrost("verify", one)).returncode
    assert f"changed: {simple}" in changed.stdout
    assert json.loads(bifrost("verify", one, "--json").stdout)[0]["trouble"] == "changed"
    compared = bifrost("diff", one, other)
    assert (0, f"~ {simple}") == (compared.returncode, compared.stdout.partition("  ")[0])
    assert "no such" in bifrost("verify", tmp_path / "none.json").stderr.lower()
    assert "bifrost_pins" in bifrost(simple).stdout


def test_the_chess_set_is_pinned_whole(tmp_path: Path, run_python) -> None:
    """
    A real asset, ingested and opened from its pins alone: nothing unresolved, nobody asked.
    """
    chess = USD_WG / "full_assets" / "OpenChessSet"
    if not chess.is_dir():
        pytest.skip(f"needs the USD working group's assets in {USD_WG}")
    out, pins = tmp_path / "out", tmp_path / "chess.pins.json"
    run_python(MAIN, "ingest", chess, "--rewrite", out)
    root = out / "chess_set.usda"
    run_python(MAIN, "usd", "pin", root, "-o", pins)

    pinned = run_python(CHESS, root, env={"BIFROST_PINS": str(pins)})
    live = run_python(CHESS, root).stdout.splitlines()

    assert [*live[:-1], "0"] == pinned.stdout.splitlines()
    assert "bifrost: " not in pinned.stderr
