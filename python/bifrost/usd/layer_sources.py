# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PTH100, PTH113 - paths as USD has them
"""What a caller gives to be published, and under which names: layers, stages, files, references."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote

from pxr import Ar, Sdf, Usd

from bifrost.catalogue import VersionRecord
from bifrost.catalogue.records import file_of
from bifrost.context import Context
from bifrost.errors import (
    AccessModeException,
    Code,
    ConfigurationError,
    InvalidReferenceException,
)
from bifrost.model.entity_reference import is_asset_reference, parse, reference_for
from bifrost.model.resolution import Resolution
from bifrost.session import Session
from bifrost.usd import stage as plugin
from bifrost.usd import working_copies, written
from bifrost.usd.arc_sources import Locate as LocateOne
from bifrost.usd.arc_sources import Source, layer_of
from bifrost.usd.edited_layers import Locate, Reach
from bifrost.usd.folder import is_uri, split_path
from bifrost.usd.publish_units import Owner, Unit, edited_in_memory, file_for

LayerName: TypeAlias = Sdf.Layer | str | os.PathLike[str]
_TYPE: Final = "?type="


class Asking(NamedTuple):
    """
    Who knows where references lead.

    Attributes:
        session: The session.
        context: Who asks.
        locate: Returns the file of one reference, or raises.
    """

    session: Session
    context: Context | None
    locate: LocateOne


def reach_of(
    source: Source, asset_uri: str | None, new: Mapping[LayerName, str], asking: Asking
) -> Reach:
    """
    Return *source*, to be published as *asset_uri*; what it reaches isn't followed yet.

    Raises:
        InvalidReferenceException: *asset_uri* or one in *new* names no asset, or a version of one; or
            there is none, and the layer is of none.
        AccessModeException: the layer is a part of a package.
        As `arc_sources.layer_of`.
    """
    with contextlib.suppress(ConfigurationError):  # before this process first resolves anything
        plugin.register_plugin()
    stage = source if isinstance(source, Usd.Stage) else None
    layer = stage.GetRootLayer() if stage else layer_of(source, asking.locate)
    owners = {_place(each): owner_of(uri) for each, uri in new.items()}
    held = edited_in_memory()
    root = _root(layer, asset_uri, asking.session)
    if root.layer is not None:
        held[root.path] = root.layer
    stored = asking.session.own_catalogue("publishing").store.version_at
    return Reach(root, held, owners, _locate(stage, asking), stored)


def owner_of(asset_uri: str) -> Owner:
    """
    Return which asset `bifrost:///assets/<id>[?type=<type>]` means, and its type, which is percent-encoded.

    Raises:
        InvalidReferenceException: it is none, or names a version.
    """
    if not isinstance(asset_uri, str):
        raise _invalid(repr(asset_uri), f"expected text, got {type(asset_uri).__name__}")
    uri, _, said = asset_uri.partition(_TYPE)
    try:
        parsed, asset_type = parse(uri), unquote(said, errors="strict")
    except ValueError as error:
        raise _invalid(asset_uri, str(error)) from None
    if str(parsed) != reference_for(parsed.asset_id):
        asset = reference_for(parsed.asset_id)
        raise _invalid(
            asset_uri,
            f"{asset_uri}: what is published becomes a next version: name the asset, {asset}",
        )
    if "&" in said:
        raise _invalid(asset_uri, f"nothing follows the type in what is published: {asset_uri}")
    return Owner(parsed.asset_id, asset_type)


def _root(layer: Sdf.Layer, asset_uri: str | None, session: Session) -> Unit:
    name = layer.identifier
    if "[" in split_path(name)[1]:
        raise AccessModeException(
            f"{name} is a part of a package: publish the package's file, or save the layer as one",
            asset_uri=name,
            code=Code.ACCESS,
        )
    # What `CreateNew` made at a reference is in no folder, and of no version.
    is_file = not (layer.anonymous or is_uri(layer.realPath))
    path = os.path.abspath(layer.realPath or split_path(name)[0]) if is_file else ""
    origin = working_copies.origin_of(path) if path else None
    owner = owner_of(asset_uri) if asset_uri is not None else _own(layer, path, origin, session)
    path = path or file_for(layer, owner.asset_id)
    counts = not is_file or layer.dirty or not os.path.isfile(path)
    return Unit(
        owner.asset_id,
        path,
        name,
        layer if counts else None,
        owner.asset_type,
        origin=origin,
        is_published=is_file and (is_uri(name) or _is_stored(path, session)),
    )


def _own(
    layer: Sdf.Layer, path: str, origin: working_copies.Origin | None, session: Session
) -> Owner:
    """Return the asset that *layer*, whose file is *path*, is of."""
    name = split_path(layer.identifier)[0]
    if origin is not None:
        return Owner(origin.asset_id, "")
    catalogue = session.own_catalogue("publishing")
    if path and (stored := catalogue.store.version_at(path)):
        [version] = catalogue.resolve([(stored[0], str(stored[1]))])
        if isinstance(version, VersionRecord) and file_of(version.location) == Path(path):
            return Owner(version.asset_id, "")
    if is_asset_reference(name):
        pure, said = written.split(name)  # as it is of a layer that `CreateNew` made
        return Owner(parse(pure).asset_id, unquote(said.get("type", "")))
    raise _invalid(
        name, f"{name} is of no asset: say what it is published as, bifrost:///assets/<id>"
    )


def _is_stored(path: str, session: Session) -> bool:
    store = os.path.realpath(session.settings.store_directory) + os.sep
    return os.path.realpath(path).startswith(store)


def _place(layer: LayerName) -> str:
    if not isinstance(layer, Sdf.Layer):
        text = os.fspath(layer)
        return text if is_uri(text) else os.path.abspath(text)
    if layer.anonymous or is_uri(layer.realPath):
        return str(layer.identifier)
    return os.path.abspath(str(layer.realPath or layer.identifier))


def _locate(stage: Usd.Stage | None, asking: Asking) -> Locate:
    def locate(references: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        if stage is not None and asking.context is None:
            resolver = Ar.GetResolver()
            with Ar.ResolverContextBinder(stage.GetPathResolverContext()):  # its versions, not ours
                found = {each: str(resolver.Resolve(each)) for each in references}
        left = [each for each in references if not found.get(each)]
        answers = asking.session.resolve(left, asking.context).items() if left else ()
        found.update((ref, out.path) for ref, out in answers if isinstance(out, Resolution))
        return {ref: path for ref, path in found.items() if path}

    return locate


def _invalid(asset_uri: str, message: str) -> InvalidReferenceException:
    return InvalidReferenceException(
        message, asset_uri=asset_uri[:1000], code=Code.MALFORMED_REFERENCE
    )
