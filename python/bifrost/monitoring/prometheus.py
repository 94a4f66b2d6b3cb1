# SPDX-License-Identifier: Apache-2.0
"""
Serves metrics to Prometheus.

A server of our own round prometheus_client's exposition: its `start_http_server` starts a thread for
whoever connects, without limit or timeout, and waits for a name server before it listens.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from bifrost.errors import ConfigurationError
from bifrost.monitoring.address import PATH, Address, parsed
from bifrost.monitoring.families import Family

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

# Prometheus scrapes one at a time; a few curious people may look in besides.
_MOST_CLIENTS: Final = 8
# For one read or write, and for everything that a client is served.
_SILENCE_S: Final = 5.0
_VISIT_S: Final = 10.0
_LOOK_ROUND_S: Final = 0.25
_BUSY: Final = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"

_log = logging.getLogger("bifrost.monitoring")


class Endpoint:
    """
    Metrics that are being served, by daemon threads, until `close`.

    Attributes:
        url: Where: `http://HOST:PORT/metrics`.
        port: The port, the one that was free where any was asked for.
    """

    def __init__(self, server: _Server, address: Address) -> None:
        self._server = server
        self._is_ours = True
        self.port: int = server.server_address[1]
        self.url = address._replace(port=self.port).url
        self._thread = threading.Thread(
            target=server.serve_forever, args=(_LOOK_ROUND_S,), name="bifrost-metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving and free the port; clients that are being served are cut off."""
        if not self._is_ours:
            return
        self._is_ours = False
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def after_fork(self) -> None:
        """Let go of the port in a forked child, where nobody would answer at it."""
        if self._is_ours:
            self._is_ours = False
            self._server.abandon()


def serve(endpoint: str, families: Callable[[], Iterable[Family]]) -> Endpoint:
    """
    Serve what *families* returns at each scrape, and what is known of the process.

    Only `GET /metrics` is answered, to eight clients at once at most, ten seconds each.

    Args:
        endpoint: `HOST:PORT`; without a host the loopback interface, port 0 for any free one.
        families: Called for each scrape, on a thread of the server.

    Raises:
        ConfigurationError: the endpoint is none, the port is taken, or prometheus_client is missing.
    """
    address = parsed(endpoint)
    registry = _registry(families)
    try:
        server = _Server(address, registry)
    except OSError as error:
        raise ConfigurationError(
            f"metrics can't be served at {address.host}:{address.port}: "
            f"{error.strerror or error}; choose another endpoint, or port 0 for any free one"
        ) from error
    return Endpoint(server, address)


def _registry(families: Callable[[], Iterable[Family]]) -> CollectorRegistry:
    try:
        from prometheus_client import CollectorRegistry, Metric, ProcessCollector
        from prometheus_client.registry import Collector
    except ImportError:
        raise ConfigurationError(
            "serving metrics needs prometheus_client: pip install 'bifrost-usd[metrics]'"
        ) from None

    class Families(Collector):
        """Our counters in prometheus_client's words."""

        def collect(self) -> Iterator[Metric]:
            for family in families():
                metric = Metric(family.name, family.text, family.kind)
                for sample in family.samples:
                    metric.add_sample(sample.name, dict(sample.labels), sample.value)
                yield metric

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families())
    ProcessCollector(registry=registry)
    return registry


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens, and serves a bounded number of clients for a bounded time each."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 16

    def __init__(self, address: Address, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._lock = threading.Lock()
        self._visits: dict[socket.socket, float] = {}
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        self.address_family, _, _, _, place = found[0]
        super().__init__(place[:2], _Visit)  # type: ignore[arg-type]  # of IPv6, too

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a client on a thread of its own, or turn it away where too many are served."""
        with self._lock:
            is_welcome = len(self._visits) < _MOST_CLIENTS
            if is_welcome:
                self._visits[request] = monotonic()
        if not is_welcome:
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no more threads to be had
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a client's connection; it is served."""
        with self._lock:
            self._visits.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off who stays too long: a byte now and then keeps a socket from timing out."""
        self._cut_off(monotonic() - _VISIT_S)

    def server_close(self) -> None:
        """Free the port and cut everybody off."""
        super().server_close()
        self._cut_off(float("inf"))

    def abandon(self) -> None:
        """Close this process's copies of the sockets, which another process goes on using."""
        self._lock = threading.Lock()
        visits, self._visits = self._visits, {}
        for each in (self.socket, *visits):
            with contextlib.suppress(OSError):
                each.close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """A client that went away, or was cut off, is nothing to report on stderr."""
        _log.debug("a client of the metrics went away", exc_info=True)

    def _cut_off(self, since: float) -> None:
        with self._lock:
            late = [request for request, began in self._visits.items() if began <= since]
        for request in late:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Visit(BaseHTTPRequestHandler):
    """Answers one request."""

    server: _Server
    timeout = _SILENCE_S
    server_version = "bifrost"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the metrics, or that there is nothing else here."""
        if self.path.partition("?")[0] != PATH:
            self.absent()
            return
        from prometheus_client.exposition import choose_encoder

        encoded, content_type = choose_encoder(self.headers.get("Accept", ""))
        try:
            body = encoded(self.server.registry)
        except Exception:  # noqa: BLE001  whatever collecting trips over is logged, and no metrics
            _log.exception("the metrics could not be collected")
            self._answer(500, "text/plain; charset=utf-8", b"the metrics could not be collected\n")
            return
        self._answer(200, content_type, body)

    def absent(self) -> None:
        """Answer that there is nothing."""
        self._answer(404, "text/plain; charset=utf-8", b"only GET /metrics\n")

    # The base class looks for methods of these names.
    do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = absent  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  named by the base class
        """Keep quiet: each scrape is a line otherwise."""
        _log.debug(format, *args)

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
