# SPDX-License-Identifier: Apache-2.0
"""What our manager says of an entity in each of its traits, through plain OpenAssetIO."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from openassetio.access import EntityTraitsAccess
from openassetio.errors import BatchElementError
from openassetio_mediacreation.specifications.representation import (
    OriginalRepresentationRelationshipSpecification_v1,
    ProxyRepresentationRelationshipSpecification_v1,
)
from openassetio_mediacreation.traits.representation import ProxyTrait_v1
from openassetio_mediacreation.traits.threeDimensional import SourcePathTrait_v1, SpatialTrait_v1
from openassetio_mediacreation.traits.timeDomain import FrameRangedTrait_v1
from openassetio_mediacreation.traits.twoDimensional import PixelBasedTrait_v1

from bifrost.catalogue import Catalogue, Dependency, Publication
from bifrost.catalogue.access import Rule
from bifrost.manager import vocabulary as v
from bifrost.manager.writers import WRITERS
from bifrost.traits.generated.specifications.relationship import (
    EdgeRelationshipSpecification_v1,
    IncomingEdgeRelationshipSpecification_v1,
)
from bifrost.traits.generated.specifications.representation import (
    PreviewRelationshipSpecification_v1,
    ThumbnailRelationshipSpecification_v1,
)

sys.path.insert(0, str(Path(__file__).parent))
from asking import manager_over, ref, related, resolved, under

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
SHA256 = "ab" * 32
METADATA = {
    "tags": ["hero", "character"],
    "description": "The one",
    "rig": {"version": 3, "scale": 0.5, "spare": {}},
    "final": True,
    "note": None,
    "huge": 2**70,
    "looks like a list": '["no"]',
}
USD = {
    "default_prim": "/Hero",
    "up_axis": "Z",
    "meters_per_unit": 0.01,
    "start_time_code": 1.0,
    "end_time_code": 24.0,
    "time_codes_per_second": 24.0,
    "frames_per_second": 24.0,
    "layers": 3,
    "prims": 7,
    "instances": 2,
    "references": 1,
    "payloads": 1,
    "root_prims": [{"path": "/Hero", "type": "Xform", "kind": "component"}],
    "variant_sets": {"/Hero": {"look": {"variants": ["a", "b"], "selection": "a"}}},
    "schemas": {"Xform": 2, "Mesh": 5},
    "applied_schemas": {"MaterialBindingAPI": 5},
    "extent": [[0, 0, 0], [1, 2, 3]],
    "unresolved": [],
    "problems": [],
}
PROPERTIES = {
    "usd": USD,
    "frames": {"start": 1, "end": 24, "frames_per_second": 24},
    "populationMasks": {"body": ["/Hero/Body"]},
}


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    """`hero`, with everything that can be known of it, and `note`, of which nothing is."""
    clock = NOON.timestamp
    with Catalogue.open(catalogue_url, store=tmp_path / "store", clock=clock) as catalogue:
        catalogue.publish(
            [
                Publication("note", "Note", "note", ""),
                Publication(
                    "hero",
                    "The Hero",
                    "model",
                    "/show/hero.usd",
                    checksum=SHA256,
                    size=1234,
                    mime_type="model/vnd.usd",
                    dependencies=(Dependency("note", "1", "reference"),),
                    comment="first try",
                    created_by="ann",
                    metadata={"shelf": 4},
                    asset_metadata=METADATA,
                    properties=PROPERTIES,
                ),
            ]
        )
        yield catalogue


@pytest.fixture
def manager(catalogue, catalogue_url, tmp_path):
    return manager_over(catalogue_url, store=str(tmp_path / "store"))


def said(manager, reference, trait, context=None):
    """Return what the manager says of *reference* in *trait*; None where it leaves it out."""
    [data] = resolved(manager, [reference], {trait}, context)
    if not data.hasTrait(trait):
        return None
    return {key: data.getTraitProperty(trait, key) for key in data.traitPropertyKeys(trait)}


class TestVersions:
    @pytest.mark.parametrize(
        ("trait", "expected"),
        [
            (v.ENTITY, {}),
            (v.ORIGINAL, {}),
            (v.ASSET_TYPE, {"name": "model"}),
            (
                v.FILE_INFO,
                {"checksum": SHA256, "checksumAlgorithm": "sha256", "size": 1234},
            ),
            (
                v.VERSION_INFO,
                {
                    "author": "ann",
                    "created": "2025-06-01T12:00:00Z",
                    "comment": "first try",
                    "number": 1,
                    "metadata": '{"shelf": 4}',
                },
            ),
            (v.FRAMES, {"startFrame": 1, "endFrame": 24, "framesPerSecond": 24.0}),
            (v.SPATIAL, {"upAxis": "z", "metersPerUnit": 0.01, "handedness": "right"}),
            (v.SOURCE_PATH, {"path": "/Hero"}),
            (v.MASKS, {"masks": '{"body": ["/Hero/Body"]}'}),
            (v.VARIANT_SETS, {"variantSets": json.dumps(USD["variant_sets"])}),
            (
                v.SCHEMAS,
                {
                    "typed": '{"Xform": 2, "Mesh": 5}',
                    "applied": '{"MaterialBindingAPI": 5}',
                    "kinds": '{"component": 1}',
                },
            ),
            (v.DEPRECATION, None),
            (v.THUMBNAIL, None),
            (v.PREVIEW, None),
        ],
    )
    def test_a_trait_says_what_is_known(self, manager, trait, expected):
        assert expected == said(manager, "hero", trait)

    def test_a_stage_says_how_it_is_set_up(self, manager):
        stage = said(manager, "hero", v.STAGE)

        assert (True, True) == (stage.pop("readable"), stage.pop("writable"))
        assert USD["root_prims"] == json.loads(stage.pop("rootPrims"))
        assert USD["extent"] == json.loads(stage.pop("extent"))
        assert {
            "defaultPrim": "/Hero",
            "upAxis": "Z",
            "metersPerUnit": 0.01,
            "startTimeCode": 1.0,
            "endTimeCode": 24.0,
            "timeCodesPerSecond": 24.0,
            "framesPerSecond": 24.0,
            "layers": 3,
            "prims": 7,
            "instances": 2,
            "references": 1,
            "payloads": 1,
        } == stage

    def test_a_stage_that_does_not_open_whole_is_not_readable(self, catalogue, manager):
        broken = {"usd": {**USD, "unresolved": ["bifrost:///assets/gone"]}}
        catalogue.publish([Publication("b", "B", "model", "/show/b.usd", properties=broken)])

        assert said(manager, "b", v.STAGE)["readable"] is False

    def test_properties_have_the_types_that_the_traits_say(self, manager):
        [data] = resolved(manager, ["hero"], {v.SPATIAL, v.FRAMES, v.SOURCE_PATH})

        assert 0.01 == SpatialTrait_v1(data).getMetersPerUnit()
        assert 24.0 == FrameRangedTrait_v1(data).getFramesPerSecond()
        assert "/Hero" == SourcePathTrait_v1(data).getPath()

    def test_of_an_entity_without_a_file_little_is_said(self, manager):
        [traits] = manager.entityTraits(
            [ref("note")], EntityTraitsAccess.kRead, manager.createContext()
        )

        always = {v.ENTITY, v.VERSION, v.NAME, v.ASSET_TYPE, v.VERSION_INFO, v.STATUS}
        assert always | {v.PERMISSIONS} == traits

    @pytest.mark.parametrize("reference", ["hero", "note", "hero?version=1"])
    def test_the_traits_of_an_entity_are_those_that_resolve(self, manager, reference):
        [traits] = manager.entityTraits(
            [ref(reference)], EntityTraitsAccess.kRead, manager.createContext()
        )
        [data] = resolved(manager, [reference], WRITERS.keys())

        assert data.traitSet() == traits

    def test_only_what_was_asked_for_is_said(self, manager):
        [data] = resolved(manager, ["hero"], {v.NAME, v.STATUS, "unknown:trait"})

        assert {v.NAME, v.STATUS} == data.traitSet()

    def test_any_batch_is_read_in_the_same_few_statements(self, catalogue, manager, statements):
        several = [Publication(f"a{i}", "A", "model", f"/show/{i}.usd") for i in range(50)]
        catalogue.publish(several)
        resolved(manager, ["note"])  # opens the catalogue
        few, many = [
            statements(lambda n=n: resolved(manager, [f"a{i}" for i in range(n)], WRITERS.keys()))
            for n in (2, 50)
        ]

        assert few == many
        assert many <= 6


class TestMetadata:
    def test_values_are_flat_and_what_has_no_type_is_json(self, manager):
        assert {
            "tags": '["hero", "character"]',
            "description": "The one",
            "rig.version": 3,
            "rig.scale": 0.5,
            "rig.spare": "{}",
            "final": True,
            "note": "null",
            "huge": str(2**70),
            "looks like a list": '["no"]',
        } == said(manager, "hero", v.METADATA)

    def test_keys_tell_the_types(self, manager):
        assert {
            "tags": "list",
            "description": "text",
            "rig.version": "number",
            "rig.scale": "number",
            "rig.spare": "object",
            "final": "boolean",
            "note": "null",
            "huge": "number",
            "looks like a list": "text",
        } == json.loads(said(manager, "hero", v.METADATA_KEYS)["keys"])

    def test_it_is_that_of_now(self, catalogue, manager):
        catalogue.set_metadata("hero", {"tags": None, "description": "Another"}, replace=True)

        assert {"description": "Another"} == said(manager, "hero?version=1", v.METADATA)


class TestStatus:
    def test_nobody_moved_it_yet(self, manager):
        assert {"stage": "wip", "moves": '["review"]', "history": "[]"} == said(
            manager, "hero", v.STATUS
        )

    def test_a_move_is_told_with_who_when_and_why(self, catalogue, manager):
        catalogue.set_status("hero", "1", "review", reason="please look", user="ann")
        catalogue.set_status("hero", "1", "approved", reason="", user="bob")

        status = said(manager, "hero", v.STATUS)

        assert ("approved", "bob", "2025-06-01T12:00:00Z", "") == tuple(
            status[key] for key in ("stage", "changedBy", "changedAt", "reason")
        )
        assert ["review", "retired"] == json.loads(status["moves"])
        noon = "2025-06-01T12:00:00Z"
        move = {"before": "wip", "status": "review", "at": noon, "by": "ann"}
        assert {**move, "reason": "please look"} == json.loads(status["history"])[0]

    def test_each_version_of_a_batch_has_its_own(self, catalogue, manager):
        catalogue.publish([Publication("hero", "The Hero", "model", "/show/hero2.usd", "2")])
        catalogue.set_status("hero", "1", "review", user="ann")

        results = resolved(manager, ["hero?version=2", "hero?version=1", "note"], {v.STATUS})

        stages = [data.getTraitProperty(v.STATUS, "stage") for data in results]
        assert ["wip", "review", "wip"] == stages

    def test_deprecation_is_a_trait(self, catalogue, manager):
        catalogue.set_deprecated("hero", deprecated=True)

        assert {} == said(manager, "hero", v.DEPRECATION)


class TestPermissions:
    def test_without_rules_everything_is_open(self, manager):
        assert [True] * 6 == list(said(manager, "hero", v.PERMISSIONS).values())

    def test_they_are_those_of_who_asks(self, catalogue, manager):
        catalogue.allow([Rule("hero", "publish", "ann"), Rule("hero", "approve", "bob")])

        ann = said(manager, "hero", v.PERMISSIONS, under(manager, user="ann"))

        assert (True, False, True) == (ann["publish"], ann["approve"], ann["delete"])
        assert said(manager, "hero", v.STAGE)["writable"] is False
        assert said(manager, "hero", v.STAGE, under(manager, user="ann"))["writable"] is True

    def test_what_may_not_be_read_is_refused(self, catalogue, manager):
        catalogue.allow([Rule("he*", "read", "ann")])

        [refused, note] = resolved(manager, ["hero", "note"], {v.NAME})

        assert BatchElementError.ErrorCode.kAuthError == refused[0]
        assert "lacks the permission 'read' on asset 'hero'" in refused[1]
        assert {v.NAME} == note.traitSet()
        context = under(manager, user="ann")
        assert {v.NAME} == resolved(manager, ["hero"], {v.NAME}, context)[0].traitSet()


@pytest.fixture
def pictures(catalogue):
    catalogue.put_representation(
        "hero",
        1,
        "thumbnail",
        b"png",
        suffix=".png",
        mime_type="image/png",
        properties={"width": 256, "height": 128, "generator": "card"},
    )
    catalogue.put_representation(
        "hero", 1, "preview", b"#usda 1.0", suffix=".usda", mime_type="model/vnd.usda"
    )


@pytest.mark.usefixtures("pictures")
class TestRepresentations:
    def test_an_entity_says_which_it_has(self, manager):
        thumbnail = "bifrost:///assets/hero?version=1&representation=thumbnail"
        assert {"reference": thumbnail, "width": 256, "height": 128} == said(
            manager, "hero", v.THUMBNAIL
        )
        assert {
            "reference": "bifrost:///assets/hero?version=1&representation=preview",
            "mimeType": "model/vnd.usda",
        } == said(manager, "hero", v.PREVIEW)

    def test_a_picture_resolves_as_an_entity_of_its_own(self, manager):
        picture = said(manager, "hero", v.THUMBNAIL)["reference"]
        [data] = resolved(manager, [picture], WRITERS.keys() | {v.REPRESENTATION, v.PIXELS})

        location = data.getTraitProperty(v.LOCATION, "location")
        assert b"png" == Path(location.removeprefix("file://")).read_bytes()
        assert "image/png" == data.getTraitProperty(v.LOCATION, "mimeType")
        assert 3 == data.getTraitProperty(v.FILE_INFO, "size")
        assert "thumbnail" == data.getTraitProperty(v.REPRESENTATION, "name")
        assert "card" == data.getTraitProperty(v.REPRESENTATION, "generator")
        assert 256 == PixelBasedTrait_v1(data).getDisplayWindowWidth()

    def test_traits_of_representations_are_those_that_resolve(self, manager):
        references = [f"hero?representation={name}" for name in ("thumbnail", "preview")]
        [thumbnail, preview] = manager.entityTraits(
            [ref(each) for each in references], EntityTraitsAccess.kRead, manager.createContext()
        )

        both = {v.ENTITY, v.LOCATION, v.VERSION, v.NAME, v.FILE_INFO, v.REPRESENTATION}
        assert both | {v.IMAGE, v.PIXELS} == thumbnail
        assert both | {ProxyTrait_v1.kId} == preview

    def test_one_that_is_not_there_is_named_with_those_that_are(self, manager):
        [(code, message)] = resolved(manager, ["hero?representation=turntable"])

        assert BatchElementError.ErrorCode.kEntityResolutionError == code
        assert "no representation 'turntable'; it has preview, thumbnail" in message

    def test_one_batch_has_both_kinds(self, manager):
        results = resolved(
            manager, ["hero", "hero?representation=preview", "note"], {v.LOCATION, v.NAME}
        )

        places = [data.getTraitProperty(v.LOCATION, "location") for data in results]
        assert "file:///show/hero.usd" == places[0]
        assert places[1].endswith(".usda")
        assert places[2] is None

    def test_existence_is_that_of_the_representation(self, manager):
        references = [ref(f"hero?representation={name}") for name in ("preview", "turntable")]

        assert [True, False] == manager.entityExists(references, manager.createContext())

    @pytest.mark.parametrize(
        ("specification", "asked", "expected"),
        [
            (ThumbnailRelationshipSpecification_v1, "hero", ["hero?representation=thumbnail"]),
            (
                PreviewRelationshipSpecification_v1,
                "hero?version=1",
                ["hero?version=1&representation=preview"],
            ),
            (
                ProxyRepresentationRelationshipSpecification_v1,
                "hero",
                ["hero?representation=preview"],
            ),
            (
                OriginalRepresentationRelationshipSpecification_v1,
                "hero?representation=preview",
                ["hero"],
            ),
            (ThumbnailRelationshipSpecification_v1, "note", []),
        ],
    )
    def test_they_are_found_as_relationships(self, manager, specification, asked, expected):
        assert expected == related(manager, asked, specification.create().traitsData())

    def test_results_are_filtered_by_the_representations_own_traits(self, manager):
        thumbnail = ThumbnailRelationshipSpecification_v1.create().traitsData()

        found = related(manager, "hero", thumbnail, result_traits={v.IMAGE})

        assert ["hero?representation=thumbnail"] == found
        assert [] == related(manager, "hero", thumbnail, result_traits={v.STAGE})


class TestEdges:
    @pytest.fixture
    def catalogue(self, catalogue):
        many = [Publication(f"prop{i:04}", "Prop", "prop", "") for i in range(1200)]
        catalogue.publish(many)
        for target, kind, metadata in (
            (("note", "1"), "reads", {"strength": "reference"}),
            (("prop0001", None), "uses", {"purpose": "set dressing", "context": "day"}),
            (("prop0002", None), "uses", {"optional": True, "overrides": {"a": 1}}),
        ):
            catalogue.add_relationship(
                ("hero", None), target, relationship_type=kind, metadata=metadata
            )
        shot = Publication("shot", "Shot", "shot", "/show/shot.usd")
        props = [Dependency(f"prop{i:04}", None, "reference") for i in range(1200)]
        catalogue.publish([shot._replace(dependencies=props)])
        return catalogue

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({}, {"note?version=1", "prop0001", "prop0002"}),
            ({"kind": "uses"}, {"prop0001", "prop0002"}),
            ({"strength": "weak"}, {"prop0002"}),
            ({"strength": "strong", "origin": "file"}, {"note?version=1"}),
            ({"purpose": "set dressing"}, {"prop0001"}),
            ({"pinned": False}, {"prop0001", "prop0002"}),
            ({"context": "day"}, {"prop0001"}),
            ({"metadata": '{"overrides": {"a": 1}}'}, {"prop0002"}),
            ({"strength": "iron"}, set()),
            ({"kind": "eats"}, set()),
            ({"metadata": "nonsense"}, set()),
        ],
    )
    def test_properties_narrow_them_down(self, manager, wanted, expected):
        edges = EdgeRelationshipSpecification_v1.create().traitsData()
        for key, value in wanted.items():
            edges.setTraitProperty(v.EDGE, key, value)

        assert expected == set(related(manager, "hero", edges))

    def test_they_are_followed_backwards(self, manager):
        incoming = IncomingEdgeRelationshipSpecification_v1.create().traitsData()

        assert ["hero", "shot?version=1"] == related(manager, "prop0001", incoming)

    def test_pages_are_read_as_they_are_asked_for(self, manager, statements):
        edges = EdgeRelationshipSpecification_v1.create().traitsData()
        everything = [f"prop{i:04}" for i in range(1200)]

        assert everything == related(manager, "shot", edges, page_size=7)
        assert statements(lambda: first_page(manager, edges)) < statements(
            lambda: related(manager, "shot", edges, page_size=100)
        )

    def test_results_are_filtered_across_pages(self, manager):
        edges = EdgeRelationshipSpecification_v1.create().traitsData()

        assert [] == related(manager, "shot", edges, result_traits={v.LOCATION})
        found = related(manager, "shot", edges, page_size=500, result_traits={v.NAME})
        assert 1200 == len(found)


def first_page(manager, edges):
    from openassetio.access import RelationsAccess

    return manager.getWithRelationship(
        ref("shot"), edges, 100, RelationsAccess.kRead, manager.createContext(), set()
    ).get()


@pytest.fixture
def statements(monkeypatch):
    """Count the statements that a call sends to the databases of this process."""
    import sqlalchemy as sa

    sent = []
    listener = lambda *arguments: sent.append(arguments[2])  # noqa: E731
    sa.event.listen(sa.Engine, "before_cursor_execute", listener)

    def count(call):
        before = len(sent)
        call()
        return len(sent) - before

    yield count
    sa.event.remove(sa.Engine, "before_cursor_execute", listener)
