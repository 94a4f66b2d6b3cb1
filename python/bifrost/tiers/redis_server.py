# SPDX-License-Identifier: Apache-2.0
"""What a server is asked, in its own words: keys as groups and fields, and the scripts' arguments."""

from __future__ import annotations

import os

from bifrost.tiers.redis_events import UnreadableError, pack_event, read_look
from bifrost.tiers.redis_line import Line, LineError
from bifrost.tiers.redis_scripts import (
    ANNOUNCE,
    FORGET,
    FORGET_PREFIX,
    LOOK,
    RENEW,
    STORE,
    SWEEP,
)
from bifrost.tiers.tier import SUBJECT_AT, group_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, Final

    from bifrost.tiers.redis_address import Address
    from bifrost.tiers.redis_backlog import Waiting
    from bifrost.tiers.redis_events import Event, Look, Position

_HANDSHAKE_S: Final = 0.5
_FORGOTTEN_AT_ONCE: Final = 1000
_HGET: Final = b"*3\r\n$4\r\nHGET\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
_MEASURES: Final = {
    b"used_memory": "bytes",
    b"maxmemory": "max_bytes",
    b"evicted_keys": "evictions",
}


_DAMAGED: Final = "what it answers is damaged"


class OverError(LineError):
    """The server's epoch is over, or never was: it was cleared, or holds other data now."""


