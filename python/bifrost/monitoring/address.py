# SPDX-License-Identifier: Apache-2.0
"""Where metrics are served: `HOST:PORT`."""

from __future__ import annotations

from typing import Final, NamedTuple

from bifrost.errors import ConfigurationError

LOOPBACK: Final = "127.0.0.1"
PATH: Final = "/metrics"
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared with, not bound to


class Address(NamedTuple):
    """A host and a port; port 0 is any free one."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """The URL of the metrics there, for a client on this machine."""
        host = "localhost" if self.host in _EVERYWHERE else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}{PATH}"


def parsed(endpoint: str) -> Address:
    """
    Return the address that *endpoint* names: `HOST:PORT`, `:PORT` or `PORT`.

    Without a host it is the loopback interface. The URL of an endpoint is taken, too.

    Raises:
        ConfigurationError: it names none.
    """
    text = str(endpoint).strip()
    place = text.removeprefix("http://").removesuffix("/").removesuffix(PATH)
    host, colon, port = place.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if is_bracketed:
        host = host[1:-1]
    is_host = not set(host) & set("/@[]? ") and (is_bracketed or ":" not in host)
    if not (is_host and host.isascii() and port.isascii() and port.isdigit()) or (
        host and not colon
    ):
        raise ConfigurationError(
            f"metrics endpoint: expected HOST:PORT or :PORT (an IPv6 address in brackets), got {text!r}"
        )
    if len(port) > 5 or int(port) > 65_535:
        raise ConfigurationError(f"metrics endpoint: expected a port from 0 to 65535, got {text!r}")
    return Address(host or LOOPBACK, int(port))
