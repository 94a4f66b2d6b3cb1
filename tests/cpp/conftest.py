# SPDX-License-Identifier: Apache-2.0
"""Builds the C++ test programs, once for a test run, and says what they find the plugin by."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import bifrost
from bifrost.usd import env

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


@pytest.fixture
def application(own_home: Path) -> dict[str, str]:
    """The environment in which an application in C++ finds the plugin, and no more than it needs."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BIFROST"))}
    packages = [str(Path(bifrost.__file__).parents[1]), sysconfig.get_path("purelib")]
    return {
        **clean,
        # A Python that an application starts looks there for the environment that it belongs to.
        "PATH": os.defpath,
        "BIFROST_HOME": str(own_home),
        "BIFROST_PYTHONPATH": os.pathsep.join(packages),
        "PXR_PLUGINPATH_NAME": str(env.description()),
    }


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
