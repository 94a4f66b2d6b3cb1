# SPDX-License-Identifier: Apache-2.0
"""
What can go wrong, as one tree.

```
BifrostError
├── AssetException                     about one entity reference (`asset_uri`)
│   ├── AssetNotFoundException           no such asset or version (`suggestions`)
│   ├── PermissionDeniedException        the manager refuses (`required_permission`)
│   ├── NetworkErrorException            the manager can't be asked now (`retry_after`, seconds)
│   │   └── DeadlineExceededException      it did not answer in time
│   ├── InvalidReferenceException        malformed, or of another manager
│   ├── LocationException                resolved, but to no file that is there
│   ├── StorageException                 files can't be put where published files lie
│   ├── AccessModeException              not available for this kind of access
│   ├── InvalidTraitsException           the traits asked for or given don't fit
│   │   └── LayerException                 its file is no layer that USD can open
│   ├── ConflictException                somebody else was faster
│   ├── PublishRefusedException          validators found errors (`findings`)
│   ├── UnsupportedOperationException    this manager can't do that
│   └── ManagerMisbehavedException       the manager broke its contract
├── BatchCancelledException            a batch was stopped half-way (`results`)
├── ConfigurationError                 settings, environment, a missing extra
├── InvalidQueryException              a query that the language doesn't have (`where`, `nearest`)
├── CatalogueError                     the catalogue is locked, corrupt or newer than this code
└── TierError                          a cache's backend failed; callers treat it as a miss
```

A batch never raises for one element: it answers with a `Failure` (model/reply.py), and the calls of
the public API that take one reference raise what `exception_for` makes of it.

Every exception has a stable `code`, a `message` (what happened, to which thing) and a `remedy` (what to
do about it); those about a reference have a `context` too: who was asked what, how often, for how long.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

from bifrost.control_characters import escaped
from bifrost.redaction import redacted


class Code(StrEnum):
    """Stable names of failures: they may be logged, counted, and compared."""

    NOT_FOUND = "not_found"
    MALFORMED_REFERENCE = "malformed_reference"
    FOREIGN_REFERENCE = "foreign_reference"
    NO_LOCATION = "no_location"
    NOT_A_FILE = "not_a_file"
    NOT_A_LAYER = "not_a_layer"
    FILE_MISSING = "file_missing"
    OUTSIDE_ROOTS = "outside_roots"
    STORAGE = "storage"
    ACCESS = "access"
    PERMISSION_DENIED = "permission_denied"
    INVALID_TRAITS = "invalid_traits"
    PREFLIGHT_HINT = "preflight_hint"
    CONFLICT = "conflict"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"
    DEADLINE = "deadline"
    MISBEHAVED = "misbehaved"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


_CONTEXT: Final = ("manager", "operation", "attempt", "elapsed_s", "trace_id")


class BifrostError(Exception):
    """
    Base of everything Bifrost raises on purpose.

    Attributes:
        message: What happened, and to which thing.
        code: The stable name of what happened, for logs, counters and comparisons.
    """

    code: str = "bifrost"

    def __init__(self, message: str) -> None:
        # A manager may have quoted what it was sent, a token among it, or a name that moves cursors.
        message = escaped(redacted(message))
        super().__init__(message)
        self.message = message

    @property
    def remedy(self) -> str:
        """What to do about it, in a sentence; "" where the message says it."""
        return _REMEDIES.get(self.code, "")


class AssetException(BifrostError):
    """
    Something about one entity reference.

    Attributes:
        asset_uri: The entity reference that was asked about.
        code: The stable name of the failure.
        details: What else is known of it.
    """

    code: Code

    def __init__(
        self,
        message: str,
        *,
        asset_uri: str = "",
        code: Code = Code.UNKNOWN,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.asset_uri = asset_uri
        self.code = code
        self.details = details or {}

    @property
    def context(self) -> dict[str, Any]:
        """
        What is known of the asking: `manager`, `operation`, `attempt` (the last one's number),
        `elapsed_s` in seconds, `trace_id`. What nobody knows is left out.
        """
        return {name: self.details[name] for name in _CONTEXT if name in self.details}

    @property
    def suggestions(self) -> list[str]:
        """
        Entity references that may have been meant, nearest first.

        They are looked for when this is first read: a question to the catalogue, or a look into the
        caches of another manager's answers.
        """
        found = self.details.get("suggestions", ())
        if callable(found):
            found = self.details["suggestions"] = found()
        return list(found)

    @property
    def required_permission(self) -> str | None:
        """The permission that was missing, where the manager said so."""
        return self.details.get("required_permission")

    @property
    def retry_after(self) -> float | None:
        """Seconds after which asking again may help; None when nobody knows."""
        return self.details.get("retry_after")


class AssetNotFoundException(AssetException):
    """No such asset or version."""


class PermissionDeniedException(AssetException):
    """The manager knows who asks, and refuses."""


class NetworkErrorException(AssetException):
    """The manager can't be asked at the moment."""


class DeadlineExceededException(NetworkErrorException):
    """The manager did not answer in time."""


class InvalidReferenceException(AssetException):
    """The reference is malformed, or belongs to another manager."""


class LocationException(AssetException):
    """The entity exists and has no location that USD can open."""


class StorageException(AssetException):
    """Files can't be put where published files lie: no room, no permission."""


class AccessModeException(AssetException):
    """The entity is not available for this kind of access."""


class InvalidTraitsException(AssetException):
    """The traits asked for or given don't fit the entity."""


class LayerException(InvalidTraitsException):
    """The file, or what the entity resolves to, is no layer that USD can open; the message says why."""


class ConflictException(AssetException):
    """The entity changed since the caller looked."""


class PublishRefusedException(AssetException):
    """Validators found errors in what was to be published. Nothing was."""

    @property
    def findings(self) -> list[Any]:
        """Everything that was found, warnings included: `bifrost.publishing.Finding`."""
        return list(self.details.get("findings", ()))


class UnsupportedOperationException(AssetException):
    """The manager behind this host can't do that."""


class ManagerMisbehavedException(AssetException):
    """The manager broke its contract: no answer, two answers, a wrong type."""


class BatchCancelledException(BifrostError):
    """
    A batch was stopped by its caller before everything was answered.

    Attributes:
        results: What the call would have returned, None in the place of what was not asked any more.
    """

    code = "cancelled"

    def __init__(self, message: str, results: list[Any]) -> None:
        super().__init__(message)
        self.results = results


class ConfigurationError(BifrostError):
    """Settings, environment or an installation that can't work. The message names the fix."""

    code = "configuration"


class InvalidQueryException(BifrostError):
    """
    A query that the language doesn't have.

    Attributes:
        where: The place in the query, as a JSON path: `$.filter.tags.$contians`.
        name: The field, operator or value that is wrong there.
        nearest: The valid name that was perhaps meant, or "".
    """

    code = "invalid_query"

    def __init__(
        self, message: str, *, where: str = "$", name: str = "", nearest: str = ""
    ) -> None:
        super().__init__(message)
        self.where = where
        self.name = name
        self.nearest = nearest


class CatalogueError(BifrostError):
    """
    The catalogue is locked, out of reach, corrupt, or of a newer schema than this code knows.

    Attributes:
        retryable: Whether the same may work in a moment: it was locked, or out of reach.
    """

    code = "catalogue"

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class TierError(BifrostError):
    """A cache's backend failed. Callers treat it as a miss."""

    code = "tier"


_REMEDIES: Final[dict[str, str]] = {
    Code.NOT_FOUND: "Compare the reference with its suggestions; `bifrost query` finds assets.",
    Code.MALFORMED_REFERENCE: "Write it as bifrost:///assets/<id>, with ?version=<version> if wanted.",
    Code.FOREIGN_REFERENCE: "Ask the manager that it belongs to; `bifrost doctor` says which is in force.",
    Code.NO_LOCATION: "Publish a version of the asset that has a file.",
    Code.NOT_A_LAYER: "Publish a version whose file USD can open; `usdcat` says what is wrong with one.",
    Code.NOT_A_FILE: "Publish a version whose location is a file that this machine sees.",
    Code.FILE_MISSING: "Mount the storage, or bring the file back; `bifrost catalogue check` lists all.",
    Code.OUTSIDE_ROOTS: "Publish it into a folder of resolve.allowed_roots, or add its folder there.",
    Code.STORAGE: "Make room, or let the store's folder be written to; then publish again.",
    Code.ACCESS: "Ask for what this kind of access allows: published versions are only read.",
    Code.PERMISSION_DENIED: "Ask whoever grants access for the permission that is named.",
    Code.INVALID_TRAITS: "Correct the value that the message names.",
    Code.PREFLIGHT_HINT: "Give the traits that the message names with the preflight.",
    Code.CONFLICT: "Look at what is there now, and decide again.",
    Code.REFUSED: "Mend what the findings name, then publish again.",
    Code.UNSUPPORTED: "Use Bifrost's own manager for it, or another that can.",
    Code.UNAVAILABLE: "Try again after `retry_after` seconds, or in a moment where nobody knows.",
    Code.DEADLINE: "Ask for less at once, or raise manager.deadline_s.",
    Code.MISBEHAVED: "Tell whoever maintains the manager's plugin.",
    Code.UNKNOWN: "Read what the manager says; its plugin's own log may say more.",
    Code.CANCELLED: "Ask again; what was answered before comes from the cache.",
    "catalogue": "`bifrost doctor` and `bifrost catalogue check` say more.",
    "tier": "Nothing: the cache counts as empty meanwhile. `bifrost cache stats` says which.",
}


_EXCEPTIONS: Final[dict[Code, type[AssetException]]] = {
    Code.NOT_FOUND: AssetNotFoundException,
    Code.MALFORMED_REFERENCE: InvalidReferenceException,
    Code.FOREIGN_REFERENCE: InvalidReferenceException,
    Code.NO_LOCATION: LocationException,
    Code.NOT_A_FILE: LocationException,
    Code.NOT_A_LAYER: LayerException,
    Code.FILE_MISSING: LocationException,
    Code.OUTSIDE_ROOTS: LocationException,
    Code.STORAGE: StorageException,
    Code.ACCESS: AccessModeException,
    Code.PERMISSION_DENIED: PermissionDeniedException,
    Code.INVALID_TRAITS: InvalidTraitsException,
    Code.PREFLIGHT_HINT: InvalidTraitsException,
    Code.CONFLICT: ConflictException,
    Code.REFUSED: PublishRefusedException,
    Code.UNSUPPORTED: UnsupportedOperationException,
    Code.UNAVAILABLE: NetworkErrorException,
    Code.DEADLINE: DeadlineExceededException,
    Code.MISBEHAVED: ManagerMisbehavedException,
    Code.CANCELLED: AssetException,
    Code.UNKNOWN: AssetException,
}


def exception_for(
    code: Code, message: str, asset_uri: str, details: dict[str, Any] | None = None
) -> AssetException:
    """Return the exception that a failure of this *code* becomes in a one-reference call."""
    return _EXCEPTIONS[code](message, asset_uri=asset_uri, code=code, details=details)


def not_found(message: str, asset_uri: str, near: Iterable[str] = ()) -> AssetNotFoundException:
    """Return the exception about *asset_uri*, which isn't there; *near* are references that are."""
    return AssetNotFoundException(
        message, asset_uri=asset_uri, code=Code.NOT_FOUND, details={"suggestions": list(near)}
    )
