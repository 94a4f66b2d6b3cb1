# SPDX-License-Identifier: Apache-2.0
"""The caches of a session, and how they hear of what changes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgpack

from bifrost.errors import TierError
from bifrost.model.entity_reference import names_of, parse
from bifrost.model.projects import also_meant
from bifrost.pipeline.cache import subject_of
from bifrost.pipeline.workers import Job, Workers
from bifrost.settings import Settings
from bifrost.tiers.following import Follower, News
from bifrost.tiers.lmdb import LmdbTier
from bifrost.tiers.memory import MemoryTier
from bifrost.tiers.tier import FOREVER, Entry, Tier, beginning_in, beginning_with, group_of
from bifrost.tiers.tiered import TieredCache

if TYPE_CHECKING:
    from bifrost.catalogue import Catalogue
    from bifrost.tiers.redis import Event, Position, RedisTier
    from bifrost.tiers.seal import Seal

# Only these are told to other hosts: the rest (closures) is about this host's files.
_SHARED_KINDS: Final = b"r"
_POSITION: Final = b"E"
# A file's time has a grain: what was written within it may be followed by more that shows nowhere.
_GRAIN_S: Final = 0.1
# How long somebody who invalidates waits for the catalogue to say what else has changed.
_LOOK_S: Final = 1.0


class Caching:
    """
    The tiers, what is followed to keep them true, and who is told.

    Any thread. Nothing is opened before the first use, no thread started before `start`.

    Args:
        settings: What is cached, where, for how long, and the file with the keys that sign it.
        catalogue: The catalogue; None where another manager answers, whose changes nobody tells.

    Raises:
        ConfigurationError: the URL, or the file with the keys, can't be used.
    """

    def __init__(self, settings: Settings, catalogue: OpenedCatalogue | None) -> None:
        seal_for = _sealing(settings)
        self.redis = _redis(settings, seal_for)
        self.tiers = TieredCache(_tiers(settings, self.redis, seal_for))
        self.follower: Follower | None = None
        if catalogue is not None:
            url = settings.catalogue_url
            self.follower = Follower(
                self.tiers,
                CatalogueChanges(url, catalogue),
                blake2b(url.encode(), digest_size=16).digest(),
                settings.cache.follow_s,
                self._announce,
            )
        self._looking = Workers(1, "bifrost-look")
        self._stuck: Job[Any] | None = None
        self._started = False
        self._noted: object | None = None
        url = settings.cache.distributed_url
        self._position_key = _POSITION + blake2b(url.encode(), digest_size=16).digest()

    def start(self) -> None:
        """Follow what others change, from now on. Cheap when it has been called before."""
        if self._started:
            return
        self._started = True
        if self.follower is not None:
            self.follower.start()
        if self.redis is not None:
            self.redis.follow(self._apply, self._noted_position())

    def after_fork(self) -> None:
        """Start over in a forked child, whose tiers and followers have done so by themselves."""
        self._looking.after_fork()
        self._stuck = None
        self._started = False

    def begin(self) -> None:
        """
        Know up to which changes the caches are true, before a manager is asked for what they keep.

        See `Follower.begin`.
        """
        if self.redis is not None:
            self._note_position(self.redis)
        if self.follower is not None:
            self.follower.begin()

    def invalidate(self, names: Iterable[bytes] | None) -> None:
        """
        Forget what is cached about *names*, None: everything, here and wherever it is heard.

        Raises:
            TierError: other processes of this host could not be told. This one forgot.
        """
        told = None if names is None else tuple(dict.fromkeys(names))
        news, trouble = None, None
        try:
            news = self._changed()
        except TierError as error:
            trouble = error  # which does not keep us from forgetting what we were told
        if told is not None and news is not None:
            # Most often what we are told of is what the catalogue says, too.
            told = () if news.names is None else tuple(n for n in told if n not in news.names)
        if told is None or told:
            self.tiers.invalidate(told, lambda: self._announce(News(told, 0, 0)))
        if trouble is not None:
            raise trouble

    def follow(self) -> None:
        """
        Hear now of what others changed. One question to the catalogue.

        Raises:
            CatalogueError: it can't be asked.
            TierError: other processes of this host could not be told.
        """
        self.tiers.catch_up()
        if self.follower is not None:
            self.follower.look()

    def follow_within(self, seconds: float) -> bool:
        """Hear of what others changed until now; whether that was done within *seconds*."""
        if self._stuck is not None and not self._stuck.done.is_set():
            return False  # each that hangs behind it would be waited for in vain
        job = self._stuck = self._looking.submit(self.follow)
        return job is not None and job.done.wait(seconds) and job.error is None

    def known_subjects(self, limit: int = 20_000) -> list[bytes]:
        """Return up to *limit* of the references that this process has lately used."""
        memory = self.tiers.tier("memory")
        return [] if memory is None else memory.subjects(limit)

    def close(self) -> None:
        """Follow nothing any more; flush and close the tiers."""
        if self.redis is not None:
            self._note_position(self.redis)
        self._looking.close()
        if self.follower is not None:
            self.follower.close()
        self.tiers.close()

    def stats(self) -> dict[str, Any]:
        """Return the tiers' counters, and how far the catalogue was followed."""
        stats = self.tiers.stats()
        if self.follower is not None:
            stats["followed_to"] = self.follower.position
        return stats

    def _changed(self) -> News | None:
        """Forget first what the catalogue says has changed; return it."""
        if self.follower is None or self.follower.position is None:
            return None
        # On a thread: a database that hangs must hang nobody who lets a cache forget.
        job = self._looking.submit(self.follower.look)
        if job is None or not self._looking.wait(job, _LOOK_S):
            return None
        if isinstance(job.error, TierError):
            raise job.error
        # It is down, or nothing changed: the names that we were given must do.
        return job.result

    def _announce(self, news: News) -> None:
        """
        Let the studio know, and have its cache forget, before this host counts old answers as new.

        A server that is away is told when it is back, before it is asked for anything.
        """
        if self.redis is None:
            return
        from bifrost.tiers.redis import Event

        groups: tuple[bytes, ...] | None = None
        beginnings: tuple[bytes, ...] = ()
        if news.names is not None:
            prefixes = {name: beginning_in(name) for name in news.names}
            groups = tuple(name for name, prefix in prefixes.items() if prefix is None)
            beginnings = tuple(prefix for prefix in prefixes.values() if prefix is not None)
        with contextlib.suppress(TierError):
            self.redis.announce(Event(groups, beginnings, news.before, news.after))

    def _apply(self, event: Event) -> None:
        """Take over what another process of the studio announced. On the thread that heard it."""
        names: tuple[bytes, ...] | None = None
        if event.subjects is not None:
            names = (*event.subjects, *map(beginning_with, event.prefixes))
        # Raised where others of this host could not be told: they hear of it by themselves.
        with contextlib.suppress(TierError):
            self.tiers.invalidate(names)
        if self.follower is not None:
            self.follower.heard(event.before, event.after)

    def _noted_position(self) -> Position | None:
        """Return up to which event this host's caches are true, as its last process noted."""
        from bifrost.tiers.redis import Position

        shared = self.tiers.shared
        entry = shared.get([self._position_key]).get(self._position_key) if shared else None
        try:
            return None if entry is None else Position(*msgpack.unpackb(entry.value))
        except (TypeError, ValueError, msgpack.UnpackException):
            return None

    def _note_position(self, redis: RedisTier) -> None:
        position = redis.position()
        shared = self.tiers.shared
        if not isinstance(position, tuple) or shared is None or position == self._noted:
            return
        self._noted = position
        value = msgpack.packb(position)
        shared.put({self._position_key: Entry(value, FOREVER, 0.0, self.tiers.sequence())})


