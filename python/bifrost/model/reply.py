# SPDX-License-Identifier: Apache-2.0
"""One outcome for each question, in the order they were asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bifrost.control_characters import escaped
from bifrost.errors import AssetException, Code, exception_for
from bifrost.model.request import Request
from bifrost.redaction import redacted

_OUTAGE: Final = frozenset({Code.UNAVAILABLE, Code.DEADLINE})
# A manager's own trouble: an answer, and none about the reference.
_DEFECT: Final = frozenset({Code.MISBEHAVED, Code.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Failure:
    """
    Why one reference has no answer. A value: batches don't raise.

    Attributes:
        code: The stable name of the failure.
        message: What happened and, where known, what to do.
        retryable: Whether the same question may succeed in a moment.
        details: More, for the exception: suggestions, required_permission, retry_after.
    """

    code: Code
    message: str
    retryable: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A manager may have quoted what it was sent. Failures are cached, and sent to C++.
        object.__setattr__(self, "message", escaped(redacted(self.message)))

    @property
    def is_outage(self) -> bool:
        """Whether the manager could not be asked, which says nothing about the reference."""
        return self.code in _OUTAGE

    @property
    def says_nothing(self) -> bool:
        """Whether the reference may be as it was: nobody could be asked, or what they said is no answer."""
        return self.is_outage or self.code in _DEFECT

    def exception(self, reference: str) -> AssetException:
        """Return what a call for this one reference raises."""
        return exception_for(self.code, self.message, reference, dict(self.details))


@dataclass(frozen=True, slots=True)
class Reply:
    """Outcomes aligned with `request.references`: what the operation promises, or a `Failure`."""

    request: Request
    outcomes: tuple[Any, ...]

    def __post_init__(self) -> None:
        if len(self.outcomes) != len(self.request.references):
            raise ValueError(
                f"{len(self.outcomes)} outcomes for {len(self.request.references)} references"
            )

    @classmethod
    def of(cls, request: Request, failure: Failure) -> Reply:
        """Return a reply in which every reference met the same failure."""
        return cls(request, (failure,) * len(request.references))

    @classmethod
    def by_reference(cls, request: Request, outcome_of: Callable[[str], Any]) -> Reply:
        """Return a reply with `outcome_of(reference)` for each reference."""
        return cls(request, tuple(map(outcome_of, request.references)))

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield (reference, outcome) pairs in order."""
        return zip(self.request.references, self.outcomes, strict=True)

    def failures(self) -> dict[str, Failure]:
        """Return the references that failed, with their failures."""
        return {ref: out for ref, out in self.items() if isinstance(out, Failure)}

    @property
    def is_outage(self) -> bool:
        """Whether the round trip itself failed: every element met an outage."""
        return bool(self.outcomes) and all(
            isinstance(outcome, Failure) and outcome.is_outage for outcome in self.outcomes
        )

    def patched(self, newer: Reply) -> Reply:
        """Return this reply with the outcomes of *newer* in place of its own."""
        update = dict(newer.items())
        return Reply(self.request, tuple(update.get(ref, out) for ref, out in self.items()))
