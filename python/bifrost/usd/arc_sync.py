# SPDX-License-Identifier: Apache-2.0
"""
What a version's file names, as publishing and ingest record it.

A published version is a folder of its own: what its layers name within it is part of it, and the entities
that they name are its dependencies. A version that ingest registered where it lay is one file: the files
beside it are assets too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pxr import Sdf

from bifrost.catalogue import Catalogue, Dependency, VersionRecord
from bifrost.catalogue.records import file_of
from bifrost.errors import Code, LocationException
from bifrost.model.entity_reference import parse, reference_for
from bifrost.usd.arcs import AssetPathUse, asset_paths, is_expression
from bifrost.usd.contents import Known, dependencies, files_beside
from bifrost.usd.file_checks import is_usd
from bifrost.usd.folder import is_uri, split_path
from bifrost.usd.opening import root_layer
from bifrost.usd.survey import PACKAGE, extension


def named_by(version: VersionRecord, catalogue: Catalogue, exist: Known) -> list[Dependency]:
    """
    Return what the file of *version* names, each once for each kind, in the order they are met.

    What *exist* knows nothing about is left out, as publishing does.

    Raises:
        LocationException: the version has no file, or it is not there.
        InvalidTraitsException: it is a layer, and USD can't read it.
    """
    path = file_of(version.location)
    if path is None:
        uri = reference_for(version.asset_id, version.number)
        raise LocationException(f"{uri} has no file", asset_uri=uri, code=Code.NO_LOCATION)
    if not _is_ingested(version):
        return dependencies(files_beside(path), exist)
    if not is_usd(path) or extension(path.name) == PACKAGE:
        return []
    layer = root_layer(path)
    return list(dict.fromkeys(_ingested(layer, version, catalogue, exist)))


def _is_ingested(version: VersionRecord) -> bool:
    return "source" in version.metadata and "usd" not in version.properties


def _ingested(
    layer: Sdf.Layer, version: VersionRecord, catalogue: Catalogue, exist: Known
) -> Iterator[Dependency]:
    uses = [use for use in asset_paths(layer) if not is_expression(use.path)]
    references = {use: split_path(use.path)[0] for use in uses if is_uri(split_path(use.path)[0])}
    known = dict(zip(references, exist(list(references.values())), strict=True))
    places = {use: _locations(layer, use) for use in uses if use not in references}
    assets = catalogue.located([place for each in places.values() for place in each])
    before = catalogue.dependencies(version.asset_id, version.number)
    versions = {(each.asset_id, each.kind): each.version for each in before}
    for use in uses:
        if use in references and known[use]:
            parsed = parse(references[use])
            yield Dependency(parsed.asset_id, parsed.version, str(use.kind))
        for place in places.get(use, ()):
            if place in assets and assets[place] != version.asset_id:
                # A path says no version: whichever ingest recorded is as good as any.
                pinned = versions.get((assets[place], str(use.kind)))
                yield Dependency(assets[place], pinned, str(use.kind))


def _locations(layer: Sdf.Layer, use: AssetPathUse) -> list[str]:
    """Return the file URLs of what a plain path leads to; a UDIM pattern as itself."""
    place = Path(layer.ComputeAbsolutePath(split_path(use.path)[0]))
    if not place.is_absolute():
        return []
    if not use.is_template:
        return [place.as_uri()]
    matches = re.compile(r"-?[0-9]+".join(map(re.escape, re.split("#+", place.name)))).fullmatch
    return sorted(each.as_uri() for each in place.parent.glob("*") if matches(each.name))
