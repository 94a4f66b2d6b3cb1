# SPDX-License-Identifier: Apache-2.0
"""What the tests of ingest share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bifrost.catalogue import Catalogue


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    """An empty catalogue in a file of the test's own."""
    with Catalogue.open(f"sqlite:///{tmp_path / 'catalogue.sqlite'}") as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder to ingest."""
    made = tmp_path / "folder"
    made.mkdir()
    return made
