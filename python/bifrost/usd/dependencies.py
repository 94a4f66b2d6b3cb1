# SPDX-License-Identifier: Apache-2.0
"""
Everything that a root layer and what it names depends on, and what each name resolves to.

Breadth by breadth through the layers themselves: one request for all the entity references of a
breadth, however many they are. No stage is composed, so what lies in variants that are not
selected, in inactive prims and behind payloads is there too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

from pxr import Sdf

from bifrost.errors import AssetException
from bifrost.model.reply import Failure
from bifrost.model.resolution import Resolution
from bifrost.model.roots import SETTING
from bifrost.session import Session, current
from bifrost.usd import materialx
from bifrost.usd.arcs import Kind, asset_paths, is_expression
from bifrost.usd.contexts import in_force
from bifrost.usd.file_checks import hangs, no_usd, why_not
from bifrost.usd.folder import UDIM, has_tiles, is_uri, split_path
from bifrost.usd.opening import layer_below
from bifrost.usd.survey import PACKAGE, extension

_FILE: Final = "file"


class Use(NamedTuple):
    """What something is named for, and by which layer."""

    kind: str
    layer: str


@dataclass(frozen=True, slots=True)
class Found:
    """
    One thing that is depended on.

    Attributes:
        reference: The entity reference; for a plain path the path, anchored.
        kind: What it is for, where it was met first.
        layer: The layer that names it, where it was met first; "" for the root.
        version: The version it resolved to, or "".
        tier: Who answered, or `file` for a plain path.
        path: The file, or "".
        problem: Why there is none, or "".
        hangs: Whether USD would wait for it without end, or die of it.
    """

    reference: str
    kind: str
    layer: str
    version: str = ""
    tier: str = ""
    path: str = ""
    problem: str = ""
    hangs: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return asdict(self)


Breadth = Callable[[Sequence[str]], Mapping[str, Any]]
"""What answers for the entity references of one breadth: `Resolution` or `Failure` for each."""


def dependencies(root: str, session: Session | None = None) -> list[Found]:
    """
    Return *root* and everything it depends on, in the order in which it is met.

    In the context that is in force. Needs no plugin. Value clip templates and variable expressions are
    left out: what they name is up to the stage.

    Raises:
        ConfigurationError: `BIFROST_CONTEXT` can't be read.
    """
    return walk([root], answers_of(session or current()))


def answers_of(session: Session) -> Breadth:
    """
    Return what answers as *session* does in the context that is in force.

    Raises:
        ConfigurationError: `BIFROST_CONTEXT` can't be read.
    """
    asked = in_force(None)
    return lambda references: dict(session.resolve(references, asked).items())


Reading = Callable[[Sdf.Layer], Mapping[str, str]]
"""What says what a layer names: the kind of each reference or absolute path."""


def walk(
    roots: Sequence[str],
    answer: Breadth,
    read: Reading | None = None,
    holds: Callable[[str], bool] | None = None,
) -> list[Found]:
    """
    Return *roots* and everything they depend on, asking *answer* once for each breadth.

    As `dependencies`. What several roots need is there once.

    Args:
        roots: Files and entity references.
        answer: What answers for entity references.
        read: What says what a layer names; all that it holds, if not given.
        holds: Whether a plain path lies where it may; anywhere, if not given. *roots* may.
    """
    # Not `Path.resolve`: USD leaves links alone.
    wanted = {
        root if is_uri(root) else os.path.abspath(root): Use("root", "")  # noqa: PTH100
        for root in roots
    }
    found: dict[str, Found] = {}
    while wanted:
        answers = _answered(wanted, answer, holds)
        wanted = {}
        for name, each in answers.items():
            found[name], named = _read(each, read or _named)
            wanted.update({other: use for other, use in named.items() if other not in wanted})
        wanted = {name: use for name, use in wanted.items() if name not in found}
    return list(found.values())


def _answered(
    wanted: Mapping[str, Use], answer: Breadth, holds: Callable[[str], bool] | None
) -> dict[str, Found]:
    references = [name for name in wanted if is_uri(name)]
    outcomes = answer(references) if references else {}
    return {
        name: _entity(name, use, outcomes[name]) if name in outcomes else _file(name, use, holds)
        for name, use in wanted.items()
    }


def _entity(reference: str, use: Use, outcome: Resolution | Failure) -> Found:
    if isinstance(outcome, Failure):
        return Found(reference, use.kind, use.layer, problem=outcome.message)
    return Found(reference, use.kind, use.layer, outcome.version, outcome.tier, outcome.path)


def _file(path: str, use: Use, holds: Callable[[str], bool] | None) -> Found:
    if holds is not None and use.layer and not holds(path):
        problem = f"it is outside the folders of {SETTING}"
        return Found(path, use.kind, use.layer, tier=_FILE, problem=problem)
    # Not `Path.exists`: that raises over a name that is too long, or a folder that can't be searched.
    there = os.path.exists(path) or (UDIM in path and has_tiles(path))  # noqa: PTH110
    problem = "" if there else "no such file"
    return Found(path, use.kind, use.layer, tier=_FILE, path=path if there else "", problem=problem)


def _read(found: Found, read: Reading) -> tuple[Found, dict[str, Use]]:
    """Return *found* and what it names, if it is a layer or a MaterialX document; else a problem in it."""
    path = found.path
    kind = extension(path)
    if kind == PACKAGE:
        return found, {}
    if kind not in Sdf.FileFormat.FindAllFileFormatExtensions():
        is_document = kind == materialx.EXTENSION
        return found, _named_in_document(path) if is_document else {}
    try:
        layer = layer_below(path)
    except AssetException as error:
        return replace(found, problem=why_not(error), hangs=hangs(error)), {}
    return found, {name: Use(kind, path) for name, kind in read(layer).items()}


def _named_in_document(path: str) -> dict[str, Use]:
    here = os.path.dirname(path)  # noqa: PTH120 - by its text, as USD anchors paths
    names = materialx.file_names(path)
    places = (each if is_uri(each) else os.path.normpath(f"{here}/{each}") for each in names)
    return {each: Use(Kind.ATTRIBUTE, path) for each in places}


def _named(layer: Sdf.Layer) -> dict[str, str]:
    return {
        anchored(use.path, layer): use.kind
        for use in asset_paths(layer)
        if not use.is_template and not is_expression(use.path)
    }


def refuse_hanging(found: Iterable[Found], root: str = "") -> None:
    """
    Refuse to have a stage of *root* composed of what USD would never be done with.

    Raises:
        LayerException: *found* has such a layer; says which, and who names it.
    """
    for each in found:
        if each.hangs:
            why = f"{each.problem}; USD would never be done with it (named by {each.layer or root})"
            raise no_usd(each.path, why)


@contextlib.contextmanager
def looked_below(layer: Sdf.Layer) -> Iterator[None]:
    """
    Look at the layers that plain paths lead to from *layer*, before a stage of it is composed in the block.

    They stay open for it, so that none is read twice.

    Raises:
        LayerException: USD would never be done with one of them.
    """
    held: list[Sdf.Layer] = []

    def read(below: Sdf.Layer) -> dict[str, str]:
        held.append(below)
        return _plainly(below)

    refuse_hanging(walk(list(_plainly(layer)), lambda _: {}, read), layer.realPath)
    yield
    held.clear()


def _plainly(layer: Sdf.Layer) -> dict[str, str]:
    return {name: kind for name, kind in _named(layer).items() if not is_uri(name)}


def anchored(path: str, layer: Sdf.Layer) -> str:
    """Return the reference, or the absolute path, that an asset path means in *layer*."""
    base, _ = split_path(path)
    return base if is_uri(base) else str(layer.ComputeAbsolutePath(base))
