# SPDX-License-Identifier: Apache-2.0
"""The storage tree of earlier releases, `{root}/{asset_id}/v{NNN}/…`, and the records that go with it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost.catalogue.records import to_microseconds
from bifrost.errors import ConfigurationError
from bifrost.model.entity_reference import parse, reference_for

_VERSION_FOLDER: Final = re.compile(r"v([0-9]{1,9})")

Trouble = tuple[str, str]
"""What, a path or a reference; and what is wrong with it."""


class OldVersion(NamedTuple):
    """
    One version as it lies in the tree.

    Attributes:
        number: What its folder says.
        file: The file that it resolves to: the one that the record names, else the first by name.
        created_us: When it was published, in microseconds since the epoch: as the record says it, else
            when the file was last written.
        created_by: Who published it, or "".
        comment: What they said about it, or "".
    """

    number: int
    file: Path
    created_us: int
    created_by: str = ""
    comment: str = ""


class OldAsset(NamedTuple):
    """
    One asset of the tree.

    Attributes:
        asset_id: The name of its folder.
        versions: By number.
        record: What is known of it besides; empty where nothing is.
    """

    asset_id: str
    versions: tuple[OldVersion, ...]
    record: Mapping[str, Any]


def assets_in(
    root: Path, records: Mapping[str, Mapping[str, Any]], left_out: list[Trouble]
) -> Iterator[OldAsset]:
    """
    Yield the assets of the tree at *root*, by id.

    Nothing is written, no file is read. What is no version of an asset is appended to *left_out*.

    Raises:
        OSError: *root* can't be listed.
    """
    for folder in sorted(each for each in root.iterdir() if not each.name.startswith(".")):
        if problem := _no_asset(folder):
            left_out.append((_shown(folder), problem))
            continue
        record = records.get(folder.name, {})
        try:
            versions = tuple(_versions(folder, record, left_out))
        except OSError as error:
            left_out.append((_shown(folder), f"can't be listed: {error.strerror or error}"))
            continue
        if versions:
            yield OldAsset(folder.name, versions, record)
        else:
            left_out.append((_shown(folder), "no version in it"))


def read_records(path: Path) -> dict[str, Mapping[str, Any]]:
    """
    Return the asset records in a JSON file, by id: a list, an object by id, or one record a line.

    Raises:
        ConfigurationError: the file can't be read, or holds something else; says which record.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        data = json.loads(text)
        is_one = isinstance(data, dict) and isinstance(data.get("id"), str)
        listed = [data] if is_one else list(data.values()) if isinstance(data, dict) else data
    except (ValueError, RecursionError):
        listed = _lines(path, text)
    found: dict[str, Mapping[str, Any]] = {}
    for number, record in enumerate(listed if isinstance(listed, list) else [listed], 1):
        if not isinstance(record, dict) or not isinstance(record.get("id"), str):
            raise ConfigurationError(f"{path}: record {number} is no object with an id")
        found[record["id"]] = record
    return found


def _lines(path: Path, text: str) -> list[Any]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise ConfigurationError(f"{path}: line {number} is no JSON: {error}") from None
    return found


def _no_asset(folder: Path) -> str:
    """Return why *folder* can't be an asset's, or ""."""
    if not folder.is_dir():
        return "no folder"
    try:
        name = folder.name
        return "" if parse(reference_for(name)).asset_id == name else "no reference can name it"
    except (ValueError, UnicodeError) as error:
        return f"no reference can name it: {error}".encode(errors="replace").decode()


def _versions(
    folder: Path, record: Mapping[str, Any], left_out: list[Trouble]
) -> Iterator[OldVersion]:
    numbers: dict[int, Path] = {}
    for entry in sorted(folder.iterdir()):
        match = _VERSION_FOLDER.fullmatch(entry.name)
        if match is None or not entry.is_dir():
            continue
        number = int(match[1])
        if number == 0 or number in numbers:
            why = "versions count from 1" if number == 0 else f"{numbers[number].name} is the same"
            left_out.append((_shown(entry), why))
            continue
        numbers[number] = entry
    said = {_number(each): each for each in _listed(record.get("versions"))}
    for number, entry in sorted(numbers.items()):
        if (file := _file(entry, said.get(number, {}))) is None:
            left_out.append((_shown(entry), "no file in it"))
        else:
            yield _version(number, file, said.get(number, {}))


def _file(folder: Path, said: Mapping[str, Any]) -> Path | None:
    files = sorted(each for each in folder.iterdir() if each.is_file())
    named = os.path.basename(str(said.get("file_path") or ""))  # noqa: PTH119  perhaps another system's
    for file in files:
        if file.name == named:
            return file
    # As `AssetUriMapper.uri_to_path` picks it, but for what file managers leave behind.
    seen = [file for file in files if not file.name.startswith(".")]
    return next(iter(seen or files), None)


def _version(number: int, file: Path, said: Mapping[str, Any]) -> OldVersion:
    created_us = _moment(said.get("created_at"))
    if created_us is None:
        created_us = max(file.stat().st_mtime_ns // 1_000, 0)
    return OldVersion(number, file, created_us, _text(said, "created_by"), _text(said, "comment"))


def _moment(value: Any) -> int | None:
    """Return a record's time, ISO 8601 or seconds since the epoch; None where it is neither."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return max(int(value * 1_000_000), 0)
        return max(to_microseconds(datetime.fromisoformat(str(value))), 0)
    except (ValueError, OverflowError):
        return None


def _number(said: Mapping[str, Any]) -> int:
    number = said.get("version_number")
    return number if isinstance(number, int) else 0


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    return value if isinstance(value, str) else ""


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="replace")
