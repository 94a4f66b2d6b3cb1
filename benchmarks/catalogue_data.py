# SPDX-License-Identifier: Apache-2.0
"""
A studio's catalogue as rows: shots, what they are made of, and everything that is known of it.

Assets come in productions of 3,000: a shot that needs its departments' layers, these need assemblies,
models and rigs, materials, textures. On average an asset has 3 versions and 5 relationships, exactly so
where the size is a multiple of 5. Everything leads downwards, so that there are no cycles; the first
production needs nothing outside itself, so that the closure of its shot is all of it. The same seed
and size give the same rows.
"""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any, Final, NamedTuple

PRODUCTION: Final = 3_000
VERSIONS: Final = 3
EDGES: Final = 5
SHOT: Final = "p0000_shot_0000"
"""The shot whose closure is a whole production."""

COMMON_WORD: Final = "weathered"
RARE_WORD: Final = "quetzalcoatl"
_RARE_EVERY: Final = 4_999

# Where in a production each kind of asset begins, and how many references it needs below itself.
_LEVELS: Final = (0, 1, 10, 60, 420, 900, PRODUCTION)
_TYPES: Final = ("shot", "layer", "assembly", "model", "material", "texture")
_KINDS: Final = ("sublayer", "reference", "payload", "reference", "texture")
_TEXTURES: Final = _LEVELS[5]
_RIGS: Final = range(360, 420)
_DEPARTMENTS: Final = ("layout", "animation", "lighting", "effects", "modeling", "surfacing")
TAGS: Final = (
    "character",
    "prop",
    "environment",
    "vehicle",
    "creature",
    "crowd",
    "set",
    "effects",
)
_MORE_TAGS: Final = ("hero", "background", "approved-look", "winter", "night", "destroyed", "wet")
_ADJECTIVES: Final = tuple(
    """
    rusty broken golden ancient frozen burnt tall crooked painted hollow silver mossy
    cracked dusty royal sunken twisted polished faded heavy
    """.split()  # noqa: SIM905  a text is read more easily
)
_NOUNS: Final = tuple(
    """
    hull gate tower wagon lantern bridge anchor statue barrel helmet cloak saddle throne
    column engine propeller staircase fountain chandelier wardrobe sword shield mask drum
    banner
    """.split()  # noqa: SIM905  a text is read more easily
)
_WHERE: Final = tuple(
    """
    harbour castle market forest temple desert station cellar rooftop arena mine village
    """.split()  # noqa: SIM905  a text is read more easily
)
_PEOPLE: Final = ("ada", "grace", "linus", "margaret", "edsger", "barbara", "ken", "radia")
_COMMENTS: Final = ("", "", "fixed the scale", "notes from dailies", "client review", "new bake")
# What every fourth asset's newest version went through.
_STATUSES: Final = (("review",), ("review", "approved"), (), ())

_FIRST_US: Final = 1_656_633_600_000_000  # 2022-07-01
_SPAN_US: Final = 3 * 365 * 86_400_000_000
_AT_MOST_US: Final = 90 * 86_400_000_000  # between two versions
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode

Rows = dict[str, list[tuple[Any, ...]]]

COLUMNS: Final = {
    "assets": (
        *("key", "id", "name", "type", "created", "modified", "created_by", "deprecated"),
        *("latest_version", "status", "metadata"),
    ),
    "versions": (
        *("asset", "number", "location", "mime_type", "templated", "size", "checksum", "created"),
        *("created_by", "comment", "metadata", "properties"),
    ),
    "relationships": (
        *("asset", "number", "position", "to_asset", "to_number", "to_tag", "kind", "strength"),
        *("origin", "purpose", "metadata", "created", "created_by"),
    ),
    "metadata_values": ("asset", "path", "position", "kind", "text", "number"),
    "search_texts": ("asset", "text"),
    "version_status": ("asset", "number", "status"),
    "status_history": ("asset", "number", "before", "status", "at", "by", "reason"),
    "changes": ("asset", "at"),
}
"""The tables that have rows, in an order in which they can be written, and the rows' columns."""


def production(first: int, size: int, *, seed: int = 1, is_graph_only: bool = False) -> Rows:
    """
    Return the rows, by table, of the production that begins with asset *first*, counting from 0.

    In each table they come in the order of its primary key.

    Args:
        first: A multiple of `PRODUCTION`.
        size: How many assets the catalogue has; its last production may be a part of one.
        seed: Another one gives other rows.
        is_graph_only: Leave out what only queries read: metadata, statuses, the log of changes.
    """
    rng = random.Random(f"{seed} {first}")
    return _Production(rng, first, min(PRODUCTION, size - first)).rows(is_graph_only)


