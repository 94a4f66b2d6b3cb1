# SPDX-License-Identifier: Apache-2.0
"""
The variant sets of an asset, from a stage opened for that alone, and kept while they hold.

The stage has no payloads and no more prims than are asked about. An answer is kept in the session's tiers
when everything the stage was made of is published: for ever, where all of it is named by versions; else
with what floating references led to, which is asked again in one request before the answer is given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from time import time
from typing import Any, Final, NamedTuple

import msgpack
from pxr import Ar, Sdf, Tf, Usd

from bifrost.context import Context, ContextSnapshot
from bifrost.errors import ConfigurationError
from bifrost.model.entity_reference import without_format_args
from bifrost.model.resolution import Resolution
from bifrost.pipeline.cache import subject_of
from bifrost.session import Session
from bifrost.tiers.tier import FOREVER, Entry
from bifrost.usd import file_checks, root_settings, selections
from bifrost.usd import stage as plugin
from bifrost.usd.contexts import has_pins, resolver_context
from bifrost.usd.file_checks import no_usd
from bifrost.usd.folder import is_uri
from bifrost.usd.lifetimes import outlived
from bifrost.usd.opening import reason
from bifrost.usd.stage_references import file_of, references_by_file, remembered_on
from bifrost.usd.variant_names import default_path, no_such_prim, parsed_path
from bifrost.usd.variants import VariantSet, all_variant_sets, variant_sets

Answer = dict[str, dict[str, VariantSet]]
"""By prim path, a prim's variant sets."""

_KIND: Final = b"v"  # of keys; what is kept in another shape wants another letter
_ALL: Final = 0  # what no prim path is
# Of what is kept, in bytes, to keep it unpacked, too: that takes ten times as much, which no tier counts.
_MOST_UNPACKED: Final = 1_000
# A mask has what is below its paths, and the prims that lead there: with a child that isn't there below
# it, a prim is populated without its children.
_NO_CHILD: Final = "bifrost_no_such_child"


class Asked(NamedTuple):
    """
    The asset that is asked about, and who asks.

    Attributes:
        session: The session that keeps answers and selections.
        asset_uri: An entity reference, or the path of a file.
        snapshot: The context in force, the environment's too, authenticated.
        context: The context that was given, or the active one; None where the environment and the root
            are to say.
        locate: Returns the asset's file, or raises; not called where a kept answer holds.
    """

    session: Session
    asset_uri: str
    snapshot: ContextSnapshot
    context: Context | None
    locate: Callable[[], Path]


def of_prim(asked: Asked, prim_path: object, *, payloads: bool = False) -> dict[str, VariantSet]:
    """
    Return the variant sets of one prim, by name; None for *prim_path* is the default prim.

    A prim that isn't there, or has no sets, without payloads is looked for with those on its way.

    Args:
        asked: The asset.
        prim_path: The prim's path.
        payloads: Whether to load them from the start, for sets that only they have.

    Raises:
        InvalidTraitsException: the path is none, or leads to no prim; says which there are. Or the file
            can't be read as USD.
        Whatever `asked.locate` raises.
    """

    def look() -> tuple[Answer, Usd.Stage]:
        path = None if prim_path is None else parsed_path(prim_path, asked.asset_uri)
        return _Look(asked).prim(path, payloads)

    prim = str(prim_path) if isinstance(prim_path, Sdf.Path) else prim_path
    return next(iter(_kept(asked, prim, payloads, look).values()))


def of_all(asked: Asked, *, payloads: bool = False) -> Answer:
    """
    Return the variant sets of every prim that has some, by path.

    Raises:
        InvalidTraitsException: the file can't be read as USD.
        Whatever `asked.locate` raises.
    """
    return _kept(asked, _ALL, payloads, lambda: _Look(asked).everything(payloads))


def default_prim(asked: Asked) -> Sdf.Path:
    """
    Return the path of the asset's default prim.

    Raises:
        InvalidTraitsException: it has none, or can't be read as USD.
        Whatever `asked.locate` raises.
    """
    return default_path(_Look(asked).layer, asked.asset_uri)


