# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH100, PTH110, PTH112, PTH113, PTH117, PTH118, PTH119, PTH120, PTH208 - paths compared by
# their text, as ArDefaultResolver does
"""
What a file that is to be published consists of: the files beside it, and the assets it names.

A version is a folder of its own. What a layer reaches by relative paths at or below its own folder
can be copied there with it and means the same; whatever leads elsewhere can't, and is told apart.

The layers are read from the disk, one by one and uncomposed, so that what lies in variants that are
not selected, in inactive prims and behind payloads comes along. No folder is searched but those
that a UDIM pattern or a value clip template names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from pxr import Sdf, Tf

from bifrost import looking
from bifrost.catalogue import Dependency
from bifrost.errors import BifrostError
from bifrost.model.entity_reference import is_asset_reference, parse
from bifrost.usd import materialx
from bifrost.usd.arcs import AssetPathUse, Kind, asset_paths, is_expression
from bifrost.usd.file_checks import check, is_usd, no_usd
from bifrost.usd.folder import FRAME, FRAME_NUMBER, TILE, UDIM, is_uri, split_path
from bifrost.usd.opening import reason
from bifrost.usd.survey import PACKAGE, extension

Known = Callable[[list[str]], Sequence[bool]]
"""Tells for a batch of entity references which of them lead to something, in their order."""
Read = Callable[[str], Sdf.Layer | None]
"""Returns the layer to read in the place of the file at a path; None for the file."""

_SEARCH_PATH: Final = "PXR_AR_DEFAULT_SEARCH_PATH"


class Why(StrEnum):
    """Why an asset path can't come along into a version's folder."""

    ABSOLUTE = "absolute"
    """It names a place on this machine."""
    ABOVE = "above"
    """It leads out of the published file's folder."""
    SEARCHED = "searched"
    """It is found on the search path, which is another one elsewhere."""
    DIRECTORY = "directory"
    """It leads to a folder."""
    MISSING = "missing"
    """It leads to nothing."""
    UNREADABLE = "unreadable"
    """It leads to a file that can't be read, or not as the layer that it should be."""
    APART = "apart"
    """It leads to what is published as an asset of its own."""


class Named(NamedTuple):
    """An asset path, as the layer of this name in the folder holds it."""

    layer: str
    path: str
    kind: str


class Loose(NamedTuple):
    """
    An asset path that can't come along.

    Attributes:
        layer: The name, in the folder, of the layer that holds it.
        path: As authored.
        kind: What it is for.
        why: What is in the way.
        leads_to: The absolute path that it means today, or what USD says.
    """

    layer: str
    path: str
    kind: str
    why: Why
    leads_to: str


@dataclass(frozen=True, slots=True)
class Contents:
    """
    What a file reaches. Names are relative to its folder, with `/` between the parts.

    Attributes:
        folder: The file's folder, absolute.
        name: The file's own name.
        beside: The other files, sorted: to be copied to the same names beside it.
        references: Entity references and other URIs, in the order in which they are met.
        loose: What escapes or is missing, likewise.
        open_ended: Variable expressions: what they lead to is up to the stage.
    """

    folder: str
    name: str
    beside: tuple[str, ...]
    references: tuple[Named, ...]
    loose: tuple[Loose, ...]
    open_ended: tuple[Named, ...]

    @property
    def files(self) -> dict[str, str]:
        """The absolute path of every file, its own included, by its name."""
        return {name: os.path.join(self.folder, name) for name in (self.name, *self.beside)}

    @property
    def is_whole(self) -> bool:
        """Whether a copy of its files means what the original does."""
        return not self.loose


def files_beside(
    path: str | os.PathLike[str],
    *,
    read: Read | None = None,
    is_apart: Callable[[str], bool] = lambda _: False,
) -> Contents:
    """
    Return what a file reaches; one that is no layer reaches nothing.

    Args:
        path: The file.
        read: Knows layers that count as they are in memory, whether their files are there or not.
        is_apart: Whether the file at a path is no part of this one, although it lies below its folder.

    Raises:
        LocationException: there is no such file.
        InvalidTraitsException: by its extension it is a layer, and USD can't read it.
    """
    place = os.path.abspath(path)
    if read is not None:
        return _Walk(place, read, is_apart).contents()
    return looking.once("contents", place, _Walk(place, lambda _: None, is_apart).contents)


def dependencies(contents: Contents, known: Known | None = None) -> list[Dependency]:
    """
    Return what entity references name, each once for each kind, in the order they are met.

    References that are malformed, of another manager, or that *known* knows nothing about are left
    out: `validation.dangling_references` reports them. One call of *known*.
    """
    found: dict[Dependency, str] = {}
    for layer, path, kind in contents.references:
        del layer
        reference = split_path(path)[0]
        try:
            parsed = parse(reference)
        except ValueError:
            continue
        if parsed.publish is not None:
            continue  # to write to, never to read
        found.setdefault(Dependency(parsed.asset_id, parsed.version, str(kind)), reference)
    if known is None or not found:
        return list(found)
    exist = known(list(found.values()))
    return [each for each, exists in zip(found, exist, strict=True) if exists]


def entity_references(contents: Contents) -> list[str]:
    """Return the references to assets of Bifrost's catalogue, each once, in order."""
    bare = (split_path(named.path)[0] for named in contents.references)
    return list(dict.fromkeys(each for each in bare if is_asset_reference(each)))


