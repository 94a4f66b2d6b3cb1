# SPDX-License-Identifier: Apache-2.0
"""Who may ask our manager what, when people must prove who they are; and whose work it is for."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

import jwt
import pytest
from openassetio import EntityReference, errors
from openassetio.access import (
    EntityTraitsAccess,
    PublishingAccess,
    RelationsAccess,
    ResolveAccess,
)
from openassetio.errors import BatchElementError
from openassetio.trait import TraitsData
from openassetio_mediacreation.traits.auth import BearerTokenTrait_v1

from bifrost.catalogue import Catalogue, Dependency, Publication
from bifrost.catalogue.access import Rule
from bifrost.manager import vocabulary as v
from bifrost.model.permissions import required_permission_in
from bifrost.traits.generated.specifications.relationship import (
    DependencyRelationshipSpecification_v1,
)

sys.path.insert(0, str(Path(__file__).parent))
from asking import manager_over, ref, related, resolved, under

Code = BatchElementError.ErrorCode
SECRET = "an example of a secret, long enough"
PLANTED = "pl4nted-signature"


@pytest.fixture
def catalogue(catalogue_url, tmp_path):
    """`hero` of project x, which needs `skin`; `prop` of project y; a `skin` of everybody's."""
    with Catalogue.open(catalogue_url, store=tmp_path / "store") as opened:
        opened.publish(
            [
                version_of("skin"),
                version_of("prop", {"project": "y"}),
                version_of("hero", {"project": "x", "displayNames": {"de": "Held"}}, "skin"),
                version_of("x:skin"),
            ]
        )
        yield opened


def version_of(asset_id, metadata=None, *needed):
    dependencies = [Dependency(each, None, "texture") for each in needed]
    return Publication(
        asset_id, asset_id.title(), "model", f"/show/{asset_id}.usd", "1",
        dependencies=dependencies, asset_metadata=metadata or {},
    )  # fmt: skip


@pytest.fixture
def access(tmp_path):
    """The settings of tokens that are required."""
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text(SECRET, encoding="ascii")
    return {"tokens": "required", "algorithms": "HS256", "key_file": str(path)}


@pytest.fixture
def manager(catalogue, catalogue_url, tmp_path, access):
    return manager_over(catalogue_url, store=str(tmp_path / "store"), **access)


def token(*roles, secret=SECRET, **claims):
    claims = {"sub": "ann", "exp": time.time() + 600, "roles": list(roles), **claims}
    return jwt.encode(claims, secret, algorithm="HS256")


def with_token(manager, text, **policy):
    """Return a context whose locale has the token, and says *policy*."""
    context = under(manager, **policy) if policy else manager.createContext()
    context.locale = context.locale or TraitsData()
    BearerTokenTrait_v1(context.locale).setToken(text)
    return context


def outcomes(count, call):
    """Return what *call* makes of each element: an answer, or (code, message)."""
    results = [None] * count
    call(
        results.__setitem__,
        lambda index, error: results.__setitem__(index, (error.code, error.message)),
    )
    return results


def _traits(access):
    def call(manager, refs, context):
        return outcomes(
            len(refs), lambda ok, failed: manager.entityTraits(refs, access, context, ok, failed)
        )

    return call


def _resolve(access, traits=frozenset({v.LOCATION})):
    def call(manager, refs, context):
        return outcomes(
            len(refs),
            lambda ok, failed: manager.resolve(refs, set(traits), access, context, ok, failed),
        )

    return call


def _exists(manager, refs, context):
    return outcomes(len(refs), lambda ok, failed: manager.entityExists(refs, context, ok, failed))


def _relationship(manager, refs, context):
    relationship = DependencyRelationshipSpecification_v1.create().traitsData()
    return outcomes(
        len(refs),
        lambda ok, failed: manager.getWithRelationship(
            refs, relationship, 10, RelationsAccess.kRead, context, ok, failed, set()
        ),
    )


def _relationships(manager, refs, context):
    relationship = DependencyRelationshipSpecification_v1.create().traitsData()
    return outcomes(
        2,
        lambda ok, failed: manager.getWithRelationships(
            refs[0], [relationship] * 2, 10, RelationsAccess.kRead, context, ok, failed, set()
        ),
    )


