# SPDX-License-Identifier: Apache-2.0
"""
The composition root: the one object that builds and owns tiers, handlers, manager and catalogue.

USD hands its plugins nothing, so `current()` is the one piece of global state: the session of this
process. Everything else takes a session.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bifrost.context import Context, ContextSnapshot
from bifrost.errors import BifrostError, Code, UnsupportedOperationException
from bifrost.model.entity_reference import AssetReference, parse, reference_for
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.pipeline.breaker import Breaker
from bifrost.pipeline.cache import Cache
from bifrost.pipeline.coalesce import Coalesce
from bifrost.pipeline.deadline import Deadline
from bifrost.pipeline.observe import Observe
from bifrost.pipeline.retry import Retry
from bifrost.settings import Settings, load
from bifrost.tiers.fork import reset_in_child
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.tier import Tier
from bifrost.tiers.tiered import TieredCache

if TYPE_CHECKING:
    from bifrost.assetio import AssetioManager
    from bifrost.catalogue import Catalogue
    from bifrost.publishing import Publisher


class Session:
    """
    Answers requests under one set of settings. Any thread may use it.

    Making one is cheap: caches, catalogue and manager are opened when they are first needed, and
    OpenAssetIO is not even imported while the cache answers.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or load()
        self.tiers = _tiers(self.settings)
        self._lock = threading.RLock()
        self._catalogue: Catalogue | None = None
        self._closure_queries = 0
        self._manager = _LazyManager(self)
        self._wire()
        reset_in_child(self)

    def _wire(self) -> None:
        settings = self.settings
        handler = self.breaker = Breaker(
            self._manager, settings.breaker.failures, settings.breaker.cooldown_s
        )
        retry = Retry(handler, settings.retry.attempts, settings.retry.base_s, settings.retry.max_s)
        self._deadline = Deadline(retry, settings.manager.deadline_s, settings.manager.max_workers)
        self._coalesce = Coalesce(self._deadline)
        self.cache = Cache(self._coalesce, self.tiers, _identity(settings), settings.cache)
        self._observe = Observe(self.cache)

    @property
    def uses_own_catalogue(self) -> bool:
        """Whether our own manager answers, over the catalogue that these settings name."""
        return not self.settings.manager_config

    @property
    def catalogue(self) -> Catalogue:
        """
        The catalogue that the settings name, opened by the first caller.

        Raises:
            CatalogueError: it can't be opened; says why.
        """
        with self._lock:
            if self._catalogue is None:
                from bifrost.catalogue import Catalogue

                settings = self.settings.catalogue
                self._catalogue = Catalogue.open(
                    self.settings.catalogue_url,
                    store=self.settings.store_directory,
                    workflow=settings.workflow,
                    lock_timeout_s=settings.lock_timeout_s,
                    statement_timeout_s=settings.statement_timeout_s,
                )
            return self._catalogue

    def own_catalogue(self, what: str) -> Catalogue:
        """
        Return the catalogue, for a question that OpenAssetIO doesn't have.

        Args:
            what: The question, for the message.

        Raises:
            UnsupportedOperationException: another manager answers here.
            CatalogueError: it can't be opened; says why.
        """
        if not self.uses_own_catalogue:
            identifier = self.assetio_manager().manager().identifier()
            raise UnsupportedOperationException(
                f"{what} is not supported by {identifier}: OpenAssetIO has no such call, and only "
                "Bifrost's own catalogue does more",
                code=Code.UNSUPPORTED,
            )
        return self.catalogue

    @property
    def publisher(self) -> Publisher:
        """
        What publishes into the catalogue; caches forget what it supersedes.

        Raises:
            UnsupportedOperationException: another manager answers here.
            CatalogueError: the catalogue can't be opened; says why.
        """
        from bifrost.publishing import Publisher

        return Publisher(self.own_catalogue("publishing"), on_published=self.invalidate)

    def ask(self, request: Request) -> Reply:
        """Send *request* through the pipeline."""
        return self._observe.handle(request)

    def resolve(
        self,
        references: Iterable[str],
        context: Context | ContextSnapshot | None = None,
        *,
        deadline_s: float | None = None,
        fresh: bool = False,
    ) -> Reply:
        """Resolve *references* in one request; outcomes are `Resolution` or `Failure`, in order."""
        snapshot = _snapshot(context)
        return self.ask(
            Request(Operation.RESOLVE, tuple(references), snapshot, deadline_s, fresh=fresh)
        )

    def closure(
        self, references: Sequence[str], context: Context | ContextSnapshot | None = None
    ) -> tuple[str, ...] | None:
        """
        Return every reference that opening *references* asks for, themselves included.

        One query of our own catalogue's relationships. None where another manager answers: OpenAssetIO
        has no such question. References that are malformed or unknown lead nowhere.

        Raises:
            CatalogueError: the catalogue can't be used.
            ValueError: the context's `as_of` is no time.
        """
        if not self.uses_own_catalogue:
            return None
        from bifrost.catalogue import VersionPolicy

        snapshot = _snapshot(context)
        policy = VersionPolicy.of(snapshot.get("version"), snapshot.get("as_of"))
        roots = [(ref.asset_id, ref.version) for ref in _parsed(references)]
        self._closure_queries += 1
        return tuple(reference_for(*found) for found in self.catalogue.closure(roots, policy))

    def invalidate(self, references: Iterable[str]) -> None:
        """
        Drop what the caches of this host hold about *references*, for every context.

        Other processes follow within a second; USD sees it when it refreshes.

        Raises:
            TierError: other processes could not be told. This one forgot.
        """
        self.cache.forget_failures()
        self.tiers.invalidate(ref.encode("utf-8", "surrogateescape") for ref in references)

    def assetio_manager(self) -> AssetioManager:
        """Return the handler that holds the OpenAssetIO manager."""
        return self._manager.open()

    def stats(self) -> dict[str, Any]:
        """Return counters of the pipeline, the manager (`round_trips`) and each tier."""
        return {
            "requests": self._observe.stats(),
            "manager": {
                "round_trips": self._manager.round_trips + self._closure_queries,
                "breaker": self.breaker.state,
            },
            "tiers": self.tiers.stats(),
        }

    def closing(self) -> None:
        """Let go everybody who waits for a manager: the process is ending."""
        self._deadline.close()

    def close(self) -> None:
        """Flush the caches and close what was opened."""
        self.closing()
        self.tiers.close()
        with self._lock:
            if self._catalogue is not None:
                self._catalogue.close()
                self._catalogue = None

    def after_fork(self) -> None:
        """Start over in a forked child, where locks may be held by threads that stayed behind."""
        self._lock = threading.RLock()
        self._catalogue = None
        self._manager.after_fork()
        self._wire()


