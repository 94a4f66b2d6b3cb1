# SPDX-License-Identifier: Apache-2.0
"""
What people may do, and who they have proved to be.

| role | permissions |
|---|---|
| `viewer` | resolve, read |
| `artist` | resolve, read, publish, write, relate |
| `lead` | those of an artist, and approve |
| `admin` | all |

A role that is called like a permission is that one permission. Any other role grants nothing by itself;
a catalogue's rules may name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Self

PERMISSIONS: Final = ("resolve", "read", "publish", "write", "approve", "relate", "delete")
"""
Finding where an asset's file lies; seeing what else is known of it; making versions; changing metadata
and deprecation; moving versions through the workflow; changing relationships; removing assets.
"""

_VIEWER: Final = frozenset({"resolve", "read"})
_ARTIST: Final = _VIEWER | {"publish", "write", "relate"}
ROLES: Final[Mapping[str, frozenset[str]]] = {
    "viewer": _VIEWER,
    "artist": _ARTIST,
    "lead": _ARTIST | {"approve"},
    "admin": frozenset(PERMISSIONS),
    **{permission: frozenset({permission}) for permission in PERMISSIONS},
}
"""What each role grants."""

_NONE: Final[frozenset[str]] = frozenset()


class Principal(NamedTuple):
    """
    Somebody who has proved who they are. It holds nothing secret.

    Attributes:
        subject: Their name.
        issuer: Who vouches for it, or "".
        roles: Their roles in every project.
        projects: (project, their roles in it), by project.
        expires: When the proof ends, in seconds since the epoch. No part of who they are.
    """

    subject: str
    issuer: str = ""
    roles: frozenset[str] = _NONE
    projects: tuple[tuple[str, frozenset[str]], ...] = ()
    expires: float = float("inf")

    @classmethod
    def of(
        cls,
        subject: str,
        *,
        issuer: str = "",
        roles: Iterable[str] = (),
        projects: Mapping[str, Iterable[str]] | None = None,
        expires: float = float("inf"),
    ) -> Self:
        """Return the principal with these roles, in one spelling however they are given."""
        grants = sorted((name, frozenset(each)) for name, each in (projects or {}).items())
        return cls(subject, issuer, frozenset(roles), tuple(grants), expires)

    @property
    def identity(self) -> str:
        """Equal for two who may share answers: same issuer, subject and grants, however long."""
        grants = [(name, sorted(roles)) for name, roles in self.projects]
        return repr((self.issuer, self.subject, sorted(self.roles), grants))

    @property
    def is_admin(self) -> bool:
        """Whether they may do everything everywhere; who may do what is theirs to say."""
        return permissions_of(self.roles) >= ROLES["admin"]

    def roles_in(self, project: str | None) -> frozenset[str]:
        """Return their roles in *project*; for None those for assets of no project: all they have."""
        return self.roles.union(
            *(roles for name, roles in self.projects if project is None or name == project)
        )


def permissions_of(roles: Iterable[str]) -> frozenset[str]:
    """Return what somebody with *roles* may do."""
    return _NONE.union(*(ROLES.get(role, _NONE) for role in roles))


User = str | Principal
"""Who asks: as they have proved, or as they say; "" for somebody who doesn't say."""


def name_of(user: User | None) -> str:
    """Return what is recorded of *user*: their name, or ""."""
    return user.subject if isinstance(user, Principal) else user or ""


# OpenAssetIO's errors for one element are a code and a text, so the permission travels in the text.
_MARK: Final = re.compile(r"\[permission=([a-z]+)\]")


def naming_permission(message: str, permission: str) -> str:
    """Return *message* with the missing *permission* where `required_permission_in` finds it."""
    return f"{message} [permission={permission}]"


def required_permission_in(message: str) -> str | None:
    """Return the permission that was missing, where an OpenAssetIO error's message says so."""
    found = _MARK.findall(message)
    return found[-1] if found else None