class OpenedCatalogue(Protocol):
    """A session's catalogue, opened when it is first needed."""

    @property
    def has_catalogue(self) -> bool:
        """Whether it has been opened."""

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue, opened if it wasn't."""


class CatalogueChanges:
    """A catalogue's log of changes, for `Follower`."""

    def __init__(self, url: str, catalogue: OpenedCatalogue) -> None:
        from bifrost.catalogue.location import path_of

        path = path_of(url)
        self._files = () if path is None else (str(path), f"{path}-wal")
        self._catalogue = catalogue

    def hint(self) -> object:
        """Return size and time of the database's files; None on a server, or just after a write."""
        if not self._files:
            return None
        found = []
        for file in self._files:
            try:
                info = os.stat(file)  # noqa: PTH116  once a second, and nothing else in all that time
            except OSError:
                continue
            if abs(time.time() - info.st_mtime) < _GRAIN_S:
                return None
            found += [info.st_size, info.st_mtime_ns]
        return tuple(found)

    def is_open(self) -> bool:
        """Whether asking costs no connection."""
        return self._catalogue.has_catalogue

    def number(self) -> int:
        """Return the number of the newest change."""
        return self._opened().change_number()

    def since(self, number: int) -> tuple[int, list[bytes] | None]:
        """Return the newest number, and the names of what changed after *number*; None: all."""
        newest, ids = self._opened().changes_since(number)
        if ids is None:
            return newest, None
        return newest, [name for asset_id in ids for name in names_of_asset(asset_id)]

    def _opened(self) -> Catalogue:
        """
        Return the catalogue.

        Raises:
            RuntimeError: not just now. OpenUSD's first import loads libraries without the GIL that
                want it, and a thread that holds it while it loads one of its own, as importing
                SQLAlchemy does, would hang with it. Whoever follows asks again in a while.
        """
        if not self._catalogue.has_catalogue and _is_importing_usd():
            raise RuntimeError("OpenUSD is being imported on another thread")
        return self._catalogue.catalogue


