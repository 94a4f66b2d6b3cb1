# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH100, PTH118 - paths compared by their text, as ArDefaultResolver does
"""
What a layer reaches, as the assets that it would be published as; and which of them were edited.

An asset is here a file with what it reaches by relative paths below its folder, as a version is. Layers
that the process edited count as they are in memory. Published layers that nobody edited are read by what
composition asks of them alone, and only where something published was edited at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from pxr import Sdf

from bifrost.errors import BifrostError
from bifrost.model.entity_reference import is_asset_reference, parse
from bifrost.usd import working_copies
from bifrost.usd.arcs import composition_paths
from bifrost.usd.contents import Contents, Loose, Why, files_beside
from bifrost.usd.file_checks import is_usd
from bifrost.usd.folder import is_uri, split_path
from bifrost.usd.opening import layer_below
from bifrost.usd.publish_units import Owner, Stray, Unit, file_for, is_floating, place_of
from bifrost.usd.survey import PACKAGE, extension
from bifrost.usd.working_copies import Origin

Locate = Callable[[Sequence[str]], Mapping[str, str]]
"""Returns the files of entity references, those that have one, in one round trip."""
Stored = Callable[[str], tuple[str, int] | None]
"""Returns the asset and the version in whose folder of the store a file lies; None for other files."""
_ANONYMOUS: Final = "anon:"


class Reach:
    """
    What *root* reaches.

    Args:
        root: What is to be published.
        held: Layers that count as they are in memory, by their files' paths; more are added.
        owners: The assets of layers that have none, by path or anonymous identifier.
        locate: Knows where references lead.
        stored: Knows which version's folder a file lies in.

    Attributes:
        units: All of them, *root* first.
        strays: Layers that no asset has.
    """

    def __init__(
        self,
        root: Unit,
        held: dict[str, Sdf.Layer],
        owners: Mapping[str, Owner],
        locate: Locate,
        stored: Stored = lambda _: None,
    ) -> None:
        self._held, self._owners, self._locate, self._stored = held, owners, locate, stored
        self._origins: dict[str, Origin | None] = {}
        self._lights: dict[str, tuple[list[str], list[str]]] = {}
        self._by_path: dict[str, Unit] = {root.path: root}
        self._by_reference: dict[str, Unit] = {root.name: root}
        self.units: list[Unit] = [root]
        self.strays: dict[Stray, None] = {}
        root.is_edited = True
        self._look(root)
        own = root.contents.files.values() if root.contents else ()
        # Else no published file can be edited, and what it names is of no interest.
        self._is_deep = bool(held.keys() - set(own))

    def follow(self) -> None:
        """Follow what the root names, and that, breadth by breadth; one question for each breadth."""
        waiting = self.units[:1]
        while waiting:
            before = len(self.units)
            named = {unit: list(self._named(unit)) for unit in waiting}
            self._locate_all(path for paths in named.values() for path, _ in paths)
            for unit, paths in named.items():
                for path, place in paths:
                    self._link(unit, path, place)
            waiting = self.units[before:]
            for unit in waiting:
                self._look(unit)
        self._carry()

    def refuse_anonymous(self) -> None:
        """Have the anonymous layers that the root names among the strays, where nothing is followed."""
        root = self.units[0]
        for named in root.contents.references if root.contents else ():
            if named.path.startswith(_ANONYMOUS):
                self.strays[Stray(named.path, root.name)] = None

    def unit_at(self, layer: str, path: str) -> Unit | None:
        """Return the unit that an asset path means in the layer whose file is *layer*."""
        base = split_path(path)[0]
        if is_uri(base):
            return self._by_reference.get(base)
        return self._by_path.get(place_of(layer, base))

    def unused_owners(self) -> list[str]:
        """Return the layers that the caller said an asset of, and that nothing names."""
        return [
            name
            for name in self._owners
            if not (name in self._by_path or name in self._by_reference)
        ]

    def edited(self) -> list[Unit]:
        """Return the units that have to be published, in no order."""
        return [unit for unit in self.units if unit.is_edited]

    def read(self, path: str) -> Sdf.Layer | None:
        """Return the layer to read in the place of the file at *path*; None for the file."""
        return self._held.get(path)

    # What a unit consists of, and names

    def _look(self, unit: Unit) -> None:
        unit.is_edited = unit.is_edited or self._was_edited(unit)
        if unit.is_edited or not unit.is_published:
            unit.contents = self._contents(unit)
            parts = unit.contents.files.values()
            unit.is_edited = unit.is_edited or any(map(self._held.__contains__, parts))

    def _contents(self, unit: Unit) -> Contents:
        return files_beside(
            unit.path,
            read=self._held.get,
            is_apart=lambda path: path != unit.path and self._owner(path) is not None,
        )

    def _was_edited(self, unit: Unit) -> bool:
        if unit.path in self._held or unit.is_given:
            return True
        if unit.origin is not None:
            return unit.origin.is_edited(unit.path)
        return unit.is_published and any(part in self._held for part in self._light(unit)[1])

    def _light(self, unit: Unit) -> tuple[list[str], list[str]]:
        """Return the references that a published unit's composition asks for, and its layers' files."""
        if unit.path in self._lights:
            return self._lights[unit.path]
        references: dict[str, None] = {}
        waiting, seen = [unit.path], {unit.path}
        for path in waiting:
            if not is_usd(path) or extension(path) == PACKAGE:
                continue
            for each in _composition_paths(path):
                base = split_path(each)[0]
                place = "" if is_uri(base) else place_of(path, base)
                if not place:
                    references[base] = None
                elif place not in seen:
                    seen.add(place)
                    waiting.append(place)
        self._lights[unit.path] = list(references), waiting
        return self._lights[unit.path]

    def _named(self, unit: Unit) -> Iterator[tuple[str, str]]:
        """Yield the references and paths that *unit* names, and for paths where they lead."""
        if unit.contents is None:
            yield from ((each, "") for each in self._light(unit)[0])
            return
        for named in unit.contents.references:
            base = split_path(named.path)[0]
            if self._is_deep or base.startswith(_ANONYMOUS):
                yield base, ""
        for loose in unit.contents.loose:
            if self._is_layer(loose):
                alias = place_of(os.path.join(unit.contents.folder, loose.layer), loose.path)
                yield alias, loose.leads_to

    def _is_layer(self, loose: Loose) -> bool:
        if loose.why is Why.MISSING:
            return loose.leads_to in self._held
        there = loose.why in (Why.ABSOLUTE, Why.ABOVE, Why.SEARCHED, Why.APART)
        return there and is_usd(loose.leads_to) and os.path.isfile(loose.leads_to)  # noqa: PTH113

    # Units by what names them

    def _locate_all(self, paths: Iterable[str]) -> None:
        new = dict.fromkeys(
            path for path in paths if is_asset_reference(path) and path not in self._by_reference
        )
        readable = [path for path in new if _is_version(path)]
        for reference, path in (self._locate(readable) if readable else {}).items():
            self._by_reference[reference] = self._published(reference, os.path.abspath(path))

    def _published(self, reference: str, path: str) -> Unit:
        if path not in self._by_path:
            layer = self._held.get(path)
            name = layer.identifier if layer else reference
            # A project's own asset hides the one that the reference is of.
            stored = self._stored(path)
            asset_id = stored[0] if stored else parse(reference).asset_id
            unit = Unit(asset_id, path, name, layer, is_published=True)
            self._add(path, unit)
        return self._by_path[path]

    def _link(self, unit: Unit, path: str, place: str) -> None:
        if place:
            target = self._by_path.get(place) or self._owned(place, unit)
            if target is not None:
                self._by_path[path] = target
        elif path.startswith(_ANONYMOUS):
            target = self._by_reference.get(path) or self._anonymous(path, unit)
        else:
            target = self._by_reference.get(path)
        if target is not None:
            unit.links[target] = unit.links.get(target, False) or not is_floating(path)

    def _owned(self, place: str, named_by: Unit) -> Unit | None:
        owner = self._owner(place)
        if owner is None:
            self.strays[Stray(place, named_by.name)] = None
            return None
        origin = None if place in self._owners else self._origins[place]
        unit = Unit(
            owner.asset_id,
            place,
            place,
            self._held.get(place),
            owner.asset_type,
            place in self._owners,
            origin,
        )
        self._add(place, unit)
        return unit

    def _anonymous(self, identifier: str, named_by: Unit) -> Unit | None:
        layer, owner = Sdf.Layer.Find(identifier), self._owners.get(identifier)
        if layer is None or owner is None:
            self.strays[Stray(identifier, named_by.name)] = None
            return None
        path = file_for(layer, owner.asset_id)
        unit = Unit(owner.asset_id, path, identifier, layer, owner.asset_type, is_given=True)
        self._by_reference[identifier] = unit
        self._held[path] = layer
        self._add(path, unit)
        return unit

    def _owner(self, path: str) -> Owner | None:
        if path in self._owners:
            return self._owners[path]
        if path not in self._origins:
            self._origins[path] = working_copies.origin_of(path) if is_usd(path) else None
        origin = self._origins[path]
        return Owner(origin.asset_id, "") if origin else None

    def _add(self, path: str, unit: Unit) -> None:
        self._by_path[path] = unit
        self.units.append(unit)

    def _carry(self) -> None:
        """Have those published, too, that name what is edited by a version or a path."""
        users: dict[Unit, list[Unit]] = {}
        for unit in self.units:
            for target in (each for each, is_fixed in unit.links.items() if is_fixed):
                users.setdefault(target, []).append(unit)
        waiting = self.edited()
        for unit in waiting:
            for user in users.get(unit, ()):
                if not user.is_edited:
                    user.is_edited = True
                    user.contents = user.contents or self._contents(user)
                    waiting.append(user)


def _composition_paths(path: str) -> list[str]:
    try:
        return composition_paths(Sdf.Layer.Find(path) or layer_below(path))
    except BifrostError:
        return []  # it composes nothing, so that nobody has edited what it names


def _is_version(reference: str) -> bool:
    try:
        parsed = parse(reference)
    except ValueError:
        return False
    return parsed.representation is None and parsed.publish is None
