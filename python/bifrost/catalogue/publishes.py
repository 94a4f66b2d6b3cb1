# SPDX-License-Identifier: Apache-2.0
"""Publishes on their way: what is to be published, how far it got, and what came of it."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.access import readable
from bifrost.catalogue.query.values import MAX_INTEGER, as_integer, unknown
from bifrost.catalogue.schema import publishes
from bifrost.errors import AssetNotFoundException, Code
from bifrost.model.permissions import User, name_of

DRAFT: Final = "draft"
VALIDATED: Final = "validated"
REGISTERED: Final = "registered"
POST_REGISTERED: Final = "post-registered"
ABORTED: Final = "aborted"
STAGES: Final = (DRAFT, VALIDATED, REGISTERED, POST_REGISTERED, ABORTED)
"""The stages of a publish."""

_MOST_LOOKED_AT: Final = 10_000


class PublishRow(NamedTuple):
    """
    One publish, as the catalogue keeps it. Lists and objects are what JSON can say.

    Attributes:
        id: 32 hexadecimal digits.
        idempotency_key: What the caller says makes two publishes one, or None.
        stage: How far it got.
        drafts: What is to be published, one object for each version.
        findings: What validators found, one object each.
        results: References to the versions that were made, in the drafts' order.
        actions: By name, what became of each action behind it.
        created_us: When it began, in microseconds since the epoch.
        created_by: Who began it, or "".
        updated_us: When it last moved.
    """

    id: str
    idempotency_key: str | None
    stage: str
    drafts: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    results: list[str]
    actions: dict[str, Any]
    created_us: int
    created_by: str
    updated_us: int

    @property
    def asset_ids(self) -> list[str]:
        """The assets that it makes versions of, in the drafts' order."""
        return [data["draft"]["asset_id"] for data in self.drafts]


_COLUMNS: Final = (
    publishes.c.id,
    publishes.c.idempotency_key,
    publishes.c.stage,
    publishes.c.drafts,
    publishes.c.findings,
    publishes.c.results,
    publishes.c.actions,
    publishes.c.created,
    publishes.c.created_by,
    publishes.c.updated,
)
_BY_ID: Final = sa.select(*_COLUMNS).where(publishes.c.id == sa.bindparam("of_id"))
_BY_KEY: Final = sa.select(*_COLUMNS).where(publishes.c.idempotency_key == sa.bindparam("of_key"))
_LISTING: Final = (
    sa.select(*_COLUMNS)
    .order_by(publishes.c.updated.desc(), publishes.c.id)
    .limit(sa.bindparam("limit"))
)
_LISTING_OF_STAGE: Final = _LISTING.where(publishes.c.stage == sa.bindparam("of_stage"))


def _row(values: Any) -> PublishRow:
    parsed = [json.loads(text) for text in values[3:7]]
    return PublishRow(*values[:3], *parsed, *values[7:])


def get(connection: sa.Connection, publish_id: str) -> PublishRow:
    """
    Return the publish.

    Raises:
        AssetNotFoundException: there is none of that id.
    """
    row = connection.execute(_BY_ID, {"of_id": publish_id}).first()
    if row is None:
        raise AssetNotFoundException(
            f"there is no publish {publish_id[:80]!r}", code=Code.NOT_FOUND
        )
    return _row(row)


def by_key(connection: sa.Connection, idempotency_key: str) -> PublishRow | None:
    """Return the publish of that idempotency key, if there is one."""
    row = connection.execute(_BY_KEY, {"of_key": idempotency_key}).first()
    return None if row is None else _row(row)


def listing(
    connection: sa.Connection, stage: str | None, limit: int, user: User | None = None
) -> list[PublishRow]:
    """
    Return up to *limit* publishes, those of one *stage* only if given, last moved first.

    Where a *user* is given, of those that they began, or whose assets they may read, among the last
    10,000: more statements where there are others among the first.

    Raises:
        InvalidQueryException: *stage* is none, or *limit* is no number from 0 up.
    """
    if stage is not None and stage not in STAGES:
        raise unknown("stage", "stage", stage, STAGES)
    as_integer(limit, "limit", MAX_INTEGER)
    statement = _LISTING if stage is None else _LISTING_OF_STAGE
    own = name_of(user)
    looked_at, most = limit, max(limit, _MOST_LOOKED_AT)
    while True:
        found = connection.execute(statement, {"limit": looked_at, "of_stage": stage})
        rows = [_row(row) for row in found]
        may_read = readable(connection, user, {each for row in rows for each in row.asset_ids})
        seen = [
            row
            for row in rows
            if (own and row.created_by == own) or all(map(may_read, row.asset_ids))
        ]
        if len(seen) >= limit or len(rows) < looked_at or looked_at >= most:
            return seen[:limit]
        looked_at = min(10 * looked_at, most)


def add(connection: sa.Connection, row: PublishRow) -> None:
    """Record a new publish, within the caller's transaction."""
    connection.execute(sa.insert(publishes), _values(row))


def move(connection: sa.Connection, row: PublishRow) -> None:
    """Record where a publish is now, within the caller's transaction."""
    values = _values(row)
    moved = ("idempotency_key", "stage", "drafts", "findings", "results", "actions", "updated")
    connection.execute(_MOVE, {"of_id": row.id, **{f"new_{name}": values[name] for name in moved}})


def _values(row: PublishRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "idempotency_key": row.idempotency_key,
        "stage": row.stage,
        "drafts": json.dumps(row.drafts),
        "findings": json.dumps(row.findings),
        "results": json.dumps(row.results),
        "actions": json.dumps(row.actions),
        "created": row.created_us,
        "created_by": row.created_by,
        "updated": row.updated_us,
    }


_MOVE: Final = (
    sa.update(publishes)
    .where(publishes.c.id == sa.bindparam("of_id"))
    .values(
        idempotency_key=sa.bindparam("new_idempotency_key"),
        stage=sa.bindparam("new_stage"),
        drafts=sa.bindparam("new_drafts"),
        findings=sa.bindparam("new_findings"),
        results=sa.bindparam("new_results"),
        actions=sa.bindparam("new_actions"),
        updated=sa.bindparam("new_updated"),
    )
)
