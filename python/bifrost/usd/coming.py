# SPDX-License-Identifier: Apache-2.0
"""
Versions that are being published: what their references mean while files that name them are looked at.

What is published in one transaction may name each other's new versions. Reading and checking it opens
its stages, which resolves them: to the files that wait in their staging folders, in this process alone.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from bifrost.context import ContextSnapshot
from bifrost.forks import Mutex
from bifrost.model.reply import Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution

_LIFETIME_S: Final = 60.0

_mutex: Final = Mutex()
_paths: Final[dict[str, str]] = {}


@contextlib.contextmanager
def versions(paths: Mapping[str, str]) -> Iterator[None]:
    """Have the references of *paths* lead to its files, for every thread, as long as the block lasts."""
    with _mutex:
        _paths.update(paths)
    try:
        yield
    finally:
        with _mutex:
            for reference in paths:
                _paths.pop(reference, None)


def answered(references: Iterable[str], ask: Callable[[list[str]], Reply]) -> Reply:
    """Return the answers to *references*: of those that are coming their files, else what *ask* says."""
    asked = list(references)
    if not _paths:
        return ask(asked)
    with _mutex:
        found: dict[str, Any] = {ref: _paths[ref] for ref in asked if ref in _paths}
    answers = {ref: _resolution(ref, path) for ref, path in found.items()}
    if others := [ref for ref in asked if ref not in answers]:
        answers.update(ask(others).items())
    request = Request(Operation.RESOLVE, tuple(asked), ContextSnapshot({}, ""))
    return Reply.by_reference(request, answers.__getitem__)


def _resolution(reference: str, path: str) -> Any:
    return Resolution(reference, path, expires=time.time() + _LIFETIME_S)
