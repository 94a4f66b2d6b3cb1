# SPDX-License-Identifier: Apache-2.0
"""Layers and stages of entities: files checked to be layers, what they say, stages opened of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bifrost.context import Context, effective
from bifrost.host.asking import Asking
from bifrost.host.recording import recorded
from bifrost.model.request import Operation
from bifrost.model.resolution import Resolution

if TYPE_CHECKING:
    from pxr import Usd

    from bifrost.usd.layer_table import StageLayer
    from bifrost.usd.permissions import Asker
    from bifrost.usd.refreshing import Refreshed


class UsdLayerCalls(Asking):
    """
    What USD opens, by entity reference, of any manager. `context` is who asks: the active one by default.

    OpenUSD is imported by the first of these calls; opening a stage needs the resolver plugin, too.
    """

    @recorded
    def resolve_usd_layer(
        self, asset_uri: str, *, context: Context | None = None, deadline_s: float | None = None
    ) -> Path:
        """
        Return the file that *asset_uri* resolves to, checked to be a layer that USD can open.

        One round trip if no cache knows it. The file is read once for each version; then what it was
        found to be holds as long as its size and modification time.

        Raises:
            LayerException: it is no layer that USD can open; says why.
            AssetException: as `resolve_asset_path`.
        """
        from bifrost.usd import layers

        resolution = self._one(Operation.RESOLVE, asset_uri, context, deadline_s)
        return layers.resolve(self.session, asset_uri, resolution)

    @recorded
    def get_usd_layer_metadata(
        self, asset_uri: str, *, context: Context | None = None
    ) -> dict[str, Any]:
        """
        Return what a layer says of itself, and the catalogue of its version; no stage is composed.

        Its settings (`default_prim`, `up_axis`, `meters_per_unit`, time codes…), `comment`,
        `custom_layer_data`, and how many prims of which `schemas` and `kinds` it writes: the table of
        docs/layers.md. `catalogue` is None with other managers, and for who may not read the asset.
        Versions are read once; then nobody is asked, and only the file's state is looked at.

        Raises:
            LayerException: it is no layer that USD can open; says why.
            AssetException: as `resolve_asset_path`.
            CatalogueError: the catalogue can't be asked.
        """
        from bifrost.usd import layers

        who = self.session.authenticated(effective(context))
        resolution = self._one(Operation.RESOLVE, asset_uri, context)
        return layers.metadata(self.session, asset_uri, resolution, who, self._user(context))

    @recorded
    def open_usd_stage(
        self,
        asset_uri: str | os.PathLike[str],
        *,
        context: Context | None = None,
        load: Any = "all",
        mask: Any = None,
    ) -> Usd.Stage:
        """
        Open the stage of an entity, or of a file: caches warmed, in its context, with locked layers.

        Everything that it will ask for is asked for first, breadth by breadth, unless it was and
        nothing changed since, or pins answer. Variant selections that are remembered in this session
        are made. Layers that who asks may not edit can be neither edited nor saved, published ones by
        nobody: `get_usd_layers` says why, and what to do instead.

        Args:
            asset_uri: An entity reference, or a file's path.
            context: Who asks, and what floating references mean.
            load: `all` payloads, `none`, or a `Usd.Stage.InitialLoadSet`.
            mask: Prim paths to open the stage of, a `Usd.StagePopulationMask`, or the name of a mask
                that was published with the version.

        Raises:
            LayerException: the root is no layer that USD can open; says why.
            InvalidTraitsException: *load* or *mask* can't be; names what is near.
            ConfigurationError: the resolver plugin isn't installed.
            AssetException: as `resolve_asset_path`.
        """
        from bifrost.usd.contexts import in_force
        from bifrost.usd.stage_opening import open_stage

        asked = in_force(context)
        root, path = self._root(asset_uri, asked)
        return open_stage(self._asker(root, asked), path, context, load=load, mask=mask)

    @recorded
    def get_usd_layers(
        self, stage: Usd.Stage | str | os.PathLike[str], *, context: Context | None = None
    ) -> list[StageLayer]:
        """
        Return the layers that a stage is made of: reference, version, size, whether it may be edited.

        The stage's own come first, strongest first, then those that arcs brought, muted ones last.

        Args:
            stage: A stage, or what `open_usd_stage` opens.
            context: For whom it is opened.

        Raises:
            BifrostError: as `open_usd_stage`.
        """
        from bifrost.usd.layer_table import stage_layers

        if isinstance(stage, str | os.PathLike):
            return stage_layers(self.open_usd_stage(os.fspath(stage), context=context))
        return stage_layers(stage)

    @recorded
    def lock_usd_layers(
        self, stage: Usd.Stage, *, context: Context | None = None
    ) -> list[StageLayer]:
        """Lock the layers of a stage that was opened otherwise, as `open_usd_stage` does; return all."""
        from bifrost.usd import permissions
        from bifrost.usd.layer_table import stage_layers

        root = stage.GetRootLayer().identifier
        permissions.apply(stage, self._asker(root, context))
        return stage_layers(stage)

    @recorded
    def refresh(self, stage: Usd.Stage) -> Refreshed:
        """
        Ask anew for what floats on *stage*, recompose what moved, and return it: from which version to
        which. Only this stage's context is refreshed; others stay as they are. On the main thread.

        One question to our own catalogue whether anything changed, and one for what did; one to
        another manager for all that floats. Where nothing moved no notice is sent. An outage leaves
        everything as it was.

        Raises:
            ConfigurationError: *stage* is no open stage.
        """
        from bifrost.usd.refreshing import refresh

        return refresh(stage)

    def _root(self, asset_uri: str | os.PathLike[str], context: Context | None) -> tuple[str, str]:
        """Return what to open, and its file; files are made absolute."""
        from bifrost.usd.folder import is_uri
        from bifrost.usd.stage_opening import pinned_root

        asset_uri = os.fspath(asset_uri)
        if not is_uri(asset_uri):
            path = os.path.abspath(asset_uri)  # noqa: PTH100  USD leaves links alone
            return path, path
        if pinned := pinned_root(asset_uri, context):
            return asset_uri, pinned
        resolution: Resolution = self._one(Operation.RESOLVE, asset_uri, context)
        return asset_uri, resolution.path

    def _asker(self, asset_uri: str, context: Context | None) -> Asker:
        from bifrost.usd.permissions import Asker

        who = self.session.authenticated(effective(context))
        return Asker(self.session, who, self._user(context), asset_uri)
