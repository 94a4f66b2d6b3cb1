# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002, PLR0917 - OpenAssetIO's methods have the arguments they have.
"""
Our OpenAssetIO manager: it translates questions for the catalogue, and its answers back.

As OpenAssetIO asks (`managerApi.ManagerInterface.resolve`): what concerns one element goes to the
error callback of that element; what concerns the batch (the catalogue is locked, a locale that
makes no sense) is raised. Callbacks are called outside every `try`: a host's may raise, and its
exception must reach the host.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from openassetio import EntityReference, constants, errors
from openassetio.access import EntityTraitsAccess, PolicyAccess, RelationsAccess, ResolveAccess
from openassetio.managerApi import EntityReferencePagerInterface, ManagerInterface
from openassetio.trait import TraitsData
from openassetio_mediacreation.specifications.lifecycle import (
    EntityVersionsRelationshipSpecification_v1,
    StableEntityVersionsRelationshipSpecification_v1,
    StableReferenceRelationshipSpecification_v1,
)
from openassetio_mediacreation.traits.content import LocatableContentTrait_v1
from openassetio_mediacreation.traits.identity import DisplayNameTrait_v1
from openassetio_mediacreation.traits.lifecycle import VersionTrait_v1
from openassetio_mediacreation.traits.managementPolicy import ManagedTrait_v1
from openassetio_mediacreation.traits.usage import EntityTrait_v1

from bifrost.catalogue.location import path_of
from bifrost.catalogue.records import (
    NoSuchAsset,
    NoSuchVersion,
    Outcome,
    VersionPolicy,
    VersionRecord,
)
from bifrost.errors import CatalogueError, ConfigurationError
from bifrost.model.entity_reference import (
    LATEST,
    PREFIX,
    AssetReference,
    is_asset_reference,
    parse,
    reference_for,
)
from bifrost.traits.generated.specifications.relationship import (
    ClosureRelationshipSpecification_v1,
    DependencyRelationshipSpecification_v1,
)
from bifrost.traits.generated.traits.locale import ResolutionPolicyTrait_v1
from bifrost.traits.generated.traits.relationship import DependencyTrait_v1

if TYPE_CHECKING:
    from openassetio import Context
    from openassetio.managerApi import HostSession

    from bifrost.catalogue import Catalogue

IDENTIFIER: Final = "org.bifrost.assetmanager"
DISPLAY_NAME: Final = "Bifrost Asset Manager"

ErrorCallback = Callable[[int, errors.BatchElementError], None]

_Code = errors.BatchElementError.ErrorCode
_Capability = ManagerInterface.Capability

_ENTITY: Final = EntityTrait_v1.kId
_LOCATION: Final = LocatableContentTrait_v1.kId
_VERSION: Final = VersionTrait_v1.kId
_NAME: Final = DisplayNameTrait_v1.kId
_MANAGED: Final = ManagedTrait_v1.kId
_POLICY: Final = ResolutionPolicyTrait_v1.kId
_DEPENDENCY: Final = DependencyTrait_v1.kId

_CAPABILITIES: Final = frozenset(
    {
        _Capability.kEntityReferenceIdentification,
        _Capability.kManagementPolicyQueries,
        _Capability.kEntityTraitIntrospection,
        _Capability.kResolution,
        _Capability.kExistenceQueries,
        _Capability.kRelationshipQueries,
    }
)


class BifrostManagerInterface(ManagerInterface):  # type: ignore[misc]
    """
    The OpenAssetIO manager `org.bifrost.assetmanager`, over Bifrost's own catalogue.

    Any method may be overridden, say `resolve` or `info`, and may call its `super()`. All but
    `initialize` may be called from any thread at any time.

    The catalogue is opened by the first question, not by `initialize`: one that is locked for a
    moment fails that question and not the host's start.

    Settings:
        catalogue_url: Which catalogue, `sqlite:///<path>`; by default that of Bifrost's settings.
        lock_timeout_s: Seconds to wait for another process's write.
    """

    def __init__(self) -> None:
        super().__init__()
        self._settings: dict[str, Any] | None = None
        self._catalogue: Catalogue | None = None
        self._opening = threading.Lock()

    # Identity and lifecycle

    def identifier(self) -> str:
        return IDENTIFIER

    def displayName(self) -> str:
        return DISPLAY_NAME

    def info(self) -> dict[str, Any]:
        # With a prefix the middleware tests strings by itself and never enters Python for it. It
        # then takes malformed references for ours too: every batch has to refuse them.
        return {constants.kInfoKey_EntityReferencesMatchPrefix: PREFIX}

    def settings(self, hostSession: HostSession) -> dict[str, Any]:
        return dict(self._current_settings())

    def hasCapability(self, capability: ManagerInterface.Capability) -> bool:
        return capability in _CAPABILITIES

    def initialize(self, managerSettings: dict[str, Any], hostSession: HostSession) -> None:
        """
        Take *managerSettings* over those in force; with `{}` nothing changes.

        Raises:
            ConfigurationException: an unknown setting, a wrong type, a URL that names no file.
        """
        before = self._current_settings()
        after = {**before, **_checked_settings(managerSettings)}
        with self._opening:
            if after != before and self._catalogue is not None:
                self._catalogue.close()
                self._catalogue = None
            self._settings = after

    def flushCaches(self, hostSession: HostSession) -> None:
        """Nothing to do: every answer comes from the catalogue itself."""

    # What is managed

    def isEntityReferenceString(self, someString: str, hostSession: HostSession) -> bool:
        return is_asset_reference(someString)

    def managementPolicy(
        self,
        traitSets: Sequence[set[str]],
        policyAccess: PolicyAccess,
        context: Context,
        hostSession: HostSession,
    ) -> list[TraitsData]:
        return [_policy_for(traits, policyAccess) for traits in traitSets]

    # Questions about entities

    def entityExists(
        self,
        entityReferences: Sequence[EntityReference],
        context: Context,
        hostSession: HostSession,
        successCallback: Callable[[int, bool], None],
        errorCallback: ErrorCallback,
    ) -> None:
        answers = self._answers(entityReferences, _version_policy(context))
        for index, (_, outcome) in enumerate(answers):
            if isinstance(outcome, _Unreadable):
                errorCallback(index, _error(outcome))
            else:
                successCallback(index, isinstance(outcome, VersionRecord))

    def entityTraits(
        self,
        entityReferences: Sequence[EntityReference],
        entityTraitsAccess: EntityTraitsAccess,
        context: Context,
        hostSession: HostSession,
        successCallback: Callable[[int, set[str]], None],
        errorCallback: ErrorCallback,
    ) -> None:
        if entityTraitsAccess != EntityTraitsAccess.kRead:
            _refuse(entityReferences, errorCallback)
            return
        answers = self._answers(entityReferences, _version_policy(context))
        for index, (_, outcome) in enumerate(answers):
            if isinstance(outcome, VersionRecord):
                successCallback(index, _traits_of(outcome))
            else:
                errorCallback(index, _error(outcome))

    def resolve(
        self,
        entityReferences: Sequence[EntityReference],
        traitSet: set[str],
        resolveAccess: ResolveAccess,
        context: Context,
        hostSession: HostSession,
        successCallback: Callable[[int, TraitsData], None],
        errorCallback: ErrorCallback,
    ) -> None:
        if resolveAccess != ResolveAccess.kRead:
            _refuse(entityReferences, errorCallback)
            return
        writers = [write for trait, write in _WRITERS.items() if trait in traitSet]
        answers = self._answers(entityReferences, _version_policy(context))
        for index, (asked, outcome) in enumerate(answers):
            if isinstance(outcome, VersionRecord):
                # Made anew for each element: OpenAssetIO hands it to the host by identity.
                data = TraitsData()
                for write in writers:
                    write(data, asked, outcome)
                successCallback(index, data)
            else:
                errorCallback(index, _error(outcome))

    # Relationships

    def getWithRelationship(
        self,
        entityReferences: Sequence[EntityReference],
        relationshipTraitsData: TraitsData,
        resultTraitSet: set[str],
        pageSize: int,
        relationsAccess: RelationsAccess,
        context: Context,
        hostSession: HostSession,
        successCallback: Callable[[int, EntityReferencePagerInterface], None],
        errorCallback: ErrorCallback,
    ) -> None:
        if relationsAccess != RelationsAccess.kRead:
            _refuse(entityReferences, errorCallback)
            return
        policy = _version_policy(context)
        relation = _Relation(relationshipTraitsData, resultTraitSet, policy)
        for index, (_, outcome) in enumerate(self._answers(entityReferences, policy)):
            if isinstance(outcome, VersionRecord):
                successCallback(index, self._pager(relation, outcome, pageSize))
            else:
                errorCallback(index, _error(outcome))

    def getWithRelationships(
        self,
        entityReference: EntityReference,
        relationshipTraitsDatas: Sequence[TraitsData],
        resultTraitSet: set[str],
        pageSize: int,
        relationsAccess: RelationsAccess,
        context: Context,
        hostSession: HostSession,
        successCallback: Callable[[int, EntityReferencePagerInterface], None],
        errorCallback: ErrorCallback,
    ) -> None:
        if relationsAccess != RelationsAccess.kRead:
            _refuse([entityReference] * len(relationshipTraitsDatas), errorCallback)
            return
        policy = _version_policy(context)
        [(_, outcome)] = self._answers([entityReference], policy)
        for index, relationship in enumerate(relationshipTraitsDatas):
            if isinstance(outcome, VersionRecord):
                relation = _Relation(relationship, resultTraitSet, policy)
                successCallback(index, self._pager(relation, outcome, pageSize))
            else:
                errorCallback(index, _error(outcome))

    # The catalogue

    def _answers(
        self, references: Sequence[EntityReference], policy: VersionPolicy
    ) -> list[tuple[AssetReference, Outcome | _Unreadable]]:
        """Return what was asked and what came of it, for each reference, in one round trip."""
        asked = [_parsed(reference.toString()) for reference in references]
        queries = [(one.asset_id, one.version) for one in asked if isinstance(one, AssetReference)]
        with _translated_errors():
            outcomes = iter(self._opened().resolve(queries, policy))
        return [
            (one, next(outcomes)) if isinstance(one, AssetReference) else (_NOTHING, one)
            for one in asked
        ]

    def _pager(self, relation: _Relation, record: VersionRecord, page_size: int) -> _Pager:
        with _translated_errors():
            targets = relation.targets(self._opened(), record)
        return _Pager(targets, page_size, self._createEntityReference)

    def _opened(self) -> Catalogue:
        catalogue = self._catalogue
        if catalogue is None:
            from bifrost.catalogue import Catalogue

            with self._opening:
                if self._catalogue is None:
                    settings = self._current_settings()
                    self._catalogue = Catalogue.open(
                        settings["catalogue_url"], lock_timeout_s=settings["lock_timeout_s"]
                    )
                catalogue = self._catalogue
        return catalogue

    def _current_settings(self) -> dict[str, Any]:
        if self._settings is None:
            from bifrost.settings import load

            with _translated_errors():
                settings = load()
            self._settings = {
                "catalogue_url": settings.catalogue_url,
                "lock_timeout_s": settings.catalogue.lock_timeout_s,
            }
        return self._settings


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Raise our errors as OpenAssetIO's. Never round a callback."""
    try:
        yield
    except CatalogueError as error:
        raise errors.OpenAssetIOException(error.message) from error
    except ConfigurationError as error:
        raise errors.ConfigurationException(error.message) from error


