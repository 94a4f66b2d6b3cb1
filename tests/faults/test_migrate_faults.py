# SPDX-License-Identifier: Apache-2.0
"""Taking an old tree over while things break: killed processes, two at once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bifrost.catalogue import Catalogue

ASSETS, VERSIONS = 250, 2
ALL = ASSETS * VERSIONS
KILLS = 3
LIMIT_S = 120.0
MAIN = "import sys; from bifrost.cli.main import main; main(sys.argv[1:])"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An old tree that takes several transactions."""
    root = tmp_path / "assets"
    for asset in range(ASSETS):
        for number in range(1, VERSIONS + 1):
            folder = root / f"asset_{asset:04}" / f"v{number:03}"
            folder.mkdir(parents=True)
            (folder / "file.txt").write_text(f"{asset} {number}")
    return root


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """What each asset depends on: the one before it."""
    path = tmp_path / "records.jsonl"
    lines = (
        json.dumps(
            {
                "id": f"asset_{asset:04}",
                "dependencies": [{"dependent_asset_id": f"asset_{asset - 1:04}"}],
            }
        )
        for asset in range(1, ASSETS)
    )
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def catalogue(catalogue_url: str) -> Iterator[Catalogue]:
    """The catalogue, as the test sees it meanwhile, on each kind of database."""
    with Catalogue.open(catalogue_url) as opened:
        yield opened


@pytest.fixture
def start(tree: Path, records: Path, catalogue_url: str) -> Iterator[Start]:
    """Start `bifrost migrate assets`; what still runs in the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MAIN, "migrate", "assets", str(tree), "--json"]
        process = subprocess.Popen(
            [*command, "--records", str(records)],
            env={**os.environ, "BIFROST_CATALOGUE__URL": catalogue_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def reached(catalogue: Catalogue, versions: int, process: subprocess.Popen[str]) -> bool:
    """Wait until the catalogue has that many versions; return whether the process still runs."""
    deadline = time.monotonic() + LIMIT_S
    while catalogue.counts()["versions"] < versions:
        assert time.monotonic() < deadline
        if process.poll() is not None:
            return False
    return process.poll() is None


def ended(process: subprocess.Popen[str]) -> dict[str, object]:
    out, err = process.communicate(timeout=LIMIT_S)
    assert 0 == process.returncode, err
    return json.loads(out)


def is_whole(catalogue: Catalogue, tree: Path) -> bool:
    """Whether every version is there once, with its file, and every relationship once."""
    found = catalogue.assets(limit=ASSETS + 1)
    for asset in found:
        there = [(each.number, each.location) for each in catalogue.versions(asset.asset_id)]
        folder = tree / asset.asset_id
        expected = [
            (number, (folder / f"v{number:03}" / "file.txt").as_uri())
            for number in range(VERSIONS, 0, -1)
        ]
        if there != expected:
            return False
    counts = catalogue.counts()
    return (ASSETS, ALL, ASSETS - 1) == tuple(
        counts[each] for each in ("assets", "versions", "relationships")
    )


def test_killed_again_and_again_nothing_is_lost_or_doubled(
    start: Start, catalogue: Catalogue, tree: Path
) -> None:
    """In the middle of registering, and in the middle of relating; each run goes on where one ended."""
    chance = random.Random(20260101)
    was_running = 0
    for turn in range(1, KILLS + 1):
        before = catalogue.counts()["versions"]
        process = start()
        # In the first batch that this run makes, or right behind it.
        was_running += reached(catalogue, min(before + 1, ALL), process)
        time.sleep(chance.uniform(0, 0.05))  # a moment that nobody chose
        process.send_signal(signal.SIGKILL)
        process.communicate()
        after = catalogue.counts()["versions"]
        assert before <= after
        # An asset comes whole or not at all.
        assert 0 == after % VERSIONS, turn

    report = ended(start())

    assert was_running
    assert ALL == report["unchanged"] + len(report["registered"])
    assert [] == report["troubles"]
    assert is_whole(catalogue, tree)
    assert [] == ended(start())["registered"]
    assert is_whole(catalogue, tree)


def test_two_at_once_come_to_what_one_does(start: Start, catalogue: Catalogue, tree: Path) -> None:
    """What one has registered the other finds; what they try together is made once."""
    first, second = start(), start()
    for process in (first, second):
        process.communicate(timeout=LIMIT_S)
        assert process.returncode in (0, 2)

    assert [] == ended(start())["troubles"]
    assert is_whole(catalogue, tree)
