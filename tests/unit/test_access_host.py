# SPDX-License-Identifier: Apache-2.0
"""The host's calls ask who asks before they tell or change anything."""

from __future__ import annotations

import time

import jwt
import pytest
import sqlalchemy as sa

from bifrost.catalogue.access import Rule
from bifrost.catalogue.schema import assets, relationships
from bifrost.context import Context
from bifrost.errors import AssetNotFoundException, PermissionDeniedException
from bifrost.host import BifrostHostInterface
from bifrost.publishing import Draft
from bifrost.session import Session
from bifrost.settings import AccessSettings, load

KEY = "thirty-two bytes or more of secret"
ROCK = "bifrost:///assets/rock"
TYPO = "bifrost:///assets/stonez"


def somebody(*roles, name="ann", projects=None):
    """The context of who has proved to have *roles*, and others in *projects*."""
    claims = {"sub": name, "exp": time.time() + 600, "roles": roles, "projects": projects or {}}
    return Context(access_token=jwt.encode(claims, KEY, "HS256"))


@pytest.fixture
def host(own_home, tmp_path):
    """A host that lets nobody in without a token, whose catalogue has a rock that needs a stone."""
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    key_file.chmod(0o600)
    access = AccessSettings(tokens="required", algorithms="HS256", key_file=str(key_file))
    session = Session(load()._replace(access=access))
    host = BifrostHostInterface(session)
    for name in ("rock", "stone"):
        file = tmp_path / f"{name}.txt"
        file.write_text(name)
        host.register_asset("model", name, file, context=somebody("artist"))
    host.add_relationship(ROCK, "bifrost:///assets/stone", context=somebody("artist"))
    yield host
    session.close()


@pytest.fixture
def draft(host, tmp_path):
    """A publish that an artist has begun."""
    file = tmp_path / "rock2.txt"
    file.write_text("another rock")
    drafts = [Draft("rock", "rock", "model", str(file))]
    return host.draft_publish(drafts, context=somebody("artist"))


@pytest.mark.parametrize(
    "call",
    [
        lambda host, _: host.resolve_asset_path(ROCK),
        lambda host, _: host.get_entity_info(ROCK),
        lambda host, _: host.get_status(ROCK),
        lambda host, _: host.get_relationships_with_metadata(ROCK),
        lambda host, _: host.get_relationships_with_metadata(f"{ROCK}?version=1"),
        lambda host, _: host.get_relationships_of_assets([ROCK]),
        lambda host, _: host.validate_relationships(),
        lambda host, _: host.graph,
        lambda host, _: host.permissions(ROCK),
        lambda host, _: host.query_assets({}),
        lambda host, _: host.saved_queries(),
        lambda host, _: host.forget_query("monday"),
        lambda host, _: host.publishes(),
        lambda host, draft: host.validate_publish(draft.id),
        lambda host, draft: host.register_publish(draft.id),
        lambda host, draft: host.abort_publish(draft.id),
    ],
)
def test_who_has_no_token_is_told_nothing(host, draft, call):
    """Where tokens are required, every call needs one."""
    with pytest.raises(PermissionDeniedException) as caught:
        call(host, draft)

    assert "missing" == caught.value.details["reason"]


@pytest.mark.parametrize(
    "call",
    [
        lambda host, context: host.get_status(ROCK, context=context),
        lambda host, context: host.get_relationships_with_metadata(ROCK, context=context),
        lambda host, context: host.get_relationships_with_metadata(
            f"{ROCK}?version=1", context=context
        ),
        lambda host, context: host.get_relationships_of_assets([ROCK], context=context),
    ],
)
def test_who_may_only_resolve_sees_nothing_else_of_an_asset(host, call):
    """Statuses and relationships are read, one by one and in batches; a farm need not read."""
    with pytest.raises(PermissionDeniedException) as caught:
        call(host, somebody("resolve"))

    assert "read" == caught.value.required_permission
    assert call(host, somebody("viewer"))


