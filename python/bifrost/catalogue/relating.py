# SPDX-License-Identifier: Apache-2.0
"""The relationships' part of the catalogue's public face."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bifrost.catalogue import access, edge_listing, edges, integrity, relationships, syncing
from bifrost.catalogue.database import Database
from bifrost.catalogue.edge_values import Relationship
from bifrost.catalogue.edges import DEPENDENCY
from bifrost.catalogue.graph import Graph
from bifrost.catalogue.integrity import Break
from bifrost.catalogue.records import NEWEST, Dependency, Dependent, End, VersionPolicy
from bifrost.catalogue.strengths import Strengths
from bifrost.catalogue.syncing import Difference
from bifrost.model.permissions import User


class RelationshipCalls:
    """What leads from asset to asset: what files say, and what people added. Any thread."""

    _database: Database
    _now_us: Callable[[], int]
    strengths: Strengths

    def graph_for(self, user: User | None) -> Graph:
        """Return all relationships as one graph, as *user* may read it; None asks without rules."""
        return Graph(self._database, user)

    def closure(
        self, roots: Iterable[tuple[str, str | None]], policy: VersionPolicy = NEWEST
    ) -> list[tuple[str, str | None]]:
        """
        Return every (asset id, version) that opening *roots* asks for, themselves first.

        They are as the files say them: what floats still floats. Cycles end.
        """
        with self._database.read() as connection:
            return relationships.closure(connection, list(roots), policy)

    def dependencies(self, asset_id: str, version: int) -> list[Dependency]:
        """Return what that version's file needs, in its order."""
        with self._database.read() as connection:
            return relationships.dependencies_of(connection, asset_id, version)

    def dependents(self, asset_id: str) -> list[Dependent]:
        """Return every version whose file needs the asset, by asset id, its newest version first."""
        with self._database.read() as connection:
            return relationships.dependents_of(connection, asset_id)

    def relationships_of(
        self, asset_id: str, number: int | None = None, **filters: Any
    ) -> list[Relationship]:
        """Return a page of edges. See `bifrost.catalogue.edge_listing.relationships_of`."""
        with self._database.read() as connection:
            return edge_listing.relationships_of(connection, asset_id, number, **filters)

    def every_relationship_of(
        self,
        asset_id: str,
        number: int | None = None,
        *,
        after: str = "",
        at_a_time: int = 1000,
        **filters: Any,
    ) -> Iterator[Relationship]:
        """
        Yield every edge that `relationships_of` has, behind the one with the cursor *after*.

        A page is read when its first edge is reached: one round trip for each *at_a_time* edges.
        """
        # One that can be read once is wanted for each page.
        filters = {
            name: list(each) if isinstance(each, Iterator) else each
            for name, each in filters.items()
        }
        while True:
            page = self.relationships_of(asset_id, number, limit=at_a_time, after=after, **filters)
            yield from page
            if len(page) < at_a_time:
                return
            after = page[-1].cursor

    def relationships_of_each(
        self, wanted: Sequence[tuple[str, int | None]], *, limit: int, **filters: Any
    ) -> list[list[Relationship]]:
        """
        Return what `relationships_of` returns for each (asset id, number), as of one moment.

        One connection, and a statement for each.
        """
        with self._database.read() as connection:
            return [
                edge_listing.relationships_of(connection, asset_id, number, limit=limit, **filters)
                for asset_id, number in wanted
            ]

    def add_relationship(
        self,
        source: End,
        target: End,
        relationship_type: str = DEPENDENCY,
        metadata: Mapping[str, Any] | None = None,
        *,
        user: User | None = None,
    ) -> Relationship:
        """
        Add an edge and return it. See `bifrost.catalogue.edges.add`.

        Raises:
            PermissionDeniedException: *user* may not relate *source*; None asks without rules.
        """
        with self._database.write() as connection:
            self._may_relate(connection, user, source)
            return edges.add(
                connection,
                source,
                target,
                relationship_type,
                metadata,
                user=user,
                now_us=self._now_us(),
            )

    def update_relationship(
        self,
        source: End,
        target: End,
        relationship_type: str = DEPENDENCY,
        metadata: Mapping[str, Any] | None = None,
        *,
        replace: bool = False,
        user: User | None = None,
    ) -> Relationship:
        """
        Change what an added edge says and return it. See `bifrost.catalogue.edges.update`.

        Raises:
            PermissionDeniedException: *user* may not relate *source*; None asks without rules.
        """
        with self._database.write() as connection:
            self._may_relate(connection, user, source)
            return edges.update(
                connection,
                source,
                target,
                relationship_type,
                metadata,
                replace=replace,
                user=user,
                now_us=self._now_us(),
            )

    def remove_relationship(
        self,
        source: End,
        target: End,
        relationship_type: str = DEPENDENCY,
        *,
        user: User | None = None,
    ) -> Relationship:
        """
        Remove an added edge and return what it was. See `bifrost.catalogue.edges.remove`.

        Raises:
            PermissionDeniedException: *user* may not relate *source*; None asks without rules.
        """
        with self._database.write() as connection:
            self._may_relate(connection, user, source)
            return edges.remove(
                connection,
                source,
                target,
                relationship_type,
                user=user,
                now_us=self._now_us(),
            )

    def sync_relationships(
        self,
        version: tuple[str, int],
        dependencies: Sequence[Dependency],
        *,
        dry_run: bool = False,
        user: User | None = None,
    ) -> Difference:
        """
        Make what *version* (asset id, number) is said to need *dependencies*, which its file names.

        With *dry_run* only say what that would change. See `bifrost.catalogue.syncing.sync`.

        Raises:
            AssetNotFoundException: there is no such version.
            PermissionDeniedException: *user* may not relate the asset; None asks without rules.
        """
        with self._database.write() as connection:
            if not dry_run:
                self._may_relate(connection, user, (version[0], None))
            return syncing.sync(
                connection,
                version,
                dependencies,
                self.strengths,
                dry_run=dry_run,
                user=user,
                now_us=self._now_us(),
            )

    def located(self, locations: Sequence[str]) -> dict[str, str]:
        """Return by location the assets that lie at *locations*, file URLs. See `syncing.located`."""
        with self._database.read() as connection:
            return syncing.located(connection, locations)

    def validate_relationships(self, *, user: User | None = None) -> list[Break]:
        """
        Return everything that is wrong with relationships, each with its remedy.

        What names an asset that *user* may not read is left out; None asks without rules.
        """
        with self._database.read() as connection:
            return integrity.validate_relationships(connection, user=user)

    def _may_relate(self, connection: Any, user: User | None, source: End) -> None:
        if user is not None:
            access.check(connection, user, [source[0]], "relate")
