# SPDX-License-Identifier: Apache-2.0
"""What changes an asset without making a version: metadata, workflow, deprecation, deletion, access."""

from __future__ import annotations

import pytest

from bifrost.catalogue import (
    Catalogue,
    Dependency,
    NoSuchAsset,
    NoSuchVersion,
    Publication,
    Refused,
    VersionPolicy,
    VersionRecord,
)
from bifrost.catalogue.access import ACTIONS, Rule
from bifrost.catalogue.status import Workflow
from bifrost.context import Context
from bifrost.errors import (
    AssetNotFoundException,
    Code,
    ConfigurationError,
    ConflictException,
    InvalidTraitsException,
    PermissionDeniedException,
)
from bifrost.host import BifrostHostInterface
from bifrost.publishing import Draft, Publisher
from bifrost.session import Session
from bifrost.settings import load

ROCK = "bifrost:///assets/rock"


class Clock:
    """A clock that moves a second with each look."""

    now = 1_700_000_000.0

    def __call__(self):
        self.now += 1.0
        return self.now


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    with Catalogue.open(catalogue_url, store=tmp_path / "store", clock=Clock()) as catalogue:
        yield catalogue


def version_of(asset_id="rock", checksum="1", *needs):
    edges = [Dependency(need) for need in needs]
    return Publication(asset_id, asset_id.title(), "model", "", checksum, dependencies=edges)


@pytest.fixture
def rock(catalogue):
    """An asset of three versions."""
    for checksum in "123":
        catalogue.publish([version_of(checksum=checksum)])
    return "rock"


class TestMetadata:
    def test_keys_are_set_one_by_one_and_none_removes(self, catalogue, rock):
        catalogue.set_metadata(rock, {"a": 1, "tags": ["grey"]})

        after = catalogue.set_metadata(rock, {"a": None, "b": {"c": "✓"}})

        assert {"tags": ["grey"], "b": {"c": "✓"}} == after
        assert after == catalogue.found([rock])[rock].metadata

    def test_with_replace_nothing_else_stays(self, catalogue, rock):
        catalogue.set_metadata(rock, {"a": 1})

        assert {"b": 2} == catalogue.set_metadata(rock, {"b": 2}, replace=True)

    def test_it_counts_as_a_change_of_the_asset_and_makes_no_version(self, catalogue, rock):
        before, number = catalogue.found([rock])[rock], catalogue.change_number()
        catalogue.set_metadata(rock, {"a": 1})
        after = catalogue.found([rock])[rock]

        assert before.modified_us < after.modified_us
        assert 3 == after.latest_version
        assert {rock} == catalogue.changed_since(number)

    def test_an_unknown_asset_is_not_found_with_suggestions(self, catalogue, rock):
        with pytest.raises(AssetNotFoundException) as raised:
            catalogue.set_metadata("rok", {"a": 1})

        assert [ROCK] == raised.value.suggestions


