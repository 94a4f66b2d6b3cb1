# SPDX-License-Identifier: Apache-2.0
"""
Each version's workflow stage, which moves there are, and who moved what when and why.

A version that nobody moved is at the workflow's first stage; it has no row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue import changes
from bifrost.catalogue.checks import check_text
from bifrost.catalogue.dialect import each_row, number_item, text_item
from bifrost.catalogue.records import VersionRecord, shown
from bifrost.catalogue.schema import assets, status_history, version_status
from bifrost.errors import Code, ConfigurationError, ConflictException
from bifrost.model.entity_reference import LATEST, parse, reference_for

_DEFAULT: Final = (
    "wip > review; review > approved rejected wip; rejected > wip; approved > review retired; "
    "retired > approved"
)
_MAX_REASON_BYTES: Final = 10_000


class Workflow(NamedTuple):
    """
    The stages of versions.

    Attributes:
        first: The stage of a version that nobody moved yet.
        moves: To which stages a version may be moved from each stage.
    """

    first: str
    moves: dict[str, tuple[str, ...]]

    @classmethod
    def parse(cls, text: str) -> Workflow:
        """
        Return the workflow that *text* describes: `wip > review; review > approved wip`.

        The first stage named is the first. An empty text is the default workflow.

        Raises:
            ConfigurationError: it describes none.
        """
        moves: dict[str, tuple[str, ...]] = {}
        for rule in filter(str.strip, (text or _DEFAULT).split(";")):
            before, arrow, after = (part.strip() for part in rule.partition(">"))
            if not arrow or not before or before in moves:
                raise ConfigurationError(
                    f"catalogue.workflow: expected '<stage> > <stage> <stage>; …', got {rule!r}"
                )
            moves[before] = tuple(after.split())
        for stage in [stage for after in moves.values() for stage in after]:
            moves.setdefault(stage, ())
        for stage in moves:
            if stage == LATEST or not _is_tag(stage):
                raise ConfigurationError(
                    f"catalogue.workflow: {stage!r} can't be a stage: references could not name it"
                )
        if not moves:
            raise ConfigurationError(f"catalogue.workflow: no stage in {shown(text)}")
        return cls(next(iter(moves)), moves)


def _is_tag(stage: str) -> bool:
    try:
        return not parse(reference_for("asset", stage)).is_pinned
    except ValueError:
        return False


class Move(NamedTuple):
    """
    That a version went from one stage to another.

    Attributes:
        before: Where it was.
        status: Where it went.
        at_us: When, in microseconds since the epoch.
        by: Who moved it, or "".
        reason: Why, or "".
    """

    before: str
    status: str
    at_us: int
    by: str
    reason: str


class StatusRecord(NamedTuple):
    """
    Where a version stands.

    Attributes:
        status: Its stage.
        moves: The stages it may go to from here.
        history: How it came here, oldest first.
    """

    status: str
    moves: tuple[str, ...]
    history: tuple[Move, ...]


_asked = each_row("versions", "asked")
_HISTORY: Final = (
    sa.select(
        assets.c.id,
        status_history.c.number,
        status_history.c.before,
        status_history.c.status,
        status_history.c.at,
        status_history.c.by,
        status_history.c.reason,
    )
    .select_from(
        _asked.join(assets, assets.c.id == text_item(_asked, 0)).join(
            status_history,
            (status_history.c.asset == assets.c.key)
            & (status_history.c.number == number_item(_asked, 1)),
        )
    )
    .order_by(status_history.c.key)
)


def statuses(
    connection: sa.Connection, workflow: Workflow, versions: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], StatusRecord]:
    """Return where each (asset id, number) stands. One statement."""
    histories: dict[tuple[str, int], list[Move]] = {version: [] for version in versions}
    for row in connection.execute(_HISTORY, {"versions": json.dumps(list(histories))}):
        histories[row[0], row[1]].append(Move(*row[2:]))
    return {version: _record(workflow, history) for version, history in histories.items()}


def status_of(
    connection: sa.Connection, workflow: Workflow, asset_id: str, number: int
) -> StatusRecord:
    """Return where version *number* of the asset stands. One statement."""
    return statuses(connection, workflow, [(asset_id, number)])[asset_id, number]


def _record(workflow: Workflow, history: list[Move]) -> StatusRecord:
    status = history[-1].status if history else workflow.first
    return StatusRecord(status, workflow.moves.get(status, ()), tuple(history))


_KEY: Final = sa.select(assets.c.key).where(assets.c.id == sa.bindparam("asset_id"))
_FORGET: Final = sa.delete(version_status).where(
    version_status.c.asset == sa.bindparam("gone"),
    version_status.c.number == sa.bindparam("gone_number"),
)
_NEWEST: Final = (
    sa.update(assets)
    .where(
        assets.c.key == sa.bindparam("moved"), assets.c.latest_version == sa.bindparam("at_number")
    )
    .values(status=sa.bindparam("new_status"))
)


def set_status(
    connection: sa.Connection,
    workflow: Workflow,
    version: VersionRecord,
    status: str,
    *,
    user: str,
    reason: str,
    now_us: int,
) -> StatusRecord:
    """
    Move *version* to *status*, within the caller's transaction; return where it stands then.

    Moving it to where it is changes nothing and is no move.

    Raises:
        ConflictException: the workflow has no such stage, or no such move from where it is.
        InvalidTraitsException: *reason* or *user* can't be stored.
    """
    check_text(version.asset_id, "user", user, 1000)
    check_text(version.asset_id, "comment", reason, _MAX_REASON_BYTES)
    before = status_of(connection, workflow, version.asset_id, version.number)
    if status == before.status:
        return before
    if status not in before.moves:
        raise _no_such_move(workflow, version, before, status)
    key = connection.execute(_KEY, {"asset_id": version.asset_id}).scalar_one()
    connection.execute(_FORGET, {"gone": key, "gone_number": version.number})
    connection.execute(
        sa.insert(version_status), {"asset": key, "number": version.number, "status": status}
    )
    connection.execute(
        sa.insert(status_history),
        {
            "asset": key,
            "number": version.number,
            "before": before.status,
            "status": status,
            "at": now_us,
            "by": user,
            "reason": reason,
        },
    )
    connection.execute(_NEWEST, {"moved": key, "at_number": version.number, "new_status": status})
    changes.record(connection, [key], now_us)
    return status_of(connection, workflow, version.asset_id, version.number)


def _no_such_move(
    workflow: Workflow, version: VersionRecord, before: StatusRecord, status: str
) -> ConflictException:
    reference = reference_for(version.asset_id, version.number)
    if status not in workflow.moves:
        what = f"there is no stage {shown(status)}; there are {', '.join(workflow.moves)}"
    else:
        ways = ", ".join(before.moves) or "nowhere"
        what = f"from '{before.status}' it can go to {ways}, not to '{status}'"
    return ConflictException(f"{reference}: {what}", asset_uri=reference, code=Code.CONFLICT)
