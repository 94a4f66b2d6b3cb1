# SPDX-License-Identifier: Apache-2.0
"""
The values of a query: what each kind may be, and the error that says what and where one isn't.

Whatever a document holds, however deep or large, is looked at only as far as it makes sense.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from bifrost.catalogue.query.fields import Kind
from bifrost.catalogue.records import shown, to_microseconds
from bifrost.errors import InvalidQueryException

MAX_TEXT: Final = 10_000
MAX_LIST: Final = 10_000
MAX_INTEGER: Final = 2**63 - 1

_PLAIN_KEY: Final = re.compile(r"\$?[A-Za-z_][A-Za-z0-9_]{0,99}")
_RELATIVE: Final = re.compile(r"now(?:([+-]\d{1,6})([smhdw]))?")
_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}


def at(where: str, key: str | int) -> str:
    """Return the JSON path of *key* in what stands at *where*."""
    if isinstance(key, int):
        return f"{where}[{key}]"
    return f"{where}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{where}[{shown(key)}]"


def invalid(
    where: str, message: str, *, name: str = "", known: Iterable[str] = ()
) -> InvalidQueryException:
    """Return the error about what stands at *where*; *known* are the valid names instead of *name*."""
    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)
    nearest = close[0] if close else ""
    hint = f"; did you mean {nearest!r}?" if nearest else ""
    return InvalidQueryException(
        f"{where}: {message}{hint}", where=where, name=name, nearest=nearest
    )


def unknown(where: str, what: str, name: Any, known: Iterable[str]) -> InvalidQueryException:
    """Return the error about a name at *where* that is none of *known*."""
    if not isinstance(name, str):
        return invalid(where, f"expected the name of {what}, got {described(name)}")
    known = list(known)
    message = f"there is no {what} {shown(name)}; there are {', '.join(known)}"
    return invalid(where, message, name=name[:200], known=known)


def described(value: Any) -> str:
    """Return what *value* is, for a message; never long."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if isinstance(value, int | float):
        # The digits of a number of 100,000 of them are no help, and slow.
        return f"the number {value!r}" if abs(value) < 10**30 else "an enormous number"
    for types, name in _NAMES:
        if isinstance(value, types):
            return name
    return f"a {type(value).__name__}"


_NAMES: Final = ((type(None), "null"), (Mapping, "an object"), ((list, tuple), "a list"))


def as_object(value: Any, where: str) -> Mapping[str, Any]:
    """Return *value*, an object with texts for keys; or raise."""
    if not isinstance(value, Mapping):
        raise invalid(where, f"expected an object, got {described(value)}")
    for key in value:
        if not isinstance(key, str):
            raise invalid(where, f"expected keys that are text, got {described(key)}")
        as_text(key, where)
    return value


def as_list(value: Any, where: str) -> list[Any] | tuple[Any, ...]:
    """Return *value*, a list that isn't too long; or raise."""
    if not isinstance(value, list | tuple):
        raise invalid(where, f"expected a list, got {described(value)}")
    if len(value) > MAX_LIST:
        raise invalid(where, f"at most {MAX_LIST} values, got {len(value)}")
    return value


def as_text(value: Any, where: str) -> str:
    """Return *value*, a text that a database can hold; or raise."""
    if not isinstance(value, str):
        raise invalid(where, f"expected text, got {described(value)}")
    if len(value) > MAX_TEXT:
        raise invalid(where, f"at most {MAX_TEXT} characters, got {len(value)}")
    if "\0" in value:
        raise invalid(where, f"a NUL character in {shown(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise invalid(where, f"not valid Unicode: {shown(value)}") from None
    return value


def as_number(value: Any, where: str) -> float:
    """Return *value*, a finite number of at most 64 bits; or raise. True and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid(where, f"expected a number, got {described(value)}")
    if isinstance(value, int) and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise invalid(where, "expected a number of at most 64 bits, got a larger one")
    if not math.isfinite(value):
        raise invalid(where, f"expected a finite number, got {value}")
    return float(value)


def as_flag(value: Any, where: str) -> bool:
    """Return *value*, true or false; or raise."""
    if not isinstance(value, bool):
        raise invalid(where, f"expected true or false, got {described(value)}")
    return value


def as_integer(value: Any, where: str, most: int) -> int:
    """Return *value*, a whole number from 0 to *most*; or raise."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid(where, f"expected a whole number, got {described(value)}")
    if not 0 <= value <= most:
        raise invalid(where, f"expected a number from 0 to {most}, got {described(value)}")
    return value


def as_date(value: Any, where: str, now: datetime) -> int:
    """
    Return the microseconds since the epoch of *value*; or raise.

    It is ISO 8601 text, a datetime, a date, or `now` with or without a step: `now-7d`. What has no
    zone is UTC, a date without a time is its first moment.
    """
    if isinstance(value, datetime):
        return to_microseconds(value)
    if isinstance(value, date):
        return to_microseconds(datetime(value.year, value.month, value.day))  # noqa: DTZ001  UTC
    expected = "expected a date such as 2025-01-31, 2025-01-31T18:00:00+01:00 or now-7d"
    if not isinstance(value, str):
        raise invalid(where, f"{expected}, got {described(value)}")
    if relative := _RELATIVE.fullmatch(value):
        step, unit = relative.groups()
        back = _UNITS[unit] // timedelta(microseconds=1) * int(step) if step else 0
        return to_microseconds(now) + back
    try:
        return to_microseconds(datetime.fromisoformat(value))
    except ValueError:
        raise invalid(where, f"{expected}, got {described(value)}") from None


def as_value(value: Any, kind: Kind, where: str, now: datetime) -> Any:
    """Return *value* as a field of *kind* is compared with; or raise."""
    if kind is Kind.DATE:
        return as_date(value, where, now)
    if kind is not Kind.ANY:
        return _READERS[kind](value, where)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return as_text(value, where)
    if isinstance(value, int | float):
        return as_number(value, where)
    raise invalid(where, f"expected {kind}, got {described(value)}")


_READERS: Final[dict[Kind, Callable[[Any, str], Any]]] = {
    Kind.TEXT: as_text,
    Kind.TEXTS: as_text,
    Kind.NUMBER: as_number,
    Kind.FLAG: as_flag,
}
