# SPDX-License-Identifier: Apache-2.0
"""
Ctrl-C while OpenUSD's modules load.

Much of their loading is C++ that calls Python and drops what it raises: a `KeyboardInterrupt` there is lost,
a module may be left half made, and the command goes on. So it waits until the module is there.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_PACKAGE = "pxr."


def hold_while_usd_loads() -> None:
    """Let an interrupt of this process wait, from now on, while a module of OpenUSD loads."""
    if not any(isinstance(each, _Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Hold an interrupt back, and let it come afterwards. On other threads than the main one none comes."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


class _Finder(MetaPathFinder):
    """Finds OpenUSD's modules where they are found anyway, to be loaded under `held`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_PACKAGE) or "." in fullname.removeprefix(_PACKAGE):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            loader.exec_module = _holding(loader.exec_module)
        return spec


def _holding(load: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def exec_module(module: ModuleType) -> None:
        with held():
            load(module)

    return exec_module
