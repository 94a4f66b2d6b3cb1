# SPDX-License-Identifier: Apache-2.0
"""Relationships between assets, of our own catalogue."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Any, Unpack

from bifrost.context import Context
from bifrost.errors import Code, InvalidReferenceException
from bifrost.host.asking import Asking, parsed
from bifrost.host.batch_options import BatchOptions
from bifrost.host.batches import Run, run_of
from bifrost.host.recording import recorded
from bifrost.model.entity_reference import AssetReference, reference_for
from bifrost.model.reply import Failure
from bifrost.model.request import Operation, Request

if TYPE_CHECKING:
    from pxr import Sdf

    from bifrost.catalogue.access import Access
    from bifrost.catalogue.edge_values import Relationship
    from bifrost.catalogue.graph import Graph
    from bifrost.catalogue.integrity import Break

_PAGE = 1000


class RelationshipCalls(Asking):
    """
    What leads from asset to asset. Every call raises `UnsupportedOperationException` where another
    manager is configured, and `CatalogueError` where the catalogue can't be used.
    """

    @recorded
    def add_relationship(
        self,
        from_uri: str,
        to_uri: str,
        relationship_type: str = "dependency",
        metadata: Mapping[str, Any] | None = None,
        *,
        layer: Sdf.Layer | str | os.PathLike[str] | None = None,
        context: Context | None = None,
    ) -> dict[str, Any]:
        """
        Add a relationship and return it, as `get_relationships_with_metadata` does.

        Args:
            from_uri: Where it starts: with a version number it belongs to that version, without to
                the whole asset.
            to_uri: Where it leads: with a version number it is pinned, else it floats.
            relationship_type: A word of the caller's.
            metadata: `purpose`, `context`, `overrides` and whatever else JSON can say; `optional`
                (true: weak) or `strength`: `strong`, `weak` or `reference`.
            layer: A working layer, or its file, to write it into as an arc of the kind *relationship_type*,
                as `author_arcs` does: *metadata* says where, `{"prim_path": "/World/Chair"}`.
            context: Who adds it.

        Raises:
            AssetNotFoundException: an end is not there; with suggestions.
            ConflictException: it is there already, or it is strong and would close a circle.
            InvalidReferenceException: both ends are one asset, or *from_uri* names a status.
            InvalidTraitsException: the type or the metadata can't be stored.
            PermissionDeniedException: who asks may not relate the asset.
            As `author_arcs`, of *layer*: nothing was added then.
        """
        catalogue = self.session.own_catalogue("adding relationships")
        said = {"to": to_uri, "type": relationship_type, "metadata": metadata}
        ends, user = (_end(from_uri), _end(to_uri), relationship_type), self._user(context)
        with nullcontext() if layer is None else self._writing(layer, said, context) as write:
            made = catalogue.add_relationship(*ends, metadata, user=user)
            try:
                if write is not None:
                    write()
            except BaseException:
                catalogue.remove_relationship(*ends, user=user)
                raise
        self._forget(made.from_id)
        return _shown(made)

    @recorded
    def update_relationship(
        self,
        from_uri: str,
        to_uri: str,
        relationship_type: str = "dependency",
        metadata: Mapping[str, Any] | None = None,
        *,
        replace: bool = False,
        context: Context | None = None,
    ) -> dict[str, Any]:
        """
        Set keys of a relationship's metadata, those of value None removed; return it.

        With *replace* it says *metadata* and nothing else.

        Raises:
            AssetNotFoundException: there is no such relationship.
            ConflictException: it would become strong and close a circle.
            UnsupportedOperationException: a version's file says it; that is written once.
            As `add_relationship`.
        """
        catalogue = self.session.own_catalogue("changing relationships")
        made = catalogue.update_relationship(
            _end(from_uri),
            _end(to_uri),
            relationship_type,
            metadata,
            replace=replace,
            user=self._user(context),
        )
        self._forget(made.from_id)
        return _shown(made)

    @recorded
    def remove_relationship(
        self,
        from_uri: str,
        to_uri: str,
        relationship_type: str = "dependency",
        *,
        context: Context | None = None,
    ) -> dict[str, Any]:
        """
        Remove a relationship that somebody added; return what it was.

        Raises:
            AssetNotFoundException: there is no such relationship.
            UnsupportedOperationException: a version's file says it; that is written once.
            PermissionDeniedException: who asks may not relate the asset.
        """
        catalogue = self.session.own_catalogue("removing relationships")
        gone = catalogue.remove_relationship(
            _end(from_uri), _end(to_uri), relationship_type, user=self._user(context)
        )
        self._forget(gone.from_id)
        return _shown(gone)

    @recorded
    def get_relationships_with_metadata(
        self,
        asset_uri: str,
        *,
        direction: str = "out",
        kinds: Iterable[str] | None = None,
        strengths: Iterable[str] | None = None,
        purposes: Iterable[str] | None = None,
        limit: int | None = None,
        after: str = "",
        context: Context | None = None,
    ) -> list[dict[str, Any]]:
        """
        Return an asset's relationships, those that its file says and those that were added.

        Each is `{"from", "to", "type", "strength", "purpose", "metadata", "pinned", "origin",
        "created", "created_by", "cursor"}`; origin is `file` or `added`, created an ISO 8601 time.

        Args:
            asset_uri: The asset; what floats is its newest version.
            direction: `out`: what it needs; `in`: what needs it; `both`.
            kinds: Only these types.
            strengths: Only these of `strong`, `weak` and `reference`.
            purposes: Only those of these purposes.
            limit: At most so many; None for all.
            after: The `cursor` of the last one of the page before.
            context: Who asks.

        Raises:
            AssetNotFoundException: no such asset; with suggestions.
            InvalidReferenceException: *direction* or *after* is none.
            InvalidQueryException: *limit* is no number from 0 up.
            InvalidTraitsException: one of *strengths* is none.
            PermissionDeniedException: who asks may not read the asset.
        """
        catalogue = self.session.own_catalogue("relationships with metadata")

        from bifrost.catalogue.query.values import MAX_INTEGER, as_integer

        if limit is not None:
            as_integer(limit, "limit", MAX_INTEGER)
        asset_id, number = self._place(asset_uri, context)
        at_a_time = _PAGE if limit is None else max(1, min(_PAGE, limit))
        filters = {"kinds": kinds, "strengths": strengths, "purposes": purposes}
        found = catalogue.every_relationship_of(
            asset_id, number, after=after, at_a_time=at_a_time, direction=direction, **filters
        )
        return [_shown(each) for each in islice(found, limit)]

    @recorded
    def get_relationships_of_assets(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[list[dict[str, Any]]]:
        """
        Return what leads away from each of *uris*, as `get_relationships_with_metadata` does for one.

        A batch call: see `bifrost.host.batch_calls.BatchCalls`.

        Raises:
            As `get_relationships_with_metadata`, for the first one that fails, unless `on_error` says
            otherwise.
        """
        return self._edges(batch_size, options).listed(uris)

    def iter_get_relationships_of_assets(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield what `get_relationships_of_assets` returns, in bounded memory."""
        return self._edges(batch_size, options).streamed(uris)

    async def aget_relationships_of_assets(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[list[dict[str, Any]]]:
        """Return what `get_relationships_of_assets` returns, without holding up the event loop."""
        return await self._edges(batch_size, options).awaited(uris)

    @recorded
    def validate_relationships(self, *, context: Context | None = None) -> list[Break]:
        """
        Return everything that is wrong with relationships, errors first, each with its remedy.

        What names an asset that who asks may not read is left out.
        """
        catalogue = self.session.own_catalogue("relationships")
        found: list[Break] = catalogue.validate_relationships(user=self._user(context))
        return found

    @property
    def graph(self) -> Graph:
        """
        All relationships as one graph: dependencies, dependents, impact, orphans, cycles, order,
        path, diff. See `bifrost.catalogue.graph.Graph`; `bifrost.catalogue.export` writes pictures.
        What who asks, by the active context, may not read is as if it weren't there.
        """
        user = self._user(None)
        return self.session.own_catalogue("the graph of relationships").graph_for(user)

    def _writing(
        self, layer: Any, relationship: Mapping[str, Any], context: Context | None
    ) -> AbstractContextManager[Callable[[], object]]:
        from bifrost.host.usd_arcs import arc_calls

        return arc_calls(self.session).writing(layer, relationship, context)

    def _edges(self, batch_size: int, options: BatchOptions) -> Run:
        # Who may read an asset is told of what leads away from it: that is asked like any resolution.
        return run_of(self.session, Operation.EXISTS, batch_size, options, self._edges_of_window)

    def _edges_of_window(self, request: Request) -> list[Any]:
        """Ask which of the entities exist, in parts; then the catalogue for the edges of those."""
        catalogue = self.session.own_catalogue("relationships with metadata")
        outcomes = [
            found if isinstance(found, Failure) else parsed(reference) if found else None
            for reference, found in self.session.ask(request).items()
        ]
        there = [each for each in outcomes if isinstance(each, AssetReference)]
        allowed = catalogue.access(self._user(request.context), [each.asset_id for each in there])
        places = self._places([each for each in there if allowed.allow(each.asset_id, "read")])
        edges = iter(catalogue.relationships_of_each(places, limit=_PAGE))
        whole = (self._whole(*place, next(edges)) for place in places)
        return [
            _nothing(reference, one, allowed)
            if not isinstance(one, AssetReference) or not allowed.allow(one.asset_id, "read")
            else [_shown(edge) for edge in next(whole)]
            for reference, one in zip(request.references, outcomes, strict=True)
        ]

    def _places(self, asked: Sequence[AssetReference]) -> list[tuple[str, int | None]]:
        """Return the asset and the version, None where it floats, that each of *asked* is of."""
        catalogue = self.session.own_catalogue("relationships with metadata")
        versioned = [(each.asset_id, each.version) for each in asked if each.version is not None]
        numbers = iter(catalogue.resolve(versioned))
        return [
            (
                each.asset_id,
                None if each.version is None else getattr(next(numbers), "number", None),
            )
            for each in asked
        ]

    def _whole(
        self, asset_id: str, number: int | None, page: list[Relationship]
    ) -> list[Relationship]:
        """Return *page* with what comes behind it, where it is full."""
        if len(page) < _PAGE:
            return page
        catalogue = self.session.own_catalogue("relationships with metadata")
        rest = catalogue.every_relationship_of(asset_id, number, after=page[-1].cursor)
        return [*page, *rest]

    def _place(self, asset_uri: str, context: Context | None) -> tuple[str, int | None]:
        asked = parsed(asset_uri)
        if asked.version is not None:
            version = self._record(asset_uri, context)
            return version.asset_id, version.number
        self._check_readable(asked.asset_id, context)
        self._existing(asked.asset_id, context)
        return asked.asset_id, None


def _nothing(reference: str, outcome: AssetReference | Failure | None, allowed: Access) -> Failure:
    """Return why there are no edges: it isn't there, couldn't be asked about, or may not be read."""
    if isinstance(outcome, Failure):
        return outcome
    refused = None if outcome is None else allowed.refusal(outcome.asset_id, "read")
    if refused is None:
        return Failure(Code.NOT_FOUND, f"the catalogue has no {reference}")
    details = {"required_permission": refused.action}
    return Failure(Code.PERMISSION_DENIED, refused.message, details=details)


def _end(asset_uri: str) -> tuple[str, str | None]:
    asked = parsed(asset_uri)
    if asked.representation or asked.publish:
        raise InvalidReferenceException(
            "a relationship is between assets or versions",
            asset_uri=asset_uri,
            code=Code.MALFORMED_REFERENCE,
        )
    return asked.asset_id, asked.version


def _shown(edge: Relationship) -> dict[str, Any]:
    return {
        "from": reference_for(edge.from_id, edge.from_number or None),
        "to": reference_for(edge.to_id, edge.to_version),
        "type": edge.kind,
        "strength": edge.strength,
        "purpose": edge.purpose,
        "metadata": edge.metadata,
        "pinned": edge.is_pinned,
        "origin": edge.origin,
        "created": edge.created.isoformat(),
        "created_by": edge.created_by,
        "cursor": edge.cursor,
    }
