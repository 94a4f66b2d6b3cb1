# SPDX-License-Identifier: Apache-2.0
"""
Reading a filter: from what JSON says to `conditions`, or to the error that names the trouble.

The lists of fields and operators are closed (`fields`). How deep and how long a filter may be is
bounded, and nothing here recurses deeper than that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bifrost.catalogue.indexing import MAX_TEXT, folded
from bifrost.catalogue.query import fields
from bifrost.catalogue.query.conditions import All, Any_, Condition, Not, Search
from bifrost.catalogue.query.edges import read_edge
from bifrost.catalogue.query.fields import Field, Kind
from bifrost.catalogue.query.operators import read_operator
from bifrost.catalogue.query.values import (
    as_list,
    as_object,
    as_text,
    as_value,
    at,
    invalid,
    unknown,
)

MAX_DEPTH: Final = 20
MAX_CONDITIONS: Final = 200
MAX_VALUES: Final = 20_000
MAX_WORDS: Final = 20

_WORD: Final = re.compile(r'"([^"]+)"|([^\s"]+)')


class FilterReader:
    """
    Reads the conditions of one query, and counts them.

    Args:
        now: The time that `now` stands for.
    """

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._conditions = 0
        self._values = 0

    def read(self, document: Any, where: str, depth: int = 0) -> Condition:
        """
        Return the condition that the object *document* is: all of its keys hold.

        Raises:
            InvalidQueryException: it has something that the language hasn't.
        """
        _check_depth(where, depth)
        parts = [
            self._condition(key, value, at(where, key), depth)
            for key, value in as_object(document, where).items()
        ]
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def value(self, field: Field, operand: Any, where: str) -> Any:
        """Return *operand* as *field* is compared with it; or raise."""
        self.count(where, 0, 1)
        value = as_value(operand, field.kind, where, self._now)
        # The database has that many characters of a metadata text to compare with.
        return value[:MAX_TEXT] if field.path and isinstance(value, str) else value

    def count(self, where: str, conditions: int, values: int = 0) -> None:
        """Note that there are more; or raise when there are too many."""
        self._conditions += conditions
        self._values += values
        if self._conditions > MAX_CONDITIONS:
            raise invalid(where, f"more than {MAX_CONDITIONS} conditions in one query")
        if self._values > MAX_VALUES:
            raise invalid(where, f"more than {MAX_VALUES} values in one query")

    def _condition(self, key: str, value: Any, where: str, depth: int) -> Condition:
        self.count(where, 1)
        if key in fields.COMBINATIONS:
            return self._combination(key, value, where, depth)
        if key in fields.EDGES:
            return read_edge(self, key, value, where, depth)
        field = fields.field_named(key)
        if field is None:
            raise _unknown_field(key, where)
        return self._on_field(field, value, where, depth)

    def _combination(self, key: str, value: Any, where: str, depth: int) -> Condition:
        if key == "$text":
            return Search(_words(value, where))
        if key == "$not":
            return Not(self.read(value, where, depth + 1))
        parts = as_list(value, where)
        if not parts:
            raise invalid(where, "expected a list of at least one condition")
        read = tuple(self.read(part, at(where, i), depth + 1) for i, part in enumerate(parts))
        if key == "$and":
            return All(read)
        return Any_(read) if key == "$or" else Not(Any_(read))

    def _on_field(self, field: Field, value: Any, where: str, depth: int) -> Condition:
        _check_depth(where, depth)
        if not isinstance(value, Mapping):
            operator = "$in" if isinstance(value, list | tuple) else "$eq"
            return read_operator(self, field, operator, value, where)
        if not value:
            raise invalid(where, "expected a value, or operators")
        parts: list[Condition] = []
        for operator, operand in as_object(value, where).items():
            inside = at(where, operator)
            self.count(inside, 1)
            if operator == "$not":
                parts.append(Not(self._on_field(field, operand, inside, depth + 1)))
            else:
                parts.append(read_operator(self, field, operator, operand, inside))
        return parts[0] if len(parts) == 1 else All(tuple(parts))


def _check_depth(where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise invalid(where, f"conditions within conditions, at most {MAX_DEPTH} deep")


def _words(value: Any, where: str) -> tuple[str, ...]:
    words = [folded(phrase or word) for phrase, word in _WORD.findall(as_text(value, where))]
    words = list(dict.fromkeys(word for word in words if word.strip()))
    if not words:
        raise invalid(where, "expected words to search for")
    if len(words) > MAX_WORDS:
        raise invalid(where, f"at most {MAX_WORDS} words, got {len(words)}")
    return tuple(words)


def _unknown_field(key: str, where: str) -> Exception:
    if key in fields.OPERATORS[Kind.ANY]:
        return invalid(where, f"{key} stands behind a field: {{field: {{{key}: …}}}}", name=key)
    if key.startswith("$"):
        return unknown(where, "operator", key, fields.COMBINATIONS)
    if key in {"metadata", fields.METADATA}:
        return invalid(where, "name the value: metadata.<path>", name=key)
    if key in fields.SETTINGS:
        return invalid(where, f"{key} stands at the top of a query", name=key)
    settings = fields.SETTINGS if where.count(".") == 1 else ()
    known = (*fields.FIELDS, "metadata.<path>", *fields.ALIASES, *fields.EDGES, *settings)
    return unknown(where, "field", key, known)
