# SPDX-License-Identifier: Apache-2.0
"""Which entities a relationship leads to, found page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from openassetio.access import RelationsAccess
from openassetio_mediacreation.specifications.lifecycle import (
    EntityVersionsRelationshipSpecification_v1,
    StableEntityVersionsRelationshipSpecification_v1,
    StableReferenceRelationshipSpecification_v1,
)
from openassetio_mediacreation.specifications.representation import (
    OriginalRepresentationRelationshipSpecification_v1,
    ProxyRepresentationRelationshipSpecification_v1,
)

from bifrost.catalogue.records import VersionPolicy, VersionRecord
from bifrost.manager.facts import Facts
from bifrost.manager.questions import Asker, Unanswerable
from bifrost.manager.representations import chosen, is_image
from bifrost.manager.representations import traits_of as representation_traits
from bifrost.manager.vocabulary import DEPENDENCY, EDGE, VERSION
from bifrost.manager.writers import TRAITS_NEED, traits_of
from bifrost.model.entity_reference import LATEST, AssetReference
from bifrost.traits.generated.specifications.relationship import (
    ClosureRelationshipSpecification_v1,
    DependencyRelationshipSpecification_v1,
    EdgeRelationshipSpecification_v1,
    IncomingEdgeRelationshipSpecification_v1,
)
from bifrost.traits.generated.specifications.representation import (
    PreviewRelationshipSpecification_v1,
    ThumbnailRelationshipSpecification_v1,
)

if TYPE_CHECKING:
    from openassetio.trait import TraitsData

    from bifrost.catalogue import Catalogue
    from bifrost.catalogue.edge_values import Relationship

Properties = dict[tuple[str, str], Any]
Found = Iterator[tuple[AssetReference, Properties]]

_AT_A_TIME: Final = 500
"""How many edges or results are looked up in one round trip."""


class Question(NamedTuple):
    """
    What is asked of one entity.

    Attributes:
        catalogue: Where it is looked up.
        asker: Who asks, under which policy.
        asked: The reference.
        record: The version that it means.
        wanted: What the relationship's properties must be, by trait and key.
    """

    catalogue: Catalogue
    asker: Asker
    asked: AssetReference
    record: VersionRecord
    wanted: Properties

    @property
    def policy(self) -> VersionPolicy:
        """What floating references mean."""
        return self.asker.policy


class Relation:
    """One relationship's question. Keeps nothing of the objects it was made from."""

    def __init__(
        self,
        relationship: TraitsData,
        result_traits: Iterable[str],
        asker: Asker,
        access: RelationsAccess,
    ) -> None:
        traits = relationship.traitSet()
        # Exact, as in OpenAssetIO's own example manager: a more special relationship, which
        # somebody may define one day, must not be answered as if it were the general one.
        self._find = FINDERS.get(frozenset(traits))
        # Which entities a host must create, we dictate to nobody.
        if access == RelationsAccess.kCreateRelated:
            self._find = None
        self._wanted: Properties = {
            (trait, key): relationship.getTraitProperty(trait, key)
            for trait in traits
            for key in relationship.traitPropertyKeys(trait)
        }
        self._result_traits = frozenset(result_traits)
        self._asker = asker
        self._writes = access == RelationsAccess.kWrite

    def targets(
        self, catalogue: Catalogue, asked: AssetReference, record: VersionRecord
    ) -> Iterator[AssetReference]:
        """
        Yield what *record* is related to, in order; nothing by an unknown relationship.

        What is large is read as it is asked for: the next round trip is made by the next element.
        """
        if self._find is None:
            return iter(())
        question = Question(catalogue, self._asker, asked, record, self._wanted)
        found: Iterator[AssetReference] = (
            target
            for target, properties in self._find(question)
            if all(_fits(key, value, properties) for key, value in self._wanted.items())
        )
        if self._writes:
            found = self._writable(catalogue, found)
        return self._described(catalogue, found) if self._result_traits else found

    def _writable(
        self, catalogue: Catalogue, found: Iterator[AssetReference]
    ) -> Iterator[AssetReference]:
        """Yield what to publish to: each asset that who asks may publish, once."""
        seen: set[str] = set()
        for targets in _batches(found):
            fresh = dict.fromkeys(
                target.asset_id
                for target in targets
                if target.representation is None and target.asset_id not in seen
            )
            seen.update(fresh)
            allowed = catalogue.permitted(self._asker.user, list(fresh), "publish")
            yield from (
                AssetReference(asset_id)
                for asset_id, may in zip(fresh, allowed, strict=True)
                if may
            )

    def _described(
        self, catalogue: Catalogue, found: Iterator[AssetReference]
    ) -> Iterator[AssetReference]:
        """Yield what has the traits that results must have."""
        for targets in _batches(found):
            queries = [(target.asset_id, target.version) for target in targets]
            outcomes = catalogue.resolve(queries, self._asker.policy, user=self._asker.user)
            records = [each for each in outcomes if isinstance(each, VersionRecord)]
            facts = Facts(catalogue, self._asker.user, records, TRAITS_NEED)
            for target, outcome in zip(targets, outcomes, strict=True):
                if isinstance(outcome, VersionRecord) and self._result_traits <= _traits(
                    target, outcome, facts
                ):
                    yield target


def _traits(target: AssetReference, record: VersionRecord, facts: Facts) -> set[str]:
    if target.representation is None:
        return traits_of(target, record, facts)
    representation = chosen(target, record, facts)
    if isinstance(representation, Unanswerable):
        return set()
    return representation_traits(target, record, representation)


