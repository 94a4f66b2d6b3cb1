# SPDX-License-Identifier: Apache-2.0
"""
What goes into the catalogue and what comes out of it: small frozen values.

They are named tuples because a batch makes thousands of them: 0.3 us each from a database row, a
frozen dataclass of this size takes 2.5 us.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from bifrost.model.entity_reference import LATEST

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def to_microseconds(moment: datetime) -> int:
    """Return *moment* in microseconds since the epoch, exactly; a naive one is taken as UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


# Off the ends of what a `datetime` can hold, so that every zone's calendar has them.
_FIRST_US: Final = to_microseconds(datetime(1, 1, 2))  # noqa: DTZ001  taken as UTC
LAST_US: Final = to_microseconds(datetime(9999, 1, 1)) - 1  # noqa: DTZ001
"""The last time that the catalogue takes."""


def from_microseconds(microseconds: int) -> datetime:
    """Return the UTC time of *microseconds* since the epoch, or the nearest that can be shown."""
    return _EPOCH + timedelta(microseconds=min(max(microseconds, _FIRST_US), LAST_US))


class VersionPolicy(NamedTuple):
    """
    What floating references mean.

    Attributes:
        version: For references that name no version: `latest` or None for the newest, a number's
            digits, or a status. One that an asset doesn't have is not found, never replaced.
        as_of: The newest version means the newest that was published by then. References and
            policies that name a number are not touched by it.
    """

    version: str | None = None
    as_of: datetime | None = None

    @classmethod
    def of(cls, version: object, as_of: object) -> VersionPolicy:
        """
        Return the policy that a context's attributes describe, by the texts that they make.

        Empty ones count as not given. A version may be a number; a time may be a `datetime`.

        Raises:
            ValueError: *as_of* is no ISO 8601 time. One without a zone is taken as UTC.
        """
        asked = str(version) if version else None
        if not as_of:
            return cls(asked, None)
        text = str(as_of)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(
                f"as_of: expected an ISO 8601 time such as 2025-01-31T18:00:00Z, got {text[:80]!r}"
            ) from None
        return cls(asked, moment if moment.tzinfo else moment.replace(tzinfo=UTC))


NEWEST: Final = VersionPolicy()

End = tuple[str, str | None]
"""
Where a relationship starts or leads: an asset's id and a version, which is a number's digits, a tag, or
None. That is the whole asset where it starts, and floats where it leads.
"""


class VersionRecord(NamedTuple):
    """
    One version of an asset, as it was written, once.

    Attributes:
        asset_id: The asset's id.
        number: Counts from 1, without gaps but those of an older store that it came from.
        name: The asset's display name.
        asset_type: The asset's type, say `model` or `texture`.
        location: A file URL, percent-encoded; "" when the version has no file. It holds a
            placeholder (`%3CUDIM%3E`) when *templated*.
        mime_type: The file's media type, or "".
        templated: Whether *location* is a pattern for several files.
        size: Bytes.
        checksum: The content's digest, as the publisher computed it.
        created_us: When it was published, in microseconds since the epoch.
        created_by: Who published it, or "".
        comment: What they said about it, or "".
        metadata_json: What `metadata` is read from.
        properties_json: What `properties` is read from.
        is_new: Whether this very call to `publish` made it.
    """

    asset_id: str
    number: int
    name: str
    asset_type: str
    location: str
    mime_type: str
    templated: bool
    size: int
    checksum: str
    created_us: int
    created_by: str
    comment: str
    metadata_json: str
    properties_json: str = "{}"
    is_new: bool = False

    @property
    def created(self) -> datetime:
        """When it was published, in UTC."""
        return from_microseconds(self.created_us)

    @property
    def metadata(self) -> dict[str, Any]:
        """What else the publisher recorded; a copy of the caller's own."""
        return dict(json.loads(self.metadata_json))

    @property
    def properties(self) -> dict[str, Any]:
        """What was read from the file when it was published; a copy of the caller's own."""
        return dict(json.loads(self.properties_json))


class NoSuchAsset(NamedTuple):
    """The catalogue has no asset of this id."""

    asset_id: str

    @property
    def message(self) -> str:
        """What happened, for a person."""
        return f"the catalogue has no asset {shown(self.asset_id)}"


class NoSuchVersion(NamedTuple):
    """
    The asset exists and the version asked for doesn't, or its file doesn't any more.

    Attributes:
        asset_id: The asset's id.
        version: A number's digits or a tag; None when the newest was asked for.
        newest: The newest version's number; 0 when there is none at all.
        as_of: The moment that bounded the question, if one did.
        replaced_by: The version that was written over this one's file; 0 if none was.
    """

    asset_id: str
    version: str | None
    newest: int
    as_of: datetime | None = None
    replaced_by: int = 0

    @property
    def message(self) -> str:
        """What happened, for a person."""
        asset = f"asset {shown(self.asset_id)}"
        if not self.newest:
            return f"{asset} has no versions yet"
        if self.replaced_by:
            return (
                f"the file of version {self.version} of {asset} is gone: "
                f"version {self.replaced_by} was written over it"
            )
        if self.version and self.version != LATEST:
            return f"{asset} has no version {shown(self.version)}; the newest is {self.newest}"
        when = self.as_of.isoformat() if self.as_of else "now"
        return f"{asset} had no version yet as of {when}; the newest today is {self.newest}"


