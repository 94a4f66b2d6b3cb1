# SPDX-License-Identifier: Apache-2.0
"""
What tests of Bifrost, and of things written for it, need: clocks, fakes, conformance suites.

Importing this imports no test framework; `TierSuite` needs pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bifrost.testing.clock import Clock
    from bifrost.testing.tier_suite import TierSuite

__all__ = ["Clock", "TierSuite"]

_HOMES: Final = {"Clock": "bifrost.testing.clock", "TierSuite": "bifrost.testing.tier_suite"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "TierSuite":
        import pytest

        # pytest shows the values of a failed assert only in modules that it knows for tests.
        pytest.register_assert_rewrite(_HOMES[name])
    return getattr(import_module(_HOMES[name]), name)
