# SPDX-License-Identifier: Apache-2.0
"""What can be asked about the graph of relationships: each method one question."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from bifrost.catalogue import access, analysis, edge_ends, walks, whole_graph
from bifrost.catalogue.analysis import Affected, GraphDiff, Reached
from bifrost.catalogue.database import Database
from bifrost.catalogue.edge_values import STRENGTHS
from bifrost.catalogue.graphs import GraphEdge, Node, Subgraph
from bifrost.catalogue.query.values import invalid
from bifrost.catalogue.records import NEWEST, End, VersionPolicy, shown
from bifrost.catalogue.relationships import split
from bifrost.catalogue.whole_graph import Cycle, Orphan
from bifrost.model.permissions import User

Strengths = Iterable[str] | None
"""Some of `strong`, `weak` and `reference`; None for all."""

Asked = tuple[str, str | int | None]
"""An asset's id and a version: a number, a tag, or None."""


class Graph:
    """
    The relationships of a catalogue as one graph, those of the files and those that were added.

    Its nodes are versions: what floats leads to the version that it means today. Any thread may ask.
    A method raises `AssetNotFoundException` for an asset that isn't there, and `CatalogueError` where
    the database fails. Those that look at every asset at once (`cycles`, and `order`) need the extra
    `graph`, and raise `ConfigurationError` without it. What is no (id, version) is an
    `InvalidQueryException`.

    What *user* may not read is as if it weren't there, and so is what only it leads to; a method that is
    asked about it raises `PermissionDeniedException`. None asks without rules.
    """

    def __init__(self, database: Database, user: User | None = None) -> None:
        self._database = database
        self._user = user

    def dependencies(
        self,
        asset_id: str,
        version: str | int | None = None,
        *,
        depth: int | None = None,
        strengths: Strengths = None,
        policy: VersionPolicy = NEWEST,
    ) -> list[Reached]:
        """Return what the version needs, itself not, nearest first; at most *depth* edges away."""
        with self._asked((asset_id, version)) as (connection, ends):
            return analysis.dependencies(
                connection,
                ends,
                depth=depth,
                strengths=strengths,
                policy=policy,
                user=self._user,
            )

    def dependents(
        self,
        asset_id: str,
        version: str | int | None = None,
        *,
        depth: int | None = None,
        strengths: Strengths = None,
        every_version: bool = False,
    ) -> list[Reached]:
        """
        Return what needs the version, any version where it is None, nearest first.

        That is newest versions, and what these need; with *every_version* all of them.
        """
        with self._asked((asset_id, version)) as (connection, ends):
            return analysis.dependents(
                connection,
                ends,
                depth=depth,
                strengths=strengths,
                every_version=every_version,
                user=self._user,
            )

    def impact(
        self,
        asset_id: str,
        version: str | int | None = None,
        *,
        depth: int | None = None,
        strengths: Strengths = None,
    ) -> list[Affected]:
        """
        Return the assets that changing this one would affect, nearest first.

        With a version, those that would be affected if it were gone.
        """
        with self._asked((asset_id, version)) as (connection, [end]):
            return analysis.impact(
                connection, *end, depth=depth, strengths=strengths, user=self._user
            )

    def orphans(
        self, *, types: Iterable[str] | str | None = None, after: str = "", limit: int = 1000
    ) -> list[Orphan]:
        """
        Return up to *limit* assets that no version of another needs, strongly or weakly, by id.

        The last one's id is the next page's *after*.

        Raises:
            InvalidQueryException: *limit* is no number from 0 up.
        """
        with self._database.read() as connection:
            return whole_graph.orphans(
                connection, types=types, after=after, limit=limit, user=self._user
            )

    def cycles(self, *, strengths: Strengths = STRENGTHS[:1]) -> list[Cycle]:
        """Return every set of versions that need each other, with one way around for each."""
        with self._database.read() as connection:
            return whole_graph.cycles(connection, strengths=strengths, user=self._user)

    def order(
        self, roots: Iterable[Asked] | None = None, *, strengths: Strengths = STRENGTHS[:1]
    ) -> list[Node]:
        """
        Return *roots* and what they need so that each comes behind what it needs; None for all.

        Raises:
            ConflictException: there is no order, because versions need each other.
        """
        given = _listed(roots)
        with self._asked(*given) as (connection, ends):
            asked = None if roots is None else ends
            return whole_graph.order(connection, asked, strengths=strengths, user=self._user)

    def path(
        self, source: Asked, target: Asked, *, strengths: Strengths = None
    ) -> list[GraphEdge] | None:
        """
        Return a shortest way by which *source* needs *target*; None where it doesn't.

        A target without a number is any version of the asset. Both the same: no edges.
        """
        with self._asked(source, target) as (connection, ends):
            return analysis.path(connection, *ends, strengths=strengths, user=self._user)

    def diff(self, before: Asked, after: Asked, *, strengths: Strengths = None) -> GraphDiff:
        """Return how what *after* needs, at any depth, differs from what *before* needs."""
        with self._asked(before, after) as (connection, ends):
            return analysis.diff(connection, *ends, strengths=strengths, user=self._user)

    def subgraph(
        self,
        roots: Iterable[Asked] | None,
        *,
        direction: str = "out",
        depth: int | None = None,
        strengths: Strengths = None,
    ) -> Subgraph:
        """
        Return what *roots* need (`out`), or what needs them (`in`), as a graph to export.

        None for roots is every asset, whatever the direction and depth.
        """
        given = _listed(roots)
        with self._asked(*given) as (connection, ends):
            asked = None if roots is None else ends
            if asked is not None and direction == "in":
                return walks.back(
                    connection, asked, depth=depth, strengths=strengths, user=self._user
                )
            return walks.forth(connection, asked, depth=depth, strengths=strengths, user=self._user)

    @contextmanager
    def _asked(self, *given: Asked) -> Iterator[tuple[sa.Connection, list[End]]]:
        """Lend a connection, once it is clear that the ends *given* are there, and may be read."""
        ends = [_end(each) for each in given]
        with self._database.read() as connection:
            for end in ends:
                edge_ends.key_of(connection, *split(*end)[:2], self._user)
            if ends and self._user is not None:
                access.check(connection, self._user, [end[0] for end in ends], "read")
            yield connection, ends


def _listed(roots: Iterable[Asked] | None) -> list[Asked]:
    if isinstance(roots, str):
        raise invalid("roots", f"expected (id, version) pairs in a list, got {shown(roots)}")
    return list(roots or ())


def _end(given: Asked) -> End:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise invalid("graph", f"expected (id, version), got {shown(repr(given))}")
    asset_id, version = given
    return asset_id, None if version is None else str(version)
