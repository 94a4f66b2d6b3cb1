# SPDX-License-Identifier: Apache-2.0
"""Refuses what a manager answers with that lies outside the allowed roots."""

from __future__ import annotations

from typing import Any

from bifrost.errors import Code
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Operation, Request
from bifrost.model.resolution import Resolution
from bifrost.model.roots import SETTING, AllowedRoots
from bifrost.pipeline.handler import Handler


class Confine:
    """
    A resolution outside the roots becomes a failure, before any cache may keep it.

    It stands between the caches and a manager; what the caches hold they check themselves (cache.py), so
    that an entry which somebody else wrote there is a miss, and the manager is asked.
    """

    def __init__(self, inner: Handler, roots: AllowedRoots) -> None:
        self._inner = inner
        self._roots = roots

    def handle(self, request: Request) -> Reply:
        """Pass the reply on, without the resolutions that lead out."""
        reply = self._inner.handle(request)
        if request.operation is not Operation.RESOLVE:
            return reply
        holds = self._roots.rule()
        outcomes: list[Any] = [
            outside(outcome.path)
            if isinstance(outcome, Resolution) and not holds(outcome.path)
            else outcome
            for outcome in reply.outcomes
        ]
        return Reply(reply.request, tuple(outcomes))


def outside(path: str) -> Failure:
    """Return the failure of a resolution to *path*."""
    return Failure(
        Code.OUTSIDE_ROOTS, f"it resolves to {path!r}, which is outside the folders of {SETTING}"
    )
