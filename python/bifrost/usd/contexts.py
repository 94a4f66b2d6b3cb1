# SPDX-License-Identifier: Apache-2.0
"""
Which context something is opened in, and the resolver context that USD binds for it.

What says it, the strongest first: a `Context` that is given, the active one, the environment
(`BIFROST_CONTEXT`, `BIFROST_PINS`), the root layer's own settings (`root_settings.py`). The first two
leave the others no say; of the last two each name counts where the stronger is silent.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any, Final

from pxr import Ar

from bifrost.context import Context, current_context, from_policy, policy
from bifrost.errors import Code, ConfigurationError, InvalidTraitsException
from bifrost.model.entity_reference import LATEST
from bifrost.usd import root_settings
from bifrost.usd import stage as plugin

_SCHEME: Final = "bifrost"
# What a context means that says nothing: that nobody else is asked to say it.
_NOTHING_ELSE: Final = f"version={LATEST}"
_NOT_PINNED: Final = ("fail", "warn", "resolve")


def context(
    context: Context | None = None,
    *,
    version_policy: str | int | None = None,
    as_of: str | datetime | None = None,
    project: str | None = None,
    pins: str | os.PathLike[str] | None = None,
    pins_missing: str | None = None,
    root: str | os.PathLike[str] = "",
) -> Ar.ResolverContext:
    """
    Return the resolver context that *context*, the active one by default, means with the rest over it.

    ```python
    approved = bifrost.usd.context(Context(), version_policy="approved")
    stage = Usd.Stage.Open("bifrost:///assets/shot_010", approved)
    ```

    Equal arguments make equal contexts, which share their answers while one of them lives. Any thread.

    Args:
        context: Who asks, and what floating references mean to them.
        version_policy: `latest`, a status such as `approved`, or a version's number.
        as_of: Floating references mean the newest version of this moment: ISO 8601, or a time; one
            without a zone is UTC.
        project: The project whose assets are looked for first.
        pins: A file of pins, which answers before anybody is asked (docs/pins.md).
        pins_missing: `fail`, `warn` or `resolve`: what becomes of what is not pinned.
        root: The file that will be opened: bare paths are looked for beside it, too, as they are
            in a default context.

    Raises:
        InvalidTraitsException: *context* is none, *as_of* no time, or *pins_missing* none of the three.
        ConfigurationError: the plugin isn't installed, or there are no pins at *pins*.
    """
    if not isinstance(context, (Context, NoneType)):
        raise InvalidTraitsException(
            f"context: expected a bifrost.Context, got {type(context).__name__}",
            code=Code.INVALID_TRAITS,
        )
    said = _given(
        version=None if version_policy is None else str(version_policy),
        as_of=_moment(as_of),
        current_project=project,
        pins=_pins(pins),
        pins_missing=_checked_pins_missing(pins_missing),
    )
    asked = given(context)
    if said:
        asked = (asked or Context()).child(**said)
    plugin.warm()
    return resolver_context(asked, os.fspath(root))


def given(context: Context | None) -> Context | None:
    """Return *context*, or the active one; None where the environment and the root are to say."""
    return context or current_context()


def in_force(context: Context | None) -> Context | None:
    """
    Return the context that a root is resolved in: what is `given`, else the environment's, else None.

    Raises:
        ConfigurationError: `BIFROST_CONTEXT` can't be read.
    """
    asked = given(context)
    if asked is not None:
        return asked
    text = os.environ.get("BIFROST_CONTEXT", "")
    try:
        return from_policy(text) if text else None
    except ValueError as error:
        raise ConfigurationError(f"BIFROST_CONTEXT: {error}") from None


def for_root(context: Context | None, path: str) -> Context | None:
    """
    Return the context that a root's references are resolved in, whose file is at *path*; or None.

    Raises:
        ConfigurationError: `BIFROST_CONTEXT` can't be read.
    """
    return given(context) or root_settings.with_root(in_force(None), path)


def has_pins(context: Context | None) -> bool:
    """Whether pins answer before anybody is asked: those of *context*, or the environment's."""
    return bool((context and context.pins) or os.environ.get("BIFROST_PINS"))


def resolver_context(context: Context | None, path: str = "") -> Ar.ResolverContext:
    """
    Return the resolver context of what is `given`, for the root at *path*; the default one for nothing.

    Raises:
        PermissionDeniedException: as `Context.snapshot`.
    """
    resolver = Ar.GetResolver()
    if context is None:
        return (
            resolver.CreateDefaultContextForAsset(path) if path else resolver.CreateDefaultContext()
        )
    text = policy(context) or _NOTHING_ELSE
    # As a default context has it: what the root names by a bare path is looked for beside it, too.
    folder = os.path.dirname(path)  # noqa: PTH120  USD leaves links alone
    return resolver.CreateContextFromStrings([("", folder), (_SCHEME, text)])


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _moment(as_of: str | datetime | None) -> str | None:
    if as_of is None:
        return None
    try:
        moment = as_of if isinstance(as_of, datetime) else datetime.fromisoformat(as_of)
    except (TypeError, ValueError):
        raise InvalidTraitsException(
            f"as_of: expected an ISO 8601 time such as 2026-03-01T18:00:00Z, got {as_of!s:.80}",
            code=Code.INVALID_TRAITS,
        ) from None
    return moment.isoformat() if isinstance(as_of, datetime) else as_of


def _pins(path: str | os.PathLike[str] | None) -> str | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise ConfigurationError(f"pins: there is no file {os.fspath(path)!s:.1000}")
    return os.path.abspath(path)  # noqa: PTH100  USD leaves links alone


def _checked_pins_missing(value: str | None) -> str | None:
    if value is not None and value not in _NOT_PINNED:
        raise InvalidTraitsException(
            f"pins_missing: expected {', '.join(_NOT_PINNED)}, got {value!s:.80}",
            code=Code.INVALID_TRAITS,
        )
    return value