def _checked_settings(settings: dict[str, Any]) -> dict[str, Any]:
    checked = {}
    for key, value in settings.items():
        if key not in _SETTINGS:
            known = ", ".join(sorted(_SETTINGS))
            raise errors.ConfigurationException(f"{key}: no such setting; there are {known}")
        expected, accepted = _SETTINGS[key]
        if type(value) not in accepted:
            raise errors.ConfigurationException(
                f"{key}: expected {expected.__name__}, got {value!r}"
            )
        checked[key] = expected(value)
    if checked.get("lock_timeout_s", 0.0) < 0:
        raise errors.ConfigurationException(
            f"lock_timeout_s: expected seconds from 0 up, got {checked['lock_timeout_s']!r}"
        )
    if "catalogue_url" in checked:
        with _translated_errors():
            path_of(checked["catalogue_url"])
    return checked


# Each setting's type, and the types it may be given as.
_SETTINGS: Final[dict[str, tuple[type, tuple[type, ...]]]] = {
    "catalogue_url": (str, (str,)),
    "lock_timeout_s": (float, (float, int)),
}


# What comes in


class _Unreadable(NamedTuple):
    """A reference that the catalogue can't be asked about."""

    code: Any
    message: str


_NOTHING: Final = AssetReference("")


def _parsed(reference: str) -> AssetReference | _Unreadable:
    try:
        return parse(reference)
    except ValueError as error:
        ours = is_asset_reference(reference)
        code = _Code.kMalformedEntityReference if ours else _Code.kInvalidEntityReference
        return _Unreadable(code, str(error))


