# SPDX-License-Identifier: Apache-2.0
"""How Bifrost is doing: metrics, statistics and traces of this process."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bifrost.context import Context
from bifrost.errors import ConfigurationError
from bifrost.forks import reset_in_child
from bifrost.host.asking import Asking
from bifrost.host.recording import failure_code, recorded_calls, traceparent_of
from bifrost.model.request import Operation
from bifrost.monitoring import tracing
from bifrost.monitoring.recorder import hit_rate, no_calls

if TYPE_CHECKING:
    from bifrost.monitoring.families import Family
    from bifrost.monitoring.prometheus import Endpoint

DEFAULT_ENDPOINT: Final = "localhost:9090"
# What the resolver's counters need is there: asking for them must not load OpenUSD.
_USD_MODULES: Final = ("pxr.Ar", "pxr.Plug", "pxr.Usd")


class MonitoringCalls(Asking):
    """
    Metrics for Prometheus, statistics for Python, spans for OpenTelemetry.

    Calls are counted from the start; `enable_monitoring` shows the numbers to others.
    """

    def enable_monitoring(
        self, metrics_endpoint: str = DEFAULT_ENDPOINT, *, traces_endpoint: str | None = None
    ) -> str:
        """
        Serve metrics for Prometheus and return their URL; with *traces_endpoint*, send traces.

        Called again with the same endpoint, nothing changes; with another, the metrics move there. A
        forked child serves nothing until it calls this itself.

        Args:
            metrics_endpoint: `HOST:PORT`; without a host the loopback interface, port 0 for any free one.
            traces_endpoint: An OpenTelemetry collector's URL, OTLP over HTTP; None leaves tracing as
                it is. An application that configures OpenTelemetry itself needs none.

        Raises:
            ConfigurationError: an endpoint is none, the port is taken, or an extra is missing.
        """
        recorder = self.session.recorder
        is_new = traces_endpoint is not None and tracing.export_to(traces_endpoint)
        try:
            url = self._own_monitor().serve(metrics_endpoint)
        except ConfigurationError:
            if is_new:
                tracing.stop()
            raise
        recorder.enabled = True
        return url

    def disable_monitoring(self) -> None:
        """
        Stop serving metrics, sending traces and counting. What was counted stays.

        Does nothing where nothing is on. Spans for an application's own tracer provider go on.
        """
        self._own_monitor().close()
        tracing.stop()
        self.session.recorder.enabled = False

    def get_performance_stats(self) -> dict[str, Any]:
        """
        Return what was counted in this process. Asks no manager.

        For each of the host's calls, each operation of the pipeline (`resolve`, `exists`, …) and each
        name of `trace_operation`: `count`, `elements`, `avg_duration_ms`, `p50_ms`, `p95_ms`,
        `p99_ms`, `max_ms`, `total_s`, `success_rate` (percent of the elements) and `failures` (by
        code). Percentiles are good to six per cent.

        Beside them: `tiers`, the counters of each tier of the cache and its `hit_rate` (percent);
        `manager`, its round trips and its breaker; `resources`, what this process holds.
        """
        session = self.session
        counters = session.stats()
        known = (*recorded_calls(type(self)), *map(str, Operation))
        tiers = _table(_table(counters, "tiers"), "tiers")
        return {
            **{name: no_calls() for name in known},
            **session.recorder.stats(),
            "tiers": {name: with_hit_rate(each) for name, each in tiers.items()},
            "manager": dict(_table(counters, "manager")),
            "resources": _resources(counters),
        }

    @contextmanager
    def trace_operation(
        self, name: str, *, context: Context | None = None
    ) -> Iterator[tracing.Span]:
        """
        Time a `with` block under *name*, in the statistics and, where spans are collected, as a span.

        What it raises counts as its failure and goes on.

        ```python
        with bifrost_host.trace_operation("asset_processing") as span:
            span.set_attribute("asset_type", "model")
        ```

        Args:
            name: One of a few, not one for each asset: it names a metric's label.
            context: Its `traceparent` is the trace that the span belongs to; None: the active
                context's, or that of the span that is open here.
        """
        recorder = self.session.recorder
        start = recorder.clock()
        failures: tuple[str, ...] = ()
        try:
            with tracing.span_from(traceparent_of(context), name) as span:
                yield span
        except BaseException as error:
            failures = (failure_code(error),)
            raise
        finally:
            recorder.record(name, recorder.clock() - start, failures=failures)

    def _own_monitor(self) -> _Monitor:
        # Of two threads, one's is kept.
        monitor: _Monitor = self.__dict__.setdefault("_monitor", _Monitor(self))
        return monitor


class _Monitor:
    """The endpoint of one host: none, or one."""

    def __init__(self, host: Asking) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._asked = ""
        self._endpoint: Endpoint | None = None
        reset_in_child(self)

    def serve(self, asked: str) -> str:
        """Serve at *asked*, and nowhere else; return the URL."""
        from bifrost.monitoring.prometheus import serve

        with self._lock:
            earlier = self._endpoint
            if earlier is not None and self._asked == asked:
                return earlier.url
            self._endpoint = serve(asked, self._families)
            self._asked = asked
            if earlier is not None:
                earlier.close()
            return self._endpoint.url

    def close(self) -> None:
        """Serve no more."""
        with self._lock:
            earlier, self._endpoint = self._endpoint, None
            if earlier is not None:
                earlier.close()

    def after_fork(self) -> None:
        """Start over in a forked child, where nobody would answer."""
        self._lock = threading.Lock()
        earlier, self._endpoint = self._endpoint, None
        if earlier is not None:
            earlier.after_fork()

    def _families(self) -> list[Family]:
        from bifrost.monitoring.families import families

        session = self._host.session
        return families(
            session.stats(),
            session.recorder.histograms(),
            resolver_counters(),
            version=_version(),
        )


def resolver_counters() -> dict[str, int] | None:
    """Return what the C++ resolver counted; None where OpenUSD isn't in use. Never imports it."""
    if not all(name in sys.modules for name in _USD_MODULES):
        return None
    from bifrost.usd.stage import resolver_stats

    return resolver_stats()


def with_hit_rate(counters: Mapping[str, Any]) -> dict[str, Any]:
    """Return *counters* with their `hit_rate`, in percent."""
    return {**counters, "hit_rate": hit_rate(counters)}


def _resources(counters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what this process holds: bytes of caches and of the table, threads, memory."""
    tiers = _table(counters, "tiers")
    lmdb = _table(_table(tiers, "tiers"), "lmdb")
    return {
        "cache_bytes": tiers.get("bytes", 0),
        "cache_max_bytes": tiers.get("max_bytes", 0),
        "lmdb_bytes": lmdb.get("bytes", 0),
        "lmdb_map_bytes": lmdb.get("max_bytes", 0),
        "threads": threading.active_count(),
        "manager_threads": dict(_table(_table(counters, "manager"), "threads")),
        "resident_bytes": _resident_bytes(),
        "resolver_table": resolver_counters(),
        **_table(counters, "resources"),
    }


def _resident_bytes() -> int:
    """Return the process's resident memory in bytes; 0 where the system doesn't say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("bifrost-usd")
    except PackageNotFoundError:
        return ""


def _table(counters: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = counters.get(key)
    return found if isinstance(found, Mapping) else {}
