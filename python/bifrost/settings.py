# SPDX-License-Identifier: Apache-2.0
"""
Every setting: its default, its unit, and where it comes from.

Later wins: the defaults here, `settings.toml`, the environment. A setting `cache.ttl_s` is
`ttl_s = 60` under `[cache]` in the file and `BIFROST_CACHE__TTL_S=60` in the environment.
`BIFROST_HOME` puts the settings, the catalogue and the cache of a run into one folder; without it
they live in the platform's config, data and cache folders. Files of earlier releases, `settings.yaml`
among them, are read as what they mean now (`earlier_settings`).

Foreign `BIFROST_*` variables (Autodesk's Bifrost for Maya has its own) are never complained about.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost import earlier_settings
from bifrost.earlier_settings import EarlierSettings, Translation
from bifrost.errors import ConfigurationError
from bifrost.model.paths import expanded_setting

# Not msgspec, which would validate all this: importing it takes 10 ms of the 30 ms that the start of a
# DCC may cost, and what a TD should be told about a wrong setting is ours to say anyway. For the same
# reason these are named tuples (a dataclass takes a millisecond to make), and tomllib, difflib and
# platformdirs are imported where they are used.


class CacheSettings(NamedTuple):
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
    revalidate_s: float = 0.0
    """Seconds past its freshness for which an answer is served at once, and asked again behind it."""
    stale_s: float = 604_800.0
    """Seconds past its freshness for which an answer is served while the manager is down."""
    distributed_url: str = ""
    """A Redis or Valkey server that a studio's hosts share: `redis://…`, `rediss://…`; empty: none."""
    key_file: str = ""
    """The file with the keys that sign what is cached on disk and in Redis, one a line, the first in
    force; others must not be able to read it. Empty: nothing is signed."""
    follow_s: float = 1.0
    """Seconds between two looks at what others changed in our own catalogue; 0: never."""


class ResolveSettings(NamedTuple):
    """`[resolve]`: what may be resolved to."""

    allowed_roots: str = ""
    """Folders that every answer must lie in, joined by `;`: the manager's, a cache's, a file of pins'.
    Empty: anywhere."""


class ManagerSettings(NamedTuple):
    """`[manager]`: which OpenAssetIO manager answers, and how patient we are."""

    config: str = ""
    """An OpenAssetIO default-config file, or an installed manager's identifier. Empty:
    `OPENASSETIO_DEFAULT_CONFIG`, else our own manager."""
    deadline_s: float = 30.0
    """Seconds that one request may take, retries included."""
    max_workers: int = 8
    """How many calls may be in the manager at once."""


class AssetioSettings(NamedTuple):
    """`[assetio]`: what else OpenAssetIO is asked."""

    fallback_manager: str = ""
    """A second manager, asked in an outage for what it recognises: a config file or an identifier."""


class RetrySettings(NamedTuple):
    """`[retry]`: asking again after a failure that may pass."""

    attempts: int = 3
    """How often a retryable element is asked, the first time included."""
    base_s: float = 0.1
    """Upper end of the first wait, in seconds; each later one doubles it (full jitter)."""
    max_s: float = 2.0
    """Longest wait, in seconds."""


class BreakerSettings(NamedTuple):
    """`[breaker]`: leaving a manager alone that is down."""

    failures: int = 5
    """Failed round trips in a row that open the breaker."""
    cooldown_s: float = 10.0
    """Seconds until one probe is let through."""


class CatalogueSettings(NamedTuple):
    """`[catalogue]`: where our own manager keeps its assets."""

    url: str = ""
    """`sqlite:///<path>` or `postgresql://…`; empty for `catalogue.sqlite` in the data folder."""
    store: str = ""
    """The folder of published files, the same for everybody; empty for `store` in the data folder."""
    earlier_store: str = ""
    """The storage tree of earlier releases, for `AssetUriMapper.uri_to_path`; empty for `data/assets`."""
    workflow: str = ""
    """Stages of versions and their moves, `wip > review; review > approved wip`; empty: the default."""
    strengths: str = ""
    """How strongly kinds of arcs bind, `payload=weak; metadata=reference`; empty: the default."""
    lock_timeout_s: float = 10.0
    """Seconds to wait for another process's write."""
    statement_timeout_s: float = 60.0
    """Seconds that one statement may take on a PostgreSQL server."""


