# SPDX-License-Identifier: Apache-2.0
"""Names for values that can't be written into a string, valid in this process."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Final, Generic, TypeVar

Value = TypeVar("Value")

_BYTES: Final = 8


class Handles(Generic[Value]):
    """
    Values by random names. Any thread; a forked child goes on with its parent's.

    Args:
        most: How many values are kept; beyond, the one that was used longest ago is dropped.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._names: dict[str, str] = {}
        self._after_fork()
        os.register_at_fork(after_in_child=self._after_fork)

    def name(self, value: Value, key: str) -> str:
        """Return the name of *value*: the one it has, where an equal one of this *key* is there."""
        with self._lock:
            name = self._names.get(key)
            if name is None or self._values.get(name) != value:
                name = os.urandom(_BYTES).hex()
                self._names[key] = name
            self._values[name] = value
            self._values.move_to_end(name)
            while len(self._values) > self._most:
                self._drop(next(iter(self._values)))
            return name

    def get(self, name: str) -> Value | None:
        """Return the value of that name, or None."""
        with self._lock:
            value = self._values.get(name)
            if value is not None:
                self._values.move_to_end(name)
            return value

    def forget(self, name: str) -> None:
        """Drop the value of that name, if there is one."""
        with self._lock:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._values.pop(name, None)
        self._names = {key: each for key, each in self._names.items() if each != name}

    def _after_fork(self) -> None:
        # The lock may have been held by a thread that stayed behind.
        self._lock = threading.Lock()
