# SPDX-License-Identifier: Apache-2.0
"""A second process beside the one that is measured, which tells it when to go on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from asking import expect

_CHILD: Final = Path(__file__).parent / "child.py"


class Neighbour:
    """Another process that runs with this one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def send(self) -> None:
        """Let it begin with the next thing."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def heard(self) -> Any:
        """Return what it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        expect(bool(line), "the other process goes on")
        return json.loads(line)

    def ask(self) -> Any:
        """Send, and return the answer."""
        self.send()
        return self.heard()


@contextmanager
def neighbour(program: str, **arguments: Any) -> Iterator[Neighbour]:
    """Run *program* of `child.py` beside this process; it says when it is ready, and ends with the block."""
    with subprocess.Popen(
        [sys.executable, str(_CHILD), program, json.dumps(arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            expect(process.stdout.readline() == "ready\n", f"{program} starts")
            yield Neighbour(process)
        finally:
            process.kill()
