# SPDX-License-Identifier: Apache-2.0
"""
Binary files are read in a process of its own first: OpenUSD may crash over a damaged one, or hang.

Of 300 crate files that were cut off or had up to 64 bytes changed, OpenUSD 26.8 refused most; it
crashed over one and read two without end. `survives` is asked once for each content of a file. The
process is started by the first question and answers all of them, in about the time that reading
takes; it ends with ours.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

LIMIT_S: Final = 30.0
# On top of it: what a slow disk over a slow network gives, in bytes a second.
_SLOW: Final = 5_000_000
_REMEMBERED: Final = 10_000
_ATTEMPTS: Final = 2  # a process may also be killed for somebody else's reasons


def survives(path: str | os.PathLike[str], limit_s: float = LIMIT_S) -> str:
    """
    Return "" where reading every value of a file ends well, or with an error; else what happens.

    *limit_s* is for a file of any size; large ones get more. Any thread; one file at a time. Where
    this process is no Python that could start another one, as inside some applications, files are
    taken to be sound.
    """
    stat = os.stat(path)  # noqa: PTH116  any kind of path
    key = (os.fspath(path), stat.st_ino, stat.st_size, stat.st_mtime_ns)
    with _reader.lock:
        if key not in _reader.known:
            if len(_reader.known) >= _REMEMBERED:
                _reader.known.clear()
            longest_s = limit_s + stat.st_size / _SLOW
            _reader.known[key] = _reader.ask(os.path.abspath(path), longest_s)  # noqa: PTH100
        return _reader.known[key]


class _Reader:
    """The other process."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        """Start over in a forked child: the process is its parent's."""
        self.lock = threading.Lock()
        self.known: dict[tuple[str, int, int, int], str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, path: str, limit_s: float) -> str:
        """Have *path* read; return what `survives` does."""
        trouble = ""
        for _ in range(_ATTEMPTS):
            process = self._running()
            if process is None:
                return ""
            trouble = _asked(process, path, limit_s)
            if not trouble:
                return ""
            self.close()
            if process.returncode in (-9, None):  # ours, after the time was up
                return trouble
        return trouble

    def close(self) -> None:
        """End the process, if it runs."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _running(self) -> subprocess.Popen[bytes] | None:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = _started()
        return self._process


def _started() -> subprocess.Popen[bytes] | None:
    if not Path(sys.executable or "").name.startswith("python"):
        return None
    try:
        return subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
    except OSError:
        return None


def _environment() -> dict[str, str]:
    # No resolver of ours there: a file alone is read, and nothing that it names.
    ours = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PXR_PLUGINPATH_NAME": ""}
    return {**os.environ, **ours}


def _asked(process: subprocess.Popen[bytes], path: str, limit_s: float) -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):  # it ended: there is no answer below
        process.stdin.write(json.dumps(path).encode() + b"\n")
        process.stdin.flush()
    waiting = select.poll()  # not `select`, which can't count files beyond the 1,024th
    waiting.register(process.stdout, select.POLLIN)
    if not waiting.poll(limit_s * 1_000):
        return f"reading it takes OpenUSD more than {limit_s:.0f} seconds"
    if process.stdout.readline():
        return ""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    return f"reading it ends OpenUSD's process ({process.returncode})"


_reader: Final = _Reader()
atexit.register(_reader.close)
os.register_at_fork(after_in_child=_reader.after_fork)


def main() -> None:
    """Read each file that the standard input names, and say so."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what OpenUSD prints is no answer
    for line in sys.stdin:
        with contextlib.suppress(Exception):  # an error is a good end
            for _ in _values(json.loads(line)):
                pass
        print("read", file=answers, flush=True)


def _values(path: str) -> Iterator[Any]:
    from pxr import Sdf, Usd

    layer = Sdf.Layer.OpenAsAnonymous(path)
    paths: list[Any] = []
    layer.Traverse(Sdf.Path.absoluteRootPath, paths.append)
    for each in paths:
        spec = layer.GetObjectAtPath(each)
        for key in spec.ListInfoKeys() if spec else ():
            with contextlib.suppress(Exception):
                yield spec.GetInfo(key)
    yield Usd.Stage.Open(layer, Usd.Stage.LoadNone)


if __name__ == "__main__":
    main()