def names_for(reference: str) -> list[bytes]:
    """Return what an invalidation names to outdate every version that *reference* could name."""
    try:
        return names_of_asset(parse(reference).asset_id)
    except ValueError:
        return [group_of(subject_of(reference))]


def names_of_asset(asset_id: str) -> list[bytes]:
    """Return what an invalidation names to outdate every reference that can mean the asset."""
    # To those who work on its project, the id without the project means it too.
    ids = filter(None, (asset_id, also_meant(asset_id)))
    return [
        group_of(name.encode("utf-8", "surrogateescape")) for each in ids for name in names_of(each)
    ]


def _is_importing_usd() -> bool:
    specs = (
        getattr(sys.modules[name], "__spec__", None)
        for name in list(sys.modules)
        if name.partition(".")[0] == "pxr"
    )
    return any(getattr(spec, "_initializing", False) for spec in specs)


def _sealing(settings: Settings) -> Callable[[str], Seal | None]:
    """Return what makes the seal of a tier, by its name: None where nothing is signed."""
    if not settings.cache.key_file:
        return lambda _: None
    from bifrost.tiers.seal import Seal, keys_in

    keys = keys_in(settings.cache.key_file)
    return lambda tier: Seal(keys, tier)


def _redis(settings: Settings, seal_for: Callable[[str], Seal | None]) -> RedisTier | None:
    url = settings.cache.distributed_url
    if not url:
        return None
    from bifrost.tiers.redis import RedisTier

    seal = seal_for("redis")
    return RedisTier(url, kinds=_SHARED_KINDS, stale_s=settings.cache.stale_s, seal=seal)


def _tiers(
    settings: Settings, redis: RedisTier | None, seal_for: Callable[[str], Seal | None]
) -> list[Tier]:
    tiers: list[Tier] = []
    cache = settings.cache
    if cache.memory_bytes:
        tiers.append(MemoryTier(cache.memory_bytes))
    if cache.disk_bytes:
        folder, seal = settings.cache_directory, seal_for("lmdb")
        tiers.append(LmdbTier(folder, max_bytes=cache.disk_bytes, seal=seal))
    return tiers if redis is None else [*tiers, redis]
