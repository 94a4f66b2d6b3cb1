# SPDX-License-Identifier: Apache-2.0
"""
What is in one LMDB store, and the transactions on it.

| key, after the schema's number | value |
|---|---|
| `#…`, `=…`: a physical key (codec.py), the *index* | key of its record |
| `L<number>`: the invalidation *log* | subject |
| `N` | `Numbers`, with a checksum |
| `f…`, `g…`: physical key of a group of subjects | its *floor*: its last number in the log, with a checksum |
| `p…`: a beginning of subjects | its floor, the same |
| `~<ticket>`: a *record* | envelope (codec.py) |

Tickets grow: whatever was stored or used later has the larger one, and records lie in that order.
So the least recently used ones are neighbours: evicting them frees whole pages, where entries
picked from all over one tree leave it as large and merely emptier. And storing appends to full
pages; only the small index is written at random places.

All of it is in the one unnamed database. py-lmdb opens named ones in a write transaction, and that
would make every start of a process wait for whoever is writing.

No LMDB is imported here: transactions and handles are lmdb.py's.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from bifrost.tiers.codec import (
    BEGINNING,
    INDEX,
    INDEX_LONG,
    LOG,
    MAX_BEGINNING,
    MAX_KEY,
    NUMBERS,
    RECORD,
    DamagedError,
    beginning_key,
    floor_key,
    key_of,
    pack,
    physical,
    physical_prefixes,
    unpack,
)
from bifrost.tiers.invalidation import BEGINNINGS_LIMIT, LOG_LIMIT
from bifrost.tiers.tier import SUBJECT_AT, beginning_in, group_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from typing import Any, Final

    from bifrost.tiers.tier import Entry
    from bifrost.tiers.write_behind import Batch

_NUMBERS: Final = Struct(">QQQQ")
_U64: Final = Struct(">Q")
_CRC: Final = Struct(">I")
# A ticket is a time in seconds and a counter, so that a touch costs no clock in the record.
_TICKETS_PER_S: Final = 1 << 24
_LONGEST_LITERAL: Final = MAX_KEY - len(INDEX)
_UNKNOWN: Final = (1 << 64) - 1


class Numbers:
    """
    Where the invalidation log stands.

    Attributes:
        newest: The number of the newest invalidation.
        forgotten: The log begins after it.
        floor: Entries filled below it are outdated, whatever their subject.
        floors: How many groups and beginnings have a floor of their own.
    """

    __slots__ = ("floor", "floors", "forgotten", "newest")

    def __init__(self, newest: int, forgotten: int, floor: int, floors: int = 0) -> None:
        self.newest = newest
        self.forgotten = forgotten
        self.floor = floor
        self.floors = floors


class Reading:
    """What a look-up found: entries, keys whose entry is damaged, keys not used for long."""

    __slots__ = ("aged", "damaged", "hits", "newest")

    def __init__(self, newest: int) -> None:
        self.hits: dict[bytes, Entry] = {}
        self.damaged: list[bytes] = []
        self.aged: list[bytes] = []
        self.newest = newest


def record_key(ticket: int) -> bytes:
    """Return the key of the record with *ticket*."""
    return RECORD + _U64.pack(ticket)


def ticket_at(seconds: float) -> int:
    """Return the first ticket of a moment."""
    return max(0, int(seconds)) * _TICKETS_PER_S


class Records:
    """
    What is in one open environment. Any method may raise `DamagedError`: it can't be trusted.

    Transactions that several methods share see one state of the store.
    """

    def __init__(self, environment: Any) -> None:
        self._database = environment.open_db()
        # The floors of beginnings, as they were when the log's newest number was this one.
        self._beginnings: tuple[int, dict[bytes, int]] = (-1, {})

    def begin(self, txn: Any, newest: int) -> None:
        """Make an empty store usable, its invalidation log starting after number *newest*."""
        self._write(txn, Numbers(newest, newest, newest))

    def numbers(self, txn: Any) -> Numbers:
        """Return where the invalidation log stands."""
        raw = txn.get(NUMBERS)
        if raw is None or len(raw) != _NUMBERS.size + _CRC.size:
            raise DamagedError("it has no invalidation log of ours")
        if raw[_NUMBERS.size :] != _CRC.pack(crc32(raw[: _NUMBERS.size])):
            raise DamagedError("the numbers of its invalidation log are damaged")
        return Numbers(*_NUMBERS.unpack_from(raw))

    def entries(self, txn: Any) -> int:
        """Return how many entries there are."""
        numbers = self.numbers(txn)
        others = 1 + numbers.floors + numbers.newest - numbers.forgotten
        return max(0, int(txn.stat()["entries"]) - others) // 2

    def used_bytes(self, txn: Any) -> int:
        """Return the bytes of all pages in use."""
        found = txn.stat()
        pages: int = found["branch_pages"] + found["leaf_pages"] + found["overflow_pages"]
        return pages * int(found["psize"])

    def oldest(self, txn: Any) -> float | None:
        """Return the time, in seconds, of the least recently used entry; None where there is none."""
        cursor = txn.cursor()
        if not cursor.set_range(RECORD):
            return None
        ticket: int = _U64.unpack_from(cursor.key(), len(RECORD))[0]
        return ticket / _TICKETS_PER_S

    def read(
        self,
        txn: Any,
        keys: Collection[bytes],
        waiting: Mapping[bytes, Entry],
        used_before: bytes = b"",
    ) -> Reading:
        """
        Look *keys* up; take those *waiting* to be stored, too, unless they are outdated.

        Entries whose record's key is below *used_before* are listed as aged.
        """
        numbers = self.numbers(txn)
        newest = numbers.newest
        reading = Reading(newest)
        hits, find = reading.hits, txn.get
        for key, entry in waiting.items():
            if not self._is_outdated(txn, numbers, key, entry.sequence):
                hits[key] = entry
        longest = _LONGEST_LITERAL
        for key in keys:
            place = find(INDEX + key if len(key) <= longest else physical(key))
            if place is None:
                continue
            try:
                entry = unpack(key, find(place))
            except DamagedError:
                reading.damaged.append(key)
                continue
            # Nothing is outdated that was asked for after the newest invalidation: the usual case.
            if entry.sequence != newest and self._is_outdated(txn, numbers, key, entry.sequence):
                continue
            if place < used_before:
                reading.aged.append(key)
            hits[key] = entry
        return reading

    def apply(self, txn: Any, batch: Batch, now: float) -> Numbers:
        """Make the changes of *batch*; return where the invalidation log stands then."""
        try:
            return self._apply(txn, batch, now)
        finally:
            # Should this not be committed, other changes will have the number that we know now.
            self._beginnings = (-1, {})

    def _apply(self, txn: Any, batch: Batch, now: float) -> Numbers:
        numbers = self.numbers(txn)
        if batch.everything or batch.subjects:
            self._note(txn, numbers, None if batch.everything else batch.subjects)
        for prefix in batch.prefixes:
            self._delete_prefix(txn, numbers, prefix)
        for key in batch.deleted:
            self._delete(txn, physical(key))
        ticket = self._next_ticket(txn, now)
        for key in batch.touched:
            place = physical(key)
            record = txn.get(place)
            envelope = None if record is None else txn.get(record)
            if envelope is not None:
                self._append(txn, place, ticket, envelope)
                ticket += 1
        for key, entry in batch.entries.items():
            place = physical(key)
            if self._is_outdated(txn, numbers, key, entry.sequence):
                self._delete(txn, place)
                continue
            self._append(txn, place, ticket, pack(key, entry))
            ticket += 1
        return numbers

    def evict(self, txn: Any, limit: int) -> int:
        """Forget the *limit* least recently used entries; return how many there were."""
        cursor = txn.cursor()
        cursor.set_range(RECORD)
        count = 0
        while count < limit and (record := cursor.key()):
            try:
                place = physical(key_of(cursor.value()))
                if txn.get(place) == record:
                    txn.delete(place)
            except DamagedError:
                pass  # what the index says of it leads nowhere now, and is found out when used
            cursor.set_key(record)
            cursor.delete()
            count += 1
        return count

    def check(self, txn: Any, after: bytes, limit: int) -> tuple[bytes, int, list[bytes]]:
        """
        Check *limit* entries from the place *after* on.

        Return the place to go on from (b"" at the end), how many are sound, and the places of those
        that are not.
        """
        sound = 0
        damaged: list[bytes] = []
        for place, record in self._index(txn, after or INDEX_LONG):
            if limit == 0:
                return place, sound, damaged
            limit -= 1
            if self._is_sound(txn, place, record):
                sound += 1
            else:
                damaged.append(place)
        return b"", sound, damaged

    def forget_places(self, txn: Any, places: Iterable[bytes]) -> None:
        """Forget the entries at *places*, as `check` returned them."""
        for place in places:
            self._delete(txn, place)

    def invalidated_since(self, txn: Any, sequence: int) -> list[bytes] | None:
        """Return the subjects invalidated after number *sequence*; None: nobody knows."""
        numbers = self.numbers(txn)
        if not numbers.forgotten <= sequence <= numbers.newest:
            return None
        logged = range(sequence + 1, numbers.newest + 1)
        subjects = [txn.get(LOG + _U64.pack(number)) for number in logged]
        # A hole would be an invalidation that nobody hears of.
        return None if None in subjects else subjects

    def _is_outdated(self, txn: Any, numbers: Numbers, key: bytes, sequence: int) -> bool:
        if len(key) <= SUBJECT_AT or sequence == numbers.newest:
            return False
        if sequence > numbers.newest:
            # Numbered by the log of a store before this one, when the clock was ahead: no number of
            # this log would ever outdate it.
            return True
        if 0 < sequence < numbers.floor:
            return True
        subject = key[SUBJECT_AT:]
        place = floor_key(group_of(subject))
        raw: bytes | None = txn.get(place)
        if raw is not None and sequence < _number_in(place, raw):
            return True
        return any(
            sequence < floor and subject.startswith(prefix)
            for prefix, floor in self._floors_of_beginnings(txn, numbers.newest).items()
        )

    def _floors_of_beginnings(self, txn: Any, newest: int) -> dict[bytes, int]:
        """Return the floors of beginnings; read again only where something was invalidated since."""
        known_at, floors = self._beginnings
        if known_at != newest:
            floors = {}
            cursor = txn.cursor()
            if cursor.set_range(BEGINNING):
                for place, raw in cursor.iternext():
                    if not place.startswith(BEGINNING):
                        break
                    floors[place.removeprefix(BEGINNING)] = _number_in(place, raw)
            self._beginnings = newest, floors
        return floors

    def _note(self, txn: Any, numbers: Numbers, subjects: Collection[bytes] | None) -> None:
        """Number *subjects*, None: everything, in the log; *numbers* change accordingly."""
        if subjects is None or self._are_too_many(txn, numbers, subjects):
            # Past the limit it is cheaper to begin anew than to look through all entries for those
            # that are outdated.
            txn.drop(self._database, delete=False)
            numbers.newest += 1
            numbers.floor = numbers.forgotten = numbers.newest
            numbers.floors = 0
            subjects = ()
        for subject in subjects:
            numbers.newest += 1
            number = _U64.pack(numbers.newest)
            prefix = beginning_in(subject)
            place = floor_key(group_of(subject)) if prefix is None else beginning_key(prefix)
            numbers.floors += txn.replace(place, _floor(place, number)) is None
            txn.put(LOG + number, subject)
        while numbers.newest - numbers.forgotten > LOG_LIMIT:
            numbers.forgotten += 1
            txn.delete(LOG + _U64.pack(numbers.forgotten))
        self._write(txn, numbers)

    def _are_too_many(self, txn: Any, numbers: Numbers, subjects: Collection[bytes]) -> bool:
        beginnings = {name for name in subjects if beginning_in(name) is not None}
        if beginnings:
            known = self._floors_of_beginnings(txn, numbers.newest)
            longest = max(map(len, beginnings))
            if len(known) + len(beginnings) > BEGINNINGS_LIMIT or longest > MAX_BEGINNING:
                return True
        return numbers.floors + len(subjects) > LOG_LIMIT

    def _write(self, txn: Any, numbers: Numbers) -> None:
        raw = _NUMBERS.pack(numbers.newest, numbers.forgotten, numbers.floor, numbers.floors)
        txn.put(NUMBERS, raw + _CRC.pack(crc32(raw)))

    def _next_ticket(self, txn: Any, now: float) -> int:
        cursor = txn.cursor()
        cursor.last()  # our numbers, if there is no record
        last = cursor.key()
        after_last = _U64.unpack_from(last, len(RECORD))[0] + 1 if last.startswith(RECORD) else 0
        return max(after_last, ticket_at(now))

    def _append(self, txn: Any, place: bytes, ticket: int, envelope: bytes) -> None:
        record = record_key(ticket)
        old = txn.replace(place, record)
        if old is not None and old.startswith(RECORD):
            txn.delete(old)
        if not txn.put(record, envelope, append=True):
            raise DamagedError("its records are out of order")

    def _delete(self, txn: Any, place: bytes) -> None:
        record = txn.pop(place)
        if record is not None and record.startswith(RECORD):
            txn.delete(record)

    def _delete_prefix(self, txn: Any, numbers: Numbers, prefix: bytes) -> None:
        if not prefix:
            self._clear(txn, numbers)
            return
        for beginning, is_exact in physical_prefixes(prefix):
            places = []
            for place, record in self._index(txn, beginning):
                if not place.startswith(beginning):
                    break
                if is_exact or self._starts_with(txn, record, prefix):
                    places.append(place)
            self.forget_places(txn, places)

    def _clear(self, txn: Any, numbers: Numbers) -> None:
        """Forget all entries, and no invalidation: freeing the whole tree is by far the fastest."""
        cursor = txn.cursor()
        cursor.set_range(LOG)
        kept = []
        for key, value in cursor.iternext():
            if key.startswith(RECORD):
                break
            kept.append((key, value))
        txn.drop(self._database, delete=False)
        for key, value in kept:
            txn.put(key, value, append=True)
        self._write(txn, numbers)

    def _index(self, txn: Any, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        cursor = txn.cursor()
        if cursor.set_range(start):
            for place, record in cursor.iternext():
                if place >= LOG:
                    return
                yield place, record

    def _is_sound(self, txn: Any, place: bytes, record: bytes) -> bool:
        try:
            return bool(physical(key_of(txn.get(record, b""))) == place)
        except DamagedError:
            return False

    def _starts_with(self, txn: Any, record: bytes, prefix: bytes) -> bool:
        """Whether the key of a record, too long to be all in the index, starts with *prefix*."""
        try:
            return key_of(txn.get(record, b"")).startswith(prefix)
        except DamagedError:
            return True


def _floor(place: bytes, number: bytes) -> bytes:
    return number + _CRC.pack(crc32(number, crc32(place)))


def _number_in(place: bytes, raw: bytes) -> int:
    """Return the floor at *place*; where it is damaged, one that everything is below."""
    number = raw[: _U64.size]
    if raw != _floor(place, number):
        return _UNKNOWN
    found: int = _U64.unpack(number)[0]
    return found
