# SPDX-License-Identifier: Apache-2.0
"""
What a batch is published to: existing assets, new ones, or publishes that preflight began.

Everything is looked up for the whole batch; one element's trouble is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import TYPE_CHECKING, NamedTuple

from openassetio.access import PublishingAccess
from openassetio.trait import TraitsData

from bifrost.catalogue.records import AssetRecord, Refused, VersionRecord, shown
from bifrost.manager.answers import outcome_of
from bifrost.manager.drafting import new_id
from bifrost.manager.questions import Asker, Code, Unanswerable, parsed, readable
from bifrost.manager.vocabulary import LOCATION, NAME
from bifrost.model.entity_reference import LATEST, AssetReference, reference_for

if TYPE_CHECKING:
    from bifrost.catalogue import Catalogue


class Target(NamedTuple):
    """
    What is published to.

    Attributes:
        asset_id: The asset whose version it becomes.
        asset: What the catalogue knows of it; None for one that is made.
        publish: The publish that preflight began; None without.
        expected_version: The version that the publisher started from, 0 for none; None for any.
        parent: Of a new entity, the reference that it is created under; "" otherwise.
    """

    asset_id: str
    asset: AssetRecord | None
    publish: str | None = None
    expected_version: int | None = None
    parent: str = ""

    @property
    def reference(self) -> str:
        """The reference that names it."""
        return str(AssetReference(self.asset_id, publish=self.publish))

    @property
    def described(self) -> str:
        """What messages call it."""
        return f"a new entity under {self.parent}" if self.parent else self.reference

    @property
    def required(self) -> frozenset[str]:
        """The traits whose properties a publisher must give."""
        known = self.asset is not None or self.publish is not None
        return frozenset({LOCATION} if known else {LOCATION, NAME})


Targets = list[Target | Unanswerable]


def themselves(catalogue: Catalogue, asker: Asker, references: Sequence[str]) -> Targets:
    """Return *references* as what is published to. Two round trips for any number."""
    asked = [_writable(reference) for reference in references]
    ids = list(dict.fromkeys(one.asset_id for one in asked if isinstance(one, AssetReference)))
    assets = catalogue.found(ids)
    allowed = _allowed(catalogue, asker, ids, "publish")
    return [
        one
        if isinstance(one, Unanswerable)
        else _itself(one, assets.get(one.asset_id))
        if one.asset_id in allowed
        else _refused(one.asset_id, "publish", asker)
        for one in asked
    ]


def targets_of(
    catalogue: Catalogue,
    asker: Asker,
    references: Sequence[str],
    given: Sequence[TraitsData],
    access: PublishingAccess,
) -> Targets:
    """
    Return what each of *references* is published to under *access*, given what is said of it.

    For kCreateRelated that is a new entity each, but for what preflight made of it already.
    """
    if access != PublishingAccess.kCreateRelated:
        return themselves(catalogue, asker, references)
    begun = [_is_begun(reference) for reference in references]
    old = iter(themselves(catalogue, asker, list(compress(references, begun))))
    fresh = [not each for each in begun]
    parents = list(compress(references, fresh))
    new = iter(_children(catalogue, asker, parents, list(compress(given, fresh))))
    return [next(old if each else new) for each in begun]


def _is_begun(reference: str) -> bool:
    asked = parsed(reference)
    return isinstance(asked, AssetReference) and asked.publish is not None


def _writable(reference: str) -> AssetReference | Unanswerable:
    """Return what *reference* names, if it is one that versions can be published to."""
    asked = parsed(reference)
    if isinstance(asked, Unanswerable):
        return asked
    plain = reference_for(asked.asset_id)
    if asked.representation is not None:
        return _read_only(asked, f"it stands for a version of {plain}")
    if asked.version is not None and asked.version != LATEST and not asked.is_pinned:
        return _read_only(asked, f"a new version has no status yet; publish to {plain}")
    return asked


def _read_only(asked: AssetReference, why: str) -> Unanswerable:
    return Unanswerable(Code.kEntityAccessError, f"{asked} can't be published to: {why}")


def _itself(asked: AssetReference, asset: AssetRecord | None) -> Target | Unanswerable:
    if not asked.is_pinned:
        return Target(asked.asset_id, asset, asked.publish)
    # Who names a version started from it: nobody may have published in between.
    expected, newest = int(asked.version or 0), asset.latest_version if asset else 0
    if expected == newest:
        return Target(asked.asset_id, asset, expected_version=expected)
    message = (
        f"conflict: asset {shown(asked.asset_id)} is at version {newest}, not at {expected}; to "
        f"publish whatever is the newest, name {reference_for(asked.asset_id)}"
    )
    return Unanswerable(Code.kUnknown, message)


def _children(
    catalogue: Catalogue, asker: Asker, references: Sequence[str], given: Sequence[TraitsData]
) -> Targets:
    """Return a new entity under each of *references*. Four round trips for any number."""
    asked = [readable(reference) for reference in references]
    parents = [one for one in asked if isinstance(one, AssetReference)]
    queries = list(dict.fromkeys((one.asset_id, one.version) for one in parents))
    resolved = catalogue.resolve(queries, asker.policy, user=asker.user)
    outcomes = dict(zip(queries, resolved, strict=True))
    made = [new_id(data) for data in given]
    ids = [asset_id for asset_id in made if isinstance(asset_id, str)]
    taken = catalogue.found(filter(None, ids))
    related = _allowed(catalogue, asker, [one.asset_id for one in parents], "relate")
    allowed = _allowed(catalogue, asker, ids, "publish")

    def child(one: AssetReference, asset_id: str) -> Target | Unanswerable:
        outcome = outcomes[one.asset_id, one.version]
        if not isinstance(outcome, VersionRecord):
            return outcome_of(outcome)
        if one.asset_id not in related:
            return _refused(one.asset_id, "relate", asker)
        if asset_id not in allowed:
            return _refused(asset_id, "publish", asker)
        if asset_id in taken:
            return _taken(asset_id)
        # A floating parent has the relationship as a whole, whatever its versions are.
        version = one.version if one.is_pinned else None
        parent = reference_for(one.asset_id, version)
        return Target(asset_id, None, expected_version=0, parent=parent)

    return [
        one
        if isinstance(one, Unanswerable)
        else asset_id
        if isinstance(asset_id, Unanswerable)
        else child(one, asset_id)
        for one, asset_id in zip(asked, made, strict=True)
    ]


def _taken(asset_id: str) -> Unanswerable:
    message = (
        f"conflict: there is an asset {shown(asset_id)} already: publish to "
        f"{reference_for(asset_id)}, or give DisplayName another name or qualifiedName"
    )
    return Unanswerable(Code.kUnknown, message)


def _allowed(catalogue: Catalogue, asker: Asker, ids: Iterable[str], action: str) -> set[str]:
    asked = list(dict.fromkeys(ids))
    permitted = catalogue.permitted(asker.user, asked, action)
    return {asset_id for asset_id, may in zip(asked, permitted, strict=True) if may}


def _refused(asset_id: str, action: str, asker: Asker) -> Unanswerable:
    return outcome_of(Refused(asset_id, action, asker.name))
