# SPDX-License-Identifier: Apache-2.0
"""Pins in C++ alone: the reader under the sanitizers, and an application that has no Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bifrost.testing.show import Show, layer
from bifrost.usd import env
from bifrost.usd.pinning import pin

LIMIT_S = 60.0


@pytest.mark.parametrize("sanitize", ["", "address,undefined"])
def test_pins_are_read_by_many_threads_and_damage_harms_nobody(
    cpp_build, tmp_path: Path, sanitize: str
) -> None:
    """
    Files good and bad, files that are gone, folders of other sites. Not under the thread sanitizer,
    which finds in OpenUSD and TBB what they were not built to be asked.
    """
    name = sanitize.replace(",", "-") or "plain"
    folder = cpp_build(name, f"-DBIFROST_SANITIZE={sanitize}", target="core_programs")
    program = folder / "pins_test"
    if not program.exists():
        pytest.skip("this Python has no shared libpython to build a C++ application with")

    done = subprocess.run(
        [str(program), str(tmp_path)],
        env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert (0, "ok\n") == (done.returncode, done.stdout), done.stderr[-4000:]


def test_an_application_without_python_resolves_from_pins_and_starts_none(
    cpp_build, show: Show, own_home: Path, tmp_path: Path
) -> None:
    """
    Eight threads, what is pinned and what is not: no interpreter, no package, no home.
    """
    program = cpp_build("plain", "-DBIFROST_SANITIZE=") / "cpp_host"
    if not program.exists():
        pytest.skip("this Python has no shared libpython to build a C++ application with")
    leaf = show.publish("leaf.usda", layer())
    pins = tmp_path / "leaf.pins.json"
    pin(leaf).save(pins)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "BIFROST"))}
    nothing = "bifrost:///assets/nothing"

    done = subprocess.run(
        [str(program), "--threads", "8", "--python", leaf, nothing, leaf.upper()[:7] + leaf[7:]],
        env={
            **clean,
            "BIFROST_HOME": str(tmp_path / "untouched"),
            "BIFROST_PYTHONPATH": str(tmp_path / "nowhere"),
            "BIFROST_PINS": str(pins),
            "PXR_PLUGINPATH_NAME": str(env.description()),
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    path = show.path("leaf.usda", 1)
    assert [
        f"{leaf} -> {path}",
        f"{nothing} -> ",
        f"BIFROST{leaf[7:]} -> {path}",
        "no python",
    ] == done.stdout.splitlines(), done.stderr
    assert 1 == done.stderr.count("does not pin it")
    assert not (tmp_path / "untouched").exists()
