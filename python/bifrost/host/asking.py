# SPDX-License-Identifier: Apache-2.0
"""What the host's calls stand on: a session, who asks, and how a failure becomes an exception."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bifrost.context import Context, ContextSnapshot, Given, effective
from bifrost.errors import (
    AssetException,
    BifrostError,
    Code,
    InvalidReferenceException,
    not_found,
)
from bifrost.model.entity_reference import (
    AssetReference,
    parse,
    reference_for,
    without_format_args,
)
from bifrost.model.reply import Failure
from bifrost.model.request import Operation, Request
from bifrost.monitoring.recorder import Recorder
from bifrost.session import Session, current

if TYPE_CHECKING:
    from bifrost.catalogue import VersionRecord


class Asking:
    """What the host's calls stand on: a session, and who asks."""

    _session: Session | None = None

    @property
    def session(self) -> Session:
        """
        The session that answers.

        Raises:
            ConfigurationError: the settings can't be read.
        """
        return self._session or current()

    @property
    def recorder(self) -> Recorder:
        """Where this host's calls are counted and timed."""
        return self.session.recorder

    def _user(self, context: Given) -> Any:
        """Return who asks: proved by a token, or as the context says, else who is logged in."""
        return self.session.user(context)

    def _named(self, context: Context | None) -> Any:
        """Return who asks, if they say so or prove it; None for whoever began what is gone on with."""
        return self.session.authenticated(effective(context)).who or None

    def _authenticate(self, context: Given) -> None:
        """Refuse who doesn't prove what has to be proved, where that is all there is to ask."""
        self.session.authenticated(effective(context))

    def _forget(self, asset_id: str) -> None:
        """Let every cache forget what it has about an asset that was just changed."""
        self.session.invalidate([reference_for(asset_id)])

    def _existing(self, asset_id: str, context: Given) -> Any:
        catalogue = self.session.own_catalogue("publishing")
        asset = catalogue.found([asset_id]).get(asset_id)
        if asset is None:
            raise not_found(
                f"the catalogue has no asset {asset_id!r}; register_asset makes one",
                reference_for(asset_id),
                map(reference_for, catalogue.suggestions(asset_id, user=self._user(context))),
            )
        return asset

    def _record(self, asset_uri: str, context: Given = None) -> VersionRecord:
        """
        Return the version of our own catalogue that *asset_uri* means, to somebody who may read it.

        Raises:
            AssetNotFoundException: no such asset or version; with suggestions.
            InvalidReferenceException: *asset_uri* is no reference to an asset.
            PermissionDeniedException: who asks may not read it.
        """
        from bifrost.catalogue import Refused, VersionRecord
        from bifrost.catalogue.access import denied

        catalogue = self.session.own_catalogue("a version's own data")
        asked = parsed(asset_uri)
        [found] = catalogue.resolve(
            [(asked.asset_id, asked.version)], user=self._user(context), actions=("read",)
        )
        if isinstance(found, Refused):
            raise denied(found)
        if not isinstance(found, VersionRecord):
            near = catalogue.suggestions(asked.asset_id, user=self._user(context))
            raise not_found(found.message, asset_uri, map(reference_for, near))
        return found

    def _check_readable(self, asset_id: str, context: Given) -> None:
        """Refuse who may not see more of an asset than where its file lies."""
        from bifrost.catalogue.access import denied

        catalogue = self.session.own_catalogue("a version's own data")
        refused = catalogue.access(self._user(context), [asset_id]).refusal(asset_id, "read")
        if refused is not None:
            raise denied(refused)

    def _one(
        self,
        operation: Operation,
        asset_uri: str,
        context: Context | None,
        deadline_s: float | None = None,
    ) -> Any:
        """Return the answer to one question; raise what its failure becomes."""
        start = perf_counter()
        snapshot = effective(context)
        request = Request(operation, (without_format_args(asset_uri),), snapshot, deadline_s)
        (outcome,) = self.session.ask(request).outcomes
        if isinstance(outcome, Failure):
            raise raised(self.session, outcome, asset_uri, operation, snapshot, start)
        return outcome


def raised(
    session: Session,
    failure: Failure,
    asset_uri: str,
    operation: str,
    snapshot: ContextSnapshot,
    start: float,
) -> AssetException:
    """Return what a call raises for *failure*, with all that is known of the asking since *start*."""
    details = dict(failure.details)
    details.setdefault("operation", str(operation))
    details.setdefault("manager", session.manager_identifier)
    details.setdefault("attempt", 1)
    details.setdefault("elapsed_s", perf_counter() - start)
    if snapshot.trace_id:
        details.setdefault("trace_id", snapshot.trace_id)
    if failure.code is Code.NOT_FOUND:
        details.setdefault("suggestions", lambda: _suggested(session, asset_uri, snapshot))
    return Failure(failure.code, failure.message, failure.retryable, details).exception(asset_uri)


def _suggested(session: Session, asset_uri: str, snapshot: ContextSnapshot) -> Sequence[str]:
    try:
        return session.suggestions(without_format_args(asset_uri), snapshot)
    except BifrostError:
        return ()  # nothing to suggest is no second error


def parsed(asset_uri: str) -> AssetReference:
    """
    Return the reference to an asset of our catalogue that *asset_uri* is.

    Raises:
        InvalidReferenceException: it is none.
    """
    try:
        return parse(asset_uri)
    except ValueError as error:
        raise InvalidReferenceException(
            str(error), asset_uri=asset_uri[:1000], code=Code.MALFORMED_REFERENCE
        ) from None
