# SPDX-License-Identifier: Apache-2.0
"""
A stage as text that two compositions share exactly when they mean the same.

`Usd.Stage.Flatten` won't do: it names prototypes by the order in which threads found them, and it
keeps asset paths as authored. Here prims stand by path, what lies in an instance stands where the
instance shows it, and files go by where they are under a root folder, so that a folder and its copy
with entity references give the same text.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pxr import Ar, Sdf, Usd, UsdShade

# What these bring in is in the dump; how they name it is what may differ.
_ARCS: Final = frozenset(
    ("references", "payload", "clips", "clipSets", "subLayers", "subLayerOffsets")
)
# Has a place of its own in the dump.
_SHOWN: Final = frozenset(
    ("custom", "default", "specifier", "timeSamples", "typeName", "variability")
)
_SPECIFIERS: Final = {
    Sdf.SpecifierDef: "def",
    Sdf.SpecifierOver: "over",
    Sdf.SpecifierClass: "class",
}
_LONG: Final = 16


def canonical_dump(
    stage: Usd.Stage,
    root: str | os.PathLike[str] | None = None,
    names: Mapping[str, str] | None = None,
) -> str:
    """
    Return *stage* as text: prims, metadata, values with all samples, targets, variants, files.

    An asset value is the file it resolves to, under *root* as a relative path, elsewhere as an
    absolute one; unresolved it is its authored path. UDIM sets count as resolved when they have a
    tile. Under each prim stand the specs it is composed of, strongest first, those of anonymous
    layers left out. Long arrays are their length and a digest of their bytes.

    Args:
        stage: What to dump; its load rules and variant selections are taken as they are.
        root: The folder to which file paths are relative; by default the nearest one that holds
            every layer in use.
        names: What files are called instead, by where they really are.
    """
    files = _Files(stage, root, names or {})
    lines = [
        *_metadata(stage.GetPseudoRoot(), files, stage.GetLayerStack(includeSessionLayers=False))
    ]
    prims = Usd.PrimRange.Stage(stage, Usd.TraverseInstanceProxies(Usd.PrimAllPrimsPredicate))
    for prim in sorted(prims, key=Usd.Prim.GetPath):
        lines += _prim(prim, files)
    return "\n".join(lines) + "\n"


class _Files:
    """What files are called, wherever the folder they are in lies."""

    def __init__(
        self, stage: Usd.Stage, root: str | os.PathLike[str] | None, given: Mapping[str, str]
    ) -> None:
        self._given = given
        used = [layer.realPath for layer in stage.GetUsedLayers() if layer.realPath]
        self._root = os.path.realpath(root or _above(used))
        self._names: dict[str, str] = {}

    def name(self, path: str) -> str:
        """Return what the file at *path*, perhaps one in a package, is called."""
        if path not in self._names:
            outer, inner = path, ""
            if Ar.IsPackageRelativePath(path):
                outer, inner = Ar.SplitPackageRelativePathOuter(path)
            real = os.path.realpath(outer)
            inside = real.startswith(self._root + os.sep)
            name = self._given.get(real) or (os.path.relpath(real, self._root) if inside else real)
            self._names[path] = name + (f"[{inner}]" if inner else "")
        return self._names[path]

    def asset(self, asset: Sdf.AssetPath, layers: Iterable[Sdf.Layer]) -> str:
        """Return what an asset value, authored in one of *layers*, stands for."""
        if asset.resolvedPath:
            return f"@{self.name(asset.resolvedPath)}@"
        if UsdShade.UdimUtils.IsUdimIdentifier(asset.path):
            # USD leaves these to renderers, which look for tiles beside the layer, as this does.
            for layer in layers:
                if found := UsdShade.UdimUtils.ResolveUdimPath(asset.path, layer):
                    return f"@{self.name(found)}@"
        return f"unresolved @{asset.path}@" if asset.path else "@@"


def _above(paths: list[str]) -> str:
    return os.path.commonpath([Path(path).parent for path in paths]) if paths else os.sep


def _prim(prim: Usd.Prim, files: _Files) -> Iterator[str]:
    stack = prim.GetPrimStack()
    layers = [spec.layer for spec in stack]
    yield f"{_SPECIFIERS[prim.GetSpecifier()]} {prim.GetTypeName() or '-'} {prim.GetPath()}"
    yield from (
        f"  from {files.name(spec.layer.realPath)} {spec.path}"
        for spec in stack
        if spec.layer.realPath
    )
    yield from _states(prim)
    yield from _variants(prim)
    yield from _indented(_metadata(prim, files, layers))
    for prop in sorted(prim.GetAuthoredProperties(), key=Usd.Property.GetName):
        if isinstance(prop, Usd.Attribute):
            yield from _attribute(prop, files)
        else:
            yield f"  rel {prop.GetName()} = {_paths(prop.GetTargets())}"
            yield from _indented(_indented(_metadata(prop, files, layers)))


def _states(prim: Usd.Prim) -> Iterator[str]:
    states = {
        "inactive": not prim.IsActive(),
        "unloaded": not prim.IsLoaded(),
        "abstract": prim.IsAbstract(),
        "undefined": not prim.IsDefined(),
        "instance": prim.IsInstance(),
    }
    if any(states.values()):
        yield f"  is {' '.join(state for state, holds in states.items() if holds)}"


def _variants(prim: Usd.Prim) -> Iterator[str]:
    sets = prim.GetVariantSets()
    for name in sorted(sets.GetNames()):
        variants = sets.GetVariantSet(name)
        selected = variants.GetVariantSelection()
        yield f"  variants {name} = {selected!r} of {sorted(variants.GetVariantNames())}"


def _attribute(attribute: Usd.Attribute, files: _Files) -> Iterator[str]:
    layers = [spec.layer for spec in attribute.GetPropertyStack()]
    custom = "custom " if attribute.IsCustom() else ""
    uniform = "uniform " if attribute.GetVariability() == Sdf.VariabilityUniform else ""
    yield (
        f"  {custom}{uniform}{attribute.GetTypeName()} {attribute.GetName()}"
        f" = {_value(attribute.Get(), files, layers)}"
    )
    if sources := attribute.GetConnections():
        yield f"    connected to {_paths(sources)}"
    for time in attribute.GetTimeSamples():
        yield f"    {time!r}: {_value(attribute.Get(time), files, layers)}"
    yield from _indented(_indented(_metadata(attribute, files, layers)))


def _metadata(thing: Usd.Object, files: _Files, layers: Iterable[Sdf.Layer]) -> Iterator[str]:
    for key, value in sorted(thing.GetAllAuthoredMetadata().items()):
        if key not in _ARCS and key not in _SHOWN:
            yield f"{key}: {_value(value, files, layers)}"


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)


def _paths(paths: Iterable[Sdf.Path]) -> str:
    return "[" + ", ".join(f"<{path}>" for path in paths) + "]"


def _value(value: Any, files: _Files, layers: Iterable[Sdf.Layer]) -> str:
    if isinstance(value, Sdf.AssetPath):
        return files.asset(value, layers)
    if isinstance(value, Sdf.AssetPathArray):
        return "[" + ", ".join(files.asset(each, layers) for each in value) + "]"
    if isinstance(value, Mapping):
        items = (f"{key!r}: {_value(held, files, layers)}" for key, held in sorted(value.items()))
        return "{" + ", ".join(items) + "}"
    if type(value).__name__.endswith("Array") and len(value) > _LONG:
        return f"{type(value).__name__} of {len(value)}, sha256 {_digest(value)}"
    # List operations have no repr of their own. Matrices print on several lines; line breaks in
    # strings print escaped.
    text = str(value) if type(value).__name__.endswith("ListOp") else repr(value)
    return " ".join(map(str.strip, text.splitlines()))


def _digest(array: Any) -> str:
    try:
        data: Any = memoryview(array).cast("B")
    except TypeError:  # strings and tokens have no buffer
        data = repr(list(array)).encode()
    return hashlib.sha256(data).hexdigest()
