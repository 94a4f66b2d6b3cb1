# SPDX-License-Identifier: Apache-2.0
"""The layers of a stage as a table: what each is, which version, whether it may be edited."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from pxr import Ar, Sdf, Usd

from bifrost.usd.folder import is_uri, split_path
from bifrost.usd.permissions import lock_of
from bifrost.usd.stage_references import file_of, names_on, told_of


@dataclass(frozen=True, slots=True)
class StageLayer:
    """
    One layer of a stage.

    Attributes:
        identifier: What USD calls it.
        reference: The entity reference that the stage names it by, or was opened of; or "".
        path: Its file, or "" for an anonymous one.
        version: The version that it is of, or "".
        manager: The manager that said so, or "".
        size: Its file's, in bytes; None where there is no file.
        editable: Whether it may be edited and saved.
        dirty: Whether it has edits that aren't saved.
        muted: Whether the stage leaves it out.
        why: Why it may not be edited, and what to do instead; or "".
        problem: What is wrong with it, or "".
    """

    identifier: str
    reference: str = ""
    path: str = ""
    version: str = ""
    manager: str = ""
    size: int | None = None
    editable: bool = False
    dirty: bool = False
    muted: bool = False
    why: str = ""
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return asdict(self)


def stage_layers(stage: Usd.Stage) -> list[StageLayer]:
    """
    Return the layers that *stage* is made of: its own, strongest first, then those that arcs brought.

    Muted ones come last. The session layer is left out. Asks nobody, unless where a muted one is has
    been forgotten. On the thread that edits the stage.
    """
    with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
        name = names_on(stage)
        rows = [_row(layer, name(layer)) for layer in _ordered(stage)]
        return [*rows, *map(_muted, sorted(stage.GetMutedLayers()))]


def _ordered(stage: Usd.Stage) -> Iterator[Sdf.Layer]:
    own = stage.GetLayerStack(includeSessionLayers=False)
    yield from own
    session = stage.GetSessionLayer()
    others = {layer for layer in stage.GetUsedLayers() if layer != session}
    yield from sorted(others.difference(own), key=lambda layer: layer.identifier)


def _row(layer: Sdf.Layer, reference: str) -> StageLayer:
    path = file_of(layer)
    size = _size(path)
    told = told_of(reference)
    lock = lock_of(layer)
    return StageLayer(
        layer.identifier,
        reference=reference,
        path=layer.realPath,
        version=str(told.get("version", "")),
        manager=str(told.get("manager", "")),
        size=size,
        editable=layer.permissionToEdit and layer.permissionToSave,
        dirty=layer.dirty,
        why=lock.why if lock else "",
        problem="its file is not there any more" if path and size is None else "",
    )


def _muted(name: str) -> StageLayer:
    reference = split_path(name)[0]
    path = str(Ar.GetResolver().Resolve(name))
    return StageLayer(
        name,
        reference=reference if is_uri(reference) else "",
        path=path,
        size=_size(split_path(path)[0]),
        muted=True,
    )


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size  # noqa: PTH116  a stage has thousands
    except (OSError, ValueError):
        return None
