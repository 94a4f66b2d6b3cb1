# SPDX-License-Identifier: Apache-2.0
"""
Opening the stage of an entity: caches warmed first, in its context, masked, with locked layers.

The stage is an ordinary `Usd.Stage` and stays as long as somebody holds it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from pxr import Ar, Sdf, Tf, Usd

from bifrost.catalogue import Refused
from bifrost.catalogue.access import denied
from bifrost.context import Context, ContextSnapshot
from bifrost.errors import AssetException, Code, InvalidTraitsException
from bifrost.model.entity_reference import is_asset_reference, parse, without_format_args
from bifrost.session import Session
from bifrost.usd import (
    file_checks,
    layer_metadata,
    opening,
    permissions,
    root_settings,
    selections,
)
from bifrost.usd import stage as plugin
from bifrost.usd.closures import Closures, root_state
from bifrost.usd.contexts import given, has_pins, in_force, resolver_context
from bifrost.usd.dependencies import refuse_hanging
from bifrost.usd.later import Later
from bifrost.usd.lifetimes import outlived
from bifrost.usd.permissions import Asker
from bifrost.usd.warming import warm_roots

Mask: TypeAlias = Usd.StagePopulationMask | str | Iterable[str]
_LOADS: Final = {"all": Usd.Stage.LoadAll, "none": Usd.Stage.LoadNone}


def pinned_root(asset_uri: str, context: Context | None) -> str:
    """
    Return the root's file as the pins in force have it, those of *context* or of `BIFROST_PINS`.

    "" where there are none, or they don't say: the manager is to be asked then.

    Raises:
        ConfigurationError: the plugin isn't installed.
    """
    if not has_pins(context):
        return ""
    plugin.warm()
    with Ar.ResolverContextBinder(resolver_context(context)):
        return str(Ar.GetResolver().Resolve(asset_uri))


def open_stage(
    asker: Asker,
    path: str,
    context: Context | None = None,
    *,
    load: Any = "all",
    mask: Mask | None = None,
) -> Usd.Stage:
    """
    Open the stage of what *asker* asks for, whose file is at *path*.

    Warms the caches with everything that it will ask for, unless they were warmed before and nothing
    changed, or pins answer. Then the mask, the variant selections that are remembered, and the permissions.

    Args:
        asker: For whom.
        path: The root's file.
        context: What it is resolved in; what is in force for the root by default (`contexts.py`).
        load: `all` or `none` of the payloads, or a `Usd.Stage.InitialLoadSet`.
        mask: Prim paths, or the name of a mask that was published with the version; None for all.

    Raises:
        LayerException: the root is no layer that USD can open; the message says why.
        InvalidTraitsException: *load* is neither, or *mask* names what is not there; says what is near.
        ConfigurationError: the plugin isn't installed.
    """
    loading = _loading(load)
    population = None if mask is None else _population(mask, asker)
    plugin.warm()
    try:
        file_checks.check(path)
    except AssetException as error:
        raise layer_metadata.about(asker.asset_uri, error) from error.__cause__
    said = in_force(context)
    asked = said if given(context) else root_settings.with_root(said, path)
    if not has_pins(asked):
        _warm(asker, path, asked)
    bound = resolver_context(given(context), path)
    # Which version of itself is meant, a root's own settings don't say.
    for_itself = bound if asked is said else resolver_context(None)
    stage = _opened(asker, path, for_itself, bound, loading, population)
    selections.apply(stage, asker.asset_uri, asker.session)
    if population is not None:  # what it names may be in a variant that is remembered
        _check(stage, population)
    permissions.apply(stage, asker)
    return stage


def _loading(load: Any) -> Any:
    if load in _LOADS.values():
        return load
    if isinstance(load, str) and load in _LOADS:
        return _LOADS[load]
    raise InvalidTraitsException(
        f"load: expected 'all', 'none' or a Usd.Stage.InitialLoadSet, got {str(load)[:80]!r}",
        code=Code.INVALID_TRAITS,
    )


def _warm(asker: Asker, path: str, context: Context | None) -> None:
    if not _is_warm(asker.session, asker.who, path):
        refuse_hanging(warm_roots([asker.asset_uri], asker.session, context=context).problems)


def _is_warm(session: Session, who: ContextSnapshot, path: str) -> bool:
    """Whether everything under the root is recorded, and none of it changed or expired since."""
    closures = Closures(session.tiers, Later())
    closure = closures.find(session.cache.scope(who.scope), path)
    if closure is None or closure.root_state != root_state(path):
        return False
    try:
        return closures.stale_references(closure) is None
    except ValueError:
        return False  # recorded by another version of this code


def _opened(
    asker: Asker,
    path: str,
    for_itself: Ar.ResolverContext,
    bound: Ar.ResolverContext,
    loading: Any,
    population: Usd.StagePopulationMask | None,
) -> Usd.Stage:
    try:
        # Bound: a stage's own context is made too late for its root (an approved shot's newest version).
        with Ar.ResolverContextBinder(for_itself):
            layer = Sdf.Layer.FindOrOpen(asker.asset_uri)
        if layer is None:
            raise file_checks.no_usd(path, f"USD can't open {asker.asset_uri}")
        if population is None:
            return outlived(Usd.Stage.Open(layer, bound, loading), layer)
        return outlived(Usd.Stage.OpenMasked(layer, bound, population, loading), layer)
    except (Tf.ErrorException, UnicodeDecodeError) as error:
        failed = file_checks.no_usd(path, opening.reason(error))
        raise layer_metadata.about(asker.asset_uri, failed) from error
    except InvalidTraitsException as error:
        raise layer_metadata.about(asker.asset_uri, error) from None


# Masks


def _population(mask: Mask, asker: Asker) -> Usd.StagePopulationMask:
    if isinstance(mask, Usd.StagePopulationMask):
        return mask
    if isinstance(mask, str) and not mask.startswith("/"):
        paths: Sequence[Any] = _published_mask(mask, asker)
    else:
        paths = [mask] if isinstance(mask, str) else [str(each) for each in mask]
    if not paths:
        raise _bad_mask("no prim paths in it", asker)
    return Usd.StagePopulationMask([_prim_path(each, asker) for each in paths])


def _prim_path(text: str, asker: Asker) -> Sdf.Path:
    is_valid, why = Sdf.Path.IsValidPathString(text)
    if not is_valid:
        raise _bad_mask(f"{text[:200]!r} is no prim path: {why}", asker)
    path = Sdf.Path(text)
    if not (path.IsAbsolutePath() and path.IsAbsoluteRootOrPrimPath()):
        raise _bad_mask(f"{text[:200]!r} is no absolute path of a prim, such as /World/Hero", asker)
    return path


def _published_mask(name: str, asker: Asker) -> list[str]:
    """Return the prim paths of a mask that was published with the version. One round trip."""
    reference = without_format_args(asker.asset_uri)
    if not asker.session.uses_own_catalogue or not is_asset_reference(reference):
        raise _bad_mask(f"{name[:200]!r} is no absolute path of a prim, such as /World/Hero", asker)
    resolved = asker.session.resolve([reference], asker.who).outcomes[0]
    version = getattr(resolved, "version", None)
    [found] = asker.session.catalogue.resolve(
        [(parse(reference).asset_id, version)], user=asker.user, actions=("read",)
    )
    if isinstance(found, Refused):
        raise denied(found)
    masks: dict[str, list[str]] = getattr(found, "properties", {}).get("populationMasks", {})
    if name not in masks:
        known = f"those are {', '.join(sorted(masks))}" if masks else "it has none"
        raise _bad_mask(
            f"{name[:200]!r} is neither an absolute prim path nor a mask that was published with the "
            f"version: {known}",
            asker,
        )
    return masks[name]


def _check(stage: Usd.Stage, population: Usd.StagePopulationMask) -> None:
    missing = list(_missing(stage, population))
    if missing:
        raise InvalidTraitsException(f"mask: {'; '.join(missing[:20])}", code=Code.INVALID_TRAITS)


def _missing(stage: Usd.Stage, population: Usd.StagePopulationMask) -> Iterator[str]:
    for path in population.GetPaths():
        if stage.GetPrimAtPath(path):
            continue
        above = path
        while not stage.GetPrimAtPath(above):
            above = above.GetParentPath()
        nearest = stage.GetPrimAtPath(above)
        if not nearest.IsLoaded():
            continue  # what is in a payload is there once it is loaded
        stem = path.MakeRelativePath(above).GetPrefixes()[0].name
        names = {child.name for spec in nearest.GetPrimStack() for child in spec.nameChildren}
        near = difflib.get_close_matches(stem, sorted(names), 1)
        hint = f"; did you mean {above.AppendChild(near[0])}?" if near else ""
        yield f"the stage has no prim <{path}>{hint}"


def _bad_mask(problem: str, asker: Asker) -> InvalidTraitsException:
    return InvalidTraitsException(
        f"mask: {problem}", asset_uri=asker.asset_uri, code=Code.INVALID_TRAITS
    )
