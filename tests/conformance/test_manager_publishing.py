# SPDX-License-Identifier: Apache-2.0
"""Publishing through plain OpenAssetIO: preflight, where to write, register."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from openassetio import errors
from openassetio.access import (
    EntityTraitsAccess,
    PublishingAccess,
    RelationsAccess,
    ResolveAccess,
)
from openassetio.errors import BatchElementError
from openassetio.hostApi import Manager
from openassetio.trait import TraitsData
from openassetio_mediacreation.traits.color import OCIOColorManagedTrait_v1

from bifrost.catalogue import Catalogue, Publication
from bifrost.catalogue.access import Rule
from bifrost.manager import vocabulary as v
from bifrost.publishing import Publisher
from bifrost.traits.generated.specifications.relationship import EdgeRelationshipSpecification_v1

sys.path.insert(0, str(Path(__file__).parent))
from asking import manager_over, ref, related, resolved, under

Code = BatchElementError.ErrorCode
WRITE, CREATE = PublishingAccess.kWrite, PublishingAccess.kCreateRelated
PREFIX = "bifrost:///assets/"
HERO_USDA = """#usda 1.0
(
    defaultPrim = "Hero"
    startTimeCode = 1
    endTimeCode = 5
    metersPerUnit = 0.5
    upAxis = "Z"
)
def Xform "Hero" (
    kind = "component"
    prepend variantSets = "look"
    variants = { string look = "a" }
)
{
    def Cube "Body" {}
    variantSet "look" = { "a" {} "b" {} }
}
"""


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    """A catalogue with one version of `hero`."""
    with Catalogue.open(catalogue_url, store=tmp_path / "store") as catalogue:
        metadata = {"tags": ["old"], "kept": True}
        hero = Publication("hero", "The Hero", "model", "/show/hero.dat", "1")
        catalogue.publish([hero._replace(asset_metadata=metadata)])
        yield catalogue


@pytest.fixture
def manager(catalogue, catalogue_url, tmp_path):
    return manager_over(catalogue_url, store=str(tmp_path / "store"))


@pytest.fixture
def file(tmp_path):
    """A file to publish."""
    path = tmp_path / "a file.dat"
    path.write_bytes(b"content")
    return path


def traits(**properties):
    """Return traits data of `vocabulary` names: `LOCATION={"location": …}`."""
    data = TraitsData({v.ENTITY})
    for name, values in properties.items():
        trait = getattr(v, name, name)
        data.addTrait(trait)
        for key, value in values.items():
            data.setTraitProperty(trait, key, value)
    return data


def at(path, **properties):
    """Return traits data of content at *path*."""
    return traits(LOCATION={"location": f"file://{quote(str(path))}"}, **properties)


def asked(method, references, datas, access, context):
    """Return a reference or (code, message) for each element."""
    results = [None] * len(references)
    method(
        [ref(text) for text in references],
        datas,
        access,
        context,
        lambda index, one: results.__setitem__(index, str(one)),
        lambda index, error: results.__setitem__(index, (error.code, error.message)),
    )
    return results


def preflight(manager, references, hints, access=WRITE, context=None):
    context = context or manager.createContext()
    return asked(manager.preflight, references, hints, access, context)


def register(manager, references, datas, access=WRITE, context=None):
    context = context or manager.createContext()
    return asked(manager.register, references, datas, access, context)


def content(location):
    return Path(unquote(location.removeprefix("file://"))).read_bytes()


def destination(manager, working):
    data = manager.resolve(
        ref(working), {v.LOCATION}, ResolveAccess.kManagerDriven, manager.createContext()
    )
    return Path(data.getTraitProperty(v.LOCATION, "location").removeprefix("file://"))


def entity_traits(manager, references):
    found = [None] * len(references)
    manager.entityTraits(
        [ref(text) for text in references],
        EntityTraitsAccess.kRead,
        manager.createContext(),
        found.__setitem__,
        found.__setitem__,
    )
    return found


def said(manager, reference, trait):
    [data] = resolved(manager, [reference], {trait})
    assert isinstance(data, TraitsData), data
    return {key: data.getTraitProperty(trait, key) for key in data.traitPropertyKeys(trait)}


class TestThreeSteps:
    def test_what_was_written_becomes_the_next_version(self, manager):
        mime = {"mimeType": "text/plain"}
        [working] = preflight(manager, ["hero"], [traits(LOCATION=mime)])
        path = destination(manager, working)
        path.write_bytes(b"new")
        [final] = register(manager, [working], [at(path, VERSION_INFO={"comment": "better"})])

        assert f"{PREFIX}hero?version=2" == final
        location = said(manager, final, v.LOCATION)
        assert b"new" == content(location["location"])
        assert "text/plain" == location["mimeType"]
        assert ".txt" == path.suffix
        assert "better" == said(manager, final, v.VERSION_INFO)["comment"]
        assert "The Hero" == said(manager, final, v.NAME)["name"]

    def test_a_working_reference_is_to_write_to_and_not_to_read(self, manager):
        [working] = preflight(manager, ["hero"], [traits(LOCATION={})])
        context = manager.createContext()
        variant = Manager.BatchElementErrorPolicyTag.kVariant

        [(code, message)] = resolved(manager, [working])
        assert (Code.kEntityAccessError, True) == (code, "is being published" in message)
        assert not manager.entityExists(ref(working), context)
        answer = manager.entityTraits(ref(working), EntityTraitsAccess.kRead, context, variant)
        assert Code.kEntityAccessError == answer.code
        assert {v.LOCATION} == manager.entityTraits(
            ref(working), EntityTraitsAccess.kWrite, context
        )

    def test_two_preflights_are_two_publishes(self, manager):
        first, second = preflight(manager, ["hero", "hero"], [traits(LOCATION={})] * 2)

        assert first != second
        assert destination(manager, first) != destination(manager, second)

    def test_what_nobody_said_stays_as_others_made_it_meanwhile(self, catalogue, manager, file):
        [working] = preflight(manager, ["hero"], [traits(LOCATION={})])
        meanwhile = {"NAME": {"name": "Hero Mk2"}, "ASSET_TYPE": {"name": "vehicle"}}
        register(manager, ["hero"], [at(file, **meanwhile)])

        destination(manager, working).write_bytes(b"later")
        [final] = register(manager, [working], [at(destination(manager, working))])

        assert f"{PREFIX}hero?version=3" == final
        assert ("Hero Mk2", "vehicle") == catalogue.found(["hero"])["hero"][1:3]
        [working] = preflight(manager, ["hero"], [traits(LOCATION={}, NAME={"name": "Hero"})])
        destination(manager, working).write_bytes(b"renamed")
        register(manager, [working], [at(destination(manager, working))])
        assert ("Hero", "vehicle") == catalogue.found(["hero"])["hero"][1:3]

    def test_what_was_written_elsewhere_is_taken_from_there(self, manager, file):
        [working] = preflight(manager, ["hero"], [traits(LOCATION={})])

        assert [f"{PREFIX}hero?version=2"] == register(manager, [working], [at(file)])

    def test_a_publish_that_failed_may_be_registered_again(self, manager):
        [working] = preflight(manager, ["hero"], [traits(LOCATION={})])
        path = destination(manager, working)

        [(code, message)] = register(manager, [working], [at(path)])
        assert (Code.kUnknown, True) == (code, message.startswith("file_missing: "))
        path.write_bytes(b"late")

        assert [f"{PREFIX}hero?version=2"] == register(manager, [working], [at(path)])

    def test_a_publish_is_registered_once(self, manager):
        [working] = preflight(manager, ["hero"], [traits(LOCATION={})])
        path = destination(manager, working)
        path.write_bytes(b"new")
        register(manager, [working], [at(path)])

        [(code, message)] = register(manager, [working], [at(path)])

        assert (Code.kUnknown, True) == (code, message.startswith("conflict: "))

    def test_another_assets_or_nobodys_publish_is_not_found(self, manager, file):
        [working] = preflight(manager, ["hero"], [traits(LOCATION={})])
        stranger = working.replace("hero", "villain")
        nobody = f"hero?publish={'0' * 32}"

        results = register(manager, [stranger, nobody], [at(file, NAME={"name": "x"})] * 2)

        assert [Code.kEntityResolutionError] * 2 == [code for code, _ in results]

    def test_another_process_may_register(self, catalogue, manager, catalogue_url, tmp_path):
        [working] = preflight(manager, ["hero"], [traits(LOCATION={})])
        path = destination(manager, working)
        path.write_bytes(b"new")
        another = manager_over(catalogue_url, store=str(tmp_path / "store"))

        assert [f"{PREFIX}hero?version=2"] == register(another, [working], [at(path)])
        assert "draft" not in {publish.stage for publish in Publisher(catalogue).list()}

    def test_the_documented_steps_work(self, manager):
        page = Path(__file__).resolve().parents[2] / "docs" / "traits.md"
        example = page.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
        names = {
            "TraitsData": TraitsData,
            "PublishingAccess": PublishingAccess,
            "ResolveAccess": ResolveAccess,
            "manager": manager,
            "context": manager.createContext(),
            "hero": ref("hero"),
            "write": lambda url: Path(url.removeprefix("file://")).write_text(HERO_USDA),
        }
        exec(example, names)

        assert f"{PREFIX}hero?version=2" == str(names["version"])
        assert "new hair" == said(manager, "hero", v.VERSION_INFO)["comment"]


class TestWithoutPreflight:
    def test_a_file_is_published_from_where_it_lies(self, manager, file):
        [final] = register(manager, ["hero"], [at(file)])
        file.unlink()

        location = said(manager, final, v.LOCATION)["location"]
        assert b"content" == content(location)
        assert {"checksum", "checksumAlgorithm", "size"} == set(said(manager, final, v.FILE_INFO))

    def test_an_asset_that_is_not_there_is_made(self, manager, file):
        data = at(file, NAME={"name": "A Villain"}, ASSET_TYPE={"name": "character"})

        assert [f"{PREFIX}villain?version=1"] == register(manager, ["villain"], [data])
        assert "A Villain" == said(manager, "villain", v.NAME)["name"]
        assert {"name": "character"} == said(manager, "villain", v.ASSET_TYPE)

    def test_without_a_type_it_is_what_its_traits_say(self, manager, file):
        data = at(file, NAME={"name": "Picture"}, IMAGE={})
        assert [f"{PREFIX}picture?version=1"] == register(manager, ["picture"], [data])

        assert {"name": "image"} == said(manager, "picture", v.ASSET_TYPE)

    def test_who_names_a_version_started_from_it(self, manager, file):
        assert [f"{PREFIX}hero?version=2"] == register(manager, ["hero?version=1"], [at(file)])

        [(code, message)] = register(manager, ["hero?version=1"], [at(file)])

        assert Code.kUnknown == code
        assert message.startswith("conflict: asset 'hero' is at version 2, not at 1")


class TestRoundTrip:
    def test_everything_that_was_set_is_said_again(self, manager, file):
        given = {
            "NAME": {"name": "Hero of Old"},
            "ASSET_TYPE": {"name": "character"},
            "FRAMES": {"startFrame": 1, "endFrame": 9, "step": 2, "framesPerSecond": 25.0},
            "METADATA": {"rig.version": 4, "scale": 0.25, "final": False, "by": "Ann Ō"},
            OCIOColorManagedTrait_v1.kId: {"colorspace": "ACEScg"},
            "SOURCE_PATH": {"path": "/Hero"},
            "VERSION_INFO": {"comment": "as it was"},
        }

        [final] = register(manager, ["hero"], [at(file, **given)])
        assert f"{PREFIX}hero?version=2" == final

        for name, properties in given.items():
            found = said(manager, final, getattr(v, name, name))
            assert properties == {key: found[key] for key in properties}, name
        kinds = {key: type(value) for key, value in said(manager, final, v.METADATA).items()}
        assert (int, float, bool) == (kinds["rig.version"], kinds["scale"], kinds["final"])
        [traits] = manager.entityTraits(
            [ref(final)], EntityTraitsAccess.kRead, manager.createContext()
        )
        assert OCIOColorManagedTrait_v1.kId in traits

    def test_a_usd_file_fills_the_traits_of_its_stage(self, manager, tmp_path):
        (tmp_path / "hero.usda").write_text(HERO_USDA)
        masks = {"masks": json.dumps({"body": ["/Hero/Body"]})}

        [final] = register(manager, ["hero"], [at(tmp_path / "hero.usda", MASKS=masks)])

        assert f"{PREFIX}hero?version=2" == final
        assert masks == said(manager, final, v.MASKS)
        assert {"path": "/Hero"} == said(manager, final, v.SOURCE_PATH)
        assert {"handedness": "right", "upAxis": "z", "metersPerUnit": 0.5} == said(
            manager, final, v.SPATIAL
        )
        frames = {"startFrame": 1, "endFrame": 5, "framesPerSecond": 24.0}
        assert frames == said(manager, final, v.FRAMES)
        stage = said(manager, final, v.STAGE)
        assert ("/Hero", True, 2) == (stage["defaultPrim"], stage["readable"], stage["prims"])
        assert {"/Hero": {"look": {"variants": ["a", "b"], "selection": "a"}}} == json.loads(
            said(manager, final, v.VARIANT_SETS)["variantSets"]
        )
        assert {"Xform": 1, "Cube": 1} == json.loads(said(manager, final, v.SCHEMAS)["typed"])

    def test_metadata_that_is_not_given_stays(self, catalogue, manager, file):
        register(manager, ["hero"], [at(file, METADATA={"rig.version": 4})])

        expected = {"tags": ["old"], "kept": True, "rig": {"version": 4}}
        assert expected == catalogue.found(["hero"])["hero"].metadata

    def test_lists_come_back_as_lists(self, catalogue, manager, file):
        old = said(manager, "hero", v.METADATA)
        keys = {"keys": json.dumps({"crew": "list", "motto": "text"})}
        new = {**old, "crew": '["ann"]', "motto": '["carpe"]'}
        register(manager, ["hero"], [at(file, METADATA=new, METADATA_KEYS=keys)])

        metadata = catalogue.found(["hero"])["hero"].metadata
        assert (["old"], ["ann"], '["carpe"]') == tuple(
            metadata[key] for key in ("tags", "crew", "motto")
        )

    def test_a_pattern_stays_one(self, manager, tmp_path):
        for tile in (1001, 1002):
            (tmp_path / f"skin.{tile}.tx").write_bytes(b"%d" % tile)
        data = at(tmp_path / "skin.<UDIM>.tx", NAME={"name": "Skin"})
        data.setTraitProperty(v.LOCATION, "isTemplated", True)

        [final] = register(manager, ["skin"], [data])

        location = said(manager, final, v.LOCATION)
        assert location["isTemplated"] is True
        assert location["location"].endswith("/skin.%3CUDIM%3E.tx")

    def test_what_is_said_anew_of_a_file_that_stayed_makes_a_version(self, manager, file):
        took = {"studio:Take": {"take": "A"}}
        first, same, less = (
            register(manager, ["hero"], [at(file, FRAMES={"startFrame": 1}, **took)]),
            register(manager, ["hero"], [at(file, FRAMES={"startFrame": 1}, **took)]),
            register(manager, ["hero"], [at(file)]),
        )
        [frames] = register(manager, ["hero"], [at(file, FRAMES={"startFrame": 9}, **took)])
        took["studio:Take"]["take"] = "B"
        [take] = register(manager, ["hero"], [at(file, FRAMES={"startFrame": 9}, **took)])

        assert [f"{PREFIX}hero?version=2"] == first == same == less
        assert [f"{PREFIX}hero?version={number}" for number in (3, 4)] == [frames, take]
        assert {"take": "B"} == said(manager, take, "studio:Take")
        assert 9 == said(manager, take, v.FRAMES)["startFrame"]


class TestRelated:
    def test_a_new_entity_is_related_to_its_parent(self, manager):
        child = {"name": "Hero Groom"}
        edge = {"kind": "component", "strength": "weak", "purpose": "hair", "context": "all"}
        [working] = preflight(
            manager, ["hero"], [traits(LOCATION={}, NAME=child, EDGE=edge)], CREATE
        )
        path = destination(manager, working)
        path.write_bytes(b"hair")

        [final] = register(manager, [working], [at(path)], CREATE)

        assert f"{PREFIX}Hero_Groom?version=1" == final
        assert "Hero Groom" == said(manager, final, v.NAME)["name"]
        edges = EdgeRelationshipSpecification_v1.create().traitsData()
        for key, value in edge.items():
            edges.setTraitProperty(v.EDGE, key, value)
        assert ["Hero_Groom"] == related(manager, "hero", edges)
        assert ["Hero_Groom"] == related(manager, "hero", edges, access=RelationsAccess.kWrite)

    def test_without_preflight_and_without_saying_how(self, manager, file):
        data = at(file, NAME={"name": "Groom", "qualifiedName": "hero_groom"})

        [final] = register(manager, ["hero?version=1"], [data], CREATE)

        edges = EdgeRelationshipSpecification_v1.create().traitsData()
        edges.setTraitProperty(v.EDGE, "kind", "child")
        assert f"{PREFIX}hero_groom?version=1" == final
        assert ["hero_groom"] == related(manager, "hero", edges)

    def test_what_can_not_be_created_is_each_elements_own_trouble(self, catalogue, manager, file):
        catalogue.allow([Rule("closed", "relate", "ann"), Rule("private*", "publish", "ann")])
        catalogue.publish([Publication("closed", "Closed", "model", "")])
        parents = ["villain", "hero", "hero", "closed", "hero", "he ro", "hero", "hero"]
        names = ["A", "hero", "", "B", "private", "C", ".", "Groom"]
        datas = [at(file, NAME={"name": name}) for name in names]

        results = register(manager, parents, datas, CREATE)

        assert f"{PREFIX}Groom?version=1" == results.pop()
        assert [
            (Code.kEntityResolutionError, "no asset 'villain'"),
            (Code.kUnknown, "conflict: there is an asset 'hero' already"),
            (Code.kInvalidTraitSet, "identity.DisplayName (name) must be given"),
            (Code.kAuthError, "lacks the permission 'relate' on asset 'closed'"),
            (Code.kAuthError, "lacks the permission 'publish' on asset 'private'"),
            (Code.kMalformedEntityReference, "an asset id has no '/' and no white space"),
            (Code.kInvalidTraitSet, "it is a path"),
        ] == [
            (code, expected if expected in message else message)
            for (code, message), expected in zip(
                results,
                [
                    "no asset 'villain'",
                    "conflict: there is an asset 'hero' already",
                    "identity.DisplayName (name) must be given",
                    "lacks the permission 'relate' on asset 'closed'",
                    "lacks the permission 'publish' on asset 'private'",
                    "an asset id has no '/' and no white space",
                    "it is a path",
                ],
                strict=True,
            )
        ]

    def test_a_shot_whose_file_names_its_parent(self, catalogue, manager, tmp_path):
        shot = tmp_path / "shot.usda"
        shot.write_text(
            f'#usda 1.0\n(defaultPrim = "S")\ndef "S" (references = @{PREFIX}hero@) {{}}\n'
        )

        [final] = register(manager, ["hero"], [at(shot, NAME={"name": "shot"})], CREATE)

        edges = EdgeRelationshipSpecification_v1.create().traitsData()
        edges.setTraitProperty(v.EDGE, "kind", "child")
        assert f"{PREFIX}shot?version=1" == final
        assert ["shot"] == related(manager, "hero", edges)
        assert ["shot"] == related(manager, "hero", edges, page_size=2**64 - 1)


class TestErrors:
    def test_a_batch_with_mixed_errors_publishes_the_rest(self, catalogue, manager, file, tmp_path):
        catalogue.allow([Rule("closed", "publish", "ann")])
        references = [
            "hero",
            "closed",
            "hero?representation=thumbnail",
            "hero?version=approved",
            "he ro",
            "new",
            "hero",
            "hero",
            "other",
        ]
        named = {"name": "Other"}
        datas = [
            at(file),
            at(file),
            at(file),
            at(file),
            at(file),
            at(file),
            traits(LOCATION={}),
            at(tmp_path / "nothing.dat"),
            at(file, NAME=named),
        ]

        results = register(manager, references, datas)

        assert f"{PREFIX}hero?version=2" == results.pop(0)
        assert f"{PREFIX}other?version=1" == results.pop()
        assert [
            Code.kAuthError,
            Code.kEntityAccessError,
            Code.kEntityAccessError,
            Code.kMalformedEntityReference,
            Code.kInvalidTraitSet,
            Code.kInvalidTraitSet,
            Code.kUnknown,
        ] == [code for code, _ in results]
        assert "identity.DisplayName (name) must be given" in results[4][1]
        assert "content.LocatableContent (location) must be given" in results[5][1]
        assert results[6][1].startswith("file_missing: ")
        assert [2, 1] == [v.number for v in catalogue.versions("hero")]

    @pytest.mark.parametrize(
        ("reference", "hint", "code", "message"),
        [
            ("hero", traits(), Code.kInvalidPreflightHint, "LocatableContent must be given"),
            (
                "new",
                traits(LOCATION={}),
                Code.kInvalidPreflightHint,
                "DisplayName (name) must be given",
            ),
            ("hero?representation=a", traits(LOCATION={}), Code.kEntityAccessError, "stands for"),
            (
                f"hero?publish={'0' * 32}",
                traits(LOCATION={}),
                Code.kEntityAccessError,
                "is being published already",
            ),
            ("hero?version=7", traits(LOCATION={}), Code.kUnknown, "conflict: "),
        ],
    )
    def test_preflight_says_what_is_wrong(self, manager, reference, hint, code, message):
        [(got, why)] = preflight(manager, [reference], [hint])

        assert (code, True) == (got, message in why), why

    @pytest.mark.parametrize(
        ("properties", "message"),
        [
            ({"MASKS": {"masks": "[1]"}}, "masks: expected a JSON object"),
            ({"METADATA": {"a": 1, "a.b": 2}}, "'a' has a value of its own"),
            ({"METADATA_KEYS": {"keys": "{"}}, "keys: expected a JSON object"),
            (
                {"METADATA": {"a": "{"}, "METADATA_KEYS": {"keys": '{"a": "list"}'}},
                "'a': expected list as JSON",
            ),
            ({"FRAMES": {"startFrame": "one"}}, "start: expected a number"),
            ({"FRAMES": {"startFrame": 5.5}}, "start: expected a whole number"),
            ({"FRAMES": {"endFrame": 1e300}}, "end: expected a whole number"),
            ({"FRAMES": {"step": float("nan")}}, "step: expected a whole number"),
            ({"NAME": {"name": "a\0b"}}, "control character"),
        ],
    )
    def test_traits_that_make_no_sense_are_named(
        self, catalogue, manager, file, properties, message
    ):
        [(code, why)] = register(manager, ["hero"], [at(file, **properties)])

        assert (Code.kInvalidTraitSet, True) == (code, message in why), why
        assert 1 == len(catalogue.versions("hero"))

    def test_what_is_recorded_in_another_shape_is_left_out(self, catalogue, manager):
        """A version is for ever: what its publisher said must not end each batch that has it."""
        strange = [
            {"frames": {"start": "one", "end": 9}},
            {"frames": [1]},
            {"frames": {"start": 10**400}},
            {"usd": {"layers": "many", "up_axis": 1, "root_prims": [1], "default_prim": []}},
            {"usd": "none"},
            {"traits": "x"},
            {"traits": [["a.b", [["key", [1]]]]]},
        ]
        ids = [f"strange{number}" for number in range(len(strange))]
        catalogue.publish(
            [
                Publication(asset_id, asset_id, "model", "", properties=properties)
                for asset_id, properties in zip(ids, strange, strict=True)
            ]
        )
        wanted = {v.NAME, v.FRAMES, v.STAGE, v.SPATIAL, v.SOURCE_PATH, v.SCHEMAS, "a.b"}

        found = resolved(manager, ["hero", *ids], wanted)

        names = [data.getTraitProperty(v.NAME, "name") for data in found]
        assert ["The Hero", *ids] == names
        assert 9 == found[1].getTraitProperty(v.FRAMES, "endFrame")
        assert all(v.NAME in each for each in entity_traits(manager, ["hero", *ids]))

    def test_a_location_is_a_file_url(self, manager):
        data = traits(LOCATION={"location": "https://example.org/hero.dat"})

        [(code, why)] = register(manager, ["hero"], [data])

        assert (Code.kInvalidTraitSet, True) == (code, "location" in why)

    def test_permission_is_that_of_the_locale(self, catalogue, manager, file):
        catalogue.allow([Rule("*", "publish", "ann")])
        ann, bob = (under(manager, user=user) for user in ("ann", "bob"))

        assert Code.kAuthError == register(manager, ["hero"], [at(file)], context=bob)[0][0]
        assert Code.kAuthError == preflight(manager, ["hero"], [at(file)], context=bob)[0][0]
        [final] = register(manager, ["hero"], [at(file)], context=ann)
        assert "ann" == said(manager, final, v.VERSION_INFO)["author"]

    def test_the_hosts_own_exception_reaches_it_after_everything_is_done(
        self, catalogue, manager, file
    ):
        with pytest.raises(errors.BatchElementException, match="LocatableContent"):
            manager.register(
                [ref("hero"), ref("hero")], [traits(), at(file)], WRITE, manager.createContext()
            )

        assert 2 == len(catalogue.versions("hero"))


class TestThreads:
    def test_eight_threads_publish_one_asset(self, catalogue, manager, tmp_path):
        files = [tmp_path / f"{number}.dat" for number in range(8)]
        for number, path in enumerate(files):
            path.write_bytes(b"%d" % number)
        ready = threading.Barrier(8)

        def publish(path):
            ready.wait()
            [working] = preflight(manager, ["hero"], [traits(LOCATION={})])
            destination(manager, working).write_bytes(path.read_bytes())
            return register(manager, [working], [at(destination(manager, working))])

        with ThreadPoolExecutor(8) as threads:
            results = [result for [result] in threads.map(publish, files)]

        assert {f"{PREFIX}hero?version={number}" for number in range(2, 10)} == set(results)
        contents = {content(version.location) for version in catalogue.versions("hero")[:-1]}
        assert {b"%d" % number for number in range(8)} == contents


class TestCallers:
    def test_who_made_the_manager_learns_what_was_published(self, catalogue_url, tmp_path, file):
        from bifrost.manager import BifrostManagerInterface

        told = []
        interface = BifrostManagerInterface(on_published=told.extend)
        manager = manager_over(catalogue_url, interface, store=str(tmp_path / "store"))

        register(manager, ["new"], [at(file, NAME={"name": "New"})])

        assert f"{PREFIX}new" in told
