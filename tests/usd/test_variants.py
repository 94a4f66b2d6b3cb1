# SPDX-License-Identifier: Apache-2.0
"""Which variants there are, which are selected, and whose opinion that is: of files, without a catalogue."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from pxr import Sdf, Usd

from bifrost.cli.main import run
from bifrost.errors import Code, InvalidTraitsException, LocationException
from bifrost.host.usd_variants import UsdVariantCalls

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
ROBOT = str(SAMPLES / "asset_with_variants" / "robot.usda")
CHESS = (
    SAMPLES.parents[1] / "shared" / "data" / "usd_wg" / "full_assets" / "OpenChessSet"
) / "chess_set.usda"

TWO = """
    variantSet "look" = {
        "a" {
        }
        "b" {
        }
    }
"""


@pytest.fixture
def host():
    return UsdVariantCalls()


@pytest.fixture
def written(tmp_path):
    """Write a layer's text below the header, return its path."""

    def write(name, text):
        path = tmp_path / name
        path.write_text("#usda 1.0\n" + text)
        return str(path)

    return write


@pytest.fixture
def asset(written):
    return written(
        "asset.usda",
        '(defaultPrim = "A")\ndef Xform "A" (variants = {\n string look = "a"\n}\n'
        f'prepend variantSets = "look") {{{TWO}}}\n',
    )


def test_sets_have_variants_a_selection_and_where_it_comes_from(host):
    sets = host.get_usd_variants(ROBOT, prim_path="/Robot")

    assert ["antenna", "colour"] == list(sets)
    assert {
        "variants": ["blue", "red"],
        "selection": "red",
        "source": {
            "arc": "local",
            "layer": ROBOT,
            "path": "/Robot",
            "reference": "",
            "version": "",
        },
        "nested": {},
        "instance": "",
    } == sets["colour"]


def test_without_a_prim_it_is_the_default_prim(host):
    assert host.get_usd_variants(ROBOT, "/Robot") == host.get_usd_variants(ROBOT)


def test_nested_sets_are_told_under_the_variant_that_brings_them(host):
    """
    Selected or not: what there is to select is known before it is.
    """
    size = {"variants": ["large", "small"], "nested": {}}

    assert {"dish": {"size": size}} == host.get_usd_variants(ROBOT)["antenna"]["nested"]


def test_sets_nested_in_nested_sets_are_told_too(host, written):
    inner = f'"x" (prepend variantSets = "look") {{{TWO}}}'
    outer = f'"m" (prepend variantSets = "in") {{\nvariantSet "in" = {{\n{inner}\n}}\n}}'
    path = written(
        "a.usda",
        f'def "A" (prepend variantSets = "out") {{\nvariantSet "out" = {{\n{outer}\n}}\n}}\n',
    )

    nested = host.get_usd_variants(path, "/A")["out"]["nested"]

    assert {"look": {"variants": ["a", "b"], "nested": {}}} == nested["m"]["in"]["nested"]["x"]


def test_a_nested_set_is_the_prims_own_once_its_variant_is_selected(host):
    stage = Usd.Stage.Open(ROBOT)
    host.select_usd_variant(ROBOT, "/Robot", "antenna", "dish", stage=stage)

    sets = host.get_usd_variants(ROBOT, "/Robot", stage=stage)

    assert ("small", "variant", "/Robot{antenna=dish}") == (
        sets["size"]["selection"],
        sets["size"]["source"]["arc"],
        sets["size"]["source"]["path"],
    )


def test_where_nobody_selects_nothing_is_selected(host, written):
    path = written("a.usda", f'def "A" (prepend variantSets = "look") {{{TWO}}}\n')

    found = host.get_usd_variants(path, "/A")["look"]

    assert ("", None) == (found["selection"], found["source"])


def test_a_selection_of_a_variant_that_is_gone_is_told_as_it_stands(host, written):
    path = written(
        "a.usda",
        f'def "A" (variants = {{\n string look = "z"\n}}\nprepend variantSets = "look") {{{TWO}}}\n',
    )

    found = host.get_usd_variants(path, "/A")["look"]

    assert (["a", "b"], "z", "local") == (
        found["variants"],
        found["selection"],
        found["source"]["arc"],
    )


