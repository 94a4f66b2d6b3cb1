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


def record(connection: sa.Connection, keys: Iterable[int], now_us: int) -> None:
    """Log that the assets of these row *keys* changed, within the caller's transaction."""
    distinct = list(dict.fromkeys(keys))
    if not distinct:
        return
    connection.execute(_MODIFIED, [{"asset_key": key, "at": now_us} for key in distinct])
    connection.execute(sa.insert(changes), [{"asset": key, "at": now_us} for key in distinct])
