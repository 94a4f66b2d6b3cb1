# SPDX-License-Identifier: Apache-2.0
"""Settings files of earlier releases, written in the form of today."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost import settings
from bifrost.earlier_settings import YAML_SUFFIXES, Change
from bifrost.errors import ConfigurationError
from bifrost.replacing import replace_file

_KEPT: Final = ".earlier"


class Migrated(NamedTuple):
    """
    A settings file, and what it says today.

    Attributes:
        source: The file.
        target: Where the new form goes: the file itself, or one beside a YAML file.
        table: The settings, by section.
        changes: What became of each old setting.
        ignored: The sections that nothing reads.
        is_old: Whether there is anything to write.
    """

    source: Path
    target: Path
    table: dict[str, Any]
    changes: tuple[Change, ...]
    ignored: tuple[str, ...]
    is_old: bool

    @property
    def text(self) -> str:
        """The settings as TOML."""
        return toml(self.table)


def migrated(source: Path) -> Migrated:
    """
    Return what the settings file *source* says today. Nothing is written.

    Raises:
        ConfigurationError: it can't be read, or holds what is no setting, today's or earlier.
    """
    translation = settings.read_file(source)
    settings.check(translation.table, source)
    is_yaml = source.suffix in YAML_SUFFIXES
    target = source.with_suffix(".toml") if is_yaml else source
    found = Migrated(
        source,
        target,
        translation.table,
        translation.changes,
        translation.ignored,
        translation.is_old,
    )
    if is_yaml and target.exists() and target.read_text(encoding="utf-8") == found.text:
        return found._replace(is_old=False)
    return found


def write(migrated: Migrated) -> Path | None:
    """
    Write the new form, and return where; None if there is nothing to write.

    A TOML file is replaced, and kept as `<name>.earlier`: its comments are not carried over. It is
    all there or not at all.

    Raises:
        ConfigurationError: a file that is none of ours is in the way, or it can't be written.
    """
    if not migrated.is_old:
        return None
    source, target = migrated.source, migrated.target
    kept = source.with_name(source.name + _KEPT)
    try:
        if target == source:
            # A second name for the old file, which the rename below leaves alone; never over another's.
            # A run that was killed in between has given it already.
            if not (kept.exists() and kept.samefile(source)):
                os.link(source, kept)
        elif target.exists():
            raise FileExistsError(f"there is {target} already, which says something else")
        mode = source.stat().st_mode & 0o777
        replace_file(target, migrated.text.encode(), mode=mode, durable=True)
    except OSError as error:
        raise ConfigurationError(f"{source}: the new form can't be written: {error}") from error
    return target


def toml(table: Mapping[str, Mapping[str, Any]]) -> str:
    """Return *table*, sections of texts and numbers, as TOML."""
    parts = [
        "".join(
            [f"[{section}]\n", *(f"{key} = {_value(value)}\n" for key, value in values.items())]
        )
        for section, values in table.items()
    ]
    return "\n".join(parts)


def _value(value: Any) -> str:
    # JSON's texts are TOML's, but for DEL, which JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
