# SPDX-License-Identifier: Apache-2.0
"""The caches: how they are set up, what they must forget, how they do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

from bifrost.context import Context
from bifrost.errors import ConfigurationError
from bifrost.host.asking import Asking
from bifrost.host.monitoring import with_hit_rate
from bifrost.host.recording import recorded
from bifrost.model.entity_reference import without_format_args
from bifrost.pipeline.cache import encoded, subject_of
from bifrost.session.caching import names_for, names_of_asset
from bifrost.settings import CacheSettings, checked_section
from bifrost.tiers.tier import beginning_with

_MB: Final = 1_000_000


class CacheCalls(Asking):
    """Three tiers: this process's memory, a file of this host (LMDB), a server of the studio (Redis)."""

    @recorded
    def configure_cache(
        self,
        memory_size_mb: float | None = None,
        disk_cache_path: str | os.PathLike[str] | None = None,
        ttl_seconds: float | None = None,
        distributed_url: str | None = None,
        *,
        disk_size_mb: float | None = None,
        negative_ttl_seconds: float | None = None,
        revalidate_seconds: float | None = None,
        stale_seconds: float | None = None,
        follow_seconds: float | None = None,
    ) -> None:
        """
        Go on with caches set up otherwise. What isn't given stays as it is.

        What was cached in memory is forgotten; what lies on disk is found again under the same path.
        Requests under way end with the caches they began with. Without this call the settings hold
        (`[cache]` in docs/settings.md, where the defaults stand: 100 MB, 3600 s).

        Args:
            memory_size_mb: Bound of the memory tier, in megabytes (10^6 bytes); 0 turns it off.
            disk_cache_path: The folder of the tier on disk.
            ttl_seconds: How long the answer to a floating reference is fresh.
            distributed_url: A Redis or Valkey server, `redis://…`; "" for none.
            disk_size_mb: Bound of the tier on disk, in megabytes; 0 turns it off.
            negative_ttl_seconds: How long a failure is remembered.
            revalidate_seconds: How long past its freshness an answer is served while it is asked again.
            stale_seconds: How long past its freshness an answer is served while the manager is down.
            follow_seconds: How often our own catalogue is asked what others changed; 0: never.

        Raises:
            ConfigurationError: a value can't be; names it. What was in force stays in force.
        """
        given = {
            "memory_bytes": _bytes("memory_size_mb", memory_size_mb),
            "directory": None if disk_cache_path is None else os.fspath(disk_cache_path),
            "ttl_s": ttl_seconds,
            "distributed_url": distributed_url,
            "disk_bytes": _bytes("disk_size_mb", disk_size_mb),
            "negative_ttl_s": negative_ttl_seconds,
            "revalidate_s": revalidate_seconds,
            "stale_s": stale_seconds,
            "follow_s": follow_seconds,
        }
        changed = {name: value for name, value in given.items() if value is not None}
        session = self.session
        values = checked_section("cache", {**session.settings.cache._asdict(), **changed})
        session.configure(session.settings._replace(cache=CacheSettings(**values)))

    @recorded
    def invalidate_cache(
        self,
        asset_uri: str | Iterable[str] | None = None,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        everything: bool = False,
        context: Context | None = None,
    ) -> None:
        """
        Forget what caches hold, in this process and in all that share them.

        Exactly one of:

        Args:
            asset_uri: About an entity, or several: every version, for every context.
            prefix: About every reference that starts so.
            tag: About every asset of our catalogue with this tag.
            everything: About everything.
            context: Who asks; with *tag*, what they may not read isn't found.

        Raises:
            ConfigurationError: none or more than one of them was given.
            UnsupportedOperationException: a *tag*, where another manager answers.
            TierError: other processes could not be told. This one forgot.
        """
        given = [asset_uri is not None, prefix is not None, tag is not None, everything]
        if sum(given) != 1:
            raise ConfigurationError(
                "invalidate_cache: expected one of asset_uri, prefix=, tag= and everything=True, "
                f"got {sum(given)}"
            )
        if everything:
            self.session.invalidate_names(None)
        elif prefix is not None:
            self.session.invalidate_names(map(beginning_with, _beginnings(prefix)))
        elif tag is not None:
            self.session.invalidate_names(self._tagged(tag, context))
        else:
            uris = [asset_uri] if isinstance(asset_uri, str) else list(asset_uri or ())
            self.session.invalidate_names(
                name for uri in uris for name in names_for(without_format_args(uri))
            )

    @recorded
    def get_cache_stats(self) -> dict[str, Any]:
        """
        Return how the caches do. Asks no manager.

        `hit_rate` (percent of all references that a cache answered), `hits`, `misses`, `stale_served`,
        `failure_hits`, `revalidated`; `entries`, `bytes`, `max_bytes`, `evictions`, `errors` in all tiers
        together; and under `tiers`, by name, the same of each one, with `age_s`: how many seconds ago
        the entry was stored or used that would be evicted next.
        """
        stats = self.session.stats()
        tiers = stats["tiers"]
        return {
            **stats["cache"],
            **{
                name: tiers[name]
                for name in ("entries", "bytes", "max_bytes", "evictions", "errors")
            },
            "tiers": {name: with_hit_rate(each) for name, each in tiers["tiers"].items()},
        }

    def _tagged(self, tag: str, context: Context | None) -> Iterator[bytes]:
        catalogue = self.session.own_catalogue("a tag")
        query = {"tags": {"$contains": [tag]}, "fields": ["id"], "limit": 1000}
        user = self._user(context)
        while True:
            page = catalogue.query(query, user=user)
            for asset in page:
                yield from names_of_asset(asset["id"])
            if page.cursor is None:
                return
            query = {**query, "cursor": page.cursor}


def _bytes(name: str, megabytes: float | None) -> int | None:
    if megabytes is None:
        return None
    try:
        return int(megabytes * _MB)
    except (TypeError, ValueError, OverflowError):
        raise ConfigurationError(f"{name}: expected a number, got {megabytes!r}") from None


def _beginnings(prefix: str) -> set[bytes]:
    """Return what *prefix* begins, however references with escapes are written."""
    return {encoded(prefix), subject_of(prefix)}
