# SPDX-License-Identifier: Apache-2.0
"""
`python twin_process.py LIBRARY`: calls functions of bytes that return bytes, as it is told on its input.

A process of its own: the library has parts of the plugin in it, and OpenUSD bears no second one beside the
plugin. What breaks it breaks no test runner.
"""

from __future__ import annotations

import ctypes
import struct
import subprocess
import sys
from pathlib import Path

# Of a call the lengths of name and data, of an answer its length.
_CALL, _ANSWER = struct.Struct("<II"), struct.Struct("<I")


class TwinProcess:
    """The C++ parsers of *library*, by name. One thread."""

    def __init__(self, library: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(library)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def call(self, name: str, data: bytes) -> bytes:
        """Return what the function *name* returns of *data*."""
        told, heard = self._process.stdin, self._process.stdout
        assert told is not None
        assert heard is not None
        try:
            told.write(_CALL.pack(len(name), len(data)) + name.encode() + data)
            told.flush()
            return heard.read(*_ANSWER.unpack(heard.read(_ANSWER.size)))
        except (OSError, struct.error):
            raise AssertionError(f"{name} broke on {data!r}: {self._process.wait(60)}") from None

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def _serve(path: str) -> None:
    import pxr.Ar  # noqa: F401  it brings USD's library

    library = ctypes.CDLL(path)
    heard, told = sys.stdin.buffer, sys.stdout.buffer
    while head := heard.read(_CALL.size):
        of_name, of_data = _CALL.unpack(head)
        function = getattr(library, heard.read(of_name).decode())
        function.restype = ctypes.c_void_p
        function.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p)
        data, size = heard.read(of_data), ctypes.c_size_t()
        answer = ctypes.string_at(function(data, len(data), ctypes.byref(size)), size.value)
        told.write(_ANSWER.pack(len(answer)) + answer)
        told.flush()


if __name__ == "__main__":
    _serve(sys.argv[1])
