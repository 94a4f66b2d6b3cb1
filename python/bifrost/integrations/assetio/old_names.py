# SPDX-License-Identifier: Apache-2.0
"""How the old names warn: where they are imported, called, constructed or subclassed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any, ParamSpec, TypeVar

from bifrost import deprecation
from bifrost.integrations.replacements import BY_NAME

Params = ParamSpec("Params")
Answer = TypeVar("Answer")


def warn_of(old: str) -> None:
    """Warn of the old name *old*, in full, at the line outside of Bifrost that uses it."""
    deprecation.warn(BY_NAME[old].message)


def deprecated(old_class: str) -> Callable[[Callable[Params, Answer]], Callable[Params, Answer]]:
    """Have a function warn as the method, of its own name, of *old_class*."""

    def decorated(function: Callable[Params, Answer]) -> Callable[Params, Answer]:
        old = f"{old_class}.{function.__name__}"

        @wraps(function)
        def call(*args: Params.args, **kwargs: Params.kwargs) -> Answer:
            warn_of(old)
            return function(*args, **kwargs)

        return call

    return decorated


def names_of(module: str, home: str) -> Callable[[str], Any]:
    """
    Return the `__getattr__` of an old *module*, whose names are in *home*.

    A module's body runs once, for whoever imports it first; this runs for everybody.
    """

    def named(name: str) -> Any:
        old = f"{module}.{name}"
        if old not in BY_NAME:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_of(old)
        return getattr(import_module(home), name)

    return named
