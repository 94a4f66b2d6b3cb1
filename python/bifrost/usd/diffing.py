# SPDX-License-Identifier: Apache-2.0
"""
What differs between two roots: what they depend on, and what that composes to or how it is written.

Things are compared by what they are called, not by where they lie: an entity reference without its
version, a file by its path from the root's folder. So two versions of a shot, or a folder and its
copy, differ in what changed and in nothing else.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

from pxr import Sdf

from bifrost.errors import BifrostError
from bifrost.model.entity_reference import parse
from bifrost.session import Session, current
from bifrost.usd import stage as plugin
from bifrost.usd.dependencies import Found, dependencies
from bifrost.usd.dump import canonical_dump
from bifrost.usd.folder import is_uri
from bifrost.usd.inspection import content, stage_of
from bifrost.usd.measuring import measured
from bifrost.usd.survey import PACKAGE, extension

ROOT: Final = "(root)"
"""What both roots are called."""

# A prim's first line in a canonical dump.
_PRIM: Final = re.compile(r"(?:def|over|class) \S+ (/\S*)")


class Change(NamedTuple):
    """
    One thing that only one of two roots depends on, or in another version, place or state.

    Attributes:
        change: `added`, `removed` or `changed`.
        subject: What it is called.
        before: As the first root finds it; None where it doesn't.
        after: As the second root finds it; None where it doesn't.
    """

    change: str
    subject: str
    before: Found | None
    after: Found | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return {
            "change": self.change,
            "subject": self.subject,
            "before": None if self.before is None else self.before.as_dict(),
            "after": None if self.after is None else self.after.as_dict(),
        }


@dataclass(frozen=True, slots=True)
class Passage:
    """
    A part of a text that differs.

    Attributes:
        subject: The prim's path, `/` for the stage; or what the layer is called.
        lines: As `diff` writes them: each behind `-`, `+`, or a space where it only says where.
    """

    subject: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """
    What differs between two roots: true where anything does.

    Attributes:
        dependencies: Sorted by what they are called. Layers count by version and place, other files
            by what they hold.
        composition: The prims that compose to something else, in the order of their paths; empty
            when layers were asked for.
        layers: The layers whose text differs; empty when the composition was asked for.
        problems: What did not resolve in either.
    """

    dependencies: tuple[Change, ...]
    composition: tuple[Passage, ...]
    layers: tuple[Passage, ...]
    problems: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.dependencies or self.composition or self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return {
            "same": not self,
            "dependencies": [each.as_dict() for each in self.dependencies],
            "composition": [asdict(each) for each in self.composition],
            "layers": [asdict(each) for each in self.layers],
            "problems": list(self.problems),
        }


def diff(
    before: str, after: str, session: Session | None = None, *, layers: bool = False
) -> Difference:
    """
    Return what *after* has else than *before*, both files or entity references.

    Args:
        before: The first root.
        after: The second one.
        session: Whom to ask what they depend on.
        layers: Compare the text of the layers, and not what they compose to: both roots', and those
            that both have in different places.

    Raises:
        BifrostError: one of them can't be opened; the message says which and why.
        ConfigurationError: the plugin isn't installed, or the settings can't be read.
    """
    plugin.warm()  # before anything of USD is used
    asked = session or current()
    found = [_found(name, asked) for name in (before, after)]
    shared = frozenset.intersection(*(frozenset(each.reference for each in side) for side in found))
    old, new = _Side(before, found[0], shared), _Side(after, found[1], shared)
    return Difference(
        dependencies=tuple(_changes(old.things, new.things)),
        composition=() if layers else tuple(_composition(old, new)),
        layers=tuple(_texts(old, new)) if layers else (),
        problems=tuple(dict.fromkeys((*old.problems(), *new.problems()))),
    )


def _found(name: str, session: Session) -> list[Found]:
    found = dependencies(name, session)
    if problem := found[0].problem:
        raise BifrostError(f"{name}: {problem}")
    return found


class _Side:
    """
    One of two roots: `root`, and the `things` it depends on by what they are called.

    Args:
        name: The root.
        found: It, and what it depends on.
        shared: What both roots name, which is called that.
    """

    def __init__(self, name: str, found: Sequence[Found], shared: frozenset[str]) -> None:
        self.name = name
        self.root, *others = found
        self.folder = os.path.dirname(self.root.path)  # noqa: PTH120 - links stay links
        called = [self._called(each.reference, shared) for each in others]
        counts = Counter(called)
        # An asset in two versions at once goes by whole references.
        self.things = {
            each.reference if counts[key] > 1 else key: each
            for key, each in zip(called, others, strict=True)
        }

    def _called(self, reference: str, shared: frozenset[str]) -> str:
        if not is_uri(reference):
            return reference if reference in shared else os.path.relpath(reference, self.folder)
        try:
            return str(replace(parse(reference), version=None))
        except ValueError:  # another manager's
            return reference

    def problems(self) -> Iterator[str]:
        """Yield what did not resolve."""
        for each in self.things.values():
            if each.problem:
                yield f"{each.reference}: {each.problem} (from {each.layer})"

    def dump(self) -> dict[str, list[str]]:
        """Return the canonical dump of the stage, by prim; the stage's own lines at `/`."""
        names = {os.path.realpath(each.path): key for key, each in self.things.items() if each.path}
        names[os.path.realpath(self.root.path)] = ROOT
        blocks: dict[str, list[str]] = {"/": []}
        lines = blocks["/"]
        for line in canonical_dump(stage_of(self.name), self.folder, names).splitlines():
            if prim := _PRIM.fullmatch(line):
                lines = blocks.setdefault(prim[1], [])
            lines.append(line)
        return blocks


