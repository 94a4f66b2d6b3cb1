# SPDX-License-Identifier: Apache-2.0
"""Lets nobody in, to a cache either, who doesn't prove what has to be proved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bifrost.context import ContextSnapshot
from bifrost.errors import PermissionDeniedException
from bifrost.model.reply import Failure, Reply
from bifrost.model.request import Request
from bifrost.pipeline.handler import Handler


class Authenticate:
    """
    Passes a request on as that of whom its token proves to ask.

    In front of the caches: they hold answers for longer than a token is valid.

    Args:
        inner: What is asked.
        authenticate: Returns the snapshot of who asks, verified; raises `PermissionDeniedException`.
    """

    def __init__(
        self, inner: Handler, authenticate: Callable[[ContextSnapshot], ContextSnapshot]
    ) -> None:
        self._inner = inner
        self._authenticate = authenticate

    def handle(self, request: Request) -> Reply:
        """Pass *request* on; or fail each element, where who asks is refused."""
        try:
            context = self._authenticate(request.context)
        except PermissionDeniedException as error:
            failure = Failure(error.code, error.message, details=error.details)
            return Reply.of(request, failure)
        if context is request.context:
            return self._inner.handle(request)
        return Reply(request, self._inner.handle(replace(request, context=context)).outcomes)