class AccessSettings(NamedTuple):
    """`[access]`: whether people must prove who they are, by signed tokens."""

    tokens: str = "ignored"
    """`ignored`; `optional`: who sends none is who they say they are; `required`: nobody gets in without."""
    algorithms: str = "RS256"
    """How tokens are signed: `HS256` (a secret) or `RS256` (a public key); several of a kind by commas."""
    key_file: str = ""
    """The file with the secret, which others must not be able to read, or with the public key in PEM."""
    audience: str = ""
    """Whom tokens must be meant for (`aud`); empty: those that name nobody."""
    issuer: str = ""
    """Who must have issued them (`iss`); empty for anybody who has the key."""
    leeway_s: float = 30.0
    """Seconds by which the clocks of who issues tokens and of who verifies them may differ."""


class Settings(NamedTuple):
    """
    All settings of one session, and the folders they imply.

    Attributes:
        home: The folder `BIFROST_HOME` named, or "".
        source: The settings file that was read, or "".
        earlier: What only the import paths of earlier releases go by.
    """

    cache: CacheSettings = CacheSettings()
    resolve: ResolveSettings = ResolveSettings()
    manager: ManagerSettings = ManagerSettings()
    assetio: AssetioSettings = AssetioSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    access: AccessSettings = AccessSettings()
    home: str = ""
    source: str = ""
    earlier: EarlierSettings = EarlierSettings()

    @property
    def cache_directory(self) -> Path:
        """
        The folder of the persistent cache.

        Raises:
            ConfigurationError: its setting names the home of nobody.
        """
        if self.cache.directory:
            return expanded_setting("cache.directory", self.cache.directory)
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
    def store_directory(self) -> Path:
        """
        The folder of published files.

        Raises:
            ConfigurationError: its setting names the home of nobody.
        """
        if self.catalogue.store:
            return expanded_setting("catalogue.store", self.catalogue.store)
        return self.data_directory / "store"

    @property
    def manager_config(self) -> str:
        """The OpenAssetIO config file in force, or "" for our own manager."""
        return self.manager.config or os.environ.get("OPENASSETIO_DEFAULT_CONFIG", "")


_SECTIONS: Final[dict[str, type]] = {
    "cache": CacheSettings,
    "resolve": ResolveSettings,
    "manager": ManagerSettings,
    "assetio": AssetioSettings,
    "retry": RetrySettings,
    "breaker": BreakerSettings,
    "catalogue": CatalogueSettings,
    "access": AccessSettings,
}
# Annotations are strings here (PEP 563), and these are all there are.
_TYPES: Final[dict[str, type]] = {"str": str, "int": int, "float": float}


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """
    Return the settings that the file and the environment give.

    Raises:
        ConfigurationError: naming the key, the value, where it stands, and the nearest valid key.
    """
    environ = os.environ if environ is None else environ
    home = environ.get("BIFROST_HOME", "")
    try:
        path = _file(home)
        is_there = path.is_file()
    except (OSError, RuntimeError) as error:  # a RuntimeError: no such user's home
        raise ConfigurationError(f"BIFROST_HOME={home!r} can't be used: {error}") from error
    if home:
        home = str(path.parent)  # absolute, wherever the process moves
    table, earlier = _read(path) if is_there else ({}, EarlierSettings())
    origins = {key: str(path) for key in _dotted(table)}
    _merge_environment(table, origins, environ)
    _check_names(table, origins)
    sections = {
        section: kind(**_checked(section, table.get(section, {}), origins))
        for section, kind in _SECTIONS.items()
    }
    source = str(path) if is_there else ""
    return Settings(**sections, home=home, source=source, earlier=earlier)


