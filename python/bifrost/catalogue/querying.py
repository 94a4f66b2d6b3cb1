# SPDX-License-Identifier: Apache-2.0
"""The queries' part of the catalogue's public face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bifrost.catalogue import query as queries
from bifrost.catalogue.database import Database
from bifrost.catalogue.query import saved
from bifrost.catalogue.records import from_microseconds
from bifrost.model.permissions import User, name_of

if TYPE_CHECKING:
    from bifrost.catalogue.query import QueryPage
    from bifrost.catalogue.query.saved import SavedQuery


class QueryCalls:
    """Questions in the language of docs/queries.md. Any thread."""

    _database: Database
    _now_us: Callable[[], int]

    def query(self, document: Mapping[str, Any], *, user: User | None = None) -> QueryPage:
        """
        Return the page of assets, or of groups, that *document* asks for.

        What *user* may not read is as if it weren't there; None asks without rules.

        Raises:
            InvalidQueryException: the document is not of the language; says where and the nearest.
        """
        now = from_microseconds(self._now_us())
        with self._database.read() as connection:
            return queries.query(connection, document, now=now, user=user)

    def save_query(self, name: str, document: Mapping[str, Any], *, user: User = "") -> SavedQuery:
        """
        Keep *document* under *name*, in place of an earlier one.

        Raises:
            InvalidQueryException: the document is not of the language, or the name can't be one.
        """
        with self._database.write() as connection:
            by = name_of(user)
            return saved.save(connection, name, document, now_us=self._now_us(), created_by=by)

    def saved_queries(self) -> list[SavedQuery]:
        """Return the saved queries, by name."""
        with self._database.read() as connection:
            return saved.listed(connection)

    def run_query(
        self,
        name: str,
        overrides: Mapping[str, Any] | None = None,
        *,
        user: User | None = None,
    ) -> QueryPage:
        """
        Return the page of a saved query; *overrides* may be another limit, offset, cursor, fields, count.

        Raises:
            InvalidQueryException: there is none of that name; names the nearest.
        """
        now = from_microseconds(self._now_us())
        with self._database.read() as connection:
            return saved.run(connection, name, overrides, now=now, user=user)

    def forget_query(self, name: str) -> None:
        """
        Forget a saved query.

        Raises:
            InvalidQueryException: there is none of that name; names the nearest.
        """
        with self._database.write() as connection:
            saved.delete(connection, name)
