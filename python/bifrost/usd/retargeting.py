# SPDX-License-Identifier: Apache-2.0
"""
Moving layers from one asset, or one version of it, to another, wherever they use it.

Only the asset path of each arc changes; its target prim, offset, place, format arguments and member of a
package stay. Layers that may not be edited are told apart and left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from pxr import Sdf

from bifrost.errors import Code, InvalidReferenceException
from bifrost.model.entity_reference import parse
from bifrost.usd.arcs import Kind
from bifrost.usd.authoring import replace
from bifrost.usd.extraction import LIST_FIELDS, Arc, arcs_of
from bifrost.usd.folder import split_path
from bifrost.usd.permissions import HOW, lock_of

NO_LOCKS: Final[Mapping[str, str]] = MappingProxyType({})


class Move(NamedTuple):
    """
    One arc that uses what is moved away from.

    Attributes:
        arc: The arc, as it was.
        target: The asset path that it gets.
        problem: Why it stays as it is, or "".
    """

    arc: Arc
    target: str
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return {**self.arc.as_dict(), "new_target": self.target, "problem": self.problem}


class Retargeting(NamedTuple):
    """
    What moving came to.

    Attributes:
        moves: Every arc that uses what is moved away from.
        asset_uri: The version that was published for it, or "".
    """

    moves: tuple[Move, ...]
    asset_uri: str = ""


def moves(
    layers: Iterable[Sdf.Layer], old: str, new: str, locks: Mapping[str, str] = NO_LOCKS
) -> list[Move]:
    """
    Return what moving *layers* from *old* to *new* comes to; changes nothing.

    Args:
        layers: Each is looked at as it is authored.
        old: An entity reference. Without a version: the asset, in whatever version it is used; with
            one: that version, as it is written. Anything else is compared as it stands.
        new: What to name instead.
        locks: Why layers may not be edited, by their identifiers.

    Raises:
        InvalidReferenceException: *new* is malformed, or no asset path.
    """
    is_meant = _matcher(old)
    _check(new)
    return [
        move for layer in layers for move in _moves_in(layer, is_meant, new, _lock(layer, locks))
    ]


def apply(planned: Iterable[Move], layers: Iterable[Sdf.Layer]) -> None:
    """Make those of the moves that have no problem, in one block of changes; nothing is saved."""
    by_name = {layer.identifier: layer for layer in layers}
    edits: dict[str, dict[Arc, str]] = {}
    for move in planned:
        if not move.problem:
            edits.setdefault(move.arc.layer, {})[move.arc] = move.target
    with Sdf.ChangeBlock():
        for name, targets in edits.items():
            replace(by_name[name], targets)


def _matcher(old: str) -> Callable[[str], bool]:
    try:
        wanted = parse(old)
    except ValueError:
        return lambda path: bool(path) and path == old

    def is_meant(path: str) -> bool:
        try:
            found = parse(path)
        except ValueError:
            return False
        same_version = wanted.version is None or found.version == wanted.version
        # Another representation is another file.
        return (
            found.asset_id == wanted.asset_id
            and found.representation == wanted.representation
            and same_version
        )

    return is_meant


def _check(new: str) -> None:
    problem = "" if new and new.isprintable() and "@" not in new else "no asset path"
    if new.startswith("bifrost:") and not problem:
        try:
            parse(new)
        except ValueError as error:
            problem = str(error)
    if problem:
        raise InvalidReferenceException(
            f"{new[:200]!r} can't be moved to: {problem}",
            asset_uri=new[:1000],
            code=Code.MALFORMED_REFERENCE,
        )


def _lock(layer: Sdf.Layer, locks: Mapping[str, str]) -> str:
    """Return why *layer* may not be edited, or ""."""
    if why := locks.get(layer.identifier):
        return why
    if layer.permissionToEdit:
        return ""
    lock = lock_of(layer)
    return lock.why if lock else f"its layer may not be edited. {HOW}"


def _moves_in(
    layer: Sdf.Layer, is_meant: Callable[[str], bool], new: str, lock: str
) -> Iterator[Move]:
    arcs = arcs_of(layer)
    wanted = [
        (arc, target)
        for arc in arcs
        if is_meant(split_path(arc.target)[0])
        if (target := new + split_path(arc.target)[1]) != arc.target
    ]
    moving = {arc for arc, _ in wanted}
    taken = {_item(arc, arc.target) for arc in arcs if arc not in moving}
    for arc, target in wanted:
        item = _item(arc, target)
        # Sdf keeps each sublayer and each item of a list once: one of the two would be lost.
        is_there = item is not None and item in taken
        yield Move(arc, target, lock or ("the same is there already" if is_there else ""))
        taken.add(item)


def _item(arc: Arc, target: str) -> tuple[Any, ...] | None:
    """Return what of *arc* may be in its list once; None where it is in none."""
    if arc.kind is Kind.SUBLAYER:
        return arc.kind, target
    if arc.kind not in LIST_FIELDS:
        return None
    return (arc.kind, arc.path, arc.operation, target, arc.target_prim, arc.offset, arc.scale)
