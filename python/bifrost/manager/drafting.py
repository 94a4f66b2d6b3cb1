# SPDX-License-Identifier: Apache-2.0
"""What a host says in traits as the publishing engine's drafts."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from openassetio import errors
from openassetio.trait import TraitsData
from openassetio.utils import FileUrlPathConverter
from openassetio_mediacreation.traits.application import WorkTrait_v1
from openassetio_mediacreation.traits.audio import AudioTrait_v1
from openassetio_mediacreation.traits.imaging import CameraTrait_v1
from openassetio_mediacreation.traits.threeDimensional import (
    GeometryTrait_v1,
    LightingTrait_v1,
    ShaderTrait_v1,
)

from bifrost.catalogue.records import AssetRecord, shown
from bifrost.errors import Code as FailureCode
from bifrost.errors import InvalidReferenceException, InvalidTraitsException
from bifrost.manager.metadata import flat, nested
from bifrost.manager.questions import Code, Unanswerable
from bifrost.manager.stages import FRAME_KEYS, as_property
from bifrost.manager.vocabulary import (
    ASSET_TYPE,
    EDGE,
    FRAMES,
    IMAGE,
    LOCATION,
    MASKS,
    METADATA,
    METADATA_KEYS,
    NAME,
    SOURCE_PATH,
    SPATIAL,
    VERSION_INFO,
)
from bifrost.manager.writers import WRITERS
from bifrost.model.entity_reference import parse, reference_for
from bifrost.publishing import Draft
from bifrost.publishing.drafts import AS_IT_IS
from bifrost.publishing.names import check_new_id, id_of

_CHILD: Final = "child"

# Of an asset for which nobody gave a type; the first that fits.
_TYPES: Final = {
    WorkTrait_v1.kId: "workfile",
    CameraTrait_v1.kId: "camera",
    LightingTrait_v1.kId: "lighting",
    ShaderTrait_v1.kId: "material",
    GeometryTrait_v1.kId: "model",
    IMAGE: "image",
    AudioTrait_v1.kId: "audio",
    SPATIAL: "scene",
}
_SUFFIXES: Final = {
    "model/vnd.usd": ".usd",
    "model/vnd.usda": ".usda",
    "model/vnd.usdc": ".usdc",
    "model/vnd.usdz+zip": ".usdz",
    "image/x-exr": ".exr",
}


def draft_of(
    asset_id: str, data: TraitsData, path: str, asset: AssetRecord | None, begun: Draft | None
) -> Draft:
    """
    Return what *data* says of the next version of an asset, whose file is at *path*.

    What it doesn't say is as preflight heard it (*begun*), or as it was (*asset*).

    Raises:
        InvalidTraitsException: a property is not what its trait says it is; the message names it.
    """
    before = begun or Draft(
        asset_id,
        asset.name if asset else asset_id,
        asset.asset_type if asset else _type_of(data),
        "",
        kept=AS_IT_IS if asset else (),
    )
    given = {"name": _text(data, NAME, "name"), "asset_type": _text(data, ASSET_TYPE, "name")}
    return before._replace(
        path=path,
        name=given["name"] or before.name,
        asset_type=given["asset_type"] or before.asset_type,
        kept=tuple(field for field in before.kept if not given[field]),
        mime_type=_text(data, LOCATION, "mimeType") or before.mime_type,
        templated=bool(data.getTraitProperty(LOCATION, "isTemplated")),
        comment=_text(data, VERSION_INFO, "comment") or before.comment,
        metadata={**before.metadata, **_metadata(asset_id, data, asset)},
        population_masks=_object(asset_id, data, MASKS, "masks") or before.population_masks,
        properties={**before.properties, **_properties(asset_id, data)},
    )


def relationship_of(asset_id: str, parent: str, data: TraitsData) -> dict[str, Any]:
    """
    Return the relationship from *parent* to a new asset that *data* describes.

    Raises:
        InvalidTraitsException: its metadata is no JSON object.
    """
    metadata = dict(_object(asset_id, data, EDGE, "metadata"))
    for key in ("strength", "purpose", "context"):
        if value := _text(data, EDGE, key):
            metadata[key] = value
    pinned = bool(data.getTraitProperty(EDGE, "pinned"))
    return {
        "from_uri": parent,
        "to_uri": reference_for(asset_id, 1 if pinned else None),
        "relationship_type": _text(data, EDGE, "kind") or _CHILD,
        "metadata": metadata,
    }


def new_id(data: TraitsData) -> str | Unanswerable:
    """Return the id of a new asset: its qualified name, or what its name comes to; "" without either."""
    qualified, name = (_text(data, NAME, key) for key in ("qualifiedName", "name"))
    if not qualified and not name:
        return ""
    try:
        asset_id = qualified or id_of(name)
        check_new_id(asset_id)
        parse(reference_for(asset_id))
    except InvalidReferenceException as error:
        return Unanswerable(Code.kInvalidTraitSet, f"{NAME}: {error.message}")
    except ValueError as error:
        return Unanswerable(Code.kInvalidTraitSet, f"{NAME}: {error}")
    return asset_id


def working_name(asset_id: str, hint: TraitsData) -> str:
    """Return the name of the file that is to be written: that of the hint's location, or our own."""
    mime_type = _text(hint, LOCATION, "mimeType")
    suffix = _SUFFIXES.get(mime_type) or mimetypes.guess_extension(mime_type) or ""
    location = _text(hint, LOCATION, "location")
    named = PurePosixPath(path_of(asset_id, location)).name if location else ""
    return named or re.sub(r"[^\w.+-]+", "_", asset_id)[:100] + suffix


