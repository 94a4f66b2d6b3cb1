# SPDX-License-Identifier: Apache-2.0
"""
Who asks, and what a floating reference means to them.

A `Context` may be edited at will; each call takes a `ContextSnapshot` of it. `with context.active():`
makes it the one of every call that names none, through `await`, `asyncio.to_thread` and threads that
run in `contextvars.copy_context()`. USD's resolver contexts carry the policy part as a string (`policy`,
`from_policy`), the same in C++ and Python, and name the rest by a handle.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, Final, NoReturn
from urllib.parse import quote, unquote

from bifrost.errors import Code, InvalidTraitsException, PermissionDeniedException
from bifrost.handles import Handles
from bifrost.model.permissions import Principal
from bifrost.model.projects import projects_of
from bifrost.redaction import Secret, redacted

_TOKEN: Final = "access_token"  # noqa: S105  its name, not one
_KNOWN: Final = (
    _TOKEN, "user", "current_project", "locale", "session", "trace_id", "traceparent", "version",
    "as_of", "pins", "pins_missing",
)  # fmt: skip
# What a USD context string may say. No token: strings end up in scene files, logs and history.
_POLICY_KEYS: Final[dict[str, str]] = {
    "version": "version",
    "as_of": "as_of",
    "project": "current_project",
    "user": "user",
    "locale": "locale",
    "pins": "pins",
    "pins_missing": "pins_missing",
}
_HANDLE: Final = "context"
# Paths are bytes, as os.fsdecode has them. Other texts are text.
_ERRORS: Final = {"pins": "surrogateescape"}
_MOST_HANDLES: Final = 1_000
# Known to be about one call, so they never split the cache.
_NOT_IDENTITY: Final = frozenset({"session", "trace_id", "traceparent"})
# What a verified token says better than whoever sends it.
_PROVED: Final = frozenset({_TOKEN, "user"})
_SECRET_NAME: Final = re.compile(r"token|passw|secret|credential|api_?key", re.IGNORECASE)
# A snapshot of nothing else can be used again: none of these changes behind our back.
_UNCHANGING: Final = frozenset({str, int, float, bool, Secret})
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


@dataclass(frozen=True, slots=True)
class ContextSnapshot:
    """
    A frozen `Context`. Any thread; it stays in its process.

    Attributes:
        values: The attributes that were set, by name; those that are secret as a `Secret`.
        scope: Equal for two snapshots exactly when they may share cached answers; "" for those of
            nobody in particular. It is a digest, and may be stored.
        principal: Who has proved to ask; None where nothing was verified.
    """

    values: Mapping[str, Any] = field(repr=False)
    scope: str
    principal: Principal | None = None

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute's value, or *default* when it isn't set."""
        value = self.values.get(name, default)
        return value.reveal() if isinstance(value, Secret) else value

    @property
    def token(self) -> Secret | None:
        """The access token, if there is one."""
        return self.values.get(_TOKEN)

    @property
    def who(self) -> str | Principal:
        """Who asks, as the catalogue is told: verified, or as they say, or ""."""
        return self.principal or str(self.values.get("user") or "")

    @property
    def projects(self) -> tuple[str, ...]:
        """The projects of `current_project`, in the order in which they are searched."""
        return _projects(self.values.get("current_project"))

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of the caller's own, those that are secret left out."""
        return {
            name: value
            for name, value in self.values.items()
            if name not in _KNOWN and not isinstance(value, Secret)
        }

    @property
    def trace_id(self) -> str:
        """The id of the trace, that of `traceparent` where none was given; or ""."""
        given = self.values.get("trace_id")
        found = None if given else _TRACEPARENT.fullmatch(str(self.values.get("traceparent", "")))
        return found[1] if found else str(given or "")

    def verified(self, principal: Principal) -> ContextSnapshot:
        """Return this snapshot as *principal*'s: theirs are `user` and the scope."""
        values = MappingProxyType({**self.values, "user": principal.subject})
        return ContextSnapshot(values, _scope(values, principal), principal)

    def __hash__(self) -> int:
        return hash(self.scope)

    def __copy__(self) -> ContextSnapshot:
        return self

    def __deepcopy__(self, memo: object) -> ContextSnapshot:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a snapshot stays in its process: pickle the Context")