def _preflight(manager, refs, context):
    hints = [TraitsData({v.LOCATION})] * len(refs)
    return outcomes(
        len(refs),
        lambda ok, failed: manager.preflight(
            refs, hints, PublishingAccess.kWrite, context, ok, failed
        ),
    )


def _register(manager, refs, context):
    data = TraitsData()
    data.setTraitProperty(v.LOCATION, "location", "file:///no/such/file")
    return outcomes(
        len(refs),
        lambda ok, failed: manager.register(
            refs, [data] * len(refs), PublishingAccess.kWrite, context, ok, failed
        ),
    )


# Every call, and the permission that it needs.
CALLS = {
    "entityExists": ("resolve", _exists),
    "entityTraits": ("read", _traits(EntityTraitsAccess.kRead)),
    "entityTraits to publish": ("publish", _traits(EntityTraitsAccess.kWrite)),
    "resolve": ("resolve", _resolve(ResolveAccess.kRead)),
    "resolve where to write": ("publish", _resolve(ResolveAccess.kManagerDriven)),
    "getWithRelationship": ("read", _relationship),
    "getWithRelationships": ("read", _relationships),
    "preflight": ("publish", _preflight),
    "register": ("publish", _register),
}
EACH_CALL = pytest.mark.parametrize(
    ("permission", "call"), [pytest.param(*case, id=name) for name, case in CALLS.items()]
)


