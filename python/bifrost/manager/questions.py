# SPDX-License-Identifier: Apache-2.0
"""What comes in: references, and who asks under which policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from openassetio import errors

from bifrost.catalogue.records import Outcome, VersionPolicy
from bifrost.manager.vocabulary import POLICY, TOKEN
from bifrost.model.entity_reference import (
    AssetReference,
    is_asset_reference,
    parse,
    reference_for,
)
from bifrost.model.permissions import User, name_of
from bifrost.model.projects import projects_of
from bifrost.tokens import IGNORED, REQUIRED, Verifier

if TYPE_CHECKING:
    from openassetio import Context
    from openassetio.trait import TraitsData

Code = errors.BatchElementError.ErrorCode


class Unanswerable(NamedTuple):
    """
    A reference that the catalogue isn't asked about.

    Attributes:
        code: OpenAssetIO's code for it.
        message: Why.
    """

    code: Any
    message: str


Asked = tuple[AssetReference, Outcome | Unanswerable]
"""What was asked about and what came of it."""

NOTHING: Final = AssetReference("")


class Asker(NamedTuple):
    """
    Who asks, and what references that float mean to them.

    Attributes:
        policy: What floating references mean.
        user: Who they have proved to be, or say that they are; "" for somebody who doesn't say.
        projects: Whose own assets references mean before the shared ones.
        locale: The language in which they want names, or "".
    """

    policy: VersionPolicy
    user: User
    projects: tuple[str, ...] = ()
    locale: str = ""

    @property
    def name(self) -> str:
        """What is recorded of them."""
        return name_of(self.user)


_NOBODY: Final = Asker(VersionPolicy(), "")


def asker_of(context: Context, verifier: Verifier, action: str) -> Asker:
    """
    Return who asks, from a context's locale.

    Args:
        context: The host's.
        verifier: Whether tokens are looked at, and what they prove.
        action: The permission that is about to be used, for the message of a refusal.

    Raises:
        InputValidationException: the locale's policy makes no sense.
        PermissionDeniedException: the locale's token is missing or can't be believed.
    """
    locale = context.locale
    proved = _proved(locale, verifier, action)
    if locale is None or not locale.hasTrait(POLICY):
        return _NOBODY if proved is None else _NOBODY._replace(user=proved)
    version, as_of, user, project, language = (
        str(locale.getTraitProperty(POLICY, key) or "")
        for key in ("version", "asOf", "user", "project", "locale")
    )
    try:
        policy = VersionPolicy.of(version or None, as_of or None)
        return Asker(policy, proved or user, projects_of(project), language)
    except ValueError as error:
        raise errors.InputValidationException(f"the locale's {POLICY}: {error}") from None


def _proved(locale: TraitsData | None, verifier: Verifier, action: str) -> User | None:
    """Return whom the locale's token proves to ask; None where it isn't looked at."""
    if verifier.mode == IGNORED:
        return None
    token = locale.getTraitProperty(TOKEN, "token") if locale is not None else None
    if not token and verifier.mode != REQUIRED:
        return None
    return verifier.verify(token, action=action)


def parsed(reference: str) -> AssetReference | Unanswerable:
    """Return what *reference* names; a working reference is one too."""
    try:
        return parse(reference)
    except ValueError as error:
        ours = is_asset_reference(reference)
        code = Code.kMalformedEntityReference if ours else Code.kInvalidEntityReference
        return Unanswerable(code, str(error))


def readable(reference: str) -> AssetReference | Unanswerable:
    """Return what *reference* names, if it can be read."""
    asked = parsed(reference)
    if isinstance(asked, AssetReference) and asked.publish is not None:
        message = (
            f"{asked} is being published: it says where to write (resolve it with kManagerDriven), "
            f"and {reference_for(asked.asset_id)} can be read once it is registered"
        )
        return Unanswerable(Code.kEntityAccessError, message)
    return asked
