# SPDX-License-Identifier: Apache-2.0
"""
One connection to a Redis server on which nothing takes longer than its caller allows.

`redis` connects, negotiates TLS and authenticates. From then on the bytes go through `hiredis`
here, for two reasons: its timeouts are for each read, so that a server which trickles bytes is
waited for without end; and a reply costs it some microseconds, more than a look-up has.
"""

from __future__ import annotations

from bifrost.tiers.redis_scripts import Script

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

MAX_REPLY: Final = 4 << 20
"""Bytes of one reply, beyond which it is none of ours."""
_READ: Final = 1 << 16


class LineError(Exception):
    """The connection is of no use any more: cut, too slow, or not speaking Redis."""


class OversizedReplyError(Exception):
    """
    A reply is larger than any of ours. The line is of no use any more, the server may well be.

    Attributes:
        place: Which of the replies, from 0.
    """

    def __init__(self, place: int) -> None:
        super().__init__(f"a reply is larger than {MAX_REPLY} bytes")
        self.place = place


class RefusedError(Exception):
    """The server answered with an error. The connection is as good as before."""


class Line:
    """
    A connection. For one thread at a time; only `abort` may be called from others.

    Args:
        connection: A connected `redis` connection, which this owns from now on.
        monotonic_clock: Seconds; deadlines are times of it.
    """

    def __init__(self, connection: Any, monotonic_clock: Callable[[], float]) -> None:
        import hiredis

        self._connection = connection
        # The library offers no other way to a deadline over several reads.
        self._socket = connection._sock  # noqa: SLF001
        self._monotonic = monotonic_clock
        self._buffer = bytearray(_READ)
        self._missing = object()
        self._reader: Any = hiredis.Reader(notEnoughData=self._missing)
        self._pack: Any = hiredis.pack_command
        self.run_id = b""
        """The server's id of this run of it; set by who opened the line."""
        self.stamp = 0
        """For whoever lends lines out: which of its generations this one is of."""

    def exchange(self, packed: bytes, replies: int, deadline: float) -> list[Any]:
        """
        Send *packed* commands and return the *replies* to them, errors as exceptions among them.

        Raises:
            LineError: not all arrived by the *deadline*. The line is of no use any more.
            OversizedReplyError: one of them is too large.
        """
        import hiredis

        found: list[Any] = []
        try:
            self._send(packed, deadline)
            self._receive(found, replies, deadline)
        except (OSError, ValueError, hiredis.HiredisError) as error:
            raise LineError(_said(error)) from error
        return found

    def call(self, deadline: float, *arguments: bytes | str | int) -> Any:
        """
        Return the reply to one command.

        Raises:
            LineError: there was none by the *deadline*.
            RefusedError: it is an error.
        """
        try:
            (reply,) = self.exchange(self.pack(*arguments), 1, deadline)
        except OversizedReplyError as error:
            raise LineError(str(error)) from error
        if isinstance(reply, Exception):
            raise RefusedError(str(reply))
        return reply

    def run(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[bytes | str | int],
        deadline: float,
    ) -> Any:
        """
        Return what *script* returns; the server learns it where it doesn't know it.

        Raises:
            LineError, RefusedError: as for `call`.
        """
        try:
            return self.call(deadline, "EVALSHA", script.digest, len(keys), *keys, *arguments)
        except RefusedError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return self.call(deadline, "EVAL", script.source, len(keys), *keys, *arguments)

    def pack(self, *arguments: bytes | str | int) -> bytes:
        """Return a command as bytes."""
        packed: bytes = self._pack(arguments)
        return packed

    def abort(self) -> None:
        """Wake up the thread that waits for a reply, with a `LineError`. From any thread."""
        import socket
        from contextlib import suppress

        with suppress(OSError):  # it is gone already
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection. In a forked child the parent's goes on."""
        self._connection.disconnect()

    def _send(self, packed: bytes, deadline: float) -> None:
        self._socket.settimeout(self._left(deadline))
        self._socket.sendall(packed)

    def _receive(self, found: list[Any], replies: int, deadline: float) -> None:
        reader, missing = self._reader, self._missing
        received = 0
        while len(found) < replies:
            reply = reader.gets()
            if reply is not missing:
                found.append(reply)
                received = 0
                continue
            if received > MAX_REPLY:
                raise OversizedReplyError(len(found))
            self._socket.settimeout(self._left(deadline))
            size = self._socket.recv_into(self._buffer)
            if not size:
                raise ConnectionResetError("the server closed the connection")
            reader.feed(self._buffer, 0, size)
            received += size

    def _left(self, deadline: float) -> float:
        left = deadline - self._monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left


def _said(error: Exception) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)
