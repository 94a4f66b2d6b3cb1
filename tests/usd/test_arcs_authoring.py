# SPDX-License-Identifier: Apache-2.0
"""Arcs are written where they say, relationships become arcs, and what can't be written is refused."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pxr import Sdf, Usd

from bifrost import bifrost_host
from bifrost.errors import (
    AssetNotFoundException,
    ConflictException,
    InvalidTraitsException,
    PermissionDeniedException,
    StorageException,
)
from bifrost.host.usd_arcs import UsdArcCalls
from bifrost.testing.show import Show
from bifrost.usd.arc_relationships import arcs_from, relationships_of
from bifrost.usd.arcs import Kind
from bifrost.usd.authoring import author, replace
from bifrost.usd.extraction import LIST_FIELDS, Arc, arcs_of

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
USD_WG = SAMPLES.parents[1] / "shared" / "data" / "usd_wg"
REAL = {
    "chess set": USD_WG / "full_assets" / "OpenChessSet",
    "car kit": USD_WG / "full_assets" / "Vehicles",
    "VFX shot": USD_WG / "intent-vfx",
    "samples": SAMPLES,
}


def bare(arcs: Iterable[Arc]) -> list[Arc]:
    """Return *arcs* without what depends on the layer that they are in."""
    return [arc._replace(layer="") for arc in arcs]


def empty() -> Sdf.Layer:
    return Sdf.Layer.CreateAnonymous(".usda")


def reference(path: str = "/A", target: str = "a.usda", **more: Any) -> Arc:
    return Arc(Kind.REFERENCE, "", path, target, operation="prepended", **more)


# Generated layers

names = st.sampled_from(["A", "B", "_c", "Größe"])
targets = st.one_of(
    st.builds(
        "bifrost:///assets/{}{}".format,
        st.sampled_from(["chair", "a.b-c", "%C3%A4"]),
        st.sampled_from(["", "?version=3", "?version=approved"]),
    ),
    st.sampled_from(["./a.usda", "../b c.usd", "p.usdz[t/x.png]", "t.<UDIM>.exr", '`"${X}"`']),
)
paths = st.builds(
    "".join,
    st.lists(
        st.builds(
            lambda name, branch: f"/{name}{branch}", names, st.sampled_from(["", "", "{v=x}"])
        ),
        min_size=1,
        max_size=3,
    ),
).map(lambda path: path.replace("}/", "}"))
offsets = st.sampled_from([(0.0, 1.0), (10.0, 1.0), (-2.5, 0.5)])


def numbered(items: Iterable[Arc]) -> list[Arc]:
    return [arc._replace(position=position) for position, arc in enumerate(items)]


@st.composite
def listed(draw: st.DrawFn) -> list[Arc]:
    """The arcs of one kind on one prim: one explicit list, or several of the others."""
    kind = draw(st.sampled_from(sorted(LIST_FIELDS)))
    path = draw(paths)
    is_class = kind in (Kind.INHERIT, Kind.SPECIALIZE)
    operations = draw(
        st.sampled_from([["explicit"], ["prepended", "appended", "deleted"], ["added", "ordered"]])
    )
    arcs: list[Arc] = []
    for operation in operations:
        items = draw(
            st.lists(
                st.tuples(
                    st.just("") if is_class else targets,
                    st.sampled_from(["/_c", "/A/B"] if is_class else ["", "/X"]),
                    st.just((0.0, 1.0)) if is_class else offsets,
                ),
                max_size=3,
                unique=True,
            )
        )
        arcs += numbered(
            Arc(kind, "", path, target, prim, operation, None, *offset)
            for target, prim, offset in items
        )
    return arcs


@st.composite
def sublayers(draw: st.DrawFn) -> list[Arc]:
    items = draw(st.lists(st.tuples(targets, offsets), max_size=4, unique_by=lambda item: item[0]))
    return numbered(
        Arc(Kind.SUBLAYER, "", "/", target, offset=offset, scale=scale)
        for target, (offset, scale) in items
    )


@st.composite
def values(draw: st.DrawFn) -> list[Arc]:
    """The values and the metadata of one property, of a prim, or of the layer."""
    path, name = draw(paths), draw(st.sampled_from(["file", "inputs:map"]))
    arc = Arc(Kind.ATTRIBUTE, "", path, draw(targets), property_name=name, field=("default",))
    metadata = arc._replace(kind=Kind.METADATA, field=("customData", "a", "b"))
    choices = [
        [arc],
        [arc._replace(position=0), arc._replace(position=2, target=draw(targets))],
        [arc._replace(field=("timeSamples",), time=time) for time in (-1.0, 0.0, 2.5)],
        [arc, metadata],
        [metadata, metadata._replace(property_name="", field=("assetInfo", "identifier"))],
        [metadata._replace(path="/", property_name="", field=("customLayerData", "x"))],
        [
            arc._replace(
                kind=Kind.CLIP,
                property_name="",
                field=("clips", "default", "assetPaths"),
                position=0,
            )
        ],
        [
            arc._replace(
                kind=Kind.CLIP,
                property_name="",
                field=("clips", "default", "templateAssetPath"),
                target="clip.##.usd",
            )
        ],
    ]
    return draw(st.sampled_from(choices))


def place(arc: Arc) -> tuple[Any, ...]:
    return (arc.kind in LIST_FIELDS and arc.kind, arc.path, arc.property_name, arc.field[:2])


@st.composite
def generated(draw: st.DrawFn) -> list[Arc]:
    """The arcs of a whole layer: in each place those of one draw."""
    groups = draw(st.lists(st.one_of(listed(), sublayers(), values()), max_size=6))
    found: list[Arc] = []
    for group in groups:
        taken = {place(arc) for arc in found}
        props = {(arc.path, arc.property_name) for arc in found if arc.property_name}
        if not any(place(arc) in taken or (arc.path, arc.property_name) in props for arc in group):
            found += group
    return [arc._replace(strength="") for arc in found]


def same(arcs: Iterable[Arc]) -> set[Arc]:
    return {arc._replace(layer="", strength="") for arc in arcs}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(arcs=generated())
def test_what_is_written_is_what_is_found(arcs: list[Arc]) -> None:
    """extract(author(x)) == x, also after the layer went through its text, and a second time adds nothing."""
    layer = empty()

    made = author(layer, arcs)

    assert same(arcs) == same(made) == same(arcs_of(layer))
    again = empty()
    assert again.ImportFromString(layer.ExportToString())
    assert same(arcs) == same(arcs_of(again))
    assert [] == author(layer, arcs)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(arcs=generated())
def test_arcs_survive_as_relationships(arcs: list[Arc]) -> None:
    """What names entities is the same after it was a relationship."""
    named = [
        arc for arc in arcs if arc.reference and arc.kind not in (Kind.INHERIT, Kind.SPECIALIZE)
    ]

    assert same(named) == same(arcs_from(relationships_of(named)))


@pytest.mark.parametrize("name", REAL)
def test_real_layers_survive_the_round_trip(name: str) -> None:
    if not REAL[name].is_dir():
        pytest.skip(f"{REAL[name]} is not on this machine")
    layers = [
        layer
        for path in sorted(REAL[name].rglob("*.usd*"))
        if (layer := Sdf.Layer.FindOrOpen(str(path))) is not None
    ]
    assert layers

    for layer in layers:
        written = empty()
        author(written, arcs_of(layer))
        assert bare(arcs_of(layer)) == bare(arcs_of(written)), layer.identifier


class TestPlaces:
    def test_an_arc_composes(self, tmp_path: Path) -> None:
        (tmp_path / "chair.usda").write_text(
            '#usda 1.0\n(defaultPrim = "Chair")\ndef "Chair"\n{\n def "Leg" {}\n}\n'
        )
        layer = Sdf.Layer.CreateNew(str(tmp_path / "shot.usda"))

        author(layer, [reference("/Set/Chair", "./chair.usda")])

        stage = Usd.Stage.Open(layer)
        assert stage.GetPrimAtPath("/Set/Chair/Leg").IsDefined()

    def test_prims_that_are_there_keep_their_specifier(self) -> None:
        layer = empty()
        Sdf.CreatePrimInLayer(layer, "/A/B")

        author(layer, [reference("/A/B"), reference("/A/C")])

        specifiers = [layer.GetPrimAtPath(path).specifier for path in ("/A", "/A/B", "/A/C")]
        assert [Sdf.SpecifierOver, Sdf.SpecifierOver, Sdf.SpecifierDef] == specifiers

    def test_what_has_a_position_goes_there_and_the_rest_behind(self) -> None:
        layer = empty()
        author(layer, [reference(target="one.usda"), reference(target="two.usda")])

        author(layer, [reference(target="first.usda", position=0), reference(target="last.usda")])

        assert ["first.usda", "one.usda", "two.usda", "last.usda"] == [
            arc.target for arc in arcs_of(layer)
        ]

    def test_an_explicit_list_takes_what_would_be_prepended(self) -> None:
        layer = empty()
        layer.ImportFromString('#usda 1.0\ndef "A" (references = @one.usda@) {}\n')

        author(layer, [reference(target="two.usda", position=0)])

        assert [("explicit", "two.usda"), ("explicit", "one.usda")] == [
            (arc.operation, arc.target) for arc in arcs_of(layer)
        ]

    def test_what_stands_beside_it_keeps_its_type(self) -> None:
        layer = empty()
        layer.ImportFromString(
            '#usda 1.0\ndef "A" (customData = { float x = 1\n token t = "a" }) {}\n'
        )
        arc = Arc(Kind.METADATA, "", "/A", "m.pdf", field=("customData", "manual"))

        author(layer, [arc])

        assert "float x = 1" in layer.ExportToString()

    def test_new_targets_leave_all_else_as_it_is(self) -> None:
        layer = empty()
        layer.ImportFromString(
            "#usda 1.0\n(subLayers = [@s.usda@ (offset = 3)])\n"
            'def "A" (prepend references = [@x.usda@</X> (offset = 2; customData = { int n = 1 })])\n'
            "{\n asset[] files = [@a@, @@, @b@]\n}\n"
        )
        before = layer.ExportToString()

        replace(layer, {arc: f"new_{arc.target}" for arc in arcs_of(layer)})

        after = layer.ExportToString()
        assert before != after
        assert before == after.replace("new_", "")


class TestBadInput:
    @pytest.mark.parametrize(
        ("arc", "message"),
        [
            (reference("A"), "expected the absolute path of a prim, got 'A'"),
            (reference("/A{"), "'/A{' is no prim path"),
            (reference("/A{look=}"), "expected the absolute path of a prim"),
            (reference("/A.b"), "expected the absolute path of a prim"),
            (reference("/"), "expected the absolute path of a prim"),
            (reference(""), "is no prim path"),
            (reference("//"), "is no prim path"),
            (reference(target_prim="X Y"), "its target prim: 'X Y' is no prim path"),
            (reference(target="a\nb"), "can't be written as an asset path"),
            (reference(target="a@@@b"), "can't be written as an asset path"),
            (reference(offset=math.nan), "expected a finite offset"),
            (reference(scale=0.0), "a scale above 0"),
            (reference(position=-1), "expected a position from 0 up, got -1"),
            (reference()._replace(operation="push"), "expected an operation of explicit"),
            (Arc(Kind.SUBLAYER, "", "/A", "a.usda"), "a sublayer is named by the layer itself"),
            (Arc(Kind.INHERIT, "", "/A", "a.usda", "/C", "prepended"), "and no file"),
            (Arc(Kind.ATTRIBUTE, "", "/A", "t.png", field=("default",)), "no attribute is named"),
            (
                Arc(Kind.ATTRIBUTE, "", "/A", "t", property_name="a b", field=("default",)),
                "'a b' can't be a property's name",
            ),
        ],
    )
    def test_what_no_layer_can_hold_is_refused_and_nothing_written(
        self, arc: Arc, message: str
    ) -> None:
        layer = empty()

        with pytest.raises(InvalidTraitsException) as raised:
            author(layer, [reference("/Fine"), arc])

        assert message in raised.value.message
        assert "#usda 1.0\n\n" == layer.ExportToString()

    def test_an_explicit_list_does_not_take_the_place_of_another(self) -> None:
        layer = empty()
        author(layer, [reference()])

        with pytest.raises(ConflictException, match="would take the place"):
            author(layer, [reference(target="b.usda")._replace(operation="explicit")])

        assert ["a.usda"] == [arc.target for arc in arcs_of(layer)]

    def test_an_attribute_of_another_type_stays(self) -> None:
        layer = empty()
        layer.ImportFromString('#usda 1.0\ndef "A"\n{\n string file = "x"\n}\n')
        arc = Arc(Kind.ATTRIBUTE, "", "/A", "t.png", property_name="file", field=("default",))

        with pytest.raises(ConflictException, match="a property of that name"):
            author(layer, [arc])

    def test_a_locked_layer_is_not_edited(self) -> None:
        layer = empty()
        layer.SetPermissionToEdit(False)

        with pytest.raises(PermissionDeniedException, match="publish"):
            author(layer, [reference()])

    def test_ten_thousand_arcs_of_one_prim_are_written(self) -> None:
        layer = empty()
        arcs = [reference(target=f"{i}.usda", position=i) for i in range(10_000)]

        author(layer, arcs)

        assert [arc.target for arc in arcs] == [arc.target for arc in arcs_of(layer)]


class TestRelationships:
    def test_the_planned_example_becomes_an_arc(self, show: Show, tmp_path: Path) -> None:
        chair = show.publish("chair.usda", '#usda 1.0\ndef "Chair" {}\n')
        shot = show.publish("shot.usda", '#usda 1.0\ndef "World" {}\n')
        working = tmp_path / "working.usda"
        working.write_text('#usda 1.0\ndef "World"\n{\n}\n')
        bifrost_host.add_relationship(
            shot,
            chair,
            relationship_type="payload",
            metadata={"prim_path": "/World/Chair", "target_prim": "/Chair"},
        )

        made = UsdArcCalls().author_arcs(working, shot)

        [arc] = arcs_of(Sdf.Layer.OpenAsAnonymous(str(working)))
        assert [arc._replace(layer="", position=None, strength="strong")] == made
        assert ("payload", "/World/Chair", chair, "/Chair") == (
            arc.kind, arc.path, arc.reference, arc.target_prim,
        )  # fmt: skip
        assert [] == UsdArcCalls().author_arcs(working, shot)

    def test_adding_one_writes_it_into_a_layer(self, show: Show, tmp_path: Path) -> None:
        chair = show.publish("chair.usda", '#usda 1.0\ndef "Chair" {}\n')
        shot = show.publish("shot.usda", '#usda 1.0\ndef "World" {}\n')
        working = tmp_path / "working.usda"
        working.write_text("#usda 1.0\n")
        metadata = {"prim_path": "/World/Chair", "offset": 12}

        bifrost_host.add_relationship(shot, chair, "reference", metadata, layer=working)

        [arc] = arcs_of(Sdf.Layer.OpenAsAnonymous(str(working)))
        assert (chair, "/World/Chair", 12.0) == (arc.target, arc.path, arc.offset)

    def test_where_the_layer_can_not_be_saved_nothing_is_added(
        self, show: Show, tmp_path: Path
    ) -> None:
        chair = show.publish("chair.usda", '#usda 1.0\ndef "Chair" {}\n')
        shot = show.publish("shot.usda", '#usda 1.0\ndef "World" {}\n')
        working = tmp_path / "working.usda"
        working.write_text("#usda 1.0\n")
        layer = Sdf.Layer.FindOrOpen(str(working))
        layer.SetPermissionToSave(False)
        said = (shot, chair, "reference", {"prim_path": "/World/Chair"})

        with pytest.raises(StorageException):
            bifrost_host.add_relationship(*said, layer=working)

        assert [] == bifrost_host.get_relationships_with_metadata(shot)
        layer.SetPermissionToSave(True)
        layer.Reload(force=True)
        assert chair == bifrost_host.add_relationship(*said, layer=working)["to"]

    def test_where_one_of_the_two_is_refused_neither_is_done(self, show: Show) -> None:
        chair = show.publish("chair.usda", '#usda 1.0\ndef "Chair" {}\n')
        shot = show.publish("shot.usda", '#usda 1.0\ndef "World" {}\n')
        layer = empty()

        with pytest.raises(InvalidTraitsException, match="is no prim path"):
            bifrost_host.add_relationship(
                shot, chair, "payload", {"prim_path": "not a path"}, layer=layer
            )
        with pytest.raises(AssetNotFoundException):
            bifrost_host.add_relationship(
                shot, "bifrost:///assets/none", "payload", {"prim_path": "/A"}, layer=layer
            )

        assert layer.empty
        assert [] == bifrost_host.get_relationships_with_metadata(shot)

    def test_one_asset_in_many_places_is_one_relationship(self, show: Show) -> None:
        chair = show.publish("chair.usda", '#usda 1.0\ndef "Chair" {}\n')
        shot = show.publish("shot.usda", '#usda 1.0\ndef "World" {}\n')
        arcs = [
            reference("/World/A", chair, position=0),
            reference("/World{look=red}B", chair, position=0),
        ]

        [said] = relationships_of(arcs)
        bifrost_host.add_relationship(shot, **said)
        layer = empty()
        UsdArcCalls().author_arcs(layer, shot)

        assert same(arcs) == same(arcs_of(layer))

    def test_what_says_no_place_is_left_out_of_an_assets_arcs(self, show: Show) -> None:
        chair = show.publish("chair.usda", '#usda 1.0\ndef "Chair" {}\n')
        shot = show.publish("shot.usda", '#usda 1.0\ndef "World" {}\n')
        bifrost_host.add_relationship(shot, chair)
        bifrost_host.add_relationship(shot, chair, relationship_type="payload")

        assert [] == UsdArcCalls().author_arcs(empty(), shot)

    @pytest.mark.parametrize(
        ("relationship", "message"),
        [
            ({"to": "x", "type": "depends"}, "expected a type of sublayer, reference"),
            ({"to": "x", "type": "payload"}, "prim_path is missing: on which prim?"),
            (
                {"to": "x", "type": "payload", "metadata": {"prim_path": 3}},
                "prim_path: expected a text",
            ),
            (
                {"to": "x", "type": "payload", "metadata": {"prim_path": "/A", "position": "1"}},
                "position: expected a whole number, got '1'",
            ),
            (
                {"to": "x", "type": "payload", "metadata": {"prim_path": "/A", "offset": "1"}},
                "offset: expected a number",
            ),
            (
                {
                    "to": "x",
                    "type": "payload",
                    "metadata": {"prim_path": "/A", "variants": ["red"]},
                },
                "variants: expected {prim path",
            ),
            (
                {
                    "to": "x",
                    "type": "payload",
                    "metadata": {"prim_path": "/A", "variants": {"/B": {"look": "red"}}},
                },
                "variants: not above /A: /B",
            ),
            ({"to": "x", "type": "payload", "metadata": {"arcs": "all"}}, "arcs: expected a list"),
            ({"to": "x", "type": "payload", "metadata": {"arcs": [1]}}, "arcs: expected mappings"),
            (
                {"to": "x", "type": "payload", "metadata": {"prim_path": "A B"}},
                "'A B' is no prim path",
            ),
        ],
    )
    def test_what_is_no_arc_is_refused(self, relationship: dict[str, Any], message: str) -> None:
        layer = empty()

        with pytest.raises(InvalidTraitsException) as raised:
            UsdArcCalls().author_arcs(layer, [relationship])

        assert message in raised.value.message
        assert layer.empty

    def test_a_published_file_is_not_written_to(self, show: Show) -> None:
        shot = show.publish("shot.usda", '#usda 1.0\ndef "World" {}\n')
        path = show.path("shot.usda", 1)
        path.chmod(0o444)
        before = path.read_bytes()

        with pytest.raises(PermissionDeniedException, match="publish"):
            UsdArcCalls().author_arcs(path, [reference("/World")])

        assert before == path.read_bytes()
        assert [] == UsdArcCalls().extract_arcs(shot)

    def test_an_unknown_asset_is_an_error_with_suggestions(self, show: Show) -> None:
        show.publish("shot.usda", "#usda 1.0\n")

        with pytest.raises(AssetNotFoundException) as raised:
            UsdArcCalls().author_arcs(empty(), "bifrost:///assets/shot.usd")

        assert ["bifrost:///assets/shot.usda"] == raised.value.suggestions
