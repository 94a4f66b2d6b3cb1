# SPDX-License-Identifier: Apache-2.0
"""Registering, publishing, workflow and access, of our own catalogue."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bifrost.context import Context
from bifrost.errors import (
    AssetException,
    BatchCancelledException,
    Code,
    InvalidReferenceException,
    LocationException,
)
from bifrost.host.asking import Asking, parsed
from bifrost.host.batch_options import OnError, Progress
from bifrost.host.batches import Options
from bifrost.host.recording import recorded
from bifrost.model.entity_reference import reference_for
from bifrost.model.paths import expanded

if TYPE_CHECKING:
    from bifrost.catalogue.access import Rule
    from bifrost.catalogue.status import StatusRecord
    from bifrost.publishing import Draft, Publish


class PublishingCalls(Asking):
    """
    What makes and changes assets. Every call raises `UnsupportedOperationException` where another
    manager is configured, `CatalogueError` where the catalogue can't be used, and
    `PermissionDeniedException` where the context's user may not.
    """

    @recorded
    def register_asset(
        self,
        asset_type: str,
        asset_name: str,
        file_path: str | os.PathLike[str],
        metadata: Mapping[str, Any] | None = None,
        *,
        asset_id: str | None = None,
        comment: str = "",
        in_place: bool = False,
        population_masks: Mapping[str, Sequence[str]] | None = None,
        idempotency_key: str | None = None,
        context: Context | None = None,
    ) -> str:
        """
        Register a new asset with *file_path* as its first version; return its reference, which floats.

        The file is copied into the catalogue's store, with the files that it reaches by relative
        paths below its folder, and validated first.

        Args:
            asset_type: Its type, say `model`.
            asset_name: Its display name. Its id is the name, with `_` for spaces and slashes.
            file_path: The file; a pattern such as `tex.<UDIM>.exr` for a set of them.
            metadata: Anything JSON can say; `tags` and `description` are what queries know by name.
            asset_id: An id instead of the one made of the name.
            comment: What to say about the version.
            in_place: Whether the file stays where it lies instead of being copied.
            population_masks: Named sets of prim paths of which a stage may be opened partially.
            idempotency_key: The same call sent twice with one key registers once.
            context: Who asks.

        Raises:
            ConflictException: there is an asset of that id: `register_version` makes its next version.
            InvalidReferenceException: the id can't be in a reference, or could be mistaken.
            InvalidTraitsException: a value can't be stored; the message names it.
            LocationException: the file isn't there, is none, or changed while it was copied.
            PublishRefusedException: validators found errors; `findings` has them all.
            StorageException: files can't be put in place: no room, no permission.
        """
        draft = draft_of_new(
            asset_type,
            asset_name,
            file_path,
            metadata,
            asset_id=asset_id,
            comment=comment,
            in_place=in_place,
            population_masks=population_masks,
        )
        self._publish([draft], idempotency_key, context)
        return reference_for(draft.asset_id)

    @recorded
    def register_assets(
        self,
        assets: Iterable[Mapping[str, Any]],
        batch_size: int = 100,
        *,
        progress: Progress | None = None,
        on_error: OnError = "raise",
        idempotency_key: str | None = None,
        context: Context | None = None,
    ) -> list[Any]:
        """
        Register many new assets; return their references, which float, in order.

        Each part of *batch_size* is one publish: all of it or nothing. Where one fails and *on_error* is
        not `raise`, its assets are registered one by one, so that only those that are wrong are left out.
        One part follows the other: a catalogue has one writer at a time.

        Args:
            assets: For each one the arguments of `register_asset`, by name.
            batch_size: How many are published at once.
            progress: Called as `progress(done, total)` after each part; False ends the batch.
            on_error: As for the other batch calls (`bifrost.host.batch_options`).
            idempotency_key: The same call sent twice with one key registers once; a call that broke
                off goes on where it did.
            context: Who asks.

        Raises:
            BatchCancelledException: *progress* said so; has the references that there are.
            As `register_asset`, for the first part that fails.
        """
        return Registration(self, progress, on_error, idempotency_key, context).run(
            assets, batch_size
        )

    async def aregister_assets(
        self, assets: Iterable[Mapping[str, Any]], batch_size: int = 100, **options: Any
    ) -> list[Any]:
        """Return what `register_assets` returns, without holding up the event loop."""
        import asyncio

        return await asyncio.to_thread(self.register_assets, assets, batch_size, **options)

    @recorded
    def register_version(
        self,
        asset_uri: str,
        file_path: str | os.PathLike[str],
        *,
        comment: str = "",
        metadata: Mapping[str, Any] | None = None,
        expected_version: int | None = None,
        in_place: bool = False,
        population_masks: Mapping[str, Sequence[str]] | None = None,
        idempotency_key: str | None = None,
        context: Context | None = None,
    ) -> str:
        """
        Publish *file_path* as the next version of an asset; return the reference to that version.

        A file with the content of the newest version makes no new one: its reference is returned.

        Args:
            asset_uri: The asset; what version it names doesn't matter.
            file_path: As for `register_asset`.
            comment: What to say about the version.
            metadata: Keys to set in the asset's metadata.
            expected_version: The number that the newest version must have.
            in_place: As for `register_asset`.
            population_masks: As for `register_asset`.
            idempotency_key: The same call sent twice with one key publishes once.
            context: Who asks.

        Raises:
            AssetNotFoundException: no such asset; with suggestions.
            ConflictException: the newest version is not *expected_version*.
            As `register_asset`.
        """
        from bifrost.publishing import Draft
        from bifrost.publishing.drafts import AS_IT_IS
        from bifrost.publishing.preparing import is_pattern

        self.session.own_catalogue(
            "publishing"
        )  # before the reference: another manager's looks otherwise
        asset_id = parsed(asset_uri).asset_id
        asset = self._existing(asset_id, context)
        draft = Draft(
            asset_id,
            asset.name,
            asset.asset_type,
            absolute(file_path),
            metadata=_table(asset_id, "metadata", metadata),
            comment=comment,
            expected_version=expected_version,
            in_place=in_place,
            templated=is_pattern(file_path),
            population_masks=_table(asset_id, "population_masks", population_masks),
            kept=AS_IT_IS,
        )
        return self._publish([draft], idempotency_key, context).results[0]

    @recorded
    def publish(
        self,
        drafts: Sequence[Draft],
        *,
        idempotency_key: str | None = None,
        context: Context | None = None,
    ) -> Publish:
        """
        Take many drafts through every stage, all or none; `results` has their references, in order.

        Raises:
            As `register_asset`.
        """
        return self._publish(drafts, idempotency_key, context)

    @recorded
    def draft_publish(
        self,
        drafts: Sequence[Draft],
        *,
        idempotency_key: str | None = None,
        context: Context | None = None,
    ) -> Publish:
        """
        Begin a publish: bring its files together. `validate_publish`, `register_publish` and
        `finish_publish` take it further, `resume_publish` to its end, `abort_publish` gives it up.

        Raises:
            As `register_asset`.
        """
        return self.session.publisher.draft(
            drafts, idempotency_key=idempotency_key, user=self._user(context)
        )

    @recorded
    def validate_publish(self, publish_id: str, *, context: Context | None = None) -> Publish:
        """Run the validators; `findings` has what they found. See `bifrost.publishing.Publisher`."""
        return self.session.publisher.validate(publish_id, user=self._named(context))

    @recorded
    def register_publish(self, publish_id: str, *, context: Context | None = None) -> Publish:
        """Make the versions of a validated publish. See `bifrost.publishing.Publisher`."""
        return self.session.publisher.register(publish_id, user=self._named(context))

    @recorded
    def finish_publish(self, publish_id: str, *, context: Context | None = None) -> Publish:
        """Do what comes behind a publish, and what failed of it. See `bifrost.publishing.Publisher`."""
        return self.session.publisher.finish(publish_id, user=self._named(context))

    @recorded
    def resume_publish(self, publish_id: str, *, context: Context | None = None) -> Publish:
        """Take a publish through the stages that are left. See `bifrost.publishing.Publisher`."""
        return self.session.publisher.resume(publish_id, user=self._named(context))

    @recorded
    def abort_publish(self, publish_id: str, *, context: Context | None = None) -> Publish:
        """Give a publish up that has made no versions yet. See `bifrost.publishing.Publisher`."""
        return self.session.publisher.abort(publish_id, user=self._named(context))

    @recorded
    def publishes(
        self, *, stage: str | None = None, limit: int = 100, context: Context | None = None
    ) -> list[Publish]:
        """
        Return publishes, of one *stage* if given, the last moved first.

        Those that who asks began, or whose assets they may read.

        Raises:
            InvalidQueryException: *stage* is none, or *limit* is no number from 0 up.
        """
        user = self._user(context)
        return self.session.publisher.list(stage=stage, limit=limit, user=user)

    # What changes an asset without making a version

    @recorded
    def set_metadata(
        self,
        asset_uri: str,
        metadata: Mapping[str, Any],
        *,
        replace: bool = False,
        context: Context | None = None,
    ) -> dict[str, Any]:
        """
        Set keys in an asset's metadata, those of value None removed; return all of it then.

        Raises:
            AssetNotFoundException: no such asset; with suggestions.
            InvalidTraitsException: a value can't be stored; the message names it.
        """
        catalogue = self.session.own_catalogue("metadata")
        asset_id = parsed(asset_uri).asset_id
        after = catalogue.set_metadata(
            asset_id, metadata, replace=replace, user=self._user(context)
        )
        self._forget(asset_id)
        return after

    @recorded
    def set_status(
        self,
        asset_uri: str,
        status: str,
        *,
        reason: str = "",
        context: Context | None = None,
    ) -> StatusRecord:
        """
        Move a version, the newest where *asset_uri* floats, to a stage of the workflow.

        Raises:
            AssetNotFoundException: no such asset or version; with suggestions.
            ConflictException: no such stage, or no such move from where it is.
        """
        catalogue = self.session.own_catalogue("a workflow")
        asked = parsed(asset_uri)
        moved = catalogue.set_status(
            asked.asset_id, asked.version, status, reason=reason, user=self._user(context)
        )
        self._forget(asked.asset_id)
        return moved

    @recorded
    def get_status(self, asset_uri: str, *, context: Context | None = None) -> StatusRecord:
        """
        Return where a version stands, where it may go, and how it came there.

        Raises:
            AssetNotFoundException: no such asset or version; with suggestions.
        """
        version = self._record(asset_uri, context)
        return self.session.own_catalogue("a workflow").status_of(version.asset_id, version.number)

    @recorded
    def deprecate(self, asset_uri: str, *, context: Context | None = None) -> None:
        """Mark an asset as one that people should not use any more. It resolves as before."""
        self._deprecate(asset_uri, True, context)

    @recorded
    def restore(self, asset_uri: str, *, context: Context | None = None) -> None:
        """Undo `deprecate`."""
        self._deprecate(asset_uri, False, context)

    @recorded
    def delete_asset(self, asset_uri: str, *, context: Context | None = None) -> None:
        """
        Remove an asset that nothing needs, and all its versions. Their numbers are never used again.

        Raises:
            InvalidReferenceException: *asset_uri* names a version: none goes alone.
            AssetNotFoundException: no such asset; with suggestions.
            ConflictException: another asset has a relationship to it; names which.
        """
        catalogue = self.session.own_catalogue("deleting")
        asked = parsed(asset_uri)
        if asked.version is not None:
            raise InvalidReferenceException(
                "an asset is deleted with all its versions: name it without one, or deprecate it",
                asset_uri=asset_uri,
                code=Code.MALFORMED_REFERENCE,
            )
        asset_id = asked.asset_id
        catalogue.delete(asset_id, user=self._user(context))
        self._forget(asset_id)

    # Who may do what

    @recorded
    def allow(self, rules: Sequence[Rule], *, context: Context | None = None) -> None:
        """Add rules: what one covers is then closed to those whom none names."""
        self.session.own_catalogue("access").allow(rules, user=self._user(context))
        self.session.invalidate_names(None)

    @recorded
    def disallow(self, rules: Sequence[Rule], *, context: Context | None = None) -> int:
        """Remove rules; return how many there were."""
        catalogue = self.session.own_catalogue("access")
        gone = catalogue.disallow(rules, user=self._user(context))
        self.session.invalidate_names(None)
        return gone

    @recorded
    def permissions(self, asset_uri: str, *, context: Context | None = None) -> dict[str, bool]:
        """Return for each action whether the context's user may do it with the asset."""
        catalogue = self.session.own_catalogue("access")
        asset_id = parsed(asset_uri).asset_id
        return catalogue.permissions(self._user(context), asset_id)

    def _publish(
        self, drafts: Sequence[Draft], idempotency_key: str | None, context: Context | None
    ) -> Publish:
        publisher = self.session.publisher
        return publisher.publish(drafts, idempotency_key=idempotency_key, user=self._user(context))

    def _deprecate(self, asset_uri: str, deprecated: bool, context: Context | None) -> None:
        catalogue = self.session.own_catalogue("deprecation")
        asset_id = parsed(asset_uri).asset_id
        catalogue.set_deprecated(asset_id, deprecated, user=self._user(context))
        self._forget(asset_id)


