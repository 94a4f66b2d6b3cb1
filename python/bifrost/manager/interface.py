# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002, PLR0917 - OpenAssetIO's methods have the arguments they have.
"""The manager's methods, as OpenAssetIO names them: questions out of their arguments, answers back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from openassetio import EntityReference, constants
from openassetio.access import (
    EntityTraitsAccess,
    PolicyAccess,
    PublishingAccess,
    RelationsAccess,
    ResolveAccess,
)
from openassetio.managerApi import EntityReferencePagerInterface, ManagerInterface
from openassetio.trait import TraitsData

from bifrost.catalogue.records import VersionRecord
from bifrost.errors import PermissionDeniedException
from bifrost.manager import earlier_traits, representations, settings
from bifrost.manager.answers import ErrorCallback, error_of, translated_errors, unanswerable
from bifrost.manager.facts import Facts, Needs
from bifrost.manager.pagers import Pager
from bifrost.manager.policy import policy_for
from bifrost.manager.questions import (
    NOTHING,
    Asked,
    Asker,
    Unanswerable,
    asker_of,
    parsed,
    readable,
)
from bifrost.manager.relations import Relation
from bifrost.manager.vocabulary import ENTITY, LOCATION, NAME, ORIGINAL, VERSION
from bifrost.manager.writers import TRAITS_NEED, traits_of
from bifrost.model.entity_reference import MANAGER, PREFIX, AssetReference, is_asset_reference

if TYPE_CHECKING:
    from openassetio import Context
    from openassetio.managerApi import HostSession

    from bifrost.catalogue import Catalogue
    from bifrost.manager.publishing import Publishing
    from bifrost.publishing import Publisher
    from bifrost.tokens import Verifier

DISPLAY_NAME: Final = "Bifrost Asset Manager"

_Capability = ManagerInterface.Capability
_CAPABILITIES: Final = frozenset(
    {
        _Capability.kEntityReferenceIdentification,
        _Capability.kManagementPolicyQueries,
        _Capability.kEntityTraitIntrospection,
        _Capability.kResolution,
        _Capability.kExistenceQueries,
        _Capability.kRelationshipQueries,
        _Capability.kPublishing,
    }
)


class BifrostManagerInterface(ManagerInterface):  # type: ignore[misc]
    """
    The OpenAssetIO manager `org.bifrost.assetmanager`, over Bifrost's own catalogue.

    Any method may be overridden, say `resolve` or `info`, and may call its `super()`. All but
    `initialize` may be called from any thread at any time.

    The catalogue is opened by the first question, not by `initialize`: one that is locked for a
    moment fails that question and not the host's start.

    Settings (all optional):
        catalogue_url: Which catalogue, `sqlite:///<path>` or `postgresql://…`; by default that of
            Bifrost's settings.
        lock_timeout_s: Seconds to wait for another process's write.
        statement_timeout_s: Seconds that one statement may take on a server.
        store: The folder of published files; "" for one beside the catalogue.
        workflow: Stages of versions and their moves; "" for the default ones.
        strengths: How strongly kinds of arcs bind; "" for the default.
        tokens, algorithms, key_file, audience, issuer, leeway_s: Whether and how people must prove who
            they are, with the token of the locale's `auth.BearerToken`; as `[access]` of Bifrost's
            settings. Who can't fails with kAuthError, whatever they ask.

    Args:
        on_published: Called with the references whose answers a publish through OpenAssetIO changed;
            see `bifrost.publishing.Publisher`.
    """

    def __init__(self, on_published: Callable[[Sequence[str]], None] | None = None) -> None:
        super().__init__()
        self._on_published = on_published
        self._settings: dict[str, Any] | None = None
        self._catalogue: Catalogue | None = None
        self._publisher: Publisher | None = None
        self._verifier: Verifier | None = None
        self._opening = threading.Lock()

    # Identity and lifecycle

    def identifier(self) -> str:
        return MANAGER

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
            ConfigurationException: an unknown setting, a wrong type, a URL that names no catalogue, a
                key that can't be used.
        """
        before = self._current_settings()
        after = {**before, **settings.checked(managerSettings)}
        verifier = settings.verifier(after)
        with self._opening:
            self._verifier = verifier
            if after != before and self._catalogue is not None:
                self._catalogue.close()
                self._catalogue = self._publisher = None
            self._settings = after

    def close(self) -> None:
        """Let go of the catalogue's connections; the next question opens it again."""
        with self._opening:
            catalogue, self._catalogue, self._publisher = self._catalogue, None, None
        if catalogue is not None:
            catalogue.close()

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
        return [policy_for(traits, policyAccess) for traits in traitSets]

    # Questions about entities

    def entityExists(
        self,
        entityReferences: Sequence[EntityReference],
        context: Context,
        hostSession: HostSession,
        successCallback: Callable[[int, bool], None],
        errorCallback: ErrorCallback,
    ) -> None:
        asker = self._asker(context, "resolve", len(entityReferences), errorCallback)
        if asker is None:
            return
        asked = [parsed(reference.toString()) for reference in entityReferences]
        answers = self._answers(asked, asker)
        facts = self._facts(answers, asker, Needs.NOTHING)
        for index, (one, outcome) in enumerate(answers):
            if isinstance(outcome, Unanswerable):
                errorCallback(index, error_of(outcome))
            else:
                successCallback(index, _exists(one, outcome, facts))

    def entityTraits(
        self,
        entityReferences: Sequence[EntityReference],
        entityTraitsAccess: EntityTraitsAccess,
        context: Context,
        hostSession: HostSession,
        successCallback: Callable[[int, set[str]], None],
        errorCallback: ErrorCallback,
    ) -> None:
        is_read = entityTraitsAccess == EntityTraitsAccess.kRead
        action = "read" if is_read else "publish"
        asker = self._asker(context, action, len(entityReferences), errorCallback)
        if asker is None:
            return
        if not is_read:
            with translated_errors():
                needed = self._publishing(asker).needed(_strings(entityReferences))
            _report(needed, successCallback, errorCallback)
            return
        answers = self._answers(_readable(entityReferences), asker, ("read",))
        facts = self._facts(answers, asker, TRAITS_NEED)
        for index, (one, outcome) in enumerate(answers):
            if not isinstance(outcome, VersionRecord):
                errorCallback(index, error_of(outcome))
            elif one.representation is None:
                successCallback(index, traits_of(one, outcome, facts))
            else:
                chosen = representations.chosen(one, outcome, facts)
                if isinstance(chosen, Unanswerable):
                    errorCallback(index, error_of(chosen))
                else:
                    successCallback(index, representations.traits_of(one, outcome, chosen))

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
        earlier_traits.warn_of(traitSet)
        self._resolve(
            entityReferences, traitSet, resolveAccess, context, successCallback, errorCallback
        )

    def _resolve(
        self,
        entityReferences: Sequence[EntityReference],
        traitSet: set[str],
        resolveAccess: ResolveAccess,
        context: Context,
        successCallback: Callable[[int, TraitsData], None],
        errorCallback: ErrorCallback,
    ) -> None:
        is_read = resolveAccess == ResolveAccess.kRead
        action = "resolve" if is_read else "publish"
        asker = self._asker(context, action, len(entityReferences), errorCallback)
        if asker is None:
            return
        if not is_read:
            with translated_errors():
                found = self._publishing(asker).destinations(_strings(entityReferences), traitSet)
            _report(found, successCallback, errorCallback)
            return
        writers, needs = earlier_traits.writers_for(traitSet)
        answers = self._answers(_readable(entityReferences), asker, _actions_for(traitSet))
        if asker.locale and NAME in traitSet:
            answers = self._named(answers, asker.locale)
        facts = self._facts(answers, asker, needs)
        for index, (one, outcome) in enumerate(answers):
            if not isinstance(outcome, VersionRecord):
                errorCallback(index, error_of(outcome))
            elif one.representation is None:
                # Made anew for each element: OpenAssetIO hands it to the host by identity.
                data = TraitsData()
                for write in writers:
                    write(data, one, outcome, facts)
                successCallback(index, data)
            else:
                described = representations.described(one, outcome, facts, traitSet)
                if isinstance(described, Unanswerable):
                    errorCallback(index, error_of(described))
                else:
                    successCallback(index, described)

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
        asker = self._asker(context, "read", len(entityReferences), errorCallback)
        if asker is None:
            return
        relation = Relation(relationshipTraitsData, resultTraitSet, asker, relationsAccess)
        answers = self._answers(_readable(entityReferences), asker, ("read",))
        for index, (one, outcome) in enumerate(answers):
            if isinstance(outcome, VersionRecord):
                successCallback(index, self._pager(relation, one, outcome, pageSize))
            else:
                errorCallback(index, error_of(outcome))

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
        asker = self._asker(context, "read", len(relationshipTraitsDatas), errorCallback)
        if asker is None:
            return
        [(one, outcome)] = self._answers(_readable([entityReference]), asker, ("read",))
        for index, relationship in enumerate(relationshipTraitsDatas):
            if isinstance(outcome, VersionRecord):
                relation = Relation(relationship, resultTraitSet, asker, relationsAccess)
                successCallback(index, self._pager(relation, one, outcome, pageSize))
            else:
                errorCallback(index, error_of(outcome))

    # Publishing

    def preflight(
        self,
        entityReferences: Sequence[EntityReference],
        traitsHints: Sequence[TraitsData],
        publishingAccess: PublishingAccess,
        context: Context,
        hostSession: HostSession,
        successCallback: Callable[[int, EntityReference], None],
        errorCallback: ErrorCallback,
    ) -> None:
        asker = self._asker(context, "publish", len(entityReferences), errorCallback)
        if asker is None:
            return
        with translated_errors():
            publishing = self._publishing(asker)
            working = publishing.preflight(
                _strings(entityReferences), traitsHints, publishingAccess
            )
        _report(self._references(working), successCallback, errorCallback)

    def register(
        self,
        entityReferences: Sequence[EntityReference],
        entityTraitsDatas: Sequence[TraitsData],
        publishingAccess: PublishingAccess,
        context: Context,
        hostSession: HostSession,
        successCallback: Callable[[int, EntityReference], None],
        errorCallback: ErrorCallback,
    ) -> None:
        asker = self._asker(context, "publish", len(entityReferences), errorCallback)
        if asker is None:
            return
        with translated_errors():
            publishing = self._publishing(asker)
            final = publishing.register(
                _strings(entityReferences), entityTraitsDatas, publishingAccess
            )
        _report(self._references(final), successCallback, errorCallback)

    def _references(self, results: Sequence[Any]) -> list[Any]:
        return [
            each if isinstance(each, Unanswerable) else self._createEntityReference(each)
            for each in results
        ]

    # Who asks

    def _asker(
        self, context: Context, action: str, elements: int, errorCallback: ErrorCallback
    ) -> Asker | None:
        """Return who asks; None, having said so of each element, where their token can't be believed."""
        verifier = self._verifier
        if verifier is None:
            verifier = self._verifier = settings.verifier(self._current_settings())
        try:
            with translated_errors():
                return asker_of(context, verifier, action)
        except PermissionDeniedException as error:
            refusal = error_of(unanswerable(error))
        for index in range(elements):
            errorCallback(index, refusal)
        return None

    # The catalogue

    def _answers(
        self,
        asked: Sequence[AssetReference | Unanswerable],
        asker: Asker,
        actions: Sequence[str] = ("resolve",),
    ) -> list[Asked]:
        """Return what was asked and what came of it, for each reference, in one round trip."""
        queries = [(one.asset_id, one.version) for one in asked if isinstance(one, AssetReference)]
        with translated_errors():
            found = self._opened().resolve(
                queries, asker.policy, user=asker.user, actions=actions, projects=asker.projects
            )
        outcomes = iter(found)
        return [
            (one, next(outcomes)) if isinstance(one, AssetReference) else (NOTHING, one)
            for one in asked
        ]

    def _named(self, answers: Sequence[Asked], locale: str) -> list[Asked]:
        """Return *answers* with the names that their assets have in *locale*. One round trip."""
        ids = {outcome.asset_id for _, outcome in answers if isinstance(outcome, VersionRecord)}
        with translated_errors():
            names = self._opened().display_names(ids, locale)
        return [
            (one, outcome._replace(name=names[outcome.asset_id]))
            if isinstance(outcome, VersionRecord) and outcome.asset_id in names
            else (one, outcome)
            for one, outcome in answers
        ]

    def _facts(self, answers: Sequence[Asked], asker: Asker, needs: Needs) -> Facts:
        if any(one.representation is not None for one, _ in answers):
            needs |= Needs.REPRESENTATIONS
        records = (outcome for _, outcome in answers if isinstance(outcome, VersionRecord))
        with translated_errors():
            return Facts(self._opened(), asker.user, records, needs)

    def _pager(
        self, relation: Relation, asked: AssetReference, record: VersionRecord, page_size: int
    ) -> Pager:
        with translated_errors():
            targets = relation.targets(self._opened(), asked, record)
        return Pager(targets, page_size, self._createEntityReference)

    def _publishing(self, asker: Asker) -> Publishing:
        # Who only reads shall not pay for the engine.
        from bifrost.manager.publishing import Publishing
        from bifrost.publishing import Publisher

        catalogue = self._opened()
        publisher = self._publisher
        if publisher is None:
            publisher = Publisher(catalogue, on_published=self._on_published)
            self._publisher = publisher
        return Publishing(catalogue, publisher, asker)

    def _opened(self) -> Catalogue:
        catalogue = self._catalogue
        if catalogue is None:
            with self._opening:
                if self._catalogue is None:
                    self._catalogue = settings.opened(self._current_settings())
                catalogue = self._catalogue
        return catalogue

    def _current_settings(self) -> dict[str, Any]:
        if self._settings is None:
            self._settings = settings.defaults()
        return self._settings


def _actions_for(traits: set[str]) -> Sequence[str]:
    """Return the permissions that resolving *traits* needs: what is beyond the file is read."""
    return ("resolve",) if traits <= _OF_THE_FILE else ("resolve", "read")


_OF_THE_FILE: Final = frozenset(
    {ENTITY, LOCATION, VERSION, NAME, ORIGINAL, earlier_traits.LOCATABLE}
)


def _strings(references: Sequence[EntityReference]) -> list[str]:
    return [reference.toString() for reference in references]


def _readable(references: Sequence[EntityReference]) -> list[AssetReference | Unanswerable]:
    return [readable(reference.toString()) for reference in references]


def _exists(asked: AssetReference, outcome: Any, facts: Facts) -> bool:
    if not isinstance(outcome, VersionRecord) or asked.publish is not None:
        return False
    return asked.representation is None or asked.representation in facts.representations(outcome)


def _report(
    results: Sequence[Any],
    successCallback: Callable[[int, Any], None],
    errorCallback: ErrorCallback,
) -> None:
    for index, result in enumerate(results):
        if isinstance(result, Unanswerable):
            errorCallback(index, error_of(result))
        else:
            successCallback(index, result)
