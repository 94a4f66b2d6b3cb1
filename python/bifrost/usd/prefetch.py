# SPDX-License-Identifier: Apache-2.0
"""
Reads layers ahead of composition, breadth by breadth, so that each breadth is one question.

Only for `bridge.prepare`: it calls Sdf, which hangs inside a resolve.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from queue import Empty, SimpleQueue

from pxr import Ar, Sdf, Tf

from bifrost.model.resolution import Resolution
from bifrost.usd.arcs import asset_paths
from bifrost.usd.later import Later

# Reading releases the GIL, finding the paths in what was read does not: more threads gain nothing.
_READERS = max(1, min(4, os.cpu_count() or 1))
# Composition needs the layers within this time; nothing tells when it has them.
_KEEP_S = 30.0


def references_of(root: str) -> list[str]:
    """Return the entity references that the layer file *root* holds, each once."""
    layer = Sdf.Layer.FindOrOpen(root)
    return _entity_references(layer) if layer else []


class Reader:
    """Opens layers under the context that is bound when it is made, and keeps them."""

    def __init__(self) -> None:
        self.layers: list[Sdf.Layer] = []
        self._context = Ar.GetResolver().GetCurrentContext()

    def read(self, resolutions: Iterable[Resolution]) -> list[str]:
        """Open those of *resolutions* that are layers; return the references they hold, each once."""
        waiting: SimpleQueue[str] = SimpleQueue()
        count = 0
        for resolution in resolutions:
            if not resolution.templated and _is_layer(resolution.path):
                waiting.put(resolution.reference)
                count += 1
        found: dict[str, None] = {}
        readers = [
            threading.Thread(target=self._read_all, args=(waiting, found), name="bifrost-reader")
            for _ in range(min(_READERS, count) - 1)
        ]
        for reader in readers:
            reader.start()
        self._read_all(waiting, found)
        for reader in readers:
            reader.join()
        return list(found)

    def _read_all(self, waiting: SimpleQueue[str], found: dict[str, None]) -> None:
        with Ar.ResolverContextBinder(self._context):
            while True:
                try:
                    reference = waiting.get_nowait()
                except Empty:
                    return
                layer = _opened(reference)
                if layer:
                    self.layers.append(layer)
                    found.update(dict.fromkeys(_entity_references(layer)))


def keep_for_composition(layers: list[Sdf.Layer], later: Later) -> None:
    """Hold *layers* until composition has had the time to take them over."""
    later.put(object(), _KEEP_S, layers.clear)


def _opened(reference: str) -> Sdf.Layer | None:
    try:
        return Sdf.Layer.FindOrOpen(reference)
    except Tf.ErrorException:
        return None  # composition meets the same error and reports it where it belongs


def _is_layer(path: str) -> bool:
    return bool(Sdf.FileFormat.FindByExtension(Ar.GetResolver().GetExtension(path)))


def _entity_references(layer: Sdf.Layer) -> list[str]:
    own = tuple(f"{scheme}:" for scheme in schemes())
    found: dict[str, None] = {}
    for use in asset_paths(layer):
        if use.path.startswith(own):
            reference = use.path.partition(":SDF_FORMAT_ARGS:")[0]
            found[Ar.SplitPackageRelativePathOuter(reference)[0]] = None
    return list(found)


def schemes() -> tuple[str, ...]:
    """Return the URI schemes that this process's plugInfo.json gave Bifrost."""
    from pxr import Plug

    plugin = Plug.Registry().GetPluginWithName("bifrost")
    if not plugin:
        return ("bifrost",)
    types = plugin.metadata.get("Types", {})
    return tuple(types.get("BifrostResolver", {}).get("uriSchemes", ("bifrost",)))
