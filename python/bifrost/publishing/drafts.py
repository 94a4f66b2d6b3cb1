# SPDX-License-Identifier: Apache-2.0
"""What is to be published, and a publish on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bifrost.catalogue import Dependency, Publication, Staged
from bifrost.catalogue.publishes import PublishRow
from bifrost.publishing.findings import Finding

AS_IT_IS: Final = ("name", "asset_type")
"""What `Draft.kept` may name."""


class Draft(NamedTuple):
    """
    What becomes an asset's next version.

    Attributes:
        asset_id: The asset's id; the asset is made where it doesn't exist.
        name: Its display name.
        asset_type: Its type, say `model`.
        path: The file's absolute path, a pattern when *templated*; "" for no file.
        metadata: What to set in the asset's metadata, and to record with the version.
        comment: What the publisher says about the version.
        expected_version: The number that the newest version must have, 0 for none at all; None for
            any.
        in_place: Whether the file stays where it lies, and nothing keeps it from changing there,
            instead of being copied into the store.
        templated: Whether *path* is a pattern for several files, say `tex.<UDIM>.exr`.
        mime_type: The file's media type; "" for what its extension says.
        relationships: Edges to add behind the publish: arguments of `add_relationship`. An end that
            is left out, `from_uri` or `to_uri`, is the version that was made.
        population_masks: Named sets of prim paths of which a stage may be opened partially.
        properties: What to record besides what the file says of itself, and over it.
        kept: Those of `AS_IT_IS` that nobody gave: they are as the asset has them, and it keeps what it
            has when the version is made.
    """

    asset_id: str
    name: str
    asset_type: str
    path: str
    metadata: Mapping[str, Any] = {}
    comment: str = ""
    expected_version: int | None = None
    in_place: bool = False
    templated: bool = False
    mime_type: str = ""
    relationships: Sequence[Mapping[str, Any]] = ()
    population_masks: Mapping[str, Sequence[str]] = {}
    properties: Mapping[str, Any] = {}
    kept: Sequence[str] = ()


class Written(NamedTuple):
    """
    A draft whose files somebody wrote into a staging folder of the store.

    Attributes:
        draft: The draft; its `path` is the file, in *folder*.
        folder: The folder, `Store.folder`: all that is in it is published.
    """

    draft: Draft
    folder: Path


class Prepared(NamedTuple):
    """
    A draft whose files are where they can be published from.

    Attributes:
        draft: The draft.
        folder: The staging folder; "" for one in place or without a file.
        main: The path of the file: in *folder*, or absolute for one in place.
        checksum: SHA-256 of the file, or of its parts' digests when it is templated.
        size: Bytes, of all its parts when it is templated.
        dependencies: What the file needs.
        properties: What it says of itself.
        problems: (code, message, where) of what kept it from being read whole.
    """

    draft: Draft
    folder: str
    main: str
    checksum: str
    size: int
    dependencies: tuple[Dependency, ...] = ()
    properties: Mapping[str, Any] = {}
    problems: tuple[tuple[str, str, str], ...] = ()

    @property
    def path(self) -> Path | None:
        """The file as it will be published; None where there is none."""
        return Path(self.folder, self.main) if self.main else None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can say it."""
        return {**self._asdict(), "draft": self.draft._asdict()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Prepared:
        """Return what `as_json` made *data* of."""
        return cls(
            **{
                **data,
                "draft": Draft(**data["draft"]),
                "dependencies": tuple(Dependency(*each) for each in data["dependencies"]),
                "problems": tuple(tuple(each) for each in data["problems"]),
            }
        )

    def publication(self, user: str) -> Publication:
        """Return what the catalogue is to record."""
        draft = self.draft
        return Publication(
            draft.asset_id,
            draft.name,
            draft.asset_type,
            "" if self.folder else self.main,
            checksum=self.checksum,
            size=self.size,
            mime_type=draft.mime_type,
            templated=draft.templated,
            dependencies=self.dependencies,
            comment=draft.comment,
            created_by=user,
            metadata=draft.metadata,
            asset_metadata=draft.metadata,
            properties=self.properties,
            expected_version=draft.expected_version,
            staged=Staged(Path(self.folder), self.main) if self.folder else None,
            kept=draft.kept,
        )


class ActionState(NamedTuple):
    """
    What became of one action behind a publish.

    Attributes:
        done: Whether it has succeeded.
        attempts: How often it was tried.
        error: Why the last try failed, or "".
    """

    done: bool
    attempts: int
    error: str = ""


class Publish(NamedTuple):
    """
    A publish on its way.

    Attributes:
        id: 32 hexadecimal digits.
        stage: `draft`, `validated`, `registered`, `post-registered` or `aborted`.
        drafts: What is to be published.
        findings: What the validators found.
        results: References to the versions that were made, in the drafts' order.
        actions: By name, what became of the actions behind it.
        created_by: Who began it, or "".
        created_us: When, in microseconds since the epoch.
        updated_us: When it last moved.
    """

    id: str
    stage: str
    drafts: tuple[Draft, ...]
    findings: tuple[Finding, ...]
    results: tuple[str, ...]
    actions: dict[str, ActionState]
    created_by: str
    created_us: int
    updated_us: int

    @classmethod
    def of(cls, row: PublishRow) -> Publish:
        """Return the publish that the catalogue keeps as *row*."""
        return cls(
            row.id,
            row.stage,
            tuple(Draft(**data["draft"]) for data in row.drafts),
            tuple(Finding(**data) for data in row.findings),
            tuple(row.results),
            {name: ActionState(**data) for name, data in row.actions.items()},
            row.created_by,
            row.created_us,
            row.updated_us,
        )

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop it."""
        return [finding for finding in self.findings if finding.is_error]
