# SPDX-License-Identifier: Apache-2.0
"""
Variant selections that a session remembers, and how a selection is written into a layer.

What is remembered for a reference that floats holds for every version of the asset; for one that names
a version, for that one alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from pxr import Sdf, Tf, Usd

from bifrost.errors import AccessModeException, Code
from bifrost.forks import Mutex
from bifrost.model.entity_reference import canonical, without_format_args
from bifrost.session import Session
from bifrost.usd.folder import is_uri
from bifrost.usd.survey import reason

_log = logging.getLogger("bifrost.usd")


class Place(NamedTuple):
    """A variant set of a prim."""

    prim_path: str
    variant_set: str


Selections = Mapping[Place, str]
"""The variant selected at each place, in the order in which they were selected."""

_NONE: Final[Selections] = MappingProxyType({})

# By session, then by asset. Replaced whole when one changes, so that readers need no lock.
_remembered: WeakKeyDictionary[Session, dict[str, Selections]] = WeakKeyDictionary()
_lock = Mutex()


def remember(session: Session, asset_uri: str, place: Place, variant: str | None) -> None:
    """
    Have later stages of *asset_uri* in this session opened with *variant* selected; None: no more.

    Any thread. What is open already stays as it is.
    """
    name = _name(asset_uri)
    with _lock:
        known = dict(_remembered.get(session, {}))
        selections = {each: it for each, it in known.get(name, _NONE).items() if each != place}
        if variant is not None:
            selections[place] = variant
        known[name] = MappingProxyType(selections)
        _remembered[session] = {each: chosen for each, chosen in known.items() if chosen}


def remembered(session: Session, asset_uri: str) -> Selections:
    """Return what is remembered for *asset_uri*; a version's own selections over those of all versions."""
    known = _remembered.get(session)
    if not known:
        return _NONE
    name = _name(asset_uri)
    of_asset, of_version = known.get(_asset(name), _NONE), known.get(name, _NONE)
    return {**of_asset, **of_version}


def forget(session: Session, asset_uri: str | None = None) -> None:
    """Forget what is remembered for exactly *asset_uri*; None: everything of this session."""
    with _lock:
        if asset_uri is None:
            _remembered.pop(session, None)
        elif session in _remembered:
            name = _name(asset_uri)
            _remembered[session] = {
                each: chosen for each, chosen in _remembered[session].items() if each != name
            }


def apply(stage: Usd.Stage, asset_uri: str, session: Session) -> Selections:
    """
    Write what is remembered for *asset_uri* into the session layer of *stage*; return what was.

    Left out, with a warning each, is what this version doesn't have: a prim, a set, a variant; and what
    is inside an instance now. What may be behind a payload that isn't loaded, or outside the mask, is
    written: it counts when that is loaded. The stage recomposes once, and once more for each level
    of sets that are inside variants of others.
    """
    layer = stage.GetSessionLayer()
    left = dict(remembered(session, asset_uri)) if layer else {}
    done: dict[Place, str] = {}
    while ready := {place: it for place, it in left.items() if _is_there(stage, place, it)}:
        _write(layer, ready)
        done.update(ready)
        left = {place: it for place, it in left.items() if place not in ready}
    later = {place: it for place, it in left.items() if _may_come(stage, place.prim_path)}
    _write(layer, later)
    for place in left.keys() - later.keys():
        _log.warning(
            "%s: the remembered selection %s=%s of %s is left out, this stage has no such variant",
            *(asset_uri, place.variant_set, left[place], place.prim_path),
        )
    return {**done, **later}


def author(
    layer: Sdf.Layer, path: Sdf.Path, variant_set: str, variant: str | None, asset_uri: str = ""
) -> None:
    """
    Write into *layer* that *variant* is selected at *path*; None removes the layer's own opinion.

    The layer is not saved. Called on the thread that edits the layer's stages.

    Raises:
        AccessModeException: the layer can't be edited; says how to publish instead.
    """
    check_editable(layer, asset_uri)
    try:
        _author(layer, path, variant_set, variant)
    except Tf.ErrorException as error:
        raise _not_editable(layer, asset_uri, reason(error)) from error


def check_editable(layer: Sdf.Layer, asset_uri: str = "") -> None:
    """
    Make sure that *layer* is one that may be edited: no published version, no package.

    Raises:
        AccessModeException: it is not; says how to publish instead.
    """
    if not layer.permissionToEdit:
        raise _not_editable(layer, asset_uri, "its permission to edit was taken away")
    if is_uri(without_format_args(layer.identifier)) and not layer.anonymous:
        raise _not_editable(layer, asset_uri, "it is a published version")
    if layer.GetFileFormat().IsPackage():
        raise _not_editable(layer, asset_uri, "USD only reads packages")
    path = layer.realPath
    # By its modes and not by trying: root may write whatever is read-only.
    if path and os.path.exists(path) and not os.stat(path).st_mode & 0o222:  # noqa: PTH110, PTH116
        raise _not_editable(layer, asset_uri, "its file is read-only, as published ones are")


def _author(layer: Sdf.Layer, path: Sdf.Path, variant_set: str, variant: str | None) -> None:
    if variant is not None:
        Sdf.CreatePrimInLayer(layer, path).variantSelections[variant_set] = variant
        return
    spec = layer.GetPrimAtPath(path)
    if spec and variant_set in spec.variantSelections:
        del spec.variantSelections[variant_set]


def _write(layer: Sdf.Layer, selections: Selections) -> None:
    with Sdf.ChangeBlock():
        for place, variant in selections.items():
            _author(layer, Sdf.Path(place.prim_path), place.variant_set, variant)


def _is_there(stage: Usd.Stage, place: Place, variant: str) -> bool:
    prim = stage.GetPrimAtPath(place.prim_path)
    if not prim or prim.IsInstanceProxy():
        return False
    return variant in prim.GetVariantSet(place.variant_set).GetVariantNames()


def _may_come(stage: Usd.Stage, prim_path: str) -> bool:
    if not stage.GetPopulationMask().Includes(prim_path):
        return True
    for path in reversed(Sdf.Path(prim_path).GetPrefixes()):
        if prim := stage.GetPrimAtPath(path):
            return not prim.IsInstanceProxy() and not prim.IsLoaded()
    return False


def _not_editable(layer: Sdf.Layer, asset_uri: str, why: str) -> AccessModeException:
    return AccessModeException(
        f"{layer.identifier} can't be edited: {why}; select in the session layer (target='session'), or "
        "edit a working copy (target='layer' without a stage makes one) and publish that by "
        "register_version",
        asset_uri=asset_uri,
        code=Code.ACCESS,
    )


def _name(asset_uri: str) -> str:
    asset_uri = without_format_args(asset_uri)
    # Not `Path.resolve`: USD leaves links alone.
    return canonical(asset_uri) if is_uri(asset_uri) else os.path.abspath(asset_uri)  # noqa: PTH100


def _asset(name: str) -> str:
    return name.partition("?")[0] if is_uri(name) else name


def as_text(selections: Iterable[tuple[Place, str]]) -> str:
    """Return a text that is equal for equal selections only."""
    return repr([(*place, variant) for place, variant in selections])
