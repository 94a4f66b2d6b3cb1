# SPDX-License-Identifier: Apache-2.0
"""
The stages of a publish: draft, validated, registered, post-registered.

Each stage is recorded in the catalogue before the next one begins, so that a publish outlives the
process that began it: `resume` goes on where it stopped. Registering is one transaction, with the
stage in it: a publish makes its versions once, however often and by whomever it is resumed.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bifrost import looking
from bifrost.catalogue import Publication, Staged, VersionRecord
from bifrost.catalogue.access import denied
from bifrost.catalogue.edge_values import checked_text
from bifrost.catalogue.publishes import (
    ABORTED,
    DRAFT,
    POST_REGISTERED,
    REGISTERED,
    VALIDATED,
    PublishRow,
)
from bifrost.catalogue.records import shown
from bifrost.errors import (
    AssetException,
    BifrostError,
    CatalogueError,
    Code,
    ConflictException,
    PublishRefusedException,
)
from bifrost.model.entity_reference import LATEST, parse, reference_for
from bifrost.model.permissions import User, name_of
from bifrost.model.projects import also_meant
from bifrost.publishing import plugins
from bifrost.publishing.drafts import ActionState, Draft, Prepared, Publish, Written
from bifrost.publishing.findings import ERROR, Finding
from bifrost.publishing.names import check_draft, check_new_id
from bifrost.publishing.plugins import Action, Lookup, Published, Validator
from bifrost.publishing.preparing import prepare, prepare_all_written, prepare_written

if TYPE_CHECKING:
    from bifrost.catalogue import Catalogue

_ATTEMPTS = 2
_SHOWN_FINDINGS = 5


class Publisher:
    """
    Publishes into one catalogue. Any thread, any number of processes.

    Args:
        catalogue: The catalogue.
        validators: Instead of those that are installed, by name.
        actions: Instead of those that are installed, by name.
        on_published: Called with the references whose answers changed, once they did; what it raises
            is an action that failed (`caches`).
        clock: Tells the time, in seconds since the epoch.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        validators: Mapping[str, Validator] | None = None,
        actions: Mapping[str, Action] | None = None,
        on_published: Callable[[Sequence[str]], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalogue = catalogue
        self._validators = plugins.validators() if validators is None else validators
        self._actions = plugins.actions() if actions is None else actions
        self._on_published = on_published
        self._clock = clock

    # The stages

    @looking.kept()
    def draft(
        self, drafts: Sequence[Draft], *, idempotency_key: str | None = None, user: User = ""
    ) -> Publish:
        """
        Bring the drafts' files together and record a new publish; or return the one of that key.

        Raises:
            LocationException: a file isn't there, is none, or changed while it was copied.
            StorageException: a file can't be read, or there is no room.
            InvalidReferenceException: an id can't be in a reference.
            InvalidTraitsException: a value, or the key, can't be stored; the message names it.
            PermissionDeniedException: *user* may not publish one of the assets.
            ConflictException: the key is that of a publish of other assets.
        """
        there = self._of_key(idempotency_key, drafts, user)
        if there is not None:
            return there
        self._check(drafts, user)
        prepared: list[Prepared] = []
        try:
            readers = plugins.readers()
            exist = self._lookup(drafts)
            # One by one, so that an exception finds those that were copied before it.
            prepared.extend(
                prepare(draft, self._catalogue.store, readers, exist) for draft in drafts
            )
            row = self._catalogue.begin_publish(self._row(prepared, idempotency_key, user))
        except BaseException:
            self._discard(prepared)
            raise
        if row.drafts != _as_json(prepared):  # another of the same key was faster
            self._discard(prepared)
            self._check_is_same(row, drafts, user)
        return Publish.of(row)

    @looking.kept()
    def draft_written(self, written: Sequence[Written], *, user: User = "") -> Publish:
        """
        Record a new publish of what somebody wrote into staging folders of the store.

        Raises:
            As `draft`. The folders are gone then.
        """
        folders = [Prepared(each.draft, str(each.folder), "", "", 0) for each in written]
        drafts = [each.draft for each in written]
        try:
            self._check(drafts, user)
            prepared = prepare_all_written(written, plugins.readers(), self._lookup(drafts))
            return Publish.of(self._catalogue.begin_publish(self._row(prepared, None, user)))
        except BaseException:
            self._discard(folders)
            raise

    def working(self, draft: Draft, *, user: User = "") -> Publish:
        """
        Record a publish of a file that is still to be written: at `working_path`.

        Raises:
            As `draft`.
        """
        self._check([draft], user)
        folder = self._catalogue.store.folder()
        name = Path(draft.path).name or "file"
        row = self._row([Prepared(draft, str(folder), name, "", 0)], None, user)
        return Publish.of(self._catalogue.begin_publish(row))

    def working_path(self, publish_id: str) -> Path:
        """
        Return where the file of a `working` publish is to be written.

        Raises:
            AssetNotFoundException: there is no such publish.
            ConflictException: it is not on its way any more.
        """
        row = self._row_at(publish_id, DRAFT, VALIDATED)
        return Path(row.drafts[0]["folder"], row.drafts[0]["main"])

    def write(self, publish_id: str, draft: Draft, *, user: User | None = None) -> Publish:
        """
        Take what was written for a `working` publish as its file, and *draft* for the rest.

        A *draft* of another path than `working_path` has its file copied as usual. *user* is who
        does, by default whoever began it, by name.

        Raises:
            As `draft`; ConflictException: it is not on its way any more.
        """
        row = self._row_at(publish_id, DRAFT, VALIDATED)
        self._check([draft], row.created_by if user is None else user)
        path = self.working_path(publish_id)
        readers = plugins.readers()
        if Path(draft.path) == path and not draft.templated:
            folder = Path(row.drafts[0]["folder"])
            prepared = prepare_written(draft, folder, path, readers, self._exist)
        else:
            prepared = prepare(draft, self._catalogue.store, readers, self._exist)
        after = row._replace(
            stage=DRAFT, drafts=_as_json([prepared]), findings=[], updated_us=self._now_us()
        )
        kept = self._catalogue.move_publish(row, after)
        folders = {data["folder"] for data in kept.drafts}
        used = [Prepared.from_json(data) for data in [*row.drafts, *after.drafts]]
        self._discard(each for each in used if each.folder not in folders)
        return Publish.of(kept)

    @looking.kept()
    def validate(self, publish_id: str, *, user: User | None = None) -> Publish:
        """
        Have every validator look at the drafts; with errors among the findings it stays a draft.

        Raises:
            AssetNotFoundException: there is no such publish.
            ConflictException: it was registered or aborted already.
            PermissionDeniedException: *user* may not publish one of the assets; None asks without rules.
        """
        row = self._row_at(publish_id, DRAFT, VALIDATED)
        self._check_may_publish(row, user)
        prepared = [Prepared.from_json(data) for data in row.drafts]
        exist = self._lookup([each.draft for each in prepared])
        findings = [finding for each in prepared for finding in self._findings(each, exist)]
        stage = DRAFT if any(finding.is_error for finding in findings) else VALIDATED
        return self._moved(
            row, row._replace(stage=stage, findings=[each._asdict() for each in findings])
        )

    def register(self, publish_id: str, *, user: User | None = None) -> Publish:
        """
        Make the versions, all or none, and record which; once, however often it is called.

        *user* is who does, by default whoever began it, by name: what they had proved isn't kept.

        Raises:
            AssetNotFoundException: no such publish; or a dependency names what is not there.
            ConflictException: it is not validated, or was aborted; an `expected_version` is no longer
                the newest.
            PermissionDeniedException: *user* may not publish one of the assets.
            StorageException: files can't be put in place.
        """
        row = self._row_at(publish_id, VALIDATED, REGISTERED, POST_REGISTERED)
        if row.stage != VALIDATED:
            return Publish.of(row)
        prepared = [Prepared.from_json(data) for data in row.drafts]
        publications = [each.publication(row.created_by) for each in prepared]
        registered = row._replace(stage=REGISTERED, updated_us=self._now_us())
        made = self._catalogue.register_publish(row, registered, publications, user=user)
        if made.stage == ABORTED:
            raise _not_at(made, VALIDATED)
        return Publish.of(made)

    @looking.kept()
    def finish(self, publish_id: str, *, user: User | None = None) -> Publish:
        """
        Do what comes behind a publish and is not done yet; what fails is recorded, never undone.

        *user* is as for `register`.

        Raises:
            AssetNotFoundException: there is no such publish.
            ConflictException: it was not registered.
        """
        row = self._row_at(publish_id, REGISTERED, POST_REGISTERED)
        states = {name: ActionState(**data) for name, data in row.actions.items()}
        published = self._published(row, row.created_by if user is None else user)
        for name, action in self._all_actions(row.results).items():
            if not states.get(name, ActionState(False, 0)).done:
                states[name] = _done(action, published, states.get(name))
        stage = POST_REGISTERED if all(state.done for state in states.values()) else REGISTERED
        actions = {name: state._asdict() for name, state in states.items()}
        return self._moved(row, row._replace(stage=stage, actions=actions))

    def publish(
        self, drafts: Sequence[Draft], *, idempotency_key: str | None = None, user: User = ""
    ) -> Publish:
        """
        Take *drafts* through every stage, all or none.

        Sent twice with one *idempotency_key*, the versions are made once. What fails behind the
        publish is in `actions`, and `resume` tries it again.

        Raises:
            PublishRefusedException: validators found errors; `findings` has all of them.
            As `draft` and `register`. Nothing is left behind.
        """
        made = self.draft(drafts, idempotency_key=idempotency_key, user=user)
        try:
            return self.resume(made.id, user=user)
        except AssetException:
            with contextlib.suppress(BifrostError):
                self.abort(made.id)
            raise

    def resume(self, publish_id: str, *, user: User | None = None) -> Publish:
        """
        Take a publish through the stages that are left; *user* is as for `register`.

        Where the catalogue goes away once the versions are made, they are returned all the same, and
        `actions` says what is left to be done.

        Raises:
            PublishRefusedException: validators found errors; it stays a draft.
            ConflictException: it was aborted.
            As `register`.
        """
        made = self._registered(publish_id, user)
        return self._finished(made, user) if made.stage == REGISTERED else made

    def abort(self, publish_id: str, *, user: User | None = None) -> Publish:
        """
        Give a publish up and remove its staged files. Aborting twice is fine.

        Raises:
            AssetNotFoundException: there is no such publish.
            ConflictException: its versions were made already.
            PermissionDeniedException: *user* may not publish one of the assets; None asks without rules.
        """
        while True:  # until nobody takes it a stage further meanwhile
            row = self._row_at(publish_id, DRAFT, VALIDATED, ABORTED)
            self._check_may_publish(row, user)
            # The key may be used again: this publish made nothing.
            aborted = self._moved(row, row._replace(stage=ABORTED, idempotency_key=None))
            if aborted.stage == ABORTED:
                self._discard([Prepared.from_json(data) for data in row.drafts])
                return aborted

    def get(self, publish_id: str) -> Publish:
        """Return the publish. Raises `AssetNotFoundException`: there is none of that id."""
        return Publish.of(self._catalogue.publish_of(publish_id))

    def list(
        self, *, stage: str | None = None, limit: int = 100, user: User | None = None
    ) -> list[Publish]:
        """
        Return up to *limit* publishes, of one *stage* if given, the last moved first.

        Those that *user* began, or whose assets they may read; None asks without rules.
        """
        rows = self._catalogue.publishes(stage=stage, limit=limit, user=user)
        return [Publish.of(row) for row in rows]

    # What they stand on

    def _registered(self, publish_id: str, user: User | None) -> Publish:
        """Take a publish to its versions, from the start again where somebody else moved it meanwhile."""
        while True:
            made = self.get(publish_id)
            try:
                if made.stage == DRAFT:
                    made = self.validate(publish_id)
                if made.stage != DRAFT:
                    return self.register(publish_id, user=user)
            except ConflictException:
                if self.get(publish_id).stage == made.stage:
                    raise
                continue
            if made.errors:
                raise _refused(made)

    def _finished(self, made: Publish, user: User | None) -> Publish:
        """`finish` what has its versions: a catalogue that is away meanwhile takes back none of them."""
        try:
            return self.finish(made.id, user=user)
        except CatalogueError as error:
            if self._on_published is not None:
                with contextlib.suppress(Exception):
                    self._on_published(_floating(made.results))
            names = [name for name in self._all_actions(made.results) if name not in made.actions]
            left = ActionState(False, 0, f"{type(error).__name__}: {error.message}")
            return made._replace(actions={**made.actions, **dict.fromkeys(names, left)})

    def _of_key(
        self, idempotency_key: str | None, drafts: Sequence[Draft], user: User
    ) -> Publish | None:
        if idempotency_key is None:
            return None
        checked_text(idempotency_key, "idempotency_key", "")
        row = self._catalogue.publish_by_key(idempotency_key)
        if row is None:
            return None
        self._check_is_same(row, drafts, user)
        return Publish.of(row)

    def _check_is_same(self, row: PublishRow, drafts: Sequence[Draft], user: User) -> None:
        """Raise unless *row*, which has the key of *drafts*, may be theirs, and of that user."""
        self._check_may_publish(row, user)
        if row.asset_ids != [draft.asset_id for draft in drafts]:
            raise ConflictException(
                f"the idempotency key {shown(str(row.idempotency_key))} is that of a publish of "
                f"{', '.join(map(shown, row.asset_ids[:_SHOWN_FINDINGS]))}",
                code=Code.CONFLICT,
            )

    def _row(
        self, prepared: Sequence[Prepared], idempotency_key: str | None, user: User
    ) -> PublishRow:
        now_us = self._now_us()
        return PublishRow(
            id=uuid.uuid4().hex,
            idempotency_key=idempotency_key,
            stage=DRAFT,
            drafts=_as_json(prepared),
            findings=[],
            results=[],
            actions={},
            created_us=now_us,
            created_by=name_of(user),
            updated_us=now_us,
        )

    def _row_at(self, publish_id: str, *stages: str) -> PublishRow:
        row = self._catalogue.publish_of(publish_id)
        if row.stage not in stages:
            raise _not_at(row, *stages)
        return row

    def _moved(self, before: PublishRow, after: PublishRow) -> Publish:
        after = after._replace(updated_us=self._now_us())
        return Publish.of(self._catalogue.move_publish(before, after))

    def _now_us(self) -> int:
        return int(self._clock() * 1_000_000)

    def _check(self, drafts: Sequence[Draft], user: User) -> None:
        # What can't be recorded is refused before any file is copied.
        for draft in drafts:
            check_draft(draft)
        self._catalogue.check_publications([_bare(draft, user) for draft in drafts], user=user)
        known = self._catalogue.found([draft.asset_id for draft in drafts])
        for draft in drafts:
            if draft.asset_id not in known:
                check_new_id(draft.asset_id)

    def _check_may_publish(self, row: PublishRow, user: User | None) -> None:
        if user is None:
            return
        allowed = self._catalogue.access(user, row.asset_ids)
        for asset_id in row.asset_ids:
            if (refused := allowed.refusal(asset_id, "publish")) is not None:
                raise denied(refused)

    def _exist(self, references: Sequence[str]) -> builtins.list[bool]:
        parsed = [_parsed(reference) for reference in references]
        asked = [each for each in parsed if each is not None]
        outcomes = iter(self._catalogue.resolve(asked)) if asked else iter(())
        return [each is not None and isinstance(next(outcomes), VersionRecord) for each in parsed]

    def _lookup(self, drafts: Sequence[Draft]) -> Lookup:
        """Return what knows which references exist, or will once *drafts* are published."""
        numbers: dict[str, int] = {}
        ids = [draft.asset_id for draft in drafts]

        def is_coming(reference: str) -> bool:
            parsed = _parsed(reference)
            if parsed is None or parsed[0] not in ids:
                return False
            if not numbers:
                numbers.update(self._catalogue.next_numbers(ids))
            return parsed[1] in (None, LATEST, str(numbers[parsed[0]]))

        def exist(references: Sequence[str]) -> builtins.list[bool]:
            found = self._exist(references)
            return [there or is_coming(ref) for ref, there in zip(references, found, strict=True)]

        return exist

    def _findings(self, prepared: Prepared, exist: Lookup) -> Iterable[Finding]:
        draft = prepared.draft
        for code, message, where in prepared.problems:
            yield Finding("reading", ERROR, code, message, where, draft.asset_id)
        if prepared.folder and not prepared.checksum:
            message = f"{prepared.main}: nothing was written yet"
            yield Finding("reading", ERROR, "not_written", message, "", draft.asset_id)
            return
        path = prepared.path
        # What could not be read, no validator can say more about.
        if path is None or prepared.problems:
            return
        staging = f"{prepared.folder}/" if prepared.folder else ""
        for name, validator in self._validators.items():
            try:
                found = [
                    each._replace(
                        asset_id=draft.asset_id,
                        message=each.message.replace(staging, "") if staging else each.message,
                    )
                    for each in validator(path, draft, exist)
                ]
            except Exception as error:  # noqa: BLE001  a validator that breaks has not agreed
                message = f"the validator failed: {type(error).__name__}: {error}"
                found = [Finding(name, ERROR, "validator_failed", message, "", draft.asset_id)]
            yield from found

    def _all_actions(
        self, results: Sequence[str]
    ) -> dict[str, Callable[[builtins.list[Published]], None]]:
        actions = {name: _for_each(action) for name, action in self._actions.items()}
        if self._on_published is not None:
            announce = self._on_published
            actions["caches"] = lambda _: announce(_floating(results))
        return actions

    def _published(self, row: PublishRow, user: User) -> builtins.list[Published]:
        queries = [parsed for parsed in map(_parsed, row.results) if parsed is not None]
        records = self._catalogue.resolve(queries)
        return [
            Published(uri, record, Draft(**data["draft"]), self._catalogue, name_of(user), user)
            for uri, record, data in zip(row.results, records, row.drafts, strict=True)
            if isinstance(record, VersionRecord)
        ]

    def _discard(self, prepared: Iterable[Prepared]) -> None:
        for each in prepared:
            if each.folder:
                self._catalogue.store.discard(Staged(Path(each.folder), each.main))


def _not_at(row: PublishRow, *stages: str) -> ConflictException:
    return ConflictException(
        f"publish {row.id} is {row.stage}; this needs {' or '.join(stages)}", code=Code.CONFLICT
    )


def _as_json(prepared: Iterable[Prepared]) -> list[dict[str, Any]]:
    # Through JSON: what comes back from the catalogue has lists where we had tuples.
    return list(json.loads(json.dumps([each.as_json() for each in prepared])))


def _bare(draft: Draft, user: User) -> Publication:
    return Prepared(draft, "", "", "", 0).publication(name_of(user))


def _parsed(reference: str) -> tuple[str, str | None] | None:
    try:
        parsed = parse(reference)
    except ValueError:
        return None
    return parsed.asset_id, parsed.version


def _floating(references: Iterable[str]) -> list[str]:
    """Return the references whose meaning the versions *references* changed: all that float."""
    named = [parse(reference).asset_id for reference in references]
    ids = dict.fromkeys([*named, *filter(None, map(also_meant, named))])
    return [reference_for(asset_id, tag) for asset_id in ids for tag in (None, LATEST)]


def _for_each(action: Action) -> Callable[[list[Published]], None]:
    def run(published: list[Published]) -> None:
        for each in published:
            action(each)

    return run


def _done(
    action: Callable[[list[Published]], None],
    published: list[Published],
    before: ActionState | None,
) -> ActionState:
    attempts = before.attempts if before else 0
    error = ""
    for _ in range(_ATTEMPTS):
        attempts += 1
        try:
            action(published)
        except Exception as trouble:  # noqa: BLE001  reported; the version stands
            message = trouble.message if isinstance(trouble, BifrostError) else str(trouble)
            error = f"{type(trouble).__name__}: {message}"
        else:
            return ActionState(True, attempts)
    return ActionState(False, attempts, error)


def _refused(made: Publish) -> PublishRefusedException:
    errors = made.errors
    shown = "; ".join(f"{each.message} [{each.code}]" for each in errors[:_SHOWN_FINDINGS])
    more = f"; and {len(errors) - _SHOWN_FINDINGS} more" if len(errors) > _SHOWN_FINDINGS else ""
    return PublishRefusedException(
        f"not published, {len(errors)} {'error' if len(errors) == 1 else 'errors'}: {shown}{more}",
        asset_uri=reference_for(errors[0].asset_id),
        code=Code.REFUSED,
        details={"findings": list(made.findings), "publish": made.id},
    )
