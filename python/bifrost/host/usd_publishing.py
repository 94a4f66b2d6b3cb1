# SPDX-License-Identifier: Apache-2.0
"""Edited layers published from where they were edited, and working copies to edit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bifrost.context import Context, effective
from bifrost.errors import Code, InvalidTraitsException, LocationException
from bifrost.host.asking import Asking, parsed
from bifrost.host.recording import recorded
from bifrost.model.entity_reference import reference_for
from bifrost.model.request import Operation

if TYPE_CHECKING:
    from pxr import Sdf

    from bifrost.usd.arc_sources import Source
    from bifrost.usd.layer_publishing import PublishedLayers


class UsdPublishingCalls(Asking):
    """
    Publishing of layers. Every call raises `UnsupportedOperationException` where another manager is
    configured, and `PermissionDeniedException` where the context's user may not. Layers and stages are
    the caller's: nobody edits them meanwhile.
    """

    @recorded
    def publish_layer(
        self,
        layer_or_stage: Source,
        asset_uri: str | None = None,
        *,
        comment: str = "",
        dependencies: str = "publish-modified",
        new: Mapping[Sdf.Layer | str | os.PathLike[str], str] | None = None,
        asset_type: str | None = None,
        name: str = "",
        metadata: Mapping[str, Any] | None = None,
        pin: bool = True,
        expected_version: int | None = None,
        allow_outdated: bool = False,
        thumbnails: bool = True,
        context: Context | None = None,
    ) -> PublishedLayers:
        """
        Publish a layer, and every edited one that it reaches, as next versions: all or none.

        Layers count as they are in memory, and stay as they are there. In what is published arcs name
        the new versions. What is edited, what comes along, what is refused: docs/publishing_layers.md.

        Args:
            layer_or_stage: A layer, anonymous or not; a stage, of which that is the root layer, and the
                session layer no part; a file; or an entity reference.
            asset_uri: The asset; `?type=prop` at its end makes it where it isn't there
                (`expected_version=0`: and only there). By default the one that the layer is of: opened by
                its reference, or a working copy.
            comment: What to say about each version.
            dependencies: What to do about other edited layers under it: `publish-modified`,
                `refuse-modified`, or `ignore`, which publishes the layer alone, with its arcs as they are.
            new: The assets of layers under it that are of none, or become others: by the layer, its file or
                its identifier, written as *asset_uri*. They are made where they aren't there.
            asset_type: The type of the asset, instead of `?type=`.
            name: The display name of a new asset; by default its id.
            metadata: Keys to set in the asset's metadata.
            pin: Whether arcs to what is published along name its version. False leaves those floating that
                do, and makes paths references that float.
            expected_version: The number that the newest version must have.
            allow_outdated: Whether what was made of another version than the newest is published over it.
            thumbnails: Whether thumbnails and previews are made.
            context: Who asks, and what floating references mean.

        Raises:
            InvalidReferenceException: *asset_uri* is no reference to an asset, or names a version.
            InvalidTraitsException: there is no such way with dependencies; nothing names a layer in *new*;
                or a value can't be stored.
            AssetNotFoundException: there is no such asset, and no type for a new one; with suggestions.
            ConflictException: somebody published one of the assets in between; two layers are of one asset;
                an asset is there, and of another type.
            PublishRefusedException: edited layers are refused, layers under it are of no asset, or
                validators found errors; `findings` has them all.
            AccessModeException: an edited layer is muted, or of a format that USD only reads.
            LocationException: there is no such file.
            StorageException: files can't be put in place.
        """
        self.session.own_catalogue("publish_layer")
        from bifrost.usd.layer_publishing import DEPENDENCIES, Wishes, publish
        from bifrost.usd.layer_sources import Asking as Sources
        from bifrost.usd.layer_sources import reach_of

        if dependencies not in DEPENDENCIES:
            raise InvalidTraitsException(
                f"dependencies is one of {', '.join(DEPENDENCIES)}, got {str(dependencies)[:200]!r}",
                code=Code.INVALID_TRAITS,
            )
        sources = Sources(
            self.session, context, lambda uri: self._one(Operation.LOCATE, uri, context)
        )
        reach = reach_of(layer_or_stage, asset_uri, new or {}, sources)
        reach.units[0].asset_type = asset_type or reach.units[0].asset_type
        if dependencies == "ignore":
            reach.refuse_anonymous()
        else:
            reach.follow()
        if unused := reach.unused_owners():
            raise InvalidTraitsException(
                f"new: {reach.units[0].name} reaches no {', '.join(unused)}",
                code=Code.INVALID_TRAITS,
            )
        wishes = Wishes(
            comment,
            metadata or {},
            name,
            dependencies,
            pin,
            allow_outdated,
            expected_version,
            thumbnails,
            self._user(context),
        )
        return publish(reach, self.session, wishes)

    @recorded
    def working_copy(
        self,
        asset_uri: str,
        directory: str | os.PathLike[str],
        *,
        context: Context | None = None,
    ) -> Path:
        """
        Copy the files of a version into *directory*, to be edited there; return the copy of its own file.

        The copy knows which version it was made of (`.bifrost-working.json` beside it): `publish_layer`
        publishes it as the next one. Nothing in *directory* is written over.

        Args:
            asset_uri: The asset; where it floats, the version that the context says. In a project the
                copy is of the project's own asset, where it has one.
            directory: A folder, made if needed.
            context: Who asks.

        Raises:
            AssetNotFoundException: no such asset or version; with suggestions.
            LocationException: the version has no file, or one that is a pattern for several.
            StorageException: files of such names are there, or can't be written.
        """
        self.session.own_catalogue("working_copy")
        from bifrost.usd import layers, working_copies
        from bifrost.usd.contexts import in_force

        parsed(asset_uri)
        asked = in_force(context)
        found = self._one(Operation.RESOLVE, asset_uri, asked)
        projects = effective(asked).projects
        asset_id = layers.meant(self.session, asset_uri, found, projects)
        if found.templated:
            raise LocationException(
                f"{reference_for(asset_id)} is a set of files: copy {found.path}",
                asset_uri=asset_uri,
                code=Code.NOT_A_FILE,
            )
        return working_copies.make(Path(found.path), asset_id, int(found.version), directory)
