# SPDX-License-Identifier: Apache-2.0
"""What changed, as the processes of a studio tell each other through a server's stream."""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

from bifrost.tiers.invalidation import Names
from bifrost.tiers.tier import SUBJECT_AT, beginning_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

MAX_SUBJECTS: Final = 4_000
"""Subjects of one event; a larger one is told as "everything"."""
MAX_PREFIXES: Final = 100
_MAX_NUMBER: Final = 2**63
_CHECKSUM: Final = 4


class Event(NamedTuple):
    """
    An invalidation.

    Attributes:
        subjects: What changed, each with all of its group; None: assume everything.
        prefixes: Everything whose subject starts so changed, too.
        before: The catalogue's change number before the change; 0: unknown.
        after: The catalogue's change number after it; 0: unknown.
    """

    subjects: tuple[bytes, ...] | None
    prefixes: tuple[bytes, ...] = ()
    before: int = 0
    after: int = 0

    def bounded(self) -> Event:
        """Return this, or "everything" where it names too much to be told one by one."""
        if self.subjects is None:
            return Event(None, (), self.before, self.after)
        if (
            len(self.subjects) > MAX_SUBJECTS
            or len(self.prefixes) > MAX_PREFIXES
            or b"" in self.prefixes
        ):
            return Event(None, (), self.before, self.after)
        return self

    def names(self) -> Names | None:
        """Return what this outdates, to look subjects up in; None: every subject."""
        if self.subjects is None:
            return None
        return Names((*self.subjects, *map(beginning_with, self.prefixes)))


def covers(names: Names | None, key: bytes) -> bool:
    """Whether what is stored under *key* is about one of *names*, None: about anything."""
    return names is None or (len(key) > SUBJECT_AT and names.covers(key[SUBJECT_AT:]))


class Position(NamedTuple):
    """
    A point in the history of invalidations.

    Attributes:
        epoch: Which history.
        number: How many invalidations came before.
        place: The stream's own name of the last of them.
    """

    epoch: bytes
    number: int
    place: bytes


class Told(NamedTuple):
    """
    An event as it was read from the stream.

    Attributes:
        position: Where one is having applied it.
        origin: The random id of the process that announced it.
        event: What changed.
    """

    position: Position
    origin: bytes
    event: Event


class UnreadableError(ValueError):
    """These bytes are none of ours, or damaged."""


def pack_event(origin: bytes, event: Event) -> bytes:
    """Return *event* as bytes: a CRC-32 of all that follows, and MessagePack that Lua reads, too."""
    from msgpack import packb  # not every process has news

    subjects = None if event.subjects is None else list(event.subjects)
    fields = [origin, subjects, list(event.prefixes), event.before, event.after]
    # Without the type for bytes, which the servers' MessagePack does not know.
    body: bytes = packb(fields, use_bin_type=False)
    return crc32(body).to_bytes(_CHECKSUM, "little") + body


def read_told(epoch: bytes, raw: Any) -> Told:
    """
    Return the event that *raw*, an element of what XRANGE answers, holds.

    Raises:
        UnreadableError: it holds none.
    """
    try:
        place, (name, number, payload_name, payload) = raw
        if name != b"n" or payload_name != b"d" or not _are_bytes([place, number, payload]):
            raise UnreadableError("not an event")
        return Told(Position(epoch, int(number), place), *unpack_event(payload))
    except (TypeError, ValueError) as error:
        raise UnreadableError(str(error)) from error


def unpack_event(payload: bytes) -> tuple[bytes, Event]:
    """
    Return the origin and the event that `pack_event` made *payload* of.

    Raises:
        UnreadableError: it did not, or bits flipped since.
    """
    from msgpack import unpackb

    body = payload[_CHECKSUM:]
    if crc32(body).to_bytes(_CHECKSUM, "little") != payload[:_CHECKSUM]:
        raise UnreadableError("checksum differs")
    try:
        origin, subjects, prefixes, before, after = unpackb(body, raw=True)
    except Exception as error:  # whatever the library raises for bytes that are no MessagePack
        raise UnreadableError(str(error)) from error
    if not (
        isinstance(origin, bytes)
        and (subjects is None or _are_bytes(subjects))
        and _are_bytes(prefixes)
        and _is_number(before)
        and _is_number(after)
    ):
        raise UnreadableError("not the fields of an event")
    return origin, Event(
        None if subjects is None else tuple(subjects), tuple(prefixes), before, after
    )


def _are_bytes(values: Sequence[Any]) -> bool:
    return isinstance(values, list) and all(isinstance(value, bytes) for value in values)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_NUMBER


class Look(NamedTuple):
    """
    What the server said about the present, all at one moment.

    Attributes:
        newest: Where the history is.
        generation: The entries in force.
        rest: What XRANGE found since the position asked about, or what else was asked.
    """

    newest: Position
    generation: bytes
    rest: Any


def read_look(reply: Any) -> Look:
    """
    Return what a script replied that says where the history is.

    Raises:
        UnreadableError: bits flipped on the way.
    """
    from hashlib import sha1

    try:
        *said, seal, rest = reply
        if sha1(b"|".join(said), usedforsecurity=False).hexdigest().encode() != seal:
            raise UnreadableError("checksum differs")
        epoch, number, generation, place = said
        return Look(Position(epoch, int(number), place), generation, rest)
    except (TypeError, ValueError) as error:
        raise UnreadableError(str(error)) from error