class _Look:
    """The stage that an answer is read from, opened for it and gone with it."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        location = asked.locate()
        file_checks.glance(location)  # making a context reads it
        if is_uri(asked.asset_uri):
            plugin.register_plugin()
        else:
            with suppress(ConfigurationError):
                plugin.register_plugin()
        self._context, is_default = _resolver_context(asked, location)
        try:
            self.layer = _root_layer(asked.asset_uri, location, self._context, is_default)
        except (Tf.ErrorException, UnicodeError) as error:
            raise no_usd(location, reason(error)) from error

    def prim(self, path: Sdf.Path | None, payloads: bool) -> tuple[Answer, Usd.Stage]:
        """Return the sets of the prim at *path*, None: the default prim; and their stage."""
        uri = self._asked.asset_uri
        path = path or default_path(self.layer, uri)
        stage = self._stage([path.AppendChild(_NO_CHILD)], payloads)
        sets = _sets_at(stage, path, uri)
        if not sets:
            _load_down_to(stage, path)
            sets = _sets_at(stage, path, uri)
        if sets is None:
            everything = self._stage(None, payloads)
            _load_down_to(everything, path)
            no_such_prim(everything, path, uri)
        return {str(path): sets}, stage

    def everything(self, payloads: bool) -> tuple[Answer, Usd.Stage]:
        """Return the sets of every prim, and their stage."""
        stage = self._stage(None, payloads)
        return all_variant_sets(stage, self._asked.asset_uri), stage

    def _stage(self, paths: Iterable[Sdf.Path] | None, payloads: bool) -> Usd.Stage:
        mask = Usd.StagePopulationMask.All()
        if paths is not None:
            mask = Usd.StagePopulationMask(list(paths))
        load = Usd.Stage.LoadAll if payloads else Usd.Stage.LoadNone
        session_layer = Sdf.Layer.CreateAnonymous("variants.usda")
        try:
            with Usd.StageCacheContext(Usd.BlockStageCaches):
                stage = Usd.Stage.OpenMasked(self.layer, session_layer, self._context, mask, load)
        except (Tf.ErrorException, UnicodeError) as error:
            raise no_usd(self._asked.asset_uri, reason(error)) from error
        selections.apply(stage, self._asked.asset_uri, self._asked.session)
        return outlived(stage, self.layer, session_layer)


def _root_layer(
    uri: str, location: Path, context: Ar.ResolverContext, is_default: bool
) -> Sdf.Layer:
    if not is_uri(uri):
        layer = Sdf.Layer.FindOrOpen(os.path.abspath(location))  # noqa: PTH100  links stay
    else:
        # As `Usd.Stage.Open` does, which resolves the root without a context: that is mostly known.
        layer = Sdf.Layer.FindOrOpen(uri) if is_default else None
        if layer is None or str(location) not in (layer.realPath, str(layer.resolvedPath)):
            with Ar.ResolverContextBinder(context):
                layer = Sdf.Layer.FindOrOpen(uri)
    if layer is None:
        raise no_usd(location, "USD gives no reason")
    return layer


def _resolver_context(asked: Asked, location: Path) -> tuple[Ar.ResolverContext, bool]:
    """Return the context to open the asset in, the asker's or the default; and whether that."""
    return resolver_context(asked.context, str(location)), asked.context is None


def _sets_at(stage: Usd.Stage, path: Sdf.Path, uri: str) -> dict[str, VariantSet] | None:
    prim = stage.GetPrimAtPath(path)
    return variant_sets(prim, uri) if prim else None


def _load_down_to(stage: Usd.Stage, path: Sdf.Path) -> None:
    """Load the payloads on the way to *path*, no others."""
    for prefix in path.GetPrefixes():
        prim = stage.GetPrimAtPath(prefix)
        if not prim or prim.IsInstanceProxy():  # whose payloads are loaded where the instance is
            return
        if not prim.IsLoaded():
            stage.Load(prefix, Usd.LoadWithoutDescendants)


# Keeping answers


def _kept(
    asked: Asked, prim: object, payloads: bool, look: Callable[[], tuple[Answer, Usd.Stage]]
) -> Answer:
    if not is_uri(asked.asset_uri) or has_pins(asked.context):
        return look()[0]
    key = _key(asked, prim, payloads)
    entry = asked.session.tiers.get([key]).get(key)
    kept = _read(entry) if entry is not None else None
    if kept is not None:
        floating, answer = kept
        if not floating or _still(asked, floating):
            return answer
    sequence = asked.session.tiers.sequence()
    answer, stage = look()
    leads_to = _leads_to(asked, stage)
    if leads_to is not None:
        value = msgpack.packb([leads_to, answer], unicode_errors="surrogateescape")
        asked.session.tiers.put({key: Entry(value, FOREVER, time(), sequence)})
    return answer


