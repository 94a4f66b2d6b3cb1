# SPDX-License-Identifier: Apache-2.0
"""Operations that change: publishes in one step and in several, statuses, grants, relationships."""

from __future__ import annotations

from bifrost.catalogue.access import Rule
from bifrost.errors import AssetNotFoundException, ConflictException
from bifrost.testing.show import layer

from .show import NOTHING, Part, equal, leaf, operation


@operation("publish", "register_asset", "register_version")
def publish(part: Part) -> None:
    uri = part.published()
    equal(1, part.host.get_version(uri))
    file = part.folder / f"{part.new('file')}.usda"
    file.write_text(layer(value="2"))
    equal(f"{uri}?version=2", part.host.register_version(uri, file, expected_version=1))
    equal(2, part.host.get_version(uri))
    asset_id = part.new()
    made = part.host.register_asset("layer", "a name", file, asset_id=asset_id)
    equal(f"bifrost:///assets/{asset_id}", made)
    try:
        part.host.register_version(uri, file, expected_version=1)
    except ConflictException:
        return
    raise AssertionError(f"{uri}: version 2 was published twice")


@operation(
    "draft_publish", "validate_publish", "register_publish", "finish_publish", "publishes",
    "resume_publish",
)  # fmt: skip
def publish_in_steps(part: Part) -> None:
    draft = part.draft()
    made = part.host.draft_publish([draft])
    equal("validated", part.host.validate_publish(made.id).stage)
    part.host.register_publish(made.id)
    done = part.host.finish_publish(made.id)
    uri = f"bifrost:///assets/{draft.asset_id}"
    equal([f"{uri}?version=1"], list(done.results))
    equal(list(done.results), list(part.host.resume_publish(made.id).results))
    assert made.id in {each.id for each in part.host.publishes(limit=1000)}
    equal(1, part.host.get_version(uri))


@operation("abort_publish")
def abort(part: Part) -> None:
    draft = part.draft()
    made = part.host.draft_publish([draft])
    equal("aborted", part.host.abort_publish(made.id).stage)
    assert not part.host.entity_exists(f"bifrost:///assets/{draft.asset_id}")


@operation("set_metadata", "set_status")
def describe(part: Part) -> None:
    uri = f"{part.published()}?version=1"
    note = part.rng.random()
    equal(note, part.host.set_metadata(uri, {"note": note})["note"])
    for status in ("review", "approved"):
        equal(status, part.host.set_status(uri, status).status)
    equal("approved", part.host.get_status(uri).status)


@operation("deprecate", "restore", "delete_asset")
def take_away(part: Part) -> None:
    uri = part.published()
    part.host.deprecate(uri)
    part.host.restore(uri)
    equal(1, part.host.get_version(uri))
    part.host.delete_asset(uri)
    try:
        part.host.resolve_asset_path(uri)
    except AssetNotFoundException:
        return
    raise AssertionError(f"{uri} is still there")


@operation("allow", "disallow")
def grant(part: Part) -> None:
    rule = Rule(part.new("guarded"), "publish", "ann")
    part.host.allow([rule])
    equal(1, part.host.disallow([rule]))


@operation("add_relationship", "update_relationship", "remove_relationship")
def relate(part: Part) -> None:
    start = part.published()
    kinds = {"relationship_type": "likes"}
    part.host.add_relationship(start, leaf(0), **kinds)
    part.host.update_relationship(start, leaf(0), **kinds, metadata={"weight": 2})
    (edge,) = part.host.get_relationships_with_metadata(start)
    equal(2, edge["metadata"]["weight"])
    part.host.remove_relationship(start, leaf(0), **kinds)
    equal([], part.host.get_relationships_with_metadata(start))
    try:
        part.host.add_relationship(start, NOTHING, **kinds)
    except AssetNotFoundException:
        return
    raise AssertionError("nothing can be liked")
