# SPDX-License-Identifier: Apache-2.0
"""What a catalogue's URL means. A module apart, so that it is checked without SQLAlchemy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bifrost.errors import ConfigurationError
from bifrost.model.paths import expanded_setting

_SQLITE: Final = "sqlite:///"
_SECRET: Final = ("password=", "sslpassword=")
_SCHEME: Final = re.compile("[a-z][a-z0-9+.-]*://|(postgres|postgresql|sqlite):", re.IGNORECASE)
_POSTGRESQL: Final = ("postgresql://", "postgres://")


def path_of(url: str) -> Path | None:
    """
    Return the file that a catalogue's URL names; None for one of a PostgreSQL server.

    Raises:
        ConfigurationError: it names neither.
    """
    if url.startswith(_POSTGRESQL):
        _check_server(url)
        return None
    path = url.removeprefix(_SQLITE)
    if path == url or not path or path.startswith(":memory:") or "\0" in path:
        raise ConfigurationError(
            f"the catalogue's URL: expected {_SQLITE}<path of a file> or "
            f"postgresql://<user>@<host>/<database>, got {without_password(url)[:200]!r}"
        )
    return expanded_setting("the catalogue's URL", path).absolute()


def without_password(url: str) -> str:
    """Return *url* as it may be shown and logged."""
    # However it is written: a password may have what it should have escaped, and the slashes be forgotten.
    scheme = _SCHEME.match(url)
    begin = scheme.end() if scheme else 0
    end = url.rfind("@", begin, url.find("?") if "@" in url.partition("?")[0] else len(url))
    credentials, rest = (url[begin:end], url[end:]) if end >= 0 else ("", url[begin:])
    place, mark, parameters = rest.partition("?")
    shown = [each for each in parameters.split("&") if not each.startswith(_SECRET)]
    user = credentials.partition(":")[0]
    return f"{url[:begin]}{user}{place}{mark}{'&'.join(shown)}"


def _check_server(url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # whose message has a part of the password where that has a slash
        raise ConfigurationError(
            "the catalogue's URL: its port is no number; '/', '?' and '#' in a user's name or password "
            f"are written %2F, %3F and %23: {without_password(url)[:200]!r}"
        ) from None
    if parts.netloc.count("@") > 1:
        raise ConfigurationError(
            "the catalogue's URL: write '@' in a user's name or password as %40, in "
            f"{without_password(url)[:200]!r}"
        )
    if "\0" in url or not parts.path.strip("/"):
        raise ConfigurationError(
            "the catalogue's URL: expected postgresql://<user>@<host>/<database>, got "
            f"{without_password(url)[:200]!r}"
        )
