# SPDX-License-Identifier: Apache-2.0
"""
What the resolver plugin tells about itself, in a process that has loaded it.

Python reads it through functions that the library exports (resolver/counters.h), without the GIL held.
Imports nothing of OpenUSD where nobody has: asking what the plugin did must not bring it in.
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

PLUGIN_NAME: Final = "bifrost"
_LENGTH: Final = struct.Struct("<I")
# What is added between the question how much there is and the one for all of it.
_ROOM: Final = 4_096


class Table(NamedTuple):
    """
    What one resolver context holds that may change.

    Attributes:
        policy: The context's policy, as text.
        root: The file whose opening it was made for; "" for contexts made from strings.
        is_bound: Whether there is a context; False for what was resolved with none bound.
        paths: The path that each floating reference resolved to; "" where it did not.
    """

    policy: str
    root: str
    is_bound: bool
    paths: dict[str, str]


class Moves(NamedTuple):
    """
    What the last refresh of one resolver context moved.

    Attributes:
        name: The context, as `ArResolverContext` shows it.
        moves: For each reference: itself, path, new path, version and new version.
    """

    name: str
    moves: list[tuple[str, str, str, str, str]]


def counters() -> dict[str, int] | None:
    """Return what the resolver counted since the process started; None while it isn't loaded."""
    told = _told("bifrost_resolver_stats")
    if told is None:
        return None
    read: dict[str, int] = json.loads(told.rstrip(b"\0"))
    return read


def trouble() -> str:
    """
    Return what keeps the loaded plugin from working in this OpenUSD, and what to do about it.

    "" where nothing does, and while it isn't loaded.
    """
    plugin = _plugin()
    return _refusal(plugin.path) if plugin and plugin.isLoaded else ""


def tables() -> list[Table]:
    """Return what the living contexts hold that may change, and what was resolved without one."""
    texts = _texts(_told("bifrost_resolver_held") or b"")
    return [_table(policy, texts) for policy in texts]


def moves() -> list[Moves]:
    """Return what the last refresh of each living context moved; contexts that stayed are left out."""
    texts = _texts(_told("bifrost_resolver_moved") or b"")
    return [_moves(policy, texts) for policy in texts]


def _moves(policy: str, texts: Iterator[str]) -> Moves:
    root, _, count = next(texts), next(texts), int(next(texts))
    found = []
    for _ in range(count):
        reference, path, version, new_path, new_version = (next(texts) for _ in range(5))
        found.append((reference, path, new_path, version, new_version))
    return Moves(_name(policy, root), found)


def _name(policy: str, root: str) -> str:
    """Return how a context shows itself: `BifrostResolverContext::text`."""
    return f"bifrost({';'.join(filter(None, (policy, root and f'root={root}')))})"


def _table(policy: str, texts: Iterator[str]) -> Table:
    root, bound, count = next(texts), next(texts), int(next(texts))
    return Table(policy, root, bound == "bound", {next(texts): next(texts) for _ in range(count)})


def _texts(data: bytes) -> Iterator[str]:
    at = 0
    while at < len(data):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(data, at)[0]
        yield data[start:at].decode("utf-8", "surrogateescape")


def _told(function: str) -> bytes | None:
    """Return what the exported *function* writes; None while no plugin is loaded that has it."""
    library = _loaded()
    read = getattr(library, function, None)
    if read is None:
        return None
    size = read(None, 0) + _ROOM
    while True:
        buffer = ctypes.create_string_buffer(size)
        needed: int = read(buffer, size)
        if needed <= size:
            return buffer.raw[:needed]
        size = needed + _ROOM  # meanwhile more came


def _loaded() -> Any:
    global _library  # noqa: PLW0603  once loaded, a plugin stays
    if _library is None:
        plugin = _plugin()
        # A library that the loader refused must not be loaded after all.
        if plugin and plugin.isLoaded and not _refusal(plugin.path):
            _library = _opened(plugin.path)
    return _library


def _plugin() -> Any:
    # OpenUSD imports this module when it loads a plugin. It is not imported here: while one thread
    # loads OpenUSD, another that loads any library hangs, each with the lock that the other wants.
    registry = getattr(sys.modules.get("pxr.Plug"), "Registry", None)
    return registry and registry().GetPluginWithName(PLUGIN_NAME)


def _refusal(path: str) -> str:
    """Return what the loader at *path*, which is loaded, found wrong; "" where *path* is none."""
    told = getattr(ctypes.CDLL(path), "bifrost_loader_trouble", None)
    if told is None:
        return ""
    told.restype = ctypes.c_char_p
    text: bytes = told()
    return text.decode("utf-8", "surrogateescape")


def _opened(path: str) -> ctypes.CDLL:
    # What OpenUSD loaded is the loader; the plugin that it loaded lies beside it.
    library = ctypes.CDLL("libbifrost".join(path.rsplit("libbifrost_loader", 1)))
    for name in ("bifrost_resolver_stats", "bifrost_resolver_held", "bifrost_resolver_moved"):
        function = getattr(library, name, None)
        if function is not None:  # a library that was built before it had this one
            function.argtypes = (ctypes.c_char_p, ctypes.c_int)
            function.restype = ctypes.c_int
    return library


_library: ctypes.CDLL | None = None
