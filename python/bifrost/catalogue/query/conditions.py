# SPDX-License-Identifier: Apache-2.0
"""What a filter is once it was read: a few kinds of frozen values, whatever was written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from bifrost.catalogue.query.fields import Field


class All(NamedTuple):
    """Every part holds; true where there is none."""

    parts: tuple[Condition, ...]


class Any_(NamedTuple):  # noqa: N801  the name without it is taken
    """At least one part holds; false where there is none."""

    parts: tuple[Condition, ...]


class Not(NamedTuple):
    """The part doesn't hold."""

    part: Condition


class Compare(NamedTuple):
    """
    A field's value, or any value of a list, compares so.

    Attributes:
        field: Which field.
        operator: `$in`, `$gt`, `$gte`, `$lt`, `$lte` or `$like`.
        values: For `$in` any number, else one. Dates are microseconds, numbers floats.
    """

    field: Field
    operator: str
    values: tuple[Any, ...]


class Exists(NamedTuple):
    """The metadata has something at the field's path."""

    field: Field


class Search(NamedTuple):
    """Every one of the folded words is somewhere in the asset's texts."""

    words: tuple[str, ...]


class Edge(NamedTuple):
    """
    The asset's newest version, or the asset as a whole, has a relationship of this description.

    Attributes:
        incoming: False: the asset needs the other; True: the other needs it.
        assets: The other's id is one of these; None for any.
        kinds: So is the relationship's kind,
        purposes: and its purpose,
        strengths: and its strength.
        transitive: Whether the other may be several steps away, each of this description.
        other: What holds for the other; None for nothing.
    """

    incoming: bool
    assets: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    purposes: tuple[str, ...] | None = None
    strengths: tuple[int, ...] | None = None
    transitive: bool = False
    other: Condition | None = None


Condition = All | Any_ | Not | Compare | Exists | Search | Edge


def conjuncts(condition: Condition) -> Iterator[Condition]:
    """Yield what has to hold, each by itself, for *condition* to hold."""
    if isinstance(condition, All):
        for part in condition.parts:
            yield from conjuncts(part)
    else:
        yield condition
