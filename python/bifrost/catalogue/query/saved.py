# SPDX-License-Identifier: Apache-2.0
"""Queries kept in the catalogue under a name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.query.results import QueryPage, date_text
from bifrost.catalogue.query.running import query, read
from bifrost.catalogue.query.values import as_object, as_text, described, invalid
from bifrost.catalogue.records import from_microseconds, shown, to_microseconds
from bifrost.catalogue.schema import saved_queries
from bifrost.model.permissions import User

_MAX_NAME: Final = 200
_MAX_BYTES: Final = 1_000_000
_OVERRIDDEN: Final = ("limit", "offset", "cursor", "fields", "count")


class SavedQuery(NamedTuple):
    """
    A query under a name.

    Attributes:
        name: Its name.
        document: What was saved; dates are text.
        created_us: When it was saved last, in microseconds since the epoch.
        created_by: Who did, or "".
    """

    name: str
    document: dict[str, Any]
    created_us: int
    created_by: str


_ALL: Final = sa.select(saved_queries).order_by(saved_queries.c.name)
_ONE: Final = sa.select(saved_queries).where(saved_queries.c.name == sa.bindparam("wanted"))
_NAMES: Final = sa.select(saved_queries.c.name).order_by(saved_queries.c.name).limit(10_000)
_DELETE: Final = sa.delete(saved_queries).where(saved_queries.c.name == sa.bindparam("wanted"))


def save(
    connection: sa.Connection,
    name: str,
    document: Mapping[str, Any],
    *,
    now_us: int,
    created_by: str = "",
) -> SavedQuery:
    """
    Keep *document* under *name* instead of what was there; within the caller's transaction.

    `now` in it is the time of each run.

    Raises:
        InvalidQueryException: it is no query, or the name can't be one.
    """
    _check_name(name)
    read(document, from_microseconds(now_us))
    text = json.dumps(document, default=_as_text, ensure_ascii=False, allow_nan=False)
    if len(text.encode()) > _MAX_BYTES:
        raise invalid("$", f"at most {_MAX_BYTES} bytes, got {len(text.encode())}")
    connection.execute(_DELETE, {"wanted": name})
    connection.execute(
        sa.insert(saved_queries),
        {"name": name, "query": text, "created": now_us, "created_by": created_by},
    )
    return SavedQuery(name, json.loads(text), now_us, created_by)


def get(connection: sa.Connection, name: str) -> SavedQuery:
    """
    Return the query of that name.

    Raises:
        InvalidQueryException: there is none; the error knows the nearest.
    """
    _check_name(name)
    row = connection.execute(_ONE, {"wanted": name}).one_or_none()
    if row is None:
        raise _no_such(connection, name)
    return _record(row)


def listed(connection: sa.Connection) -> list[SavedQuery]:
    """Return every saved query, by name."""
    return [_record(row) for row in connection.execute(_ALL)]


def delete(connection: sa.Connection, name: str) -> None:
    """
    Forget the query of that name.

    Raises:
        InvalidQueryException: there is none; the error knows the nearest.
    """
    _check_name(name)
    if not connection.execute(_DELETE, {"wanted": name}).rowcount:
        raise _no_such(connection, name)


def run(
    connection: sa.Connection,
    name: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    now: datetime | None = None,
    user: User | None = None,
) -> QueryPage:
    """
    Return the page of the query of that name; *overrides* are another page's `limit`, `cursor`…

    *now* and *user* are those of `query`.

    Raises:
        InvalidQueryException: there is none, or an override is none of `limit`, `offset`, `cursor`,
            `fields` and `count`.
    """
    document = get(connection, name).document
    for key in as_object(overrides or {}, "$"):
        if key not in _OVERRIDDEN:
            message = (
                f"a saved query's {', '.join(_OVERRIDDEN)} can be given anew, not {shown(key)}"
            )
            raise invalid("$", message, name=key[:200], known=_OVERRIDDEN)
    return query(connection, {**document, **(overrides or {})}, now=now, user=user)


def _check_name(name: Any) -> None:
    text = as_text(name, "the name of a saved query")
    if not text.strip() or len(text) > _MAX_NAME or not text.isprintable():
        message = f"expected 1 to {_MAX_NAME} printable characters, got {described(text)}"
        raise invalid("the name of a saved query", message)


def _no_such(connection: sa.Connection, name: str) -> Exception:
    names = list(connection.execute(_NAMES).scalars())
    return invalid("$", f"there is no saved query {shown(name)}", name=name, known=names)


def _record(row: Any) -> SavedQuery:
    return SavedQuery(row.name, json.loads(row.query), row.created, row.created_by)


def _as_text(value: Any) -> Any:
    if isinstance(value, datetime):
        return date_text(to_microseconds(value))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(described(value))