def asset_id(index: int) -> str:
    """Return the id of asset *index*, counting from 0."""
    production, place = divmod(index, PRODUCTION)
    return f"p{production:04}_{_type(place)}_{place:04}"


def versions_of(index: int) -> int:
    """Return how many versions asset *index* has: 1 to 5, and 15 in any five that follow."""
    return (3, 1, 5, 2, 4)[index % 5]


def _statuses_of(index: int) -> tuple[str, ...]:
    return _STATUSES[index % len(_STATUSES)]


def _level(place: int) -> int:
    return next(level for level, (low, high) in enumerate(pairwise(_LEVELS)) if low <= place < high)


def _type(place: int) -> str:
    return "rig" if place in _RIGS else _TYPES[_LEVEL[place]]


def _parent(place: int) -> int:
    level = _LEVEL[place]
    above = _LEVELS[level] - _LEVELS[level - 1]
    return _LEVELS[level - 1] + (place - _LEVELS[level]) % above


_LEVEL: Final = [_level(place) for place in range(PRODUCTION)]
_TYPE: Final = [_type(place) for place in range(PRODUCTION)]
_PARENT: Final = [0, *(_parent(place) for place in range(1, PRODUCTION))]


class _Look(NamedTuple):
    """What an asset is called and described as."""

    name: str
    metadata: dict[str, Any]


