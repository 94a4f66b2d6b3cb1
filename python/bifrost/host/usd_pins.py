# SPDX-License-Identifier: Apache-2.0
"""What a shot resolved to, frozen; and copies of it that need nobody to resolve."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bifrost.context import Context
from bifrost.host.asking import Asking
from bifrost.host.recording import recorded

if TYPE_CHECKING:
    from bifrost.usd.localizing import Localized
    from bifrost.usd.pin_checks import Change, Finding
    from bifrost.usd.pins import Pins

FilePath = str | os.PathLike[str]


class UsdPinCalls(Asking):
    """Pins and copies, of any manager's entities. `context` is who asks, and under which policy."""

    @recorded
    def pin_usd(
        self,
        root: FilePath,
        path: FilePath | None = None,
        *,
        selected_variants: bool = False,
        context: Context | None = None,
    ) -> Pins:
        """
        Return what *root*, a file or an entity reference, and all that it reaches resolve to, and what
        their files hold. With *path* it is written there, for `BIFROST_PINS` and for `pins=` in contexts.

        All variants, or the selected ones, for which the plugin is needed. What could not be pinned is
        in `Pins.unresolved`. One round trip for each level of layers; every file is read once.

        Raises:
            AssetException: *root* doesn't resolve.
            BifrostError: *root* can't be opened.
            StorageException: *path* can't be written.
        """
        from bifrost.usd.pinning import pin

        pins = pin(
            os.fspath(root), self.session, context=context, selected_variants=selected_variants
        )
        if path is not None:
            pins.save(path)
        return pins

    @recorded
    def verify_pins(
        self, path: FilePath, *, roots: Mapping[str, str] | None = None, hashes: bool = True
    ) -> list[Finding]:
        """
        Return what no longer is as the file of pins at *path* says; empty where everything is.

        Missing and changed files, what had not resolved; and, as warnings (`trouble.is_warning`), that
        another manager or OpenUSD made them. Asks no manager.

        Args:
            path: The file of pins.
            roots: Where other sites' folders are here; by default what `BIFROST_PINS_ROOTS` says.
            hashes: False to compare sizes alone, which reads no file.

        Raises:
            ConfigurationError: there are no pins at *path*, or the variable can't be read.
        """
        from bifrost.usd.pinning import verified

        return verified(path, self.session, roots=roots, hashes=hashes)

    @recorded
    def diff_pins(self, before: FilePath, after: FilePath) -> list[Change]:
        """
        Return what the file of pins at *after* has else than the one at *before*, sorted.

        Raises:
            ConfigurationError: one of them holds no pins.
        """
        from bifrost.usd.pin_checks import diff
        from bifrost.usd.pins import load

        return diff(load(before), load(after))

    @recorded
    def localize_usd(
        self, root: FilePath, directory: FilePath, *, context: Context | None = None
    ) -> Localized:
        """
        Copy *root*, a file or an entity reference, and all that it reaches into *directory*, with plain
        paths that open anywhere. The folder appears whole or not at all.

        Raises:
            AssetException: *root* doesn't resolve.
            BifrostError: *root* can't be opened.
            ConfigurationError: *directory* is there and not empty.
            StorageException: it can't be written.
        """
        from bifrost.usd.localizing import localize

        return localize(os.fspath(root), directory, self.session, context=context)

    @recorded
    def package_usd(
        self, root: FilePath, path: FilePath, *, context: Context | None = None
    ) -> Localized:
        """
        Write *root* and all that it reaches into a usdz package, as `localize_usd` would lay it out.

        Raises:
            AssetException: *root* doesn't resolve.
            BifrostError: *root* can't be opened, or is a package itself.
            ConfigurationError: *path* doesn't end in `.usdz`.
            StorageException: it can't be written.
        """
        from bifrost.usd.localizing import package

        return package(os.fspath(root), path, self.session, context=context)
