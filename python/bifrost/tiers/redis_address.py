# SPDX-License-Identifier: Apache-2.0
"""Where a Redis server is, as a URL says, and how to connect to it without ever showing a secret."""

from __future__ import annotations

from bifrost.errors import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final
    from urllib.parse import SplitResult

_SCHEMES: Final = {
    "redis": "redis",
    "rediss": "rediss",
    "unix": "unix",
    "valkey": "redis",
    "valkeys": "rediss",
}
_TLS_OPTIONS: Final = frozenset(
    {"ssl_ca_certs", "ssl_cert_reqs", "ssl_certfile", "ssl_check_hostname", "ssl_keyfile"}
)
_CONNECT_S: Final = 0.5
"""For a step of connecting. It may be long: a thread waits for it that no request waits for."""
_HIDDEN: Final = "***"


class Address:
    """
    A server, one of its databases, and the namespace of our keys there.

    `str()` of it has neither user, password nor options, so that it may be logged.

    Attributes:
        namespace: What our keys start with: letters, digits, `_`, `-` and `.` only.
        database: The number of the database.

    Raises:
        ConfigurationError: this is no URL of a Redis server, or `redis` is not installed.
    """

    def __init__(self, url: str) -> None:
        from urllib.parse import parse_qsl, unquote

        parts, self._port = _split(url)
        self._scheme = _SCHEMES[parts.scheme]
        self._host = parts.hostname or "localhost"
        self._username = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.namespace = _namespace(options.pop("namespace", "bifrost"))
        is_unix = self._scheme == "unix"
        self._path = unquote(parts.path) if is_unix else ""
        self.database = _database(options.pop("db", "" if is_unix else parts.path.strip("/")))
        self._options = _tls_options(options) if self._scheme == "rediss" else {}
        if unknown := set(options) - set(self._options):
            raise ConfigurationError(
                f"the shared cache's URL has an unknown option {min(unknown)!r}: "
                f"'db' and 'namespace' are known, and with rediss:// {', '.join(sorted(_TLS_OPTIONS))}"
            )
        self._secrets = tuple(
            {secret for secret in (parts.password or "", self._password) if secret}
        )
        _require_redis()

    def __str__(self) -> str:
        place = self._path or f"{self._host}:{self._port}/{self.database}"
        return f"{self._scheme}://{place}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def redacted(self, text: object) -> str:
        """Return *text* without the password."""
        said = str(text)
        for secret in self._secrets:
            said = said.replace(secret, _HIDDEN)
        return said

    def connect(self) -> Any:
        """
        Return a new, authenticated `redis` connection. Blocks for as long as the name service does.

        Raises:
            redis.RedisError, OSError: the server could not be reached, or refuses.
        """
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        arguments: dict[str, Any] = {
            "db": self.database,
            "username": self._username or None,
            "password": self._password or None,
            "socket_timeout": _CONNECT_S,
            "socket_connect_timeout": _CONNECT_S,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "driver_info": None,  # saves two round trips
            **self._options,
        }
        connection: Any
        if self._scheme == "unix":
            kind: Any = redis.UnixDomainSocketConnection
            connection = kind(path=self._path, **arguments)
        else:
            kind = redis.SSLConnection if self._scheme == "rediss" else redis.Connection
            connection = kind(host=self._host, port=self._port, socket_keepalive=True, **arguments)
        connection.connect()
        return connection


def _split(url: str) -> tuple[SplitResult, int]:
    """Return the parts of *url*, and the port."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Not chained: what `urllib` says may quote a password that has a bracket or a slash in it.
        raise ConfigurationError(
            "the shared cache's URL is malformed: expected redis://HOST:PORT/DATABASE, "
            "with special characters in the password written as %XX"
        ) from None
    if parts.scheme not in _SCHEMES:
        raise ConfigurationError(
            "the shared cache's URL: expected redis://, rediss://, valkey:// or unix://, "
            f"got {parts.scheme + '://' if parts.netloc else 'no such beginning'}"
        )
    if parts.scheme == "unix" and not parts.path.strip("/"):
        raise ConfigurationError("the shared cache's URL: expected unix:///PATH/OF/THE/SOCKET")
    return parts, port or 6379


def _namespace(text: str) -> str:
    """Return *text* if it may begin keys: it must mean nothing in a pattern."""
    kept = text.replace("_", "").replace("-", "").replace(".", "")
    if not (kept.isascii() and kept.isalnum() and len(text) <= 64):
        raise ConfigurationError(
            f"the shared cache's namespace {text!r}: expected at most 64 letters, digits, _, - and ."
        )
    return text


def _database(text: str) -> int:
    if text and not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ConfigurationError("the shared cache's URL: the database is not a number")
    return int(text or 0)


def _tls_options(options: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {name: options[name] for name in _TLS_OPTIONS & set(options)}
    if "ssl_check_hostname" in found:
        found["ssl_check_hostname"] = found["ssl_check_hostname"].lower() not in {
            "0", "f", "false", "n", "no", "",
        }  # fmt: skip
    return found


def _require_redis() -> None:
    # Looking for it, not importing: that takes a tenth of a second.
    from importlib.util import find_spec

    if find_spec("redis") is None or find_spec("hiredis") is None:
        raise ConfigurationError(
            "a cache on a Redis server needs redis and hiredis: pip install 'bifrost-usd[redis]'"
        )
