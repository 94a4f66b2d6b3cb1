# SPDX-License-Identifier: Apache-2.0
"""What the compliance suite does not ask of our manager."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from openassetio import EntityReference, errors, hostApi
from openassetio.access import (
    EntityTraitsAccess,
    PolicyAccess,
    RelationsAccess,
    ResolveAccess,
)
from openassetio.errors import BatchElementError
from openassetio.trait import TraitsData
from openassetio_mediacreation.specifications.lifecycle import (
    EntityVersionsRelationshipSpecification_v1,
    StableEntityVersionsRelationshipSpecification_v1,
    StableReferenceRelationshipSpecification_v1,
)
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1
from openassetio_mediacreation.traits.identity import DisplayNameTrait_v1
from openassetio_mediacreation.traits.lifecycle import VersionTrait_v1
from openassetio_mediacreation.traits.managementPolicy import ManagedTrait_v1
from openassetio_mediacreation.traits.usage import EntityTrait_v1

from bifrost.catalogue import Catalogue, Dependency, Publication
from bifrost.catalogue.access import Rule
from bifrost.catalogue.sqlite import driver
from bifrost.errors import CatalogueError
from bifrost.manager import BifrostManagerInterface
from bifrost.model.entity_reference import AssetReference
from bifrost.traits.generated.specifications.relationship import (
    ClosureRelationshipSpecification_v1,
    DependencyRelationshipSpecification_v1,
    EdgeRelationshipSpecification_v1,
)
from bifrost.traits.generated.traits.managementPolicy import RelationshipManagementTrait_v1
from bifrost.traits.generated.traits.relationship import ClosureTrait_v1

sys.path.insert(0, str(Path(__file__).parent))
from asking import host_session, manager_over, ref, related, resolved, tags, under

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
LOCATION = LocatableContentTrait_v1.kId
VERSION = VersionTrait_v1.kId
NAME = DisplayNameTrait_v1.kId
Code = BatchElementError.ErrorCode


@pytest.fixture
def manager(catalogue_url):
    """A manager over three days of versions of `hero`, what it needs, and a shot that needs it."""
    moments = iter(NOON + timedelta(days=day) for day in range(10))
    with Catalogue.open(catalogue_url, clock=lambda: next(moments).timestamp()) as catalogue:
        for day in range(3):
            catalogue.publish(
                [
                    Publication("skin", "Skin", "texture", "/show/s.<UDIM>.exr", templated=True),
                    Publication("note", "Note", "note", ""),
                    Publication(
                        "hero",
                        "The Hero",
                        "model",
                        f"/show/a hero/v{day + 1}.usd",
                        checksum=str(day),
                        mime_type="model/vnd.usd",
                        dependencies=(
                            Dependency("skin", None, "texture"),
                            Dependency("note", "1", "comment"),
                        ),
                    ),
                ]
            )
        shot = Publication("shot", "Shot", "shot", "/show/shot.usd", "1")
        catalogue.publish(
            [shot._replace(dependencies=(Dependency("hero"), Dependency("skin", "1")))]
        )
    return manager_over(catalogue_url)


class TestResolve:
    def test_every_property_is_told(self, manager):
        [data] = resolved(manager, ["hero?version=2"], {LOCATION, VERSION, NAME})

        location = LocatableContentTrait_v1(data)
        assert "file:///show/a%20hero/v2.usd" == location.getLocation()
        assert "model/vnd.usd" == location.getMimeType()
        assert False is location.getIsTemplated()
        assert "2" == VersionTrait_v1(data).getSpecifiedTag()
        assert "2" == VersionTrait_v1(data).getStableTag()
        assert "The Hero" == DisplayNameTrait_v1(data).getName()
        assert "hero" == DisplayNameTrait_v1(data).getQualifiedName()

    def test_a_pattern_says_that_it_is_one(self, manager):
        [data] = resolved(manager, ["skin"], {LOCATION})

        assert True is LocatableContentTrait_v1(data).getIsTemplated()
        assert "file:///show/s.%3CUDIM%3E.exr" == LocatableContentTrait_v1(data).getLocation()

    def test_the_specified_tag_is_as_the_reference_says_it(self, manager):
        results = resolved(manager, ["hero", "hero?version=latest", "hero?version=1"])

        assert ["", "latest", "1"] == [VersionTrait_v1(data).getSpecifiedTag() for data in results]
        assert ["3", "3", "1"] == tags(results)

    def test_without_a_location_the_trait_is_left_out(self, manager):
        [data] = resolved(manager, ["note"], {LOCATION, NAME})

        assert {NAME} == data.traitSet()

    def test_errors_of_a_batch_are_each_elements_own(self, manager):
        results = resolved(
            manager,
            [
                "hero",
                "villain",
                "hero?version=7",
                "he ro",
                "bal:///hero",
                "hero?version=wip",
                "skin",
            ],
        )

        assert ["3", "1"] == tags([results[0], results[-1]])
        assert [
            (Code.kEntityResolutionError, "the catalogue has no asset 'villain'"),
            (Code.kEntityResolutionError, "asset 'hero' has no version '7'; the newest is 3"),
            (
                Code.kMalformedEntityReference,
                "an asset id has no '/' and no white space: 'bifrost:///assets/he ro'",
            ),
            (Code.kInvalidEntityReference, "expected bifrost:///assets/<id>, got 'bal:///hero'"),
            (Code.kEntityResolutionError, "asset 'hero' has no version 'wip'; the newest is 3"),
        ] == results[1:-1]

    def test_a_host_may_change_what_it_was_given(self, manager):
        first, again = resolved(manager, ["hero", "hero"], {LOCATION})
        first.setTraitProperty(LOCATION, "location", "file:///changed")

        assert "file:///show/a%20hero/v3.usd" == again.getTraitProperty(LOCATION, "location")
        assert resolved(manager, ["hero"], {LOCATION}) == [again]

    def test_an_exception_of_the_hosts_callback_reaches_the_host(self, manager):
        context = manager.createContext()

        with pytest.raises(errors.BatchElementException, match="villain"):
            manager.resolve([ref("hero"), ref("villain")], {NAME}, ResolveAccess.kRead, context)
        with pytest.raises(KeyError, match="host"):
            manager.resolve(
                [ref("hero")], {NAME}, ResolveAccess.kRead, context, _raise_key_error, print
            )

    def test_what_floats_says_nothing_of_where_to_write(self, manager):
        variant = hostApi.Manager.BatchElementErrorPolicyTag.kVariant
        arguments = ({LOCATION}, ResolveAccess.kManagerDriven, manager.createContext(), variant)

        answers = manager.resolve([ref("hero"), ref("he ro")], *arguments)

        expected = [Code.kEntityAccessError, Code.kMalformedEntityReference]
        assert expected == [answer.code for answer in answers]
        assert "hero doesn't say where to write: preflight it" in answers[0].message

    def test_what_publishing_needs_depends_on_whether_it_is_new(self, manager):
        variant = hostApi.Manager.BatchElementErrorPolicyTag.kVariant
        references = [ref(text) for text in ("hero", "villain", "he ro", "hero?version=wip")]

        answers = manager.entityTraits(
            references, EntityTraitsAccess.kWrite, manager.createContext(), variant
        )

        assert [{LOCATION}, {LOCATION, NAME}] == answers[:2]
        expected = [Code.kMalformedEntityReference, Code.kEntityAccessError]
        assert expected == [answer.code for answer in answers[2:]]


class TestExistence:
    def test_what_can_be_read_exists(self, manager):
        references = [ref(text) for text in ("hero", "villain", "hero?version=3", "hero?version=4")]

        found = manager.entityExists(references, manager.createContext())

        assert [True, False, True, False] == found

    def test_existence_follows_the_policy(self, manager):
        context = under(manager, asOf="2025-05-01")

        assert [False, True] == manager.entityExists([ref("hero"), ref("hero?version=1")], context)


class TestLocale:
    @pytest.mark.parametrize(
        ("policy", "expected"),
        [
            ({}, "3"),
            ({"version": "", "asOf": ""}, "3"),
            ({"version": "latest"}, "3"),
            ({"version": "2"}, "2"),
            ({"version": 2}, "2"),
            ({"asOf": (NOON + timedelta(days=1, hours=1)).isoformat()}, "2"),
            ({"user": "ann", "project": "x", "locale": "en-US"}, "3"),
        ],
    )
    def test_a_locale_says_what_floats(self, manager, policy, expected):
        assert [expected] == tags(resolved(manager, ["hero"], context=under(manager, **policy)))

    def test_a_locale_of_other_traits_or_none_is_accepted(self, manager):
        context = manager.createContext()
        context.locale = TraitsData({"other:locale.Trait"})
        assert ["3"] == tags(resolved(manager, ["hero"], context=context))
        context.locale = None
        assert ["3"] == tags(resolved(manager, ["hero"], context=context))

    def test_a_child_context_keeps_the_policy(self, manager):
        child = manager.createChildContext(under(manager, version="1"))

        assert ["1"] == tags(resolved(manager, ["hero"], context=child))

    def test_a_time_that_is_none_fails_the_batch(self, manager):
        with pytest.raises(errors.InputValidationException, match=r"ISO 8601.*'soon'"):
            resolved(manager, ["hero"], context=under(manager, asOf="soon"))


class TestRelationships:
    def test_versions_are_newest_first(self, manager):
        floating = EntityVersionsRelationshipSpecification_v1.create().traitsData()
        stable = StableEntityVersionsRelationshipSpecification_v1.create().traitsData()
        three = [f"hero?version={number}" for number in (3, 2, 1)]

        assert ["hero?version=latest", *three] == related(manager, "hero", floating)
        assert three == related(manager, "hero", stable, page_size=2)

    def test_versions_are_filtered_by_their_tags(self, manager):
        versions = EntityVersionsRelationshipSpecification_v1.create()
        versions.versionTrait().setStableTag("3")
        assert ["hero?version=latest", "hero?version=3"] == related(
            manager, "hero", versions.traitsData()
        )
        versions.versionTrait().setSpecifiedTag("latest")
        assert ["hero?version=latest"] == related(manager, "hero", versions.traitsData())
        versions.versionTrait().setStableTag("9")
        assert [] == related(manager, "hero", versions.traitsData())

    def test_a_stable_reference_is_what_the_policy_made_of_it(self, manager):
        stable = StableReferenceRelationshipSpecification_v1.create().traitsData()
        context = under(manager, version="1")

        assert ["hero?version=3"] == related(manager, "hero", stable)
        assert ["hero?version=1"] == related(manager, "hero", stable, context=context)

    def test_dependencies_are_filtered_by_kind(self, manager):
        needs = DependencyRelationshipSpecification_v1.create()

        assert ["skin", "note?version=1"] == related(manager, "hero", needs.traitsData())
        needs.dependencyTrait().setKind("comment")
        assert ["note?version=1"] == related(manager, "hero", needs.traitsData())
        needs.traitsData().setTraitProperty("unknown:trait", "key", 1)
        assert [] == related(manager, "hero", needs.traitsData())

    def test_results_have_the_traits_asked_for(self, manager):
        needs = DependencyRelationshipSpecification_v1.create().traitsData()

        assert ["skin"] == related(manager, "hero", needs, result_traits={LOCATION})
        assert [] == related(manager, "hero", needs, result_traits={LOCATION, "unknown"})

    def test_the_closure_is_everything_that_opening_asks_for(self, manager):
        closure = ClosureRelationshipSpecification_v1.create().traitsData()
        everything = {"hero", "skin", "skin?version=1", "note?version=1"}

        found = related(manager, "shot", closure, page_size=2)

        assert len(found) == len(set(found))
        assert "shot?version=1" == found[0]
        assert everything == set(found[1:])

    def test_one_batch_answers_each_reference_and_each_relationship(self, manager):
        closure = ClosureRelationshipSpecification_v1.create().traitsData()
        variant = hostApi.Manager.BatchElementErrorPolicyTag.kVariant
        arguments = (RelationsAccess.kRead, manager.createContext(), set(), variant)

        by_reference = manager.getWithRelationship(
            [ref("note"), ref("villain"), ref("he ro")], closure, 5, *arguments
        )
        by_relationship = manager.getWithRelationships(
            ref("note"), [closure, TraitsData({ClosureTrait_v1.kId})], 5, *arguments
        )

        assert ["bifrost:///assets/note?version=1"] == [str(one) for one in by_reference[0].get()]
        assert Code.kEntityResolutionError == by_reference[1].code
        assert Code.kMalformedEntityReference == by_reference[2].code
        assert [1, 0] == [len(pager.get()) for pager in by_relationship]

    def test_a_pager_outlives_its_question_and_keeps_nothing_of_it(self, manager):
        relationship = EntityVersionsRelationshipSpecification_v1.create().traitsData()
        reference, context = ref("hero"), manager.createContext()
        watched = [weakref.ref(one) for one in (relationship, reference, context)]
        [pager] = manager.getWithRelationship(
            [reference], relationship, 3, RelationsAccess.kRead, context, set()
        )
        del relationship, reference, context
        gc.collect()

        assert [None, None, None] == [one() for one in watched]
        assert (3, True) == (len(pager.get()), pager.hasNext())
        pager.next()
        assert (1, False) == (len(pager.get()), pager.hasNext())

    def test_a_closed_pager_lets_go_of_its_results(self):
        from bifrost.manager.pagers import Pager

        pager = Pager(iter([AssetReference("a")] * 5), 2, EntityReference)
        assert (2, True) == (len(pager.get(None)), pager.hasNext(None))
        pager.close(None)

        assert [] == pager.get(None)
        assert not pager.hasNext(None)

    def test_a_pager_reads_one_element_ahead_and_no_further(self):
        from bifrost.manager.pagers import Pager

        read = []
        targets = (read.append(number) or AssetReference(f"a{number}") for number in range(100))
        pager = Pager(targets, 10, EntityReference)

        assert 11 == len(read)
        pager.next(None)
        assert 21 == len(read)
        assert "bifrost:///assets/a10" == str(pager.get(None)[0])

    def test_what_breaks_in_the_middle_does_not_look_like_the_end(self):
        from bifrost.manager.pagers import Pager

        def targets():
            yield from [AssetReference("a")] * 4
            raise CatalogueError("the connection was lost", retryable=True)

        pager = Pager(targets(), 2, EntityReference)
        with pytest.raises(errors.OpenAssetIOException, match="connection was lost"):
            pager.next(None)
        with pytest.raises(errors.OpenAssetIOException, match="connection was lost"):
            pager.get(None)

    def test_related_entities_to_write_to_are_assets_that_may_be_published(self, manager):
        needs = DependencyRelationshipSpecification_v1.create().traitsData()
        with Catalogue.open(manager.settings()["catalogue_url"]) as catalogue:
            catalogue.allow([Rule("note", "publish", "ann")])

        write = RelationsAccess.kWrite
        assert ["skin"] == related(manager, "hero", needs, access=write)
        ann = under(manager, user="ann")
        assert ["skin", "note"] == related(manager, "hero", needs, access=write, context=ann)

    def test_nobody_is_told_what_to_create(self, manager):
        needs = DependencyRelationshipSpecification_v1.create().traitsData()

        assert [] == related(manager, "hero", needs, access=RelationsAccess.kCreateRelated)


class TestPolicy:
    def policies(self, manager, access):
        return manager.managementPolicy(
            [
                {EntityTrait_v1.kId, LOCATION, "some:other.Trait"},
                set(EdgeRelationshipSpecification_v1.kTraitSet),
                {"some:other.Trait"},
            ],
            access,
            manager.createContext(),
        )

    def test_what_can_be_resolved_is_managed(self, manager):
        [policy, edges, nothing] = self.policies(manager, PolicyAccess.kRead)

        everything = {EntityTrait_v1.kId, LOCATION, "some:other.Trait"}
        assert {ManagedTrait_v1.kId, VERSION, *everything} == policy.traitSet()
        assert {ManagedTrait_v1.kId, RelationshipManagementTrait_v1.kId} == edges.traitSet()
        assert set() == nothing.traitSet()

    @pytest.mark.parametrize("access", [PolicyAccess.kWrite, PolicyAccess.kCreateRelated])
    def test_what_has_a_location_is_published(self, manager, access):
        [policy, _, nothing] = self.policies(manager, access)

        everything = {EntityTrait_v1.kId, LOCATION, "some:other.Trait"}
        assert {ManagedTrait_v1.kId, VERSION, *everything} == policy.traitSet()
        assert set() == nothing.traitSet()

    def test_publishing_needs_a_location_which_the_manager_gives(self, manager):
        [required, *_] = self.policies(manager, PolicyAccess.kRequired)
        [driven, *_] = self.policies(manager, PolicyAccess.kManagerDriven)

        assert {LOCATION} == required.traitSet()
        assert {ManagedTrait_v1.kId, LOCATION} == driven.traitSet()

    def test_a_policy_says_what_narrows_a_relationship_down(self, manager):
        [_, edges, _] = self.policies(manager, PolicyAccess.kRead)

        management = RelationshipManagementTrait_v1(edges)
        assert ["strong", "weak", "reference"] == json.loads(management.getStrengths())
        assert {"kind", "strength", "purpose"} < set(json.loads(management.getFilters()))


class TestSettings:
    def test_the_catalogue_is_by_default_that_of_the_settings(self, tmp_path, monkeypatch):
        monkeypatch.setenv("BIFROST_CATALOGUE__URL", f"sqlite:///{tmp_path}/from_env.sqlite")
        manager = hostApi.Manager(BifrostManagerInterface(), host_session())
        manager.initialize({})

        assert f"sqlite:///{tmp_path}/from_env.sqlite" == manager.settings()["catalogue_url"]
        assert not (tmp_path / "from_env.sqlite").exists()

    def test_settings_that_change_are_in_force_at_once(self, manager, tmp_path):
        assert ["3"] == tags(resolved(manager, ["hero"]))
        manager.initialize({"catalogue_url": f"sqlite:///{tmp_path}/empty.sqlite"})

        assert Code.kEntityResolutionError == resolved(manager, ["hero"])[0][0]

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"catalogue_url": 3}, "catalogue_url: expected str, got 3"),
            (
                {"catalogue_url": "/c.sqlite"},
                r"expected sqlite:///<path of a file>.*, got '/c.sqlite'",
            ),
            ({"lock_timeout_s": "soon"}, "lock_timeout_s: expected float, got 'soon'"),
            ({"lock_timeout_s": True}, "lock_timeout_s: expected float, got True"),
            ({"lock_timeout_s": -1}, "lock_timeout_s: expected seconds from 0 up, got -1.0"),
            ({"statement_timeout_s": float("nan")}, "statement_timeout_s: expected seconds"),
            ({"store": 3}, "store: expected str, got 3"),
            ({"store": "a\0b"}, "store: expected a folder's path"),
            ({"workflow": "wip"}, "workflow: expected '<stage> > <stage> <stage>"),
            ({"catalog_url": "x"}, "catalog_url: no such setting; there are catalogue_url"),
        ],
    )
    def test_a_bad_setting_is_named_and_changes_nothing(self, manager, settings, message):
        before = manager.settings()

        with pytest.raises(errors.ConfigurationException, match=message):
            manager.initialize(settings)

        assert before == manager.settings()

    def test_unreadable_settings_name_the_key(self, monkeypatch):
        monkeypatch.setenv("BIFROST_CATALOGUE__LOCK_TIMEOUT_S", "soon")
        manager = hostApi.Manager(BifrostManagerInterface(), host_session())

        with pytest.raises(errors.ConfigurationException, match=r"catalogue\.lock_timeout_s.*soon"):
            manager.initialize({})


class TestOutage:
    def test_a_bad_catalogue_fails_the_batch_with_its_reason(self, tmp_path):
        (tmp_path / "notes.txt").write_text("not a database" * 100)
        manager = manager_over(f"sqlite:///{tmp_path / 'notes.txt'}")

        with pytest.raises(errors.OpenAssetIOException, match=r"notes\.txt: not a catalogue"):
            resolved(manager, ["hero"])

    def test_a_catalogue_that_was_locked_answers_once_it_is_not(self, tmp_path):
        holder = driver().connect(tmp_path / "c.sqlite", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        manager = manager_over(f"sqlite:///{tmp_path / 'c.sqlite'}", lock_timeout_s=0.05)

        with pytest.raises(errors.OpenAssetIOException, match="locked"):
            resolved(manager, ["hero"])
        holder.close()

        assert Code.kEntityResolutionError == resolved(manager, ["hero"])[0][0]


class TestSubclass:
    def test_resolve_and_info_may_be_overridden(self, manager):
        class Studio(BifrostManagerInterface):
            def info(self):
                return {**super().info(), "studio": "ours"}

            def resolve(self, references, traits, *others):
                *others, success, error = others

                def louder(index, data):
                    data.setTraitProperty(NAME, "name", "LOUD")
                    success(index, data)

                super().resolve(references, traits, *others, louder, error)

        studio = manager_over(manager.settings()["catalogue_url"], Studio())

        assert {"studio": "ours", **manager.info()} == studio.info()
        [data] = resolved(studio, ["hero"], {NAME})
        assert "LOUD" == data.getTraitProperty(NAME, "name")


class TestThreads:
    def test_eight_threads_each_get_their_own_answers(self, manager):
        ready = threading.Barrier(8)
        asked = ["hero?version=1", "hero?version=2", "hero", "villain"]

        def work(thread):
            mine = asked[thread % 4 :] + asked[: thread % 4]
            ready.wait()
            for _ in range(20):
                results = resolved(manager, mine)
                got = [r if isinstance(r, tuple) else tags([r])[0] for r in results]
                expected = {"hero?version=1": "1", "hero?version=2": "2", "hero": "3"}
                if any(expected.get(a, got[i]) != got[i] for i, a in enumerate(mine)):
                    return got
            return None

        with ThreadPoolExecutor(8) as threads:
            assert [None] * 8 == list(threads.map(work, range(8)))

    def test_the_first_question_may_come_from_eight_threads(self, manager):
        fresh = manager_over(manager.settings()["catalogue_url"])
        ready = threading.Barrier(8)

        def work(_thread):
            ready.wait()
            return tags(resolved(fresh, ["hero"]))

        with ThreadPoolExecutor(8) as threads:
            assert [["3"]] * 8 == list(threads.map(work, range(8)))


class TestPlugin:
    def test_the_entry_points_module_is_cheap_and_names_the_manager(self):
        script = (
            "import sys, bifrost.plugin as module\n"
            "assert 'org.bifrost.assetmanager' == module.openassetioPlugin.identifier()\n"
            "assert not {'bifrost.manager', 'sqlalchemy'} & set(sys.modules)\n"
            "interface = module.openassetioPlugin.interface()\n"
            "assert 'org.bifrost.assetmanager' == interface.identifier()\n"
            "assert 'sqlalchemy' not in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def _raise_key_error(_index, _data):
    raise KeyError("the host's own")