class _Production:
    """The assets *first* to *first* + *size* - 1, counting from 0; their keys count from 1."""

    def __init__(self, rng: random.Random, first: int, size: int) -> None:
        self._rng = rng
        self._draw = rng.random
        self._first = first
        self._size = size
        self._children: list[list[int]] = [[] for _ in range(size)]
        for place in range(1, size):
            self._children[_PARENT[place]].append(place)
        self._rows: Rows = {table: [] for table in COLUMNS}

    def rows(self, is_graph_only: bool) -> Rows:
        extra = self._extra_edges()
        for place in range(self._size):
            look = self._look(place)
            times = self._versions(place, look)
            status = "wip" if is_graph_only else self._status(place, times)
            self._asset(place, look, times, status)
            self._edges(place, times, extra)
            if not is_graph_only:
                self._indexed(place, look)
        return self._rows

    def _pick(self, choices: Any) -> Any:
        return choices[int(self._draw() * len(choices))]

    def _look(self, place: int) -> _Look:
        adjective, noun, where = self._pick(_ADJECTIVES), self._pick(_NOUNS), self._pick(_WHERE)
        word = COMMON_WORD if self._draw() < 0.2 else self._pick(_ADJECTIVES)
        if (self._first + place) % _RARE_EVERY == 7:
            word = RARE_WORD
        metadata: dict[str, Any] = {
            "tags": [self._pick(TAGS), self._pick(_MORE_TAGS)],
            "description": f"{adjective} {noun} of the {word} {where}",
            "department": self._pick(_DEPARTMENTS),
        }
        if _TYPE[place] == "texture":
            metadata["resolution"] = self._pick((1024, 2048, 4096, 8192))
        elif _TYPE[place] in {"model", "rig"}:
            metadata["polygons"] = int(self._draw() * 500_000)
        return _Look(f"{adjective.title()}_{noun.title()}_{place:04}", metadata)

    def _versions(self, place: int, look: _Look) -> list[int]:
        """Add the versions and return when each was made."""
        index = self._first + place
        production, kind = index // PRODUCTION, _TYPE[place]
        is_image = kind == "texture"
        at = _FIRST_US + int(self._draw() * _SPAN_US)
        properties = "{}" if is_image else '{"usd": {"defaultPrim": "root", "upAxis": "Y"}}'
        times = []
        for number in range(1, versions_of(index) + 1):
            folder = f"file:///shows/p{production:04}/{kind}/{look.name}/v{number:03}"
            self._rows["versions"].append(
                (
                    index + 1,
                    number,
                    f"{folder}/{look.name}.{'%3CUDIM%3E.exr' if is_image else 'usd'}",
                    "image/x-exr" if is_image else "model/vnd.usd",
                    is_image,
                    int(self._draw() * 50_000_000),
                    f"{self._rng.getrandbits(256):064x}",
                    at,
                    self._pick(_PEOPLE),
                    self._pick(_COMMENTS),
                    "{}",
                    properties,
                )
            )
            times.append(at)
            at += 1 + int(self._draw() * _AT_MOST_US)
        return times

    def _status(self, place: int, times: list[int]) -> str:
        """Move the newest version along, of half of the assets; return where it stands."""
        self._rows["changes"] += [(self._first + place + 1, at) for at in times]
        statuses = _statuses_of(self._first + place)
        if not statuses:
            return "wip"
        key, at = self._first + place + 1, times[-1] + 1
        before = "wip"
        for status in statuses:
            by = self._pick(_PEOPLE)
            self._rows["status_history"].append((key, len(times), before, status, at, by, ""))
            self._rows["changes"].append((key, at))
            before, at = status, at + 1
        self._rows["version_status"].append((key, len(times), before))
        times[-1] = at - 1  # what the asset's `modified` is
        return before

    def _asset(self, place: int, look: _Look, times: list[int], status: str) -> None:
        index = self._first + place
        self._rows["assets"].append(
            (
                index + 1,
                asset_id(index),
                look.name,
                _TYPE[place],
                times[0],
                times[-1],
                self._pick(_PEOPLE),
                self._draw() < 0.02,
                len(times),
                status,
                _encode(look.metadata),
            )
        )

    def _indexed(self, place: int, look: _Look) -> None:
        # What `indexing` makes of it, as a test sees to; that one takes documents of any shape, and
        # half of the generator's time.
        key, metadata = self._first + place + 1, look.metadata
        texts = [asset_id(key - 1), look.name, _TYPE[place]]
        rows = self._rows["metadata_values"]
        for path in sorted(metadata):
            value = metadata[path]
            if isinstance(value, str):
                rows.append((key, path, 0, "s", value, None))
            elif isinstance(value, int):
                rows.append((key, path, 0, "n", None, float(value)))
            else:
                rows.append((key, path, 0, "l", None, None))
                rows += [(key, path, at, "s", text, None) for at, text in enumerate(value, 1)]
        texts += [*metadata["tags"], metadata["description"], metadata["department"]]
        self._rows["search_texts"].append((key, "\n".join(dict.fromkeys(texts)).casefold()))

    def _extra_edges(self) -> list[int]:
        """Return how many edges each asset has beside those of the tree, in all its versions."""
        parents = [place for place in range(self._size) if self._children[place]]
        tree = sum(
            versions_of(self._first + place) * len(self._children[place]) for place in parents
        )
        missing = EDGES * self._size - tree
        extra = [0] * self._size
        for turn in range(max(0, missing) if parents else 0):
            extra[parents[turn % len(parents)]] += 1
        return extra

    def _edges(self, place: int, times: list[int], extra: list[int]) -> None:
        rows, added = [], []
        for number, at in enumerate(times, start=1):
            places = [(child, False) for child in self._children[place]]
            share, rest = divmod(extra[place], len(times))
            for _ in range(share + (number <= rest)):
                target = self._below(place)
                if self._draw() < 0.04:
                    added.append(self._added(place, len(added), target, at))
                else:
                    places.append((target, True))
            rows += [
                self._edge(place, number, position, target, is_extra, at)
                for position, (target, is_extra) in enumerate(places)
            ]
        # What was added to the whole asset has the number 0.
        self._rows["relationships"] += added + rows

    def _below(self, place: int) -> int:
        """Return a place that a further edge of *place* may lead to: a deeper one, or elsewhere."""
        if self._first and self._draw() < 0.05:
            earlier = int(self._draw() * (self._first // PRODUCTION)) * PRODUCTION
            return earlier - self._first + _TEXTURES + int(self._draw() * (PRODUCTION - _TEXTURES))
        lowest = _LEVELS[_LEVEL[place] + 1]
        return lowest + int(self._draw() * (self._size - lowest))

    def _edge(
        self, place: int, number: int, position: int, target: int, is_extra: bool, at: int
    ) -> tuple[Any, ...]:
        meant, tag, chance = None, None, self._draw()
        if chance < 0.2:
            meant = 1 + int(self._draw() * versions_of(self._first + target))
        elif chance < 0.25:
            tag = "latest"
        elif chance < 0.3 and is_extra and "approved" in _statuses_of(self._first + target):
            tag = "approved"
        key = self._first + place + 1
        kind = _KINDS[_LEVEL[place]]
        by = _PEOPLE[key % len(_PEOPLE)]
        ends = (key, number, position, self._first + target + 1, meant, tag)
        return (*ends, kind, 0, 0, "", "{}", at, by)

    def _added(self, place: int, position: int, target: int, at: int) -> tuple[Any, ...]:
        ends = (self._first + place + 1, 0, position, self._first + target + 1, None, None)
        strength = int(self._draw() * 3)
        metadata = '{"context": "look development"}'
        return (*ends, "dependency", strength, 1, "lookdev", metadata, at, self._pick(_PEOPLE))
