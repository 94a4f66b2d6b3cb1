# SPDX-License-Identifier: Apache-2.0
"""
Whether the relationships hold together.

The database's foreign keys and `edges` keep them so. What other programs did to it (foreign keys of
SQLite are off by default), and what went missing since, is found here.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue import changes, whole_graph
from bifrost.catalogue.access import readable
from bifrost.catalogue.relationships import ADDED, version_of
from bifrost.catalogue.schema import assets, relationships, version_status, versions
from bifrost.errors import ConfigurationError
from bifrost.model.entity_reference import LATEST, reference_for
from bifrost.model.permissions import User

_edge = relationships.alias("edge")
_source = assets.alias("source")
_target = assets.alias("target")


class Break(NamedTuple):
    """
    A relationship that doesn't hold.

    Attributes:
        kind: `no_source`, `no_target`, `no_source_version`, `no_version`, `strong_cycle`; of
            warnings `no_tag`, `deprecated`, `cycles_unknown`.
        message: What is wrong, for a person.
        remedy: What to do about it.
        from_uri: The reference that the edge starts at.
        to_uri: The reference that it leads to.
        is_warning: Whether everything still resolves.
    """

    kind: str
    message: str
    remedy: str
    from_uri: str = ""
    to_uri: str = ""
    is_warning: bool = False


def _version(asset: sa.ColumnElement[Any], number: sa.ColumnElement[Any]) -> sa.Exists:
    there = versions.alias()
    return (
        sa.select(there.c.number)
        .where(there.c.asset == asset, there.c.number == number)
        .correlate_except(there)
        .exists()
    )


def _tagged() -> sa.Exists:
    there = version_status.alias()
    return (
        sa.select(there.c.number)
        .where(there.c.asset == _edge.c.to_asset, there.c.status == _edge.c.to_tag)
        .correlate_except(there)
        .exists()
    )


# Edges of earlier versions may well lead to what is deprecated by now.
_IN_USE: Final = sa.not_(_source.c.deprecated) & _edge.c.number.in_(
    [sa.literal_column("0"), _source.c.latest_version]
)
_KIND: Final = sa.case(
    (_source.c.key.is_(None), "no_source"),
    (_target.c.key.is_(None), "no_target"),
    ((_edge.c.number > 0) & ~_version(_edge.c.asset, _edge.c.number), "no_source_version"),
    (
        _edge.c.to_number.is_not(None) & ~_version(_edge.c.to_asset, _edge.c.to_number),
        "no_version",
    ),
    (
        _edge.c.to_tag.is_not(None) & (_edge.c.to_tag != LATEST) & ~_tagged(),
        "no_tag",
    ),
    ((_edge.c.strength == 0) & _target.c.deprecated & _IN_USE, "deprecated"),
)
_ALL: Final = (
    sa.select(
        _edge.c.asset,
        _source.c.id.label("from_id"),
        _edge.c.number,
        _edge.c.to_asset,
        _target.c.id.label("to_id"),
        _edge.c.to_number,
        _edge.c.to_tag,
        _edge.c.kind.label("edge_kind"),
        _edge.c.origin,
        _target.c.latest_version,
        _KIND.label("kind"),
    )
    .select_from(
        _edge.outerjoin(_source, _source.c.key == _edge.c.asset).outerjoin(
            _target, _target.c.key == _edge.c.to_asset
        )
    )
    .order_by(_edge.c.asset, _edge.c.number, _edge.c.position)
    .subquery("all_edges")
)
_BREAKS: Final = sa.select(_ALL).where(_ALL.c.kind.is_not(None))


def validate_relationships(connection: sa.Connection, *, user: User | None = None) -> list[Break]:
    """
    Return every break, errors before warnings. Three statements at most, over every edge.

    Strong cycles are looked for only where rustworkx is installed; a warning says so where not. Breaks
    that name what *user* may not read are left out, at the cost of `access.read`; None asks without
    rules.
    """
    rows = connection.execute(_BREAKS).all()
    ends = [[end for end in (row.from_id, row.to_id) if end is not None] for row in rows]
    may_read = readable(connection, user, {end for pair in ends for end in pair})
    found = [_break(row) for row, pair in zip(rows, ends, strict=True) if all(map(may_read, pair))]
    found += _cycles(connection, user)
    return sorted(found, key=lambda each: each.is_warning)


_MESSAGES: Final = {
    "no_source": "starts at an asset that isn't there",
    "no_target": "leads to an asset that isn't there",
    "no_source_version": "belongs to a version that isn't there",
    "no_version": "pins a version that isn't there",
    "no_tag": "leads to a status that no version of the asset has",
    "deprecated": "requires an asset that is deprecated",
}
DANGLING: Final = frozenset(("no_source", "no_target", "no_source_version"))
"""The kinds of breaks that `remove_dangling` removes."""
_WARNINGS: Final = frozenset(("no_tag", "deprecated"))


def _break(row: sa.Row[Any]) -> Break:
    # What isn't there has no id to be named by.
    source = _reference(row.from_id, row.asset, str(row.number) if row.number else None)
    target = _reference(row.to_id, row.to_asset, version_of(row.to_number, row.to_tag))
    name = f"the {row.edge_kind or 'relationship'} from {source} to {target}"
    return Break(
        row.kind,
        f"{name} {_MESSAGES[row.kind]}",
        _remedy(row, source, target),
        source,
        target,
        row.kind in _WARNINGS,
    )


def _reference(asset_id: str | None, key: int, version: str | None) -> str:
    return f"asset number {key}" if asset_id is None else reference_for(asset_id, version)


def _remedy(row: sa.Row[Any], source: str, target: str) -> str:
    if row.kind in DANGLING:
        return "restore the catalogue from a backup, or let 'bifrost catalogue check --repair' remove it"
    if row.kind == "no_tag":
        return f"move a version of {_reference(row.to_id, row.to_asset, None)} to '{row.to_tag}'"
    if row.kind == "deprecated":
        instead = f"let {source} use another asset, or restore {target}"
        return (
            instead if row.origin == ADDED else f"publish a version that uses another, or {instead}"
        )
    newest = reference_for(row.to_id, row.latest_version or None)
    if row.origin == ADDED:
        return f"remove the relationship, and add one to {newest}"
    return f"publish a version of {reference_for(row.from_id)} that names {newest}"


def _cycles(connection: sa.Connection, user: User | None) -> list[Break]:
    try:
        found = whole_graph.cycles(connection, user=user)
    except ConfigurationError as error:
        return [
            Break(
                "cycles_unknown",
                f"strong cycles were not looked for: {error.message}",
                "pip install 'bifrost-usd[graph]'",
                is_warning=True,
            )
        ]
    return [
        Break(
            "strong_cycle",
            f"{len(cycle.assets)} assets need each other: {cycle}",
            "make one of these relationships weak, or remove it",
            cycle.example[-1].reference,
            cycle.example[0].reference,
        )
        for cycle in found
    ]


_there = sa.select(assets.c.key)
_DANGLING_ROWS: Final = (
    relationships.c.asset.not_in(_there)
    | relationships.c.to_asset.not_in(_there)
    | ((relationships.c.number > 0) & ~_version(relationships.c.asset, relationships.c.number))
)
_LOSERS: Final = sa.select(relationships.c.asset).where(
    _DANGLING_ROWS, relationships.c.asset.in_(_there)
)


def remove_dangling(connection: sa.Connection, now_us: int) -> int:
    """
    Remove the edges whose ends aren't there, within the caller's transaction; return how many.

    Those are the breaks `no_source`, `no_target` and `no_source_version`: nobody can say any more
    where they led. The others are for people to mend.
    """
    losers = connection.execute(_LOSERS).scalars().all()
    gone = connection.execute(sa.delete(relationships).where(_DANGLING_ROWS)).rowcount
    changes.record(connection, losers, now_us)
    return gone