@pytest.mark.parametrize("arc", ["reference", "payload", "inherit", "specialize"])
def test_an_opinion_comes_through_an_arc(host, written, asset, arc):
    arcs = {
        "reference": f"references = @{asset}@",
        "payload": f"payload = @{asset}@",
        "inherit": "inherits = </_c>",
        "specialize": "specializes = </_c>",
    }
    selected = 'variants = {\n string look = "a"\n}\nprepend variantSets = "look"'
    path = written(
        "shot.usda",
        f'(defaultPrim = "S")\nclass "_c" ({selected}) {{{TWO}}}\ndef "S" ({arcs[arc]}) {{\n}}\n',
    )

    source = host.get_usd_variants(path)["look"]["source"]

    outside = arc in {"reference", "payload"}
    assert (arc, asset if outside else path, "/A" if outside else "/_c") == (
        source["arc"],
        source["layer"],
        source["path"],
    )


def test_the_session_layer_is_named_as_such(host, asset):
    stage = Usd.Stage.Open(asset)
    host.select_usd_variant(asset, "/A", "look", "b", stage=stage)

    found = host.get_usd_variants(asset, stage=stage)["look"]

    assert ("b", "session") == (found["selection"], found["source"]["arc"])


def test_a_fallback_is_nobodys_opinion(host, written):
    path = written("a.usda", f'def "A" (prepend variantSets = "look") {{{TWO}}}\n')
    before = Usd.Stage.GetGlobalVariantFallbacks()
    Usd.Stage.SetGlobalVariantFallbacks({"look": ["b"]})
    try:
        found = host.get_usd_variants(path, "/A")["look"]
    finally:
        Usd.Stage.SetGlobalVariantFallbacks(before)

    assert ("b", "fallback", "") == (
        found["selection"],
        found["source"]["arc"],
        found["source"]["layer"],
    )


def test_a_prim_without_sets_has_none(host):
    assert {} == host.get_usd_variants(ROBOT, "/Robot/Body")


def test_what_only_a_payload_has_is_found(host, written, asset):
    """
    Payloads stay away as long as the answer is found without.
    """
    path = written("s.usda", f'def "S" {{\n def "P" (payload = @{asset}@) {{\n}}\n}}\n')
    deep = written("d.usda", f'def "D" (payload = @{path}@</S>) {{\n}}\n')

    assert "look" in host.get_usd_variants(path, "/S/P")
    assert "look" in host.get_usd_variants(deep, "/D/P")
    assert {} == host.find_usd_variants(path)
    assert ["/S/P"] == list(host.find_usd_variants(path, payloads=True))


def test_every_prim_that_has_some_is_found(host, written, asset):
    prims = "".join(f' def "P{n}" (references = @{asset}@) {{\n}}\n' for n in range(3))
    path = written("s.usda", f'def "S" {{\n{prims} def "Q" {{\n}}\n}}\n')

    assert ["/S/P0", "/S/P1", "/S/P2"] == list(host.find_usd_variants(path))
    assert 3 == len(host.find_usd_variants(path, "look", "b"))
    assert {} == host.find_usd_variants(path, "look", "c")
    assert {} == host.find_usd_variants(path, "size")
    assert host.find_usd_variants(path) == host.find_usd_variants(path, stage=Usd.Stage.Open(path))


@pytest.fixture
def instances(written, asset):
    kit = written("kit.usda", f'def "K" {{\n def "In" (references = @{asset}@) {{\n}}\n}}\n')
    prims = "".join(
        f'def "I{n}" (instanceable = true\nreferences = @{kit}@</K>) {{\n}}\n' for n in range(2)
    )
    return written("many.usda", prims)


