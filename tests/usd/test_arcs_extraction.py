# SPDX-License-Identifier: Apache-2.0
"""What a layer names is found where it stands: every kind, every place, every list."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pxr import Sdf, Usd

from bifrost.catalogue.strengths import DEFAULTS, parse
from bifrost.errors import InvalidTraitsException, LocationException
from bifrost.host.usd_arcs import UsdArcCalls
from bifrost.testing.show import Show
from bifrost.usd.arcs import Kind, asset_paths
from bifrost.usd.extraction import Arc, arcs_of
from bifrost.usd.stage_arcs import arcs_of_stage

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
USD_WG = SAMPLES.parents[1] / "shared" / "data" / "usd_wg"

EVERY_KIND = """#usda 1.0
(
    customLayerData = { asset manual = @manual.pdf@ }
    subLayers = [@over.usda@, @bifrost:///assets/anim?version=2@ (offset = 10; scale = 2)]
)
class "_class" {}
def "A" (
    assetInfo = { asset identifier = @bifrost:///assets/a@ }
    clips = {
        dictionary default = {
            asset[] assetPaths = [@clip.1.usd@, @clip.2.usd@]
            asset manifestAssetPath = @manifest.usd@
            string templateAssetPath = "clip.###.usd"
            string primPath = "/A"
        }
    }
    inherits = </_class>
    prepend references = [@one.usda@</X> (offset = 5), @two.usda@]
    delete references = @gone.usda@
    append payload = @bifrost:///assets/heavy@
    specializes = </_class>
    variants = { string look = "blue" }
    prepend variantSets = "look"
)
{
    asset file = @pack.usdz[textures/t.png]@ (customData = { asset source = @t.psd@ })
    asset[] files = [@a.png@, @@, @tile.<UDIM>.exr@]
    asset moving.timeSamples = { 1: @m.1.vdb@, 2: @m.2.vdb@ }
    variantSet "look" = {
        "blue" {
        }
        "red" {
            def "Trim" (payload = @trim.usda@</T>)
            {
            }
        }
    }
}
"""


def layer_of(text: str) -> Sdf.Layer:
    layer = Sdf.Layer.CreateAnonymous(".usda")
    assert layer.ImportFromString(text)
    return layer


def found(kind: Kind, text: str = EVERY_KIND) -> list[Arc]:
    return [arc._replace(layer="") for arc in arcs_of(layer_of(text)) if arc.kind is kind]


class TestEveryKind:
    def test_sublayers_have_their_place_and_offset(self) -> None:
        first, second = found(Kind.SUBLAYER)

        assert ("/", "over.usda", 0, 0.0, 1.0) == (
            first.path, first.target, first.position, first.offset, first.scale,
        )  # fmt: skip
        assert (1, 10.0, 2.0) == (second.position, second.offset, second.scale)
        assert "bifrost:///assets/anim?version=2" == second.reference

    def test_items_of_a_list_say_into_which_list_and_where(self) -> None:
        said = [(a.operation, a.position, a.target, a.target_prim, a.offset) for a in
                found(Kind.REFERENCE)]  # fmt: skip

        assert [
            ("prepended", 0, "one.usda", "/X", 5.0),
            ("prepended", 1, "two.usda", "", 0.0),
            ("deleted", 0, "gone.usda", "", 0.0),
        ] == said

    def test_an_arc_in_a_variant_says_in_which(self) -> None:
        trim = next(arc for arc in found(Kind.PAYLOAD) if arc.target == "trim.usda")

        assert "/A{look=red}Trim" == trim.path
        assert "/A/Trim" == trim.prim_path
        assert {"/A": {"look": "red"}} == trim.variants
        assert "explicit" == trim.operation

    def test_nested_variants_are_told_outermost_first(self) -> None:
        layer = Sdf.Layer.CreateAnonymous(".usda")
        prim = Sdf.CreatePrimInLayer(layer, "/A{x=1}{y=2}B{z=3}C")
        prim.referenceList.Prepend(Sdf.Reference("a.usda"))

        [arc] = arcs_of(layer)

        assert {"/A": {"x": "1", "y": "2"}, "/A/B": {"z": "3"}} == arc.variants

    def test_classes_are_arcs_that_name_no_file(self) -> None:
        arcs = found(Kind.INHERIT) + found(Kind.SPECIALIZE)

        assert [("", "/_class")] * 2 == [(arc.target, arc.target_prim) for arc in arcs]
        assert all(arc.is_internal for arc in arcs)

    def test_attributes_say_which_element_and_which_time(self) -> None:
        said = [(a.property_name, a.field, a.position, a.time, a.target) for a in
                found(Kind.ATTRIBUTE)]  # fmt: skip

        assert [
            ("file", ("default",), None, None, "pack.usdz[textures/t.png]"),
            ("files", ("default",), 0, None, "a.png"),
            ("files", ("default",), 2, None, "tile.<UDIM>.exr"),
            ("moving", ("timeSamples",), None, 1.0, "m.1.vdb"),
            ("moving", ("timeSamples",), None, 2.0, "m.2.vdb"),
        ] == said

    def test_tiles_and_members_of_packages_are_told(self) -> None:
        arcs = found(Kind.ATTRIBUTE)

        assert ["textures/t.png", "", "", "", ""] == [arc.package_member for arc in arcs]
        assert ["tile.<UDIM>.exr"] == [arc.target for arc in arcs if arc.is_udim]

    def test_clips_are_told_by_their_set(self) -> None:
        said = [(a.field[1:], a.position, a.target) for a in found(Kind.CLIP)]

        assert [
            (("default", "assetPaths"), 0, "clip.1.usd"),
            (("default", "assetPaths"), 1, "clip.2.usd"),
            (("default", "manifestAssetPath"), None, "manifest.usd"),
            (("default", "templateAssetPath"), None, "clip.###.usd"),
        ] == said

    def test_metadata_of_layers_prims_and_properties_is_told(self) -> None:
        said = [(a.path, a.property_name, a.field, a.target) for a in found(Kind.METADATA)]

        assert [
            ("/", "", ("customLayerData", "manual"), "manual.pdf"),
            ("/A", "", ("assetInfo", "identifier"), "bifrost:///assets/a"),
            ("/A", "file", ("customData", "source"), "t.psd"),
        ] == said

    def test_an_expression_names_no_entity(self) -> None:
        layer = layer_of('#usda 1.0\ndef "A" (references = @`"bifrost:///assets/${X}"`@) {}\n')

        assert [""] == [arc.reference for arc in arcs_of(layer)]

    def test_json_can_say_it(self) -> None:
        import json

        arcs = [arc.as_dict() for arc in arcs_of(layer_of(EVERY_KIND))]

        assert arcs == json.loads(json.dumps(arcs))


class TestStrengths:
    def test_the_kind_decides(self) -> None:
        strengths = {arc.kind: arc.strength for arc in arcs_of(layer_of(EVERY_KIND))}

        assert {kind: DEFAULTS[kind] for kind in Kind} == strengths
        assert "weak" == strengths[Kind.PAYLOAD]
        assert "reference" == strengths[Kind.METADATA]

    def test_the_setting_changes_the_table(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("BIFROST_CATALOGUE__STRENGTHS", "payload=strong; sublayer=weak")
        path = tmp_path / "a.usda"
        path.write_text(EVERY_KIND)

        strengths = {arc.kind: arc.strength for arc in UsdArcCalls().extract_arcs(path)}

        assert ("strong", "weak", "strong") == tuple(
            strengths[kind] for kind in (Kind.PAYLOAD, Kind.SUBLAYER, Kind.REFERENCE)
        )

    def test_every_kind_of_arc_is_in_the_table(self) -> None:
        assert {str(kind) for kind in Kind} == set(DEFAULTS)

    @pytest.mark.parametrize(
        "text", ["payload", "payload=loose", "=weak", "a b=weak", "payload:weak"]
    )
    def test_a_table_that_cant_be_read_says_which_entry(self, text: str) -> None:
        from bifrost.errors import ConfigurationError

        with pytest.raises(
            ConfigurationError, match=f"catalogue.strengths: expected .* got '{text}'"
        ):
            parse(f"clip=weak; {text}")


class TestStages:
    def test_every_layer_that_is_used_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "leaf.usda").write_text('#usda 1.0\n(defaultPrim = "L")\ndef "L" {}\n')
        (tmp_path / "sub.usda").write_text('#usda 1.0\ndef "A" (references = @./leaf.usda@) {}\n')
        root = tmp_path / "root.usda"
        root.write_text("#usda 1.0\n(subLayers = [@./sub.usda@])\n")

        arcs = arcs_of_stage(Usd.Stage.Open(str(root)))

        assert [("root.usda", "./sub.usda"), ("sub.usda", "./leaf.usda")] == [
            (Path(arc.layer).name, arc.target) for arc in arcs
        ]

    def test_a_class_in_another_layer_is_an_arc_to_that_layer(self, tmp_path: Path) -> None:
        (tmp_path / "classes.usda").write_text('#usda 1.0\nclass "_c" {}\n')
        root = tmp_path / "root.usda"
        root.write_text(
            '#usda 1.0\n(subLayers = [@./classes.usda@])\ndef "A" (inherits = </_c>) {}\n'
            'def "B" (specializes = </_c>) {}\n'
        )

        arcs = arcs_of_stage(Usd.Stage.Open(str(root)))

        classes = [arc for arc in arcs if arc.kind in (Kind.INHERIT, Kind.SPECIALIZE)]
        to_layer = [
            (str(arc.kind), arc.path, Path(arc.target).name) for arc in classes if arc.target
        ]
        assert [("inherit", "/A", "classes.usda"), ("specialize", "/B", "classes.usda")] == to_layer

    def test_a_class_that_is_implied_further_up_is_an_arc_to_that_layer(
        self, tmp_path: Path
    ) -> None:
        """The shot has opinions about the class that the asset inherits; the asset doesn't know it."""
        (tmp_path / "asset.usda").write_text(
            '#usda 1.0\n(defaultPrim = "L")\nclass "_c" {}\ndef "L"\n{\n'
            ' class "_in" {}\n def "P" (inherits = [</_c>, </L/_in>]) {}\n}\n'
        )
        root = tmp_path / "root.usda"
        root.write_text(
            '#usda 1.0\nclass "_c" {}\n'
            'def "I" (\n instanceable = true\n references = @./asset.usda@\n) {}\n'
            'def "J" (references = @./asset.usda@)\n{\n over "_in" {}\n}\n'
        )

        arcs = arcs_of_stage(Usd.Stage.Open(str(root)))

        to_layer = [arc for arc in arcs if arc.kind is Kind.INHERIT and arc.target]
        assert [("/L/P", "/_c", "root.usda"), ("/L/P", "/L/_in", "root.usda")] == [
            (arc.path, arc.target_prim, Path(arc.target).name) for arc in to_layer
        ]

    def test_instances_are_told_once(self, tmp_path: Path) -> None:
        (tmp_path / "leaf.usda").write_text('#usda 1.0\ndef "L" {\n asset f = @t.png@\n}\n')
        prims = "".join(
            f'def "I{i}" (instanceable = true references = @./leaf.usda@</L>) {{}}\n'
            for i in range(3)
        )
        root = tmp_path / "root.usda"
        root.write_text("#usda 1.0\n" + prims.replace(" references", "\n references"))

        arcs = arcs_of_stage(Usd.Stage.Open(str(root)))

        assert 3 == sum(arc.kind is Kind.REFERENCE for arc in arcs)
        assert 1 == sum(arc.kind is Kind.ATTRIBUTE for arc in arcs)

    def test_a_muted_layer_is_still_named_and_says_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "sub.usda").write_text('#usda 1.0\ndef "A" {\n asset f = @t.png@\n}\n')
        root = tmp_path / "root.usda"
        root.write_text("#usda 1.0\n(subLayers = [@./sub.usda@])\n")
        stage = Usd.Stage.Open(str(root))
        stage.MuteLayer(str(tmp_path / "sub.usda"))

        assert ["./sub.usda"] == [arc.target for arc in arcs_of_stage(stage)]

    def test_an_arc_under_a_relocated_prim_stands_where_it_is_authored(
        self, tmp_path: Path
    ) -> None:
        (tmp_path / "leaf.usda").write_text('#usda 1.0\ndef "L"\n{\n def "In" {}\n}\n')
        root = tmp_path / "root.usda"
        root.write_text(
            "#usda 1.0\n(relocates = { </A/In>: </A/Out> })\n"
            'def "A" (references = @./leaf.usda@</L>)\n{\n'
            '    over "Out" (references = @./leaf.usda@</L>) {}\n}\n'
        )

        arcs = arcs_of_stage(Usd.Stage.Open(str(root)))

        assert ["/A", "/A/Out"] == [arc.path for arc in arcs]


class TestSources:
    def test_an_entity_a_file_and_a_layer_are_the_same_layer(self, show: Show) -> None:
        leaf = show.publish("leaf.usda", '#usda 1.0\ndef "L" {}\n')
        uri = show.publish("root.usda", f'#usda 1.0\ndef "A" (references = @{leaf}@</L>) {{}}\n')
        path = show.path("root.usda", 1)

        told = [
            [arc._replace(layer="") for arc in UsdArcCalls().extract_arcs(source)]
            for source in (uri, path, str(path), Sdf.Layer.FindOrOpen(str(path)))
        ]

        assert [leaf] == [arc.reference for arc in told[0]]
        assert all(each == told[0] for each in told)

    def test_a_closure_goes_through_entities_and_names_what_is_missing(self, show: Show) -> None:
        leaf = show.publish("leaf.usda", '#usda 1.0\ndef "L" (references = @./gone.usda@) {}\n')
        uri = show.publish(
            "root.usda",
            f'#usda 1.0\ndef "A" (references = [@{leaf}@</L>, @bifrost:///assets/no@]) {{}}\n',
        )

        arcs = UsdArcCalls().extract_arcs(uri, closure=True)

        problems = {arc.target: arc.problem for arc in arcs}
        assert "" == problems[leaf]
        assert "no asset 'no'" in problems["bifrost:///assets/no"]
        assert "no such file" == problems["./gone.usda"]

    def test_circles_end_and_are_told(self, tmp_path: Path) -> None:
        for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
            (tmp_path / f"{name}.usda").write_text(f"#usda 1.0\n(subLayers = [@./{other}.usda@])\n")

        arcs = UsdArcCalls().extract_arcs(tmp_path / "a.usda", closure=True)

        problems = [(Path(arc.layer).name, arc.problem) for arc in arcs if arc.problem]
        assert 3 == len(arcs)
        [(name, problem)] = problems
        assert "c.usda" == name
        assert problem.startswith("closes a circle of layers: ")
        assert ["a.usda", "b.usda", "c.usda", "a.usda"] == [
            Path(each).name for each in problem.partition(": ")[2].split(" -> ")
        ]

    def test_two_ways_to_one_layer_are_no_circle(self, tmp_path: Path) -> None:
        (tmp_path / "d.usda").write_text('#usda 1.0\ndef "D" {}\n')
        for name in "bc":
            (tmp_path / f"{name}.usda").write_text("#usda 1.0\n(subLayers = [@./d.usda@])\n")
        (tmp_path / "a.usda").write_text("#usda 1.0\n(subLayers = [@./b.usda@, @./c.usda@])\n")

        arcs = UsdArcCalls().extract_arcs(tmp_path / "a.usda", closure=True)

        assert [] == [arc for arc in arcs if arc.problem]
        assert 4 == len(arcs)

    def test_a_broken_layer_under_the_root_is_a_problem_of_its_arc(self, tmp_path: Path) -> None:
        (tmp_path / "bad.usda").write_text('#usda 1.0\ndef "A" {{{\n')
        (tmp_path / "a.usda").write_text("#usda 1.0\n(subLayers = [@./bad.usda@])\n")

        [arc] = UsdArcCalls().extract_arcs(tmp_path / "a.usda", closure=True)

        assert "bad.usda" in arc.problem

    def test_a_root_that_is_broken_or_missing_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "bad.usda").write_text('#usda 1.0\ndef "A" {{{\n')

        with pytest.raises(InvalidTraitsException, match="can't be read as USD"):
            UsdArcCalls().extract_arcs(tmp_path / "bad.usda")
        with pytest.raises(LocationException, match="no such file"):
            UsdArcCalls().extract_arcs(tmp_path / "none.usda")


