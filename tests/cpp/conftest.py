# SPDX-License-Identifier: Apache-2.0
"""Builds the C++ test programs, once for a test run."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# Each environment of `make test-matrix` has builds of its own.
BUILD = Path(os.environ.get("BIFROST_TEST_BUILDS") or REPOSITORY / "build" / "cpp-tests")


def _tool(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        pytest.fail(f"{name} is needed to build the C++ tests")
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


@pytest.fixture(scope="session")
def cpp_build() -> Callable[..., Path]:
    """Configure and build with options; return the folder of the programs."""

    def build(name: str, *options: str, target: str = "test_programs") -> Path:
        folder = BUILD / name
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:  # other test processes build too
            fcntl.flock(lock, fcntl.LOCK_EX)
            _run(
                _tool("cmake"), "-S", str(REPOSITORY), "-B", str(folder), "-G", "Ninja",
                f"-DCMAKE_MAKE_PROGRAM={_tool('ninja')}", f"-DPython3_EXECUTABLE={sys.executable}",
                "-DBIFROST_BUILD_TESTS=ON", *options,
            )  # fmt: skip
            _run(_tool("cmake"), "--build", str(folder), "--target", target)
        return folder / "resolver" / "tests"

    return build