def _version_policy(context: Context) -> VersionPolicy:
    locale = context.locale
    if locale is None or not locale.hasTrait(_POLICY):
        return VersionPolicy()
    version, as_of = (locale.getTraitProperty(_POLICY, key) for key in ("version", "asOf"))
    try:
        return VersionPolicy.of(str(version) if version else None, str(as_of) if as_of else None)
    except ValueError as error:
        raise errors.InputValidationException(f"the locale's {_POLICY}: {error}") from None


# What goes out


def _error(outcome: NoSuchAsset | NoSuchVersion | _Unreadable) -> errors.BatchElementError:
    code = outcome.code if isinstance(outcome, _Unreadable) else _Code.kEntityResolutionError
    return errors.BatchElementError(code, outcome.message)


def _refuse(references: Iterable[EntityReference], errorCallback: ErrorCallback) -> None:
    """Answer a question about writing: through OpenAssetIO, everything is read-only."""
    for index, reference in enumerate(references):
        asked = _parsed(reference.toString())
        if isinstance(asked, _Unreadable):
            errorCallback(index, _error(asked))
        else:
            message = f"{asked} is read-only: this manager is not published to through OpenAssetIO"
            errorCallback(index, errors.BatchElementError(_Code.kEntityAccessError, message))


def _write_entity(data: TraitsData, _asked: AssetReference, _record: VersionRecord) -> None:
    data.addTrait(_ENTITY)