def path_of(asset_id: str, location: str) -> str:
    """
    Return the path that a location names.

    Raises:
        InvalidTraitsException: it is no file URL.
    """
    try:
        path: str = FileUrlPathConverter().pathFromUrl(location)
    except (errors.OpenAssetIOException, UnicodeError) as error:
        raise _invalid(asset_id, LOCATION, "location", f"{error}, in {shown(location)}") from None
    return path


def _text(data: TraitsData, trait: str, key: str) -> str:
    value = data.getTraitProperty(trait, key)
    return value if isinstance(value, str) else ""


def _type_of(data: TraitsData) -> str:
    return next((name for trait, name in _TYPES.items() if data.hasTrait(trait)), "asset")


def _metadata(asset_id: str, data: TraitsData, asset: AssetRecord | None) -> dict[str, Any]:
    values = [
        (key, data.getTraitProperty(METADATA, key))
        for key in sorted(data.traitPropertyKeys(METADATA))
    ]
    # A list that was resolved as JSON and comes back so is still a list.
    types = {key: kind for key, _, kind in flat(asset.metadata)} if asset else {}
    stated = _object(asset_id, data, METADATA_KEYS, "keys")
    try:
        return nested(values, {**{k: v for k, v in types.items() if v == "list"}, **stated})
    except ValueError as error:
        raise _invalid(asset_id, METADATA, "keys", str(error)) from None


def _properties(asset_id: str, data: TraitsData) -> dict[str, Any]:
    frames = {
        key: data.getTraitProperty(FRAMES, name)
        for name, (key, _) in FRAME_KEYS.items()
        if data.getTraitProperty(FRAMES, name) is not None
    }
    for key, kind in FRAME_KEYS.values():
        value = frames.get(key)
        if value is not None and as_property(value, kind) is None:
            what = "a whole number" if isinstance(value, float) else "a number"
            raise _invalid(asset_id, FRAMES, key, f"expected {what}, got {value!r}")
    # Lists, because a stored object's keys have no dots, and ids of traits do.
    kept = [
        [trait, [[key, data.getTraitProperty(trait, key)] for key in data.traitPropertyKeys(trait)]]
        for trait in sorted(data.traitSet() - _UNDERSTOOD)
    ]
    return ({"frames": frames} if frames else {}) | ({"traits": kept} if kept else {})


# What has a place of its own, or is ours to say. Everything else is kept as it was given.
_UNDERSTOOD: Final = (WRITERS.keys() | {EDGE}) - {SPATIAL, SOURCE_PATH}


def _object(asset_id: str, data: TraitsData, trait: str, key: str) -> Mapping[str, Any]:
    text = _text(data, trait, key)
    if not text:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _invalid(asset_id, trait, key, f"expected a JSON object, got {shown(text)}")
    return value


def _invalid(asset_id: str, trait: str, key: str, message: str) -> InvalidTraitsException:
    return InvalidTraitsException(
        f"{trait}, {key}: {message}",
        asset_uri=reference_for(asset_id),
        code=FailureCode.INVALID_TRAITS,
    )
