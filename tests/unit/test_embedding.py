# SPDX-License-Identifier: Apache-2.0
"""An application's own OpenUSD and the one beside Bifrost must not meet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = """
import os, sys
from bifrost.usd.embedding import keep_other_openusd_out
real = [folder for folder in sys.path if os.path.isdir(os.path.join(folder, "pxr"))]
keep_other_openusd_out(sys.argv[1], [sys.argv[2], *real])
sys.path.insert(0, sys.argv[2])
sys.path.extend(sys.argv[3:])
try:
    import pxr
    print(pxr.WHOSE)
except ModuleNotFoundError as error:
    print(error.name)
"""


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """A folder of wheels and an application's folder, each with a `pxr`."""
    made = {}
    for name in ("wheels", "application"):
        package = tmp_path / name / "pxr"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"WHOSE = {name!r}\n")
        made[name] = tmp_path / name
    (tmp_path / "wheels" / "usd_core.libs").mkdir()
    return made


def imported(library: Path, *arguments: Path) -> str:
    """Return whose `pxr` a process gets whose OpenUSD is *library*."""
    command = [sys.executable, "-c", SOURCE, str(library), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_the_wheels_own_openusd_has_the_wheels_pxr(folders: dict[str, Path]) -> None:
    """
    A C++ program linked to the wheel's library.
    """
    library = folders["wheels"] / "usd_core.libs" / "libusd_ms-1.so"

    assert "wheels" == imported(library, folders["wheels"])


def test_another_openusd_never_gets_the_wheels_pxr(folders: dict[str, Path]) -> None:
    """
    Importing it would load a second OpenUSD; none at all is better.
    """
    assert "pxr" == imported(Path("/opt/usd/lib/libusd_ar.so"), folders["wheels"])


def test_another_openusd_finds_its_own_pxr(folders: dict[str, Path]) -> None:
    """
    Wherever on the path it stands.
    """
    library = Path("/opt/usd/lib/libusd_ar.so")

    assert "application" == imported(library, folders["wheels"], folders["application"])