def _write_location(data: TraitsData, _asked: AssetReference, record: VersionRecord) -> None:
    # Without a location the trait is left out, which tells the host so.
    if record.location:
        data.setTraitProperty(_LOCATION, "location", record.location)
        data.setTraitProperty(_LOCATION, "isTemplated", record.templated)
        if record.mime_type:
            data.setTraitProperty(_LOCATION, "mimeType", record.mime_type)


def _write_version(data: TraitsData, asked: AssetReference, record: VersionRecord) -> None:
    data.setTraitProperty(_VERSION, "specifiedTag", asked.version or "")
    data.setTraitProperty(_VERSION, "stableTag", str(record.number))


def _write_name(data: TraitsData, _asked: AssetReference, record: VersionRecord) -> None:
    data.setTraitProperty(_NAME, "name", record.name)
    data.setTraitProperty(_NAME, "qualifiedName", record.asset_id)


# The traits that can be resolved. Properties are set by id and not through MediaCreation's views,
# which cost three times as much.
_WRITERS: Final[dict[str, Callable[[TraitsData, AssetReference, VersionRecord], None]]] = {
    _ENTITY: _write_entity,
    _LOCATION: _write_location,
    _VERSION: _write_version,
    _NAME: _write_name,
}


def _traits_of(record: VersionRecord) -> set[str]:
    traits = set(_WRITERS)
    return traits if record.location else traits - {_LOCATION}


def _policy_for(traits: set[str], access: PolicyAccess) -> TraitsData:
    """Return our policy for *traits*: what can be resolved of them; empty for anything else."""
    if access != PolicyAccess.kRead:
        return TraitsData()
    if frozenset(traits) in _FINDERS:
        return TraitsData({_MANAGED})
    resolvable = traits & _WRITERS.keys()
    return TraitsData({_MANAGED, _VERSION, *resolvable}) if resolvable else TraitsData()


# Relationships

Target = tuple[str, str | None]
Properties = dict[tuple[str, str], Any]


