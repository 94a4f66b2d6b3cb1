# SPDX-License-Identifier: Apache-2.0
"""What no longer is as it was pinned, and what two files of pins differ in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any, Final, NamedTuple

from bifrost.errors import ConfigurationError
from bifrost.usd.measuring import Measure, measured
from bifrost.usd.pins import FIELDS, Pin, Pins

ROOTS_VARIABLE: Final = "BIFROST_PINS_ROOTS"
_NOT_COMPARED: Final = frozenset({"modified"})


class Trouble(StrEnum):
    """What can be wrong with a pin."""

    MISSING = "missing"
    """Its file is not there, or can't be read."""
    CHANGED = "changed"
    """Its file holds something else now."""
    UNRESOLVED = "unresolved"
    """It did not resolve when the pins were made."""
    OTHER_MANAGER = "other manager"
    """Another manager than this session's resolved it: what is not pinned means something else."""
    OTHER_OPENUSD = "other OpenUSD"
    """Another version of OpenUSD read the layers: what they compose to may differ."""

    @property
    def is_warning(self) -> bool:
        """Whether the pins hold nevertheless."""
        return self in (Trouble.OTHER_MANAGER, Trouble.OTHER_OPENUSD)


class Finding(NamedTuple):
    """Something that `verify` found: what, about which pin, in words."""

    trouble: Trouble
    subject: str
    message: str


def verify(
    pins: Pins,
    *,
    roots: Mapping[str, str] | None = None,
    manager: str = "",
    openusd: str = "",
    hashes: bool = True,
) -> list[Finding]:
    """
    Return what no longer is as it was pinned, in the order of the pins. Reads every file once.

    Args:
        pins: The pins.
        roots: Where other sites' folders are here; by default what `BIFROST_PINS_ROOTS` says.
        manager: The identifier of the manager in force; "" to leave it out.
        openusd: The version of OpenUSD in force; likewise.
        hashes: False to compare sizes alone.
    """
    places = roots_of(os.environ.get(ROOTS_VARIABLE, "")) if roots is None else roots
    paths = [remapped(each.path, places) for each in pins.pinned]
    findings = [
        Finding(Trouble.UNRESOLVED, each.reference, f"could not be pinned: {each.problem}")
        for each in pins.unresolved
    ]
    sizes = measured(paths, hashes=hashes)
    for pin, path, now in zip(pins.pinned, paths, sizes, strict=True):
        findings += _compared(pin, path, now)
    return [*_other(pins, manager, openusd), *findings]


def _compared(pin: Pin, path: str, now: Measure | OSError) -> Iterable[Finding]:
    if isinstance(now, OSError):
        yield Finding(Trouble.MISSING, pin.key, f"{path}: {now.strerror or now}")
    elif now.size != pin.size:
        message = f"{path}: {now.size} bytes, pinned at {pin.size}"
        yield Finding(Trouble.CHANGED, pin.key, message)
    elif now.sha256 and pin.sha256 and now.sha256 != pin.sha256:
        message = f"{path}: its SHA-256 is {now.sha256[:12]}…, pinned at {pin.sha256[:12]}…"
        yield Finding(Trouble.CHANGED, pin.key, message)


def _other(pins: Pins, manager: str, openusd: str) -> Iterable[Finding]:
    if manager and pins.manager and manager != pins.manager:
        message = f"the pins were made with the manager {pins.manager}, this session's is {manager}"
        yield Finding(Trouble.OTHER_MANAGER, pins.root, message)
    if openusd and pins.openusd and openusd != pins.openusd:
        message = f"the pins were made with OpenUSD {pins.openusd}, this is {openusd}"
        yield Finding(Trouble.OTHER_OPENUSD, pins.root, message)


class Change(NamedTuple):
    """
    A difference between two files of pins.

    Attributes:
        change: `added`, `removed` or `changed`; `header` for what is said of all.
        subject: The reference, the path, or the field of the header.
        fields: For each field that differs what it was and what it is.
    """

    change: str
    subject: str
    fields: dict[str, tuple[Any, Any]]


def diff(before: Pins, after: Pins) -> list[Change]:
    """Return what *after* has else than *before*, sorted; when and by whom they were made is left out."""
    heads = ("root", "variants", "manager", "openusd", "policy")
    changes = [
        Change("header", key, {key: (getattr(before, key), getattr(after, key))})
        for key in heads
        if getattr(before, key) != getattr(after, key)
    ]
    old, new = ({each.key: each for each in pins.pinned} for pins in (before, after))
    for key in sorted(old.keys() | new.keys()):
        if key not in new:
            changes.append(Change("removed", key, {}))
        elif key not in old:
            changes.append(Change("added", key, {}))
        elif fields := _differing(old[key], new[key]):
            changes.append(Change("changed", key, fields))
    return changes


def _differing(old: Pin, new: Pin) -> dict[str, tuple[Any, Any]]:
    return {
        key: (getattr(old, key), getattr(new, key))
        for key in FIELDS
        if key not in _NOT_COMPARED and getattr(old, key) != getattr(new, key)
    }


def roots_of(text: str) -> dict[str, str]:
    """
    Return the folders of other sites and where they are here, of `OLD=NEW` pairs joined by `;`.

    Raises:
        ConfigurationError: a pair is none.
    """
    roots: dict[str, str] = {}
    for pair in filter(None, text.split(";")):
        old, equals, new = pair.partition("=")
        if not (old and equals and new):
            raise ConfigurationError(f"{pair}: expected OLD=NEW, two folders")
        roots[old.rstrip("/") or "/"] = new.rstrip("/") or "/"
    return roots


def remapped(path: str, roots: Mapping[str, str]) -> str:
    """Return where *path* is here: the longest of the folders that it is in decides."""
    for old in sorted(roots, key=len, reverse=True):
        below = old if old == "/" else old + "/"
        if path == old or path.startswith(below):
            return str(PurePosixPath(roots[old], path[len(below) :]))
    return path
