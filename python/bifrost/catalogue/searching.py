# SPDX-License-Identifier: Apache-2.0
"""What depends on whose work it is for: which asset an id means, and what it is called."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final

import sqlalchemy as sa

from bifrost.catalogue import assets as reading
from bifrost.catalogue.dialect import each_text, storable
from bifrost.catalogue.records import NoSuchAsset, Outcome, VersionPolicy
from bifrost.catalogue.schema import assets, metadata_values
from bifrost.model.language import fallbacks
from bifrost.model.projects import candidates

DISPLAY_NAMES: Final = "displayNames"
"""The key of an asset's metadata that holds its names, by language tag."""


def resolve(
    connection: sa.Connection,
    queries: Sequence[tuple[str, str | None]],
    policy: VersionPolicy,
    projects: Sequence[str],
) -> list[Outcome]:
    """
    Return one outcome for each (asset id, version) of *queries*, in order.

    An id means the first asset that exists of those it may mean in *projects*. One statement: every
    project's asset is asked about in the same batch.
    """
    if not projects:
        return reading.resolve(connection, queries, policy)
    spans = [candidates(asset_id, projects) for asset_id, _ in queries]
    asked = [
        (candidate, version)
        for span, (_, version) in zip(spans, queries, strict=True)
        for candidate in span
    ]
    outcomes = iter(reading.resolve(connection, asked, policy))
    return [_first_there([next(outcomes) for _ in span]) for span in spans]


def _first_there(outcomes: Sequence[Outcome]) -> Outcome:
    # The last is about the id as it was asked for, so that is what isn't found.
    return next((each for each in outcomes if not isinstance(each, NoSuchAsset)), outcomes[-1])


def ids_of(outcomes: Iterable[Outcome]) -> list[str]:
    """Return which asset each outcome is about."""
    return [outcome.asset_id for outcome in outcomes]


_NAMES: Final = (
    sa.select(assets.c.id, metadata_values.c.path, metadata_values.c.text)
    .join_from(metadata_values, assets, assets.c.key == metadata_values.c.asset)
    .where(
        assets.c.id.in_(sa.select(each_text("ids", "asked").c.value)),
        metadata_values.c.path.in_(sa.select(each_text("paths", "named").c.value)),
        metadata_values.c.kind == "s",
    )
    .order_by(metadata_values.c.position)
)


def display_names(
    connection: sa.Connection, asset_ids: Iterable[str], locale: str
) -> dict[str, str]:
    """Return the names that those assets have in *locale*, by id. One statement."""
    paths = [f"{DISPLAY_NAMES}.{tag}" for tag in fallbacks(locale)]
    if not paths:
        return {}
    ids = json.dumps(list(filter(storable, dict.fromkeys(asset_ids))))
    found: dict[str, dict[str, str]] = {}
    for asset_id, path, text in connection.execute(
        _NAMES, {"ids": ids, "paths": json.dumps(paths)}
    ):
        if text:
            found.setdefault(asset_id, {}).setdefault(path, text)
    return {
        asset_id: next(names[path] for path in paths if path in names)
        for asset_id, names in found.items()
    }
