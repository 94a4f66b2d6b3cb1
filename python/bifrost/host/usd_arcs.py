# SPDX-License-Identifier: Apache-2.0
"""Composition arcs: read as relationships, written from relationships, moved to other assets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bifrost.context import Context, effective
from bifrost.errors import Code, ConflictException
from bifrost.host.asking import Asking, parsed
from bifrost.host.recording import recorded
from bifrost.model.entity_reference import is_asset_reference, parse, reference_for
from bifrost.model.request import Operation, Request
from bifrost.session import Session

if TYPE_CHECKING:
    from pxr import Sdf

    from bifrost.catalogue import VersionRecord
    from bifrost.catalogue.strengths import Strengths
    from bifrost.catalogue.syncing import Difference
    from bifrost.usd.arc_sources import Source
    from bifrost.usd.extraction import Arc
    from bifrost.usd.retargeting import Retargeting


class UsdArcCalls(Asking):
    """
    Arcs of layers and stages. What changes the catalogue raises `UnsupportedOperationException` where
    another manager is configured. Layers and stages are the caller's: one thread at a time edits them.
    """

    @recorded
    def extract_arcs(
        self, source: Source, *, closure: bool = False, context: Context | None = None
    ) -> list[Arc]:
        """
        Return the arcs of a layer, or of every layer that a stage uses.

        Nothing is composed. Each says where it stands, exactly, which entity it names, and how strongly
        that binds (`catalogue.strengths`): `bifrost.usd.extraction.Arc`.

        Args:
            source: A layer, a stage, an entity reference, or a file.
            closure: Of a reference or file: also the arcs of every layer under it, in variants that are
                not selected, too; each `problem` says what is missing or closes a circle. One round trip
                for each breadth.
            context: Who asks.

        Raises:
            LocationException: there is no such file.
            InvalidTraitsException: it is no layer that USD can read; says why.
            AssetException: as `resolve_asset_path`, of *source*.
        """
        from bifrost.usd.arc_sources import arcs_in

        strengths = self._strengths()
        if closure and isinstance(source, str | os.PathLike):
            return self._closure(source, strengths, context)
        return arcs_in(source, self._locate(context), strengths)

    @recorded
    def sync_relationships(
        self, asset_uri: str, *, dry_run: bool = False, context: Context | None = None
    ) -> Difference:
        """
        Make what the catalogue says that a version's file names agree with the file; return the difference.

        Publishing does this: there is none right after it. There can be one later, when what the file
        names came into the catalogue after it, or `catalogue.strengths` changed. Relationships that people
        added stay.

        Args:
            asset_uri: The asset; what floats is its newest version.
            dry_run: Whether only to say what would change.
            context: Who asks.

        Raises:
            AssetNotFoundException: no such asset or version; with suggestions.
            InvalidTraitsException: the file is a layer that USD can't read; the catalogue stays.
            LocationException: the version has no file, or it is not there; the catalogue stays.
            PermissionDeniedException: who asks may not relate the asset.
        """
        from bifrost.usd.arc_sync import named_by

        catalogue = self.session.own_catalogue("synchronizing relationships")
        version = self._record(asset_uri, context)
        found = catalogue.sync_relationships(
            (version.asset_id, version.number),
            named_by(version, catalogue, self._are_there),
            dry_run=dry_run,
            user=self._user(context),
        )
        if found and not dry_run:
            self._forget(version.asset_id)
        return found

    @recorded
    def author_arcs(
        self,
        layer: Sdf.Layer | str | os.PathLike[str],
        relationships: str | Iterable[Arc | Mapping[str, Any]],
        *,
        context: Context | None = None,
    ) -> list[Arc]:
        """
        Write relationships as arcs into a working layer; return those that were not there yet.

        All or none. Prims that are missing are defined. A layer is edited and left to the caller to save;
        a file is saved.

        Args:
            layer: A layer, or the file of one.
            relationships: Arcs; or relationships as `get_relationships_with_metadata` returns them or
                `add_relationship` takes them, whose metadata says where (`bifrost.usd.arc_relationships`);
                or an asset: the relationships that were added to it and say where.
            context: Who asks.

        Raises:
            InvalidTraitsException: one can't be written as an arc: a prim path that doesn't parse, no prim
                path…; says which and why.
            ConflictException: it would take the place of something else that is there.
            PermissionDeniedException: the layer is published, or may not be edited.
            StorageException: the file can't be saved.
            AssetNotFoundException: there is no such asset; with suggestions.
        """
        from bifrost.usd.arc_relationships import arcs_from, is_arc
        from bifrost.usd.arc_sources import layer_of, saved
        from bifrost.usd.authoring import author
        from bifrost.usd.extraction import Arc

        if isinstance(relationships, str):
            relationships = [each for each in self._added(relationships, context) if is_arc(each)]
        arcs = [
            arc
            for each in relationships
            for arc in ([each] if isinstance(each, Arc) else arcs_from([each]))
        ]
        target = layer_of(layer, self._locate(context))
        self._check_unpublished(target, context)
        made = author(target, arcs)
        if isinstance(layer, str | os.PathLike):
            saved(target)
        return made

    @contextlib.contextmanager
    def writing(
        self, layer: Any, relationship: Mapping[str, Any], context: Context | None
    ) -> Iterator[Callable[[], object]]:
        """
        Make sure that *relationship* can be written into *layer*; the block is given what writes it.

        Raises:
            As `author_arcs`.
        """
        from bifrost.usd.arc_checks import checked
        from bifrost.usd.arc_relationships import arcs_from
        from bifrost.usd.arc_sources import layer_of

        target = layer_of(layer, self._locate(context))
        self._check_unpublished(target, context)
        checked(target, arcs := arcs_from([relationship]))
        yield lambda: self.author_arcs(layer, arcs, context=context)

    @recorded
    def retarget(
        self,
        source: Source,
        old: str,
        new: str,
        *,
        dry_run: bool = False,
        comment: str = "",
        context: Context | None = None,
    ) -> Retargeting:
        """
        Move a shot from one asset or version to another, wherever it uses it; return what moved.

        A stage's or layer's arcs are edited and left to the caller to save or publish; a file is saved; of
        an asset a next version is published. Layers of other published assets stay as they are: their moves
        have a `problem` that says so.

        Args:
            source: A stage, a layer, a file, or an asset.
            old: The reference to move away from. Without a version: the asset, in whatever version.
            new: The reference to move to, written as it is given: without a version it floats.
            dry_run: Whether only to say what would move.
            comment: What to say about the version that is published.
            context: Who asks.

        Raises:
            AssetNotFoundException: there is no *new*; with suggestions.
            ConflictException: *new* needs the asset that is to be moved, so that it would need itself.
            InvalidReferenceException: *new* is malformed.
            As `register_version`, of an asset; as `extract_arcs`.
        """
        from bifrost.usd import retargeting
        from bifrost.usd.arc_sources import layers_in, saved

        if is_asset_reference(new):
            self._one(Operation.LOCATE, new, context)
        if isinstance(source, str) and is_asset_reference(source):
            return self._retarget_asset(source, old, new, dry_run, comment, context)
        layers = layers_in(source, self._locate(context))
        planned = retargeting.moves(layers, old, new, self._locks(layers, context))
        if not dry_run:
            retargeting.apply(planned, layers)
            if isinstance(source, str | os.PathLike) and any(not each.problem for each in planned):
                saved(layers[0])
        return retargeting.Retargeting(tuple(planned))

    def _retarget_asset(
        self,
        asset_uri: str,
        old: str,
        new: str,
        dry_run: bool,
        comment: str,
        context: Context | None,
    ) -> Retargeting:
        from bifrost.usd import retargeting, version_copy

        version = self._record(reference_for(parsed(asset_uri).asset_id), context)
        self._check_no_circle(version.asset_id, new)
        with version_copy.of(version) as copy:
            own = retargeting.moves(copy.layers, old, new)
            planned = [copy.as_published(each) for each in own]
            planned += self._elsewhere(version, old, new, copy.originals, context)
            if dry_run or all(each.problem for each in own):
                return retargeting.Retargeting(tuple(planned))
            retargeting.apply(own, copy.layers)
            copy.save()
            draft = self._draft(version, copy.main, comment or f"moved from {old} to {new}")
            [made] = self.session.publisher.publish([draft], user=self._user(context)).results
        return retargeting.Retargeting(tuple(planned), made)

    def _draft(self, version: VersionRecord, path: Path, comment: str) -> Any:
        from bifrost.publishing import Draft

        return Draft(
            version.asset_id,
            version.name,
            version.asset_type,
            str(path),
            comment=comment,
            expected_version=version.number,
            population_masks=version.properties.get("populationMasks", {}),
        )

    def _elsewhere(
        self,
        version: VersionRecord,
        old: str,
        new: str,
        own: frozenset[str],
        context: Context | None,
    ) -> list[Any]:
        """Return the moves that layers of other assets under *version* would need."""
        from bifrost.usd import retargeting
        from bifrost.usd.arc_walk import Walk

        uri = reference_for(version.asset_id, version.number)
        layers = Walk(uri, self._breadth(context)).layers
        others = [layer for path, layer in layers.items() if path not in own]
        why = "it is another asset's, which is published: retarget that asset"
        return retargeting.moves(others, old, new, {each.identifier: why for each in others})

    def _closure(
        self, source: str | os.PathLike[str], strengths: Strengths, context: Context | None
    ) -> list[Arc]:
        from bifrost.usd.arc_sources import layer_of
        from bifrost.usd.arc_walk import Walk

        layer_of(source, self._locate(context))  # raises what there is to say about the root itself
        return Walk(os.fspath(source), self._breadth(context), strengths).arcs

    def _breadth(self, context: Context | None) -> Any:
        snapshot = effective(context)

        def answer(references: Sequence[str]) -> Mapping[str, Any]:
            request = Request(Operation.RESOLVE, tuple(references), snapshot)
            return dict(self.session.ask(request).items())

        return answer

    def _locate(self, context: Context | None) -> Callable[[str], Path]:
        return lambda reference: self._one(Operation.LOCATE, reference, context)

    def _locks(self, layers: Sequence[Sdf.Layer], context: Context | None) -> dict[str, str]:
        from bifrost.usd.permissions import published

        def paths(references: Sequence[str]) -> list[str]:
            answers = self._breadth(context)(references)
            return [getattr(answers[each], "path", "") for each in references]

        saved = [layer for layer in layers if not layer.anonymous]
        found = published(saved, self.session, paths)
        return {name: lock.why for name, lock in found.items()}

    def _check_unpublished(self, layer: Sdf.Layer, context: Context | None) -> None:
        from bifrost.errors import PermissionDeniedException

        for name, why in self._locks([layer], context).items():
            raise PermissionDeniedException(why, asset_uri=name, code=Code.PERMISSION_DENIED)

    def _check_no_circle(self, asset_id: str, new: str) -> None:
        if not is_asset_reference(new):
            return
        target = parse(new)
        reached = self.session.catalogue.closure([(target.asset_id, target.version)])
        if asset_id in {each for each, _ in reached}:
            raise ConflictException(
                f"{new} needs {reference_for(asset_id)}, which would need itself",
                asset_uri=reference_for(asset_id),
                code=Code.CONFLICT,
            )

    def _are_there(self, references: list[str]) -> list[bool]:
        from bifrost.catalogue import VersionRecord

        asked = [(each.asset_id, each.version) for each in map(parse, references)]
        found = self.session.catalogue.resolve(asked)
        return [isinstance(each, VersionRecord) for each in found]

    def _added(self, asset_uri: str, context: Context | None) -> Iterator[dict[str, Any]]:
        """Yield the relationships that people added to an asset, as far as arcs need them."""
        version = self._record(asset_uri, context)
        edges = self.session.catalogue.every_relationship_of(version.asset_id, version.number)
        for edge in edges:
            if edge.origin == "added":
                target = reference_for(edge.to_id, edge.to_version)
                yield {"to": target, "type": edge.kind, "metadata": edge.metadata}

    def _strengths(self) -> Strengths:
        from bifrost.catalogue.strengths import parse as read

        return read(self.session.settings.catalogue.strengths)


class _ArcsOf(UsdArcCalls):
    def __init__(self, session: Session) -> None:
        self._session = session


def arc_calls(session: Session) -> UsdArcCalls:
    """Return the calls about arcs, answered by *session*."""
    return _ArcsOf(session)
