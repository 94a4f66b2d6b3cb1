# SPDX-License-Identifier: Apache-2.0
"""What every operation works on: a show that is known beforehand, and one thread's part of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from bifrost.host import BifrostHostInterface
from bifrost.publishing import Draft
from bifrost.testing.show import layer

LEAVES = 6
CAR = "bifrost:///assets/car"
SHOT = "bifrost:///assets/shot"
NOTHING = "bifrost:///assets/nothing"
_CAR = """#usda 1.0
(
    defaultPrim = "car"
)
def "car" (
    variants = {
        string color = "red"
    }
    prepend variantSets = "color"
)
{
    variantSet "color" = {
        "red" {
            custom string paint = "red"
        }
        "blue" {
            custom string paint = "blue"
        }
    }
}
"""
# Stages and layers that an operation was given live until the process ends: see test_hang_hunt.py.
kept: list[Any] = []


def leaf(number: int, version: int | None = None) -> str:
    """Return the reference of one of the leaves, which have two versions each."""
    return f"bifrost:///assets/leaf{number}" + ("" if version is None else f"?version={version}")


def prepare(host: BifrostHostInterface, folder: Path) -> None:
    """Publish the show: leaves of two versions, a car with two colours, a shot that names them all."""
    for version in (1, 2):
        host.publish(
            [
                draft(folder, f"leaf{number}", layer(value=f"{number} {version}"))
                for number in range(LEAVES)
            ]
        )
    host.publish([draft(folder, "car", _CAR)])
    references = (*map(leaf, range(LEAVES)), CAR)
    host.publish([draft(folder, "shot", layer(references=references))])
    host.sync_relationships(SHOT)


def draft(folder: Path, asset_id: str, text: str) -> Draft:
    """Return the publish of a layer."""
    file = folder / f"{asset_id}_{threading.get_ident()}.usda"
    file.write_text(text)
    return Draft(asset_id, asset_id, "layer", str(file))


class Part:
    """
    One thread's part.

    Attributes:
        host: Whose operations these are; all threads share it.
        rng: The thread's chance.
        folder: A folder of the thread's own.
    """

    def __init__(self, host: BifrostHostInterface, folder: Path, name: str) -> None:
        self.host = host
        self.rng = Random(name)
        self.folder = folder / name
        self.folder.mkdir()
        self._name = name
        self._made = 0

    def new(self, kind: str = "own") -> str:
        """Return an id, or a name, that no other call has."""
        self._made += 1
        return f"{kind}_{self._name}_{self._made}"

    def published(self, text: str | None = None) -> str:
        """Publish an asset of this thread's own; return its reference."""
        asset_id = self.new()
        self.host.publish([draft(self.folder, asset_id, text or layer(value="1"))])
        return f"bifrost:///assets/{asset_id}"

    def draft(self) -> Draft:
        """Return the publish of an asset that is not there yet."""
        return draft(self.folder, self.new(), layer(value="1"))

    def leaves(self) -> tuple[list[str], list[int]]:
        """Return references of leaves, floating and not, and the version that each is."""
        numbers = [self.rng.randrange(LEAVES) for _ in range(self.rng.randint(1, 8))]
        versions = [self.rng.choice([None, 1, 2]) for _ in numbers]
        uris = [leaf(number, version) for number, version in zip(numbers, versions, strict=True)]
        return uris, [version or 2 for version in versions]


Operation = Callable[[Part], None]
OPERATIONS: dict[str, Operation] = {}


def operation(*names: str) -> Callable[[Operation], Operation]:
    """Say that a function calls the host's *names*; it raises AssertionError where an answer is wrong."""

    def register(function: Operation) -> Operation:
        OPERATIONS.update(dict.fromkeys(names, function))
        return function

    return register


def equal(expected: Any, found: Any) -> None:
    """Raise AssertionError with both of them if they differ."""
    assert expected == found, f"expected {expected!r}, got {found!r}"
