# SPDX-License-Identifier: Apache-2.0
"""
The plugin itself, built for the sanitizers, in real processes: an application in C++, and Python.

Both call every entry point of ArResolver from many threads (test_ar_calls.py) and check the answers; here
the sanitizers check besides. `make sanitize` goes on for longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bifrost
from bifrost.usd import env

sys.path.insert(0, str(Path(__file__).parent))
from ar_world import PATIENCE, write_world
from sanitizer_reports import own_reports

HERE = Path(__file__).parent
LIMIT_S = 280.0
THREADS = 8
STEPS = 15
THREAD = "thread"
KINDS = ["address,undefined", THREAD]


@pytest.fixture(params=KINDS)
def built(request: pytest.FixtureRequest, cpp_build) -> tuple[str, Path]:
    """The sanitizers, and the folder of the programs that were built for them."""
    kind: str = request.param
    # Building the plugin for one takes longer than everything else that is built for the tests; its
    # core and its pins are tried under the sanitizers every day (test_core.py, test_pins.py).
    if request.config.getoption("rounds") is None:
        pytest.skip("`make sanitize`, or --rounds")
    name = kind.replace(",", "-")
    for target in ("bifrost", "ar_calls", "ar_calling"):
        folder: Path = cpp_build(name, f"-DBIFROST_SANITIZE={kind}", target=target)
    return kind, folder


@pytest.fixture
def environment(
    built: tuple[str, Path], application: dict[str, str], tmp_path: Path
) -> dict[str, str]:
    """What a process needs to find that plugin; and how the sanitizers shall behave in it."""
    plugin = {"BIFROST_PLUGIN_DIR": str(built[1].parents[1])}
    return {
        **application,
        **PATIENCE,
        **plugin,
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": str(Path(bifrost.__file__).parents[1]),
        "PXR_PLUGINPATH_NAME": str(env.description(environ=plugin, output=tmp_path / "plug")),
        # Python and OpenUSD keep what they have until the process ends.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=66",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=66",
        # What others do is reported, too: reports are read, not counted by the exit code.
        "TSAN_OPTIONS": f"suppressions={HERE / 'thread_sanitizer.supp'}:exitcode=0:history_size=4",
    }


def preloaded(kind: str) -> str:
    """Return what a Python that was not built for a sanitizer has to load before everything else."""
    names = ["libtsan.so"] if kind == THREAD else ["libasan.so", "libubsan.so"]
    compiler = os.environ.get("CXX", "c++")
    return ":".join(
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        # An exception is thrown through the sanitizer's own function, which looks for the library's.
        for name in [*names, "libstdc++.so.6"]
    )


def run_rounds(
    command: Callable[[int], list[str | Path]], environment: dict[str, str], numbers: range
) -> None:
    """Run a process for each round; fail where an answer is wrong or a sanitizer found something."""
    for number in numbers:
        done = subprocess.run(
            command(number), env=environment, capture_output=True, text=True, timeout=LIMIT_S,
            check=False,
        )  # fmt: skip

        assert [] == own_reports(done.stderr), f"--seed {number}"
        assert (0, "ok\n") == (done.returncode, done.stdout), f"--seed {number}: {done.stderr}"


def test_the_sanitizers_find_nothing_in_an_application_in_cpp(
    built: tuple[str, Path], environment: dict[str, str], tmp_path: Path, rounds, seed: int
) -> None:
    """
    The application was built for them as well.
    """
    world = write_world(tmp_path)

    def command(number: int) -> list[str | Path]:
        options = ("--threads", str(THREADS), "--steps", str(STEPS), "--seed", str(number))
        return [built[1] / "ar_calls", *options, world]

    run_rounds(command, environment, range(seed, seed + rounds(1)))


def test_the_sanitizers_find_nothing_in_a_python_process(
    built: tuple[str, Path], environment: dict[str, str], tmp_path: Path, rounds, seed: int
) -> None:
    """
    Python and OpenUSD were not built for them; the plugin was.
    """
    world = write_world(tmp_path)
    environment["LD_PRELOAD"] = preloaded(built[0])

    def command(number: int) -> list[str | Path]:
        arguments = (world, str(THREADS), str(STEPS), str(number))
        return [sys.executable, HERE / "ar_callers.py", built[1] / "libar_calling.so", *arguments]

    run_rounds(command, environment, range(seed, seed + rounds(1)))


def test_reports_are_told_apart_by_who_made_the_access() -> None:
    """
    One of OpenUSD below our frames is not ours; ours within a function of the C library is.
    """
    report = (
        "WARNING: ThreadSanitizer: data race (pid=1)\n"
        "  Write of size 8 at 0x7b by thread T2:\n"
        "    #0 memcpy ../x.inc:827 (libtsan.so.2+0x5dda6)\n"
        "    #1 {first} (" + "{module}+0x1)\n"
        "    #2 below (libbifrost.so+0x2)\n\n"
        "  Previous read of size 8 at 0x7b by main thread:\n"
        "    #0 other (libusd_ms-1.so+0x3)\n\n"
        "SUMMARY: ThreadSanitizer: data race\n==================\n"
    )

    assert [] == own_reports(report.format(first="theirs", module="libusd_ms-1.so"))
    assert 1 == len(own_reports(report.format(first="ours", module="libbifrost.so")))