@dataclass(slots=True)
class _Walk:
    """One walk from a file to whatever it reaches."""

    path: str
    read: Read
    is_apart: Callable[[str], bool]
    _beside: dict[str, None] = field(default_factory=dict)
    _references: dict[Named, None] = field(default_factory=dict)
    _loose: dict[Loose, None] = field(default_factory=dict)
    _open_ended: dict[Named, None] = field(default_factory=dict)
    _listings: dict[str, list[str]] = field(default_factory=dict)

    def contents(self) -> Contents:
        """Walk, and return what was found."""
        name = os.path.basename(self.path)
        if is_usd(name) and self.read(self.path) is None:
            check(self.path)
        waiting = [Named("", name, "")]
        seen = {name}
        for named in waiting:
            for use in self._uses(named):
                for reached in self._follow(use, named.path):
                    if reached not in seen:
                        seen.add(reached)
                        self._beside[reached] = None
                        waiting.append(Named(named.path, reached, use.kind))
        return Contents(
            os.path.dirname(self.path),
            name,
            tuple(sorted(self._beside)),
            tuple(self._references),
            tuple(self._loose),
            tuple(self._open_ended),
        )

    def _uses(self, named: Named) -> list[AssetPathUse]:
        if extension(named.path) == materialx.EXTENSION:
            names = materialx.file_names(os.path.join(os.path.dirname(self.path), named.path))
            return [AssetPathUse(each, Kind.ATTRIBUTE) for each in names]
        # What the layers of a package name is in the package.
        if not is_usd(named.path) or extension(named.path) == PACKAGE:
            return []
        path = os.path.join(os.path.dirname(self.path), named.path)
        if (held := self.read(path)) is not None:
            return asset_paths(held)
        try:
            if named.layer:  # the file itself has been
                check(path)
            # Anonymous: what is on the disk is read, not what some stage has unsaved edits of.
            layer = Sdf.Layer.OpenAsAnonymous(path)
            return asset_paths(layer) if layer else []
        except (Tf.ErrorException, BifrostError, UnicodeError) as error:
            if not named.layer:
                raise no_usd(path, reason(error)) from error
            self._lose(
                AssetPathUse(named.path, Kind(named.kind)), named.layer, Why.UNREADABLE, error
            )
        return []

    def _follow(self, use: AssetPathUse, layer: str) -> Iterator[str]:
        """Yield the names of the files that *use* leads to, and note what is something else."""
        base, _ = split_path(use.path)
        if is_expression(use.path):
            self._open_ended[Named(layer, use.path, use.kind)] = None
        elif is_uri(base):
            self._references[Named(layer, use.path, use.kind)] = None
        elif base:
            yield from self._files(base, use, layer)

    def _files(self, base: str, use: AssetPathUse, layer: str) -> Iterator[str]:
        folder = os.path.dirname(self.path)
        place = os.path.normpath(os.path.join(folder, os.path.dirname(layer), base))
        found = self._found(place, template=use.is_template)
        inside = place.startswith(folder.rstrip(os.sep) + os.sep)
        if any(map(self.is_apart, found)):
            self._lose(use, layer, Why.APART, place)
        elif os.path.isabs(base):
            self._lose(use, layer, Why.ABSOLUTE, place)
        elif not inside and (found or not self._searched(base)):
            self._lose(use, layer, Why.ABOVE, place)
        elif found:
            yield from (os.path.relpath(each, folder).replace(os.sep, "/") for each in found)
        else:
            self._nothing_there(use, layer, place, self._searched(base))

    def _nothing_there(self, use: AssetPathUse, layer: str, place: str, searched: str) -> None:
        if searched:
            self._lose(use, layer, Why.SEARCHED, searched)
        elif os.path.isdir(place):
            self._lose(use, layer, Why.DIRECTORY, place)
        elif os.path.exists(place):
            self._lose(use, layer, Why.UNREADABLE, f"{place}: no regular file")
        else:
            self._lose(use, layer, Why.MISSING, place)

    def _found(self, place: str, *, template: bool) -> list[str]:
        if template:
            return self._matching(place, FRAME_NUMBER, FRAME)
        if UDIM in place:
            return self._matching(place, re.escape(UDIM), TILE)
        return [place] if os.path.isfile(place) else []

    def _matching(self, pattern: str, placeholder: str, replacement: str) -> list[str]:
        directory, base = os.path.split(pattern)
        if directory not in self._listings:
            try:
                self._listings[directory] = sorted(os.listdir(directory))
            except OSError:
                self._listings[directory] = []
        expression = re.sub(placeholder, lambda _: replacement, re.escape(base))
        matches = re.compile(expression).fullmatch
        paths = (
            os.path.join(directory, name) for name in self._listings[directory] if matches(name)
        )
        return [path for path in paths if os.path.isfile(path)]

    def _searched(self, base: str) -> str:
        """Return what `ArDefaultResolver` finds on the search path, or ""."""
        if os.path.isabs(base) or base.startswith(("./", "../")):
            return ""
        folders = os.environ.get(_SEARCH_PATH, "").split(os.pathsep)
        candidates = (os.path.abspath(os.path.join(each, base)) for each in folders if each)
        return next(filter(os.path.isfile, candidates), "")

    def _lose(self, use: AssetPathUse, layer: str, why: Why, leads_to: str | Exception) -> None:
        text = reason(leads_to) if isinstance(leads_to, Exception) else leads_to
        self._loose[Loose(layer, use.path, use.kind, why, text)] = None


def copies(contents: Contents, into: str | os.PathLike[str]) -> Iterable[tuple[str, str]]:
    """Yield (from, to) of every file of *contents* for a version's folder *into*."""
    for name, path in contents.files.items():
        yield path, os.path.join(into, *name.split("/"))
