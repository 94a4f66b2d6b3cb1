# SPDX-License-Identifier: Apache-2.0
"""How failures go out: one element's as `BatchElementError`, the batch's as an exception."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from openassetio import errors

from bifrost.catalogue.records import NoSuchAsset, NoSuchVersion, Refused
from bifrost.errors import AssetException, CatalogueError, ConfigurationError
from bifrost.errors import Code as FailureCode
from bifrost.manager.questions import Code, Unanswerable
from bifrost.model.permissions import naming_permission

ErrorCallback = Callable[[int, errors.BatchElementError], None]


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise our errors as OpenAssetIO's. Never round a callback."""
    try:
        yield
    except CatalogueError as error:
        raise errors.OpenAssetIOException(error.message) from error
    except ConfigurationError as error:
        raise errors.ConfigurationException(error.message) from error


def error_of(
    outcome: NoSuchAsset | NoSuchVersion | Refused | Unanswerable,
) -> errors.BatchElementError:
    """Return what the host is told of an element that has no answer."""
    return errors.BatchElementError(*outcome_of(outcome))


def outcome_of(outcome: NoSuchAsset | NoSuchVersion | Refused | Unanswerable) -> Unanswerable:
    """Return OpenAssetIO's code for what the catalogue has no version for, and its message."""
    if isinstance(outcome, Unanswerable):
        return outcome
    if isinstance(outcome, Refused):
        return Unanswerable(Code.kAuthError, naming_permission(outcome.message, outcome.action))
    return Unanswerable(Code.kEntityResolutionError, outcome.message)


_CODES: Final[dict[FailureCode, Any]] = {
    FailureCode.NOT_FOUND: Code.kEntityResolutionError,
    FailureCode.MALFORMED_REFERENCE: Code.kMalformedEntityReference,
    FailureCode.FOREIGN_REFERENCE: Code.kInvalidEntityReference,
    FailureCode.ACCESS: Code.kEntityAccessError,
    FailureCode.PERMISSION_DENIED: Code.kAuthError,
    FailureCode.INVALID_TRAITS: Code.kInvalidTraitSet,
    FailureCode.PREFLIGHT_HINT: Code.kInvalidPreflightHint,
}


def unanswerable(error: AssetException) -> Unanswerable:
    """
    Return one element's *error* as its outcome.

    Failures that OpenAssetIO has no code for begin with our own: `conflict: …`, `storage: …`.
    """
    if error.code in _CODES:
        permission = error.required_permission
        message = naming_permission(error.message, permission) if permission else error.message
        return Unanswerable(_CODES[error.code], message)
    return Unanswerable(Code.kUnknown, f"{error.code}: {error.message}")
