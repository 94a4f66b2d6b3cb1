# SPDX-License-Identifier: Apache-2.0
"""
Settings as earlier releases named them, read as what they mean now.

| then | now |
|---|---|
| `assetio.manager` | `manager.config`, which takes an identifier too; our own manager is the default |
| `assetio.fallback_manager` | the same; OpenAssetIO's test manager, the default then, is left out |
| `storage.local.root_path` | `catalogue.earlier_store` |
| `assetio.enabled`, `.host_name`, `.host_version` | for the old import paths alone: `EarlierSettings` |
| `assetio.environment.OPENASSETIO_PLUGIN_PATH` | the environment's, unless that says something else |
| `assetio.uri_scheme` | nothing: references are `bifrost:…` |

They stand in TOML or YAML, in tables or as dotted names. A YAML file is one of an earlier release, which
had sections for other things: those are nobody's here, and ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost.errors import ConfigurationError
from bifrost.model.entity_reference import MANAGER

TEST_MANAGER: Final = "org.openassetio.test.manager"
YAML_SUFFIXES: Final = (".yaml", ".yml")

_PLUGIN_PATH: Final = "OPENASSETIO_PLUGIN_PATH"


class EarlierSettings(NamedTuple):
    """What only the import paths of earlier releases go by, and no file of today has."""

    enabled: bool = True
    """Whether `bifrost.integrations.assetio` answers at all."""
    host_name: str = "Bifrost Asset Manager"
    """What its host is called."""
    host_version: str = "0.1.0"
    """Which version it says it is."""
    plugin_path: str = ""
    """Where OpenAssetIO looks for plugins, if the environment doesn't say."""

    def export(self) -> None:
        """Let OpenAssetIO find the plugins, where the environment doesn't say where they are."""
        if self.plugin_path:
            import os

            os.environ.setdefault(_PLUGIN_PATH, self.plugin_path)


class Change(NamedTuple):
    """
    What becomes of one old setting.

    Attributes:
        old: Its name.
        value: Its value.
        new: The name of the setting that it is now; "" where there is none.
        note: What there is to know, or "".
    """

    old: str
    value: Any
    new: str = ""
    note: str = ""


class Translation(NamedTuple):
    """
    A file of settings, in the form of today.

    Attributes:
        table: What is in it, by section.
        earlier: What has no place there.
        changes: What became of each old setting, in the file's order.
        ignored: The sections that nothing reads.
        is_old: Whether the file is of an earlier release.
    """

    table: dict[str, Any]
    earlier: EarlierSettings = EarlierSettings()
    changes: tuple[Change, ...] = ()
    ignored: tuple[str, ...] = ()
    is_old: bool = False


_NEW_NAMES: Final = {
    "assetio.manager": "manager.config",
    "assetio.fallback_manager": "assetio.fallback_manager",
    "storage.local.root_path": "catalogue.earlier_store",
}
# What they were where a file said nothing: saying it says nothing more.
_DEFAULTS: Final = {
    "assetio.manager": MANAGER,
    "assetio.fallback_manager": TEST_MANAGER,
    "assetio.enabled": True,
    "assetio.uri_scheme": "bifrost",
    f"assetio.environment.{_PLUGIN_PATH}": "",
}
_FIELDS: Final = {
    "assetio.enabled": "enabled",
    "assetio.host_name": "host_name",
    "assetio.host_version": "host_version",
    f"assetio.environment.{_PLUGIN_PATH}": "plugin_path",
}
_NOTES: Final = {
    "assetio.enabled": "there is no switch: what isn't to be asked isn't called",
    "assetio.host_name": "managers are told `Bifrost`",
    "assetio.host_version": "managers are told the version of Bifrost",
    "assetio.uri_scheme": "references are `bifrost:…`; `bifrost usd env --scheme` adds other managers'",
    f"assetio.environment.{_PLUGIN_PATH}": f"set {_PLUGIN_PATH} in the environment",
}
_OLD: Final = _NEW_NAMES.keys() | _NOTES.keys()
# Valid today too: alone, it makes no file an old one.
_STILL_VALID: Final = frozenset({"assetio.fallback_manager"})


def read_yaml(path: Path) -> dict[str, Any]:
    """
    Return what the YAML file at *path* holds.

    Raises:
        ConfigurationError: it can't be read, or is no mapping.
    """
    import yaml

    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        # Without what it quotes, which may be a password.
        place = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(
            f"{path}: the settings can't be read: {error.problem}{place}"
        ) from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: the settings can't be read: {error}") from error
    if table is None:
        return {}
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: expected settings by name, got {str(table)[:80]!r}")
    return table


def translated(table: Mapping[Any, Any], path: Path, sections: Collection[str]) -> Translation:
    """
    Return the settings of the file at *path* in the form of today.

    Args:
        table: What the file holds.
        path: Where it stands; in YAML, what is of none of *sections* is left out.
        sections: The names of today's sections.

    Raises:
        ConfigurationError: an old setting has a value that it can't have.
    """
    is_yaml = path.suffix in YAML_SUFFIXES
    values = dict(_flat(table))
    if not is_yaml and not values.keys() - _STILL_VALID:
        return Translation(dict(table))
    rest = _without(table, values)
    # The storage of earlier releases had more to it; today there is no section of that name.
    ignored = tuple(key for key in rest if key == "storage" or (is_yaml and key not in sections))
    for section in ignored:
        del rest[section]
    changes = tuple(_change(key, _checked(key, value, path)) for key, value in values.items())
    for change in changes:
        section, _, field = change.new.partition(".")
        if section and isinstance(rest.setdefault(section, {}), dict):
            # Who has written the new name as well means that one.
            rest[section].setdefault(field, change.value)
    fields = {_FIELDS[key]: value for key, value in values.items() if key in _FIELDS}
    return Translation(rest, EarlierSettings(**fields), changes, ignored, is_old=True)


def warning_of(translation: Translation, path: Path) -> str:
    """Return what a warning of the old settings in *path* says."""
    from bifrost import deprecation

    names = ", ".join(change.old for change in translation.changes)
    return deprecation.message(
        f"{path}: {names or 'YAML'}", f"what `bifrost migrate settings {path} --write` writes"
    )


def _change(key: str, value: Any) -> Change:
    if value == _DEFAULTS.get(key):
        return Change(key, value, note="the default")
    return Change(key, value, _NEW_NAMES.get(key, ""), _NOTES.get(key, ""))


def _checked(key: str, value: Any, path: Path) -> Any:
    kind, expected = (bool, "true or false") if key == "assetio.enabled" else (str, "a text")
    if not isinstance(value, kind):
        raise ConfigurationError(f"{key}: expected {expected}, got {value!r} (from {path})")
    return value


def _flat(table: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each old setting of *table* under its dotted name."""
    for key, value in table.items():
        name = f"{prefix}{key}"
        if name in _OLD:
            yield name, value
        elif isinstance(value, Mapping) and _has_old_names(name):
            yield from _flat(value, f"{name}.")


def _has_old_names(section: str) -> bool:
    return any(name.startswith(f"{section}.") for name in _OLD)


def _without(table: Mapping[Any, Any], names: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Return a copy of *table* without the values of those dotted *names*, and what is empty then."""
    kept = {}
    for key, value in table.items():
        name = f"{prefix}{key}"
        if name in names:
            continue
        if isinstance(value, Mapping) and _has_old_names(name):
            inner = _without(value, names, f"{name}.")
            if inner or not value:
                kept[str(key)] = inner
        else:
            kept[str(key)] = value
    return kept
