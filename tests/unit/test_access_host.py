# SPDX-License-Identifier: Apache-2.0
"""The host's calls ask who asks before they tell or change anything."""

from __future__ import annotations

import time

import jwt
import pytest

from bifrost.context import Context
from bifrost.errors import PermissionDeniedException
from bifrost.host import BifrostHostInterface
from bifrost.publishing import Draft
from bifrost.session import Session
from bifrost.settings import AccessSettings, load

KEY = "thirty-two bytes or more of secret"
ROCK = "bifrost:///assets/rock"


def somebody(*roles):
    """The context of who has proved to have *roles*."""
    token = jwt.encode({"sub": "ann", "exp": time.time() + 600, "roles": roles}, KEY, "HS256")
    return Context(access_token=token)


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
    token = jwt.encode(
        {
            "sub": "ann",
            "exp": time.time() + 600,
            "roles": ["resolve"],
            "projects": {"x": ["viewer"], "y": ["viewer"]},
        },
        KEY,
        "HS256",
    )
    host.set_metadata(ROCK, {"project": "z"}, context=somebody("admin"))
    uris = ["bifrost:///assets/stone", ROCK, "bifrost:///assets/none"]

    stone, rock, none = host.get_relationships_of_assets(
        uris, on_error="return", context=Context(access_token=token)
    )

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
