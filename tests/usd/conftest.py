# SPDX-License-Identifier: Apache-2.0
"""What the tests with real stages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from bifrost.testing.show import Show


@pytest.fixture
def show(own_home: Path, tmp_path: Path) -> Show:
    """An empty show, in the catalogue of the test's own home."""
    return Show(tmp_path / "show")
