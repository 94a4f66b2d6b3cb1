# SPDX-License-Identifier: Apache-2.0
"""The port of the pipeline."""

from __future__ import annotations

from typing import Protocol

from bifrost.model.reply import Reply
from bifrost.model.request import Request


class Handler(Protocol):
    """
    Answers requests. Cache, retry, breaker and manager are all this, wrapped in one another.

    Called from any thread, from many at once.
    """

    def handle(self, request: Request) -> Reply:
        """
        Return one outcome for each reference, in order.

        An outage is a `Failure` for each element. Exceptions are for what asking again can't mend:
        a `ConfigurationError`, a defect.
        """
        ...
