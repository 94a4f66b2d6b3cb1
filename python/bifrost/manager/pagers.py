# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002 - OpenAssetIO's methods have the arguments they have.
"""OpenAssetIO's pages over what a relationship leads to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from openassetio import EntityReference, errors
from openassetio.managerApi import EntityReferencePagerInterface

from bifrost.manager.answers import translated_errors
from bifrost.model.entity_reference import AssetReference

if TYPE_CHECKING:
    from openassetio.managerApi import HostSession


class Pager(EntityReferencePagerInterface):  # type: ignore[misc]
    """
    Pages over *targets*, read as far as they are asked for, one element ahead.

    The first page is there when the pager is; a later one may take a round trip, and raise as any
    question may. `close` lets go of everything. Any thread.
    """

    def __init__(
        self,
        targets: Iterator[AssetReference],
        page_size: int,
        make_reference: Callable[[str], EntityReference],
    ) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._targets = targets
        self._page_size = min(page_size, sys.maxsize)  # a host's `size_t` may be more
        self._make_reference = make_reference
        self._page: list[AssetReference] = []
        self._broken: errors.OpenAssetIOException | None = None
        self._ahead = self._taken(1)
        self._turn()

    def hasNext(self, hostSession: HostSession) -> bool:
        self._check()
        return bool(self._ahead)

    def get(self, hostSession: HostSession) -> list[EntityReference]:
        self._check()
        return [self._make_reference(str(target)) for target in self._page]

    def next(self, hostSession: HostSession) -> None:
        self._check()
        with self._lock:
            self._turn()

    def close(self, hostSession: HostSession) -> None:
        with self._lock:
            self._targets, self._page, self._ahead = iter(()), [], []

    def _turn(self) -> None:
        page = self._ahead + self._taken(self._page_size - len(self._ahead))
        self._page, self._ahead = page, self._taken(1) if page else []

    def _taken(self, count: int) -> list[AssetReference]:
        try:
            with translated_errors():
                return list(islice(self._targets, count))
        except errors.OpenAssetIOException as error:
            # What broke in the middle must not look like the end.
            self._broken = error
            raise

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken
