# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that misbehaves on request: for tests of whatever talks to a server."""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import suppress
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

_HOST: Final = "127.0.0.1"
_READ: Final = 1 << 16
_MOST_HELD: Final = 1 << 20
_CONNECT_S: Final = 5.0
_TICK_S: Final = 0.01
Mode = Literal["pass", "delay", "trickle", "stall", "garble", "refuse"]


class FaultyProxy:
    """
    Forwards connections to a server, as well or badly as it is told to, on a thread of its own.

    A mode holds for connections that are open, and for new ones, until there is another. Safe from
    any thread. A context manager.

    Args:
        host: The server's.
        port: The server's.
        clock: Seconds, monotonic.

    Attributes:
        port: Where to connect to, on the loopback interface.
        accepted: How many connections there were.
        requests: How often something arrived for the server. A client that waits for each reply
            before it sends the next request is counted right: round trips.
    """

    def __init__(
        self, host: str, port: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._target = (host, port)
        self._clock = clock
        self._lock = Lock()
        self._mode: Mode = "pass"
        self._amount = 0.0
        self._rng: Random | None = None
        self._cut_after: int | None = None
        self._is_closing = False
        self._pairs: list[_Pair] = []
        self.accepted = self.requests = 0
        self._listener = socket.create_server((_HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        # Tells the thread that something changed; it waits in a selector.
        self._wake_here, self._wake_there = socket.socketpair()
        for each in (self._listener, self._wake_here, self._wake_there):
            each.setblocking(False)
        self._thread = Thread(target=self._run, name="faulty-proxy", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def pass_on(self) -> None:
        """Forward everything at once, also what was held back."""
        self._set("pass")

    def delay(self, seconds: float) -> None:
        """Forward replies that much later."""
        self._set("delay", seconds)

    def trickle(self, bytes_per_s: float) -> None:
        """Forward replies a byte at a time."""
        self._set("trickle", bytes_per_s)

    def stall(self) -> None:
        """Accept connections, and forward nothing in either direction."""
        self._set("stall")

    def garble(self, rng: Random, share: float = 0.1) -> None:
        """Flip a bit in about *share* of all bytes of replies, by *rng*."""
        self._set("garble", share, rng)

    def refuse(self) -> None:
        """Close all connections, and every new one at once."""
        self._set("refuse")
        self.cut()

    def cut(self) -> None:
        """Close all connections now. New ones are as good as the mode."""
        self.cut_after(0)

    def cut_after(self, size: int) -> None:
        """Close all connections when *size* more bytes of replies have been forwarded, in all."""
        with self._lock:
            self._cut_after = size
        self._wake()

    def close(self) -> None:
        """Close everything, and end the thread."""
        self._is_closing = True
        self._wake()
        self._thread.join(10)

    def _set(self, mode: Mode, amount: float = 0.0, rng: Random | None = None) -> None:
        with self._lock:
            self._mode, self._amount, self._rng = mode, amount, rng
        self._wake()

    def _wake(self) -> None:
        with suppress(OSError):  # it is closed, or awake
            self._wake_there.send(b"!")

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            while not self._is_closing:
                self._register(selector)
                for key, _ in selector.select(_TICK_S if self._is_holding() else 0.2):
                    self._take(key.fileobj, key.data)
                self._forward()
                for watched in list(selector.get_map().values()):
                    selector.unregister(watched.fileobj)
        for pair in self._pairs:
            pair.close()
        for each in (self._listener, self._wake_here, self._wake_there):
            each.close()

    def _register(self, selector: selectors.BaseSelector) -> None:
        selector.register(self._listener, selectors.EVENT_READ)
        selector.register(self._wake_here, selectors.EVENT_READ)
        if self._mode == "stall":
            return
        for pair in self._pairs:
            if len(pair.to_server) < _MOST_HELD and not pair.client_is_done:
                selector.register(pair.client, selectors.EVENT_READ, pair)
            if len(pair.to_client) < _MOST_HELD and not pair.server_is_done:
                selector.register(pair.server, selectors.EVENT_READ, pair)

    def _is_holding(self) -> bool:
        return any(pair.to_client or pair.to_server for pair in self._pairs)

    def _take(self, ready: object, pair: _Pair | None) -> None:
        if ready is self._wake_here:
            self._wake_here.recv(_READ)
        elif ready is self._listener:
            self._accept()
        elif pair is not None and ready is pair.client:
            self.requests += pair.read_request()
        elif pair is not None:
            pair.read_reply(self._clock())

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # it hung up before its turn
        self.accepted += 1
        if self._mode == "refuse":
            client.close()
            return
        try:
            server = socket.create_connection(self._target, _CONNECT_S)
        except OSError:
            client.close()
            return
        self._pairs.append(_Pair(client, server, self._clock()))

    def _forward(self) -> None:
        with self._lock:
            mode, amount, rng, cut_after = self._mode, self._amount, self._rng, self._cut_after
        now = self._clock()
        for pair in self._pairs if mode != "stall" else ():
            pair.write_requests()
            allowed = pair.allowed(mode, amount, now)
            if mode == "garble" and rng is not None:
                pair.garble(allowed, amount, rng)
            left = allowed if cut_after is None else min(allowed, cut_after)
            sent = pair.write_replies(left, now)
            if cut_after is not None:
                cut_after -= sent
        if cut_after is not None:
            self._note_cut(cut_after)
        for pair in [pair for pair in self._pairs if pair.is_over]:
            pair.close()
            self._pairs.remove(pair)

    def _note_cut(self, left: int) -> None:
        with self._lock:
            self._cut_after = left if left > 0 else None
        if left <= 0:
            for pair in self._pairs:
                pair.is_over = True


class _Pair:
    """A client's connection and the one to the server that is its other half."""

    def __init__(self, client: socket.socket, server: socket.socket, now: float) -> None:
        self.client, self.server = client, server
        for each in (client, server):
            each.setblocking(False)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.to_server = bytearray()
        self.to_client = bytearray()
        self.is_over = self.client_is_done = self.server_is_done = False
        self._arrivals: list[tuple[float, int]] = []  # when, how many bytes
        self._trickled_at = now
        self._garbled = 0  # how many of the bytes for the client have had their chance

    def read_request(self) -> int:
        """Read from the client; how many times something came."""
        data = _read(self.client)
        self.client_is_done = data == b""
        self.to_server += data or b""
        return int(bool(data))

    def read_reply(self, now: float) -> None:
        """Read from the server."""
        data = _read(self.server)
        self.server_is_done = data == b""
        if data:
            self.to_client += data
            self._arrivals.append((now, len(data)))

    def write_requests(self) -> None:
        """Send to the server what it will take."""
        del self.to_server[: self._written(self.server, self.to_server)]
        if self.client_is_done and not self.to_server:
            self.is_over = True

    def allowed(self, mode: Mode, amount: float, now: float) -> int:
        """Return how many bytes of replies may go on now."""
        if mode == "delay":
            return sum(size for arrived, size in self._arrivals if arrived + amount <= now)
        if mode == "trickle":
            return min(1, int((now - self._trickled_at) * amount))
        return len(self.to_client)

    def garble(self, size: int, share: float, rng: Random) -> None:
        """Flip a bit in *share* of the next *size* bytes for the client, each byte judged once."""
        for place in range(self._garbled, size):
            if rng.random() < share:
                self.to_client[place] ^= 1 << rng.randrange(8)
        self._garbled = max(size, self._garbled)

    def write_replies(self, allowed: int, now: float) -> int:
        """Send to the client up to *allowed* bytes; return how many went."""
        sent = self._written(self.client, self.to_client[:allowed])
        self._garbled = max(0, self._garbled - sent)
        del self.to_client[:sent]
        self._note_gone(sent)
        if sent:
            self._trickled_at = now
        if self.server_is_done and not self.to_client:
            self.is_over = True
        return sent

    def close(self) -> None:
        """Close both halves, dropping what is on its way."""
        self.client.close()
        self.server.close()

    def _note_gone(self, size: int) -> None:
        while size and self._arrivals:
            arrived, held = self._arrivals[0]
            gone = min(size, held)
            size -= gone
            if gone == held:
                del self._arrivals[0]
            else:
                self._arrivals[0] = (arrived, held - gone)

    def _written(self, to: socket.socket, data: bytearray) -> int:
        if not data:
            return 0
        try:
            return to.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.is_over = True
            return 0


def _read(from_: socket.socket) -> bytes | None:
    """Return what is there; empty: nothing will come any more; None: nothing now."""
    try:
        return from_.recv(_READ)
    except BlockingIOError:
        return None
    except OSError:
        return b""
