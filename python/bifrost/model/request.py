# SPDX-License-Identifier: Apache-2.0
"""A batch of questions of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from bifrost.context import ContextSnapshot


class Operation(StrEnum):
    """What is asked of each reference, and what a successful outcome is."""

    RESOLVE = "resolve"
    """-> `Resolution`."""
    LOCATE = "locate"
    """-> `pathlib.Path`: where `RESOLVE` leads, for who wants nothing else of it. Caches answer it."""
    EXISTS = "exists"
    """-> `bool`."""
    TRAITS = "traits"
    """-> `frozenset[str]`, the entity's trait ids."""
    INFO = "info"
    """-> `dict[str, dict[str, value]]`, properties by trait id."""


@dataclass(frozen=True, slots=True)
class Request:
    """
    Questions about many references, all of one kind, asked by one principal.

    Attributes:
        operation: What is asked.
        references: Entity references without file format arguments; no duplicates needed or forbidden.
        context: Who asks and under what policy, frozen.
        deadline_s: Seconds this request may take, retries included; None for the setting.
        fresh: Whether cached answers are passed over; answers are still stored.
        batch: How the request may be cut into parts: a `pipeline.batching.Batch`. None: it is one
            round trip, however many references it has.
    """

    operation: Operation
    references: tuple[str, ...]
    context: ContextSnapshot
    deadline_s: float | None = None
    fresh: bool = False
    batch: Any = field(default=None, compare=False, repr=False)

    def only(self, references: Sequence[str]) -> Request:
        """Return the same question about *references*."""
        return replace(self, references=tuple(references))

    def without_batch(self) -> Request:
        """Return the same question, to be asked in one round trip."""
        return self if self.batch is None else replace(self, batch=None)
