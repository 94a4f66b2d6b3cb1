# SPDX-License-Identifier: Apache-2.0
"""
Which entity references the layers of a stage name files by.

USD has one `SdfLayer` for a file, and the name that it was opened by first: another stage's, or a path's.
What *this* stage calls it is in the layers that name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from pxr import Ar, Sdf, Usd

from bifrost.usd.arcs import composition_paths
from bifrost.usd.folder import is_uri, split_path

Paths: TypeAlias = Callable[[Sequence[str]], Sequence[str]]


def references_by_file(layers: Iterable[Sdf.Layer], paths: Paths) -> Mapping[str, list[str]]:
    """
    Return the entity references that *layers* name each file by.

    Args:
        layers: Whose arcs are looked at. What is called as it is named comes first, and is not asked about.
        paths: Tells where the files of the other references lie; "" where one has none.
    """
    layers = list(layers)
    named = {
        split_path(path)[0] for layer in layers for path in composition_paths(layer) if is_uri(path)
    }
    found: dict[str, list[str]] = {}
    for layer in layers:
        own = split_path(layer.identifier)[0]
        if own in named:
            found[file_of(layer)] = [own]
            named.remove(own)
    others = sorted(named)
    for path, reference in zip(paths(others) if others else (), others, strict=True):
        found.setdefault(path, []).append(reference)
    return found


def paths_on(stage: Usd.Stage) -> Paths:
    """Return what tells paths as *stage* was composed with; what the plugin has forgotten is asked again."""

    def paths(references: Sequence[str]) -> list[str]:
        resolve = Ar.GetResolver().Resolve
        with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
            return [str(resolve(each)) for each in references]

    return paths


def remembered_on(stage: Usd.Stage) -> Paths:
    """Return what tells the paths that the plugin remembers: it asks nobody about payloads left out."""

    def paths(references: Sequence[str]) -> list[str]:
        resolver = Ar.GetResolver()
        with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
            return [str(resolver.Resolve(each)) if told_of(each) else "" for each in references]

    return paths


def names_on(stage: Usd.Stage) -> Callable[[Sdf.Layer], str]:
    """Return what tells the reference that *stage* names a layer by, "" where none does. Asks nobody."""
    named = references_by_file(stage.GetUsedLayers(), remembered_on(stage))
    return lambda layer: _reference_of(layer, named)


def told_of(name: str) -> Mapping[str, Any]:
    """Return what the plugin remembers of an entity reference in the context that is bound; or nothing."""
    info = Ar.GetResolver().GetAssetInfo(name, Ar.ResolvedPath()).resolverInfo
    return info if isinstance(info, dict) and "entityReference" in info else {}


def told_on(stage: Usd.Stage, name: str, layer: Sdf.Layer) -> Mapping[str, Any]:
    """Return what the plugin remembers of *name*, which *layer* of *stage* has there; or nothing."""
    with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
        told = told_of(name)
    # `Usd.Stage.Open` resolves the root before there is a context.
    return told or (told_of(name) if layer == stage.GetRootLayer() else {})


def _reference_of(layer: Sdf.Layer, named: Mapping[str, list[str]]) -> str:
    # What is not named, as a stage's root is, has the name that it was opened by.
    own = split_path(layer.identifier)[0]
    names = named.get(file_of(layer))
    if names and own not in names:
        return names[0]
    return own if is_uri(own) and not layer.anonymous else ""


def file_of(layer: Sdf.Layer) -> str:
    """Return the file that *layer* is in, a package's for what is in one; "" for an anonymous one."""
    return split_path(layer.realPath)[0]
