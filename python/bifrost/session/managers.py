# SPDX-License-Identifier: Apache-2.0
"""The managers of a session, made when they are first asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bifrost.errors import BifrostError, Code
from bifrost.forks import GATE
from bifrost.model.entity_reference import MANAGER
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.settings import Settings

if TYPE_CHECKING:
    from bifrost.assetio import AssetioManager
    from bifrost.manager import BifrostManagerInterface


class LazyManager:
    """
    A manager's handler. OpenAssetIO is not even imported while nobody asks.

    No fork comes between while it and the manager's modules are imported: a child would wait for ever for
    a thread of its parent's to be done with that.

    Args:
        make: Makes and initialises the OpenAssetIO manager.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child: a manager has threads and connections of its own."""
        self._lock = threading.Lock()
        self._handler: AssetioManager | None = None

    @property
    def round_trips(self) -> int:
        """How often the manager was called."""
        return self._handler.round_trips if self._handler is not None else 0

    @property
    def identifier(self) -> str:
        """The manager's identifier; "" while it has not been started."""
        return self._handler.identifier if self._handler is not None else ""

    def open(self) -> AssetioManager:
        """Return the handler, which makes the manager itself when it is asked."""
        if self._handler is not None:
            return self._handler
        with GATE.inside(), self._lock:
            if self._handler is None:
                from bifrost.assetio import AssetioManager

                self._handler = AssetioManager(self._made)
            return self._handler

    def _made(self) -> Any:
        with GATE.inside():
            return self._make()

    def handle(self, request: Request) -> Reply:
        """Ask the manager, in one call however many references."""
        try:
            return self.open().handle(request)
        except BifrostError as error:
            # A configuration that can't work fails each element, and says why.
            return Reply.of(request, Failure(Code.UNKNOWN, error.message))


def identity(settings: Settings) -> str:
    """
    Return what tells this manager's answers from another's, without starting it.

    For a foreign manager that is its config file, content and all: two libraries behind one plugin
    are two managers to a cache. Who signs what is cached and who doesn't have nothing in common there:
    one can't read the other's.
    """
    return f"{_answering(settings)} signed" if settings.cache.key_file else _answering(settings)


def _answering(settings: Settings) -> str:
    config = settings.manager_config
    if not config:
        return f"{MANAGER} {settings.catalogue_url}"
    path = Path(config).absolute()
    try:
        content = path.read_bytes()
    except OSError:
        return config  # an identifier, which is the same wherever the process stands
    return f"{path} {blake2b(content, digest_size=16).hexdigest()}"


def own_manager(
    settings: Settings, on_published: Callable[[Iterable[str]], None]
) -> tuple[Any, BifrostManagerInterface]:
    """
    Return our own OpenAssetIO manager, initialised, and the interface behind it.

    Raises:
        ConfigurationError: it can't start.
    """
    from bifrost import assetio
    from bifrost.manager import BifrostManagerInterface
    from bifrost.manager.settings import implied

    interface = BifrostManagerInterface(on_published)
    manager = assetio.manager_from_interface(interface, implied(settings))
    return manager, interface


def foreign_manager(named: str) -> Any:
    """
    Return the initialised manager that *named* means: an OpenAssetIO config file, or an identifier.

    Raises:
        ConfigurationError: it can't be made; says why.
    """
    from bifrost import assetio

    if Path(named).suffix == ".toml" or Path(named).exists():
        return assetio.manager_from_config(named)
    return assetio.manager_from_identifier(named)
