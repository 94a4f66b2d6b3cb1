# SPDX-License-Identifier: Apache-2.0
"""The plug-ins of a publish that know USD: reading a file, and the pictures behind it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from bifrost.catalogue.records import file_of
from bifrost.errors import BifrostError
from bifrost.publishing.findings import ERROR, Finding
from bifrost.publishing.plugins import Lookup, Published, Reading
from bifrost.publishing.preparing import mime_type_of
from bifrost.usd.contents import dependencies, files_beside
from bifrost.usd.description import check_masks, describe, frames
from bifrost.usd.preview import preview
from bifrost.usd.thumbnail import thumbnail

THUMBNAIL_PIXELS: Final = 512


def read(path: Path, exist: Lookup) -> Reading:
    """
    Return what a USD file is made of, which assets it names, and what it says of itself.

    Raises:
        LocationException: there is no such file.
        InvalidTraitsException: USD can't read it.
    """
    contents = files_beside(path)
    description = describe(path)
    properties: dict[str, Any] = {"usd": description}
    if (range_ := frames(description)) is not None:
        properties["frames"] = range_._asdict()
    names = [contents.name, *contents.beside]
    return Reading(
        [(Path(contents.files[name]), name) for name in names],
        dependencies(contents, exist),
        properties,
    )


def population_masks(path: Path, draft: Any, _exist: Lookup) -> list[Finding]:
    """Make sure that the draft's population masks name prims of the file: a validator."""
    if not draft.population_masks:
        return []
    try:
        check_masks(path, draft.population_masks)
    except BifrostError as error:
        return [Finding("population_masks", ERROR, "masks", error.message)]
    return []


def write_thumbnail(published: Published) -> None:
    """Store a picture of the version as its representation `thumbnail`: an action."""
    path = file_of(published.version.location)
    if path is None:
        return
    content = thumbnail(
        path,
        name=published.version.name,
        asset_type=published.version.asset_type,
        width=THUMBNAIL_PIXELS,
        height=THUMBNAIL_PIXELS,
    )
    published.catalogue.put_representation(
        published.version.asset_id,
        published.version.number,
        "thumbnail",
        content,
        suffix=".png",
        mime_type="image/png",
        properties={"width": THUMBNAIL_PIXELS, "height": THUMBNAIL_PIXELS},
    )


def write_preview(published: Published) -> None:
    """Store a light stand-in of the version as its representation `preview`: an action."""
    path = file_of(published.version.location)
    if path is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        made = preview(
            path,
            Path(folder, "preview"),
            name=published.version.name,
            asset_type=published.version.asset_type,
        )
        content = made.read_bytes()
    published.catalogue.put_representation(
        published.version.asset_id,
        published.version.number,
        "preview",
        content,
        suffix=made.suffix,
        mime_type=mime_type_of(made),
    )
