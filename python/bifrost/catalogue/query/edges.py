# SPDX-License-Identifier: Apache-2.0
"""Reading the conditions on relationships: `dependsOn`, `neededBy` and `isOrphan`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from bifrost.catalogue.query import fields
from bifrost.catalogue.query.conditions import Condition, Edge, Not
from bifrost.catalogue.query.values import (
    as_flag,
    as_list,
    as_object,
    as_text,
    at,
    described,
    invalid,
    unknown,
)
from bifrost.model.entity_reference import PREFIX, parse

if TYPE_CHECKING:
    from bifrost.catalogue.query.language import FilterReader


def read_edge(reader: FilterReader, key: str, value: Any, where: str, depth: int) -> Condition:
    """
    Return the condition that *key*, one of `fields.EDGES`, makes of *value*.

    Raises:
        InvalidQueryException: it is no description of a relationship.
    """
    if key == "isOrphan":
        needed = Edge(incoming=True)
        return Not(needed) if as_flag(value, where) else needed
    incoming = key == "neededBy"
    if not isinstance(value, Mapping):
        return Edge(incoming, assets=_ids(reader, value, where))
    settings = as_object(value, where)
    if "$exists" not in settings:
        return _described(reader, incoming, settings, where, depth)
    if len(settings) > 1:
        raise invalid(where, "$exists stands alone")
    exists = as_flag(settings["$exists"], at(where, "$exists"))
    return Edge(incoming) if exists else Not(Edge(incoming))


def _described(
    reader: FilterReader, incoming: bool, settings: Mapping[str, Any], where: str, depth: int
) -> Condition:
    read = {
        name: reads(reader, settings[key], at(where, key))
        for key, (name, reads) in _SETTINGS.items()
        if key in settings
    }
    rest = {key: value for key, value in settings.items() if key not in _SETTINGS}
    return Edge(incoming, other=reader.read(rest, where, depth + 1) if rest else None, **read)


def _ids(reader: FilterReader, value: Any, where: str) -> tuple[str, ...]:
    return _each(reader, value, where, _asset_id)


def _texts(reader: FilterReader, value: Any, where: str) -> tuple[str, ...]:
    return _each(reader, value, where, as_text)


def _strengths(reader: FilterReader, value: Any, where: str) -> tuple[int, ...]:
    return _each(reader, value, where, _strength)


def _flag(_: FilterReader, value: Any, where: str) -> bool:
    return as_flag(value, where)


def _each(
    reader: FilterReader, value: Any, where: str, read: Callable[[Any, str], Any]
) -> tuple[Any, ...]:
    """Return what *read* makes of *value*, or of each element of a list."""
    if not isinstance(value, list | tuple):
        reader.count(where, 0, 1)
        return (read(value, where),)
    reader.count(where, 0, len(as_list(value, where)))
    return tuple(read(each, at(where, i)) for i, each in enumerate(value))


def _asset_id(value: Any, where: str) -> str:
    text = as_text(value, where)
    if ":/" not in text:
        return text
    if not text.startswith(PREFIX):
        raise invalid(where, f"expected an asset's id or {PREFIX}<id>, got {described(text)}")
    try:
        reference = parse(text)
    except ValueError as error:
        raise invalid(where, str(error)) from None
    if reference.version is not None:
        raise invalid(where, "relationships are asked of an asset: leave out its ?version=")
    return reference.asset_id


def _strength(value: Any, where: str) -> int:
    if not isinstance(value, str) or value not in fields.STRENGTHS:
        raise unknown(where, "strength", value, fields.STRENGTHS)
    return fields.STRENGTHS[value]


# By what a query calls it: what `Edge` calls it, and how it is read.
_SETTINGS: Final[dict[str, tuple[str, Callable[[FilterReader, Any, str], Any]]]] = {
    "asset": ("assets", _ids),
    "kind": ("kinds", _texts),
    "purpose": ("purposes", _texts),
    "strength": ("strengths", _strengths),
    "transitive": ("transitive", _flag),
}
