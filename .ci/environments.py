# SPDX-License-Identifier: Apache-2.0
"""Python environments of their own, in which the wheel and the matrix are tried."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / ".ci" / "requirements"
# What a person's shell sets for other work must not change what happens in an environment.
FOREIGN = ("PYTHON", "PIP_CONSTRAINT", "PXR_", "BIFROST_", "OPENASSETIO_", "SKBUILD_", "PYTEST_")
PROBE = """
import ensurepip, os, sys, sysconfig, venv
ensurepip.version()
os.stat(os.path.join(sysconfig.get_path("include"), "Python.h"))
print("%d.%d.%d" % sys.version_info[:3])
"""


class CouldNotBeHad(Exception):
    """Something that the machine or the network does not have."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs and has what an environment and a build need."""

    program: str
    version: str


def interpreter(minor: str) -> Interpreter:
    """
    Return a Python of version *minor*, such as `3.12`: on the PATH, or one that pyenv keeps.

    A name on the PATH may be a shim that leads nowhere, so each is tried.

    Raises:
        CouldNotBeHad: none runs, or it has no headers or no venv.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(pyenv.glob(f"versions/{minor}.*/bin/python{minor}"))
    reasons = []
    for program in filter(None, (shutil.which(f"python{minor}"), *map(str, kept))):
        done = subprocess.run(
            [program, "-c", PROBE], capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode == 0:
            return Interpreter(program, done.stdout.strip())
        reasons.append(f"{program}: {(done.stderr.strip() or 'does not run').splitlines()[-1]}")
    raise CouldNotBeHad("; ".join(reasons) or f"no python{minor} on the PATH")


class Environment:
    """
    An empty environment in *folder*, made anew.

    Everything that it runs is written to *log*, and nothing of this process's own environment that
    is about Python or USD reaches it.
    """

    def __init__(self, folder: Path, base: Interpreter, log: Path) -> None:
        self.folder = folder
        self.base = base
        self.log = log
        self.python = folder / "bin" / "python"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("", encoding="utf-8")
        if self.run([base.program, "-m", "venv", "--clear", str(folder)]).returncode != 0:
            raise CouldNotBeHad(f"python -m venv fails; see {log}")

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        minor = ".".join(self.base.version.split(".")[:2])
        return self.folder / "lib" / f"python{minor}" / "site-packages"

    def run(
        self, command: Sequence[str | Path], *, cwd: Path = ROOT, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run *command*; variables of *environ* that are "" are not set at all."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        changed = {"PYTHONNOUSERSITE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", **environ}
        done = subprocess.run(
            list(map(str, command)),
            cwd=cwd,
            env={k: v for k, v in {**clean, **changed}.items() if v},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(map(str, command))}\n{done.stdout}{done.stderr}\n")
        return done

    def install(self, *what: str | Path) -> None:
        """
        Install packages from the index.

        Raises:
            CouldNotBeHad: pip can't get one.
        """
        done = self.run([self.python, "-m", "pip", "install", "--quiet", "--no-input", *what])
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
            raise CouldNotBeHad(said[-1].removeprefix("ERROR: ") if said else f"see {self.log}")

    def install_locked(self, *groups: str, without: str = "") -> None:
        """
        Install what the lock files of *groups* list, from no other file than they hash.

        Raises:
            CouldNotBeHad: pip can't get one.
        """
        for group in groups:
            text = (LOCKS / f"{group}.txt").read_text(encoding="utf-8")
            if without:
                text = re.sub(rf"(?m)^{re.escape(without)}==.*\n(?:    --hash.*\n)*", "", text)
            wanted = self.folder / f"{group}.txt"
            wanted.write_text(text, encoding="utf-8")
            self.install("--require-hashes", "--requirement", wanted)
