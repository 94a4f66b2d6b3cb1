# SPDX-License-Identifier: Apache-2.0
"""
Who may do what with which assets.

Two things decide, and both must allow. **Rules** are the catalogue's own: an action on an asset is open
to all until a rule covers it; then it is open to those whom a covering rule names. A rule covers one
asset, or with a final `*` every asset whose id begins so. **Grants** are what a `Principal` has proved to
have, by project; who only says who they are has none, and needs none: whether that is enough, `[access]`
decides (`bifrost.tokens`), before anybody asks here.

An asset is of the project that its metadata's `project` names, or of each that it lists; without one it
is of every project.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from bifrost.catalogue.checks import check_text, invalid
from bifrost.catalogue.dialect import each_text, storable
from bifrost.catalogue.indexing import MAX_TEXT
from bifrost.catalogue.records import Refused, shown
from bifrost.catalogue.schema import assets, metadata_values, rules
from bifrost.catalogue.schema import changes as changes_table
from bifrost.errors import Code, PermissionDeniedException
from bifrost.model.entity_reference import reference_for
from bifrost.model.permissions import PERMISSIONS, Principal, User, name_of, permissions_of

ACTIONS: Final = PERMISSIONS
"""What a rule may be about. One about `read` is about `resolve` too: its file is a part of an asset."""

ANYBODY: Final = "*"
ROLE: Final = "role:"
"""What a rule's user begins with that is everybody who has proved to have a role."""

PROJECT: Final = "project"
"""The key of an asset's metadata that says which project it is of."""

_NO_ASSET: Final = 0
_NO_ROLES: Final[frozenset[str]] = frozenset()
# Stands for a `project` that is no text: nobody can have a role in it, and it is in no metadata.
_NOBODYS: Final = "\0"
_RULED_BY: Final = {"resolve": ("read", "resolve")}


class Rule(NamedTuple):
    """
    That a user may do something.

    Attributes:
        assets: An asset's id, or the beginning of ids and `*`; `*` alone covers every asset.
        action: One of `ACTIONS`.
        user: A user's name; `role:<name>` for those who have proved to have that role where the asset
            is; or `*` for everybody who says who they are.
    """

    assets: str
    action: str
    user: str

    def covers(self, asset_id: str) -> bool:
        """Whether the rule is about the asset."""
        if self.assets.endswith("*"):
            return asset_id.startswith(self.assets[:-1])
        return asset_id == self.assets

    def admits(self, user: str, roles: frozenset[str] = _NO_ROLES) -> bool:
        """Whether the rule names *user*, or one of the *roles* that they have proved to have."""
        if self.user.startswith(ROLE):  # nobody has a role by calling themselves so
            return self.user[len(ROLE) :] in roles
        return bool(user) and self.user in (ANYBODY, user)


class Rules:
    """A catalogue's rules, as they were read once. Immutable; any thread."""

    def __init__(self, all_rules: Iterable[Rule]) -> None:
        self._by_action: dict[str, list[Rule]] = {action: [] for action in ACTIONS}
        for rule in all_rules:
            self._by_action[rule.action].append(rule)

    def restrict(self, action: str) -> bool:
        """Whether any rule is about *action*; where none is, nobody need be asked about."""
        return any(self._by_action[each] for each in _RULED_BY.get(action, (action,)))

    def missing(self, user: str, roles: frozenset[str], asset_id: str, action: str) -> str | None:
        """Return the permission that *user* lacks for *action*; None where they lack none."""
        for each in _RULED_BY.get(action, (action,)):
            covering = [rule for rule in self._by_action[each] if rule.covers(asset_id)]
            if covering and not any(rule.admits(user, roles) for rule in covering):
                return each
        return None


class Access:
    """
    What one person may do, by rules and grants as they were read once. Immutable; any thread.

    Args:
        rules: The catalogue's rules.
        user: Who it is.
        projects: The projects of the assets that will be asked about; those of none are left out.
    """

    def __init__(
        self, rules: Rules, user: User, projects: Mapping[str, frozenset[str]] | None = None
    ) -> None:
        self._rules = rules
        self._user = user
        self._name = name_of(user)
        self._projects = projects or {}
        self._granted = cache(_grants_of(user))

    def is_open(self, action: str) -> bool:
        """Whether *action* is allowed with every asset, so that none need be asked about."""
        user = self._user
        if isinstance(user, Principal) and action not in permissions_of(user.roles):
            return False
        return not self._rules.restrict(action)

    def missing(self, asset_id: str, action: str) -> str | None:
        """Return the permission that they lack to do *action* with the asset; None if they may."""
        return self.missing_in(self._projects.get(asset_id), asset_id, action)

    def missing_in(self, projects: frozenset[str] | None, asset_id: str, action: str) -> str | None:
        """Return what `missing` would, were the asset of *projects*; None or none: of every project."""
        missing: str | None = action
        for project in sorted(projects) if projects else (None,):
            roles, granted = self._granted(project)
            missing = action
            if granted is None or action in granted:
                missing = self._rules.missing(self._name, roles, asset_id, action)
            if missing is None:
                return None
        return missing

    def allow(self, asset_id: str, action: str) -> bool:
        """Whether they may do *action* with the asset."""
        return self.missing(asset_id, action) is None

    def refusal(self, asset_id: str, action: str) -> Refused | None:
        """Return that they may not do *action* with the asset, or None if they may."""
        missing = self.missing(asset_id, action)
        return None if missing is None else Refused(asset_id, missing, self._name)


