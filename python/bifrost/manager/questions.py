# SPDX-License-Identifier: Apache-2.0
"""What comes in: references, and who asks under which policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from openassetio import errors

from bifrost.catalogue.records import Outcome, VersionPolicy
from bifrost.manager.vocabulary import POLICY
from bifrost.model.entity_reference import (
    AssetReference,
    is_asset_reference,
    parse,
    reference_for,
)

if TYPE_CHECKING:
    from openassetio import Context

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
        user: Their name, or "" for somebody who doesn't say.
    """

    policy: VersionPolicy
    user: str


_NOBODY: Final = Asker(VersionPolicy(), "")


def asker_of(context: Context) -> Asker:
    """
    Return who asks, from a context's locale.

    Raises:
        InputValidationException: the locale's policy makes no sense.
    """
    locale = context.locale
    if locale is None or not locale.hasTrait(POLICY):
        return _NOBODY
    version, as_of, user = (
        str(locale.getTraitProperty(POLICY, key) or "") for key in ("version", "asOf", "user")
    )
    try:
        return Asker(VersionPolicy.of(version or None, as_of or None), user)
    except ValueError as error:
        raise errors.InputValidationException(f"the locale's {POLICY}: {error}") from None


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
