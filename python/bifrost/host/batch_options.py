# SPDX-License-Identifier: Apache-2.0
"""What every batch call may be given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypedDict

from bifrost.context import Context

OnError = Literal["raise", "return", "skip"]
Progress = Callable[[int, "int | None"], object]


class BatchOptions(TypedDict, total=False):
    """
    Keyword arguments of batch calls, beside `batch_size`: how many references one round trip asks for,
    to begin with.
    """

    adaptive: bool
    """Whether the size grows while the manager takes less for each, and shrinks on errors; else it is
    fixed. True by default."""
    max_workers: int | None
    """How many round trips there may be at once; None for as many as the manager bears
    (`manager.max_workers`), which no number exceeds."""
    progress: Progress | None
    """Called in the calling thread as `progress(done, total)` after each round trip and each window; total
    is None where nobody knows it. Where it returns False, the batch ends."""
    on_error: OnError
    """`raise`: the first failing element's exception is raised. `return`: exceptions stand in the places
    of answers. `skip`: they are left out."""
    deadline_s: float | None
    """Seconds that each round trip may take; None for `manager.deadline_s`."""
    context: Context | None
    """Who asks; None for the active context."""