class TestWorkflow:
    def test_a_version_begins_at_the_first_stage(self, catalogue, rock):
        status = catalogue.status_of(rock, 3)

        assert ("wip", ("review",), ()) == status
        assert "wip" == catalogue.found([rock])[rock].status

    def test_moves_are_remembered_with_who_when_and_why(self, catalogue, rock):
        catalogue.set_status(rock, None, "review", user="ann", reason="done, I think")
        after = catalogue.set_status(rock, "3", "approved", user="ben")

        assert ("approved", ("review", "retired")) == after[:2]
        assert [
            ("wip", "review", "ann", "done, I think"),
            ("review", "approved", "ben", ""),
        ] == [(move.before, move.status, move.by, move.reason) for move in after.history]
        first, second = (move.at_us for move in after.history)
        assert first < second
        assert after == catalogue.status_of(rock, 3)

    def test_the_asset_has_the_status_of_its_newest_version(self, catalogue, rock):
        catalogue.set_status(rock, "2", "review")
        assert "wip" == catalogue.found([rock])[rock].status

        catalogue.set_status(rock, "latest", "review")
        assert "review" == catalogue.found([rock])[rock].status

        catalogue.publish([version_of(checksum="4")])
        assert "wip" == catalogue.found([rock])[rock].status

    def test_a_move_to_where_it_is_is_none(self, catalogue, rock):
        number = catalogue.change_number()

        assert () == catalogue.set_status(rock, None, "wip").history
        assert number == catalogue.change_number()

    @pytest.mark.parametrize(
        ("stage", "message"),
        [
            ("approved", "from 'wip' it can go to review, not to 'approved'"),
            ("aproved", "there is no stage 'aproved'; there are wip, review, rejected, "),
            ("", "there is no stage ''"),
            ("x" * 1_000_000, "there is no stage 'xxx"),
        ],
    )
    def test_a_move_that_there_is_not_is_a_conflict(self, catalogue, rock, stage, message):
        with pytest.raises(ConflictException, match=message) as raised:
            catalogue.set_status(rock, None, stage)

        assert len(raised.value.message) < 1000
        assert ("wip", ()) == catalogue.status_of(rock, 3)[::2]

    def test_the_last_stage_leads_nowhere(self, catalogue_url):
        with Catalogue.open(catalogue_url, workflow="a > b") as catalogue:
            catalogue.publish([version_of()])
            catalogue.set_status("rock", None, "b")
            with pytest.raises(ConflictException, match="it can go to nowhere, not to 'a'"):
                catalogue.set_status("rock", None, "a")

    @pytest.mark.parametrize(("asset_id", "version"), [("none", None), ("rock", "9")])
    def test_what_is_not_there_is_not_found(self, catalogue, rock, asset_id, version):
        with pytest.raises(AssetNotFoundException) as raised:
            catalogue.set_status(asset_id, version, "review")

        assert Code.NOT_FOUND == raised.value.code

    @pytest.mark.parametrize("reason", ["a\0b", "x" * 20_000, 7])
    def test_a_reason_that_can_not_be_stored_moves_nothing(self, catalogue, rock, reason):
        with pytest.raises(InvalidTraitsException):
            catalogue.set_status(rock, None, "review", reason=reason)

        assert "wip" == catalogue.status_of(rock, 3).status

    @pytest.mark.parametrize(
        "text",
        ["a", "a b", "> a", "a > b; a > c", "latest > b", "1 > b", "a > geprüft", "a > b&c", ";"],
    )
    def test_a_workflow_that_describes_none_is_a_configuration_error(self, text):
        with pytest.raises(ConfigurationError, match=r"^catalogue\.workflow: "):
            Workflow.parse(text)


class TestTags:
    def test_a_reference_by_status_is_the_newest_version_that_has_it(self, catalogue, rock):
        for number in "12":
            for stage in ("review", "approved"):
                catalogue.set_status(rock, number, stage)

        [found] = catalogue.resolve([(rock, "approved")])
        assert 2 == found.number

        catalogue.set_status(rock, "2", "retired")
        [found] = catalogue.resolve([(rock, "approved")])
        assert 1 == found.number

    def test_a_policy_by_status_is_what_floating_references_mean(self, catalogue, rock):
        policy = VersionPolicy("approved")
        before = catalogue.resolve([(rock, None), (rock, "latest")], policy)
        for stage in ("review", "approved"):
            catalogue.set_status(rock, "2", stage)
        after = catalogue.resolve([(rock, None), (rock, "latest"), (rock, "1")], policy)

        assert isinstance(before[0], NoSuchVersion)
        assert "no version 'approved'" in before[0].message
        assert [2, 3, 1] == [found.number for found in after]
        assert 3 == before[1].number


class TestDeprecation:
    def test_it_is_seen_resolves_as_before_and_can_be_undone(self, catalogue, rock):
        number = catalogue.change_number()
        catalogue.set_deprecated(rock, True)
        catalogue.set_deprecated(rock, True)

        assert catalogue.found([rock])[rock].deprecated
        assert number + 1 == catalogue.change_number()
        assert isinstance(catalogue.resolve([(rock, None)])[0], VersionRecord)
        catalogue.publish([version_of(checksum="4")])
        assert catalogue.found([rock])[rock].deprecated

        catalogue.set_deprecated(rock, False)
        assert not catalogue.found([rock])[rock].deprecated

    def test_an_unknown_asset_is_not_found(self, catalogue):
        with pytest.raises(AssetNotFoundException):
            catalogue.set_deprecated("none", True)