def _changes(old: Mapping[str, Found], new: Mapping[str, Found]) -> Iterator[Change]:
    equal = _with_equal_content(old, new)
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before is None:
            yield Change("added", key, None, after)
        elif after is None:
            yield Change("removed", key, before, None)
        elif _differ(before, after, equal):
            yield Change("changed", key, before, after)


def _differ(before: Found, after: Found, equal: frozenset[tuple[str, str]]) -> bool:
    if bool(before.problem) != bool(after.problem) or before.version != after.version:
        return True
    if before.path == after.path or (before.path, after.path) in equal:
        return False
    # Plain layers are called by where they are; what they say is compared as text or composed.
    return is_uri(before.reference) or not _is_layer(before.path)


def _with_equal_content(
    old: Mapping[str, Found], new: Mapping[str, Found]
) -> frozenset[tuple[str, str]]:
    """Return the pairs of files, neither of them a layer, that hold the same in different places."""
    pairs = [
        (old[key].path, new[key].path)
        for key in sorted(old.keys() & new.keys())
        if old[key].path
        and new[key].path
        and old[key].path != new[key].path
        and not _is_layer(old[key].path)
    ]
    found = measured([path for pair in pairs for path in pair])
    return frozenset(
        pair
        for pair, first, second in zip(pairs, found[::2], found[1::2], strict=True)
        if not isinstance(first, OSError) and first == second
    )


def _is_layer(path: str) -> bool:
    known = extension(path)
    return known != PACKAGE and known in Sdf.FileFormat.FindAllFileFormatExtensions()


def _composition(old: _Side, new: _Side) -> Iterator[Passage]:
    # Prim by prim: looking for lines that moved through a whole stage takes minutes.
    before, after = old.dump(), new.dump()
    for path in sorted(before.keys() | after.keys(), key=Sdf.Path):
        if before.get(path) != after.get(path):
            lines = _told(before.get(path, []), after.get(path, []))
            yield Passage(path, tuple(lines))


def _told(before: Sequence[str], after: Sequence[str]) -> Iterator[str]:
    """Yield how a prim's lines differ, behind the prim itself."""
    if before and after and before[0] == after[0] and _PRIM.fullmatch(before[0]):
        yield f" {before[0]}"
        before, after = before[1:], after[1:]
    yield from _hunks(before, after, context=0)


def _texts(old: _Side, new: _Side) -> Iterator[Passage]:
    pairs = {ROOT: (old.name, new.name)}
    for key in sorted(old.things.keys() & new.things.keys()):
        first, second = old.things[key].path, new.things[key].path
        if first and second and first != second and _is_layer(first) and _is_layer(second):
            pairs[key] = (first, second)
    for key, (first, second) in pairs.items():
        before, after = (content(each).ExportToString().splitlines() for each in (first, second))
        if lines := tuple(_hunks(before, after, context=2)):
            yield Passage(key, lines)


def _hunks(before: Sequence[str], after: Sequence[str], context: int) -> Iterator[str]:
    found = difflib.unified_diff(before, after, n=context, lineterm="")
    for number, line in enumerate(found):
        # The two file names, which come first, are ours to say; without context places say nothing.
        if number >= 2 and (context or not line.startswith("@@")):
            yield line
