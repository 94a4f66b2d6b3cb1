# SPDX-License-Identifier: Apache-2.0
"""A query of somebody who may not read everything."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from bifrost.catalogue.access import PROJECT, Rule, all_rules
from bifrost.catalogue.query.conditions import (
    All,
    Any_,
    Compare,
    Condition,
    Edge,
    Exists,
    Not,
)
from bifrost.catalogue.query.fields import FIELDS, METADATA, Field, Kind
from bifrost.model.permissions import Principal, User, name_of, permissions_of

_ID: Final = FIELDS["id"]
_PROJECT: Final = Field(METADATA + PROJECT, Kind.ANY, path=PROJECT)
_SURROGATES: Final = range(0xD800, 0xE000)


def readable(connection: sa.Connection, condition: Condition, user: User) -> Condition:
    """
    Return *condition* for what *user* may read, at the other ends of relationships too.

    One statement. Rules and grants must both allow, as `access` has it.
    """
    rules = [rule for rule in all_rules(connection) if rule.action == "read"]
    allowed = _granted(rules, user) if isinstance(user, Principal) else _ruled(rules, user)
    return condition if allowed is None else All((_restricted(condition, allowed), allowed))


def _granted(rules: Sequence[Rule], user: Principal) -> Condition | None:
    """Return what is readable: by roles held everywhere, by those in one project, and of no project."""
    if not user.projects and "read" in permissions_of(user.roles):
        return _ruled(rules, user, user.roles)
    of_none = Any_((Not(Exists(_PROJECT)), Compare(_PROJECT, "$in", ("",))))
    cases: list[tuple[Condition | None, frozenset[str]]]
    cases = [(None, user.roles), (of_none, user.roles_in(None))]
    cases += [
        (Compare(_PROJECT, "$in", (project,)), user.roles_in(project))
        for project, _ in user.projects
    ]
    parts: list[Condition] = []
    for where, roles in cases:
        if "read" in permissions_of(roles):
            conditions = (where, _ruled(rules, user, roles))
            parts.append(All(tuple(each for each in conditions if each is not None)))
    return Any_(tuple(parts))


def _ruled(
    rules: Sequence[Rule], user: User, roles: frozenset[str] = frozenset()
) -> Condition | None:
    """Return what rules let *user* read who has *roles*; None where there is no rule."""
    if not rules:
        return None
    admitted = _covered(rule for rule in rules if rule.admits(name_of(user), roles))
    return Any_((Not(_covered(rules)), admitted))


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
