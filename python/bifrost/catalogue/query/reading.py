# SPDX-License-Identifier: Apache-2.0
"""A query of somebody who may not read everything."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

import sqlalchemy as sa

from bifrost.catalogue.access import Rule, all_rules
from bifrost.catalogue.query.conditions import (
    All,
    Any_,
    Compare,
    Condition,
    Edge,
    Not,
)
from bifrost.catalogue.query.fields import FIELDS

_ID: Final = FIELDS["id"]
_SURROGATES: Final = range(0xD800, 0xE000)


def readable(connection: sa.Connection, condition: Condition, user: str) -> Condition:
    """
    Return *condition* for what *user* may read, at the other ends of relationships too.

    One statement. An asset is open to all until a rule covers it, as `access` has it.
    """
    rules = [rule for rule in all_rules(connection) if rule.action == "read"]
    if not rules:
        return condition
    covered = _covered(rules)
    admitted = _covered(rule for rule in rules if rule.admits(user))
    allowed = Any_((Not(covered), admitted))
    return All((_restricted(condition, allowed), allowed))


def _covered(rules: Iterable[Rule]) -> Condition:
    parts: list[Condition] = []
    exact = []
    for rule in rules:
        if rule.assets.endswith("*"):
            parts.append(_beginning(rule.assets[:-1]))
        else:
            exact.append(rule.assets)
    return Any_((*parts, Compare(_ID, "$in", tuple(exact))))


def _beginning(text: str) -> Condition:
    """Return that an id begins with *text*: it is from there to before the next such text."""
    parts: list[Condition] = [Compare(_ID, "$gte", (text,))]
    while text and ord(text[-1]) == sys.maxunicode:
        text = text[:-1]
    if text:
        following = ord(text[-1]) + 1
        # Surrogates are no characters, and come in no id.
        following = _SURROGATES.stop if following in _SURROGATES else following
        parts.append(Compare(_ID, "$lt", (text[:-1] + chr(following),)))
    return All(tuple(parts))


def _restricted(condition: Condition, allowed: Condition) -> Condition:
    match condition:
        case All(parts):
            return All(tuple(_restricted(part, allowed) for part in parts))
        case Any_(parts):
            return Any_(tuple(_restricted(part, allowed) for part in parts))
        case Not(part):
            return Not(_restricted(part, allowed))
        case Edge(other=None):
            return condition
        case Edge(other=other) if other is not None:
            return condition._replace(other=All((_restricted(other, allowed), allowed)))
    return condition
