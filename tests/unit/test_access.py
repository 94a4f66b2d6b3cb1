# SPDX-License-Identifier: Apache-2.0
"""Who may do what: rules and grants, projects, and what a refusal says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifrost.catalogue import Catalogue, Publication, Refused, VersionRecord
from bifrost.catalogue.access import ACTIONS, Rule
from bifrost.errors import InvalidTraitsException, PermissionDeniedException
from bifrost.model.permissions import (
    PERMISSIONS,
    ROLES,
    Principal,
    naming_permission,
    permissions_of,
    required_permission_in,
)
from bifrost.publishing import Draft, Publisher

VIEWER = Principal.of("vic", roles=["viewer"])
ARTIST = Principal.of("ann", roles=["artist"])
LEAD = Principal.of("leo", roles=["lead"])
ADMIN = Principal.of("ada", roles=["admin"])
OF_X = Principal.of("xan", projects={"x": ["artist"]})
OF_X_AND_Y = Principal.of("xy", projects={"x": ["lead"], "y": ["viewer"]})
NOBODY = Principal("nob")


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    """`shared`, and an asset each of the projects x, y, both, and of one that nobody can be in."""
    with Catalogue.open(catalogue_url, store=tmp_path / "store") as opened:
        projects = {
            "of_x": "x",
            "of_y": "y",
            "of_both": ["x", "y"],
            "odd": {"name": "x"},
            "void": "",
        }
        opened.publish(
            [version_of(name, {"project": project}) for name, project in projects.items()]
        )
        opened.publish([version_of("shared")])
        yield opened


def version_of(asset_id, metadata=None, checksum="1"):
    return Publication(
        asset_id,
        asset_id,
        "model",
        f"/show/{asset_id}.usd",
        checksum,
        asset_metadata=metadata or {},
    )


def may(catalogue, user, action):
    ids = sorted(EVERYTHING)
    return {
        each for each, yes in zip(ids, catalogue.permitted(user, ids, action), strict=True) if yes
    }


EVERYTHING = {"shared", "void", "of_x", "of_y", "of_both", "odd"}


class TestRoles:
    @pytest.mark.parametrize(
        ("principal", "expected"),
        [
            (VIEWER, {"resolve", "read"}),
            (ARTIST, {"resolve", "read", "publish", "write", "relate"}),
            (LEAD, {"resolve", "read", "publish", "write", "relate", "approve"}),
            (ADMIN, set(PERMISSIONS)),
            (NOBODY, set()),
            (Principal.of("r", roles=["resolve"]), {"resolve"}),
            (Principal.of("d", roles=["viewer", "delete"]), {"resolve", "read", "delete"}),
            (Principal.of("s", roles=["supervisor", "ADMIN", "", "role:admin"]), set()),
        ],
    )
    def test_a_role_is_a_set_of_permissions(self, catalogue, principal, expected):
        """
        A name that is none grants nothing; one that is a permission's is that one.
        """
        allowed = catalogue.permissions(principal, "shared")

        assert expected == {action for action, may_do in allowed.items() if may_do}
        assert expected == permissions_of(principal.roles)

    def test_every_permission_is_a_role_and_an_action(self):
        """
        One closed list.
        """
        assert PERMISSIONS == ACTIONS
        assert set(PERMISSIONS) <= set(ROLES)

    def test_who_proves_nothing_needs_no_grants(self, catalogue):
        """
        Whether that is enough, the settings decide before anybody asks here.
        """
        assert EVERYTHING == may(catalogue, "ann", "delete") == may(catalogue, "", "delete")


class TestProjects:
    @pytest.mark.parametrize(
        ("user", "action", "expected"),
        [
            (OF_X, "publish", {"shared", "void", "of_x", "of_both"}),
            (OF_X, "approve", set()),
            (OF_X_AND_Y, "approve", {"shared", "void", "of_x", "of_both"}),
            (OF_X_AND_Y, "read", {"shared", "void", "of_x", "of_y", "of_both"}),
            (OF_X_AND_Y, "publish", {"shared", "void", "of_x", "of_both"}),
            (ARTIST, "publish", EVERYTHING),
            (NOBODY, "read", set()),
            (Principal.of("o", projects={"": ["admin"], "name": ["admin"]}), "read", {"shared", "void"}),
        ],
    )  # fmt: skip
    def test_a_grant_is_for_its_project_and_for_what_is_of_none(
        self, catalogue, user, action, expected
    ):
        """
        A project that is no text is nobody's, but for those who may everywhere.
        """
        assert expected == may(catalogue, user, action)

    def test_batches_are_refused_element_by_element(self, catalogue):
        """
        In order, with the permission that is missing, and no word of why.
        """
        asked = [("of_y", None), ("of_x", "1"), ("shared", None), ("none", None), ("of_y", "1")]

        found = catalogue.resolve(asked, user=OF_X)

        refused = Refused("of_y", "resolve", "xan")
        assert [refused, refused] == [found[0], found[4]]
        assert ["of_x", "shared", "none"] == [each.asset_id for each in found[1:4]]
        assert "user 'xan' lacks the permission 'resolve' on asset 'of_y'" == refused.message

    def test_resolving_and_reading_are_two_permissions(self, catalogue):
        """
        A renderer has to find files, and needs to know nothing else.
        """
        renderer = Principal.of("farm", roles=["resolve"])

        [found] = catalogue.resolve([("of_x", None)], user=renderer)
        [refused] = catalogue.resolve([("of_x", None)], user=renderer, actions=("resolve", "read"))

        assert isinstance(found, VersionRecord)
        assert ("of_x", "read", "farm") == refused

    @pytest.mark.parametrize(
        "change",
        [
            lambda c, user: c.publish([version_of("of_x", {"project": "y"}, "2")], user=user),
            lambda c, user: c.publish([version_of("new", {"project": "y"})], user=user),
            lambda c, user: c.publish([version_of("new", {"project": ["y", "z"]})], user=user),
            lambda c, user: c.publish([version_of("new", {"project": 5})], user=user),
            lambda c, user: c.publish(
                [version_of("a", {"project": "y"}), version_of("a")], user=user
            ),
            lambda c, user: c.set_metadata("of_x", {"project": "y"}, user=user),
            lambda c, user: c.set_metadata("shared", {"project": "y"}, user=user),
            lambda c, user: c.set_metadata("of_y", {"project": "x"}, user=user),
            lambda c, user: c.set_metadata("of_y", {"project": None}, user=user),
            lambda c, user: c.set_metadata("of_y", {}, replace=True, user=user),
        ],
        ids=range(10),
    )
    def test_nothing_is_moved_into_or_out_of_a_project_of_others(self, catalogue, change):
        """
        Who publishes to another project, or takes an asset out of it, needs to be of that one too.
        """
        number = catalogue.change_number()

        with pytest.raises(PermissionDeniedException):
            change(catalogue, OF_X)

        assert number == catalogue.change_number()

    def test_within_ones_own_everything_is_as_ever(self, catalogue):
        """
        A new asset of one's project, of none, one that is taken in, and one that is given away.
        """
        catalogue.publish([version_of("new", {"project": "x"}), version_of("free")], user=OF_X)
        assert {"project": "x"} == catalogue.set_metadata("shared", {"project": "x"}, user=OF_X)
        assert {} == catalogue.set_metadata("of_x", {"project": None}, user=OF_X)

    def test_one_statement_more_for_whom_grants_differ(self, catalogue, statements):
        """
        And none for everybody else, however large the batch.
        """
        asked = [("of_x", None), ("shared", None)] * 500
        counts = []
        for user in ("ann", ARTIST, OF_X):
            statements.clear()
            catalogue.resolve(asked, user=user)
            counts.append(len(statements))

        assert [2, 2, 3] == counts


@pytest.fixture
def statements(catalogue):
    """The statements that were sent to the database since the last `clear`."""
    import sqlalchemy as sa

    seen = []

    def note(connection, cursor, statement, *_):
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            seen.append(statement)

    with catalogue._database.read() as connection:
        engine = connection.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(engine, "before_cursor_execute", note)


class TestRules:
    def test_rules_and_grants_must_both_allow(self, catalogue):
        """
        Neither is a way round the other.
        """
        catalogue.allow([Rule("of_x", "publish", "ann"), Rule("of_x", "publish", "vic")])

        assert "of_x" in may(catalogue, ARTIST, "publish")
        assert set() == may(catalogue, VIEWER, "publish")
        assert EVERYTHING - {"of_x"} == may(catalogue, ADMIN, "publish")
        assert {"shared", "void", "of_both"} == may(catalogue, OF_X, "publish")

    def test_a_rule_may_name_a_role(self, catalogue):
        """
        One that grants nothing by itself, too.
        """
        catalogue.allow([Rule("*", "approve", "role:supervisor")])
        supervisor = Principal.of("sue", roles=["supervisor", "lead"])

        assert EVERYTHING == may(catalogue, supervisor, "approve")
        assert set() == may(catalogue, LEAD, "approve")
        assert set() == may(catalogue, Principal.of("s", roles=["supervisor"]), "approve")

    def test_a_role_counts_where_one_has_it(self, catalogue):
        """
        A lead of project x is none of project y, whatever else they may there.
        """
        catalogue.allow([Rule("*", "publish", "role:lead")])
        user = Principal.of("xy", projects={"x": ["lead"], "y": ["artist"]})

        assert {"shared", "void", "of_x", "of_both"} == may(catalogue, user, "publish")

    @pytest.mark.parametrize(
        "user", ["role:lead", "lead", "*", Principal.of("role:lead", roles=["artist"])]
    )
    def test_nobody_has_a_role_by_calling_themselves_so(self, catalogue, user):
        """
        A role is proved, not said.
        """
        catalogue.allow([Rule("shared", "publish", "role:lead")])

        assert "shared" not in may(catalogue, user, "publish")

    def test_a_rule_about_reading_is_about_resolving_too(self, catalogue):
        """
        As it was before they were two; one about resolving leaves the rest open.
        """
        catalogue.allow([Rule("of_x", "read", "ann"), Rule("of_y", "resolve", "ann")])

        [of_x, of_y] = catalogue.resolve([("of_x", None), ("of_y", None)], user="ben")

        assert [("of_x", "read", "ben"), ("of_y", "resolve", "ben")] == [of_x, of_y]
        assert EVERYTHING - {"of_x"} == may(catalogue, "ben", "read")

    @pytest.mark.parametrize("user", ["role:", ""])
    def test_a_rule_names_somebody(self, catalogue, user):
        """
        Or it would close the asset for everybody, by mistake.
        """
        with pytest.raises(InvalidTraitsException):
            catalogue.allow([Rule("*", "read", user)])

    def test_rules_are_an_admins_to_change(self, catalogue):
        """
        Where people prove who they are.
        """
        rule = Rule("*", "read", "ann")
        for user in (LEAD, OF_X, Principal.of("a", projects={"x": ["admin"]})):
            for change in (catalogue.allow, catalogue.disallow):
                with pytest.raises(PermissionDeniedException, match="'admin'") as caught:
                    change([rule], user=user)
                assert "admin" == caught.value.required_permission

        catalogue.allow([rule], user=ADMIN)
        assert 1 == catalogue.disallow([rule], user=ADMIN)
        catalogue.allow([rule], user="ann")


class TestEveryCall:
    @pytest.mark.parametrize(
        ("action", "call"),
        [
            ("publish", lambda c, user: c.publish([version_of("of_y", None, "9")], user=user)),
            ("publish", lambda c, user: c.check_publications([version_of("of_y")], user=user)),
            ("write", lambda c, user: c.set_metadata("of_y", {"a": 1}, user=user)),
            ("write", lambda c, user: c.set_deprecated("of_y", True, user=user)),
            ("approve", lambda c, user: c.set_status("of_y", None, "review", user=user)),
            ("relate", lambda c, user: c.add_relationship(("of_y", None), ("shared", None), user=user)),
            ("delete", lambda c, user: c.delete("of_y", user=user)),
        ],
        ids=["publish", "check", "metadata", "deprecate", "status", "relate", "delete"],
    )  # fmt: skip
    def test_who_may_not_is_told_what_is_missing_and_changes_nothing(self, catalogue, action, call):
        """
        And who may is written down by their name.
        """
        number = catalogue.change_number()

        with pytest.raises(PermissionDeniedException, match=f"'{action}' on asset 'of_y'") as e:
            call(catalogue, OF_X)
        assert action == e.value.required_permission
        assert "'y'" not in str(e.value)
        assert number == catalogue.change_number()

        call(catalogue, ADMIN)
        if action == "approve":
            assert "ada" == catalogue.status_of("of_y", 1).history[0].by

    @pytest.mark.parametrize(
        ("user", "expected"),
        [
            (OF_X, {"shared", "void", "of_x", "of_both"}),
            (OF_X_AND_Y, EVERYTHING - {"odd"}),
            (VIEWER, EVERYTHING),
            (NOBODY, set()),
            (Principal.of("farm", roles=["resolve"]), set()),
        ],
    )
    @pytest.mark.parametrize(
        "rules",
        [
            [],
            [Rule("of_*", "read", "role:artist"), Rule("of_*", "read", "vic")],
            [Rule("*", "read", "role:viewer"), Rule("of_x", "read", "xan")],
        ],
        ids=["none", "artists", "viewers"],
    )
    def test_a_query_finds_what_one_may_read(self, catalogue, user, expected, rules):
        """
        As the database is asked and as one asset is checked are the same.
        """
        catalogue.allow(rules)

        found = {row["uri"].rpartition("/")[2] for row in catalogue.query({}, user=user)}

        assert may(catalogue, user, "read") == found
        assert found <= expected
        assert rules or expected == found

    def test_a_publish_goes_through_its_stages_as_who_began_it(self, catalogue, tmp_path):
        """
        A role that a rule wants is looked for when it is registered, and when relationships are made.
        """
        catalogue.allow(
            [Rule("*", "publish", "role:artist"), Rule("*", "relate", "role:artist")], user="root"
        )
        path = tmp_path / "rock.txt"
        path.write_text("rock")
        edge = {"to_uri": "bifrost:///assets/shared"}
        draft = Draft("rock", "Rock", "model", str(path), relationships=(edge,))
        publisher = Publisher(catalogue, validators={})

        made = publisher.publish([draft], user=ARTIST)
        assert [] == [each.error for each in made.actions.values() if each.error]
        assert "ann" == catalogue.versions("rock")[0].created_by
        assert ["shared"] == [each.to_id for each in catalogue.relationships_of("rock")]

        path.write_text("stone")
        begun = publisher.draft([draft], user=ARTIST)
        publisher.validate(begun.id)
        for user in (None, VIEWER, "ann"):
            with pytest.raises(PermissionDeniedException):
                publisher.register(begun.id, user=user)
        publisher.resume(begun.id, user=ARTIST)
        assert 2 == len(catalogue.versions("rock"))


@given(st.text(), st.sampled_from(PERMISSIONS))
def test_a_message_gives_its_permission_back(message, permission):
    """
    Whatever else it says, and whatever a manager puts round it.
    """
    named = naming_permission(message, permission)

    assert permission == required_permission_in(named) == required_permission_in(f"m: {named}.")


def test_a_message_without_one_has_none():
    """
    Another manager's, say.
    """
    assert required_permission_in("you may not") is None
    assert required_permission_in("[permission=]") is None
