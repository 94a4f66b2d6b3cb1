# SPDX-License-Identifier: Apache-2.0
"""
A file of pins: what every reference of a shot resolved to, and what each of its files held.

It is a receipt that people read and compare, and all that a farm needs: the C++ resolver answers from
it (resolver/pins.cpp). JSON, sorted, an entry's every field on a line of its own, so that `diff` and
version control show what changed. docs/pins.md describes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost.errors import Code, ConfigurationError, StorageException
from bifrost.replacing import replace_file

FORMAT: Final = 1
_FORMAT_KEY: Final = "bifrost_pins"


@dataclass(frozen=True, slots=True)
class Pin:
    """
    A file as it was when the pins were made.

    Attributes:
        reference: The entity reference that resolves to it; "" for a plain path.
        path: Absolute; with `<UDIM>` for a set of tiles, whose size and hash are those of all.
        kind: What it is for, where it was met first: `sublayer`, `payload`, `attribute`…
        size: Bytes.
        sha256: Of its content, in hexadecimal.
        version: The version that the reference resolved to, or "".
        name: The asset's name, or "".
        manager: Who resolved it; "" for a plain path.
        immutable: Whether the reference can't mean another version.
        templated: Whether the path is one that no file has, as with `<UDIM>`.
        modified: When the file was last changed, in seconds since the epoch, as the manager says.
    """

    reference: str
    path: str
    kind: str
    size: int
    sha256: str
    version: str = ""
    name: str = ""
    manager: str = ""
    immutable: bool = False
    templated: bool = False
    modified: float = 0.0

    @property
    def key(self) -> str:
        """What it is known by: its reference, or its path."""
        return self.reference or self.path


class Unresolved(NamedTuple):
    """What could not be pinned, the layer that names it, and why."""

    reference: str
    layer: str
    problem: str


@dataclass(frozen=True, slots=True)
class Pins:
    """
    Everything that a root reaches, frozen.

    Attributes:
        root: The file or entity reference.
        variants: `all`, or `selected`.
        made: When, in ISO 8601, UTC.
        by: Who made them.
        manager: The identifier of the manager that resolved.
        openusd: The version of OpenUSD that read the layers, such as `26.8`.
        policy: The version policy that they were made under, as contexts write it; or "".
        entities: What entity references resolve to, sorted.
        files: The files that plain paths lead to, sorted.
        unresolved: What could not be pinned, sorted.
    """

    root: str
    variants: str
    made: str
    by: str
    manager: str
    openusd: str
    policy: str
    entities: tuple[Pin, ...]
    files: tuple[Pin, ...]
    unresolved: tuple[Unresolved, ...] = ()

    @property
    def pinned(self) -> tuple[Pin, ...]:
        """The entities and the files."""
        return (*self.entities, *self.files)

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write them to a file, which is replaced whole or not at all.

        Raises:
            StorageException: it can't be written.
        """
        try:
            self._save(Path(path))
        except OSError as error:
            raise StorageException(
                f"{os.fspath(path)}: can't be written: {error.strerror or error}", code=Code.STORAGE
            ) from error

    def _save(self, target: Path) -> None:
        # Paths are bytes to USD; what is no UTF-8 in them stays as it is.
        data = self.text().encode("utf-8", "surrogateescape")
        replace_file(target, data)

    def text(self) -> str:
        """Return the content of their file."""
        entities = [self._entry(each) for each in self.entities]
        shown = {
            _FORMAT_KEY: FORMAT,
            **{key: getattr(self, key) for key in _HEADER},
            "entities": entities,
            "files": [self._entry(each) for each in self.files],
            "unresolved": [each._asdict() for each in self.unresolved],
        }
        return json.dumps(shown, indent=1, ensure_ascii=False) + "\n"

    def _entry(self, pin: Pin) -> dict[str, Any]:
        entry = {key: getattr(pin, key) for key in FIELDS if getattr(pin, key)}
        if pin.reference and pin.manager == self.manager:
            entry.pop("manager", None)  # the header says it, or nobody does
        return {**entry, "size": pin.size} if not pin.size else entry


_HEADER: Final = ("root", "variants", "made", "by", "manager", "openusd", "policy")
FIELDS: Final = (
    "reference", "version", "path", "size", "sha256", "kind", "name", "manager", "immutable",
    "templated", "modified",
)  # fmt: skip
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    **dict.fromkeys(("reference", "version", "path", "sha256", "kind", "name", "manager"), str),
    **dict.fromkeys(("immutable", "templated"), bool),
    "size": int,
    "modified": (int, float),
}


def load(path: str | os.PathLike[str]) -> Pins:
    """
    Read a file of pins.

    Raises:
        ConfigurationError: there is no such file, or it holds no pins; says where and why.
    """
    name = os.fspath(path)
    # Not read to see: a FIFO is waited for, and a device read, without end.
    if os.path.exists(name) and not os.path.isfile(name):  # noqa: PTH110, PTH113  any text
        raise ConfigurationError(f"{name}: is no regular file")
    try:
        data = json.loads(Path(path).read_bytes().decode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ConfigurationError(f"{name}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name}: the pins are no JSON: {error}") from error
    try:
        return _pins(data)
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{name}: {error.args[0] if error.args else error}") from error


def _pins(data: Any) -> Pins:
    number = data.get(_FORMAT_KEY) if isinstance(data, Mapping) else None
    if type(number) is not int:
        raise ValueError(f"it holds no pins: {_FORMAT_KEY!r} is missing")
    if number > FORMAT:
        raise ValueError(f"a later version of Bifrost wrote it, in format {number}")
    header = {key: data.get(key, "") for key in _HEADER}
    for key, value in header.items():
        if not isinstance(value, str):
            raise TypeError(f"{key}: expected a text, got {value!r}")
    unresolved = [
        Unresolved(**{key: str(each.get(key, "")) for key in Unresolved._fields})
        for each in _listed(data, "unresolved")
    ]
    return Pins(
        **header,
        entities=tuple(
            _pin(each, f"entities[{i}]", "reference", header["manager"])
            for i, each in enumerate(_listed(data, "entities"))
        ),
        files=tuple(
            _pin(each, f"files[{i}]", "path", "") for i, each in enumerate(_listed(data, "files"))
        ),
        unresolved=tuple(unresolved),
    )


def _listed(data: Mapping[str, Any], key: str) -> Sequence[Mapping[str, Any]]:
    found = data.get(key, [])
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise TypeError(f"{key}: expected a list of objects")
    return found


def _pin(entry: Mapping[str, Any], where: str, needed: str, manager: str) -> Pin:
    known = {key: entry[key] for key in _TYPES if key in entry}
    for key, value in known.items():
        is_right = isinstance(value, _TYPES[key]) and isinstance(value, bool) == (
            _TYPES[key] is bool
        )
        if not is_right:
            raise TypeError(f"{where}.{key}: not expected to be {value!r}")
    for key in (needed, "path"):
        if not known.get(key):
            raise ValueError(f"{where}: it has no {key!r}")
    empty = {"reference": "", "kind": "", "size": 0, "sha256": "", "manager": manager}
    return Pin(**{**empty, **known})
