# SPDX-License-Identifier: Apache-2.0
"""What any OpenAssetIO manager can be asked about one entity reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bifrost import assetio
from bifrost.context import Context
from bifrost.host.asking import Asking
from bifrost.host.recording import recorded
from bifrost.model.entity_reference import reference_for
from bifrost.model.request import Operation
from bifrost.model.resolution import Resolution


class ResolvingCalls(Asking):
    """
    Resolution and existence, of any manager. `context` is who asks: the active one by default
    (`Context.active`). `deadline_s` is how many seconds a call may take; by default `manager.deadline_s`.
    """

    @recorded
    def initialize(self) -> bool:
        """
        Start the manager now instead of with the first question. True; or it raises.

        Raises:
            ConfigurationError: the manager can't be started.
            CatalogueError: its catalogue can't be opened.
        """
        self.session.assetio_manager().manager()
        return True

    @recorded
    def resolve_asset_path(
        self, asset_uri: str, *, context: Context | None = None, deadline_s: float | None = None
    ) -> Path:
        """
        Return the file that *asset_uri* resolves to. One round trip if no cache knows it.

        Raises:
            AssetNotFoundException: no such asset or version; with suggestions.
            InvalidReferenceException: malformed, or another manager's.
            LocationException: it has no location, or its file is not there.
            NetworkErrorException: the manager can't be asked, and no cache can stand in.
            PermissionDeniedException: the manager refuses.
        """
        path: Path = self._one(Operation.LOCATE, asset_uri, context, deadline_s)
        return path

    @recorded
    def resolve_asset(
        self, asset_uri: str, *, context: Context | None = None, deadline_s: float | None = None
    ) -> Resolution:
        """
        Return what *asset_uri* resolves to, with what the manager said beside its file: the version, the
        name, which manager, and the `tier` that served it (`stale` in an outage, `fallback` from a
        second manager). One round trip if no cache knows it.

        Raises:
            AssetException: as `resolve_asset_path`.
        """
        return self._resolution(asset_uri, context, deadline_s)

    @recorded
    def get_version(self, asset_uri: str, *, context: Context | None = None) -> int | None:
        """
        Return the version that *asset_uri* means, or None where it is no number.

        Raises:
            AssetException: as `resolve_asset_path`.
        """
        return version_number(self._resolution(asset_uri, context))

    @recorded
    def get_entity_info(self, asset_uri: str, *, context: Context | None = None) -> dict[str, Any]:
        """
        Return what the manager says of the entity: `location`, `version`, `name`, and `traits`, the
        properties by trait id. Two round trips, and one more where no cache knows its location.

        Raises:
            AssetException: as `resolve_asset_path`.
        """
        traits = self._one(Operation.INFO, asset_uri, context)
        return entity_info(self._resolution(asset_uri, context), traits)

    @recorded
    def entity_exists(self, asset_uri: str, *, context: Context | None = None) -> bool:
        """
        Return whether the entity exists and can be read. One round trip.

        Raises:
            AssetException: the question could not be answered.
        """
        return bool(self._one(Operation.EXISTS, asset_uri, context))

    def create_entity_reference(self, asset_id: str) -> str:
        """Return the reference to *asset_id* of Bifrost's own catalogue; it floats."""
        return reference_for(asset_id)

    @recorded
    def is_valid_entity_reference(self, asset_uri: str) -> bool:
        """Return whether the manager takes *asset_uri* for one of its references."""
        manager = self.session.assetio_manager().manager()
        try:
            return bool(manager.isEntityReferenceString(asset_uri))
        except TypeError:  # bytes that are no UTF-8; OpenAssetIO's strings are
            return False

    @recorded
    def managers(self) -> list[dict[str, Any]]:
        """Return `{"identifier", "display_name", "info"}` of each OpenAssetIO manager installed."""
        return assetio.available_managers()

    def _resolution(
        self, asset_uri: str, context: Context | None, deadline_s: float | None = None
    ) -> Resolution:
        resolution: Resolution = self._one(Operation.RESOLVE, asset_uri, context, deadline_s)
        return resolution


def version_number(resolution: Resolution) -> int | None:
    """Return the version of *resolution*; None where it is no number."""
    return int(resolution.version) if resolution.version.isdecimal() else None


def entity_info(resolution: Resolution, traits: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what is known of an entity, as `get_entity_info` does."""
    return {
        "location": resolution.path,
        "version": resolution.version,
        "name": resolution.name,
        "manager": resolution.manager,
        "traits": traits,
    }
