# SPDX-License-Identifier: Apache-2.0
"""The log of changes, for what changes an asset without publishing a version of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from bifrost.catalogue.schema import assets, changes

_AT: Final = sa.bindparam("at", type_=sa.BigInteger)
# A clock that was set back doesn't take an asset back in time.
_MODIFIED: Final = (
    sa.update(assets)
    .where(assets.c.key == sa.bindparam("asset_key"))
    .values(modified=sa.case((assets.c.modified > _AT, assets.c.modified), else_=_AT))
)


_NEWEST: Final = sa.select(sa.func.coalesce(sa.func.max(changes.c.number), 0))
_EVERYTHING: Final = 0


def record(connection: sa.Connection, keys: Iterable[int], now_us: int) -> None:
    """Log that the assets of these row *keys* changed, within the caller's transaction."""
    distinct = list(dict.fromkeys(keys))
    if not distinct:
        return
    connection.execute(_MODIFIED, [{"asset_key": key, "at": now_us} for key in distinct])
    connection.execute(sa.insert(changes), [{"asset": key, "at": now_us} for key in distinct])


def begin_anew(connection: sa.Connection, now_us: int) -> int:
    """
    Log that everything may have changed; return its number. Within the caller's transaction.

    For a catalogue that was restored: it counts on from where the backup was, and whoever had read
    further would take what comes now for what they know. So the number is the time in microseconds:
    above any number before, those that were lost included.
    """
    number = max(int(connection.execute(_NEWEST).scalar_one()) + 1, now_us)
    connection.execute(sa.insert(changes), {"number": number, "asset": _EVERYTHING, "at": now_us})
    if connection.dialect.name == "postgresql":  # SQLite goes on from the largest by itself
        sequence = sa.func.pg_get_serial_sequence(changes.name, changes.c.number.name)
        connection.execute(sa.select(sa.func.setval(sequence, number)))
    return number
