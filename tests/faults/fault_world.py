# SPDX-License-Identifier: Apache-2.0
"""A process at work on servers that can be told to misbehave: what a row of the fault matrix needs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from fault_operations import FRESH, NAMES, ROOTS
from faults_to_order import Fault, Site

from bifrost.host import BifrostHostInterface
from bifrost.publishing import Draft
from bifrost.session import Session
from bifrost.settings import load
from bifrost.testing import managers
from bifrost.testing.managers import Controls
from bifrost.testing.show import layer
from bifrost.usd import env

PREFIX: Final = "bifrost:///assets/"
# Nobody's promise: whoever hasn't answered by then hangs, on a machine that is busy with other things, too.
HANGS_S: Final = 60.0
START_S: Final = 60.0


class World:
    """
    A home, a catalogue or a manager, a process that works with it, and a site for what goes wrong.

    A context manager.

    Args:
        folder: For everything.
        site: What is told to misbehave.
        variables: The process's environment, besides.
        prefix: What references begin with.
    """

    def __init__(
        self, folder: Path, site: Site, variables: Mapping[str, str], prefix: str = PREFIX
    ) -> None:
        self.site = site
        self._folder = folder
        self._variables = {**_PLAIN, "BIFROST_HOME": str(folder / "home"), **variables}
        self._prefix = prefix
        for number in (1, 2):
            for name in NAMES:
                path = self._path(name, number)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(layer(value=str(path)))
        (folder / "published.usda").write_text(layer(value="published"))
        for root, names in ROOTS.items():
            references = tuple(prefix + name for name in names)
            (folder / root).write_text(layer(references=references))

    def __enter__(self) -> Self:
        truth = {name: [str(self._path(name, number)) for number in (1, 2)] for name in NAMES}
        told = json.dumps([self._prefix, str(self._folder), truth])
        with (self._folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("fault_operations.py")), told],
                env={**env.variables(["faulty"]), **_inherited(), **self._variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        prepared = self.asked("prepare", START_S)
        assert prepared == "done", f"{prepared}\n{self.said()}"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(HANGS_S)
        finally:
            self._process.kill()
            self._process.wait()

    def outcome(self, operation: str, fault: Fault) -> str:
        """Return what comes of *operation* during *fault*."""
        if operation == "refresh":
            self.move()
        with fault(self.site):
            return self.asked(operation, HANGS_S)

    def asked(self, operation: str, limit_s: float) -> str:
        """Have the process do something; `HANGS`, and it is killed, where it isn't done in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(operation, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            return "GONE"
        ready, _, _ = select.select([self._process.stdout], [], [], limit_s)
        if not ready:
            self._process.kill()
            return "HANGS"
        line = self._process.stdout.readline()
        return str(json.loads(line)) if line else "GONE"

    def move(self) -> None:
        """Give what the shown stage shows a new version."""
        raise NotImplementedError

    def said(self) -> str:
        """Return what the process wrote to stderr, its end."""
        return (self._folder / "log").read_text()[-3000:]

    def _path(self, name: str, number: int) -> Path:
        return self._folder / f"v{number}" / name


class CatalogueWorld(World):
    """
    Over our own manager, with a catalogue of its own.

    Args:
        catalogue: Its URL for the process.
        past: Its URL past the proxy.
    """

    def __init__(
        self, folder: Path, site: Site, catalogue: str, past: str = "", redis: str = ""
    ) -> None:
        variables = {"BIFROST_CATALOGUE__URL": catalogue}
        if redis:
            variables["BIFROST_CACHE__DISTRIBUTED_URL"] = redis
        super().__init__(folder, site, variables)
        publisher = {"BIFROST_HOME": str(folder / "publisher")}
        self._session = Session(load({**publisher, "BIFROST_CATALOGUE__URL": past or catalogue}))
        self._host = BifrostHostInterface(self._session)

    def __enter__(self) -> Self:
        self._host.publish([self._draft(name, 1) for name in NAMES])
        for name in FRESH:
            self._host.add_relationship(f"{PREFIX}hub.usda", PREFIX + name)
        return super().__enter__()

    def __exit__(self, *exception: object) -> None:
        try:
            super().__exit__(*exception)
        finally:
            self._session.close()

    def move(self) -> None:
        """Publish another version of the asset."""
        self._host.publish([self._draft("shown.usda", 2)])

    def _draft(self, name: str, number: int) -> Draft:
        metadata = {"made_for": "queries"} if name == "hub.usda" else {}
        path = str(self._path(name, number))
        return Draft(name, name, "layer", path, metadata=metadata, in_place=True)


class ManagerWorld(World):
    """Over another manager, behind OpenAssetIO."""

    def __init__(self, folder: Path) -> None:
        controls = Controls(folder / "controls")
        variables = managers.install(folder, files=folder / "v1", controls=str(controls.directory))
        super().__init__(folder, Site(controls=controls), variables, managers.PREFIX)

    def move(self) -> None:
        """Let files be elsewhere."""
        self.site.controls.set(files=str(self._folder / "v2"))


_PLAIN: Final = {
    "BIFROST_CACHE__NEGATIVE_TTL_S": "0.05",
    "BIFROST_CACHE__FOLLOW_S": "0.2",
    "BIFROST_MANAGER__DEADLINE_S": "2",
    "BIFROST_MANAGER__MAX_WORKERS": "32",
    "BIFROST_RETRY__BASE_S": "0.01",
    # Each cell by itself: what failed in one opens no breaker for the next.
    "BIFROST_BREAKER__FAILURES": "1000",
    "BIFROST_CATALOGUE__LOCK_TIMEOUT_S": "1",
    "BIFROST_CATALOGUE__STATEMENT_TIMEOUT_S": "1",
}


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PXR_PLUGINPATH_NAME"}