def _batches(found: Iterator[AssetReference]) -> Iterator[list[AssetReference]]:
    while batch := list(islice(found, _AT_A_TIME)):
        yield batch


_METADATA: Final = (EDGE, "metadata")


def _fits(key: tuple[str, str], wanted: Any, properties: Properties) -> bool:
    if key != _METADATA:
        return key in properties and bool(wanted == properties[key])
    try:
        asked = json.loads(wanted)
    except (TypeError, ValueError, RecursionError):
        return False
    there = json.loads(properties.get(key, "{}"))
    return isinstance(asked, dict) and asked.items() <= there.items()


# Versions


def _stable_versions(question: Question) -> Found:
    for version in question.catalogue.versions(question.record.asset_id):
        tag = str(version.number)
        yield AssetReference(version.asset_id, tag), _version_properties(tag, tag)


def _versions(question: Question) -> Found:
    asset_id = question.record.asset_id
    [newest] = question.catalogue.resolve([(asset_id, LATEST)], question.policy)
    if isinstance(newest, VersionRecord):
        latest = _version_properties(LATEST, str(newest.number))
        yield AssetReference(asset_id, LATEST), latest
    yield from _stable_versions(question)


def _version_properties(specified: str, stable: str) -> Properties:
    return {(VERSION, "specifiedTag"): specified, (VERSION, "stableTag"): stable}


def _stable_reference(question: Question) -> Found:
    record = question.record
    yield AssetReference(record.asset_id, str(record.number), question.asked.representation), {}


# Representations


def _original(question: Question) -> Found:
    yield AssetReference(question.record.asset_id, question.asked.version), {}


def _proxies(question: Question) -> Found:
    yield from _representation(question, "preview", images=False)


def _thumbnail(question: Question) -> Found:
    yield from _representation(question, "thumbnail")


def _preview(question: Question) -> Found:
    yield from _representation(question, "preview")


def _representation(question: Question, name: str, *, images: bool = True) -> Found:
    version = (question.record.asset_id, question.record.number)
    found = question.catalogue.representations([version]).get(version, {}).get(name)
    if found is not None and (images or not is_image(found)):
        # Floats as the question did.
        yield AssetReference(version[0], question.asked.version, name), {}


# Edges


def _dependencies(question: Question) -> Found:
    record = question.record
    for asset_id, version, kind in question.catalogue.dependencies(record.asset_id, record.number):
        yield AssetReference(asset_id, version), {(DEPENDENCY, "kind"): kind}


def _closure(question: Question) -> Found:
    root = (question.record.asset_id, str(question.record.number))
    nothing: Properties = {}
    for asset_id, version in question.catalogue.closure([root], question.policy):
        yield AssetReference(asset_id, version), nothing


def _outgoing(question: Question) -> Found:
    for edge in _edges(question, "out", question.record.number):
        yield AssetReference(edge.to_id, edge.to_version), _edge_properties(edge)


def _incoming(question: Question) -> Found:
    # Of a reference that floats: what leads to any version of it.
    number = None if question.asked.version is None else question.record.number
    for edge in _edges(question, "in", number):
        version = str(edge.from_number) if edge.from_number else None
        yield AssetReference(edge.from_id, version), _edge_properties(edge)


def _edges(question: Question, direction: str, number: int | None) -> Iterator[Relationship]:
    """Yield edges; those that kind, strength or purpose rule out aren't even read."""
    from bifrost.errors import InvalidTraitsException

    filters: dict[str, Any] = {
        plural: [value]
        for plural, key in (("kinds", "kind"), ("strengths", "strength"), ("purposes", "purpose"))
        if (value := question.wanted.get((EDGE, key))) is not None
    }
    try:
        yield from question.catalogue.every_relationship_of(
            question.record.asset_id, number, at_a_time=_AT_A_TIME, direction=direction, **filters
        )
    except InvalidTraitsException:
        return  # a strength that no relationship has


def _edge_properties(edge: Relationship) -> Properties:
    metadata = json.loads(edge.metadata_json)
    properties = {
        "kind": edge.kind,
        "strength": edge.strength,
        "purpose": edge.purpose,
        "pinned": edge.is_pinned,
        "origin": edge.origin,
        "context": metadata.get("context", ""),
        "metadata": edge.metadata_json,
    }
    return {(EDGE, key): value for key, value in properties.items()}


Finder = Callable[[Question], Found]

FINDERS: Final[dict[frozenset[str], Finder]] = {
    frozenset(specification.kTraitSet): finder
    for specification, finder in (
        (EntityVersionsRelationshipSpecification_v1, _versions),
        (StableEntityVersionsRelationshipSpecification_v1, _stable_versions),
        (StableReferenceRelationshipSpecification_v1, _stable_reference),
        (OriginalRepresentationRelationshipSpecification_v1, _original),
        (ProxyRepresentationRelationshipSpecification_v1, _proxies),
        (ThumbnailRelationshipSpecification_v1, _thumbnail),
        (PreviewRelationshipSpecification_v1, _preview),
        (DependencyRelationshipSpecification_v1, _dependencies),
        (ClosureRelationshipSpecification_v1, _closure),
        (EdgeRelationshipSpecification_v1, _outgoing),
        (IncomingEdgeRelationshipSpecification_v1, _incoming),
    )
}