class _Relation:
    """One relationship's question. Keeps nothing of the objects it was made from."""

    def __init__(
        self, relationship: TraitsData, result_traits: Iterable[str], policy: VersionPolicy
    ) -> None:
        traits = relationship.traitSet()
        # Exact, as in OpenAssetIO's own example manager: a more special relationship, which
        # somebody may define one day, must not be answered as if it were the general one.
        self._find = _FINDERS.get(frozenset(traits))
        self._wanted: Properties = {
            (trait, key): relationship.getTraitProperty(trait, key)
            for trait in traits
            for key in relationship.traitPropertyKeys(trait)
        }
        self._result_traits = frozenset(result_traits)
        self._policy = policy

    def targets(self, catalogue: Catalogue, record: VersionRecord) -> list[Target]:
        """Return what *record* is related to, in order; nothing by an unknown relationship."""
        if self._find is None:
            return []
        targets = [
            target
            for target, properties in self._find(catalogue, record, self._policy)
            if self._wanted.items() <= properties.items()
        ]
        if not self._result_traits:
            return targets
        outcomes = catalogue.resolve(targets, self._policy)
        return [
            target
            for target, outcome in zip(targets, outcomes, strict=True)
            if isinstance(outcome, VersionRecord) and self._result_traits <= _traits_of(outcome)
        ]


Finder = Callable[["Catalogue", VersionRecord, VersionPolicy], Iterable[tuple[Target, Properties]]]


def _stable_versions(
    catalogue: Catalogue, record: VersionRecord, _policy: VersionPolicy
) -> Iterator[tuple[Target, Properties]]:
    for version in catalogue.versions(record.asset_id):
        tag = str(version.number)
        yield (record.asset_id, tag), _version_properties(tag, tag)


def _versions(
    catalogue: Catalogue, record: VersionRecord, policy: VersionPolicy
) -> Iterator[tuple[Target, Properties]]:
    [newest] = catalogue.resolve([(record.asset_id, LATEST)], policy)
    if isinstance(newest, VersionRecord):
        yield (record.asset_id, LATEST), _version_properties(LATEST, str(newest.number))
    yield from _stable_versions(catalogue, record, policy)


def _version_properties(specified: str, stable: str) -> Properties:
    return {(_VERSION, "specifiedTag"): specified, (_VERSION, "stableTag"): stable}


def _stable_reference(
    _catalogue: Catalogue, record: VersionRecord, _policy: VersionPolicy
) -> Iterator[tuple[Target, Properties]]:
    yield (record.asset_id, str(record.number)), {}


def _dependencies(
    catalogue: Catalogue, record: VersionRecord, _policy: VersionPolicy
) -> Iterator[tuple[Target, Properties]]:
    for asset_id, version, kind in catalogue.dependencies(record.asset_id, record.number):
        yield (asset_id, version), {(_DEPENDENCY, "kind"): kind}


def _closure(
    catalogue: Catalogue, record: VersionRecord, policy: VersionPolicy
) -> Iterator[tuple[Target, Properties]]:
    nothing: Properties = {}
    for target in catalogue.closure([(record.asset_id, str(record.number))], policy):
        yield target, nothing


_FINDERS: Final[dict[frozenset[str], Finder]] = {
    frozenset(EntityVersionsRelationshipSpecification_v1.kTraitSet): _versions,
    frozenset(StableEntityVersionsRelationshipSpecification_v1.kTraitSet): _stable_versions,
    frozenset(StableReferenceRelationshipSpecification_v1.kTraitSet): _stable_reference,
    frozenset(DependencyRelationshipSpecification_v1.kTraitSet): _dependencies,
    frozenset(ClosureRelationshipSpecification_v1.kTraitSet): _closure,
}


class _Pager(EntityReferencePagerInterface):  # type: ignore[misc]
    """
    Pages over what was related when the question was asked.

    The targets are known at once, from one query; the references, which weigh more, are made for
    the page at hand. `close` lets go of everything.
    """

    def __init__(
        self,
        targets: list[Target],
        page_size: int,
        make_reference: Callable[[str], EntityReference],
    ) -> None:
        super().__init__()
        self._targets = targets
        self._page_size = page_size
        self._start = 0
        self._make_reference = make_reference

    def hasNext(self, hostSession: HostSession) -> bool:
        return self._start + self._page_size < len(self._targets)

    def get(self, hostSession: HostSession) -> list[EntityReference]:
        page = self._targets[self._start : self._start + self._page_size]
        return [self._make_reference(reference_for(*target)) for target in page]

    def next(self, hostSession: HostSession) -> None:
        self._start = min(self._start + self._page_size, len(self._targets))

    def close(self, hostSession: HostSession) -> None:
        self._targets = []