class _LazyManager:
    """The manager's handler, made on the first miss."""

    def __init__(self, session: Session) -> None:
        self._session = weakref.ref(session)
        self.after_fork()

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        self._handler: AssetioManager | None = None

    @property
    def round_trips(self) -> int:
        return self._handler.round_trips if self._handler is not None else 0

    def open(self) -> AssetioManager:
        with self._lock:
            if self._handler is None:
                from bifrost.assetio import AssetioManager

                self._handler = AssetioManager(self._make)
            return self._handler

    def handle(self, request: Request) -> Reply:
        try:
            return self.open().handle(request)
        except BifrostError as error:
            # A configuration that can't work fails each element, and says why.
            return Reply.of(request, Failure(Code.UNKNOWN, error.message))

    def _make(self) -> Any:
        from bifrost import assetio

        session = self._session()
        if session is None:
            raise ReferenceError("the session is gone")
        if not session.uses_own_catalogue:
            return assetio.manager_from_config(session.settings.manager_config)
        from bifrost.manager import BifrostManagerInterface

        settings = {
            "catalogue_url": session.settings.catalogue_url,
            "store": str(session.settings.store_directory),
            "workflow": session.settings.catalogue.workflow,
            "lock_timeout_s": session.settings.catalogue.lock_timeout_s,
            "statement_timeout_s": session.settings.catalogue.statement_timeout_s,
        }
        return assetio.manager_from_interface(BifrostManagerInterface(self._forget), settings)

    def _forget(self, references: Iterable[str]) -> None:
        """What was published through OpenAssetIO leaves our caches too."""
        session = self._session()
        if session is not None:
            session.invalidate(references)


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


def _tiers(settings: Settings) -> TieredCache:
    tiers: list[Tier] = []
    if settings.cache.memory_bytes:
        tiers.append(MemoryTier(settings.cache.memory_bytes))
    if settings.cache.disk_bytes:
        tiers.append(LmdbTier(settings.cache_directory, max_bytes=settings.cache.disk_bytes))
    return TieredCache(tiers)


def _identity(settings: Settings) -> str:
    """
    Return what tells this manager's answers from another's, without starting it.

    For a foreign manager that is its config file, content and all: two libraries behind one plugin
    are two managers to a cache.
    """
    config = settings.manager_config
    if not config:
        return f"org.bifrost.assetmanager {settings.catalogue_url}"
    path = Path(config).absolute()
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    return f"{path} {blake2b(content, digest_size=16).hexdigest()}"


def _snapshot(context: Context | ContextSnapshot | None) -> ContextSnapshot:
    if isinstance(context, ContextSnapshot):
        return context
    return (context or Context()).snapshot()


def _parsed(references: Iterable[str]) -> Iterator[AssetReference]:
    for reference in references:
        try:
            yield parse(reference)
        except ValueError:
            continue  # resolving it says what is wrong with it


def _after_fork() -> None:
    global _current_lock  # noqa: PLW0603
    _current_lock = threading.Lock()


_current: Session | None = None
_current_lock = threading.Lock()
os.register_at_fork(after_in_child=_after_fork)
