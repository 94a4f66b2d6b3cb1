# SPDX-License-Identifier: Apache-2.0
"""Getting the resolver plugin into a Python process, and looking at what it did there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pxr import Ar, Plug, Tf, Usd

from bifrost.errors import ConfigurationError
from bifrost.usd import env, library
from bifrost.usd.stage_references import names_on, told_of


def register_plugin() -> None:
    """
    Make sure that USD knows the plugin: found through `PXR_PLUGINPATH_NAME`, or registered now.

    Registering works only before this process's first use of asset resolution.

    Raises:
        ConfigurationError: the plugin isn't installed or is for another OpenUSD, or it is too late.
    """
    registry = Plug.Registry()
    if not registry.GetPluginWithName(library.PLUGIN_NAME):
        registry.RegisterPlugins(str(env.description()))
    _check_openusd(registry.GetPluginWithName(library.PLUGIN_NAME))
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
        ConfigurationError: the plugin isn't installed or is for another OpenUSD, or the settings
            can't be read.
    """
    register_plugin()
    resolver = Ar.GetResolver()
    resolver.Resolve(".")
    _load_plugin(resolver)
    from bifrost.usd import bridge

    bridge.warm()


def _check_openusd(plugin: Any) -> None:
    here = ".".join(map(str, Usd.GetVersion()[1:]))
    if plugin and (wrong := env.mismatch(Path(plugin.path), here)):
        raise ConfigurationError(wrong)


def _load_plugin(resolver: Ar.Resolver) -> None:
    try:
        resolver.CreateIdentifier("bifrost:///assets/")  # loads it, and asks nothing
    except Tf.ErrorException as error:
        wrong = library.trouble() or f"OpenUSD can't load the plugin: {str(error).strip()}"
        raise ConfigurationError(wrong) from error
    if wrong := library.trouble():  # OpenUSD reports it once, and that may have been before
        raise ConfigurationError(wrong)


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
    with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
        name, layers = names_on(stage), stage.GetUsedLayers()
        told = [(told_of(name(layer)), str(layer.resolvedPath)) for layer in layers]
    rows = [_row(details, path) for details, path in told if details]
    return sorted(rows, key=lambda row: str(row["reference"]))


def _row(details: Mapping[str, Any], path: str) -> dict[str, Any]:
    keys = ("name", "version", "manager", "tier", "microseconds")
    return {
        "reference": details["entityReference"],
        "path": path,
        **{key: details[key] for key in keys},
    }