Granted = Callable[[str | None], tuple[frozenset[str], frozenset[str] | None]]


def _grants_of(user: User) -> Granted:
    """Return what tells, for a project, somebody's roles and permissions; None for no such limit."""

    def granted(project: str | None) -> tuple[frozenset[str], frozenset[str] | None]:
        if not isinstance(user, Principal):
            return _NO_ROLES, None
        roles = user.roles_in(project)
        return roles, permissions_of(roles)

    return granted


def read(connection: sa.Connection, user: User, asset_ids: Iterable[str]) -> Access:
    """
    Return what *user* may do with the assets.

    One statement; one more for those whose grants differ from project to project.
    """
    rules = Rules(all_rules(connection))
    has_projects = isinstance(user, Principal) and bool(user.projects)
    return Access(rules, user, projects_of(connection, asset_ids) if has_projects else None)


def readable(
    connection: sa.Connection, user: User | None, asset_ids: Iterable[str]
) -> Callable[[str], bool]:
    """Return what tells of an asset whether *user* may read it; None may read all. As `read`."""
    if user is None:
        return lambda _: True
    allowed = read(connection, user, asset_ids)
    if allowed.is_open("read"):
        return lambda _: True
    return cache(lambda asset_id: allowed.allow(asset_id, "read"))


def check(
    connection: sa.Connection,
    user: User,
    asset_ids: Iterable[str],
    action: str,
    *,
    becoming: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """
    Make sure that *user* may do *action* with every one of the assets. As `read`, so many statements.

    Args:
        connection: The catalogue.
        user: Who it is.
        asset_ids: The assets.
        action: One of `ACTIONS`.
        becoming: Metadata that assets are to have, by id: who moves an asset to another project
            needs the permission there too.

    Raises:
        PermissionDeniedException: they may not; names the first such asset, and what is missing.
    """
    ids = list(asset_ids)
    access = read(connection, user, ids)
    for asset_id in ids:
        metadata = (becoming or {}).get(asset_id, {})
        missing = access.missing(asset_id, action)
        if missing is None and metadata.get(PROJECT) is not None:
            missing = access.missing_in(_projects_in(metadata[PROJECT]), asset_id, action)
        if missing is not None:
            raise denied(Refused(asset_id, missing, name_of(user)))


def check_admin(user: User | None) -> None:
    """
    Make sure that *user* may say who may do what; who has proved nothing may, where that is enough.

    Raises:
        PermissionDeniedException: they are somebody, and no admin.
    """
    if isinstance(user, Principal) and not user.is_admin:
        raise PermissionDeniedException(
            f"user {shown(user.subject)} lacks the role 'admin', which changes rules",
            code=Code.PERMISSION_DENIED,
            details={"required_permission": "admin"},
        )


def denied(refused: Refused) -> PermissionDeniedException:
    """Return what is raised where one asset's refusal ends a call."""
    return PermissionDeniedException(
        refused.message,
        asset_uri=reference_for(refused.asset_id),
        code=Code.PERMISSION_DENIED,
        details={"required_permission": refused.action},
    )


# Projects

_PROJECTS: Final = (
    sa.select(assets.c.id, metadata_values.c.kind, metadata_values.c.text)
    .join_from(metadata_values, assets, assets.c.key == metadata_values.c.asset)
    .where(
        assets.c.id.in_(sa.select(each_text("ids", "asked").c.value)),
        metadata_values.c.path == PROJECT,
        metadata_values.c.kind != "l",
    )
)


def projects_of(connection: sa.Connection, asset_ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return the projects of those assets that have any, by id. One statement."""
    found: dict[str, set[str]] = {}
    ids = json.dumps(list(filter(storable, dict.fromkeys(asset_ids))))
    for asset_id, kind, text in connection.execute(_PROJECTS, {"ids": ids}):
        if kind != "z" and text != "":  # null and "" are none
            found.setdefault(asset_id, set()).add(text if kind == "s" else _NOBODYS)
    return {asset_id: frozenset(projects) for asset_id, projects in found.items()}


def _projects_in(value: Any) -> frozenset[str]:
    """Return the projects that a metadata's value names, as `projects_of` will find them."""
    values = value if isinstance(value, list | tuple) else [value]
    return frozenset(
        each[:MAX_TEXT] if isinstance(each, str) else _NOBODYS for each in values if each != ""
    )


# The rules in the database

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
    if not rule.assets or "*" in rule.assets[:-1] or rule.user in ("", ROLE):
        raise invalid(rule.assets, "rule", "expected an id or the beginning of ids and '*'; a user")


def _log(connection: sa.Connection, now_us: int) -> None:
    # Not `changes.record`, which is about an asset: rules may be about assets that come later.
    connection.execute(sa.insert(changes_table), {"asset": _NO_ASSET, "at": now_us})
