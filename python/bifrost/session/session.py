# SPDX-License-Identifier: Apache-2.0
"""
The composition root: the one object that builds and owns tiers, handlers, manager and catalogue.

A request crosses the handlers from the outermost in, as `Session._wire` puts them together, and a reply
comes back. Everything that asks anything asks here: USD's bridge, the Python API, the command line.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from bifrost.context import Context, ContextSnapshot, Given, effective, login_name
from bifrost.errors import Code, UnsupportedOperationException
from bifrost.forks import reset_in_child
from bifrost.model.entity_reference import MANAGER, AssetReference, parse, reference_for
from bifrost.model.permissions import User
from bifrost.model.reply import Reply
from bifrost.model.request import Operation, Request
from bifrost.model.roots import AllowedRoots
from bifrost.monitoring import tracing
from bifrost.monitoring.recorder import Recorder
from bifrost.pipeline.authenticate import Authenticate
from bifrost.pipeline.batching import Batching
from bifrost.pipeline.breaker import Breaker
from bifrost.pipeline.cache import Cache
from bifrost.pipeline.coalesce import Coalesce
from bifrost.pipeline.confine import Confine
from bifrost.pipeline.deadline import Deadline
from bifrost.pipeline.fallback import Fallback
from bifrost.pipeline.handler import Handler
from bifrost.pipeline.observe import Observe, Part
from bifrost.pipeline.retry import Retry
from bifrost.session.caching import Caching, names_for
from bifrost.session.interpreter import refuse_second
from bifrost.session.managers import LazyManager, foreign_manager, identity, own_manager
from bifrost.session.reaching import Reaching
from bifrost.settings import Settings, load
from bifrost.tiers.tiered import TieredCache

if TYPE_CHECKING:
    from bifrost.assetio import AssetioManager
    from bifrost.catalogue import Catalogue
    from bifrost.manager import BifrostManagerInterface
    from bifrost.publishing import Publisher
    from bifrost.tokens import Verifier

T = TypeVar("T")


class Session:
    """
    Answers requests under one set of settings. Any thread may use it.

    Making one is cheap: caches, catalogue and manager are opened when they are first needed, and
    OpenAssetIO is not even imported while the cache answers.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        refuse_second()
        self.settings = settings or load()
        self.settings.earlier.export()
        self.allowed_roots = AllowedRoots(self.settings.resolve.allowed_roots)
        self.recorder = Recorder()
        self._lock = threading.RLock()
        self._catalogue: Catalogue | None = None
        self._verifier: Verifier | None = None
        self._own_manager: BifrostManagerInterface | None = None
        # Weakly, or a session that nobody uses any more would be kept alive by its own parts.
        alive = weakref.WeakMethod(self._make_manager)
        self._manager = LazyManager(lambda: _called(alive))
        second = self.settings.assetio.fallback_manager
        self._second = LazyManager(lambda: foreign_manager(second)) if second else None
        self._wire(self._make_caching())
        reset_in_child(self)

    def _make_caching(self) -> Caching:
        own = weakref.proxy(self) if self.uses_own_catalogue else None
        return Caching(self.settings, own)

    def _wire(self, caching: Caching) -> None:
        """Put the handlers together, innermost first: what asks the managers, then what remembers."""
        # Each looks for the caches when it is asked: `configure` puts others in their place.
        noting = _Noting(self._manager, lambda: self._caching)
        self.breaker, self._deadline = self._bounded(noting)
        limits = self.settings.manager
        self._reaching = Reaching(self.breaker, limits.deadline_s, limits.max_workers)
        coalesce = Coalesce(
            self._deadline, lambda: (id(self.tiers), self.tiers.sequence()), limits.deadline_s
        )
        self._batching = Batching(coalesce, self.settings.manager.max_workers)
        if self._second is not None:
            _, self._second_deadline = self._bounded(self._second)
        self._wire_caches(caching)

    def _wire_caches(self, caching: Caching) -> None:
        """Put *caching* in force, with what serves from it."""
        cache = Cache(
            self._confined(Part(self._batching, "manager", tracing)),
            caching.tiers,
            identity(self.settings),
            self.settings.cache,
            roots=self.allowed_roots,
        )
        caching.tiers.listeners[:1] = [cache.forget_failures]
        handler: Handler = cache
        fallback: Fallback | None = None
        if self._second is not None:
            handler = fallback = Fallback(handler, self._confined(self._second_deadline))
        handler = Authenticate(handler, self.authenticated)
        observe = Observe(handler, self.recorder, tracing)
        self._fallback, self.cache, self._observe, self._caching = fallback, cache, observe, caching

    def _confined(self, manager: Handler) -> Handler:
        return Confine(manager, self.allowed_roots) if self.allowed_roots else manager

    def _bounded(self, manager: Handler) -> tuple[Breaker, Deadline]:
        """Return what keeps a manager that is slow or down from being waited for."""
        settings = self.settings
        breaker = Breaker(manager, settings.breaker.failures, settings.breaker.cooldown_s)
        retry = Retry(breaker, settings.retry.attempts, settings.retry.base_s, settings.retry.max_s)
        deadline_s, limit = settings.manager.deadline_s, settings.manager.max_workers
        return breaker, Deadline(retry, deadline_s, limit, breaker.gave_up)

    @property
    def tiers(self) -> TieredCache:
        """The cache's tiers, as one; another object after `configure_cache`."""
        return self._caching.tiers

    @property
    def uses_own_catalogue(self) -> bool:
        """Whether our own manager answers, over the catalogue that these settings name."""
        return not self.settings.manager_config

    @property
    def has_catalogue(self) -> bool:
        """Whether the catalogue has been opened."""
        return self._catalogue is not None

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
                    strengths=settings.strengths,
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
        self._caching.start()
        return self._observe.handle(request)

    def authenticated(self, snapshot: ContextSnapshot) -> ContextSnapshot:
        """
        Return *snapshot* as that of whom its token proves to ask, where tokens count.

        Raises:
            PermissionDeniedException: the token is bad, or there is none where one is required.
            ConfigurationError: the settings of tokens can't be used.
        """
        if self._verifier is None:
            if self.settings.access.tokens == "ignored":
                return snapshot
            from bifrost.tokens import Verifier

            self._verifier = Verifier(self.settings.access)
        return self._verifier.authenticate(snapshot)

    def user(self, context: Given) -> User:
        """
        Return who asks: proved by a token, or as the context says, else who is logged in.

        Raises:
            PermissionDeniedException, ConfigurationError: as `authenticated`.
        """
        return self.authenticated(effective(context)).who or login_name()

    @property
    def manager_identifier(self) -> str:
        """The identifier of the manager that answers; "" while another's has not been started."""
        return MANAGER if self.uses_own_catalogue else self._manager.identifier

    def resolve(
        self,
        references: Iterable[str],
        context: Context | ContextSnapshot | None = None,
        *,
        deadline_s: float | None = None,
        fresh: bool = False,
    ) -> Reply:
        """Resolve *references* in one request; outcomes are `Resolution` or `Failure`, in order."""
        snapshot = effective(context)
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

        Like a question to the manager it ends at `manager.deadline_s`, and isn't asked while the breaker
        is open.

        Raises:
            CatalogueError: the catalogue can't be used.
            ValueError: the context's `as_of` is no time.
        """
        if not self.uses_own_catalogue:
            return None
        from bifrost.catalogue import VersionPolicy

        snapshot = effective(context)
        policy = VersionPolicy.of(snapshot.get("version"), snapshot.get("as_of"))
        roots = [(ref.asset_id, ref.version) for ref in _parsed(references)]
        found = self._reaching.found(lambda: self.catalogue.closure(roots, policy))
        return tuple(reference_for(*each) for each in found)

    def suggestions(
        self, reference: str, context: Context | ContextSnapshot | None = None, limit: int = 5
    ) -> list[str]:
        """
        Return references that may have been meant by one that leads nowhere, nearest first.

        From the catalogue's search by text, of what who asks may read; where another manager answers,
        from what its caches hold.
        """
        if not self.uses_own_catalogue:
            return self._nearest_cached(reference, limit)
        user = self.user(context)
        return [
            reference_for(found)
            for asked in _parsed([reference])
            for found in self.catalogue.suggestions(asked.asset_id, limit, user=user)
        ]

    def _nearest_cached(self, reference: str, limit: int) -> list[str]:
        import difflib

        subjects = self._caching.known_subjects()
        known = dict.fromkeys(each.decode("utf-8", "surrogateescape") for each in subjects)
        known.pop(reference, None)
        return difflib.get_close_matches(reference, list(known), n=limit, cutoff=0.6)

    # The caches

    def invalidate(self, references: Iterable[str]) -> None:
        """
        Drop what the caches hold about *references*, of every version and for every context.

        Other processes of the host follow within a second, those of the studio within milliseconds
        through Redis, or within a second through our own catalogue's log of changes. USD sees it when
        it refreshes.

        Raises:
            TierError: other processes could not be told. This one forgot.
        """
        self.invalidate_names(name for ref in references for name in names_for(ref))

    def invalidate_names(self, names: Iterable[bytes] | None) -> None:
        """
        Drop what the caches hold about *names* (tiers/tier.py), None: everything, likewise.

        Raises:
            TierError: other processes could not be told. This one forgot.
        """
        told = None if names is None else tuple(names)
        self._with_caches_in_force(lambda caching: caching.invalidate(told))

    def start_following(self) -> None:
        """Hear of what others change from now on, on threads of its own; `ask` does so too."""
        self._caching.start()

    def follow(self) -> None:
        """
        Hear now of what others changed, instead of within a second. One question to the catalogue.

        Raises:
            CatalogueError: it can't be asked.
            TierError: other processes of this host could not be told.
        """
        self._with_caches_in_force(lambda caching: caching.follow())

    def follow_within(self, seconds: float) -> bool:
        """As `follow`, for who can't wait longer and needs no reason: whether it was done."""
        return self._with_caches_in_force(lambda caching: caching.follow_within(seconds))

    def configure(self, settings: Settings) -> None:
        """
        Go on under other settings of the caches. Requests under way end with the caches they began with.

        Raises:
            ConfigurationError: they can't be used; the ones before stay in force.
        """
        with self._lock:
            before, cache, old = self._caching, self.cache, self.settings
            self.settings = settings
            try:
                caching = self._make_caching()
            except BaseException:
                self.settings = old
                raise
            caching.tiers.listeners[:] = before.tiers.listeners
            caching.tiers.catch_up()  # what the log says from here on, they hear
            self._wire_caches(caching)
        # What was told to the old ones alone; and what they had not heard yet, for who listens.
        caching.tiers.catch_up()
        before.tiers.catch_up()
        cache.close()
        before.close()

    def _with_caches_in_force(self, do: Callable[[Caching], T]) -> T:
        """
        Return what *do* does with the caches, done once more where `configure` replaced them meanwhile.

        Those before may be closed already, and what they are told then nobody hears.
        """
        while True:
            caching = self._caching
            try:
                done = do(caching)
            except Exception:
                if caching is self._caching:
                    raise
            else:
                if caching is self._caching:
                    return done

    # The rest

    def assetio_manager(self) -> AssetioManager:
        """Return the handler that holds the OpenAssetIO manager."""
        return self._manager.open()

    def stats(self) -> dict[str, Any]:
        """Return counters of the pipeline, the manager (`round_trips`) and each tier."""
        served = self.cache.stats()
        return {
            "requests": self._observe.stats(),
            "manager": {
                "round_trips": self._manager.round_trips + self._reaching.asked,
                "breaker": self.breaker.state,
                "fallback_served": self._fallback.served if self._fallback is not None else 0,
                "threads": self._deadline.stats(),
                "batching": self._batching.stats(),
            },
            "cache": served,
            "resources": {"database_connections": self._connections()},
            "tiers": {**self._caching.stats(), **_in_all(served)},
        }

    def _connections(self) -> dict[str, int]:
        catalogue = self._catalogue
        return {"open": 0, "in_use": 0} if catalogue is None else catalogue.connections()

    def closing(self) -> None:
        """Let go everybody who waits for a manager: the process is ending."""
        self._deadline.close()
        self._reaching.close()
        self._batching.close()
        if self._second is not None:
            self._second_deadline.close()

    def close(self) -> None:
        """Flush the caches and close what was opened."""
        self.closing()
        self.cache.close()
        self._caching.close()
        if self._own_manager is not None:
            self._own_manager.close()
        with self._lock:
            if self._catalogue is not None:
                self._catalogue.close()
                self._catalogue = None

    def after_fork(self) -> None:
        """Start over in a forked child, where locks may be held by threads that stayed behind."""
        self._lock = threading.RLock()
        self._catalogue = None
        self.recorder.after_fork()
        self._caching.after_fork()
        self._manager.after_fork()
        if self._second is not None:
            self._second.after_fork()
        self._wire(self._caching)

    def _make_manager(self) -> Any:
        if self.uses_own_catalogue:
            # What was published through OpenAssetIO leaves our caches too. Weakly: the garbage
            # collector does not see through OpenAssetIO, and the session would never go.
            forget = weakref.WeakMethod(self.invalidate)
            manager, self._own_manager = own_manager(
                self.settings, lambda references: _called(forget, references)
            )
            return manager
        return foreign_manager(self.settings.manager_config)


class _Noting:
    """Knows, before a manager is asked, which of its changes came earlier."""

    def __init__(self, inner: Handler, caching: Callable[[], Caching]) -> None:
        self._inner = inner
        self._caching = caching

    def handle(self, request: Request) -> Reply:
        # Whatever the catalogue's trouble is, the manager meets it too, and says so.
        with contextlib.suppress(Exception):
            self._caching().begin()
        return self._inner.handle(request)


def _called(method: weakref.WeakMethod[Callable[..., Any]], *arguments: Any) -> Any:
    call = method()
    if call is None:
        raise ReferenceError("the session is gone")
    return call(*arguments)


def _in_all(served: dict[str, Any]) -> dict[str, Any]:
    return {name: served[name] for name in ("hits", "misses", "stale_served", "hit_rate")}


def _parsed(references: Iterable[str]) -> Iterator[AssetReference]:
    for reference in references:
        try:
            yield parse(reference)
        except ValueError:
            continue  # resolving it says what is wrong with it
