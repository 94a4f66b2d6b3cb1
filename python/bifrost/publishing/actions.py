# SPDX-License-Identifier: Apache-2.0
"""What happens behind a publish that needs nothing of USD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bifrost.errors import ConflictException
from bifrost.model.entity_reference import parse
from bifrost.publishing.plugins import Published


def record_relationships(published: Published) -> None:
    """
    Add the relationships that the draft names; an end that it leaves out is the version that was made.

    Those that are there already, from an earlier try, stay as they are. One whose strength nobody gave
    is weak where it would close a circle of strong ones, as that of a shot with the sequence that its
    file names.

    Raises:
        ConflictException: one that is to be strong would close such a circle.
    """
    for relationship in published.draft.relationships:
        try:
            _add(published, relationship)
        except ConflictException as error:
            metadata = relationship.get("metadata") or {}
            if error.details.get("exists"):
                continue
            if "strength" in metadata or "optional" in metadata:
                raise
            _add(published, {**relationship, "metadata": {**metadata, "strength": "weak"}})


def _add(published: Published, relationship: Mapping[str, Any]) -> None:
    arguments = dict(relationship)
    source = parse(str(arguments.pop("from_uri", published.asset_uri)))
    target = parse(str(arguments.pop("to_uri", published.asset_uri)))
    published.catalogue.add_relationship(
        (source.asset_id, source.version),
        (target.asset_id, target.version),
        user=published.who or published.user,
        **arguments,
    )
