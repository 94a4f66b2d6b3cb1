# SPDX-License-Identifier: Apache-2.0
"""What any OpenAssetIO manager can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bifrost import assetio
from bifrost.context import Context, login_name
from bifrost.errors import AssetNotFoundException, Code, InvalidReferenceException
from bifrost.model.entity_reference import (
    AssetReference,
    parse,
    reference_for,
    without_format_args,
)
from bifrost.model.reply import Failure
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.session import Session, current


class Asking:
    """What the host's calls stand on: a session, and who asks."""

    _session: Session | None = None

    @property
    def session(self) -> Session:
        """
        The session that answers.

        Raises:
            ConfigurationError: the settings can't be read.
        """
        return self._session or current()

    def _user(self, context: Context | None) -> str:
        """Return who asks: the context's user, else the one who is logged in."""
        named = (context or Context()).snapshot().get("user")
        return str(named) if named else login_name()

    def _existing(self, asset_id: str) -> Any:
        catalogue = self.session.own_catalogue("publishing")
        asset = catalogue.found([asset_id]).get(asset_id)
        if asset is None:
            raise _no_such_asset(asset_id, catalogue.suggestions(asset_id))
        return asset

    def _version(self, asked: AssetReference) -> tuple[str, int]:
        from bifrost.catalogue import VersionRecord

        catalogue = self.session.own_catalogue("a version's own data")
        [found] = catalogue.resolve([(asked.asset_id, asked.version)])
        if not isinstance(found, VersionRecord):
            raise AssetNotFoundException(found.message, asset_uri=str(asked), code=Code.NOT_FOUND)
        return found.asset_id, found.number


class ResolvingCalls(Asking):
    """Resolution and existence, of any manager."""

    def initialize(self) -> bool:
        """
        Start the manager now instead of with the first question. True; or it raises.

        Raises:
            ConfigurationError: the manager can't be started.
            CatalogueError: its catalogue can't be opened.
        """
        self.session.assetio_manager().manager()
        return True

    def resolve_asset_path(self, asset_uri: str, *, context: Context | None = None) -> Path:
        """
        Return the file that *asset_uri* resolves to. One round trip if no cache knows it.

        Raises:
            AssetNotFoundException: no such asset or version.
            InvalidReferenceException: malformed, or another manager's.
            LocationException: it has no location, or its file is not there.
            NetworkErrorException: the manager can't be asked, and no cache can stand in.
            PermissionDeniedException: the manager refuses.
        """
        return Path(self._resolution(asset_uri, context).path)

    def get_version(self, asset_uri: str, *, context: Context | None = None) -> int | None:
        """
        Return the version that *asset_uri* means, or None where it is no number.

        Raises:
            AssetException: as `resolve_asset_path`.
        """
        version = self._resolution(asset_uri, context).version
        return int(version) if version.isdecimal() else None

    def get_entity_info(self, asset_uri: str, *, context: Context | None = None) -> dict[str, Any]:
        """
        Return what the manager says of the entity: `location`, `version`, `name`, and `traits`, the
        properties by trait id. Two round trips, and one more where no cache knows its location.

        Raises:
            AssetException: as `resolve_asset_path`.
        """
        traits = self._one(Operation.INFO, asset_uri, context)
        resolution = self._resolution(asset_uri, context)
        return {
            "location": resolution.path,
            "version": resolution.version,
            "name": resolution.name,
            "manager": resolution.manager,
            "traits": traits,
        }

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

    def is_valid_entity_reference(self, asset_uri: str) -> bool:
        """Return whether the manager takes *asset_uri* for one of its references."""
        manager = self.session.assetio_manager().manager()
        try:
            return bool(manager.isEntityReferenceString(asset_uri))
        except TypeError:  # bytes that are no UTF-8; OpenAssetIO's strings are
            return False

    def managers(self) -> list[dict[str, Any]]:
        """Return `{"identifier", "display_name", "info"}` of each OpenAssetIO manager installed."""
        return assetio.available_managers()

    def _resolution(self, asset_uri: str, context: Context | None) -> Resolution:
        resolution: Resolution = self._one(Operation.RESOLVE, asset_uri, context)
        return resolution

    def _one(self, operation: Operation, asset_uri: str, context: Context | None) -> Any:
        reference = without_format_args(asset_uri)
        snapshot = (context or Context()).snapshot()
        (outcome,) = self.session.ask(Request(operation, (reference,), snapshot)).outcomes
        if isinstance(outcome, Failure):
            raise outcome.exception(asset_uri)
        return outcome


def parsed(asset_uri: str) -> AssetReference:
    """
    Return the reference to an asset of our catalogue that *asset_uri* is.

    Raises:
        InvalidReferenceException: it is none.
    """
    try:
        return parse(asset_uri)
    except ValueError as error:
        raise InvalidReferenceException(
            str(error), asset_uri=asset_uri[:1000], code=Code.MALFORMED_REFERENCE
        ) from None


def _no_such_asset(asset_id: str, near: Sequence[str]) -> AssetNotFoundException:
    return AssetNotFoundException(
        f"the catalogue has no asset {asset_id!r}; register_asset makes one",
        asset_uri=reference_for(asset_id),
        code=Code.NOT_FOUND,
        details={"suggestions": [reference_for(each) for each in near]},
    )