class TestDeletion:
    def test_what_another_needs_is_refused_and_who_needs_it_is_named(self, catalogue, rock):
        catalogue.publish([version_of("shot", "1", rock)])
        catalogue.publish([version_of("shot", "2")])

        with pytest.raises(ConflictException, match="is needed by shot: deprecate it"):
            catalogue.delete(rock)

        assert 3 == len(catalogue.versions(rock))
        catalogue.delete("shot")
        catalogue.delete(rock)
        assert [] == catalogue.assets()

    def test_many_that_need_it_are_not_all_named(self, catalogue, rock):
        catalogue.publish([version_of(f"shot{n}", "1", rock) for n in range(9)])

        with pytest.raises(ConflictException, match=r"shot0, shot1, shot2, shot3, shot4, …:"):
            catalogue.delete(rock)

    def test_an_asset_that_needs_itself_can_go(self, catalogue, rock):
        catalogue.publish([version_of(rock, "4", rock)])

        catalogue.delete(rock)

        assert isinstance(catalogue.resolve([(rock, None)])[0], NoSuchAsset)

    def test_everything_of_it_goes_and_numbers_are_never_used_again(self, catalogue, tmp_path):
        path = tmp_path / "rock.txt"
        publisher = Publisher(catalogue, validators={}, actions={})
        for text in "ab":
            path.write_text(text)
            publisher.publish([Draft("rock", "Rock", "model", str(path), metadata={"a": 1})])
        catalogue.put_representation(
            "rock", 2, "thumbnail", b"png", suffix=".png", mime_type="image/png"
        )
        catalogue.set_status("rock", None, "review")
        number = catalogue.change_number()

        catalogue.delete("rock", user="ann")

        assert [] == [each for each in catalogue.store.root.rglob("*") if each.is_file()]
        assert {"rock"} == catalogue.changed_since(number)
        assert isinstance(catalogue.resolve([("rock", "1")])[0], NoSuchAsset)
        assert [] == catalogue.check()

        made = publisher.publish([Draft("rock", "Rock", "model", str(path), expected_version=0)])
        assert (f"{ROCK}?version=3",) == made.results
        assert {} == catalogue.found(["rock"])["rock"].metadata
        assert ("wip", ()) == catalogue.status_of("rock", 3)[::2]
        catalogue.delete("rock")
        assert (f"{ROCK}?version=4",) == publisher.publish(
            [Draft("rock", "Rock", "model", str(path))]
        ).results
        assert [] == catalogue.check()

    def test_an_unknown_asset_is_not_found(self, catalogue, rock):
        catalogue.delete(rock)

        with pytest.raises(AssetNotFoundException):
            catalogue.delete(rock)


class TestAccess:
    def test_everything_is_open_until_a_rule_covers_it(self, catalogue, rock):
        assert dict.fromkeys(ACTIONS, True) == catalogue.permissions("", rock)

        catalogue.allow([Rule(rock, action, "ann") for action in ACTIONS])

        assert dict.fromkeys(ACTIONS, True) == catalogue.permissions("ann", rock)
        assert dict.fromkeys(ACTIONS, False) == catalogue.permissions("ben", rock)
        assert dict.fromkeys(ACTIONS, False) == catalogue.permissions("", rock)
        assert dict.fromkeys(ACTIONS, True) == catalogue.permissions("ben", "stone")

    def test_a_star_covers_what_begins_so_and_admits_who_says_who_they_are(self, catalogue):
        catalogue.allow([Rule("prop_*", "read", "*"), Rule("prop_a", "read", "ann")])
        asked = ["prop_a", "prop_", "prop", "Prop_a", "%"]

        assert [True] * 5 == catalogue.permitted("ben", asked, "read")
        assert [False, False, True, True, True] == catalogue.permitted("", asked, "read")
        assert [True] * 5 == catalogue.permitted("", asked, "write")

    def test_a_rule_is_there_once_and_can_be_taken_away(self, catalogue):
        rule = Rule("rock", "read", "ann")
        number = catalogue.change_number()
        catalogue.allow([rule, rule], user="root")
        catalogue.allow([rule])

        assert [rule] == catalogue.rules()
        assert number < catalogue.change_number()
        assert 1 == catalogue.disallow([rule, Rule("rock", "read", "ben")])
        assert [] == catalogue.rules()

    def test_what_may_not_be_read_is_refused_and_the_rest_is_answered(self, catalogue, rock):
        catalogue.publish([version_of("stone")])
        catalogue.allow([Rule(rock, "read", "ann"), Rule("none", "read", "ann")])
        asked = [("stone", None), (rock, None), (rock, "1"), ("none", None)]

        found = catalogue.resolve(asked, user="ben")

        assert [VersionRecord, Refused, Refused, Refused] == [type(each) for each in found]
        assert (rock, "read", "ben") == found[1]
        assert [VersionRecord] * 3 == [type(each) for each in catalogue.resolve(asked)[:3]]
        assert [VersionRecord] * 3 == [
            type(each) for each in catalogue.resolve(asked, user="ann")[:3]
        ]

    @pytest.mark.parametrize(
        ("action", "call"),
        [
            ("publish", lambda c, user: c.publish([version_of(checksum="9")], user=user)),
            ("write", lambda c, user: c.set_metadata("rock", {"a": 1}, user=user)),
            ("write", lambda c, user: c.set_deprecated("rock", True, user=user)),
            ("approve", lambda c, user: c.set_status("rock", None, "review", user=user)),
            ("delete", lambda c, user: c.delete("rock", user=user)),
        ],
        ids=["publish", "metadata", "deprecate", "status", "delete"],
    )
    def test_who_may_not_changes_nothing(self, catalogue, rock, action, call):
        catalogue.allow([Rule("ro*", action, "ann")])
        number = catalogue.change_number()

        for user in ("ben", ""):
            with pytest.raises(PermissionDeniedException, match=f"'{action}' on asset 'rock'") as e:
                call(catalogue, user)
            assert action == e.value.required_permission
            assert ROCK == e.value.asset_uri
        assert number == catalogue.change_number()

        call(catalogue, "ann")
        assert number < catalogue.change_number()


