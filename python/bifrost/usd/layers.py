# SPDX-License-Identifier: Apache-2.0
"""
Layers by entity reference: their files, checked to be layers, and what they say of themselves.

What a layer says is kept in the session's caches for versions, which never change: an entry is
believed as long as its file has the size and modification time that it was read with. It is nobody's
secret who may open the file. What the catalogue says beside it is kept for each who asks, and goes
with whatever invalidates the asset.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import time
from typing import Any, Final

from bifrost.context import ContextSnapshot
from bifrost.errors import Code, LayerException, LocationException
from bifrost.model.entity_reference import (
    is_asset_reference,
    parse,
    reference_for,
    without_format_args,
)
from bifrost.model.paths import path_of
from bifrost.model.permissions import User, name_of
from bifrost.model.projects import candidates
from bifrost.model.resolution import Resolution
from bifrost.pipeline.cache import subject_of
from bifrost.session import Session
from bifrost.tiers.tier import FOREVER, Entry
from bifrost.usd import layer_metadata

# Kinds of keys (tiers/tier.py); what is made of another shape wants another letter.
_CONTENT: Final = b"l"
_FACTS: Final = b"f"
_NOBODYS: Final = "layers"

State = tuple[str, int, int]
"""A file's path, size and modification time in nanoseconds."""


def resolve(session: Session, asset_uri: str, resolution: Resolution) -> Path:
    """
    Return the file of *resolution*, checked to be a layer that USD can open.

    Known for a version once it was read; else the file is read. Any thread.

    Raises:
        LayerException: it is none; the message says why.
        LocationException: the file is not there.
    """
    content(session, asset_uri, resolution)
    return path_of(resolution.path)


def metadata(
    session: Session, asset_uri: str, resolution: Resolution, who: ContextSnapshot, user: User
) -> dict[str, Any]:
    """
    Return what the layer says of itself (`layer_metadata.read`), and what is known of its version.

    Beside those keys: `reference` (pinned where it can be), `path`, `name`, `version`, `manager`, and
    `catalogue`, as `facts`. Asks nobody for a version that was read before.

    Raises:
        LayerException: it is no layer that USD can open; the message says why.
        LocationException: the file is not there.
        CatalogueError: the catalogue can't be asked.
    """
    read = content(session, asset_uri, resolution)
    known = facts(session, asset_uri, resolution, who, user)
    asset_id = known["asset_id"] if known else None
    return {
        "reference": pinned(asset_uri, resolution, asset_id),
        "path": resolution.path,
        "name": resolution.name,
        "version": resolution.version,
        "manager": resolution.manager,
        **read,
        "catalogue": known,
    }


def content(session: Session, asset_uri: str, resolution: Resolution) -> dict[str, Any]:
    """Return what the layer says of itself, from the caches where they know it. As `metadata`."""
    state = _state(asset_uri, resolution)
    found = _remembered(
        session,
        _key(session, _CONTENT, _NOBODYS, asset_uri, resolution),
        lambda: {
            "state": state,
            "content": layer_metadata.read(resolution.path, asset_uri),
        },
        lambda known: tuple(known["state"]) == state,
    )
    read: dict[str, Any] = found["content"]
    return read


def facts(
    session: Session, asset_uri: str, resolution: Resolution, who: ContextSnapshot, user: User
) -> dict[str, Any] | None:
    """
    Return what our own catalogue knows of the version; None where it isn't asked or may not be read.

    `asset_id`, `number`, `name`, `asset_type`, `created` (ISO 8601, UTC), `created_by`, `comment`,
    `checksum`, `mime_type`, `metadata`, `status`, `deprecated`. Three round trips, four where projects
    have assets of their own, none from a cache.

    Raises:
        CatalogueError: the catalogue can't be asked.
    """
    if not session.uses_own_catalogue or not resolution.version.isdecimal():
        return None
    scope = f"{who.scope}\0{name_of(user)}"
    key = _key(session, _FACTS, scope, asset_uri, resolution)

    def asked() -> dict[str, Any]:
        asset_id = meant(session, asset_uri, resolution, who.projects)
        return {"facts": _facts(session, asset_id, resolution.version, user)}

    told: dict[str, Any] | None = _remembered(session, key, asked)["facts"]
    return told


