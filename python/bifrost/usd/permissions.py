# SPDX-License-Identifier: Apache-2.0
"""
Which layers of a stage may be edited and saved, and what to do instead where they may not.

A published layer never may: it is one that was opened by entity reference, that a layer of the stage
names by one, that lies in the store, whose file nobody may write to, or that a published layer names
by a relative path. Other layers may where who opened the stage may publish, or write to, its asset.
Anonymous layers, the session layer among them, are everybody's own.

`SdfLayer`'s permissions are the process's, not a stage's, and any code may set them back: they keep
people from mistakes. What keeps files as they are is said in docs/layers.md.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from pxr import Sdf, Tf, Usd

from bifrost.context import ContextSnapshot
from bifrost.errors import CatalogueError, Code, PermissionDeniedException
from bifrost.forks import Mutex
from bifrost.model.entity_reference import is_asset_reference, parse, without_format_args
from bifrost.model.permissions import Principal, User, name_of, permissions_of
from bifrost.session import Session
from bifrost.usd.arcs import composition_paths, is_expression
from bifrost.usd.folder import is_uri, split_path
from bifrost.usd.opening import reason
from bifrost.usd.stage_references import Paths, file_of, paths_on, references_by_file

_log: Final = logging.getLogger("bifrost")
_EDITS: Final = ("publish", "write")
_ANYBODY_WRITES: Final = 0o222
_MOST_LOCKED: Final = 20_000
# How USD's messages say that a layer's permission was missing.
_DENIED: Final = ("is not editable", "saving not allowed", "Permission denied")


class Lock(NamedTuple):
    """
    Why a layer may not be edited.

    Attributes:
        why: The reason, and what to do instead, for a person.
        is_published: Whether nobody may.
    """

    why: str
    is_published: bool


class Asker(NamedTuple):
    """
    For whom a stage is opened.

    Attributes:
        session: Who knows what references resolve to.
        who: Under which context.
        user: As the catalogue is told.
        asset_uri: What the stage is opened of: a reference, or a file.
    """

    session: Session
    who: ContextSnapshot
    user: User
    asset_uri: str


def apply(stage: Usd.Stage, asker: Asker) -> None:
    """
    Lock the layers of *stage* that *asker* may not edit, now and when more of them load.

    Layers that somebody else was denied and *asker* isn't are unlocked; those that others locked
    stay locked. Asks the catalogue once where there are layers that aren't published. Says in one
    line of the log how many are locked, and what to do instead.
    """
    watch = _Watch(asker)
    watch.lock(stage)
    _follow(stage, watch)


def lock_of(layer: Sdf.Layer) -> Lock | None:
    """Return why a layer was locked by `apply`; None where it wasn't, or isn't any more."""
    if layer.permissionToEdit and layer.permissionToSave:
        return None
    with _mutex:
        return _locks.get(layer.identifier)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """
    Say in the block what to do instead, where USD says only that a layer isn't editable.

    Raises:
        PermissionDeniedException: an edit or a save of a locked layer, with USD's error as its cause.
    """
    try:
        yield
    except Tf.ErrorException as error:
        text = str(error)
        if not any(each in text for each in _DENIED):
            raise
        name, lock = _named_in(text)
        raise PermissionDeniedException(
            f"{reason(error)} {lock.why if lock else HOW}",
            asset_uri=name,
            code=Code.PERMISSION_DENIED,
        ) from error


HOW: Final = (
    "Edit the session layer, or a layer of your own over it, and publish that as a new version: "
    "`bifrost_host.publish_layer(layer, asset_uri)`, or `bifrost publish file PATH`."
)


class _Watch:
    """Locks layers for one asker; what they may do is asked once."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        # No layers: a handle that somebody else's Python made would keep one from being closed.
        self._looked_at: frozenset[int] = frozenset()
        self._seen: set[tuple[str, str]] = set()
        self._refused: Lock | None = None
        self._is_asked = False

    def lock(self, stage: Usd.Stage) -> None:
        """Lock those layers of *stage* that came since the last time."""
        used = stage.GetUsedLayers()
        looked_at = frozenset(map(hash, used))
        if looked_at == self._looked_at:
            return
        self._looked_at = looked_at
        layers = [layer for layer in used if not layer.anonymous]
        new = [layer for layer in layers if self._is_new(layer)]
        locks = published(layers, self._asker.session, paths_on(stage)) if new else {}
        self._seen.update(map(_key, new))
        if count := sum(self._set(layer, locks.get(layer.identifier)) for layer in new):
            _log.info("%d of %d layers can't be edited. %s", count, len(new), HOW)

    def _is_new(self, layer: Sdf.Layer) -> bool:
        """Whether it is seen for the first time, or was locked, closed, and opened again since."""
        if _key(layer) not in self._seen:
            return True
        # Who unlocks a layer for somebody else who may edit it, takes it out of the locks.
        return layer.permissionToEdit and layer.identifier in _locks

    def _set(self, layer: Sdf.Layer, lock: Lock | None) -> bool:
        lock = lock or self._refusal()
        with _mutex:
            before = _locks.pop(layer.identifier, None)
            if lock is not None:
                _make_room()
                _locks[layer.identifier] = lock
        if lock is not None or (before is not None and not before.is_published):
            layer.SetPermissionToEdit(lock is None)
            layer.SetPermissionToSave(lock is None)
        return lock is not None

    def _refusal(self) -> Lock | None:
        if not self._is_asked:
            self._is_asked = True
            why = _refusal(self._asker)
            self._refused = Lock(why, is_published=False) if why else None
        return self._refused


