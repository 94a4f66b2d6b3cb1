# SPDX-License-Identifier: Apache-2.0
"""The faults of `fault_matrix.py`, made: each a context manager that ends it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any, Final

import psycopg
import redis

from bifrost.testing.proxy import FaultyProxy

_ENDED_S: Final = 10.0
# A connection's first bytes are its handshake's; this many are the middle of a reply, wherever that begins.
_MIDDLE: Final = 40
_DAMAGED: Final = 0.2
_END_ALL_OTHERS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
Fault = Callable[["Site"], AbstractContextManager[None]]


@dataclass
class Site:
    """
    What can go wrong with a server.

    Attributes:
        proxy: The `FaultyProxy` before the server; None for a manager.
        server: The server itself; None for a manager.
        rng: Chance.
        controls: The `Controls` of a manager; None for a server.
    """

    proxy: Any = None
    server: Any = None
    rng: Random | None = None
    controls: Any = None


def through_proxy(begin: Callable[[FaultyProxy, Random], None]) -> Fault:
    """Return the fault that *begin* has the proxy make; it ends with the proxy's good behaviour."""

    @contextmanager
    def fault(site: Site) -> Iterator[None]:
        assert site.rng is not None
        begin(site.proxy, site.rng)
        yield
        site.proxy.pass_on()

    return fault


def of_manager(fault: str = "none", **settings: Any) -> Fault:
    """Return the fault that the manager makes to order."""

    @contextmanager
    def made(site: Site) -> Iterator[None]:
        before = site.controls.settings()
        site.controls.set(**{**before, "fault": fault, **settings})
        yield
        site.controls.set(**before)

    return made


@contextmanager
def well(_: Site) -> Iterator[None]:
    """Nothing is wrong."""
    yield


@contextmanager
def paused(site: Site) -> Iterator[None]:
    """The server is stopped in its tracks (SIGSTOP)."""
    site.server.pause()
    try:
        yield
    finally:
        site.server.resume()


@contextmanager
def restarted(site: Site) -> Iterator[None]:
    """The server has been restarted: it is there again, all connections are gone."""
    site.server.restart()
    yield


@contextmanager
def killed(site: Site) -> Iterator[None]:
    """The server is dead (SIGKILL)."""
    site.server.kill()
    yield
    site.server.start()


@contextmanager
def without_connections(site: Site) -> Iterator[None]:
    """Others have every connection that PostgreSQL gives, and ours are gone."""
    url = site.server.url("postgres")
    site.proxy.refuse()
    with ExitStack() as taken:
        first = taken.enter_context(psycopg.connect(url, autocommit=True))
        end = time.monotonic() + _ENDED_S
        while first.execute(_END_ALL_OTHERS).rowcount and time.monotonic() < end:
            time.sleep(0.01)
        with suppress(psycopg.OperationalError):
            while time.monotonic() < end:
                taken.enter_context(psycopg.connect(url))
        site.proxy.pass_on()
        yield


@contextmanager
def without_clients(site: Site) -> Iterator[None]:
    """Others have every connection that Redis gives, and ours are gone."""
    with redis.Redis(host="127.0.0.1", port=site.server.port, protocol=2) as holder:
        holder.ping()
        holder.config_set("maxclients", 1)
        site.proxy.cut()
        yield
        holder.config_set("maxclients", 10_000)


@contextmanager
def emptied(site: Site) -> Iterator[None]:
    """Somebody has removed everything on the server (FLUSHALL)."""
    site.server.flush()
    yield


def cut_in_the_middle(proxy: FaultyProxy, _: Random) -> None:
    """Close all connections in the middle of the next reply."""
    proxy.cut_after(_MIDDLE)


def damage(proxy: FaultyProxy, rng: Random) -> None:
    """Flip so many bits that no reply is whole."""
    proxy.garble(rng, _DAMAGED)


_THROUGH_THE_PROXY: Final = {
    "slow": through_proxy(lambda proxy, _: proxy.delay(0.02)),
    "too slow": through_proxy(lambda proxy, _: proxy.delay(30)),
    "stalled": through_proxy(lambda proxy, _: proxy.stall()),
    "cut": through_proxy(cut_in_the_middle),
    "refused": through_proxy(lambda proxy, _: proxy.refuse()),
    "garbled": through_proxy(damage),
}
_OF_ANY_SERVER: Final = {
    "well": well,
    "paused": paused,
    "restarted": restarted,
    "killed": killed,
    **_THROUGH_THE_PROXY,
}
FAULTS: Final = {
    "postgresql": {**_OF_ANY_SERVER, "out of connections": without_connections},
    "redis": {
        **_OF_ANY_SERVER,
        "out of connections": without_clients,
        "emptied": emptied,
    },
    "manager": {
        "well": well,
        "slow": of_manager(latency_ms=50),
        "hanging": of_manager("hang"),
        "throttling": of_manager("throttle", retry_after_s=60),
        "down": of_manager("raise_openassetio"),
        "defective": of_manager("raise"),
        "no callbacks": of_manager("no_callback"),
        "one callback too few": of_manager("short_list"),
        "two callbacks": of_manager("callback_twice"),
        "contradicting callbacks": of_manager("callback_twice_different"),
        "late callbacks": of_manager("callback_late"),
        "a million callbacks": of_manager("flood"),
        "wrong types": of_manager("wrong_type"),
        "nothing": of_manager("null"),
        "index out of range": of_manager("wrong_index"),
        "unknown error": of_manager("garbage_error_code"),
        "refusing": of_manager("denied"),
    },
}
"""By server and by name."""