class TestTokens:
    @EACH_CALL
    @pytest.mark.parametrize(
        ("bad", "why"),
        [
            (lambda: None, "an access token is required, and there is none"),
            (lambda: "", "an access token is required, and there is none"),
            (lambda: "garbage", "it is no signed JSON Web Token"),
            (lambda: token("admin", exp=time.time() - 60), "it expired 60 s ago"),
            (lambda: token("admin", nbf=time.time() + 99), "it is not yet valid"),
            (lambda: token("admin", aud="other"), "for somebody else"),
            (lambda: token("admin", secret="x" * 32), "its signature is not of our key"),
        ],
        ids=["none", "empty", "garbage", "expired", "early", "audience", "key"],
    )
    def test_who_is_not_believed_is_told_why_for_each_element(
        self, manager, permission, call, bad, why
    ):
        """
        Whatever they ask, of what is there and of what isn't, with the permission that it needs.
        """
        text = bad()
        context = manager.createContext() if text is None else with_token(manager, text)

        found = call(manager, [ref("hero"), ref("none")], context)

        assert 2 == len(found)
        for code, message in found:
            assert Code.kAuthError == code
            assert why in message
            assert permission == required_permission_in(message)
            assert not text or text not in message

    @EACH_CALL
    def test_who_has_the_permission_gets_in(self, manager, permission, call):
        """
        That one is enough.
        """
        found = call(manager, [ref("hero")], with_token(manager, token(permission)))

        assert Code.kAuthError not in [each[0] for each in found if isinstance(each, tuple)]

    @EACH_CALL
    def test_who_lacks_it_does_not(self, manager, permission, call):
        """
        Not even with every other; existence is denied as that of something that isn't there.
        """
        others = [each for each in ("resolve", "read", "publish", "write") if each != permission]

        found = call(manager, [ref("hero")], with_token(manager, token(*others)))

        if call is _exists:
            assert [False] == found
            return
        for code, message in found:
            assert Code.kAuthError == code
            assert "lacks the permission" in message
            assert permission == required_permission_in(message)

    @pytest.mark.parametrize("mode", ["ignored", "optional"])
    def test_where_tokens_are_not_required_one_is_who_one_says(
        self, catalogue, catalogue_url, access, mode
    ):
        """
        A token that is there is looked at where they are optional.
        """
        catalogue.allow([Rule("hero", "read", "ben")])
        manager = manager_over(catalogue_url, **{**access, "tokens": mode})

        [found] = resolved(manager, ["hero"], context=under(manager, user="ben"))
        [refused] = resolved(manager, ["hero"])
        [forged] = resolved(manager, ["hero"], context=with_token(manager, "x.y.z", user="ben"))

        assert {v.VERSION} == found.traitSet()
        assert (Code.kAuthError, "read") == (refused[0], required_permission_in(refused[1]))
        assert ("token" in str(forged)) == (mode == "optional")

    def test_a_token_says_who_it_is_whatever_the_locale_says(self, catalogue, manager):
        """
        Nobody is somebody else.
        """
        catalogue.allow([Rule("hero", "resolve", "ben")])
        context = with_token(manager, token("admin"), user="ben")

        [(code, message)] = resolved(manager, ["hero"], context=context)

        assert Code.kAuthError == code
        assert "user 'ann' lacks the permission 'resolve' on asset 'hero'" in message

    def test_what_is_published_is_published_by_whom_the_token_names(
        self, catalogue, manager, tmp_path
    ):
        """
        And a role that a rule wants is looked for at every step.
        """
        catalogue.allow([Rule("*", "publish", "role:artist")])
        path = tmp_path / "hero.txt"
        path.write_text("hero")
        context = with_token(manager, token(projects={"x": ["artist"]}), user="eve")
        hint = TraitsData({v.LOCATION})
        working = manager.preflight(ref("hero"), hint, PublishingAccess.kWrite, context)
        data = manager.resolve(working, {v.LOCATION}, ResolveAccess.kManagerDriven, context)
        data.setTraitProperty(v.LOCATION, "location", path.as_uri())

        final = manager.register(working, data, PublishingAccess.kWrite, context)

        assert "bifrost:///assets/hero?version=2" == final.toString()
        assert "ann" == catalogue.versions("hero")[0].created_by

    def test_settings_that_can_not_be_are_refused_and_change_nothing(self, manager, access):
        """
        A manager that lets everybody in is worse than one that doesn't start.
        """
        before = manager.settings()
        for wrong in ({"tokens": "yes"}, {"algorithms": "none"}, {"key_file": "/no/such"}):
            with pytest.raises(errors.ConfigurationException, match=r"access\."):
                manager.initialize(wrong)

        assert before == manager.settings()
        assert Code.kAuthError == resolved(manager, ["hero"])[0][0]

    def test_the_settings_of_bifrost_hold_where_a_host_gives_none(
        self, catalogue, catalogue_url, access, monkeypatch
    ):
        """
        A host that knows nothing of tokens doesn't turn them off.
        """
        for key, value in access.items():
            monkeypatch.setenv(f"BIFROST_ACCESS__{key.upper()}", value)

        manager = manager_over(catalogue_url)

        assert Code.kAuthError == resolved(manager, ["hero"])[0][0]


class TestGrants:
    def test_a_batch_is_refused_element_by_element(self, manager):
        """
        Assets of another project; what else there is of it, nobody learns.
        """
        context = with_token(manager, token(projects={"x": ["viewer"]}))

        hero, prop, skin, none = resolved(
            manager, ["hero", "prop", "skin", "none"], context=context
        )

        assert {v.VERSION} == hero.traitSet() == skin.traitSet()
        assert Code.kAuthError == prop[0]
        expected = "user 'ann' lacks the permission 'resolve' on asset 'prop' [permission=resolve]"
        assert expected == prop[1]
        assert Code.kEntityResolutionError == none[0]

    def test_a_renderer_finds_files_and_nothing_else(self, manager):
        """
        `resolve` is for the file, `read` for everything else.
        """
        context = with_token(manager, token("resolve"))
        of_the_file = {v.ENTITY, v.LOCATION, v.VERSION, v.NAME, v.ORIGINAL}

        [found] = resolved(manager, ["hero"], of_the_file, context)
        [refused] = resolved(manager, ["hero"], of_the_file | {v.METADATA}, context)

        assert of_the_file == found.traitSet()
        assert "read" == required_permission_in(refused[1])

    def test_permissions_are_those_that_were_proved(self, manager):
        """
        What a host shows as possible is possible.
        """
        for grants, expected in (
            ({"roles": ["viewer"]}, {"read"}),
            ({"roles": [], "projects": {"x": ["lead"], "y": ["admin"]}},
             {"read", "write", "publish", "approve", "relate"}),
        ):  # fmt: skip
            context = with_token(manager, token(**grants))
            [data] = resolved(manager, ["hero"], {v.PERMISSIONS, v.STAGE}, context)

            keys = data.traitPropertyKeys(v.PERMISSIONS)
            assert expected == {key for key in keys if data.getTraitProperty(v.PERMISSIONS, key)}

    def test_related_assets_are_those_that_one_may_read(self, manager):
        """
        Where their traits are asked for.
        """
        relationship = DependencyRelationshipSpecification_v1.create().traitsData()
        context = with_token(manager, token(projects={"x": ["viewer"]}))

        found = related(manager, "hero", relationship, context=context, result_traits={v.LOCATION})

        assert ["skin"] == found