def test_what_may_not_be_read_is_one_failure_of_a_batch(host):
    """The others have their answers, in their places."""
    host.set_metadata("bifrost:///assets/stone", {"project": "x"}, context=somebody("admin"))
    asking = somebody("resolve", projects={"x": ["viewer"], "y": ["viewer"]})
    host.set_metadata(ROCK, {"project": "z"}, context=somebody("admin"))
    uris = ["bifrost:///assets/stone", ROCK, "bifrost:///assets/none"]

    stone, rock, none = host.get_relationships_of_assets(uris, on_error="return", context=asking)

    assert ([], "permission_denied", "not_found") == (stone, rock.code, none.code)


def test_a_publish_is_looked_at_and_given_up_by_who_may_publish(host, draft):
    """Others leave it as it was."""
    for call in (host.validate_publish, host.abort_publish):
        with pytest.raises(PermissionDeniedException) as caught:
            call(draft.id, context=somebody("viewer"))
        assert "publish" == caught.value.required_permission
    assert ["draft"] == [each.stage for each in host.publishes(context=somebody("viewer"))][:1]

    assert "validated" == host.validate_publish(draft.id, context=somebody("artist")).stage
    assert "aborted" == host.abort_publish(draft.id, context=somebody("artist")).stage


class TestWhatMayNotBeRead:
    """
    Is as if it weren't there, whatever is asked: rock -> secret -> stone, and a lake that needs the secret.

    By a rule that lets Ann alone read it, or a project that somebody has no role in.
    """

    SECRET = "bifrost:///assets/stones"

    @pytest.fixture(params=["rule", "project"])
    def stranger(self, request, host, tmp_path):
        """Who may read everything but the secret."""
        ann = somebody("admin")
        for name in ("stones", "lake"):
            file = tmp_path / f"{name}.txt"
            file.write_text(name)
            host.register_asset("model", name, file, context=ann)
        host.remove_relationship(ROCK, "bifrost:///assets/stone", context=ann)
        host.add_relationship(ROCK, self.SECRET, context=ann)
        host.add_relationship(self.SECRET, "bifrost:///assets/stone", context=ann)
        host.add_relationship("bifrost:///assets/lake", self.SECRET, context=ann)
        if request.param == "rule":
            host.allow([Rule("stones", "read", "ann")], context=ann)
            return somebody("artist", name="bob")
        for name, project in {"rock": "x", "stone": "x", "lake": "x", "stones": "y"}.items():
            host.set_metadata(f"bifrost:///assets/{name}", {"project": project}, context=ann)
        return somebody(name="bob", projects={"x": ["artist"]})

    @pytest.mark.parametrize(
        ("ask", "found"),
        [
            (lambda graph: graph.dependencies("rock"), []),
            (lambda graph: graph.dependents("stone"), []),
            (lambda graph: graph.dependents("stone", depth=9), []),
            (lambda graph: graph.impact("stone"), []),
            (lambda graph: graph.path(("rock", None), ("stone", None)), None),
            (lambda graph: graph.diff(("rock", None), ("lake", None)), ((), (), ())),
            (lambda graph: [each.asset_id for each in graph.order()], ["lake", "rock", "stone"]),
            (lambda graph: graph.subgraph(None).edges, []),
            (lambda graph: list(graph.subgraph([("rock", None)]).nodes), [("rock", 1)]),
            (lambda graph: [each.asset_id for each in graph.orphans()], ["lake", "rock"]),
            (lambda graph: [each.asset_id for each in graph.orphans(limit=1)], ["lake"]),
        ],
    )
    def test_in_the_graph(self, host, stranger, ask, found):
        """Nor is what only it leads to; who may read it sees it."""
        with stranger.active():
            mine = ask(host.graph)
        with somebody("admin").active():
            whole = ask(host.graph)

        assert found == (sorted(mine) if found == ["lake", "rock", "stone"] else mine)
        assert mine == whole or "stones" in repr(whole)

    @pytest.mark.parametrize(
        "ask",
        [
            lambda graph: graph.dependencies("stones"),
            lambda graph: graph.impact("stones"),
            lambda graph: graph.path(("rock", None), ("stones", None)),
            lambda graph: graph.subgraph([("stones", None)], direction="in"),
            lambda graph: graph.order([("stones", None)]),
        ],
    )
    def test_who_asks_the_graph_about_it_is_refused(self, host, stranger, ask):
        """With the permission that was missing."""
        with stranger.active(), pytest.raises(PermissionDeniedException) as caught:
            ask(host.graph)

        assert "read" == caught.value.required_permission

    def test_in_what_is_wrong_with_relationships(self, host, stranger):
        """Neither where it is what is wrong, nor on a cycle."""
        host.deprecate(self.SECRET, context=somebody("admin"))

        assert [] == host.validate_relationships(context=stranger)
        assert ["deprecated", "deprecated"] == [
            each.kind for each in host.validate_relationships(context=somebody("admin"))
        ]

    def test_in_the_cycles(self, host, stranger):
        """A cycle through it is none."""
        catalogue = host.session.own_catalogue("a cycle")
        with catalogue._database.write() as connection:
            _close_cycle(connection)

        with stranger.active():
            assert [] == host.graph.cycles()
        assert "strong_cycle" not in {
            each.kind for each in host.validate_relationships(context=stranger)
        }
        with somebody("admin").active():
            assert [("stone", "stones")] == [each.assets for each in host.graph.cycles()]

    @pytest.mark.parametrize(
        "call",
        [
            lambda host, context: host.resolve_asset_path(TYPO, context=context),
            lambda host, context: host.get_entity_info(TYPO, context=context),
            lambda host, context: host.get_status(TYPO, context=context),
            lambda host, context: host.set_metadata(TYPO, {"a": 1}, context=context),
            lambda host, context: host.register_version(TYPO, "x.txt", context=context),
            lambda host, context: host.deprecate(TYPO, context=context),
            lambda host, context: host.get_relationships_with_metadata(TYPO, context=context),
            lambda host, context: host.add_relationship(ROCK, TYPO, context=context),
            lambda host, context: host.update_relationship(ROCK, TYPO, context=context),
            lambda host, context: host.remove_relationship(ROCK, TYPO, context=context),
        ],
    )
    def test_in_suggestions(self, host, stranger, call):
        """Of any error about something that isn't there."""
        suggested = []
        for context in (stranger, somebody("admin")):
            with pytest.raises(AssetNotFoundException) as caught:
                call(host, context)
            suggested.append(caught.value.suggestions)

        assert self.SECRET not in suggested[0]
        assert "bifrost:///assets/stone" in suggested[0]
        assert self.SECRET in suggested[1]

    def test_in_publishes(self, host, stranger, tmp_path):
        """Who began one sees it; others see those of what they may read."""
        drafts = {}
        for name, who in (("rock", "ann"), ("stones", "ann")):
            file = tmp_path / f"new_{name}.txt"
            file.write_text(f"new {name}")
            begun = host.draft_publish(
                [Draft(name, name, "model", str(file))], context=somebody("admin", name=who)
            )
            drafts[begun.id] = name

        def seen(context, **options):
            return [
                drafts[each.id]
                for each in host.publishes(context=context, **options)
                if each.id in drafts
            ]

        assert ["rock"] == seen(stranger)
        assert ["rock"] == seen(stranger, limit=1)
        assert {"rock", "stones"} == set(seen(somebody("admin")))


def _close_cycle(connection):
    """Let the stone need the secret too, behind the back of what refuses that."""
    keys = {row.id: row.key for row in connection.execute(sa.select(assets.c.id, assets.c.key))}
    row = {
        "asset": keys["stone"], "number": 0, "position": 9, "to_asset": keys["stones"],
        "to_number": None, "to_tag": None, "kind": "uses", "strength": 0, "purpose": "",
        "origin": 1, "metadata": "{}", "created": 1, "created_by": "",
    }  # fmt: skip
    connection.execute(sa.insert(relationships), row)
