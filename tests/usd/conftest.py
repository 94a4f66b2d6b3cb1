# SPDX-License-Identifier: Apache-2.0
"""What the tests of USD share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture
def run(request: pytest.FixtureRequest, run_python) -> Callable[..., list[str]]:
    """Run source after the module's `PRELUDE`, in a process of its own; return the lines it printed."""

    def run_source(source: str, *arguments: object, **options: object) -> list[str]:
        done = run_python(request.module.PRELUDE + source, *arguments, **options)
        return done.stdout.splitlines()

    return run_source


@pytest.fixture
def run_shown(request: pytest.FixtureRequest, run_python) -> Callable[..., Any]:
    """Likewise; return what it printed last, as JSON."""

    def run_source(source: str, *arguments: object, **options: object) -> Any:
        done = run_python(request.module.PRELUDE + source, *arguments, **options)
        return json.loads(done.stdout.splitlines()[-1])

    return run_source
