# SPDX-License-Identifier: Apache-2.0
"""The session of this process: the one piece of global state, because USD hands its plugins nothing."""

from __future__ import annotations

from bifrost.forks import Mutex
from bifrost.session.session import Session


def current() -> Session:
    """
    Return this process's session, made from the settings by the first caller.

    Raises:
        ConfigurationError: the settings can't be read.
    """
    global _current  # noqa: PLW0603  USD hands its plugins nothing
    with _current_lock:
        if _current is None:
            _current = Session()
        return _current


def use(session: Session | None) -> None:
    """Make *session* the one that `current()` returns; None: make a new one when it is asked for."""
    global _current  # noqa: PLW0603
    with _current_lock:
        _current = session


def current_if_any() -> Session | None:
    """Return this process's session if there is one already."""
    return _current


# A module that is loaded again goes on with the session that there is: another could not open the
# caches, which are open already.
_current: Session | None = globals().get("_current")
_current_lock = Mutex()
