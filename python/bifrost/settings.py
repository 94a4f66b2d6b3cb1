# SPDX-License-Identifier: Apache-2.0
"""
Every setting: its default, its unit, and where it comes from.

Later wins: the defaults here, `settings.toml`, the environment. A setting `cache.ttl_s` is
`ttl_s = 60` under `[cache]` in the file and `BIFROST_CACHE__TTL_S=60` in the environment.
`BIFROST_HOME` puts the settings, the catalogue and the cache of a run into one folder; without it
they live in the platform's config, data and cache folders.

Foreign `BIFROST_*` variables (Autodesk's Bifrost for Maya has its own) are never complained about.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from bifrost.errors import ConfigurationError


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[cache]`: how long answers live and how much room they get."""

    directory: str = ""
    """Where the persistent cache lives; empty for the platform's cache folder."""
    memory_bytes: int = 100_000_000
    """Bound of the in-memory tier, in bytes; 0 turns it off."""
    disk_bytes: int = 2_000_000_000
    """Bound of the persistent tier's file, in bytes; 0 turns it off."""
    ttl_s: float = 3600.0
    """Seconds for which the answer to a floating reference is fresh."""
    negative_ttl_s: float = 5.0
    """Seconds for which a failure is remembered, in memory only."""
    stale_s: float = 604_800.0
    """Seconds past its freshness for which an answer is served while the manager is down."""


class ManagerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[manager]`: which OpenAssetIO manager answers, and how patient we are."""

    config: str = ""
    """An OpenAssetIO default-config file. Empty: `OPENASSETIO_DEFAULT_CONFIG`, else our own manager."""
    deadline_s: float = 30.0
    """Seconds that one request may take, retries included."""
    max_workers: int = 8
    """How many calls may be in the manager at once."""


class RetrySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[retry]`: asking again after a failure that may pass."""

    attempts: int = 3
    """How often a retryable element is asked, the first time included."""
    base_s: float = 0.1
    """Upper end of the first wait, in seconds; each later one doubles it (full jitter)."""
    max_s: float = 2.0
    """Longest wait, in seconds."""


class BreakerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[breaker]`: leaving a manager alone that is down."""

    failures: int = 5
    """Failed round trips in a row that open the breaker."""
    cooldown_s: float = 10.0
    """Seconds until one probe is let through."""


class CatalogueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[catalogue]`: where our own manager keeps its assets."""

    url: str = ""
    """`sqlite:///<path>`; empty for `catalogue.sqlite` in the data folder."""
    lock_timeout_s: float = 10.0
    """Seconds to wait for another process's write."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    All settings of one session, and the folders they imply.

    Attributes:
        home: The folder `BIFROST_HOME` named, or "".
        source: The settings file that was read, or "".
    """

    cache: CacheSettings = CacheSettings()
    manager: ManagerSettings = ManagerSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    home: str = ""
    source: str = ""

    @property
    def cache_directory(self) -> Path:
        """The folder of the persistent cache."""
        if self.cache.directory:
            return Path(self.cache.directory).expanduser()
        return _folder(self.home, "cache")

    @property
    def data_directory(self) -> Path:
        """The folder of the embedded catalogue and its stored files."""
        return _folder(self.home, "data")

    @property
    def catalogue_url(self) -> str:
        """The catalogue's URL, the default filled in."""
        return self.catalogue.url or f"sqlite:///{self.data_directory / 'catalogue.sqlite'}"

    @property
    def manager_config(self) -> str:
        """The OpenAssetIO config file in force, or "" for our own manager."""
        return self.manager.config or os.environ.get("OPENASSETIO_DEFAULT_CONFIG", "")


_SECTIONS: Final = ("cache", "manager", "retry", "breaker", "catalogue")


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """
    Return the settings that the file and the environment give.

    Raises:
        ConfigurationError: naming the key, the value, where it stands, and the nearest valid key.
    """
    environ = os.environ if environ is None else environ
    home = environ.get("BIFROST_HOME", "")
    path = _folder(home, "config") / "settings.toml"
    table = _read(path) if path.is_file() else {}
    origins = {key: str(path) for key in _dotted(table)}
    _merge_environment(table, origins, environ)
    _check_names(table, origins)
    _check_values(table, origins)
    source = str(path) if path.is_file() else ""
    return msgspec.convert({**table, "home": home, "source": source}, Settings, strict=False)


def _folder(home: str, kind: str) -> Path:
    if home:
        return Path(home).expanduser().absolute() / ("" if kind == "config" else kind)
    import platformdirs

    return Path(getattr(platformdirs, f"user_{kind}_dir")("bifrost", appauthor=False))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: the settings can't be read: {error}") from error


def _fields(section: str) -> dict[str, Any]:
    return get_type_hints(get_type_hints(Settings)[section])


def _variables() -> Iterator[tuple[str, str, str]]:
    for section in _SECTIONS:
        for field in _fields(section):
            yield section, field, f"BIFROST_{section.upper()}__{field.upper()}"


def _merge_environment(
    table: dict[str, Any], origins: dict[str, str], environ: Mapping[str, str]
) -> None:
    for section, field, variable in _variables():
        if variable in environ and isinstance(table.setdefault(section, {}), dict):
            table[section][field] = environ[variable]
            origins[f"{section}.{field}"] = variable


def _dotted(table: Mapping[str, Any]) -> Iterator[str]:
    for section, values in table.items():
        yield section
        if isinstance(values, dict):
            yield from (f"{section}.{field}" for field in values)


def _check_names(table: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    valid = [*_SECTIONS, *(f"{section}.{field}" for section, field, _ in _variables())]
    for key in _dotted(table):
        if key not in valid:
            near = difflib.get_close_matches(key, valid, n=1, cutoff=0)
            raise ConfigurationError(
                f"{key}: there is no such setting; the nearest is {near[0]!r} (from {origins[key]})"
            )
    for section, values in table.items():
        if not isinstance(values, dict):
            raise ConfigurationError(
                f"{section}: expected a table, got {values!r} (from {origins[section]})"
            )


def _check_values(table: Mapping[str, Any], origins: Mapping[str, str]) -> None:
    for section, values in table.items():
        for field, value in values.items():
            expected = _fields(section)[field]
            key = f"{section}.{field}"
            try:
                number = msgspec.convert(value, expected, strict=False)
            except msgspec.ValidationError:
                raise ConfigurationError(
                    f"{key}: expected {expected.__name__}, got {value!r} (from {origins[key]})"
                ) from None
            if expected is not str and not 0 <= number < float("inf"):
                raise ConfigurationError(
                    f"{key}: expected a number from 0 up, got {value!r} (from {origins[key]})"
                )
