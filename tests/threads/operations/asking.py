# SPDX-License-Identifier: Apache-2.0
"""Operations that ask: one by one, in batches, as streams and coroutines."""

from __future__ import annotations

import asyncio
import contextlib

from bifrost.context import Context
from bifrost.errors import AssetNotFoundException

from .show import CAR, LEAVES, NOTHING, SHOT, Part, equal, leaf, operation


def in_every_form(part: Part, name: str, uris: list[str]) -> list:
    """Return what the list, the stream and the coroutine of a batch answer, which must be equal."""
    options = {"batch_size": part.rng.choice([1, 3, 100])}
    plain = getattr(part.host, name)(uris, **options)
    equal(plain, list(getattr(part.host, f"iter_{name}")(iter(uris), **options)))
    equal(plain, asyncio.run(getattr(part.host, f"a{name}")(uris, **options)))
    return plain


def forms(name: str) -> tuple[str, str, str]:
    """Return the names of a batch's three forms."""
    return name, f"iter_{name}", f"a{name}"


def said(path) -> str:
    """Return what a leaf's file says: its number and version."""
    return path.read_text().partition('string v = "')[2].partition('"')[0]


@operation("resolve_asset_path", "resolve_asset", "aresolve_asset_path", "resolve_usd_layer")
def resolve(part: Part) -> None:
    number, version = part.rng.randrange(LEAVES), part.rng.choice([None, 1, 2])
    uri, expected = leaf(number, version), f"{number} {version or 2}"
    equal(expected, said(part.host.resolve_asset_path(uri)))
    equal(expected, said(part.host.resolve_usd_layer(uri)))
    equal(expected, said(asyncio.run(part.host.aresolve_asset_path(uri))))
    equal(str(version or 2), part.host.resolve_asset(uri).version)
    with contextlib.suppress(AssetNotFoundException):
        raise AssertionError(f"{NOTHING} is {part.host.resolve_asset_path(NOTHING)}")


@operation(*forms("resolve_asset_paths"))
def resolve_many(part: Part) -> None:
    uris, versions = part.leaves()
    found = in_every_form(part, "resolve_asset_paths", uris)
    equal([str(version) for version in versions], [said(path).split()[1] for path in found])


@operation("entity_exists", *forms("entities_exist"))
def exist(part: Part) -> None:
    asked = [leaf(0), NOTHING, leaf(1, 1), leaf(1, 99)]
    equal([True, False, True, False], in_every_form(part, "entities_exist", asked))
    equal([True, False], [part.host.entity_exists(uri) for uri in asked[:2]])


@operation("get_version", *forms("get_versions"))
def versions_of(part: Part) -> None:
    uris, versions = part.leaves()
    equal(versions, in_every_form(part, "get_versions", uris))
    equal(versions[0], part.host.get_version(uris[0]))


@operation("get_entity_info", *forms("get_entity_infos"))
def infos(part: Part) -> None:
    uris, versions = part.leaves()
    found = in_every_form(part, "get_entity_infos", uris)
    equal([str(version) for version in versions], [info["version"] for info in found])
    equal(found[0], part.host.get_entity_info(uris[0]))


@operation(*forms("get_variants"))
def variants(part: Part) -> None:
    uris = [CAR, leaf(0)]
    equal(len(uris), len(in_every_form(part, "get_variants", uris)))


@operation("get_relationships_with_metadata", *forms("get_relationships_of_assets"))
def relationships(part: Part) -> None:
    single = part.host.get_relationships_with_metadata(SHOT)
    needed = {edge["to"].partition("?")[0] for edge in single}
    assert {leaf(number) for number in range(LEAVES)} <= needed, needed
    (many,) = in_every_form(part, "get_relationships_of_assets", [SHOT])
    equal(needed, {edge["to"].partition("?")[0] for edge in many})


@operation("is_valid_entity_reference", "create_entity_reference")
def names(part: Part) -> None:
    equal(leaf(3), part.host.create_entity_reference("leaf3"))
    assert part.host.is_valid_entity_reference(leaf(3))
    assert not part.host.is_valid_entity_reference("/a/file")


@operation("identifier", "displayName", "info", "initialize", "managers", "session", "recorder")
def itself(part: Part) -> None:
    equal("Bifrost", part.host.displayName())
    assert part.host.identifier()
    assert isinstance(part.host.info(), dict)
    assert part.host.initialize()
    assert [manager for manager in part.host.managers() if manager]
    assert part.host.session.recorder is part.host.recorder


@operation("permissions", "get_status")
def what_may_be_done(part: Part) -> None:
    assert part.host.permissions(leaf(0))["read"]
    assert part.host.get_status(leaf(0, 1)).status


@operation("query_assets", "save_query", "saved_queries", "run_saved_query", "forget_query")
def queries(part: Part) -> None:
    ids = [f"leaf{number}" for number in range(LEAVES)]
    query = {"filter": {"id": {"$in": ids}}, "fields": ["id"]}
    equal(set(ids), {each["id"] for each in part.host.query_assets(query)})
    name = part.new("query")
    part.host.save_query(name, query)
    assert name in {each.name for each in part.host.saved_queries()}
    equal(set(ids), {each["id"] for each in part.host.run_saved_query(name)})
    part.host.forget_query(name)
    assert name not in {each.name for each in part.host.saved_queries()}


@operation("graph", "validate_relationships")
def whole_graph(part: Part) -> None:
    assert part.host.graph is not None
    assert isinstance(part.host.validate_relationships(), list)


@operation("invalidate_cache", "configure_cache", "get_cache_stats", "get_performance_stats")
def caches(part: Part) -> None:
    part.host.invalidate_cache(leaf(part.rng.randrange(LEAVES)))
    if part.rng.random() < 0.1:
        part.host.configure_cache(memory_size_mb=part.rng.choice([0, 1, 100]))
    part.host.invalidate_cache(prefix="bifrost:///assets/leaf")
    assert 0 <= part.host.get_cache_stats()["hit_rate"] <= 100
    equal("closed", part.host.get_performance_stats()["manager"]["breaker"])


@operation("trace_operation", "enable_monitoring", "disable_monitoring")
def monitoring(part: Part) -> None:
    with part.host.trace_operation(part.new("work")):
        equal("2", part.host.resolve_asset(leaf(0)).version)
    part.host.enable_monitoring("localhost:0")
    part.host.disable_monitoring()


@operation("aregister_assets", "register_assets")
def register_many(part: Part) -> None:
    with Context(user="somebody").active():
        for register in (
            part.host.register_assets,
            lambda assets: asyncio.run(part.host.aregister_assets(assets)),
        ):
            drafts = [part.draft() for _ in range(2)]
            found = register(
                [
                    {"asset_type": "layer", "asset_name": each.name, "file_path": each.path,
                     "asset_id": each.asset_id}
                    for each in drafts
                ]
            )  # fmt: skip
            equal([1, 1], part.host.get_versions(found))