class TestThroughTheHost:
    """The caches of the session answer anew behind every change."""

    @pytest.fixture
    def host(self, catalogue_url, tmp_path, monkeypatch):
        monkeypatch.setenv("BIFROST_CATALOGUE__URL", catalogue_url)
        monkeypatch.setenv("BIFROST_CATALOGUE__STORE", str(tmp_path / "store"))
        session = Session(load())
        path = tmp_path / "rock.txt"
        publisher = Publisher(session.catalogue, validators={}, actions={})
        for text in "abc":
            path.write_text(text)
            publisher.publish([Draft("rock", "Rock", "model", str(path))])
        yield BifrostHostInterface(session)
        session.close()

    def found(self, host, reference):
        [found] = host.session.resolve([reference]).outcomes
        return getattr(found, "version", None)

    def test_a_status_moves_what_resolves_by_it(self, host):
        approved = f"{ROCK}?version=approved"
        assert None is self.found(host, approved)

        for number in (1, 2):
            host.set_status(f"{ROCK}?version={number}", "review", reason="look")
            host.set_status(f"{ROCK}?version={number}", "approved")
            assert str(number) == self.found(host, approved)
        host.set_status(f"{ROCK}?version=2", "retired")

        assert "1" == self.found(host, approved)
        assert "retired" == host.get_status(f"{ROCK}?version=2").status
        assert "approved" == host.get_status(approved).status

    def test_what_was_deleted_is_gone_from_the_caches(self, host):
        asked = [ROCK, f"{ROCK}?version=latest", f"{ROCK}?version=1", f"{ROCK}?version=3"]
        assert ["3", "3", "1", "3"] == [self.found(host, each) for each in asked]

        host.delete_asset(ROCK)

        assert [None] * 4 == [self.found(host, each) for each in asked]

    def test_deprecating_and_restoring(self, host):
        host.deprecate(ROCK)
        assert host.session.catalogue.found(["rock"])["rock"].deprecated

        host.restore(ROCK)
        assert not host.session.catalogue.found(["rock"])["rock"].deprecated
        assert "3" == self.found(host, ROCK)

    def test_metadata_and_rules_ask_who_it_is(self, host):
        ann, ben = Context(user="ann"), Context(user="ben")
        host.allow([Rule("rock", "write", "ann")], context=ann)

        assert {"a": 1} == host.set_metadata(ROCK, {"a": 1}, context=ann)
        with pytest.raises(PermissionDeniedException):
            host.set_metadata(ROCK, {"a": 2}, context=ben)
        assert not host.permissions(ROCK, context=ben)["write"]
        assert 1 == host.disallow([Rule("rock", "write", "ann")])
        assert {"a": 2} == host.set_metadata(ROCK, {"a": 2}, context=ben)
