# SPDX-License-Identifier: Apache-2.0
"""Queries over our own catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bifrost.context import Context
from bifrost.host.asking import Asking
from bifrost.host.recording import recorded

if TYPE_CHECKING:
    from bifrost.catalogue.query import QueryPage
    from bifrost.catalogue.query.saved import SavedQuery


class QueryCalls(Asking):
    """
    Questions in the language of docs/queries.md. Every call raises `UnsupportedOperationException`
    where another manager is configured, and `CatalogueError` where the catalogue can't be used.
    """

    @recorded
    def query_assets(
        self, query: Mapping[str, Any], *, context: Context | None = None
    ) -> QueryPage:
        """
        Return the assets that *query* asks for, those that who asks may read.

        The page is a list of dictionaries, with the `cursor` of the next page or None, and the
        `total` where the query says `"count": true`. With `aggregate` they are groups.

        Raises:
            InvalidQueryException: *query* is not of the language; `where`, `name` and `nearest` tell.
        """
        catalogue = self.session.own_catalogue("a query")
        return catalogue.query(query, user=self._user(context))

    @recorded
    def save_query(
        self, name: str, query: Mapping[str, Any], *, context: Context | None = None
    ) -> SavedQuery:
        """
        Keep *query* under *name*, in place of an earlier one.

        Raises:
            InvalidQueryException: *query* is not of the language, or the name can't be one.
        """
        catalogue = self.session.own_catalogue("a query")
        return catalogue.save_query(name, query, user=self._user(context))

    @recorded
    def saved_queries(self, *, context: Context | None = None) -> list[SavedQuery]:
        """Return the saved queries, by name."""
        self._authenticate(context)
        return self.session.own_catalogue("a query").saved_queries()

    @recorded
    def run_saved_query(
        self,
        name: str,
        overrides: Mapping[str, Any] | None = None,
        *,
        context: Context | None = None,
    ) -> QueryPage:
        """
        Return the page of a saved query; *overrides* may be another limit, offset, cursor, fields, count.

        Raises:
            InvalidQueryException: there is none of that name; names the nearest.
        """
        catalogue = self.session.own_catalogue("a query")
        return catalogue.run_query(name, overrides, user=self._user(context))

    @recorded
    def forget_query(self, name: str, *, context: Context | None = None) -> None:
        """
        Forget a saved query.

        Raises:
            InvalidQueryException: there is none of that name; names the nearest.
        """
        self._authenticate(context)
        self.session.own_catalogue("a query").forget_query(name)
