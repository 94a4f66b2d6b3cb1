# SPDX-License-Identifier: Apache-2.0
"""Getting the resolver plugin into a Python process, and looking at what it did there."""

from __future__ import annotations

from typing import Any

from pxr import Ar, Plug, Usd

from bifrost.errors import ConfigurationError
from bifrost.usd import library


def register_plugin() -> None:
    """
    Make sure that USD knows the plugin: found through `PXR_PLUGINPATH_NAME`, or registered now.

    Registering works only before this process's first use of asset resolution.

    Raises:
        ConfigurationError: the plugin isn't installed, or it is too late.
    """
    registry = Plug.Registry()
    if not registry.GetPluginWithName(library.PLUGIN_NAME):
        from bifrost.usd import env

        registry.RegisterPlugins(str(env.description()))
    if "bifrost" not in Ar.GetRegisteredURISchemes():
        raise ConfigurationError(
            "USD doesn't resolve bifrost: references in this process; set PXR_PLUGINPATH_NAME before "
            "it starts (`bifrost usd env` prints it), or call bifrost.usd.warm() before anything else"
        )


def warm() -> None:
    """
    Do once, on the calling thread, what the first resolve would otherwise do.

    Call it on the main thread before many threads use USD: the first use of asset resolution from
    several threads at once can hang inside OpenUSD itself (seen on 26.8 without any plugin).

    Raises:
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    register_plugin()
    resolver = Ar.GetResolver()
    resolver.Resolve(".")
    resolver.CreateIdentifier("bifrost:///assets/")  # loads the plugin, asks nothing
    from bifrost.usd import bridge

    bridge.warm()


def resolver_stats() -> dict[str, int]:
    """
    Return what the C++ resolver counted since the process started.

    `hits` and `misses` of its table, `crossings` into Python, living `contexts`, and the table's
    `entries` and `bytes` in all contexts together. Zeros while the plugin isn't loaded.
    """
    names = ("hits", "misses", "crossings", "contexts", "entries", "bytes")
    return library.counters() or dict.fromkeys(names, 0)


def resolutions(stage: Usd.Stage) -> list[dict[str, Any]]:
    """
    Return what the layers of *stage* that entity references name resolved to.

    Each is a dict of `reference`, `path`, `name`, `version`, `manager`, `tier` that answered, and
    `microseconds` that the answer cost (its share of the batch it came in).
    """
    found = []
    with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
        for layer in stage.GetUsedLayers():
            info = Ar.GetResolver().GetAssetInfo(layer.identifier, layer.resolvedPath)
            details = info.resolverInfo
            if isinstance(details, dict) and "entityReference" in details:
                found.append(_row(details, str(layer.resolvedPath)))
    return sorted(found, key=lambda row: str(row["reference"]))


def _row(details: dict[str, Any], path: str) -> dict[str, Any]:
    keys = ("name", "version", "manager", "tier", "microseconds")
    return {
        "reference": details["entityReference"],
        "path": path,
        **{key: details[key] for key in keys},
    }