def draft_of_new(
    asset_type: str,
    asset_name: str,
    file_path: str | os.PathLike[str],
    metadata: Mapping[str, Any] | None = None,
    *,
    asset_id: str | None = None,
    comment: str = "",
    in_place: bool = False,
    population_masks: Mapping[str, Sequence[str]] | None = None,
) -> Draft:
    """Return the draft of a new asset; the arguments are those of `register_asset`."""
    from bifrost.publishing import Draft
    from bifrost.publishing.names import id_of
    from bifrost.publishing.preparing import is_pattern

    asset_id = id_of(asset_name) if asset_id is None else asset_id
    return Draft(
        asset_id,
        asset_name,
        asset_type,
        absolute(file_path),
        metadata=_table(asset_id, "metadata", metadata),
        comment=comment,
        expected_version=0,
        in_place=in_place,
        templated=is_pattern(file_path),
        population_masks=_table(asset_id, "population_masks", population_masks),
    )


class Registration:
    """
    One call of `register_assets` under way.

    Args:
        calls: What publishes.
        progress, on_error, idempotency_key, context: As for `register_assets`.
    """

    def __init__(
        self,
        calls: PublishingCalls,
        progress: Progress | None,
        on_error: OnError,
        idempotency_key: str | None,
        context: Context | None,
    ) -> None:
        self._calls = calls
        self._progress = progress
        self._on_error = on_error
        self._key = idempotency_key
        self._context = context

    def run(self, assets: Iterable[Mapping[str, Any]], batch_size: int) -> list[Any]:
        """Register *assets* in parts of *batch_size*; see `register_assets`."""
        Options(batch_size, on_error=self._on_error).checked()
        todo = list(assets)
        results: list[Any] = []
        for start in range(0, len(todo), batch_size):
            results += self._part(todo[start : start + batch_size], start)
            if self._progress is not None and self._progress(len(results), len(todo)) is False:
                left = len(todo) - len(results)
                if left:
                    message = f"the batch was cancelled after {len(results)} of {len(todo)}"
                    raise BatchCancelledException(message, results + [None] * left)
        if self._on_error == "skip":
            return [each for each in results if not isinstance(each, Exception)]
        return results

    def _part(self, assets: Sequence[Mapping[str, Any]], start: int) -> list[Any]:
        try:
            return self._publish(assets, start)
        except (AssetException, TypeError) as error:
            if self._on_error == "raise":
                raise
            if len(assets) == 1:
                return [error]
        return [each for at, asset in enumerate(assets) for each in self._part([asset], start + at)]

    def _publish(self, assets: Sequence[Mapping[str, Any]], start: int) -> list[str]:
        drafts = [draft_of_new(**asset) for asset in assets]
        key = None if self._key is None else f"{self._key}/{start}+{len(assets)}"
        self._calls.publish(drafts, idempotency_key=key, context=self._context)
        return [reference_for(draft.asset_id) for draft in drafts]


def absolute(path: str | os.PathLike[str]) -> str:
    """
    Return the path of a draft that *path*, as somebody wrote it, means.

    Raises:
        LocationException: it is empty, which in a draft stands for a version without a file.
    """
    text = os.fspath(path)
    if not text:
        raise LocationException("no file is named: its path is empty", code=Code.FILE_MISSING)
    # What has a NUL is refused where the draft is checked.
    return str(expanded(text).absolute()) if "\0" not in text else text


def _table(asset_id: str, field: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    from bifrost.catalogue.checks import invalid

    try:
        return dict(value or {})
    except (TypeError, ValueError):
        what = f"expected names with values, got {type(value).__name__}"
        raise invalid(str(asset_id), field, what) from None
