# SPDX-License-Identifier: Apache-2.0
"""What happens behind a publish that needs nothing of USD."""

from __future__ import annotations

import contextlib

from bifrost.errors import ConflictException
from bifrost.model.entity_reference import parse
from bifrost.publishing.plugins import Published


def record_relationships(published: Published) -> None:
    """
    Add the relationships that the draft names; an end that it leaves out is the version that was made.

    Those that are there already, from an earlier try, stay as they are.
    """
    for relationship in published.draft.relationships:
        arguments = dict(relationship)
        source = parse(str(arguments.pop("from_uri", published.asset_uri)))
        target = parse(str(arguments.pop("to_uri", published.asset_uri)))
        with contextlib.suppress(ConflictException):
            published.catalogue.add_relationship(
                (source.asset_id, source.version),
                (target.asset_id, target.version),
                user=published.who or published.user,
                **arguments,
            )
