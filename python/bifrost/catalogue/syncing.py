# SPDX-License-Identifier: Apache-2.0
"""
Making what the catalogue says that a version's file names agree with that file.

What a file says is written once, with its version. It can still be out of date: what was named came into
the catalogue later, the version was registered by something that does not read files, or the table of
strengths changed. The edges that people added are left alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue import assets as reading
from bifrost.catalogue import changes
from bifrost.catalogue.dialect import each_text
from bifrost.catalogue.edge_ends import key_of
from bifrost.catalogue.edge_values import STRENGTHS
from bifrost.catalogue.records import Dependency, shown
from bifrost.catalogue.relationships import FROM_FILE, split, version_of
from bifrost.catalogue.schema import assets, relationships, versions
from bifrost.catalogue.strengths import Strengths, strength_of
from bifrost.errors import not_found
from bifrost.model.entity_reference import reference_for
from bifrost.model.permissions import User, name_of


class Said(NamedTuple):
    """One thing that a version's file names, and how strongly that binds."""

    dependency: Dependency
    strength: str


class Difference(NamedTuple):
    """
    How what the catalogue says of a version differs from what its file says.

    Attributes:
        asset_id: Whose version.
        version: Its number.
        added: What only the file says, in its order.
        removed: What only the catalogue said.
        changed: (before, after) of what both say, but not alike: of another version, or as strong.
    """

    asset_id: str
    version: int
    added: tuple[Said, ...]
    removed: tuple[Said, ...]
    changed: tuple[tuple[Said, Said], ...]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.added or self.removed or self.changed)


def sync(
    connection: sa.Connection,
    version: tuple[str, int],
    dependencies: Sequence[Dependency],
    strengths: Strengths,
    *,
    dry_run: bool,
    user: User | None,
    now_us: int,
) -> Difference:
    """
    Make the edges of *version* those of its file, *dependencies*, within the caller's transaction.

    What is the same already keeps its date and author. With *dry_run* nothing is written.

    Raises:
        AssetNotFoundException: there is no such version, or a dependency is on nothing.
    """
    key = key_of(connection, *version, user)
    before = _rows(connection, key, version[1])
    wanted = [Said(each, strength_of(strengths, each.kind)) for each in dict.fromkeys(dependencies)]
    found = _difference(version, [_said(row) for row in before], wanted)
    in_order = [_said(row) for row in before] == wanted
    if not dry_run and not in_order:
        _write(connection, (key, version[1]), wanted, before, (name_of(user), now_us))
        changes.record(connection, [key], now_us)
    return found


def located(connection: sa.Connection, locations: Sequence[str]) -> dict[str, str]:
    """Return the assets of whose versions one lies at *locations*, file URLs. Reads every version."""
    rows = connection.execute(_LOCATED, {"locations": json.dumps(list(locations))})
    return {row[0]: row[1] for row in rows}


_LOCATED: Final = (
    sa.select(versions.c.location, assets.c.id)
    .join_from(versions, assets, assets.c.key == versions.c.asset)
    .where(versions.c.location.in_(sa.select(each_text("locations", "asked").c.value)))
    .order_by(assets.c.id.desc())
)
_OF_VERSION: Final = (
    sa.select(*relationships.c, assets.c.id.label("to_id"))
    .join_from(relationships, assets, assets.c.key == relationships.c.to_asset)
    .where(
        relationships.c.asset == sa.bindparam("asset_key"),
        relationships.c.number == sa.bindparam("version_number"),
        relationships.c.origin == FROM_FILE,
    )
    .order_by(relationships.c.position)
)
_ADDED_POSITIONS: Final = sa.select(relationships.c.position).where(
    relationships.c.asset == sa.bindparam("asset_key"),
    relationships.c.number == sa.bindparam("version_number"),
    relationships.c.origin != FROM_FILE,
)
_CLEAR: Final = sa.delete(relationships).where(
    relationships.c.asset == sa.bindparam("asset_key"),
    relationships.c.number == sa.bindparam("version_number"),
    relationships.c.origin == FROM_FILE,
)


def _rows(connection: sa.Connection, key: int, number: int) -> list[dict[str, Any]]:
    place = {"asset_key": key, "version_number": number}
    return [dict(row) for row in connection.execute(_OF_VERSION, place).mappings()]


def _said(row: Mapping[str, Any]) -> Said:
    version = version_of(row["to_number"], row["to_tag"])
    return Said(Dependency(row["to_id"], version, row["kind"]), STRENGTHS[row["strength"]])


def _difference(version: tuple[str, int], before: list[Said], after: list[Said]) -> Difference:
    old = {said.dependency: said for said in before}
    new = {said.dependency: said for said in after}
    changed = [(old[each], said) for each, said in new.items() if each in old and old[each] != said]
    added = [said for each, said in new.items() if each not in old]
    removed = [said for each, said in old.items() if each not in new]
    # One that is named by another version now is one change, and not one less and one more.
    for said in list(added):
        place = _place(said)
        if twin := next((each for each in removed if _place(each) == place), None):
            changed.append((twin, said))
            added.remove(said)
            removed.remove(twin)
    return Difference(*version, tuple(added), tuple(removed), tuple(changed))


def _place(said: Said) -> tuple[str, str]:
    return said.dependency.asset_id, said.dependency.kind


def _write(
    connection: sa.Connection,
    version: tuple[int, int],
    wanted: Sequence[Said],
    before: Sequence[Mapping[str, Any]],
    origin: tuple[str, int],
) -> None:
    key, number = version
    place = {"asset_key": key, "version_number": number}
    keys = reading.keys(connection, {said.dependency.asset_id for said in wanted})
    known = {_said(row): row for row in before}
    taken = set(connection.execute(_ADDED_POSITIONS, place).scalars())
    # In the file's order, round those that people added: a publish compares in this order.
    free = (position for position in count() if position not in taken)
    rows = list(_new_rows(wanted, keys, known, {"asset": key, "number": number}, origin))
    connection.execute(_CLEAR, place)
    if rows:
        placed = [{**row, "position": position} for row, position in zip(rows, free, strict=False)]
        connection.execute(sa.insert(relationships), placed)


def _new_rows(
    wanted: Sequence[Said],
    keys: Mapping[str, int],
    known: Mapping[Said, Mapping[str, Any]],
    place: Mapping[str, int],
    origin: tuple[str, int],
) -> Iterator[dict[str, Any]]:
    for said in wanted:
        asset_id, to_number, to_tag = split(*said.dependency[:2])
        if asset_id not in keys:
            uri = reference_for(asset_id)
            raise not_found(f"the catalogue has no asset {shown(asset_id)}", uri)
        was = known.get(said)
        yield {
            **place,
            "to_asset": keys[asset_id],
            "to_number": to_number,
            "to_tag": to_tag,
            "kind": said.dependency.kind,
            "strength": STRENGTHS.index(said.strength),
            "origin": FROM_FILE,
            "created": was["created"] if was else origin[1],
            "created_by": was["created_by"] if was else origin[0],
        }