def real_layers() -> list[Path]:
    return [path for root in (SAMPLES, USD_WG) for path in sorted(root.rglob("*.usd[ac]"))]


def test_it_finds_what_is_known_to_be_there_in_real_layers() -> None:
    """The same paths for the same uses as `asset_paths`, which reads every field of every spec."""
    layers = [Sdf.Layer.FindOrOpen(str(path)) for path in real_layers()]
    assert layers

    for layer in layers:
        uses = {(use.path, use.kind) for use in asset_paths(layer)}
        assert uses == {(arc.target, arc.kind) for arc in arcs_of(layer) if arc.target}


def test_text_and_crate_say_the_same(tmp_path: Path) -> None:
    layer = layer_of(EVERY_KIND)
    crate = tmp_path / "a.usdc"
    assert layer.Export(str(crate))

    told = arcs_of(Sdf.Layer.FindOrOpen(str(crate)))

    assert [arc._replace(layer="") for arc in arcs_of(layer)] == [
        arc._replace(layer="") for arc in told
    ]


def test_layers_in_a_package_are_told_by_a_stage(tmp_path: Path) -> None:
    from pxr import UsdUtils

    shutil.copytree(SAMPLES / "asset_with_variants", tmp_path / "robot")
    package = tmp_path / "robot.usdz"
    assert UsdUtils.CreateNewUsdzPackage(str(tmp_path / "robot" / "robot.usda"), str(package))

    arcs = arcs_of_stage(Usd.Stage.Open(str(package)))

    assert any(arc.layer.startswith(f"{package}[") for arc in arcs)
