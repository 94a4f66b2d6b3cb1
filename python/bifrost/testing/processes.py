# SPDX-License-Identifier: Apache-2.0
"""Another process with a host of its own, which does what it is told line by line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

_LIMIT_S: Final = 60.0
_PROGRAM: Final = """
import json, sys
from bifrost.host import bifrost_host
for line in sys.stdin:
    call, arguments, options = json.loads(line)
    try:
        answer = getattr(bifrost_host, call)(*arguments, **options)
    except Exception as error:
        answer = f"{type(error).__name__}: {error}"
    print(json.dumps(answer, default=str), flush=True)
bifrost_host.session.close()
"""


class HostProcess:
    """
    Calls of `bifrost_host` in a process of its own.

    Args:
        home: Its `BIFROST_HOME`: the same as ours is a process of this host, another is another host.
        variables: Added to our environment.
    """

    def __init__(self, home: Path, **variables: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            env={**os.environ, "BIFROST_HOME": str(home), **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """
        Return what the host's method *name* returns, as JSON can say it; of an exception the text.

        Raises:
            RuntimeError: the process is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, arguments, options]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process ended with {self._process.wait(_LIMIT_S)}")
        return json.loads(answer)

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self._process.kill()
        self._process.wait(_LIMIT_S)

    def close(self) -> None:
        """Let it close its session and end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(_LIMIT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()


def eventually(condition: Callable[[], Any], limit_s: float = 30.0) -> bool:
    """Whether *condition* comes true within *limit_s* seconds."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
