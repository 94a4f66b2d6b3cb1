# SPDX-License-Identifier: Apache-2.0
"""
Publishing through OpenAssetIO: preflight, where to write, register.

A working reference `bifrost:///assets/<id>?publish=<id>` is a publish on its way (`Publisher.working`):
it outlives the process, and can be listed and aborted. Elements are published one by one, so that one
that fails leaves the others alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from openassetio.access import PublishingAccess
from openassetio.trait import TraitsData

from bifrost.catalogue.records import shown
from bifrost.errors import AssetException, AssetNotFoundException, CatalogueError
from bifrost.errors import Code as FailureCode
from bifrost.manager.answers import unanswerable
from bifrost.manager.drafting import draft_of, path_of, relationship_of, working_name
from bifrost.manager.questions import Asker, Code, Unanswerable
from bifrost.manager.targets import Target, Targets, targets_of, themselves
from bifrost.manager.vocabulary import LOCATION, NAME
from bifrost.model.entity_reference import AssetReference

if TYPE_CHECKING:
    from bifrost.catalogue import Catalogue
    from bifrost.publishing import Draft, Publisher

Given = TypeVar("Given")
Results = list[Any]
"""For each element a reference or data, or why there is none: an `Unanswerable`."""


class Publishing:
    """
    Answers one batch about publishing. For one call, and one thread.

    Args:
        catalogue: The catalogue.
        publisher: What publishes into it.
        asker: Who asks.
    """

    def __init__(self, catalogue: Catalogue, publisher: Publisher, asker: Asker) -> None:
        self._catalogue = catalogue
        self._publisher = publisher
        self._asker = asker

    def preflight(
        self, references: Sequence[str], hints: Sequence[TraitsData], access: PublishingAccess
    ) -> Results:
        """Return a working reference for each of *references*."""
        targets = self._targets(references, hints, access, Code.kInvalidPreflightHint)
        return _each(targets, hints, self._begin)

    def register(
        self, references: Sequence[str], datas: Sequence[TraitsData], access: PublishingAccess
    ) -> Results:
        """Return the reference to the version that each became."""
        targets = self._targets(references, datas, access, Code.kInvalidTraitSet)
        return _each(targets, datas, self._make)

    def destinations(self, references: Sequence[str], traits: Collection[str]) -> Results:
        """Return what each working reference says of where to write."""
        targets = themselves(self._catalogue, self._asker, references)
        return _each(targets, [traits] * len(targets), self._destination)

    def needed(self, references: Sequence[str]) -> Results:
        """Return the traits that must be given to publish to each of *references*."""
        targets = themselves(self._catalogue, self._asker, references)
        return [
            target if isinstance(target, Unanswerable) else set(target.required)
            for target in targets
        ]

    def _targets(
        self,
        references: Sequence[str],
        given: Sequence[TraitsData],
        access: PublishingAccess,
        code: Any,
    ) -> Targets:
        targets = targets_of(self._catalogue, self._asker, references, given, access)
        return [
            (_lacking(target, data, code) or target) if isinstance(target, Target) else target
            for target, data in zip(targets, given, strict=True)
        ]

    def _begin(self, target: Target, hint: TraitsData) -> str:
        if target.publish is not None:
            raise AssetException(
                f"{target.reference} is being published already: resolve it with kManagerDriven",
                asset_uri=target.reference,
                code=FailureCode.ACCESS,
            )
        draft = self._draft(target, hint, working_name(target.asset_id, hint))
        made = self._publisher.working(draft, user=self._asker.user)
        return str(AssetReference(target.asset_id, publish=made.id))

    def _make(self, target: Target, data: TraitsData) -> str:
        location = data.getTraitProperty(LOCATION, "location")
        draft = self._draft(target, data, path_of(target.asset_id, str(location)))
        if target.publish is None:
            return self._publisher.publish([draft], user=self._asker.user).results[0]
        self._publisher.write(target.publish, draft, user=self._asker.user)
        return self._publisher.resume(target.publish, user=self._asker.user).results[0]

    def _draft(self, target: Target, data: TraitsData, path: str) -> Draft:
        begun = self._begun(target)
        draft = draft_of(target.asset_id, data, path, target.asset, begun)
        if begun is not None:
            return draft
        draft = draft._replace(expected_version=target.expected_version)
        if target.parent:
            edge = relationship_of(target.asset_id, target.parent, data)
            draft = draft._replace(relationships=(edge,))
        return draft

    def _begun(self, target: Target) -> Draft | None:
        if target.publish is None:
            return None
        draft = self._publisher.get(target.publish).drafts[0]
        if draft.asset_id == target.asset_id:
            return draft
        raise AssetNotFoundException(
            f"publish {target.publish} is none of asset {shown(target.asset_id)}",
            asset_uri=target.reference,
            code=FailureCode.NOT_FOUND,
        )

    def _destination(self, target: Target, traits: Collection[str]) -> TraitsData:
        draft = self._begun(target)
        if draft is None or target.publish is None:
            raise AssetException(
                f"{target.reference} doesn't say where to write: preflight it, and resolve the "
                "working reference that this returns",
                asset_uri=target.reference,
                code=FailureCode.ACCESS,
            )
        data = TraitsData()
        if LOCATION in traits:
            path = self._publisher.working_path(target.publish)
            data.setTraitProperty(LOCATION, "location", path.as_uri())
            data.setTraitProperty(LOCATION, "isTemplated", draft.templated)
            if draft.mime_type:
                data.setTraitProperty(LOCATION, "mimeType", draft.mime_type)
        return data


def _lacking(target: Target, data: TraitsData, code: Any) -> Unanswerable | None:
    """Return that *data* lacks what publishing needs, or None where it doesn't."""
    missing = {trait: trait for trait in target.required - data.traitSet()}
    for trait, key in ((NAME, "name"), (LOCATION, "location")):
        # Where a file will lie, preflight is asked about.
        is_needed = trait in target.required and (trait, code) != _LATER
        if is_needed and not data.getTraitProperty(trait, key):
            missing[trait] = f"{trait} ({key})"
    if not missing:
        return None
    what = ", ".join(missing[trait] for trait in sorted(missing))
    return Unanswerable(code, f"to publish to {target.described}, {what} must be given")


_LATER: Final = (LOCATION, Code.kInvalidPreflightHint)


def _each(
    targets: Targets,
    given: Sequence[Given],
    answer: Callable[[Target, Given], Any],
) -> Results:
    """
    Return what *answer* makes of each target, one element's failure its own.

    Raises:
        CatalogueError: the catalogue is away, and nothing was done yet.
        Exception: a defect, likewise.
    """
    results: Results = []
    away: Unanswerable | None = None
    done = False
    for target, said in zip(targets, given, strict=True):
        if isinstance(target, Unanswerable):
            results.append(target)
            continue
        if away is not None:
            results.append(away)
            continue
        try:
            results.append(answer(target, said))
            done = True
        except AssetException as error:
            results.append(unanswerable(error))
        except CatalogueError as error:
            # What was published is published: the host must learn of it.
            if not done:
                raise
            away = Unanswerable(Code.kUnknown, f"{FailureCode.UNAVAILABLE}: {error.message}")
            results.append(away)
        except Exception as error:
            if not done:
                raise
            results.append(Unanswerable(Code.kUnknown, f"{type(error).__name__}: {error}"))
    return results
