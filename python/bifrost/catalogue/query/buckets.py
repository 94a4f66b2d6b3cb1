# SPDX-License-Identifier: Apache-2.0
"""
Days, weeks, months and years of a zone, as integers that a database computes from a time.

SQLite knows no zones, so what it is given are the moments at which the zone's clocks change, or at
which its months begin, between the first time there is and the last.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import sqlalchemy as sa

from bifrost.catalogue.query.values import as_text, invalid, unknown
from bifrost.catalogue.records import from_microseconds, shown, to_microseconds

BUCKETS: Final = ("day", "week", "month", "year")
_DAY: Final = 86_400_000_000
_WEEK: Final = 7
# Added to days since the epoch, that was a Thursday: never negative, and 0 was a Monday.
_BASE: Final = 3 + 7 * 110_000
_MAX_YEARS: Final = 300


class Bucket(NamedTuple):
    """A calendar's division: one of `BUCKETS`, in a zone."""

    unit: str
    zone: tzinfo


def read_bucket(unit: Any, zone: Any, where: str) -> Bucket:
    """
    Return the bucket called *unit* in the zone called *zone*.

    Raises:
        InvalidQueryException: there is no such bucket, or no such zone.
    """
    if not isinstance(unit, str) or unit not in BUCKETS:
        raise unknown(f"{where}.bucket", "bucket", unit, BUCKETS)
    return Bucket(unit, _zone(zone, f"{where}.timezone"))


def _zone(name: Any, where: str) -> tzinfo:
    text = as_text(name, where)
    if text == "UTC":
        return UTC
    try:
        return ZoneInfo(text)
    except (OSError, ValueError, KeyError):
        message = f"there is no time zone {shown(text)}; they are named like Europe/Berlin"
        raise invalid(where, message, name=text[:200], known=available_timezones()) from None


def number(
    column: sa.ColumnElement[int], bucket: Bucket, first: int, last: int, where: str
) -> sa.ColumnElement[int]:
    """
    Return the number of the bucket that the time *column* is in.

    Args:
        column: Microseconds since the epoch.
        bucket: Which division.
        first: No time of the column is before this,
        last: and none after this.
        where: The bucket's place in the query.

    Raises:
        InvalidQueryException: there are too many years between *first* and *last*.
    """
    if (last - first) // _DAY > _MAX_YEARS * 366:
        raise invalid(where, f"the dates of the catalogue are more than {_MAX_YEARS} years apart")
    if bucket.unit in {"month", "year"}:
        starts = list(_starts(bucket, from_microseconds(first), from_microseconds(last)))
        return _chosen(column, [us for us, _ in starts], [number for _, number in starts])
    changes = _offsets(bucket.zone, first, last)
    offset = _chosen(column, [us for us, _ in changes], [offset for _, offset in changes])
    days = (column + offset + _BASE * _DAY) // _DAY
    return days if bucket.unit == "day" else days // _WEEK


def label(bucket: Bucket, number: int) -> str:
    """Return what results call a bucket: its first day, `2025-01` for a month, `2025` for a year."""
    if bucket.unit == "year":
        return f"{number:04d}"
    if bucket.unit == "month":
        return f"{number // 12:04d}-{number % 12 + 1:02d}"
    days = number * _WEEK if bucket.unit == "week" else number
    return from_microseconds((days - _BASE) * _DAY).date().isoformat()


def _chosen(
    column: sa.ColumnElement[int], starts: Sequence[int], values: Sequence[int]
) -> sa.ColumnElement[int]:
    """Return that one of *values* whose start is the last one not after *column*; by bisection."""
    if len(values) == 1:
        return sa.literal(values[0], sa.BigInteger)
    middle = len(values) // 2
    return sa.case(
        (
            column < sa.literal(starts[middle], sa.BigInteger),
            _chosen(column, starts[:middle], values[:middle]),
        ),
        else_=_chosen(column, starts[middle:], values[middle:]),
    )


def _starts(bucket: Bucket, first: datetime, last: datetime) -> Iterator[tuple[int, int]]:
    """Yield when each month or year begins, and its number."""
    year, month = first.astimezone(bucket.zone).year, first.astimezone(bucket.zone).month
    end = last.astimezone(bucket.zone)
    step = 1 if bucket.unit == "month" else 12
    index = year * 12 + (month - 1 if step == 1 else 0)
    while index <= end.year * 12 + end.month - 1:
        start = datetime(index // 12, index % 12 + 1, 1, tzinfo=bucket.zone)
        yield to_microseconds(start), index if step == 1 else index // 12
        index += step


def _offsets(zone: tzinfo, first: int, last: int) -> list[tuple[int, int]]:
    """Return when the zone's offset from UTC changes, and to what; *first* stands for before."""
    changed = (
        _change(zone, day, day + _DAY)
        for day in range(first, last + _DAY, _DAY)
        if _offset(zone, day + _DAY) != _offset(zone, day)
    )
    return [(first, _offset(zone, first)), *changed]


def _change(zone: tzinfo, before: int, after: int) -> tuple[int, int]:
    offset = _offset(zone, before)

    def is_changed(second: int) -> bool:
        return _offset(zone, second * 1_000_000) != offset

    seconds = range(before // 1_000_000, after // 1_000_000 + 2)
    second = seconds[bisect.bisect_left(seconds, True, key=is_changed)]
    return second * 1_000_000, _offset(zone, second * 1_000_000)


def _offset(zone: tzinfo, microseconds: int) -> int:
    offset = from_microseconds(microseconds).astimezone(zone).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)