class Server:
    """
    The words for one server and namespace. Any thread, with a line of its own.

    Attributes:
        stream: The name of the stream of events.
        origin: A random id of this process.
        is_renewed: Whether this process began an epoch, so that entries of others may lie about.
    """

    def __init__(self, address: Address, monotonic_clock: Callable[[], float]) -> None:
        self._address = address
        self._monotonic = monotonic_clock
        self._namespace = address.namespace.encode()
        self._meta = self._namespace + b":meta"
        self.stream = self._namespace + b":events"
        self._keys = (self._meta, self.stream)
        self._shelf = b""  # what the names of entries in force begin with, as far as we know
        self.is_renewed = False
        self.after_fork()

    def after_fork(self) -> None:
        """Become another process: what the parent announces is news to the child."""
        self.origin = os.urandom(8)

    def open_line(self) -> Line:
        """
        Connect, and begin a new epoch where the server is in another run than the epoch's.

        Raises:
            Exception: whatever the library raises; `LineError` and `RefusedError`. Without secrets.
        """
        try:
            line = Line(self._address.connect(), self._monotonic)
        except Exception as error:  # noqa: BLE001  whatever the library, TLS or a name service raise
            # Not chained: the library's message may quote what it was given.
            raise LineError(self._address.redacted(error)) from None
        try:
            line.run_id = self._information(line, self._monotonic() + _HANDSHAKE_S)[b"run_id"]
            self.look(line, None, 1, self._monotonic() + _HANDSHAKE_S)
        except KeyError:
            line.close()
            raise LineError("the server says nothing about its run: is it a Redis?") from None
        except BaseException:
            line.close()
            raise
        return line

    def look(self, line: Line, known: Position | None, most: int, deadline: float) -> Look:
        """Return where the history is, and up to *most* events from *known* on."""
        fresh = os.urandom(16).hex().encode()
        since = (b"", b"", b"0-0") if known is None else (known[0], b"%d" % known[1], known[2])
        look = _look(line.run(LOOK, self._keys, (line.run_id, fresh, *since, most), deadline))
        if not isinstance(look.rest, list):
            raise LineError(_DAMAGED)
        self._shelf = b"%b:%b.%b:" % (self._namespace, look.newest.epoch, look.generation)
        self.is_renewed = self.is_renewed or look.newest.epoch == fresh
        return look

    def read(self, line: Line, keys: Sequence[bytes], deadline: float) -> list[Any]:
        """
        Return what is stored under *keys*, None where nothing is, an error where no hash is.

        One round trip; two where the entries were renewed since the last one.

        Raises:
            LineError, OversizedReplyError, OverError.
        """
        while True:
            shelf = self._shelf
            # A pipeline, as a script takes the server five times as long. What tells if all of it
            # was in force comes last: entries go out of force, and never come back.
            packed = [self._hget(shelf, key) for key in keys]
            packed.append(line.pack(b"HMGET", self._meta, b"run_id", b"epoch", b"g"))
            *found, present = line.exchange(b"".join(packed), len(keys) + 1, deadline)
            if not _are_bytes(present) or present[0] != line.run_id:
                raise OverError("it was cleared, or holds other data now")
            self._shelf = b"%b:%b.%b:" % (self._namespace, present[1], present[2])
            if self._shelf == shelf:
                return found

    def store(
        self, line: Line, rows: Sequence[tuple[bytes, bytes, Waiting]], deadline: float
    ) -> int:
        """Store *rows* of key, envelope and entry; return how many were overtaken by an event."""
        dropped = 0
        for epoch in {each.position.epoch for _, _, each in rows}:
            of_epoch = [row for row in rows if row[2].position.epoch == epoch]
            oldest = min((each.position for _, _, each in of_epoch), key=lambda it: it.number)
            arguments: list[bytes | int] = [line.run_id, self._namespace, *oldest]
            for key, envelope, each in of_epoch:
                arguments += (*_split(key), envelope, each.ttl_ms, each.position.number)
            said = line.run(STORE, self._keys, arguments, deadline)
            dropped += said if isinstance(said, int) else 0
        return dropped

    def forget(self, line: Line, keys: Sequence[bytes], deadline: float) -> None:
        """Remove what is stored under *keys*."""
        for start in range(0, len(keys), _FORGOTTEN_AT_ONCE):
            arguments = [line.run_id, self._namespace]
            for key in keys[start : start + _FORGOTTEN_AT_ONCE]:
                arguments += _split(key)
            line.run(FORGET, self._keys, arguments, deadline)

    def forget_prefix(self, line: Line, prefix: bytes, cursor: bytes, deadline: float) -> bytes:
        """Remove some of what starts with *prefix*; return the cursor for the rest, `b"0"`: done."""
        group = group_of(prefix[SUBJECT_AT:])
        arguments = (line.run_id, self._namespace, cursor, group, prefix)
        return _cursor(line.run(FORGET_PREFIX, self._keys, arguments, deadline))

    def renew(self, line: Line, deadline: float) -> None:
        """Put all entries out of reach."""
        line.run(RENEW, self._keys, (line.run_id,), deadline)

    def sweep(self, line: Line, cursor: bytes, deadline: float) -> bytes:
        """Remove some entries that are out of reach; return the cursor for the rest, `b"0"`: done."""
        arguments = (line.run_id, self._namespace, cursor)
        return _cursor(line.run(SWEEP, self._keys, arguments, deadline))

    def announce(self, line: Line, event: Event, deadline: float) -> tuple[Position, bool]:
        """
        Number *event*, tell it and forget what it is about.

        Returns where it is, and whether entries are out of reach now.
        """
        fresh = os.urandom(16).hex().encode()
        groups = dict.fromkeys(map(group_of, event.subjects or ()))
        # A beginning that goes past a group's name means that group, at least.
        groups.update(dict.fromkeys(group_of(text) for text in event.prefixes if b"?" in text))
        prefixes = [text for text in event.prefixes if b"?" not in text]
        is_everything = b"1" if event.subjects is None else b"0"
        packed = pack_event(self.origin, event)
        arguments = (line.run_id, fresh, self._namespace, packed, is_everything, len(prefixes))
        look = _look(line.run(ANNOUNCE, self._keys, (*arguments, *prefixes, *groups), deadline))
        return look.newest, bool(look.rest)

    def measures(self, line: Line | None = None, deadline: float = 0.0) -> dict[str, int]:
        """Return the server's counters; zeros without a *line*."""
        found = dict.fromkeys(("entries", "bytes", "max_bytes", "evictions"), 0)
        if line is None:
            return found
        information = self._information(line, deadline)
        for theirs, ours in _MEASURES.items():
            found[ours] = _number(information.get(theirs, b""))
        found["max_bytes"] = found["max_bytes"] or _number(
            information.get(b"total_system_memory", b"")
        )
        # All that expires: of ours that is the entries, and neither meta nor stream.
        counts = information.get(b"db%d" % self._address.database, b"").split(b",")
        found["entries"] = sum(
            _number(count.partition(b"=")[2]) for count in counts if count.startswith(b"expires=")
        )
        return found

    @staticmethod
    def _information(line: Line, deadline: float) -> dict[bytes, bytes]:
        reply = line.call(deadline, b"INFO")
        if not isinstance(reply, bytes):
            raise LineError(_DAMAGED)
        lines: Iterable[tuple[bytes, bytes, bytes]] = (
            text.strip().partition(b":") for text in reply.splitlines()
        )
        return {name: value for name, _, value in lines}

    @staticmethod
    def _hget(shelf: bytes, key: bytes) -> bytes:
        group, field = _split(key)
        name = shelf + group
        return _HGET % (len(name), name, len(field), field)


def _look(reply: Any) -> Look:
    try:
        return read_look(reply)
    except UnreadableError as error:
        raise LineError(_DAMAGED) from error


def _split(key: bytes) -> tuple[bytes, bytes]:
    """Return the group that *key* is about, and its field there: all else of it."""
    group = group_of(key[SUBJECT_AT:])
    return group, key[:SUBJECT_AT] + key[SUBJECT_AT + len(group) :]


def _are_bytes(reply: Any) -> bool:
    return isinstance(reply, list) and all(isinstance(each, bytes) for each in reply)


def _cursor(reply: Any) -> bytes:
    if not (isinstance(reply, bytes) and reply.isdigit()):
        raise LineError(_DAMAGED)
    return reply


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
