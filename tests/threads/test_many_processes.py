# SPDX-License-Identifier: Apache-2.0
"""
Sixteen processes on one cache and one catalogue, that read, publish and invalidate, and are killed.

Each child says on its own file what has been acknowledged to it, one line at a time. What was
acknowledged to anybody must be there in the end, with its bytes; and no answer of anybody may be older
than what that process knew before it asked.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from bifrost.host import BifrostHostInterface
from bifrost.publishing import Draft
from bifrost.session import Session
from bifrost.settings import load

PROCESSES = 16
ASSETS = [f"asset_{number}" for number in range(8)]
LIMIT_S = 120.0
KILL_EVERY_S = 0.3
CHILD = """
import sys, threading
from pathlib import Path
from random import Random
from bifrost import ConflictException, bifrost_host
from bifrost.publishing import Draft

name, folder, *assets = sys.argv[1:]
folder = Path(folder)
rng = Random(name)
log = open(folder / (name + ".log"), "a", buffering=1)
uri = "bifrost:///assets/%s".__mod__
known = dict.fromkeys(assets, 1)

def said(path):
    asset, version = path.read_text().split()[:2]
    return asset, int(version)

def check(asset, path):
    found, version = said(path)
    assert asset == found, "asked for %s, got %s" % (asset, found)
    assert version >= known[asset], "%s: %d came after %d was known" % (asset, version, known[asset])

def resolve():
    asset = rng.choice(assets)
    check(asset, bifrost_host.resolve_asset_path(uri(asset)))

def resolve_many():
    asked = [rng.choice(assets) for _ in range(10)]
    for asset, path in zip(asked, bifrost_host.resolve_asset_paths(map(uri, asked), batch_size=3)):
        check(asset, path)

def resolve_pinned():
    asset = rng.choice(assets)
    version = rng.randint(1, known[asset])
    found = said(bifrost_host.resolve_asset_path("%s?version=%d" % (uri(asset), version)))
    assert (asset, version) == found, "%s version %d is %s" % (asset, version, found)

def publish():
    asset = rng.choice(assets)
    version = bifrost_host.get_version(uri(asset)) + 1
    file = folder / ("%s_%s_%d.txt" % (name, asset, version))
    file.write_text("%s %d %s" % (asset, version, name))
    draft = Draft(asset, asset, "notes", str(file), expected_version=version - 1)
    try:
        bifrost_host.publish([draft])
    except ConflictException:
        return
    known[asset] = max(known[asset], version)
    log.write("%s %d %s\\n" % (asset, version, name))

def invalidate():
    bifrost_host.invalidate_cache(**rng.choice(
        [{"asset_uri": uri(rng.choice(assets))}, {"prefix": uri("asset_1")}, {"everything": True}]))

work = [resolve] * 6 + [resolve_many] * 4 + [resolve_pinned] * 4 + [publish] * 3 + [invalidate]
print("begun", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
ended = threading.Event()
while not ended.is_set():
    rng.choice(work)()
tiers = bifrost_host.session.stats()["tiers"]
assert not tiers["failures"], tiers["failures"]
"""


class Crowd:
    """The processes, one killed and replaced every now and then."""

    def __init__(self, folder: Path, environment: dict[str, str], rng: Random) -> None:
        self._folder = folder
        self._environment = environment
        self._rng = rng
        self._made = 0
        self._running = [self._start() for _ in range(PROCESSES)]
        for process in self._running:
            self._await(process)

    def _start(self) -> subprocess.Popen[str]:
        self._made += 1
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, f"process_{self._made}", str(self._folder), *ASSETS],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    @staticmethod
    def _await(process: subprocess.Popen[str]) -> None:
        """Wait until *process* has begun its work."""
        begun = process.stdout.readline() if process.stdout else ""
        assert "begun\n" == begun, process.communicate()[1]

    def kill_one(self) -> None:
        """Kill one at whatever it is doing, and start another."""
        place = self._rng.randrange(PROCESSES)
        process = self._running[place]
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate()
        assert -signal.SIGKILL == process.returncode, errors
        self._running[place] = self._start()
        self._await(self._running[place])

    def end(self) -> list[str]:
        """Let all of them come to their end; return what was wrong with any."""
        wrong = []
        for process in self._running:
            _, errors = process.communicate(timeout=LIMIT_S)
            if process.returncode:
                wrong.append(errors)
        return wrong

    def give_up(self) -> None:
        """Leave none behind."""
        for process in self._running:
            process.kill()
            process.communicate()


def acknowledged(folder: Path) -> set[tuple[str, int, str]]:
    """Return every publish that anybody was told of: asset, version, process. A torn line is none."""
    rows = [
        line.split() for log in folder.glob("*.log") for line in log.read_text().split("\n")[:-1]
    ]
    return {(asset, int(version), process) for asset, version, process in rows}


@pytest.fixture
def environment(catalogue_url: str, own_home: Path, tmp_path: Path, monkeypatch) -> dict[str, str]:
    """The settings of every process; and of this one."""
    variables = {
        "BIFROST_HOME": str(own_home),
        "BIFROST_CATALOGUE__URL": catalogue_url,
        "BIFROST_CATALOGUE__LOCK_TIMEOUT_S": "60",
        "BIFROST_MANAGER__DEADLINE_S": "100",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return {**os.environ, **variables}


def test_sixteen_processes_lose_nothing_and_see_nothing_old(
    environment: dict[str, str], tmp_path: Path, seconds, seed: int
) -> None:
    """
    While one of them is killed every third of a second.
    """
    folder = tmp_path / "files"
    folder.mkdir()
    host = BifrostHostInterface(Session(load(environment)))
    for asset in ASSETS:
        file = folder / f"{asset}.txt"
        file.write_text(f"{asset} 1 nobody")
        host.publish([Draft(asset, asset, "notes", str(file))])
    crowd = Crowd(folder, environment, Random(seed))
    try:
        end = time.monotonic() + seconds(2.0)
        while time.monotonic() < end:
            time.sleep(KILL_EVERY_S)
            crowd.kill_one()
        wrong = crowd.end()
    finally:
        crowd.give_up()

    assert [] == wrong, f"--seed {seed}: {wrong[0]}"
    host.invalidate_cache(everything=True)
    told = acknowledged(folder)
    assert told, "nobody published anything"
    for asset, version, process in sorted(told):
        path = host.resolve_asset_path(f"bifrost:///assets/{asset}?version={version}")
        assert f"{asset} {version} {process}" == path.read_text(), f"--seed {seed}"
    for asset in ASSETS:  # no version is missing below the newest, and none is torn
        newest = host.get_version(f"bifrost:///assets/{asset}")
        versions = host.session.catalogue.versions(asset)
        assert [*range(1, newest + 1)] == sorted(each.number for each in versions)
    problems = host.session.catalogue.check(repair=True)
    assert [] == [each for each in problems if not each.repaired], f"--seed {seed}"
    assert [] == host.session.catalogue.check(), f"--seed {seed}"
    host.session.close()
