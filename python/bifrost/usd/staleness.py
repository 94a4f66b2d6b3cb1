# SPDX-License-Identifier: Apache-2.0
"""
What USD holds in this process and would not get any more, and who is told that it may be so.

A stage never changes by itself: `Ar.GetResolver().RefreshContext(context)` changes it. These say when
that is worth doing.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from bifrost.context import from_policy
from bifrost.errors import PermissionDeniedException
from bifrost.forks import reset_in_child
from bifrost.model.reply import Failure
from bifrost.model.resolution import STAND_INS
from bifrost.pipeline.cache import subject_of
from bifrost.session import Session, current, current_if_any
from bifrost.tiers.invalidation import LOG_LIMIT, Names
from bifrost.tiers.tier import beginning_with
from bifrost.tiers.tiered import POLL_S, TieredCache
from bifrost.usd import library

Hook = Callable[[list[str]], object]
"""What `on_stale` calls, with the references that USD holds and that were invalidated."""

# What belongs to one publish is invalidated within this time, and told at once.
_GATHER_S: Final = 0.1
LOOK_S: Final = 2.0
"""Seconds that what others changed is waited for: a database that hangs must not hang an application."""
# How long the end of the process waits for a hook that is being called.
_EXIT_S: Final = 2.0
_EVERYTHING: Final = beginning_with(b"")


class Stale(NamedTuple):
    """
    An answer that USD holds and would not get any more.

    Attributes:
        reference: The entity reference.
        path: The path that USD holds; "" where it did not resolve.
        new_path: The path it would get now; "" where it would not resolve.
        reason: Why it would not resolve; "" where it would.
        policy: The policy of the context that holds it, as `CreateContextFromString` takes it.
        root: The file that the context was made for; "" for contexts made from strings.
        is_bound: Whether a context holds it. False for what was resolved with none bound, such as
            the root of `Usd.Stage.Open(reference)`.
    """

    reference: str
    path: str
    new_path: str
    reason: str
    policy: str
    root: str
    is_bound: bool


def stale() -> list[Stale]:
    """
    Return what USD holds in this process and what a refresh would change, sorted by reference.

    Empty where the plugin isn't loaded, which nothing here does. Changes nothing, neither stages nor
    tables. What floats is compared, never a version; while the manager is down nothing counts as
    stale. One request for each policy among the contexts, which the caches answer where nothing was
    invalidated, and one question to our own catalogue whether anything was. Any thread.

    Raises:
        ConfigurationError: the settings can't be read.
    """
    tables = library.tables()
    if not tables:
        return []
    session = current()
    session.follow_within(LOOK_S)  # where that can't be done, resolving meets the same trouble
    held: dict[str, dict[str, None]] = {}
    for table in tables:
        held.setdefault(table.policy, {}).update(dict.fromkeys(table.paths))
    now = {policy: _answers(session, policy, references) for policy, references in held.items()}
    return sorted(each for table in tables for each in _moved(table, now[table.policy]))


def on_stale(hook: Hook) -> Callable[[], None]:
    """
    Call *hook* when something that USD holds is invalidated; return the function that ends it.

    By this process, by another of this host, through the catalogue or through Redis. The hook gets the
    references, sorted, those that came within a tenth of a second at once. They may turn out not to
    have moved: `stale()` says. What merely expires invalidates nothing.

    Hooks are called one after another on one thread of their own, so that none holds up who
    publishes; what one raises is logged. A refresh belongs on the main thread: a hook tells the
    application to do it. A forked child has no hooks until it registers its own.

    Raises:
        ConfigurationError: the settings can't be read.
    """
    return watch.add(hook)


class Watch:
    """
    Tells hooks which references USD holds that were invalidated. Any thread.

    Its thread is a daemon and lives as long as there are hooks. Once USD holds something, it also looks,
    from time to time, for what other processes of this host invalidated, and makes the session follow
    the rest: in a process that only draws, nobody else does.

    Args:
        held: What returns the references that USD holds.
        gather_s: Seconds for which invalidations are gathered before hooks are called.
        poll_s: Seconds between two looks.
    """

    def __init__(
        self,
        held: Callable[[], Iterable[str]],
        gather_s: float = _GATHER_S,
        poll_s: float = POLL_S,
    ) -> None:
        self._held = held
        self._gather_s = gather_s
        self._poll_s = poll_s
        # Until then there is nothing to tell, and what is imported on the thread could meet the first
        # import of OpenUSD on another: both hang, each with the lock that the other wants.
        self._is_in_use = False
        self.after_fork()
        reset_in_child(self)

    def after_fork(self) -> None:
        """Start over in a forked child: hooks are of the process that registered them."""
        self._changed = threading.Condition()
        self._hooks: dict[object, Hook] = {}
        self._names = Names()
        self._followed: object = None
        self._thread: threading.Thread | None = None

    def add(self, hook: Hook) -> Callable[[], None]:
        """Call *hook* from now on; return what ends it, which may be called more than once."""
        key = object()
        session = current()
        with self._changed:
            self._listen(session)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="bifrost-stale", daemon=True)
                thread.start()
                self._thread = thread
                atexit.register(self.close)
            self._hooks[key] = hook
        return lambda: self._remove(key)

    def heard(self, names: Collection[bytes] | None, _sequence: int = 0) -> None:
        """Note what was invalidated, None: everything. A listener of the tiers: it only notes."""
        with self._changed:
            if not self._hooks or not self._is_in_use:
                return
            self._names.add((_EVERYTHING,) if names is None else names)
            if len(self._names) > LOG_LIMIT:
                self._names = Names((_EVERYTHING,))
            self._changed.notify_all()

    def answered(self, tiers: TieredCache, sequence: int) -> None:
        """
        Take note that USD gets answers, asked for when the number of the log of *tiers* was *sequence*.

        When what was invalidated since was heard of, they were not held yet; in a moment they are.
        """
        self._is_in_use = True
        if not self._hooks or tiers.sequence() == sequence:
            return
        try:
            names = tiers.invalidations.invalidated_since(sequence)
        except Exception:  # noqa: BLE001  not knowing means everything
            names = None
        self.heard(names)

    def close(self) -> None:
        """Call no hook any more; wait a little for one that is being called."""
        with self._changed:
            self._hooks.clear()
            self._changed.notify_all()
            thread = self._thread
        if thread not in {None, threading.current_thread()}:
            thread.join(_EXIT_S)

    def _remove(self, key: object) -> None:
        with self._changed:
            self._hooks.pop(key, None)
            self._changed.notify_all()

    def _listen(self, session: Session) -> None:
        """Hear what *session* invalidates; with the lock held, so that one listener is added."""
        if self.heard not in session.tiers.listeners:
            session.tiers.listeners.append(self.heard)

    def _run(self) -> None:
        while True:
            self._keep_up()
            with self._changed:
                if self._changed.wait_for(self._has_work, self._poll_s):
                    self._changed.wait_for(self._is_over, self._gather_s)
                if self._is_over():
                    self._end()
                    return
                names, self._names = self._names, Names()
            if len(names):
                self._tell(names)

    def _has_work(self) -> bool:
        return self._is_over() or len(self._names) > 0

    def _is_over(self) -> bool:
        return not self._hooks

    def _end(self) -> None:
        self._thread = self._followed = None
        self._names.clear()
        atexit.unregister(self.close)

    def _keep_up(self) -> None:
        """Hear of what is invalidated in whatever session and caches are in force by now."""
        session = current_if_any()
        if session is None:
            return
        with self._changed:
            self._listen(session)
        if not self._is_in_use:
            return
        try:
            if self._followed is not session.tiers:
                session.start_following()  # who asks, follows from then on what others change
                self._followed = session.tiers
            session.tiers.catch_up()
        except Exception as error:  # noqa: BLE001  it is tried again in a second
            _logger().debug("what others invalidated can't be heard: %s", error)

    def _tell(self, names: Names) -> None:
        try:
            references = sorted(ref for ref in self._held() if names.covers(subject_of(ref)))
        except Exception as error:  # noqa: BLE001  the next invalidation may find it better
            _logger().warning("what USD holds can't be read: %s", error)
            return
        with self._changed:
            hooks = dict(self._hooks) if references else {}
        for key, hook in hooks.items():
            if key in self._hooks:  # or it was ended by the one before
                _call(hook, list(references))


def _call(hook: Hook, references: list[str]) -> None:
    try:
        hook(references)
    except (Exception, SystemExit) as error:  # noqa: BLE001  nor must it take the others along
        _logger().warning("a hook of bifrost.usd.on_stale failed: %r", error)


def _logger() -> Any:
    import logging

    return logging.getLogger("bifrost")


def _held_references() -> set[str]:
    return {reference for table in library.tables() for reference in table.paths}


def _answers(session: Session, policy: str, references: Iterable[str]) -> Mapping[str, Any]:
    """Return what a refresh would answer; nothing where it would leave everything as it is."""
    try:
        who = session.authenticated(from_policy(policy).snapshot())
    except (ValueError, PermissionDeniedException):
        return {}
    return dict(session.resolve(references, who).items())


def _moved(table: library.Table, now: Mapping[str, Any]) -> Iterable[Stale]:
    for reference, path in table.paths.items():
        outcome = now.get(reference)
        if outcome is None or _is_stopgap(outcome):
            continue
        new_path = getattr(outcome, "path", "")
        if new_path != path:
            reason = outcome.message if isinstance(outcome, Failure) else ""
            yield Stale(reference, path, new_path, reason, table.policy, table.root, table.is_bound)


def _is_stopgap(outcome: Any) -> bool:
    return outcome.is_outage if isinstance(outcome, Failure) else outcome.tier in STAND_INS


watch: Final = Watch(_held_references)
"""The hooks of this process."""