class Context:
    """
    Attributes that travel with a request: identity, project, locale, tracing, version policy.

    ```python
    context = Context()
    context.current_project = "project-x"
    bifrost_host.resolve_asset_path(asset_uri, context=context)
    ```

    Attributes:
        access_token: A signed token; never shown, stored, logged or pickled.
        user: Who asks.
        current_project: The project whose assets are looked for first, or several, in order: a
            sequence, or a text with commas.
        locale: A language tag such as `en-US`, for names and messages.
        session: An id of the application's session.
        trace_id: An id that follows the request through logs and traces.
        traceparent: The W3C trace context of the span that this is part of.
        version: What floating references mean: `latest`, a status, or a version number.
        as_of: An ISO 8601 time; floating references mean the newest version of that moment.
        pins: The path of a file of pins, which answers before anybody is asked (docs/pins.md). Only
            USD's resolver reads it; calls of this API ask the manager.
        pins_missing: What the resolver does about what is not pinned: `fail`, `warn` or `resolve`.

    Any other attribute may be set and is passed along; texts whose name says that they are secret
    (`refresh_token`, `password`) are kept like the token. Not for concurrent edits from several
    threads; `snapshot()` is what crosses threads.
    """

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(_values={}, _edits=0, _taken=None, _withheld=frozenset())
        for name, value in values.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise AttributeError(f"context attributes don't start with an underscore: {name!r}")
        if hasattr(type(self), name):
            raise AttributeError(f"{name!r} is a method of contexts, not an attribute to set")
        if value is None or (name == _TOKEN and not value):
            self._values.pop(name, None)
        else:
            self._values[name] = _kept(name, value)
        self.__dict__.update(_edits=self._edits + 1, _withheld=self._withheld - {name})

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name in values:
            value = values[name]
            return value.reveal() if isinstance(value, Secret) else value
        if name in _KNOWN:
            return None
        raise AttributeError(f"this context has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        setattr(self, name, None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and self._values == other._values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Context({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"

    def __copy__(self) -> Context:
        return self.child()

    def __deepcopy__(self, memo: dict[int, Any]) -> Context:
        return _context(deepcopy(self._values, memo), self._withheld)

    def __reduce__(self) -> tuple[Any, ...]:
        shown = {k: v for k, v in self._values.items() if not isinstance(v, Secret)}
        return _context, (shown, self._withheld | (self._values.keys() - shown.keys()))

    def child(self, **values: Any) -> Context:
        """Return a context that starts with these attributes and has *values* over them."""
        child = _context(dict(self._values), self._withheld)
        for name, value in values.items():
            setattr(child, name, value)
        return child

    def snapshot(self) -> ContextSnapshot:
        """
        Return the attributes of this moment, frozen.

        Raises:
            InvalidTraitsException: `current_project` names more than 16 projects.
            PermissionDeniedException: it was pickled, which leaves secrets out, and has them no more:
                whoever asked for it must not be taken for nobody.
        """
        edits, taken = self._edits, self._taken
        if taken is not None and taken[0] == edits:
            known: ContextSnapshot = taken[1]
            return known
        if self._withheld:
            raise _left_out(self._withheld)
        values = MappingProxyType(dict(self._values))
        snapshot = ContextSnapshot(values, _scope(values))
        if _UNCHANGING.issuperset(map(type, values.values())):
            self.__dict__["_taken"] = (edits, snapshot)
        return snapshot

    def active(self) -> AbstractContextManager[Context]:
        """Return a `with` block in which this is the context of every call that names none."""
        return use_context(self)


def _kept(name: str, value: Any) -> Any:
    if name == _TOKEN and not isinstance(value, str | Secret):
        raise TypeError(f"{name}: expected text, got {type(value).__name__}")
    if isinstance(value, str) and _SECRET_NAME.search(name):
        return Secret(value)
    return value


def _context(values: dict[str, Any], withheld: frozenset[str] = frozenset()) -> Context:
    """Return a context of exactly these values; pickles name this function."""
    context = Context()
    context.__dict__.update(_values=values, _withheld=withheld)
    return context


def _left_out(names: frozenset[str]) -> PermissionDeniedException:
    return PermissionDeniedException(
        f"{', '.join(sorted(names))}: secrets are left out when a context is pickled; set them again "
        "where it arrived, or set them to None",
        code=Code.PERMISSION_DENIED,
    )


def _scope(values: Mapping[str, Any], principal: Principal | None = None) -> str:
    left_out = _NOT_IDENTITY if principal is None else _NOT_IDENTITY | _PROVED
    identity = sorted((k, _meaning(k, v)) for k, v in values.items() if k not in left_out)
    if principal is not None:
        identity.append(("_principal", principal.identity))  # no attribute begins with a "_"
    if not identity:
        return ""
    text = repr(identity).encode("utf-8", "backslashreplace")
    return blake2b(text, digest_size=16).hexdigest()


def _meaning(name: str, value: Any) -> str:
    if isinstance(value, Secret):
        return blake2b(value.reveal().encode("utf-8", "backslashreplace")).hexdigest()
    if name == "current_project":
        return ",".join(_projects(value))
    return repr(value)


def _projects(value: Any) -> tuple[str, ...]:
    try:
        return projects_of(value)
    except ValueError as error:
        raise InvalidTraitsException(str(error), code=Code.INVALID_TRAITS) from None


# The active context

_active: ContextVar[Context | ContextSnapshot | None] = ContextVar("bifrost_context", default=None)
NOBODY: Final = Context().snapshot()
"""The snapshot of a context in which nothing is set."""

Given = Context | ContextSnapshot | None
"""What calls accept as their context; None for the active one."""


@contextmanager
def use_context(context: Given) -> Iterator[Any]:
    """
    Make *context* the active one for the block, None for none at all; a snapshot is as good.

    Each thread and each task has its own. Edits of an active `Context` affect later calls.
    """
    token = _active.set(context)
    try:
        yield context
    finally:
        _active.reset(token)


def current_context() -> Context | None:
    """Return the active context, or None. Of a snapshot, a context like it."""
    active = _active.get()
    return _context(dict(active.values)) if isinstance(active, ContextSnapshot) else active


def enriched(**values: Any) -> AbstractContextManager[Context]:
    """Return a `with` block whose active context is a child of the one outside with *values* over it."""
    return use_context((current_context() or Context()).child(**values))


def effective(context: Given = None) -> ContextSnapshot:
    """
    Return the snapshot that a call is made under: of *context*, else of the active one.

    Raises:
        TypeError: *context* is no context.
        PermissionDeniedException: as `Context.snapshot`.
    """
    if context is None:
        context = _active.get()
    if context is None:
        return NOBODY
    if isinstance(context, ContextSnapshot):
        return context
    if not isinstance(context, Context):
        raise TypeError(f"context: expected a Context, got {type(context).__name__}")
    return context.snapshot()


# Contexts as strings

_registered: Final[Handles[Context]] = Handles(_MOST_HANDLES)


def register(context: Context) -> str:
    """
    Keep a copy of *context* for `from_policy`, and return the handle that names it in this process.

    Equal contexts have one handle; it is no secret. The last thousand that were used are kept.
    """
    copied = context.child()
    values = copied.snapshot().values
    return _registered.name(copied, repr(sorted((k, _meaning(k, v)) for k, v in values.items())))


def unregister(handle: str) -> None:
    """Forget what `register` kept, or the context that a string of `policy` names."""
    pairs = (pair.partition("=") for pair in handle.split(";"))
    for key, _, value in pairs:
        if not value or key == _HANDLE:
            _registered.forget(value or key)


def policy(context: Context) -> str:
    """
    Return the canonical USD context string of *context*: sorted `key=value` pairs joined by `;`.

    What strings don't carry (a token, trace ids, attributes of your own) is kept by `register`, and
    the string names it: such a string means something in this process only.

    Raises:
        InvalidTraitsException: as `Context.snapshot`; or a text has half a character in it (a lone
            surrogate).
        PermissionDeniedException: as `Context.snapshot`.
    """
    values = context.snapshot().values
    texts = {key: _text(name, values.get(name)) for key, name in _POLICY_KEYS.items()}
    if not values.keys() <= set(_POLICY_KEYS.values()):
        texts[_HANDLE] = register(context)
    return ";".join(f"{key}={_quoted(key, text)}" for key, text in sorted(texts.items()) if text)


def _quoted(key: str, text: str) -> str:
    try:
        return quote(text, safe=":+-.", errors=_ERRORS.get(key, "strict"))
    except UnicodeEncodeError:
        raise InvalidTraitsException(
            f"{_POLICY_KEYS[key]}: expected Unicode, got {text[:80]!a}", code=Code.INVALID_TRAITS
        ) from None


def _text(name: str, value: Any) -> str:
    if name == "current_project" and not isinstance(value, str):
        return ",".join(_projects(value))
    return str(value) if value else ""


def from_policy(policy: str) -> Context:
    """
    Return the context that a USD context string describes: `key=value` pairs joined by `;`.

    Raises:
        ValueError: a key is unknown, a pair has no `=`, a value is no UTF-8, or there are more than 16
            projects; or the string names a context that this process doesn't have.
    """
    values: dict[str, str] = {}
    base = Context()
    for pair in filter(None, policy.split(";")):
        key, equals, value = pair.partition("=")
        if equals and key == _HANDLE:
            base = _registered_as(value)
            continue
        if not equals or key not in _POLICY_KEYS:
            shown = redacted(pair)[:80]
            raise ValueError(f"expected {'=…; '.join(sorted(_POLICY_KEYS))}=…, got {shown!r}")
        try:
            values[_POLICY_KEYS[key]] = _unquoted(key, value)
        except UnicodeError:
            raise ValueError(f"expected UTF-8, got {redacted(pair)[:80]!r}") from None
    projects_of(values.get("current_project"))
    return base.child(**values)


def _unquoted(key: str, value: str) -> str:
    errors = _ERRORS.get(key, "strict")
    text = unquote(value, errors=errors)
    text.encode(errors=errors)  # an argument of a command may have half a character in it
    return text


def _registered_as(handle: str) -> Context:
    context = _registered.get(handle)
    if context is None:
        raise ValueError(
            f"context={handle[:80]} names a context of another process, or one that was dropped: "
            "make the string anew, by `bifrost.context.policy`, in the process that uses it"
        )
    return context


def login_name() -> str:
    """Return who is logged in; "" where nobody has a name, as in some containers."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