def test_prims_inside_instances_say_which_instance(host, instances):
    found = host.find_usd_variants(instances)

    assert ["/I0/In", "/I1/In"] == list(found)
    assert ["/I0", "/I1"] == [each["look"]["instance"] for each in found.values()]
    assert found["/I1/In"] == host.get_usd_variants(instances, "/I1/In")


@pytest.mark.skipif(not CHESS.exists(), reason=f"the working group's assets aren't at {CHESS}")
def test_the_chess_sets_pieces_have_their_variants(host):
    found = host.find_usd_variants(str(CHESS), "shadingVariant")

    assert {"Black", "White"} == set(found["/ChessSet/Black/King"]["shadingVariant"]["variants"])
    assert "Black" == found["/ChessSet/Black/King"]["shadingVariant"]["selection"]


# What is not there


@pytest.mark.parametrize(
    ("prim_path", "why"),
    [
        ("", "is no prim path"),
        ("/a b", "expected end of path"),
        ("//", "is no prim path"),
        ("/A{look=a}", "no absolute path of a prim"),
        ("/A.size", "no absolute path of a prim"),
        ("/", "no absolute path of a prim"),
        ("A", "did you mean /A?"),
        ("../A", "no absolute path of a prim"),
        ("/\udcff", "no UTF-8"),
        ("/A\0", "is no prim path"),
        ("/A" * 20_000 + " ", "…"),
        ("/A" * 2_000 + "/B", "there is no prim /A/A"),
        (3, "a prim path is text, got int"),
    ],
)
def test_what_is_no_prim_path_is_refused(host, asset, prim_path, why):
    for call in (
        lambda: host.get_usd_variants(asset, prim_path),
        lambda: host.select_usd_variant(asset, prim_path, "look", "b"),
    ):
        with pytest.raises(InvalidTraitsException) as caught:
            call()

        assert why in caught.value.message
        assert len(caught.value.message) < 1000


def test_an_unknown_prim_is_refused_with_those_there_are(host):
    with pytest.raises(InvalidTraitsException) as caught:
        host.get_usd_variants(ROBOT, "/Robot/Bdy")

    error = caught.value
    assert (Code.INVALID_TRAITS, ROBOT) == (error.code, error.asset_uri)
    assert "/Robot/Body" == error.details["nearest"]
    assert "/Robot/Body" in error.details["valid"]
    assert error.message.endswith("did you mean /Robot/Body?")


def test_an_unknown_set_is_refused_with_those_there_are(host):
    with pytest.raises(InvalidTraitsException) as caught:
        host.select_usd_variant(ROBOT, "/Robot", "color", "red")

    assert (
        "/Robot has no variant set 'color'; it has antenna, colour; did you mean colour?"
    ) == caught.value.message


def test_a_set_that_is_in_an_unselected_variant_is_refused_with_the_way_to_it(host):
    with pytest.raises(InvalidTraitsException, match="only with antenna=dish selected"):
        host.select_usd_variant(ROBOT, "/Robot", "size", "large")


@pytest.mark.parametrize("variant", ["bleu", "", 3, ["blue"]])
def test_an_unknown_variant_is_refused_with_those_there_are(host, variant):
    with pytest.raises(InvalidTraitsException) as caught:
        host.select_usd_variant(ROBOT, "/Robot", "colour", variant)

    assert ["blue", "red"] == caught.value.details["valid"]
    assert "it has blue, red" in caught.value.message


def test_a_layer_without_a_default_prim_wants_a_path(host, written):
    path = written("a.usda", 'def "A" {\n}\ndef "B" {\n}\n')

    with pytest.raises(InvalidTraitsException, match="no default prim: name one /A, /B"):
        host.get_usd_variants(path)


def test_what_is_no_file_and_no_layer_is_refused(host, written, tmp_path):
    with pytest.raises(LocationException, match="neither an entity reference nor a file"):
        host.get_usd_variants(str(tmp_path / "none.usda"))
    with pytest.raises(InvalidTraitsException, match="can't be read as USD"):
        host.get_usd_variants(written("broken.usda", 'def "A" {'), "/A")


