# SPDX-License-Identifier: Apache-2.0
"""Lets a stage have what its references mean now, and says what moved."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

from pxr import Ar, Usd

from bifrost.errors import ConfigurationError
from bifrost.usd import library, recomposing
from bifrost.usd.lifetimes import own_roots

_MOST_CONTEXTS: Final = 1_000
# Of each context what moved when it was refreshed, by the number of the move that was its last; and up to
# which number a stage follows. A stage may not be the one of its context that is refreshed first, and may
# outlive what is kept of it: no number comes twice.
_numbers: Final = itertools.count(1)
_moves: Final[dict[str, dict[str, int]]] = {}
_followed: Final[WeakKeyDictionary[Usd.Stage, int]] = WeakKeyDictionary()


class Moved(NamedTuple):
    """
    A reference that means another file than before.

    Attributes:
        reference: The entity reference.
        path: The file that it meant; "" where it did not resolve.
        new_path: The file that it means now; "" where it does not resolve any more.
        version: The version that it meant, as the manager calls it; "" where that is unknown.
        new_version: The version that it means now.
    """

    reference: str
    path: str
    new_path: str
    version: str
    new_version: str


@dataclass(frozen=True, slots=True)
class Refreshed:
    """
    What a refresh did.

    Attributes:
        moved: The references that mean another file now, sorted.
        root_moved: Whether the stage's own root layer is among them. OpenUSD gives a stage no other
            root: to see it, open the stage again.
    """

    moved: tuple[Moved, ...]
    root_moved: bool = False

    def __bool__(self) -> bool:
        return bool(self.moved)


def refresh(stage: Usd.Stage) -> Refreshed:
    """
    Ask anew for what floats on *stage*, recompose what moved, and return that.

    All stages of an equal context follow, those of others stay as they are. What is known to be as it
    was is not asked for: see docs/staleness.md. What did not resolve when it was composed and does now
    is composed, too, and value clips that moved are read anew. An outage leaves everything as it was,
    and pins what they pin.

    On the main thread, as OpenUSD wants it of everything that changes a stage.

    Raises:
        ConfigurationError: *stage* is none, or closed.
    """
    if not isinstance(stage, Usd.Stage) or not stage:
        raise ConfigurationError(f"refresh: expected an open Usd.Stage, got {type(stage).__name__}")
    own_roots(stage)
    context = stage.GetPathResolverContext()
    Ar.GetResolver().RefreshContext(context)
    names = {str(each) for each in context.Get()}
    moved = tuple(
        sorted(
            Moved(*move) for table in library.moves() if table.name in names for move in table.moves
        )
    )
    recomposing.compose_what_came(stage)
    new = [each.reference for each in moved]
    recomposing.read_clips_again(stage, new, _unfollowed(stage, str(sorted(names)), new))
    root = stage.GetRootLayer().identifier
    return Refreshed(moved, any(each.reference == root for each in moved))


def _unfollowed(stage: Usd.Stage, context: str, new: Collection[str]) -> list[str]:
    """
    Note that *new* moved in *context*; return what did before, since *stage* was last refreshed.

    Of a stage that never was: whatever moved, for nobody knows when it was composed.
    """
    so_far = _moves[context] = _moves.pop(context, {})
    if len(_moves) > _MOST_CONTEXTS:
        del _moves[next(iter(_moves))]  # the one that was refreshed longest ago
    followed = _followed.get(stage, 0)
    before = [reference for reference, number in so_far.items() if number > followed]
    so_far.update((reference, next(_numbers)) for reference in new)
    _followed[stage] = next(_numbers)
    return before
