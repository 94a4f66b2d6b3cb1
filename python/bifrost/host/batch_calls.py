# SPDX-License-Identifier: Apache-2.0
"""The calls that take any number of references, and their async twins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from bifrost.context import Context
from bifrost.errors import Code
from bifrost.host.asking import Asking
from bifrost.host.batch_options import BatchOptions
from bifrost.host.batches import Ask, Run, run_of
from bifrost.host.recording import recorded
from bifrost.host.resolving import entity_info, version_number
from bifrost.model.reply import Failure
from bifrost.model.request import Operation, Request

_VARIANT_SETS = "bifrost:usd.VariantSets"


class BatchCalls(Asking):
    """
    Many references in one call: answers in the order of the references, each asked for once.

    All take `batch_size`, `adaptive`, `max_workers`, `progress`, `on_error`, `deadline_s` and `context`;
    `bifrost.host.batch_options.BatchOptions` says what they mean. What a cache knows costs no round trip,
    what it doesn't is asked in parts, several at once.

    A batch ends early by Ctrl-C, by an exception of `progress`, by `progress` returning False
    (`BatchCancelledException`, with what was answered), by closing an `iter_…`, or by cancelling the
    task of an `a…`. What was answered by then is cached.
    """

    @recorded
    def resolve_asset_paths(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[Path]:
        """
        Return the files that *uris* resolve to.

        Raises:
            As `resolve_asset_path`, for the first one that fails, unless `on_error` says otherwise.
        """
        return self._run(Operation.LOCATE, batch_size, options).listed(uris)

    def iter_resolve_asset_paths(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> Iterator[Path]:
        """
        Yield the files that *uris* resolve to, reading them as they are needed: any number, in bounded
        memory.

        Raises:
            As `resolve_asset_paths`, when the one that fails is reached.
        """
        return self._run(Operation.LOCATE, batch_size, options).streamed(uris)

    async def aresolve_asset_paths(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[Path]:
        """Return what `resolve_asset_paths` returns, without holding up the event loop."""
        return await self._run(Operation.LOCATE, batch_size, options).awaited(uris)

    async def aresolve_asset_path(
        self, asset_uri: str, *, context: Context | None = None, deadline_s: float | None = None
    ) -> Path:
        """Return what `resolve_asset_path` returns, without holding up the event loop."""
        [path] = await self.aresolve_asset_paths(
            [asset_uri], context=context, deadline_s=deadline_s
        )
        return path

    @recorded
    def get_versions(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[int | None]:
        """
        Return the version that each of *uris* means; None where it is no number.

        Raises:
            As `resolve_asset_paths`.
        """
        return self._run(Operation.RESOLVE, batch_size, options, self._versions).listed(uris)

    def iter_get_versions(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> Iterator[int | None]:
        """Yield what `get_versions` returns, in bounded memory."""
        return self._run(Operation.RESOLVE, batch_size, options, self._versions).streamed(uris)

    async def aget_versions(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[int | None]:
        """Return what `get_versions` returns, without holding up the event loop."""
        run = self._run(Operation.RESOLVE, batch_size, options, self._versions)
        return await run.awaited(uris)

    @recorded
    def get_entity_infos(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[dict[str, Any]]:
        """
        Return what the manager says of each of *uris*, as `get_entity_info` does.

        Raises:
            As `resolve_asset_paths`.
        """
        return self._run(Operation.INFO, batch_size, options, self._infos).listed(uris)

    def iter_get_entity_infos(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> Iterator[dict[str, Any]]:
        """Yield what `get_entity_infos` returns, in bounded memory."""
        return self._run(Operation.INFO, batch_size, options, self._infos).streamed(uris)

    async def aget_entity_infos(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[dict[str, Any]]:
        """Return what `get_entity_infos` returns, without holding up the event loop."""
        return await self._run(Operation.INFO, batch_size, options, self._infos).awaited(uris)

    @recorded
    def entities_exist(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[bool]:
        """
        Return whether each of *uris* exists and can be read.

        Raises:
            AssetException: the question could not be answered for one of them.
        """
        return self._run(Operation.EXISTS, batch_size, options).listed(uris)

    def iter_entities_exist(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> Iterator[bool]:
        """Yield what `entities_exist` returns, in bounded memory."""
        return self._run(Operation.EXISTS, batch_size, options).streamed(uris)

    async def aentities_exist(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[bool]:
        """Return what `entities_exist` returns, without holding up the event loop."""
        return await self._run(Operation.EXISTS, batch_size, options).awaited(uris)

    @recorded
    def get_variants(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[dict[str, Any]]:
        """
        Return the variant sets that each of *uris* was published with: for each prim that has some, by
        its path, the sets and their variants' names. {} where there are none.

        Read from the trait `bifrost:usd.VariantSets`; no file is opened.

        Raises:
            As `resolve_asset_paths`.
        """
        return self._run(Operation.INFO, batch_size, options, self._variants).listed(uris)

    def iter_get_variants(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> Iterator[dict[str, Any]]:
        """Yield what `get_variants` returns, in bounded memory."""
        return self._run(Operation.INFO, batch_size, options, self._variants).streamed(uris)

    async def aget_variants(
        self, uris: Iterable[str], batch_size: int = 100, **options: Unpack[BatchOptions]
    ) -> list[dict[str, Any]]:
        """Return what `get_variants` returns, without holding up the event loop."""
        return await self._run(Operation.INFO, batch_size, options, self._variants).awaited(uris)

    # What windows are asked, and what becomes of the outcomes

    def _run(
        self, operation: Operation, batch_size: int, options: BatchOptions, ask: Ask | None = None
    ) -> Run:
        return run_of(self.session, operation, batch_size, options, ask)

    def _versions(self, request: Request) -> list[Any]:
        outcomes = self.session.ask(request).outcomes
        return [each if isinstance(each, Failure) else version_number(each) for each in outcomes]

    def _variants(self, request: Request) -> list[Any]:
        outcomes = self.session.ask(request).outcomes
        return [each if isinstance(each, Failure) else variants_in(each) for each in outcomes]

    def _infos(self, request: Request) -> list[Any]:
        """What the entities say of themselves, then where those are that said something."""
        traits = self.session.ask(request).outcomes
        known = [
            reference
            for reference, outcome in zip(request.references, traits, strict=True)
            if not isinstance(outcome, Failure)
        ]
        located: dict[str, Any] = {}
        if known:
            asked = replace(request.only(known), operation=Operation.RESOLVE, batch=None)
            located = dict(self.session.ask(asked).items())
        return [
            outcome if isinstance(outcome, Failure) else _told(located[reference], outcome)
            for reference, outcome in zip(request.references, traits, strict=True)
        ]


def variants_in(traits: dict[str, dict[str, Any]]) -> Any:
    """Return the variant sets that an entity's properties, by trait id, tell of; or a failure."""
    import json

    text = traits.get(_VARIANT_SETS, {}).get("variantSets")
    if not text:
        return {}
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return Failure(Code.MISBEHAVED, f"{_VARIANT_SETS}.variantSets is no JSON")


def _told(resolution: Any, traits: dict[str, dict[str, Any]]) -> Any:
    return resolution if isinstance(resolution, Failure) else entity_info(resolution, traits)
