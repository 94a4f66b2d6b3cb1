# SPDX-License-Identifier: Apache-2.0
"""The C++ core alone: table, flights, wire format; plain and under the sanitizers."""

from __future__ import annotations

import subprocess

import pytest


@pytest.mark.parametrize("sanitize", ["", "thread", "address,undefined"])
def test_the_core_holds_and_the_sanitizers_find_nothing(cpp_build, sanitize: str) -> None:
    """
    Readers and writers at once, contexts coming and going, damaged replies.
    """
    name = sanitize.replace(",", "-") or "plain"
    folder = cpp_build(name, f"-DBIFROST_SANITIZE={sanitize}", target="core_test")

    done = subprocess.run(
        [str(folder / "core_test")], capture_output=True, text=True, timeout=240, check=False
    )

    assert (0, "ok\n") == (done.returncode, done.stdout), done.stderr[-4000:]
