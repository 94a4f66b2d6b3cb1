# SPDX-License-Identifier: Apache-2.0
"""
Who may do what with which assets.

An action on an asset is open to all until a rule covers it; then it is open to those whom a covering
rule names. A rule covers one asset, or with a final `*` every asset whose id begins so. Who asks is
who they say they are: against somebody who lies, the database's and the file system's own grants help.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.checks import check_text, invalid
from bifrost.catalogue.records import Refused, shown
from bifrost.catalogue.schema import changes as changes_table
from bifrost.catalogue.schema import rules
from bifrost.errors import Code, PermissionDeniedException
from bifrost.model.entity_reference import reference_for

ACTIONS: Final = ("read", "write", "publish", "approve", "relate", "delete")
"""`write` is metadata and deprecation, `approve` workflow stages, `relate` added relationships."""

ANYBODY: Final = "*"
_NO_ASSET: Final = 0


class Rule(NamedTuple):
    """
    That a user may do something.

    Attributes:
        assets: An asset's id, or the beginning of ids and `*`; `*` alone covers every asset.
        action: One of `ACTIONS`.
        user: A user's name, or `*` for everybody who says who they are.
    """

    assets: str
    action: str
    user: str

    def covers(self, asset_id: str) -> bool:
        """Whether the rule is about the asset."""
        if self.assets.endswith("*"):
            return asset_id.startswith(self.assets[:-1])
        return asset_id == self.assets

    def admits(self, user: str) -> bool:
        """Whether the rule names *user*."""
        return bool(user) and self.user in (ANYBODY, user)


class Rules:
    """A catalogue's rules, as they were read once. Immutable; any thread."""

    def __init__(self, all_rules: Iterable[Rule]) -> None:
        self._by_action: dict[str, list[Rule]] = {action: [] for action in ACTIONS}
        for rule in all_rules:
            self._by_action[rule.action].append(rule)

    def restrict(self, action: str) -> bool:
        """Whether any rule is about *action*; where none is, nobody need be asked about."""
        return bool(self._by_action[action])

    def allow(self, user: str, asset_id: str, action: str) -> bool:
        """Whether *user* may do *action* with the asset."""
        covering = [rule for rule in self._by_action[action] if rule.covers(asset_id)]
        return not covering or any(rule.admits(user) for rule in covering)

    def check(self, user: str, asset_ids: Iterable[str], action: str) -> None:
        """
        Make sure that *user* may do *action* with every one of the assets.

        Raises:
            PermissionDeniedException: they may not; names the first such asset.
        """
        if not self.restrict(action):
            return
        for asset_id in asset_ids:
            if not self.allow(user, asset_id, action):
                raise PermissionDeniedException(
                    Refused(asset_id, action, user).message,
                    asset_uri=reference_for(asset_id),
                    code=Code.PERMISSION_DENIED,
                    details={"required_permission": action},
                )


_ALL: Final = sa.select(rules.c.assets, rules.c.action, rules.c.user).order_by(rules.c.key)
_THERE: Final = _ALL.where(
    rules.c.assets == sa.bindparam("of_assets"),
    rules.c.action == sa.bindparam("of_action"),
    rules.c.user == sa.bindparam("of_user"),
)
_REMOVE: Final = sa.delete(rules).where(
    rules.c.assets == sa.bindparam("of_assets"),
    rules.c.action == sa.bindparam("of_action"),
    rules.c.user == sa.bindparam("of_user"),
)


def all_rules(connection: sa.Connection) -> list[Rule]:
    """Return every rule, oldest first. One statement."""
    return [Rule(*row) for row in connection.execute(_ALL)]


def add(connection: sa.Connection, new: Sequence[Rule], by: str, now_us: int) -> None:
    """
    Add rules; those that are there already stay as they are. Within the caller's transaction.

    Raises:
        InvalidTraitsException: a rule can't be.
    """
    for rule in new:
        _check(rule)
        if connection.execute(_THERE, _parameters(rule)).first() is None:
            connection.execute(
                sa.insert(rules), {**rule._asdict(), "created": now_us, "created_by": by}
            )
    _log(connection, now_us)


def remove(connection: sa.Connection, gone: Sequence[Rule], now_us: int) -> int:
    """Remove rules; return how many there were. Within the caller's transaction."""
    removed = sum(connection.execute(_REMOVE, _parameters(rule)).rowcount for rule in gone)
    _log(connection, now_us)
    return removed


def _parameters(rule: Rule) -> dict[str, str]:
    return {"of_assets": rule.assets, "of_action": rule.action, "of_user": rule.user}


def _check(rule: Rule) -> None:
    for field, text in rule._asdict().items():
        check_text(rule.assets, field, text, 1000)
    if rule.action not in ACTIONS:
        raise invalid(
            rule.assets, "action", f"expected one of {', '.join(ACTIONS)}, got {shown(rule.action)}"
        )
    if not rule.assets or "*" in rule.assets[:-1] or not rule.user:
        raise invalid(rule.assets, "rule", "expected an id or the beginning of ids and '*'; a user")


def _log(connection: sa.Connection, now_us: int) -> None:
    # Not `changes.record`, which is about an asset: rules may be about assets that come later.
    connection.execute(sa.insert(changes_table), {"asset": _NO_ASSET, "at": now_us})