def published(layers: Iterable[Sdf.Layer], session: Session, paths: Paths) -> dict[str, Lock]:
    """
    Return the lock of each of *layers* that is published, by identifier.

    Args:
        layers: The layers of one stage, or some that may name each other.
        session: Whose store it is.
        paths: Where the files of some references lie; "" where one has none.
    """
    layers = list(layers)
    locks: dict[str, Lock] = {}
    store = os.path.realpath(session.settings.store_directory) + os.sep
    for layer in layers:
        if why := _own_reason(layer, store):
            locks[layer.identifier] = Lock(f"{why}. {HOW}", is_published=True)
    others = [layer for layer in layers if layer.identifier not in locks]
    if others:
        locks.update(_by_name(layers, others, paths))
        locks.update(_parts(layers, locks))
    return locks


def _own_reason(layer: Sdf.Layer, store: str) -> str:
    name = split_path(layer.identifier)[0]
    if is_uri(name):
        return f"{name} is published and stays as it is"
    path = file_of(layer)
    if os.path.realpath(path).startswith(store):
        return f"{path} lies in the store of published files and stays as it is"
    with contextlib.suppress(OSError, ValueError):
        if not os.stat(path).st_mode & _ANYBODY_WRITES:  # noqa: PTH116  a stage has thousands
            return f"{path} is read-only, as published files are"
    return ""


def _by_name(
    layers: Iterable[Sdf.Layer], others: Iterable[Sdf.Layer], paths: Paths
) -> dict[str, Lock]:
    """Return locks for those of *others* that a layer names by a reference, and that USD opened by path."""
    references = references_by_file(layers, paths)
    return {
        layer.identifier: Lock(
            f"{references[file_of(layer)][0]} is published and stays as it is. {HOW}",
            is_published=True,
        )
        for layer in others
        if file_of(layer) in references
    }


def _parts(layers: Iterable[Sdf.Layer], locks: Mapping[str, Lock]) -> dict[str, Lock]:
    """Return locks for what published layers name by relative paths, which is part of them."""
    by_path = {file_of(layer): layer for layer in layers}
    found: dict[str, Lock] = {}
    waiting = [layer for layer in by_path.values() if layer.identifier in locks]
    while waiting:
        whole = waiting.pop()
        for path in map(whole.ComputeAbsolutePath, filter(_is_relative, composition_paths(whole))):
            part = by_path.get(split_path(str(path))[0])
            if part is None or part.identifier in locks or part.identifier in found:
                continue
            why = f"{file_of(part)} is part of {whole.identifier}, which is published"
            found[part.identifier] = Lock(f"{why}. {HOW}", is_published=True)
            waiting.append(part)
    return found


def _is_relative(path: str) -> bool:
    return not (is_uri(path) or is_expression(path) or os.path.isabs(path))  # noqa: PTH117


def _key(layer: Sdf.Layer) -> tuple[str, str]:
    return layer.identifier, layer.realPath  # the file too: references float


def _refusal(asker: Asker) -> str:
    """Return why *asker* may not edit what isn't published; "" where they may."""
    reference = without_format_args(asker.asset_uri)
    if not (asker.session.uses_own_catalogue and is_asset_reference(reference)):
        user = asker.user
        if not isinstance(user, Principal) or permissions_of(user.roles_in(None)) & {*_EDITS}:
            return ""
        return f"{name_of(user)} may neither publish nor write. Ask whoever grants access."
    asset_id = parse(reference).asset_id
    try:
        may = asker.session.catalogue.permissions(asker.user, asset_id)
    except CatalogueError:
        # Who can't be asked about goes on with their own files; a publish is asked about again.
        return ""
    if any(may[each] for each in _EDITS):
        return ""
    who = name_of(asker.user) or "who says not who they are"
    return f"{who} may neither publish nor write {reference}. Ask whoever grants access."


# What was locked, and the stages that are looked after. Process-wide, as layers and their permissions are.

_mutex: Final = Mutex()
_locks: Final[dict[str, Lock]] = {}
_followed: Final[list[tuple[Usd.Prim, Any, Any]]] = []


def _make_room() -> None:
    if len(_locks) >= _MOST_LOCKED:
        for name in [each for each in _locks if Sdf.Layer.Find(each) is None]:
            del _locks[name]


def _follow(stage: Usd.Stage, watch: _Watch) -> None:
    """Have *watch* look at *stage* whenever prims are composed anew, as long as the stage lives."""

    def changed(notice: Usd.Notice.ObjectsChanged, _sender: Any) -> None:
        # Attributes bring no layers; they are what nearly all edits are about.
        if any(path.IsAbsoluteRootOrPrimPath() for path in notice.GetResyncedPaths()):
            watch.lock(notice.GetStage())

    key = Tf.Notice.Register(Usd.Notice.ObjectsChanged, changed, stage)
    with _mutex:
        # Nothing of OpenUSD's in Python says when a stage goes; its prims go with it.
        _followed[:] = [each for each in _followed if each[0].IsValid()]
        # The function too: OpenUSD holds it weakly.
        _followed.append((stage.GetPseudoRoot(), key, changed))


def _named_in(text: str) -> tuple[str, Lock | None]:
    with _mutex:
        known = dict(_locks)
    for name, lock in known.items():
        if f"@{name}@" in text or f"'{name.rpartition('/')[2]}'" in text:
            return name, lock
    return "", None
