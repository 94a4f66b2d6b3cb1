# SPDX-License-Identifier: Apache-2.0
"""Asks again for what was served although it had just expired, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

from bifrost.model.request import Request

_MOST_WAITING = 10_000
_CLOSE_S = 1.0


class Revalidation:
    """
    Runs *ask* for requests later, each reference once at a time. Never blocks, never raises.

    The thread is a daemon and starts with the first request. What comes while very much waits is
    dropped: it is served until it has expired for good, and asked for then.
    """

    def __init__(self, ask: Callable[[Request], None]) -> None:
        self._ask = ask
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child: the thread stayed behind."""
        self._changed = threading.Condition()
        self._waiting: list[Request] = []
        self._under_way: set[tuple[str, str]] = set()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, request: Request) -> None:
        """Ask *request* soon, without what is being asked for already."""
        scope = request.context.scope
        with self._changed:
            new = [ref for ref in request.references if (scope, ref) not in self._under_way]
            if self._closed or not new or len(self._under_way) + len(new) > _MOST_WAITING:
                return
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="bifrost-revalidation", daemon=True
                )
                try:
                    thread.start()
                except RuntimeError:  # no thread to be had now
                    return
                self._thread = thread
            self._under_way.update((scope, reference) for reference in new)
            self._waiting.append(request.only(new))
            self._changed.notify()

    def close(self) -> None:
        """Ask for nothing more, and end the thread, waiting a moment for an answer under way."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(_CLOSE_S)

    def _run(self) -> None:
        while (request := self._next()) is not None:
            try:
                self._ask(request)
            except Exception as error:  # noqa: BLE001  who asks for it in the end is told
                import logging

                logging.getLogger("bifrost").debug("asking again in the background: %s", error)
            with self._changed:
                scope = request.context.scope
                self._under_way.difference_update((scope, ref) for ref in request.references)

    def _next(self) -> Request | None:
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            return None if self._closed else self._waiting.pop(0)
