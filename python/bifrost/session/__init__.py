# SPDX-License-Identifier: Apache-2.0
"""The session: what builds and owns tiers, handlers, manager and catalogue, and this process's own."""

from __future__ import annotations

from bifrost.session.process import current, current_if_any, use
from bifrost.session.session import Session

__all__ = ["Session", "current", "current_if_any", "use"]
