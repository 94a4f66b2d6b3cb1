# SPDX-License-Identifier: Apache-2.0
"""What the asset paths of a folder's layers become: entity references, and dependencies."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property

from bifrost.catalogue import Catalogue, Dependency, VersionRecord
from bifrost.model.entity_reference import (
    AssetReference,
    is_asset_reference,
    parse,
    reference_for,
)
from bifrost.usd.arcs import Kind, is_expression
from bifrost.usd.clip_opinions import templates_alone
from bifrost.usd.folder import UDIM, Where, posix_directory, split_path
from bifrost.usd.layer_stacks import LayerStacks
from bifrost.usd.ordering import cycles, levels
from bifrost.usd.survey import Link, Survey, extension, is_writable


class Linking:
    """
    The links between a folder's files, as they are published.

    Args:
        survey: What the files hold.
        ids: Each file's asset. `drop` takes files out of it.
        catalogue: Which references mean something.
        pin: Whether references name versions.
        held: What the copy has of a name, a UDIM pattern or a clip template.

    Attributes:
        graph: For each file, the files it names; for a UDIM pattern, its tiles.
    """

    def __init__(
        self,
        survey: Survey,
        ids: dict[str, str],
        catalogue: Catalogue,
        *,
        pin: bool,
        held: Callable[[str], Sequence[str]],
    ) -> None:
        self._survey, self._ids, self._pin = survey, ids, pin
        self._held = cache(held)
        self._numbers: dict[str, int] = {}
        self.graph = self._named()
        self._cycles = cycles(self.graph)
        self._known = self._known_references(catalogue)

    def batches(self) -> list[list[str]]:
        """
        Return the files in the batches in which they have to be published.

        A pinned reference needs the number of what it names; else all is one batch.
        """
        return levels(self.graph) if self._pin else [list(self._ids)]

    def published(self, name: str, number: int) -> None:
        """Say which version of a file references are pinned to from now on."""
        self._numbers[name] = number

    def drop(self, names: Iterable[str], catalogue: Catalogue) -> set[str]:
        """
        Forget files that could not be read after all: nothing names them from now on.

        Returns what was forgotten: a UDIM pattern goes with its last tile.
        """
        left = self._ids.keys() - set(names)
        tiles = self._survey.folder.tiles
        left -= {each for each in left if self._is_pattern(each) and left.isdisjoint(tiles(each))}
        dropped = self._ids.keys() - left
        for name in dropped:
            del self._ids[name]
            self._survey.links.pop(name, None)
        self._known = self._known_references(catalogue)
        return dropped

    def edits(self, layer: str) -> dict[str, str]:
        """Return the new asset paths of a layer's copy, by authored ones."""
        edits = self._wanted(layer)
        edits.update(self._sublayers_again(layer, edits))
        return {path: new for path, new in edits.items() if path != new}

    def templates(self, layer: str) -> dict[str, bool]:
        """Return the clip templates of *layer*, and whether they may be written out into their files."""
        return templates_alone(layer, self._survey.templates, self._stacks)

    def _wanted(self, layer: str) -> dict[str, str]:
        links = self._survey.links.get(layer, ())
        edits: dict[str, str] = {}
        for link in links if links and is_writable(layer) else ():
            target = link.target
            if link.frames:
                edits.update(self._clip_edits(layer, link))
            elif target.where is Where.INSIDE and target.name in self._ids:
                if self._is_pattern(target.name) and not self._tiles_follow(target.name):
                    edits[link.path] = _path_in_copy(layer, link)
                    continue
                edits[link.path] = self._reference(layer, target.name) + target.tail
            elif absolute := self._absolute(link):
                edits[link.path] = absolute + target.tail
        return edits

    def _absolute(self, link: Link) -> str:
        """Return the absolute path that has to stand in the copy for one that leads elsewhere there."""
        target, folder = link.target, self._survey.folder
        if target.where is Where.OUTSIDE:
            return "" if target.searched else target.name
        if target.where is Where.MISSING and folder.leaves(target.name):
            return target.name
        gone = self._gone(link)
        return folder.path(gone) if gone and self._is_left_over(gone) else ""

    def _gone(self, link: Link) -> str:
        """Return what a relative path that leads to nothing readable would name in the copy, or ""."""
        target, folder = link.target, self._survey.folder
        if target.where is Where.MISSING:
            is_relative = not posixpath.isabs(link.path) and not folder.leaves(target.name)
            return folder.name_of(target.name) if is_relative else ""
        return target.name if link.names == (target.name,) and target.name not in self._ids else ""

    def _is_left_over(self, name: str) -> bool:
        """Whether the copy has something of this *name*, file or pattern, that is no file of ours."""
        return not self._ids.keys() >= set(self._held(name))

    def _leaves_something(self, link: Link) -> bool:
        """Whether the copy has, from an earlier run, some of what *link* no longer means."""
        name = self._gone(link)
        if link.frames:
            name = _template_name(link)
        elif link.names and UDIM in link.target.name:
            name = link.target.name
        return bool(name) and self._is_left_over(name)

    def dependencies(self, layer: str) -> list[Dependency]:
        """Return what a layer depends on, each once for each kind."""
        found: dict[Dependency, None] = {}
        for link in self._survey.links.get(layer, ()):
            reference = _authored(link)
            if reference in self._known:
                found[Dependency(reference.asset_id, reference.version, link.kind)] = None
            for name in link.names:
                if name in self._ids:
                    number = self._version(layer, name)
                    version = None if number is None else str(number)
                    found[Dependency(self._ids[name], version, link.kind)] = None
        return list(found)

    def missing(self, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
        """Yield (layer, path) of what leads to nothing now. One question to the catalogue."""
        known = self._known_references(catalogue)
        for layer, link in self._links():
            reference = _authored(link)
            if link.target.where is Where.MISSING or (reference and reference not in known):
                yield layer, link.path

    def outside(self) -> Iterator[tuple[str, str]]:
        """Yield (layer, path) of what leads out of the folder."""
        for layer, link in self._links():
            if link.target.where is Where.OUTSIDE:
                yield layer, link.path

    def untouched(self, *, copied: bool) -> Iterator[tuple[str, str, str]]:
        """Yield (layer, path, reason) of what can't be rewritten, or not be pinned."""
        for layer, links in self._survey.links.items():
            is_written = copied and is_writable(layer)
            sublayers = sum(link.kind is Kind.SUBLAYER for link in links)
            again = self._sublayers_again(layer, self._wanted(layer)) if sublayers > 1 else {}
            for link in links:
                why = "a variable expression: its meaning is up to the stage"
                if not is_expression(link.path):
                    why = self._why_stays(link, again) if is_written else ""
                    why = why or self._why_floats(layer, link)
                if copied and not is_written and (link.names or self._absolute(link)):
                    why = f"USD can't write .{extension(layer)} files"
                if why:
                    yield layer, link.path, why

    def _why_stays(self, link: Link, again: Container[str]) -> str:
        """Return why the copy has no reference, or one that means too much, where *link* is; or ""."""
        if link.names and link.path in again:
            return "a sublayer that is there already, by another path"
        if self._leaves_something(link):
            return "the copy still has what is gone, or can't be read"
        if not all(map(self._tiles_follow, self._patterns(link))):
            return "tiles with a hash in their ids: no number fits into a reference to them"
        return ""

    def _why_floats(self, layer: str, link: Link) -> str:
        """Return why *link* is not pinned although that was asked for, or ""."""
        if not self._pin or (link.kind is Kind.METADATA and link.names == (layer,)):
            return ""  # assetInfo's identifier: a file that says its own name
        if self._patterns(link):
            return "tiles have versions of their own: it floats"
        if any(self._floats(layer, name) for name in link.names if name in self._ids):
            return "part of a circle of files: it floats"
        return ""

    def roots(self) -> list[str]:
        """Return the layers that name others and that none names: what one would open."""
        named = {other for name, used in self.graph.items() for other in used if other != name}
        return sorted(name for name in self._survey.links if self.graph[name] and name not in named)

    def _links(self) -> Iterator[tuple[str, Link]]:
        return ((name, link) for name, links in self._survey.links.items() for link in links)

    def _named(self) -> dict[str, list[str]]:
        folder = self._survey.folder
        graph = {name: [] if name in folder.files else folder.tiles(name) for name in self._ids}
        for layer, link in self._links():
            graph[layer] += link.names
        return {name: [each for each in used if each in graph] for name, used in graph.items()}

    def _known_references(self, catalogue: Catalogue) -> set[AssetReference]:
        """Return the entity references that the layers already hold and that mean something."""
        held = {reference for _, link in self._links() if (reference := _authored(link))}
        asked = sorted(held, key=str)
        outcomes = catalogue.resolve([(ref.asset_id, ref.version) for ref in asked])
        new_ids = frozenset(self._ids.values())
        return {
            ref
            for ref, outcome in zip(asked, outcomes, strict=True)
            if isinstance(outcome, VersionRecord)
            or (ref.version is None and ref.asset_id in new_ids)
        }

    def _sublayers_again(self, layer: str, edits: Mapping[str, str]) -> dict[str, str]:
        """
        Return other new paths for sublayers whose own the list has already; Sdf takes none twice.

        They stay paths, to the copy's file where that is the reference's.
        """
        links = [each for each in self._survey.links.get(layer, ()) if each.kind is Kind.SUBLAYER]
        taken = {link.path for link in links if edits.get(link.path, link.path) == link.path}
        again: dict[str, str] = {}
        for link in links:
            new = edits.get(link.path, link.path)
            if new != link.path and new in taken:
                path = _path_in_copy(layer, link) if link.names else new
                new = again[link.path] = _spelled(path, taken)
            taken.add(new)
        return again

    def _clip_edits(self, layer: str, link: Link) -> Iterator[tuple[str, str]]:
        frames = {path: name for path, name in link.frames.items() if name in self._ids}
        for path, name in frames.items():
            yield path, self._reference(layer, name) + link.target.tail
        template = _as_id(_template_name(link))
        # One reference stands for them all where every id follows from its file's name. USD drops
        # empty parts when it puts a file's name together from a template's.
        follow = all(self._ids[name] == _as_id(name) for name in frames.values())
        if follow and not self._pin and ".." not in template:
            yield link.path, reference_for(template) + link.target.tail

    def _reference(self, layer: str, name: str) -> str:
        return reference_for(self._ids[name], self._version(layer, name))

    def _patterns(self, link: Link) -> list[str]:
        return [name for name in link.names if name in self._ids and self._is_pattern(name)]

    def _is_pattern(self, name: str) -> bool:
        return UDIM in name and name not in self._survey.folder.files

    def _tiles_follow(self, pattern: str) -> bool:
        """Whether a tile's id is what USD makes by putting its number into the pattern's."""
        tiles = (each for each in self._survey.folder.tiles(pattern) if each in self._ids)
        return all(self._ids[each] == _as_id(each) for each in (pattern, *tiles))

    def _version(self, layer: str, name: str) -> int | None:
        return self._numbers[name] if self._pin and not self._floats(layer, name) else None

    def _floats(self, layer: str, name: str) -> bool:
        """
        Whether a reference in *layer* to *name* can't be pinned.

        Within a circle of files; and in layers of one stack all do where one does, for what one of them
        adds another may take out again by its path. A UDIM pattern's tiles count their own versions.
        """
        return (
            self._is_pattern(name)
            or self._is_circle(layer, name)
            or not self._floating_items.get(name, set()).isdisjoint(self._stacks.together(layer))
        )

    @cached_property
    def _floating_items(self) -> dict[str, set[str]]:
        """By file, the layers whose references or payloads to it float as part of a circle."""
        floating: dict[str, set[str]] = {}
        for layer, link in self._links():
            for name in link.names if link.kind in (Kind.REFERENCE, Kind.PAYLOAD) else ():
                if self._is_circle(layer, name):
                    floating.setdefault(name, set()).add(layer)
        return floating

    @cached_property
    def _stacks(self) -> LayerStacks:
        sublayers: dict[str, list[str]] = {}
        for layer, link in self._links():
            if link.kind is Kind.SUBLAYER:
                sublayers.setdefault(layer, []).extend(link.names)
        return LayerStacks(self.graph, sublayers)

    def _is_circle(self, layer: str, name: str) -> bool:
        return self._cycles.get(name) == self._cycles[layer]


def _as_id(name: str) -> str:
    return name.replace("/", ".")


def _path_in_copy(layer: str, link: Link) -> str:
    """Return a path from *layer* to what *link* leads to, in a tree of the folder's names."""
    directory = posix_directory(layer)
    base = link.path.removesuffix(link.target.tail)
    is_anchored = base.startswith(("./", "../"))
    if is_anchored and posixpath.normpath(posixpath.join(directory, base)) == link.target.name:
        return link.path
    return f"./{posixpath.relpath(link.target.name, directory or '.')}{link.target.tail}"


def _spelled(path: str, taken: Container[str]) -> str:
    """Return *path* as none of those *taken* is spelled; USD takes the dots out again."""
    while path in taken:
        path = f"/.{path}" if path.startswith("/") else f"./{path}"
    return path


def _template_name(link: Link) -> str:
    """Return the name in the folder that a clip template would have if it were a file."""
    directory = posix_directory(next(iter(link.frames.values())))
    base = link.path.removesuffix(link.target.tail).rpartition("/")[2]
    return f"{directory}/{base}" if directory else base


def _authored(link: Link) -> AssetReference | None:
    """Return the entity reference that the layer itself holds, if *link* is one."""
    if link.target.where is not Where.OPAQUE or not is_asset_reference(link.path):
        return None
    try:
        return parse(split_path(link.path)[0])
    except ValueError:
        return None