class TestWork:
    @pytest.fixture
    def manager(self, catalogue, catalogue_url):
        return manager_over(catalogue_url)

    @pytest.mark.parametrize(
        ("project", "expected"),
        [("x", "x:skin"), ("y", "skin"), ("y, x", "x:skin"), ("", "skin")],
    )
    def test_a_projects_own_asset_is_meant_before_the_shared_one(self, manager, project, expected):
        """
        Resolving, existence and traits; the name says which it was.
        """
        context = under(manager, project=project)

        [data] = resolved(manager, ["skin"], {v.NAME, v.LOCATION}, context)

        assert expected == data.getTraitProperty(v.NAME, "qualifiedName")
        assert Path(f"/show/{expected}.usd").as_uri() == data.getTraitProperty(
            v.LOCATION, "location"
        )
        assert [True] == _exists(manager, [ref("skin")], context)

    def test_too_many_projects_are_refused_for_the_whole_batch(self, manager):
        """
        Each is a look-up.
        """
        with pytest.raises(errors.InputValidationException, match="at most 16 projects"):
            resolved(
                manager, ["skin"], context=under(manager, project=",".join("abcdefghijklmnopq"))
            )

    @pytest.mark.parametrize(
        ("locale", "expected"),
        [("de", "Held"), ("de-AT", "Held"), ("fr", "Hero"), ("", "Hero"), ("nonsense!", "Hero")],
    )
    def test_a_name_follows_the_locale(self, manager, locale, expected):
        """
        With the usual fall-back, for pictures of it too; ids stay what they are.
        """
        [data, other] = resolved(manager, ["hero", "skin"], {v.NAME}, under(manager, locale=locale))

        assert expected == data.getTraitProperty(v.NAME, "name")
        assert "hero" == data.getTraitProperty(v.NAME, "qualifiedName")
        assert "Skin" == other.getTraitProperty(v.NAME, "name")


def test_a_planted_token_is_found_nowhere(catalogue_url, tmp_path, access, caplog, capfd):
    """
    Through every call, good and bad: no message, no log, no output, no file, no row.
    """
    caplog.set_level(logging.DEBUG)
    good = token("admin", sub="ann")
    planted = [good, good[:-12] + PLANTED, f"opaque-{PLANTED}"]
    with Catalogue.open(catalogue_url, store=tmp_path / "store") as opened:
        opened.publish([version_of("hero")])
        manager = manager_over(catalogue_url, store=str(tmp_path / "store"), **access)
        shown = []
        for text in planted:
            context = with_token(manager, text, user="ann")
            for _, call in CALLS.values():
                shown += map(repr, call(manager, [ref("hero"), EntityReference("x")], context))
        dumped = dump(opened)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    shown += [caplog.text, *capfd.readouterr(), dumped]
    shown += [path.read_bytes().decode("latin-1") for path in files]
    secrets = [PLANTED, good, *good.split(".")[1:]]
    assert [] == [secret for secret in secrets for text in shown if secret in text]


def dump(catalogue):
    """Every row of every table, as text."""
    import sqlalchemy as sa

    from bifrost.catalogue import schema

    with catalogue._database.read() as connection:
        return repr(
            [list(connection.execute(sa.select(table))) for table in schema.metadata.sorted_tables]
        )