def meant(session: Session, asset_uri: str, resolution: Resolution, projects: Sequence[str]) -> str:
    """
    Return the id of the asset of our own catalogue that *asset_uri* resolved to.

    That is the one that it names, or the one that one of *projects* has in place of it.

    Raises:
        CatalogueError: the catalogue can't be asked.
    """
    from bifrost.catalogue import VersionRecord
    from bifrost.catalogue.records import file_of

    asked = parse(without_format_args(asset_uri)).asset_id
    ids = candidates(asked, projects)
    if len(ids) == 1:
        return asked
    outcomes = session.catalogue.resolve([(each, resolution.version) for each in ids])
    there = [each for each in outcomes if isinstance(each, VersionRecord)]
    path = Path(resolution.path)
    # A representation's file is none of theirs.
    theirs = [each for each in there if file_of(each.location) == path] or there
    return theirs[0].asset_id if theirs else asked


def pinned(asset_uri: str, resolution: Resolution, asset_id: str | None = None) -> str:
    """
    Return the reference to the very version that was resolved to, where there is one.

    Of the asset *asset_id*, where that is not the one that *asset_uri* names.
    """
    reference = without_format_args(asset_uri)
    if not is_asset_reference(reference) or not resolution.version.isdecimal():
        return reference
    asked = parse(reference)
    return reference_for(asset_id or asked.asset_id, resolution.version, asked.representation)


def _facts(session: Session, asset_id: str, version: str, user: User) -> dict[str, Any] | None:
    from bifrost.catalogue import VersionRecord

    catalogue = session.catalogue
    [found] = catalogue.resolve([(asset_id, version)], user=user, actions=("read",))
    if not isinstance(found, VersionRecord):
        return None
    asset = catalogue.found([asset_id]).get(asset_id)
    return {
        "asset_id": found.asset_id,
        "number": found.number,
        "name": found.name,
        "asset_type": found.asset_type,
        "created": found.created.isoformat(),
        "created_by": found.created_by,
        "comment": found.comment,
        "checksum": found.checksum,
        "mime_type": found.mime_type,
        "metadata": found.metadata,
        "status": catalogue.status_of(found.asset_id, found.number).status,
        "deprecated": bool(asset and asset.deprecated),
    }


def _state(asset_uri: str, resolution: Resolution) -> State:
    if resolution.templated:
        raise LayerException(
            f"{resolution.path} is a pattern for several files, and no layer",
            asset_uri=asset_uri,
            code=Code.NOT_A_LAYER,
        )
    try:
        info = os.stat(resolution.path)  # noqa: PTH116  warm calls are made of little else
    except (OSError, ValueError):
        raise LocationException(
            f"{resolution.path}: there is no such file", asset_uri=asset_uri, code=Code.FILE_MISSING
        ) from None
    return resolution.path, info.st_size, info.st_mtime_ns


def _key(
    session: Session, kind: bytes, scope: str, asset_uri: str, resolution: Resolution
) -> bytes | None:
    """Return where what is known of a version is kept; None for what may change behind our back."""
    reference = pinned(asset_uri, resolution)
    if not resolution.immutable and reference == without_format_args(asset_uri):
        return None
    return kind + session.cache.scope(scope) + subject_of(reference)


def _remembered(
    session: Session,
    key: bytes | None,
    make: Callable[[], dict[str, Any]],
    is_good: Callable[[Mapping[str, Any]], bool] = lambda _: True,
) -> dict[str, Any]:
    if key is None:
        return make()
    found = session.tiers.find([key]).get(key)
    if found is not None and (known := _read(found[0].value)) is not None and is_good(known):
        return known
    sequence = session.tiers.sequence()
    made = make()
    value = json.dumps(made).encode("utf-8", "surrogatepass")
    session.tiers.put({key: Entry(value, FOREVER, time(), sequence)})
    return made


def _read(value: bytes) -> dict[str, Any] | None:
    try:
        known = json.loads(value)
    except ValueError:
        return None
    return known if isinstance(known, dict) else None
