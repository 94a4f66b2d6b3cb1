# SPDX-License-Identifier: Apache-2.0
"""
Every entry point of ArResolver from 8 and from 32 threads, in any order: no hang, no wrong answer.

What OpenUSD does when it hangs can't be seen from inside, so each round is a process with a hard
limit. `--rounds 200` makes it 200 for each; `--seed` is the first round's.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pxr import Ar

sys.path.insert(0, str(Path(__file__).parent))
from ar_world import PATIENCE, write_world

CALLERS = Path(__file__).with_name("ar_callers.py")
RESOLVER_H = Path(__file__).resolve().parents[2] / "resolver" / "resolver.h"
LIMIT_S = 120.0
STEPS = 12


@pytest.fixture
def programs(cpp_build) -> Path:
    """The folder of the C++ programs."""
    for target in ("ar_calls", "ar_calling"):
        folder: Path = cpp_build("plain", "-DBIFROST_SANITIZE=", target=target)
    return folder


@pytest.fixture
def numbers(rounds, seed: int) -> range:
    """The rounds, each by its seed."""
    return range(seed, seed + rounds(1))


@pytest.fixture
def world(own_home: Path, tmp_path: Path) -> Path:
    """What each reference is in each context."""
    return write_world(tmp_path)


def entry_points() -> set[str]:
    """Return ArResolver's public methods, from OpenUSD's header."""
    wheel = importlib.metadata.distribution("pxr-ar-dev")
    header = Path(str(wheel.locate_file("pxr-ar/include/pxr/ar/resolver.h"))).read_text()
    public = re.search(r"^public:(.*?)^protected:", header, re.MULTILINE | re.DOTALL)
    assert public
    return set(re.findall(r"^    AR_API\n    [\w:<>]+ (\w+)\(", public[1], re.MULTILINE))


def test_every_entry_point_is_called(programs: Path) -> None:
    """
    What OpenUSD's header declares, what its bindings have, and what we override: a new one fails here.
    """
    done = subprocess.run(
        [programs / "ar_calls", "--names"], capture_output=True, text=True, check=True
    )
    called = set(done.stdout.split())
    overridden = set(re.findall(r"\b_(\w+)\([^;]*\) (?:const )?override", RESOLVER_H.read_text()))
    bound = {name for name in dir(Ar.Resolver) if not name.startswith("_")}
    named = subprocess.run(
        [sys.executable, CALLERS, "--names"], capture_output=True, text=True, check=True
    )

    assert entry_points() == called
    assert set() == overridden - called
    assert bound == set(named.stdout.split())


@pytest.fixture
def environment(application: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """What a process in C++ needs, on a machine that may be busy with other things."""
    return {**application, **PATIENCE, "TMPDIR": str(tmp_path)}


@pytest.mark.parametrize("threads", [8, 32])
def test_an_application_in_cpp_gets_right_answers_on_every_thread(
    programs: Path, world: Path, environment: dict[str, str], numbers: range, threads: int
) -> None:
    """
    A process without a Python of its own, as renderers are.
    """
    for number in numbers:
        options = ("--threads", str(threads), "--steps", str(STEPS), "--seed", str(number))
        done = subprocess.run(
            [programs / "ar_calls", *options, world],
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

        assert (0, "ok\n") == (done.returncode, done.stdout), f"--seed {number}: {done.stderr}"


@pytest.mark.parametrize("threads", [8, 32])
def test_python_threads_get_right_answers_with_the_gil_and_without_it(
    programs: Path, world: Path, run_python, tmp_path: Path, numbers: range, threads: int
) -> None:
    """
    Through the bindings, and from C++ that holds the GIL or doesn't, at once.
    """
    source = f"import runpy; runpy.run_path({str(CALLERS)!r}, run_name='__main__')"
    library = programs / "libar_calling.so"
    for number in numbers:
        arguments = (library, world, threads, STEPS, number)
        done = run_python(
            source,
            *arguments,
            env={**PATIENCE, "TMPDIR": str(tmp_path)},
            check=False,
            limit_s=LIMIT_S,
        )

        assert (0, "ok\n") == (done.returncode, done.stdout), f"--seed {number}: {done.stderr}"
