# SPDX-License-Identifier: Apache-2.0
"""
Build what is released, and try it as whoever gets it would: `make wheel`.

The wheel is built from the source distribution, so that this is whole too; then an empty environment
without a compiler installs it and runs `bifrost demo` in it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from environments import ROOT, CouldNotBeHad, Environment, Interpreter

DIST = ROOT / "dist"
TRIAL = ROOT / "build" / "wheel-trial"


def source_distribution() -> Path:
    """Write the source distribution into dist/ and return it."""
    script = "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-c", script, str(DIST)], cwd=ROOT, check=True)
    (found,) = DIST.glob("bifrost_usd-*.tar.gz")
    return found


def wheel(source: Path) -> Path:
    """Write the wheel of a source distribution into dist/ and return it."""
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    how = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(DIST)]
    with tempfile.TemporaryDirectory() as folder, tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
        (unpacked,) = Path(folder).iterdir()
        subprocess.run([*pip, *how, str(unpacked)], check=True)
    (found,) = DIST.glob("bifrost_usd-*.whl")
    return found


def tried(built: Path) -> str:
    """Install the wheel into an empty environment, and return what `bifrost demo` says last."""
    version = ".".join(map(str, sys.version_info[:3]))
    environment = Environment(
        TRIAL, Interpreter(sys.executable, version), TRIAL.with_suffix(".log")
    )
    environment.install_locked("run")
    environment.install("--no-deps", built)
    said = ""
    # Nothing on the PATH but what the environment has: no compiler, and not this repository's bifrost.
    path = str(TRIAL / "bin")
    with tempfile.TemporaryDirectory() as folder:
        for command in (
            ["python", "-m", "pip", "check"],
            ["bifrost", "--version"],
            ["bifrost", "demo", "--samples", ROOT / "usd_samples"],
        ):
            done = environment.run(
                [TRIAL / "bin" / command[0], *command[1:]], cwd=folder, PATH=path
            )
            if done.returncode != 0:
                sys.exit(
                    f"make wheel: FAILED: {command[1]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
                )
            said = done.stdout.strip().splitlines()[-1]
    return said


def main() -> None:
    """Build and try."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    source = source_distribution()
    built = wheel(source)
    for path in (source, built):
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")
    try:
        print(f"in an empty environment: {tried(built)}")
    except CouldNotBeHad as error:
        sys.exit(f"make wheel: built, and not tried: {error}")


if __name__ == "__main__":
    main()
