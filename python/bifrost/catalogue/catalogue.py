# SPDX-License-Identifier: Apache-2.0
"""The catalogue's public face: each method one transaction over the modules beside it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import sqlalchemy as sa

from bifrost.catalogue import (
    access,
    assets,
    changes,
    checking,
    checks,
    publishes,
    publishing,
    representations,
    searching,
    status,
    upkeep,
)
from bifrost.catalogue.access import Access, Rule
from bifrost.catalogue.checking import Problem
from bifrost.catalogue.database import Database
from bifrost.catalogue.publishes import PublishRow
from bifrost.catalogue.querying import QueryCalls
from bifrost.catalogue.records import (
    NEWEST,
    AssetRecord,
    Outcome,
    Publication,
    Representation,
    VersionPolicy,
    VersionRecord,
)
from bifrost.catalogue.relating import RelationshipCalls
from bifrost.catalogue.status import StatusRecord, Workflow
from bifrost.catalogue.store import Store
from bifrost.catalogue.strengths import DEFAULTS, Strengths, parse
from bifrost.errors import AssetNotFoundException, Code
from bifrost.model.entity_reference import LATEST, reference_for
from bifrost.model.permissions import User, name_of

# Who was away for longer forgets everything; a list of it would take as long to go through.
_MOST_CHANGES: Final = 50_000


class Catalogue(RelationshipCalls, QueryCalls):
    """
    Assets, versions, locations and dependencies in one database.

    Every method may be called from any thread, and raises `CatalogueError` where the database
    fails: locked, damaged, out of room. Methods that take a batch need one round trip for any size.
    """

    def __init__(
        self,
        database: Database,
        store: Store,
        workflow: Workflow,
        clock: Callable[[], float],
        strengths: Strengths = DEFAULTS,
    ) -> None:
        self._database = database
        self._clock = clock
        self.store = store
        self.workflow = workflow
        self.strengths = strengths

    @classmethod
    def open(
        cls,
        url: str,
        *,
        store: Path | None = None,
        workflow: str = "",
        strengths: str = "",
        lock_timeout_s: float = 10.0,
        statement_timeout_s: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> Catalogue:
        """
        Open the catalogue at *url* (`sqlite:///<path>`, `postgresql://…`); make it where there is none.

        A catalogue of an older schema is upgraded, in one transaction.

        Args:
            url: Which catalogue.
            store: The folder of published files, which everybody who uses the catalogue must see;
                by default `store` beside the catalogue's file, or in the platform's data folder.
            workflow: The stages of versions, as `Workflow.parse` reads them; empty for the default.
            strengths: How strongly kinds of arcs bind, as `bifrost.catalogue.strengths.parse` reads
                it; empty for the default.
            lock_timeout_s: Seconds to wait for another process's write.
            statement_timeout_s: Seconds that one statement may take on a server.
            clock: Tells the time of publications, in seconds since the epoch.

        Raises:
            ConfigurationError: *url* names neither a file nor a server.
            CatalogueError: it can't be used: locked, damaged, of a newer schema, not a catalogue,
                in a folder that can't be written to. The message says which, and what to do.
        """
        stages, table = Workflow.parse(workflow), parse(strengths)
        database = Database.open(url, lock_timeout_s, statement_timeout_s)
        return cls(database, Store(store or _beside(database.path)), stages, clock, table)

    @property
    def path(self) -> Path | None:
        """The file it lives in; None on a server."""
        return self._database.path

    @property
    def name(self) -> str:
        """How messages name it; no password in it."""
        return self._database.name

    def _now_us(self) -> int:
        return int(self._clock() * 1_000_000)

    # Versions

    def resolve(
        self,
        queries: Sequence[tuple[str, str | None]],
        policy: VersionPolicy = NEWEST,
        *,
        user: User | None = None,
        actions: Sequence[str] = ("resolve",),
        projects: Sequence[str] = (),
    ) -> list[Outcome]:
        """
        Return one outcome for each (asset id, version) of *queries*, in order.

        Args:
            queries: A version is a number's digits, `latest`, a status, or None for what *policy* says.
            policy: What floating references mean.
            user: Who asks: what they may not do *actions* with is `Refused`. None asks without rules.
            actions: `resolve` to learn where files lie, `read` to see what else is known.
            projects: Whose own assets an id means before the shared one; see `bifrost.model.projects`.
        """
        with self._database.read() as connection:
            outcomes = searching.resolve(connection, queries, policy, projects)
            if user is None:
                return outcomes
            ids = searching.ids_of(outcomes)
            allowed = access.read(connection, user, ids)
        for action in actions:
            if not allowed.is_open(action):
                outcomes = [
                    allowed.refusal(asset_id, action) or outcome
                    for asset_id, outcome in zip(ids, outcomes, strict=True)
                ]
        return outcomes

    def publish(
        self, publications: Sequence[Publication], *, user: User | None = None
    ) -> list[VersionRecord]:
        """
        Write the next version of each asset, all or none; return one record for each, in order.

        Assets are made as needed. A publication whose checksum, location and dependencies are those
        of the newest version makes no new one: its record is that version's, with `is_new` False, and
        its staged files are removed.

        Raises:
            InvalidReferenceException: an id, or a dependency's version, can't be in a reference.
            InvalidTraitsException: a value can't be stored; the message names it.
            AssetNotFoundException: a dependency names what is neither there nor in the batch.
            ConflictException: an `expected_version` is no longer the newest.
            PermissionDeniedException: *user* may not publish one of them; None asks without rules.
            StorageException: staged files can't be put in place.
        """
        with self.publishing(publications, user=user) as (_, records):
            return records

    @contextmanager
    def publishing(
        self,
        publications: Sequence[Publication],
        *,
        user: User | None = None,
        first: Callable[[sa.Connection], None] = lambda _: None,
    ) -> Iterator[tuple[sa.Connection, list[VersionRecord]]]:
        """
        As `publish`, with what the caller records besides in the same transaction.

        *first* is called in it before anything is done. An exception of the caller's undoes all of it,
        files included.
        """
        batch = checks.checked(publications)
        with self._database.write() as connection:
            first(connection)
            self._check_publications(connection, user, publications)
            records, placed = publishing.publish(
                connection,
                batch,
                self._now_us(),
                self.store,
                self.workflow.first,
                self.strengths,
                user=user,
            )
            try:
                yield connection, records
            except BaseException:
                placed.take_back()
                raise
        # From here on the versions are there; had the commit failed, whether they are nobody knows,
        # and files that no version has are what `check` finds.
        for publication, record in zip(publications, records, strict=True):
            if publication.staged is not None and record.is_new:
                self.store.settle(record.asset_id, record.number, publication.staged)
            elif publication.staged is not None:
                self.store.discard(publication.staged)

    def versions(self, asset_id: str) -> list[VersionRecord]:
        """Return every version of the asset, newest first; nothing for an unknown asset."""
        with self._database.read() as connection:
            return assets.all_versions(connection, asset_id)

    # Assets

    def found(self, asset_ids: Iterable[str]) -> dict[str, AssetRecord]:
        """Return the assets among *asset_ids* that exist, by id. One round trip."""
        with self._database.read() as connection:
            return assets.found(connection, asset_ids)

    def next_numbers(self, asset_ids: Iterable[str]) -> dict[str, int]:
        """
        Return the number that the next version of each asset gets, unless somebody publishes before.

        Of assets that don't exist, too. One round trip.
        """
        ids = list(dict.fromkeys(asset_ids))
        with self._database.read() as connection:
            there = assets.found(connection, ids)
            fresh = [asset_id for asset_id in ids if asset_id not in there]
            last = assets.last_deleted(connection, fresh) if fresh else {}
        last.update({asset_id: asset.latest_version for asset_id, asset in there.items()})
        return {asset_id: last.get(asset_id, 0) + 1 for asset_id in ids}

    def assets(
        self, *, after: str = "", limit: int = 100, asset_type: str | None = None
    ) -> list[AssetRecord]:
        """Return up to *limit* assets by id; the last one's id is the next page's *after*."""
        with self._database.read() as connection:
            return assets.listing(connection, after, limit, asset_type)

    def counts(self) -> dict[str, int]:
        """Return how many assets, versions and relationships there are. One round trip."""
        with self._database.read() as connection:
            return assets.counts(connection)

    def suggestions(self, asset_id: str, limit: int = 5, *, user: User | None = None) -> list[str]:
        """
        Return up to *limit* existing ids that may have been meant, likeliest first.

        None that *user* may not read; None asks without rules.
        """
        with self._database.read() as connection:
            return assets.suggestions(connection, asset_id, limit, user=user)

    def set_metadata(
        self,
        asset_id: str,
        metadata: Mapping[str, Any],
        *,
        replace: bool = False,
        user: User | None = None,
    ) -> dict[str, Any]:
        """
        Set the keys of *metadata* in the asset's, those of value None removed; return all of it then.

        With *replace* nothing else stays.

        Raises:
            AssetNotFoundException: no such asset; with suggestions.
            InvalidTraitsException: a value can't be stored; the message names it.
            PermissionDeniedException: *user* may not write it; None asks without rules.
        """
        with self._database.write() as connection:
            becoming = {asset_id: metadata} if isinstance(metadata, Mapping) else None
            self._check(connection, user, [asset_id], "write", becoming)
            return upkeep.set_metadata(
                connection,
                asset_id,
                metadata,
                replace=replace,
                now_us=self._now_us(),
                user=user,
            )

    def set_deprecated(self, asset_id: str, deprecated: bool, *, user: User | None = None) -> None:
        """
        Mark the asset as one that people should not use any more, or undo that.

        Raises:
            AssetNotFoundException: no such asset; with suggestions.
            PermissionDeniedException: *user* may not write it; None asks without rules.
        """
        with self._database.write() as connection:
            self._check(connection, user, [asset_id], "write")
            upkeep.set_deprecated(connection, asset_id, deprecated, self._now_us(), user=user)

    def delete(self, asset_id: str, *, user: User | None = None) -> None:
        """
        Remove the asset and all its versions. Their numbers are never used again.

        Raises:
            AssetNotFoundException: no such asset; with suggestions.
            ConflictException: another asset has a relationship to it.
            PermissionDeniedException: *user* may not delete it; None asks without rules.
        """
        with self._database.write() as connection:
            self._check(connection, user, [asset_id], "delete")
            number = upkeep.delete(connection, asset_id, self._now_us(), user=user)
        self.store.remove(asset_id, number)

    # Workflow

    def status_of(self, asset_id: str, number: int) -> StatusRecord:
        """Return where version *number* of the asset stands, and how it came there."""
        with self._database.read() as connection:
            return status.status_of(connection, self.workflow, asset_id, number)

    def display_names(self, asset_ids: Iterable[str], locale: str) -> dict[str, str]:
        """
        Return the names that those assets have in *locale* (`displayNames` in their metadata), by id.

        `de-AT` falls back to `de`; an asset that has neither is left out. One round trip.
        """
        with self._database.read() as connection:
            return searching.display_names(connection, asset_ids, locale)

    def statuses(self, versions: Sequence[tuple[str, int]]) -> dict[tuple[str, int], StatusRecord]:
        """Return where each (asset id, number) stands, and how it came there. One round trip."""
        with self._database.read() as connection:
            return status.statuses(connection, self.workflow, versions)

    def set_status(
        self,
        asset_id: str,
        version: str | None,
        stage: str,
        *,
        reason: str = "",
        user: User | None = None,
    ) -> StatusRecord:
        """
        Move a version, the newest where *version* is None, to the workflow's *stage*.

        Raises:
            AssetNotFoundException: no such asset or version; with suggestions.
            ConflictException: no such stage, or no such move from where it is.
            PermissionDeniedException: *user* may not approve it; None asks without rules.
        """
        with self._database.write() as connection:
            self._check(connection, user, [asset_id], "approve")
            upkeep.existing(connection, asset_id, user)
            [record] = assets.resolve(connection, [(asset_id, version or LATEST)], NEWEST)
            if not isinstance(record, VersionRecord):
                raise AssetNotFoundException(
                    record.message,
                    asset_uri=reference_for(asset_id, version),
                    code=Code.NOT_FOUND,
                )
            return status.set_status(
                connection,
                self.workflow,
                record,
                stage,
                user=name_of(user),
                reason=reason,
                now_us=self._now_us(),
            )

    # Representations

    def representations(
        self, versions: Sequence[tuple[str, int]]
    ) -> dict[tuple[str, int], dict[str, Representation]]:
        """Return the representations of each (asset id, number), by name. One round trip."""
        with self._database.read() as connection:
            return representations.of_versions(connection, versions)

    def put_representation(
        self,
        asset_id: str,
        number: int,
        name: str,
        content: bytes,
        *,
        suffix: str,
        mime_type: str,
        properties: Mapping[str, Any] | None = None,
    ) -> Representation:
        """
        Store *content* as the representation *name* of a version, in place of an earlier one.

        Args:
            asset_id: The asset's id.
            number: The version's number; it exists.
            name: `thumbnail`, `preview`, or a name of the publisher's own.
            content: The file's bytes.
            suffix: The file's extension, with its dot.
            mime_type: Its media type.
            properties: What else is known: `width`, `height`, `generator`…

        Raises:
            InvalidTraitsException: the name can't be in a reference, or a value can't be stored.
            StorageException: the store can't be written to.
        """
        representations.check_name(asset_id, number, name)
        digest = hashlib.sha256(content).hexdigest()
        # Content decides the name, so that the file of an earlier one is never written over.
        path = self.store.add(asset_id, number, f"{name}-{digest[:16]}{suffix}", content)
        made = Representation(
            name,
            path.as_uri(),
            mime_type,
            len(content),
            digest,
            self._now_us(),
            dict(properties or {}),
        )
        with self._database.write() as connection:
            representations.put(connection, asset_id, number, made, self._now_us())
        return made

    # Access

    def rules(self) -> list[Rule]:
        """Return who may do what, oldest rule first."""
        with self._database.read() as connection:
            return access.all_rules(connection)

    def allow(self, rules: Sequence[Rule], *, user: User | None = None) -> None:
        """
        Add rules. What a rule covers is from then on closed to those whom no covering rule names.

        Raises:
            InvalidTraitsException: a rule can't be.
            PermissionDeniedException: *user* has proved to be somebody, and no admin.
        """
        access.check_admin(user)
        with self._database.write() as connection:
            access.add(connection, rules, name_of(user), self._now_us())

    def disallow(self, rules: Sequence[Rule], *, user: User | None = None) -> int:
        """
        Remove rules; return how many there were.

        Raises:
            PermissionDeniedException: *user* has proved to be somebody, and no admin.
        """
        access.check_admin(user)
        with self._database.write() as connection:
            return access.remove(connection, rules, self._now_us())

    def access(self, user: User, asset_ids: Iterable[str]) -> Access:
        """Return what *user* may do with the assets. At most two round trips for any number."""
        with self._database.read() as connection:
            return access.read(connection, user, asset_ids)

    def permitted(self, user: User, asset_ids: Sequence[str], action: str) -> list[bool]:
        """Return for each asset whether *user* may do *action* with it. As `access`."""
        allowed = self.access(user, asset_ids)
        return [allowed.allow(asset_id, action) for asset_id in asset_ids]

    def permissions(self, user: User, asset_id: str) -> dict[str, bool]:
        """Return for each action whether *user* may do it with the asset. As `access`."""
        allowed = self.access(user, [asset_id])
        return {action: allowed.allow(asset_id, action) for action in access.ACTIONS}

    def _check(
        self,
        connection: sa.Connection,
        user: User | None,
        asset_ids: Sequence[str],
        action: str,
        becoming: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if user is not None:
            access.check(connection, user, asset_ids, action, becoming=becoming)

    def _check_publications(
        self, connection: sa.Connection, user: User | None, publications: Sequence[Publication]
    ) -> None:
        becoming: dict[str, dict[str, Any]] = {}
        for each in publications:
            becoming.setdefault(each.asset_id, {}).update(each.asset_metadata)
        self._check(connection, user, list(becoming), "publish", becoming)

    # Changes

    def change_number(self) -> int:
        """Return a number that grows with each committed change; 0 for an empty catalogue."""
        with self._database.read() as connection:
            return assets.change_number(connection)

    def changed_since(self, number: int) -> set[str]:
        """Return the ids of the assets that changed after `change_number()` was *number*."""
        with self._database.read() as connection:
            return assets.changed_since(connection, number)

    def changes_since(self, number: int) -> tuple[int, set[str] | None]:
        """
        Return `change_number()` and the ids of the assets that changed after *number*, as of one moment.

        None in their place where everything may have changed: a rule of access did, *number* is of
        another catalogue or later than a restored one, or it is too long ago.
        """
        with self._database.read() as connection:
            newest = assets.change_number(connection)
            if newest == number:
                return newest, set()
            is_known = number < newest <= number + _MOST_CHANGES
            if not is_known or assets.rules_changed_since(connection, number):
                return newest, None
            return newest, assets.changed_since(connection, number)

    def restored(self) -> int:
        """
        Have everybody's caches forget everything: the catalogue was restored from a backup.

        Return the number of that change. Versions that were lost are cached somewhere, and the next ones
        get their numbers.
        """
        with self._database.write() as connection:
            return changes.begin_anew(connection, self._now_us())

    # Publishes on their way

    def begin_publish(self, row: PublishRow) -> PublishRow:
        """Record a new publish; return it, or the one that has its idempotency key already."""
        with self._database.write() as connection:
            if row.idempotency_key is not None:
                there = publishes.by_key(connection, row.idempotency_key)
                if there is not None:
                    return there
            publishes.add(connection, row)
            return row

    def register_publish(
        self,
        row: PublishRow,
        registered: PublishRow,
        publications: Sequence[Publication],
        *,
        user: User | None = None,
    ) -> PublishRow:
        """
        Make the versions of the publish *row* and record *registered*, in one transaction.

        *user* is who does, by default whoever began it, by name.

        Returns what is recorded then: *registered* with its results; or, where the publish is not what
        *row* says any more, what somebody else made of it, and nothing is made.

        Raises:
            As `publish`.
        """

        # Before anything else: who was faster has put the files in place.
        def still(connection: sa.Connection) -> None:
            now = publishes.get(connection, row.id)
            if not _is_same(now, row):
                raise _OvertakenError(now)

        try:
            who = row.created_by if user is None else user
            with self.publishing(publications, user=who, first=still) as made:
                connection, records = made
                results = [reference_for(rec.asset_id, rec.number) for rec in records]
                registered = registered._replace(results=results)
                publishes.move(connection, registered)
        except _OvertakenError as overtaken:
            return overtaken.row
        return registered

    def check_publications(
        self, publications: Sequence[Publication], *, user: User | None = None
    ) -> None:
        """Raise what `publish` would, as far as it doesn't depend on dependencies and files."""
        checks.checked(publications)
        with self._database.read() as connection:
            self._check_publications(connection, user, publications)
            publishing.check_expected(connection, publications)

    def move_publish(self, before: PublishRow, after: PublishRow) -> PublishRow:
        """
        Record that a publish got from *before* to *after*; return what is recorded then.

        Where it is not what *before* says any more, that is what somebody else made of it.
        """
        with self._database.write() as connection:
            now = publishes.get(connection, before.id)
            if not _is_same(now, before):
                return now
            publishes.move(connection, after)
            return after

    def publish_of(self, publish_id: str) -> PublishRow:
        """Return the publish of that id. Raises `AssetNotFoundException`: there is none."""
        with self._database.read() as connection:
            return publishes.get(connection, publish_id)

    def publish_by_key(self, idempotency_key: str) -> PublishRow | None:
        """Return the publish of that idempotency key, if there is one."""
        with self._database.read() as connection:
            return publishes.by_key(connection, idempotency_key)

    def publishes(
        self, *, stage: str | None = None, limit: int = 100, user: User | None = None
    ) -> list[PublishRow]:
        """
        Return up to *limit* publishes, of one *stage* if given, the last moved first.

        Those that *user* began, or whose assets they may read; None asks without rules.
        """
        with self._database.read() as connection:
            return publishes.listing(connection, stage, limit, user)

    # What went wrong

    def check(self, *, repair: bool = False, content: bool = True) -> list[Problem]:
        """
        Return what is not as it should be in the catalogue and its store, mended with *repair*.

        Nobody publishes meanwhile where it repairs. What is removed no version names.

        Args:
            repair: Whether to mend what can be.
            content: Whether to read every file and compare its checksum.
        """
        lend = self._database.write if repair else self._database.read
        with lend() as connection:
            found = checking.check(
                connection, self.store, repair=repair, content=content, now_s=self._clock
            )
            return list(found)

    def connections(self) -> dict[str, int]:
        """Return how many connections to the database are open, and how many are `in_use` now."""
        return self._database.connections()

    def close(self) -> None:
        """Close the database's connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_same(now: PublishRow, before: PublishRow) -> bool:
    return now.stage == before.stage and now.drafts == before.drafts


class _OvertakenError(Exception):
    """Somebody else took the publish further."""

    def __init__(self, row: PublishRow) -> None:
        super().__init__(row.id)
        self.row = row


def _beside(path: Path | None) -> Path:
    if path is not None:
        return path.parent / "store"
    import platformdirs

    return Path(platformdirs.user_data_dir("bifrost", appauthor=False)) / "store"