def checked_section(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *values* of a section's settings, in their own types, given by a program.

    Raises:
        ConfigurationError: one of them can't be; names the setting and the value.
    """
    return _checked(section, values, _ByProgram())


class _ByProgram(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "the program"


def _folder(home: str, kind: str) -> Path:
    if home:
        return Path(home).expanduser().absolute() / ("" if kind == "config" else kind)
    import platformdirs

    return Path(getattr(platformdirs, f"user_{kind}_dir")("bifrost", appauthor=False))


def _file(home: str) -> Path:
    """Return the settings file: of earlier releases' only where there is none of today's."""
    folder = _folder(home, "config")
    today = folder / "settings.toml"
    earlier = (folder / f"settings{suffix}" for suffix in earlier_settings.YAML_SUFFIXES)
    return today if today.is_file() else next(filter(Path.is_file, earlier), today)


def _read(path: Path) -> tuple[dict[str, Any], EarlierSettings]:
    translation = read_file(path)
    if translation.is_old:
        from bifrost import deprecation

        deprecation.warn_of_file(path, earlier_settings.warning_of(translation, path))
    return translation.table, translation.earlier


def read_file(path: Path) -> Translation:
    """
    Return what the settings file at *path* says, one of an earlier release too; not yet checked.

    Raises:
        ConfigurationError: it can't be read, or a setting of an earlier release has a wrong value.
    """
    is_yaml = path.suffix in earlier_settings.YAML_SUFFIXES
    table = earlier_settings.read_yaml(path) if is_yaml else _read_toml(path)
    return earlier_settings.translated(table, path, _SECTIONS)


def check(table: Mapping[str, Any], path: Path) -> None:
    """
    Check the settings of a file, as `load` does.

    Raises:
        ConfigurationError: naming the key, the value, where it stands, and the nearest valid key.
    """
    origins = {key: str(path) for key in _dotted(table)}
    _check_names(table, origins)
    for section, values in table.items():
        _checked(section, values, origins)


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no TOML, no UTF-8
        raise ConfigurationError(f"{path}: the settings can't be read: {error}") from error


def _fields(section: str) -> dict[str, type]:
    # An annotation is a text or a ForwardRef of one, as `from __future__ import annotations` makes it.
    hints = _SECTIONS[section].__annotations__
    return {
        name: _TYPES[str(getattr(kind, "__forward_arg__", kind))] for name, kind in hints.items()
    }


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
        # A quoted "cache.ttl_s" is the name of a section, and there is none of that name.
        if key not in valid or (key in table and key not in _SECTIONS):
            import difflib

            near = difflib.get_close_matches(key, valid, n=1, cutoff=0)
            raise ConfigurationError(
                f"{key}: there is no such setting; the nearest is {near[0]!r} (from {origins[key]})"
            )
    for section, values in table.items():
        if not isinstance(values, dict):
            raise ConfigurationError(
                f"{section}: expected a table, got {type(values).__name__} (from {origins[section]})"
            )


def _checked(section: str, values: Mapping[str, Any], origins: Mapping[str, str]) -> dict[str, Any]:
    kinds = _fields(section)
    checked = {}
    for field, value in values.items():
        number = _converted(value, kinds[field])
        if number is None:
            raise ConfigurationError(
                f"{section}.{field}: expected {_EXPECTED[kinds[field]]}, got {value!r} "
                f"(from {origins[f'{section}.{field}']})"
            )
        checked[field] = number
    return checked


_EXPECTED: Final = {str: "a text", int: "a whole number from 0 up", float: "a number from 0 up"}


def _converted(value: Any, kind: type) -> Any:
    """Return *value* as a *kind*, or None; texts come from the environment, numbers from the file."""
    if kind is str:
        return value if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        number = kind(value)
    except (ValueError, OverflowError):
        return None
    is_exact = isinstance(value, str) or number == value
    return number if is_exact and 0 <= number < float("inf") else None
