# SPDX-License-Identifier: Apache-2.0
"""
Try the same sources with every OpenUSD and Python that can be had here: `make test-matrix`.

Each cell has an environment of its own under build/matrix, into which the project is built and in
which the tests run that depend on OpenUSD or Python. One line for each says whether it passed, failed
(then exit code 1) or could not be had, and why.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from environments import ROOT, CouldNotBeHad, Environment, interpreter

MATRIX = ROOT / "build" / "matrix"
PYTHONS = ("3.11", "3.12", "3.13")
DEFAULT = PYTHONS[0]
USD_CORE = "26.8"
USD_EXCHANGE = "3.0.1"
# The plugin is built for none of these: one that is older, one that is newer.
FOREIGN_USD_CORES = ("26.5", "26.11")
TESTS = (
    "tests/cpp/test_core.py", "tests/cpp/test_pins.py", "tests/cpp/test_cpp_host.py",
    "tests/cpp/test_openusd_installation.py", "tests/cpp/test_loader.py",
    "tests/usd/test_traps.py", "tests/usd/test_counts.py", "tests/usd/test_contexts.py",
    "tests/usd/test_stage_opening.py", "tests/usd/test_refresh.py", "tests/usd/test_pins_resolver.py",
    "tests/usd/test_publish_through_resolver.py", "tests/unit/test_cli_demo.py",
)  # fmt: skip
OPEN = """
import sys
from pxr import Tf, Usd
try:
    Usd.Stage.Open(sys.argv[1])
except Tf.ErrorException:
    pass
stage = Usd.Stage.Open(sys.argv[1])
print(len(list(stage.Traverse())))
"""
SHOT = '#usda 1.0\ndef "plain" {}\ndef "ours" (references = @bifrost:///assets/x@) {}\n'


class Failed(Exception):
    """A cell that could be had, and does not work."""


@dataclass(frozen=True)
class Cell:
    """One combination: its name, and what to do, which returns what to say of it."""

    name: str
    try_: Callable[[], str]


def cells() -> Iterator[Cell]:
    """Yield every cell, the default first."""
    for minor in PYTHONS:
        yield Cell(f"usd-core {USD_CORE}, Python {minor}", lambda minor=minor: whole(minor))
    yield Cell(f"usd-exchange {USD_EXCHANGE}, Python {DEFAULT}", split)
    for version in FOREIGN_USD_CORES:
        name = f"usd-core {version}, plugin for {USD_CORE}"
        yield Cell(name, lambda version=version: refused(version))


@cache
def built(minor: str) -> Environment:
    """Return the environment with usd-core and the project, for Python *minor*."""
    environment = made(f"usd-core-py{minor}", minor)
    environment.install_locked("build", "run", "test")
    build(environment)
    return environment


def whole(minor: str) -> str:
    """Try usd-core with Python *minor*."""
    return tested(built(minor))


def split() -> str:
    """Try usd-exchange: OpenUSD in split libraries, which nothing else may be beside."""
    environment = made("usd-exchange", DEFAULT)
    environment.install_locked("build", "run", "test", without="usd-core")
    environment.install(f"usd-exchange=={USD_EXCHANGE}")
    build(environment)
    return tested(environment)


def refused(version: str) -> str:
    """Try the plugin in a usd-core that it isn't built for: told, and nothing else happens."""
    home = built(DEFAULT)
    environment = made(f"usd-core-{version}", DEFAULT)
    environment.install(f"usd-core=={version}")
    # Behind its own packages, so that everything but OpenUSD is the other environment's.
    (environment.packages / "behind.pth").write_text(f"{home.packages}\n", encoding="utf-8")
    doctor = environment.run([environment.python, "-m", "bifrost.cli", "doctor", "--json"])
    findings = {each["part"]: each["text"] for each in json.loads(doctor.stdout)}
    expect("doctor's exit code", 1, doctor.returncode)
    said = f"built for OpenUSD {USD_CORE}, and this is {version}"
    expect("doctor on versions", True, said in findings["versions"])

    shot = environment.folder / "shot.usda"
    shot.write_text(SHOT, encoding="utf-8")
    plugin = home.packages / "bifrost" / "plugin"
    opened = environment.run(
        [environment.python, "-c", OPEN, shot], PXR_PLUGINPATH_NAME=str(plugin)
    )
    expect("a stage's exit code", 0, opened.returncode)
    expect("the prims of a stage", "2", opened.stdout.strip())
    said = f"built for OpenUSD {USD_CORE}, and this process has OpenUSD {version}"
    expect("what loading says", True, said in opened.stderr)
    return "refused, with both versions named, by doctor and at load"


def made(name: str, minor: str) -> Environment:
    return Environment(MATRIX / name, interpreter(minor), MATRIX / "logs" / f"{name}.log")


def build(environment: Environment) -> None:
    """Build the project in it, and install it there."""
    pip = [environment.python, "-m", "pip", "install", "--quiet", "--no-deps"]
    how = ["--no-build-isolation", f"--config-settings=build-dir={environment.folder}/build"]
    if environment.run([*pip, *how, str(ROOT)], PATH=path_of(environment)).returncode != 0:
        raise Failed(f"it does not build; see {environment.log}")


def tested(environment: Environment) -> str:
    """Run the tests in it, and return their last line."""
    pytest = [environment.python, "-m", "pytest", "-q", "-n", "auto", "-p", "no:cacheprovider"]
    # What the C++ tests build is this environment's, too.
    done = environment.run(
        [*pytest, *TESTS],
        PATH=path_of(environment),
        BIFROST_TEST_BUILDS=str(environment.folder / "cpp-tests"),
    )
    last = (done.stdout.strip() or "pytest printed nothing").splitlines()[-1].strip("= ")
    if done.returncode != 0:
        raise Failed(f"{last}; see {environment.log}")
    return f"Python {environment.base.version}, {last}"


def path_of(environment: Environment) -> str:
    """Return the PATH with the environment's own programs first: cmake and ninja."""
    return os.pathsep.join([str(environment.folder / "bin"), os.environ["PATH"]])


def expect(what: str, expected: object, actual: object) -> None:
    if expected != actual:
        raise Failed(f"{what}: expected {expected!r}, got {actual!r}")


def outcome(cell: Cell) -> tuple[str, str]:
    """Return `passed`, `failed` or `could not be had`, and what there is to say."""
    try:
        return "passed", cell.try_()
    except CouldNotBeHad as error:
        return "could not be had", str(error)
    except Failed as error:
        return "failed", str(error)


def main() -> None:
    """Try the cells whose names hold the text that is given; all, without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="a part of the names of cells")
    only = parser.parse_args().only
    failures = 0
    for cell in (each for each in cells() if only in each.name):
        began = time.monotonic()
        status, said = outcome(cell)
        failures += status == "failed"
        print(f"{status:<16}  {cell.name}: {said} ({time.monotonic() - began:.0f} s)", flush=True)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
