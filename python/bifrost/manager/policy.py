# SPDX-License-Identifier: Apache-2.0
"""What the manager manages: for reading, for publishing, and what publishing asks of a host."""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from typing import Final

from openassetio.access import PolicyAccess
from openassetio.trait import TraitsData

from bifrost.catalogue.edge_values import STRENGTHS
from bifrost.manager.relations import FINDERS
from bifrost.manager.representations import WRITERS as OF_REPRESENTATIONS
from bifrost.manager.vocabulary import (
    DEPENDENCY,
    EDGE,
    LOCATION,
    MANAGED,
    NAME,
    RELATIONSHIP_MANAGEMENT,
    VERSION,
)
from bifrost.manager.writers import WRITERS

_KINDS: Final = ("sublayer", "reference", "payload", "texture", "dependency", "child")
_FILTERS: Final = {
    EDGE: ("kind", "strength", "purpose", "pinned", "origin", "context", "metadata"),
    DEPENDENCY: ("kind",),
    VERSION: ("specifiedTag", "stableTag"),
}


def policy_for(traits: AbstractSet[str], access: PolicyAccess) -> TraitsData:
    """
    Return our policy for *traits*; empty for what we have nothing to do with.

    It is the same for whoever asks, and needs no round trip: what somebody may do with one asset is in
    `managementPolicy.Permissions` of that asset.
    """
    if frozenset(traits) in FINDERS:
        return _of_relationship(traits, access)
    if access == PolicyAccess.kRead:
        ours = traits & (WRITERS.keys() | OF_REPRESENTATIONS.keys())
        # Beside a trait of ours, any other: what a publisher gave is kept and given back.
        return TraitsData({MANAGED, VERSION, *traits}) if ours else TraitsData()
    if LOCATION not in traits:
        return TraitsData()
    if access == PolicyAccess.kRequired:
        return TraitsData({LOCATION, *(traits & {NAME})})
    if access == PolicyAccess.kManagerDriven:
        return TraitsData({MANAGED, LOCATION})
    return TraitsData({MANAGED, VERSION, *traits})


def _of_relationship(traits: AbstractSet[str], access: PolicyAccess) -> TraitsData:
    # Which related entities must be created is the host's affair: we dictate none (kCreateRelated).
    if access not in (PolicyAccess.kRead, PolicyAccess.kWrite):
        return TraitsData()
    policy = TraitsData({MANAGED})
    filters = [key for trait in sorted(traits & _FILTERS.keys()) for key in _FILTERS[trait]]
    policy.setTraitProperty(RELATIONSHIP_MANAGEMENT, "filters", json.dumps(filters))
    if EDGE in traits:
        policy.setTraitProperty(RELATIONSHIP_MANAGEMENT, "kinds", json.dumps(_KINDS))
        policy.setTraitProperty(RELATIONSHIP_MANAGEMENT, "strengths", json.dumps(STRENGTHS))
    return policy