class Refused(NamedTuple):
    """
    Who asks may not do that with the asset.

    Attributes:
        asset_id: The asset's id.
        action: What was asked for: `read`, `write`, `publish`, `approve`, `relate` or `delete`.
        user: Who asked, or "".
    """

    asset_id: str
    action: str
    user: str

    @property
    def message(self) -> str:
        """What happened, for a person."""
        who = f"user {shown(self.user)}" if self.user else "who says not who they are"
        return f"{who} lacks the permission '{self.action}' on asset {shown(self.asset_id)}"


Outcome = VersionRecord | NoSuchAsset | NoSuchVersion | Refused


class Representation(NamedTuple):
    """
    Another file that stands for a version.

    Attributes:
        name: `thumbnail`, `preview`, or a publisher's own.
        location: A file URL, percent-encoded.
        mime_type: The file's media type, or "".
        size: Bytes.
        checksum: SHA-256 of its content, hexadecimal.
        created_us: When it was added, in microseconds since the epoch.
        properties: What else is known: `width`, `height`, `generator`…
    """

    name: str
    location: str
    mime_type: str
    size: int
    checksum: str
    created_us: int
    properties: Mapping[str, Any] = {}


class Dependency(NamedTuple):
    """
    That a version needs an asset.

    Attributes:
        asset_id: The asset that is needed.
        version: As the file says it: a number's digits, a tag, or None where it floats.
        kind: What for: `sublayer`, `reference`, `payload`, `texture`…
    """

    asset_id: str
    version: str | None = None
    kind: str = ""


class Dependent(NamedTuple):
    """
    A version that needs an asset.

    Attributes:
        asset_id: The asset whose version it is.
        number: That version's number.
        version: Which version it asks for: a number's digits, a tag, or None where it floats.
        kind: What for.
    """

    asset_id: str
    number: int
    version: str | None
    kind: str


class AssetRecord(NamedTuple):
    """
    An asset, without its versions.

    Attributes:
        asset_id: Its id, as references name it.
        name: Its display name.
        asset_type: Its type.
        created_us: When it was registered, in microseconds since the epoch.
        latest_version: The newest version's number; 0 before the first.
        modified_us: When anything about it last changed.
        created_by: Who registered it, or "".
        deprecated: Whether people should use something else.
        status: The newest version's workflow stage.
        metadata_json: What `metadata` is read from.
    """

    asset_id: str
    name: str
    asset_type: str
    created_us: int
    latest_version: int
    modified_us: int = 0
    created_by: str = ""
    deprecated: bool = False
    status: str = ""
    metadata_json: str = "{}"

    @property
    def created(self) -> datetime:
        """When it was registered, in UTC."""
        return from_microseconds(self.created_us)

    @property
    def metadata(self) -> dict[str, Any]:
        """What people recorded about it; a copy of the caller's own."""
        return dict(json.loads(self.metadata_json))


class Staged(NamedTuple):
    """
    Files that were copied into a store and wait to become a version.

    Attributes:
        folder: The folder that holds nothing else; it becomes the version's.
        main: The path of the version's own file in it, a pattern when several are one.
    """

    folder: Path
    main: str


class Publication(NamedTuple):
    """
    What `Catalogue.publish` records as an asset's next version.

    Attributes:
        asset_id: The asset's id; the asset is made where it doesn't exist.
        name: Its display name; the newest publication's is the one in force.
        asset_type: Its type; likewise.
        path: The file's absolute path, a pattern when *templated*, "" for no file at all.
        checksum: The content's digest; it decides whether content changed.
        size: Bytes.
        mime_type: The file's media type, or "".
        templated: Whether *path* is a pattern for several files.
        dependencies: What the version needs, in the file's order.
        comment: What the publisher says about it.
        created_by: Who publishes.
        metadata: Anything JSON can say, recorded with the version.
        asset_metadata: What to set in the asset's own metadata, key by key; the rest of it stays.
        properties: What the file says of itself: `usd`, `frames`, `files`.
        expected_version: The number that the newest version must have, 0 for no version at all;
            None for any.
        staged: Files that wait to be put in place as this version; *path* is then "".
        number: The number it had before it came here, above the newest version's; None for the next.
        created_us: When it was published there; None for now.
        kept: `name`, `asset_type` or both, where nobody gave them and an asset that is there keeps what
            it has by then.
    """

    asset_id: str
    name: str
    asset_type: str
    path: str
    checksum: str = ""
    size: int = 0
    mime_type: str = ""
    templated: bool = False
    dependencies: Sequence[Dependency] = ()
    comment: str = ""
    created_by: str = ""
    metadata: Mapping[str, Any] = {}
    asset_metadata: Mapping[str, Any] = {}
    properties: Mapping[str, Any] = {}
    expected_version: int | None = None
    staged: Staged | None = None
    number: int | None = None
    created_us: int | None = None
    kept: Sequence[str] = ()


_SHOWN_CHARACTERS: Final = 200


def shown(text: str) -> str:
    """Return *text* quoted for a message, cut where it is absurdly long."""
    cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return repr(cut)


def file_of(location: str) -> Path | None:
    """Return the file that a version's *location* names; None where it names none."""
    if not location.startswith(_FILE):
        return None
    return Path(unquote(location.removeprefix(_FILE), errors="surrogateescape"))


_FILE: Final = "file://"
