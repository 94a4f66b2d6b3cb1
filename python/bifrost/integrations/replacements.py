# SPDX-License-Identifier: Apache-2.0
"""
The names of earlier releases and what replaces each: one table.

The warnings of the old names, `bifrost migrate scan`, `bifrost migrate code` and docs/migrating.md all say
what stands here (a test compares the page).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from bifrost.deprecation import GONE_IN, GONE_WHEN, SINCE, message

__all__ = [
    "BY_NAME",
    "GONE_IN",
    "GONE_WHEN",
    "HOST",
    "MANAGER",
    "MODULES",
    "PACKAGE",
    "SINCE",
    "TABLE",
    "TRAITS",
    "URI_MAPPER",
    "Kind",
    "Replacement",
    "member",
]

PACKAGE: Final = "bifrost.integrations.assetio"
HOST: Final = f"{PACKAGE}.bifrost_host"
MANAGER: Final = f"{PACKAGE}.bifrost_manager"
URI_MAPPER: Final = f"{PACKAGE}.uri_mapper"
MODULES: Final = (HOST, MANAGER, URI_MAPPER)


class Kind(StrEnum):
    """What an old name is the name of."""

    CLASS = "class"
    INSTANCE = "instance"
    METHOD = "method"
    TRAIT = "trait"
    SETTING = "setting"


class Replacement(NamedTuple):
    """
    What replaces one old name.

    Attributes:
        old: The old name in full: `module.Class.method`, a trait's name, a setting's.
        kind: What it is the name of.
        new: What to write instead, as people write it.
        note: What is different then, or "" where nothing is.
        fallback: Of a method that raises where the old one returned this: its source text. None where
            a call can't be carried over as it stands, "" where it means what it meant.
    """

    old: str
    kind: Kind
    new: str
    note: str = ""
    fallback: str | None = None

    @property
    def name(self) -> str:
        """The last part of the old name."""
        return self.old.rpartition(".")[2]

    @property
    def message(self) -> str:
        """What a warning says."""
        return message(self.old, self.new, self.note)


_RAISES: Final = "it raises a BifrostError where the old one returned {}"
_UNREAD: Final = "only the old import paths read it"


def _host(name: str, new: str, note: str, fallback: str | None) -> Replacement:
    return Replacement(f"{HOST}.BifrostHostInterface.{name}", Kind.METHOD, new, note, fallback)


def _mapper(name: str, note: str = "", fallback: str | None = "") -> Replacement:
    new = f"bifrost.AssetUriMapper.{name}"
    return Replacement(f"{URI_MAPPER}.AssetUriMapper.{name}", Kind.METHOD, new, note, fallback)


def _trait(old: str, new: str) -> Replacement:
    return Replacement(old, Kind.TRAIT, new)


TABLE: Final = (
    Replacement(
        f"{HOST}.BifrostHostInterface",
        Kind.CLASS,
        "bifrost.BifrostHostInterface",
        "it raises classified errors where the old one returned None",
    ),
    Replacement(
        f"{HOST}.bifrost_host",
        Kind.INSTANCE,
        "bifrost.bifrost_host",
        "it raises classified errors where the old one returned None",
    ),
    Replacement(
        f"{MANAGER}.BifrostManagerInterface", Kind.CLASS, "bifrost.BifrostManagerInterface"
    ),
    Replacement(f"{URI_MAPPER}.AssetUriMapper", Kind.CLASS, "bifrost.AssetUriMapper"),
    _host("initialize", "bifrost.bifrost_host.initialize", _RAISES.format("False"), "False"),
    _host(
        "resolve_asset_path",
        "bifrost.bifrost_host.resolve_asset_path",
        _RAISES.format("None") + "; many at once: resolve_asset_paths",
        "None",
    ),
    _host(
        "get_version",
        "bifrost.bifrost_host.get_version",
        _RAISES.format("None") + "; many at once: get_versions",
        "None",
    ),
    _host(
        "get_entity_info",
        "bifrost.bifrost_host.get_entity_info",
        _RAISES.format("None") + ", and its dictionary has other keys",
        None,
    ),
    _host(
        "get_relationships",
        "bifrost.bifrost_host.get_relationships_with_metadata",
        _RAISES.format("None") + ", and its dictionaries have other keys",
        None,
    ),
    _host("create_entity_reference", "bifrost.bifrost_host.create_entity_reference", "", ""),
    _host(
        "is_valid_entity_reference",
        "bifrost.AssetUriMapper.is_valid_uri",
        "bifrost_host.is_valid_entity_reference asks the manager, which may raise",
        None,
    ),
    _mapper("asset_to_uri"),
    _mapper("uri_to_asset_id"),
    _mapper("path_to_uri"),
    _mapper(
        "uri_to_path",
        "its tree is the setting catalogue.earlier_store; better ask bifrost_host",
        None,
    ),
    _mapper("detect_uri_in_string"),
    _mapper("is_valid_uri"),
    _trait("locatableContent", "openassetio-mediacreation:content.LocatableContent"),
    _trait("versionedContent", "openassetio-mediacreation:lifecycle.Version"),
    _trait("defaultName", "openassetio-mediacreation:identity.DisplayName"),
    _trait("defaultThumbnail", "bifrost:representation.Thumbnail"),
    _trait("managementPolicy", "bifrost:managementPolicy.Permissions"),
    Replacement("assetio.enabled", Kind.SETTING, "no setting", _UNREAD),
    Replacement("assetio.manager", Kind.SETTING, "manager.config"),
    Replacement("assetio.host_name", Kind.SETTING, "no setting", _UNREAD),
    Replacement("assetio.host_version", Kind.SETTING, "no setting", _UNREAD),
    Replacement(
        "assetio.uri_scheme", Kind.SETTING, "no setting", "references are `bifrost:…`, always"
    ),
    Replacement(
        "assetio.environment.OPENASSETIO_PLUGIN_PATH",
        Kind.SETTING,
        "the environment's OPENASSETIO_PLUGIN_PATH",
        "which it only sets where the environment doesn't",
    ),
    Replacement(
        "storage.local.root_path",
        Kind.SETTING,
        "catalogue.earlier_store",
        "its files become versions by `bifrost migrate assets`",
    ),
)
"""Every old name, in the order of the guide."""

BY_NAME: Final = {each.old: each for each in TABLE}
TRAITS: Final = {each.old: each for each in TABLE if each.kind is Kind.TRAIT}


def member(old_class: str, name: str) -> Replacement | None:
    """Return what replaces the method *name* of the old class of that full name."""
    return BY_NAME.get(f"{old_class}.{name}")
