# SPDX-License-Identifier: Apache-2.0
"""
Who asks, and what a floating reference means to them.

A `Context` may be edited at will; each call takes a `ContextSnapshot` of it. USD's resolver contexts
carry the policy part as a string (`policy`, `from_policy`), the same in C++ and Python.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, unquote

_KNOWN: Final = (
    "access_token", "user", "current_project", "locale", "session", "trace_id", "version", "as_of",
)  # fmt: skip
# What a USD context string may say. No token: strings end up in scene files, logs and history.
_POLICY_KEYS: Final[dict[str, str]] = {
    "version": "version",
    "as_of": "as_of",
    "project": "current_project",
    "user": "user",
    "locale": "locale",
}
# Known to be about one call, so they never split the cache.
_NOT_IDENTITY: Final = frozenset({"session", "trace_id", "access_token"})


@dataclass(frozen=True, slots=True)
class ContextSnapshot:
    """
    A frozen `Context`.

    Attributes:
        values: The attributes that were set, by name.
        scope: Equal for two snapshots exactly when they may share cached answers. It holds a digest
            of the token, never the token.
    """

    values: Mapping[str, Any] = field(repr=False)
    scope: str

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute's value, or *default* when it isn't set."""
        return self.values.get(name, default)


class Context:
    """
    Attributes that travel with a request: identity, project, locale, tracing, version policy.

    ```python
    context = Context()
    context.current_project = "project-x"
    bifrost_host.resolve_asset_path(asset_uri, context=context)
    ```

    Attributes:
        access_token: A signed token; never shown, stored or logged.
        user: Who asks.
        current_project: The project whose assets and policies apply.
        locale: A language tag such as `en-US`.
        session: An id of the application's session.
        trace_id: An id that follows the request through logs and traces.
        version: What floating references mean: `latest`, a status, or a version number.
        as_of: An ISO 8601 time; floating references mean the newest version of that moment.

    Any other attribute may be set and is passed along. Not for concurrent edits from several
    threads; `snapshot()` is what crosses threads.
    """

    def __init__(self, **values: Any) -> None:
        self.__dict__["_values"] = {}
        for name, value in values.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise AttributeError(f"context attributes don't start with an underscore: {name!r}")
        if hasattr(type(self), name):
            raise AttributeError(f"{name!r} is a method of contexts, not an attribute to set")
        if value is None:
            self._values.pop(name, None)
        else:
            self._values[name] = value

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name in values:
            return values[name]
        if name in _KNOWN:
            return None
        raise AttributeError(f"this context has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        self._values.pop(name, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = {k: "…" if k == "access_token" else v for k, v in self._values.items()}
        return f"Context({', '.join(f'{k}={v!r}' for k, v in shown.items())})"

    def __copy__(self) -> Context:
        return self.child()

    def child(self, **values: Any) -> Context:
        """Return a context that starts with these attributes and has *values* over them."""
        return Context(**{**self._values, **values})

    def snapshot(self) -> ContextSnapshot:
        """Return the attributes of this moment, frozen."""
        return _snapshot(self._values)


def from_policy(policy: str) -> Context:
    """
    Return the context that a USD context string describes: `key=value` pairs joined by `;`.

    Raises:
        ValueError: a key is unknown, a pair has no `=`, or a value is no UTF-8.
    """
    values = {}
    for pair in filter(None, policy.split(";")):
        key, equals, value = pair.partition("=")
        if not equals or key not in _POLICY_KEYS:
            raise ValueError(f"expected {'=…; '.join(sorted(_POLICY_KEYS))}=…, got {pair[:80]!r}")
        try:
            values[_POLICY_KEYS[key]] = unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise ValueError(f"expected UTF-8, got {pair[:80]!r}") from None
    return Context(**values)


def policy(context: Context) -> str:
    """Return the canonical USD context string of *context*: sorted `key=value` pairs joined by `;`."""
    values = context.snapshot().values
    pairs = ((key, values.get(name)) for key, name in sorted(_POLICY_KEYS.items()))
    return ";".join(f"{key}={quote(str(value), safe=':+-.')}" for key, value in pairs if value)


def _snapshot(values: Mapping[str, Any]) -> ContextSnapshot:
    identity = sorted((k, repr(v)) for k, v in values.items() if k not in _NOT_IDENTITY)
    if token := values.get("access_token"):
        identity.append(("token", hashlib.sha256(str(token).encode()).hexdigest()))
    return ContextSnapshot(MappingProxyType(dict(values)), repr(identity) if identity else "")


def login_name() -> str:
    """Return who is logged in; "" where nobody has a name, as in some containers."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