def _key(asked: Asked, prim: object, payloads: bool) -> bytes:
    chosen = selections.remembered(asked.session, asked.asset_uri)
    fallbacks = Usd.Stage.GetGlobalVariantFallbacks()
    rest = repr((prim, payloads, selections.as_text(chosen.items()), fallbacks))
    digest = blake2b(rest.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    subject = subject_of(without_format_args(asked.asset_uri))
    # What an invalidation names ends before the first "?".
    return _KIND + asked.session.cache.scope(asked.snapshot.scope) + subject + b"?" + digest


def _read(entry: Entry) -> tuple[dict[str, str], Answer] | None:
    """Return a copy of what was kept; None, which is a miss, for what another version of this code kept."""
    if entry.decoded is not None:
        floating, answer = entry.decoded
        return floating, _copied(answer)
    try:
        floating, answer = msgpack.unpackb(entry.value, unicode_errors="surrogateescape")
        copied = _copied(answer)  # is of that shape, or raises
    except (AttributeError, KeyError, TypeError, ValueError, msgpack.UnpackException):
        return None
    if not isinstance(floating, dict):
        return None
    if len(entry.value) <= _MOST_UNPACKED:
        entry.decoded = (floating, answer)
    return floating, copied


def _still(asked: Asked, floating: dict[str, str]) -> bool:
    """Whether floating references lead where they led. One request, which the cache mostly answers."""
    outcomes = asked.session.resolve(floating, asked.snapshot).outcomes
    return all(
        isinstance(outcome, Resolution) and _place(outcome) == place
        for outcome, place in zip(outcomes, floating.values(), strict=True)
    )


def _leads_to(asked: Asked, stage: Usd.Stage) -> dict[str, str] | None:
    """Return what the floating references among the layers lead to; None: not for keeping."""
    named, files = _layers(stage)
    if named is None or stage.GetCompositionErrors():
        return None
    if asked.context is None and root_settings.policy_of(stage.GetRootLayer().realPath):
        return None  # which says what floats means, and no answer is kept for that
    named = [(asked.asset_uri, stage.GetRootLayer()), *named]
    outcomes = asked.session.resolve([each for each, _ in named], asked.snapshot).outcomes
    found = [outcome for outcome in outcomes if isinstance(outcome, Resolution)]
    if len(found) < len(outcomes) or not all(
        # Another may have been published meanwhile, or be what a stage that is open has still.
        outcome.path in (layer.realPath, str(layer.resolvedPath))
        for outcome, (_, layer) in zip(found, named, strict=True)
    ):
        return None
    folders = tuple({os.path.dirname(each.path) + os.sep for each in found})  # noqa: PTH120
    if not all(file.startswith(folders) for file in files):
        return None  # a file that nobody published may change at any time
    return {each.reference: _place(each) for each in found if not each.immutable}


def _layers(stage: Usd.Stage) -> tuple[list[tuple[str, Sdf.Layer]] | None, list[str]]:
    """Return the stage's layers with the references that named them, and the files that others are."""
    session = stage.GetSessionLayer()
    layers = [each for each in stage.GetUsedLayers(includeClipLayers=False) if each != session]
    if any(layer.dirty for layer in layers):  # somebody is editing it in this process
        return None, []
    by_file = references_by_file(layers, remembered_on(stage))
    named, files = [], []
    for layer in layers:
        names = by_file.get(file_of(layer))
        if names:
            named += [(name, layer) for name in names]
        elif is_uri(layer.identifier):
            named.append((without_format_args(layer.identifier), layer))
        else:
            files.append(layer.realPath)
    return named, files


def _place(resolution: Resolution) -> str:
    return f"{resolution.version} {resolution.path}"


def _copied(answer: Answer) -> Answer:
    return {
        path: {
            name: {
                "variants": each["variants"][:],
                "selection": each["selection"],
                "source": each["source"] and each["source"].copy(),
                "nested": _copied_branches(each["nested"]) if each["nested"] else {},
                "instance": each["instance"],
            }
            for name, each in sets.items()
        }
        for path, sets in answer.items()
    }


def _copied_branches(branches: Any) -> Any:
    if isinstance(branches, dict):
        return {key: _copied_branches(each) for key, each in branches.items()}
    return branches[:]
