# SPDX-License-Identifier: Apache-2.0
"""
Refusing a second Python interpreter in one process (`Py_NewInterpreter`, subinterpreters).

Caches and OpenUSD's plugin are the process's, not an interpreter's: LMDB must not be opened twice in a
process, and OpenUSD calls the first interpreter, whichever one resolves.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from bifrost.errors import ConfigurationError

# Python's own, which has changed its name in 3.13. Some builds leave it out.
_MODULES: Final = ("_interpreters", "_xxsubinterpreters")


def refuse_second() -> None:
    """
    Do nothing in the process's first interpreter.

    Raises:
        ConfigurationError: this is another one.
    """
    for name in _MODULES:
        try:
            interpreters = import_module(name)
        except ImportError:
            continue
        if interpreters.get_current() != interpreters.get_main():
            raise ConfigurationError(
                "Bifrost works in a process's first Python interpreter only, and this is another one: "
                "call it from the first, or from a process of its own"
            )
        return
