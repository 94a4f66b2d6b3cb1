# SPDX-License-Identifier: Apache-2.0
"""
Which asset needs which.

An edge belongs to the version whose file holds it, and says what that file says: an asset, and a
number, a tag or nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from bifrost.catalogue.assets import as_number, as_of_us, floating_number, newest_number
from bifrost.catalogue.records import Dependency, Dependent, VersionPolicy
from bifrost.catalogue.schema import assets, dependencies
from bifrost.model.entity_reference import LATEST

_FLOATING: Final = sa.bindparam("floating", type_=sa.Integer)


def _closure_statement() -> sa.Select[Any]:
    root = sa.func.json_each(sa.bindparam("roots")).table_valued("value", name="root")
    walk = (
        sa.select(
            assets.c.key.label("asset"),
            sa.func.json_extract(root.c.value, "$[1]").label("number"),
            sa.func.json_extract(root.c.value, "$[2]").label("tag"),
        )
        .join_from(root, assets, assets.c.id == sa.func.json_extract(root.c.value, "$[0]"))
        .cte("walk", recursive=True)
    )
    edge = dependencies
    step = sa.select(edge.c.to_asset, edge.c.to_number, edge.c.to_tag).select_from(
        walk.join(assets, assets.c.key == walk.c.asset).join(
            edge, (edge.c.asset == walk.c.asset) & (edge.c.number == _number_of(walk))
        )
    )
    # UNION, not UNION ALL: what was walked before is not walked again, so that cycles end.
    walk = walk.union(step)
    return sa.select(assets.c.id, walk.c.number, walk.c.tag).join_from(
        walk, assets, assets.c.key == walk.c.asset
    )


def _number_of(walk: sa.CTE) -> sa.ColumnElement[int]:
    """Return the version's number that a walked reference means under the policy's parameters."""
    return sa.case(
        (walk.c.number.is_not(None), walk.c.number),
        (walk.c.tag == LATEST, newest_number(assets)),
        (walk.c.tag.is_not(None), sa.null()),
        (_FLOATING.is_not(None), _FLOATING),
        else_=newest_number(assets),
    )


_CLOSURE: Final = _closure_statement()


def closure(
    connection: sa.Connection,
    roots: Sequence[tuple[str, str | None]],
    policy: VersionPolicy,
) -> list[tuple[str, str | None]]:
    """Return *roots* and every reference that is reached from them. One statement."""
    parameters = {
        "roots": json.dumps([_split(asset_id, version) for asset_id, version in roots]),
        "floating": floating_number(policy),
        "as_of": as_of_us(policy),
    }
    reached = connection.execute(_CLOSURE, parameters)
    # An unknown root has no row and is among the answers all the same: who resolves them learns.
    return list(dict.fromkeys([*roots, *_references(reached)]))


def _split(asset_id: str, version: str | None) -> tuple[str, int | None, str | None]:
    number = as_number(version)
    return asset_id, number, version if number is None else None


def _references(rows: Iterable[Any]) -> Iterable[tuple[str, str | None]]:
    for asset_id, number, tag in rows:
        yield asset_id, tag if number is None else str(number)


_target = assets.alias("target")

_DEPENDENCIES: Final = (
    sa.select(_target.c.id, dependencies.c.to_number, dependencies.c.to_tag, dependencies.c.kind)
    .select_from(
        assets.join(dependencies, dependencies.c.asset == assets.c.key).join(
            _target, _target.c.key == dependencies.c.to_asset
        )
    )
    .where(
        assets.c.id == sa.bindparam("asset_id"),
        dependencies.c.number == sa.bindparam("number"),
    )
    .order_by(dependencies.c.position)
)


def dependencies_of(connection: sa.Connection, asset_id: str, number: int) -> list[Dependency]:
    """Return what version *number* of the asset needs, in its file's order."""
    rows = connection.execute(_DEPENDENCIES, {"asset_id": asset_id, "number": number})
    return [_dependency(*row) for row in rows]


_LATEST_DEPENDENCIES: Final = (
    sa.select(
        assets.c.id,
        _target.c.id,
        dependencies.c.to_number,
        dependencies.c.to_tag,
        dependencies.c.kind,
    )
    .select_from(
        assets.join(
            dependencies,
            (dependencies.c.asset == assets.c.key)
            & (dependencies.c.number == assets.c.latest_version),
        ).join(_target, _target.c.key == dependencies.c.to_asset)
    )
    .where(
        assets.c.id.in_(
            sa.select(
                sa.func.json_each(sa.bindparam("ids")).table_valued("value", name="asked").c.value
            )
        )
    )
    .order_by(dependencies.c.asset, dependencies.c.position)
)


def latest_dependencies(
    connection: sa.Connection, ids: Iterable[str]
) -> dict[str, list[Dependency]]:
    """Return what the newest version of each asset needs. One statement."""
    found: dict[str, list[Dependency]] = {}
    for asset_id, *edge in connection.execute(_LATEST_DEPENDENCIES, {"ids": json.dumps(list(ids))}):
        found.setdefault(asset_id, []).append(_dependency(*edge))
    return found


def _dependency(asset_id: str, number: int | None, tag: str | None, kind: str) -> Dependency:
    return Dependency(asset_id, tag if number is None else str(number), kind)


_DEPENDENTS: Final = (
    sa.select(
        assets.c.id,
        dependencies.c.number,
        dependencies.c.to_number,
        dependencies.c.to_tag,
        dependencies.c.kind,
    )
    .select_from(
        dependencies.join(_target, _target.c.key == dependencies.c.to_asset).join(
            assets, assets.c.key == dependencies.c.asset
        )
    )
    .where(_target.c.id == sa.bindparam("asset_id"))
    .order_by(assets.c.id, dependencies.c.number.desc(), dependencies.c.position)
)


def dependents_of(connection: sa.Connection, asset_id: str) -> list[Dependent]:
    """Return every version that needs the asset, by asset id, its newest version first."""
    rows = connection.execute(_DEPENDENTS, {"asset_id": asset_id})
    return [
        Dependent(source, number, tag if to_number is None else str(to_number), kind)
        for source, number, to_number, tag, kind in rows
    ]
