# SPDX-License-Identifier: Apache-2.0
"""Variant sets of an asset's prims: what there is, and selecting."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bifrost.context import Context, effective
from bifrost.errors import Code, LocationException
from bifrost.host.asking import Asking
from bifrost.host.recording import recorded
from bifrost.model.request import Operation

if TYPE_CHECKING:
    from pxr import Sdf, Usd

    from bifrost.usd.selecting import Selected
    from bifrost.usd.variant_answers import Answer, Asked
    from bifrost.usd.variants import VariantSet


class UsdVariantCalls(Asking):
    """
    Variants, of any manager's assets: `asset_uri` is an entity reference, or the path of a file.

    Every call raises `InvalidTraitsException` for a prim path that is none, and for a prim, a set or a
    variant that isn't there: the message says which there are, `details` has them as `valid` and the
    `nearest`; and what `resolve_asset_path` raises. docs/variants.md has examples.
    """

    @recorded
    def get_usd_variants(
        self,
        asset_uri: str,
        prim_path: str | None = None,
        *,
        stage: Usd.Stage | None = None,
        payloads: bool = False,
        context: Context | None = None,
    ) -> dict[str, VariantSet]:
        """
        Return the variant sets of one prim, by name; {} where it has none.

        Each is a dict of its `variants`, the `selection`, the `source` of that opinion, and the sets
        `nested` in its variants (`bifrost.usd.variants.VariantSet`). What this session remembers of
        `select_usd_variant` counts. No round trip, and no stage, while a kept answer holds.

        Args:
            asset_uri: The asset.
            prim_path: The prim; None for the default prim.
            stage: An open stage to look at, as it is, instead of one opened for this.
            payloads: Whether to load payloads, for sets that only they have. A prim without any set
                is looked at with its payloads anyhow.
            context: Who asks; decides what floats.
        """
        from bifrost.usd import variant_answers, variant_names, variants

        if stage is None:
            asked = self._asked_about_variants(asset_uri, context)
            return variant_answers.of_prim(asked, prim_path, payloads=payloads)
        path = variant_names.path_on(stage, prim_path, asset_uri)
        return variants.variant_sets(stage.GetPrimAtPath(path), asset_uri)

    @recorded
    def find_usd_variants(
        self,
        asset_uri: str,
        variant_set: str | None = None,
        variant: str | None = None,
        *,
        stage: Usd.Stage | None = None,
        payloads: bool = False,
        context: Context | None = None,
    ) -> Answer:
        """
        Return the variant sets of every prim that has some, by the prim's path; as `get_usd_variants`.

        Prims in instances are among them. What is behind payloads is not, unless *payloads* says so.

        Args:
            asset_uri: The asset.
            variant_set: Only sets of this name.
            variant: Only sets that have this variant.
            stage: An open stage to look at instead of one opened for this.
            payloads: Whether to load payloads.
            context: Who asks; decides what floats.
        """
        from bifrost.usd import variant_answers, variants

        if stage is None:
            asked = self._asked_about_variants(asset_uri, context)
            found = variant_answers.of_all(asked, payloads=payloads)
        else:
            found = variants.all_variant_sets(stage, asset_uri)
        return variants.matching(found, variant_set, variant)

    @recorded
    def select_usd_variant(
        self,
        asset_uri: str,
        prim_path: str | None,
        variant_set: str,
        variant: str | None,
        *,
        stage: Usd.Stage | None = None,
        target: Literal["session", "layer"] = "session",
        layer: Sdf.Layer | str | os.PathLike[str] | None = None,
        context: Context | None = None,
    ) -> Selected:
        """
        Select *variant*; None takes back what was selected in the same place before.

        | `target` | `stage` | it goes |
        |---|---|---|
        | `"session"` | an open one | into its session layer, at once |
        | `"session"` | None | into what this session remembers: `open_usd_stage` applies it |
        | `"layer"` | an open one | into the layer of its edit target; not saved |
        | `"layer"` | None | into *layer*: a layer, not saved; or a file, saved |

        A *layer* that is no file yet is made, as a working copy of the asset with what lies beside it;
        None makes one in a new folder. It is ready for `register_version(asset_uri, selected.layer)`.

        Raises:
            AccessModeException: the layer is a published one, or can't be edited; or the prim is
                inside an instance, where USD has no opinions.
            InvalidTraitsException: also for a target that there isn't.
            StorageException: the file can't be written.
        """
        from bifrost.usd import selecting

        asked = self._asked_about_variants(asset_uri, context)
        choice = selecting.Choice(prim_path, variant_set, variant)
        return selecting.select(asked, choice, stage=stage, target=target, layer=layer)

    def _asked_about_variants(self, asset_uri: str, context: Context | None) -> Asked:
        from bifrost.usd.contexts import given, in_force
        from bifrost.usd.folder import is_uri
        from bifrost.usd.variant_answers import Asked

        asset_uri = os.fspath(asset_uri)
        # What a stage of it would be opened in, or its answer would be another policy's.
        asked = in_force(context)
        snapshot = self.session.authenticated(effective(asked))

        def locate() -> Path:
            if is_uri(asset_uri):
                found: Any = self._one(Operation.LOCATE, asset_uri, asked)
                return Path(found)
            return _existing_file(asset_uri)

        return Asked(self.session, asset_uri, snapshot, given(context), locate)


def _existing_file(name: str) -> Path:
    path = Path(name)
    try:
        there = path.is_file()
    except ValueError:  # a NUL
        there = False
    if not there:
        message = f"{name[:300]!r} is neither an entity reference nor a file that is there"
        raise LocationException(message, asset_uri=name[:1000], code=Code.FILE_MISSING)
    return path