def test_what_composes_in_spite_of_what_is_broken_is_told(host, written):
    """
    A layer with broken syntax, one that isn't there, a reference and sublayers in circles.
    """
    written("broken.usda", 'def "A" {')
    written("sub.usda", "(subLayers = [@./root.usda@])")
    path = written(
        "root.usda",
        "(subLayers = [@./sub.usda@, @./broken.usda@])\n"
        'def "R" (references = [@./broken.usda@</A>, @./root.usda@</R>]) {\n'
        f'def "K" (references = @./none.usda@\nprepend variantSets = "look") {{{TWO}}}\n}}\n',
    )

    assert ["a", "b"] == host.get_usd_variants(path, "/R/K")["look"]["variants"]
    assert ["/R/K"] == list(host.find_usd_variants(path))


@pytest.fixture
def huge(tmp_path):
    layer = Sdf.Layer.CreateAnonymous(".usda")
    prim = Sdf.CreatePrimInLayer(layer, "/A")
    prim.specifier = Sdf.SpecifierDef
    layer.defaultPrim = "A"
    variants = Sdf.VariantSetSpec(prim, "many")
    with Sdf.ChangeBlock():
        for number in range(10_000):
            Sdf.VariantSpec(variants, f"v{number}")
    prim.variantSetNameList.prependedItems = ["many"]
    layer.Export(str(tmp_path / "huge.usda"))
    return str(tmp_path / "huge.usda")


def test_ten_thousand_variants_are_no_trouble(host, huge):
    assert 10_000 == len(host.get_usd_variants(huge)["many"]["variants"])
    assert "v9999" == host.select_usd_variant(huge, None, "many", "v9999").variant
    assert "v9999" == host.get_usd_variants(huge)["many"]["selection"]
    with pytest.raises(InvalidTraitsException) as caught:
        host.select_usd_variant(huge, None, "many", "v10000")
    assert 10_000 == len(caught.value.details["valid"])
    assert "and 9980 more; did you mean v1000" in caught.value.message


def test_what_is_selected_is_what_is_said_to_be_selected(host, written):
    """
    Over sets of any number and names: the last selection of each place holds.
    """
    rng = random.Random(7)
    names = {f"s{n}": [f"v{n}_{m}" for m in range(rng.randint(1, 4))] for n in range(6)}
    blocks = "".join(
        f'variantSet "{name}" = {{\n' + "".join(f'"{each}" {{\n}}\n' for each in variants) + "}\n"
        for name, variants in names.items()
    )
    listed = json.dumps(list(names))
    path = written("a.usda", f'def "A" (prepend variantSets = {listed}) {{\n{blocks}}}\n')
    expected = {}
    for _ in range(30):
        name = rng.choice(list(names))
        expected[name] = rng.choice(names[name])
        host.select_usd_variant(path, "/A", name, expected[name])

    found = host.get_usd_variants(path, "/A")

    assert expected == {name: each["selection"] for name, each in found.items() if each["source"]}


# The command


def printed(capsys, *arguments):
    code = run(["usd", "variants", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_prints_a_table(capsys):
    code, out, _ = printed(capsys, ROBOT)

    rows = [line.split() for line in out.splitlines()]
    assert (0, ["prim", "set", "selected", "variants", "said", "by"]) == (code, rows[0])
    assert ["/Robot", "colour", "red", "blue,", "red", ROBOT, "(local)"] in rows
    assert ["/Robot", "antenna=dish", ">", "size", "large,", "small"] in rows


def test_the_command_prints_json_of_one_prim(capsys, host):
    code, out, _ = printed(capsys, ROBOT, "/Robot", "--set", "colour", "--json")

    colour = host.get_usd_variants(ROBOT, "/Robot")["colour"]
    assert (0, {"/Robot": {"colour": colour}}) == (code, json.loads(out))


def test_the_command_names_the_prims_there_are(capsys):
    code, out, err = printed(capsys, ROBOT, "/Robt")

    assert (1, "") == (code, out)
    assert "did you mean /Robot?" in err
