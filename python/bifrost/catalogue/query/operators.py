# SPDX-License-Identifier: Apache-2.0
"""What each operator behind a field means, from its operand to a condition."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from bifrost.catalogue.query import fields
from bifrost.catalogue.query.conditions import All, Compare, Condition, Exists, Not
from bifrost.catalogue.query.fields import Field, Kind
from bifrost.catalogue.query.values import (
    as_flag,
    as_list,
    as_text,
    at,
    described,
    invalid,
    unknown,
)

if TYPE_CHECKING:
    from bifrost.catalogue.query.language import FilterReader

MAX_PATTERN: Final = 500
_ESCAPED: Final = re.compile(r"\\[\\%_]")


def read_operator(
    reader: FilterReader, field: Field, operator: str, operand: Any, where: str
) -> Condition:
    """
    Return the condition that *operator* makes of *field* and *operand*; `$not` is the reader's.

    Raises:
        InvalidQueryException: the field has no such operator, or the operator no such operand.
    """
    known = fields.OPERATORS[field.kind]
    if operator not in known:
        raise _unknown_operator(field, operator, where, known)
    return _OPERATORS[operator](reader, field, operator, operand, where)


def _equal(reader: FilterReader, field: Field, _: str, operand: Any, where: str) -> Condition:
    return Compare(field, "$in", (reader.value(field, operand, where),))


def _unequal(reader: FilterReader, field: Field, _: str, operand: Any, where: str) -> Condition:
    return Not(Compare(field, "$in", (reader.value(field, operand, where),)))


def _in(reader: FilterReader, field: Field, _: str, operand: Any, where: str) -> Condition:
    return Compare(field, "$in", _list(reader, field, operand, where))


def _not_in(reader: FilterReader, field: Field, _: str, operand: Any, where: str) -> Condition:
    return Not(Compare(field, "$in", _list(reader, field, operand, where)))


def _contains(reader: FilterReader, field: Field, _: str, operand: Any, where: str) -> Condition:
    operands = operand if isinstance(operand, list | tuple) else [operand]
    values = _list(reader, field, operands, where)
    # By type, too: True is 1 in Python.
    different = {(type(value), value): value for value in values}
    reader.count(where, len(different))
    return All(tuple(Compare(field, "$in", (value,)) for value in different.values()))


def _order(
    reader: FilterReader, field: Field, operator: str, operand: Any, where: str
) -> Condition:
    value = reader.value(field, operand, where)
    if value is None or isinstance(value, bool):
        raise invalid(where, f"expected text or a number, got {described(operand)}")
    return Compare(field, operator, (value,))


def _like(reader: FilterReader, field: Field, operator: str, operand: Any, where: str) -> Condition:
    reader.count(where, 0, 1)
    pattern = as_text(operand, where)
    if len(pattern) > MAX_PATTERN:
        raise invalid(where, f"at most {MAX_PATTERN} characters, got {len(pattern)}")
    if "\\" in _ESCAPED.sub("", pattern):
        raise invalid(where, r"a '\' that stands before none of '%', '_' and '\'")
    return Compare(field, operator, (pattern,))


def _exists(_: FilterReader, field: Field, __: str, operand: Any, where: str) -> Condition:
    return Exists(field) if as_flag(operand, where) else Not(Exists(field))


def _list(reader: FilterReader, field: Field, operand: Any, where: str) -> tuple[Any, ...]:
    return tuple(
        reader.value(field, value, at(where, i)) for i, value in enumerate(as_list(operand, where))
    )


def _unknown_operator(field: Field, operator: str, where: str, known: tuple[str, ...]) -> Exception:
    if operator in fields.OPERATORS[Kind.ANY]:
        message = f"{operator} is not for {field.name}, which holds {field.kind}; it has"
        return invalid(where, f"{message} {', '.join(known)}", name=operator)
    if not operator.startswith("$") and field.kind is Kind.ANY:
        message = f"a value within is named {field.name}.{operator[:200]}"
        return invalid(where, message, name=operator[:200])
    return unknown(where, "operator", operator, known)


_OPERATORS: Final[dict[str, Callable[[FilterReader, Field, str, Any, str], Condition]]] = {
    "$eq": _equal,
    "$ne": _unequal,
    "$in": _in,
    "$any": _in,
    "$nin": _not_in,
    "$contains": _contains,
    "$gt": _order,
    "$gte": _order,
    "$lt": _order,
    "$lte": _order,
    "$like": _like,
    "$exists": _exists,
}
