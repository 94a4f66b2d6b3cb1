# SPDX-License-Identifier: Apache-2.0
"""
Which asset needs which, as the files say it.

An edge belongs to the version whose file holds it, and says what that file says: an asset, and a
number, a tag or nothing. What somebody added to these is in `edges`: a file opens without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from bifrost.catalogue.assets import (
    as_number,
    as_of_us,
    floating,
    newest_number,
    tagged_number,
)
from bifrost.catalogue.dialect import each_row, each_text, number_item, text_item
from bifrost.catalogue.records import Dependency, Dependent, VersionPolicy
from bifrost.catalogue.schema import Text, assets, relationships
from bifrost.model.entity_reference import LATEST

FROM_FILE: Final = 0
ADDED: Final = 1
"""The origins of an edge, as the database has them."""

_STRENGTHS: Final = sa.bindparam("strengths", type_=sa.Integer)
_FLOATING: Final = sa.bindparam("floating", type_=sa.Integer)
_FLOATING_TAG: Final = sa.bindparam("floating_tag", type_=Text)

_edge = relationships.alias("edge")
_source = assets.alias("source")
_target = assets.alias("target")
_in_file = _edge.c.origin == FROM_FILE


def rooted(name: str) -> sa.Select[Any]:
    """
    Return the rows (asset, number, tag) of the parameter *name*: a JSON list of [id, number, tag].

    Where a recursive walk begins: PostgreSQL wants its columns' types and collations from there.
    """
    root = each_row(name, "root")
    return sa.select(
        assets.c.key.label("asset"),
        sa.cast(number_item(root, 1), sa.Integer).label("number"),
        sa.cast(text_item(root, 2), Text).label("tag"),
    ).join_from(root, assets, assets.c.id == text_item(root, 0))


def split(asset_id: str, version: str | None) -> tuple[str, int | None, str | None]:
    """Return the id, number and tag of a reference, as `rooted` and the edges have them."""
    number = as_number(version)
    return asset_id, number, version if number is None else None


def version_of(number: int | None, tag: str | None) -> str | None:
    """Return the version of a reference, as it is written there, from its number and tag."""
    return tag if number is None else str(number)


def number_of(
    asset: sa.FromClause, number: sa.ColumnElement[Any], tag: sa.ColumnElement[Any]
) -> sa.ColumnElement[int]:
    """
    Return the number of the version that a reference to the *asset* row means.

    Under the policy of the parameters `floating`, `floating_tag` and `as_of` (`policy_parameters`).
    """
    return sa.case(
        (number.is_not(None), number),
        (tag == LATEST, newest_number(asset)),
        (tag.is_not(None), tagged_number(asset, tag)),
        (_FLOATING.is_not(None), _FLOATING),
        (_FLOATING_TAG.is_not(None), tagged_number(asset, _FLOATING_TAG)),
        else_=newest_number(asset),
    )


def of_strengths(edge: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return whether *edge* is of the parameter `strengths`: a bit for each (`strength_mask`)."""
    strength = sa.cast(edge.c.strength, sa.Integer)
    return _STRENGTHS.bitwise_rshift(strength).bitwise_and(sa.literal_column("1")) == 1


def policy_parameters(policy: VersionPolicy) -> dict[str, Any]:
    """Return the parameters of `number_of` that *policy* comes to."""
    number, tag = floating(policy)
    return {"floating": number, "floating_tag": tag, "as_of": as_of_us(policy)}


def _closure_statement() -> sa.Select[Any]:
    walk = rooted("roots").cte("walk", recursive=True)
    step = (
        sa.select(_edge.c.to_asset, _edge.c.to_number, _edge.c.to_tag)
        .select_from(
            walk.join(_source, _source.c.key == walk.c.asset).join(
                _edge,
                (_edge.c.asset == walk.c.asset)
                & (_edge.c.number == number_of(_source, walk.c.number, walk.c.tag)),
            )
        )
        .where(_in_file)
    )
    # UNION, not UNION ALL: what was walked before is not walked again, so that cycles end.
    walk = walk.union(step)
    return sa.select(assets.c.id, walk.c.number, walk.c.tag).join_from(
        walk, assets, assets.c.key == walk.c.asset
    )


_CLOSURE: Final = _closure_statement()


def closure(
    connection: sa.Connection,
    roots: Sequence[tuple[str, str | None]],
    policy: VersionPolicy,
) -> list[tuple[str, str | None]]:
    """Return *roots* and every reference that is reached from them. One statement."""
    parameters = {
        "roots": json.dumps([split(asset_id, version) for asset_id, version in roots]),
        **policy_parameters(policy),
    }
    reached = connection.execute(_CLOSURE, parameters)
    references = ((asset_id, version_of(number, tag)) for asset_id, number, tag in reached)
    # An unknown root has no row and is among the answers all the same: who resolves them learns.
    return list(dict.fromkeys([*roots, *references]))


_DEPENDENCIES: Final = (
    sa.select(_target.c.id, _edge.c.to_number, _edge.c.to_tag, _edge.c.kind)
    .select_from(
        _source.join(_edge, _edge.c.asset == _source.c.key).join(
            _target, _target.c.key == _edge.c.to_asset
        )
    )
    .where(
        _source.c.id == sa.bindparam("asset_id"),
        _edge.c.number == sa.bindparam("number"),
        _in_file,
    )
    .order_by(_edge.c.position)
)


def dependencies_of(connection: sa.Connection, asset_id: str, number: int) -> list[Dependency]:
    """Return what version *number* of the asset needs, in its file's order."""
    rows = connection.execute(_DEPENDENCIES, {"asset_id": asset_id, "number": number})
    return [_dependency(*row) for row in rows]


_LATEST_DEPENDENCIES: Final = (
    sa.select(_source.c.id, _target.c.id, _edge.c.to_number, _edge.c.to_tag, _edge.c.kind)
    .select_from(
        _source.join(
            _edge,
            (_edge.c.asset == _source.c.key) & (_edge.c.number == _source.c.latest_version),
        ).join(_target, _target.c.key == _edge.c.to_asset)
    )
    .where(_source.c.id.in_(sa.select(each_text("ids", "asked").c.value)), _in_file)
    .order_by(_edge.c.asset, _edge.c.position)
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
    return Dependency(asset_id, version_of(number, tag), kind)


_DEPENDENTS: Final = (
    sa.select(_source.c.id, _edge.c.number, _edge.c.to_number, _edge.c.to_tag, _edge.c.kind)
    .select_from(
        _edge.join(_target, _target.c.key == _edge.c.to_asset).join(
            _source, _source.c.key == _edge.c.asset
        )
    )
    .where(_target.c.id == sa.bindparam("asset_id"), _in_file)
    .order_by(_source.c.id, _edge.c.number.desc(), _edge.c.position)
)


def dependents_of(connection: sa.Connection, asset_id: str) -> list[Dependent]:
    """Return every version that needs the asset, by asset id, its newest version first."""
    rows = connection.execute(_DEPENDENTS, {"asset_id": asset_id})
    return [
        Dependent(source, number, version_of(to_number, tag), kind)
        for source, number, to_number, tag, kind in rows
    ]
