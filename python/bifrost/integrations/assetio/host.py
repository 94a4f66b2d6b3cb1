# SPDX-License-Identifier: Apache-2.0
"""`BifrostHostInterface` as earlier releases had it: today's, with None where that raises."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

from bifrost import assetio
from bifrost.earlier_settings import EarlierSettings
from bifrost.errors import AssetNotFoundException, BifrostError
from bifrost.host import BifrostHostInterface as Host
from bifrost.integrations.assetio import entity_info
from bifrost.integrations.assetio.old_names import deprecated, warn_of
from bifrost.integrations.assetio.storage_tree import Filed, filed
from bifrost.integrations.replacements import HOST
from bifrost.model.entity_reference import reference_for
from bifrost.session import Session, current
from bifrost.settings import Settings
from bifrost.uri_mapper import AssetUriMapper

_CLASS: Final = f"{HOST}.BifrostHostInterface"
_log: Final = logging.getLogger("bifrost")

Answer = TypeVar("Answer")


class BifrostHostInterface(assetio.HostIdentity):
    """
    Asks the configured manager, or where that can't be started `assetio.fallback_manager`.

    No method raises: what goes wrong is logged, and the answer is None or False. An asset that the
    catalogue doesn't have is looked for in the storage tree, so that what was not migrated yet is
    still found. Any thread.
    """

    def __init__(self) -> None:
        warn_of(_CLASS)
        self._set_up()

    def _set_up(self) -> None:
        super().__init__()
        self._host = Host()
        self._lock = threading.Lock()
        self._stand_in: Host | None = None

    def displayName(self) -> str:  # noqa: N802  OpenAssetIO's name
        """Return the setting `assetio.host_name`."""
        return _earlier_settings().host_name

    def info(self) -> dict[str, Any]:
        """Return `{"version": …}`, the setting `assetio.host_version`."""
        return {"version": _earlier_settings().host_version}

    @deprecated(_CLASS)
    def initialize(self) -> bool:
        """Start the manager now, instead of with the first question; whether one could be started."""
        return self._asked(lambda host: host.initialize()) is True

    @deprecated(_CLASS)
    def resolve_asset_path(self, asset_uri: str) -> Path | None:
        """Return the file that *asset_uri* resolves to, or None."""
        found = self._asked(
            lambda host: _or_filed(host.resolve_asset_path, host, asset_uri), asset_uri
        )
        return found.path if isinstance(found, Filed) else found

    @deprecated(_CLASS)
    def get_version(self, asset_uri: str) -> int | None:
        """Return the version that *asset_uri* means, or None."""
        found = self._asked(lambda host: _or_filed(host.get_version, host, asset_uri), asset_uri)
        return found.version if isinstance(found, Filed) else found

    @deprecated(_CLASS)
    def get_entity_info(self, asset_uri: str) -> dict[str, Any] | None:
        """
        Return what is known of the entity, or None.

        `location` and `thumbnail` are paths, `version` a text, `versionInfo` has `created`, `createdBy` and
        `comment`, `managementPolicy` has `canUpdate`, `canDelete` and `canModifyRelationships`.
        """
        return self._asked(lambda host: entity_info.of(host, asset_uri), asset_uri)

    @deprecated(_CLASS)
    def get_relationships(self, asset_uri: str) -> list[dict[str, Any]] | None:
        """
        Return what the entity depends on, or None.

        Each is `{"fromEntity", "toEntity", "traits": {"dependency": {"type", "optional"}}}`.
        """
        return self._asked(lambda host: _relationships(host, asset_uri), asset_uri)

    @deprecated(_CLASS)
    def create_entity_reference(self, asset_id: str) -> str:
        """Return `bifrost:///assets/<asset_id>`."""
        return reference_for(str(asset_id))

    @deprecated(_CLASS)
    def is_valid_entity_reference(self, uri: str) -> bool:
        """Return whether *uri* has the form `bifrost:///assets/<id>`, with or without a query."""
        return isinstance(uri, str) and AssetUriMapper.is_valid_uri(uri)

    def _asked(self, question: Callable[[Host], Answer], asset_uri: str = "") -> Answer | None:
        """Return the answer to *question*; None, and a line in the log, where there is none."""
        try:
            host = self._started()
            return None if host is None else question(host)
        # Whatever it is: these methods never raised.
        except Exception as error:  # noqa: BLE001
            message = error.message if isinstance(error, BifrostError) else repr(error)
            text = f"{asset_uri or type(self).__name__}: {message}"
            _log.error("%s", text.encode("utf-8", "backslashreplace").decode())
            return None

    def _started(self) -> Host | None:
        """Return what to ask; None where the integration is turned off or no manager can be started."""
        session = current()
        if not session.settings.earlier.enabled:
            return None
        if session.uses_own_catalogue:
            return self._host
        with self._lock:
            try:
                session.assetio_manager().manager()
            except BifrostError as error:
                if not session.settings.assetio.fallback_manager:
                    raise
                _log.warning("asking the fallback manager: %s", error.message)
            else:
                return self._host
            if self._stand_in is None:
                self._stand_in = Host(Session(_with_fallback(session.settings)))
            self._stand_in.session.assetio_manager().manager()
            return self._stand_in


def _earlier_settings() -> EarlierSettings:
    try:
        return current().settings.earlier
    except BifrostError:  # said by every question; a name is always there
        return EarlierSettings()


def _with_fallback(settings: Settings) -> Settings:
    named = settings.assetio.fallback_manager
    return settings._replace(
        manager=settings.manager._replace(config=named),
        assetio=settings.assetio._replace(fallback_manager=""),
    )


def _or_filed(ask: Callable[[str], Answer], host: Host, asset_uri: str) -> Answer | Filed:
    """Return the manager's answer; what the storage tree has of an asset that the catalogue hasn't."""
    try:
        return ask(asset_uri)
    except AssetNotFoundException:
        found = filed(host.session, asset_uri)
        if found is None:
            raise
        return found


def _relationships(host: Host, asset_uri: str) -> list[dict[str, Any]]:
    return [
        {
            "fromEntity": asset_uri,
            "toEntity": edge["to"],
            "traits": {
                "dependency": {"type": edge["type"], "optional": edge["strength"] != "strong"}
            },
        }
        for edge in host.get_relationships_with_metadata(asset_uri)
    ]


def _ready() -> BifrostHostInterface:
    """Return an instance without a word about it: who imports it is told of that."""
    instance = BifrostHostInterface.__new__(BifrostHostInterface)
    instance._set_up()  # noqa: SLF001  its constructor, in this module
    return instance


bifrost_host = _ready()
