# SPDX-License-Identifier: Apache-2.0
"""Builds the benchmarks' C++ libraries against the wheels' OpenUSD, by a compiler call each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
_RESOLVER: Final = _HERE.parent / "resolver"
EMPTY_SCHEME: Final = "bifrost-bench-empty"


@dataclass(frozen=True)
class Native:
    """
    What was built.

    Attributes:
        resolve_loop: The library with `bifrost_bench_resolve`.
        everything_changed: The one with `bifrost_bench_everything_changed`.
        empty_plugin: The folder of the empty resolver's plugInfo.json.
        each_call_plugin: That of the one that makes an OpenAssetIO call for each Resolve.
    """

    resolve_loop: Path
    everything_changed: Path
    empty_plugin: Path
    each_call_plugin: Path


def build(directory: Path) -> Native:
    """
    Return the libraries, compiled into *directory* where they are older than their source.

    Raises:
        RuntimeError: no compiler, or it failed; the message is what it said.
    """
    resolve_loop = directory / "libresolve_loop.so"
    everything_changed = directory / "libeverything_changed.so"
    directory.mkdir(parents=True, exist_ok=True)
    _compile(_HERE / "resolve_loop.cpp", resolve_loop)
    _compile(_HERE / "everything_changed.cpp", everything_changed)
    return Native(
        resolve_loop,
        everything_changed,
        plugin(directory / "empty_plugin", "empty", "BifrostBenchEmptyResolver", EMPTY_SCHEME),
        plugin(
            directory / "each_call_plugin",
            "each_call",
            "BifrostBenchEachCallResolver",
            "bifrost",
            "bal",
        ),
    )


def plugin(folder: Path, name: str, resolver: str, *schemes: str) -> Path:
    """Compile `<name>_resolver.cpp` into *folder* as a plugin for *schemes*, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / f"lib{name}.so"
    _compile(_HERE / f"{name}_resolver.cpp", library)
    described = {
        "Info": {"Types": {resolver: {"bases": ["ArResolver"], "uriSchemes": list(schemes)}}},
        "LibraryPath": library.name,
        "Name": resolver,
        "ResourcePath": ".",
        "Root": ".",
        "Type": "library",
    }
    (folder / "plugInfo.json").write_text(json.dumps({"Plugins": [described]}, indent=4))
    return folder


def _compile(source: Path, library: Path) -> None:
    newest = max(path.stat().st_mtime for path in (source, _RESOLVER / "usd.h"))
    if library.is_file() and library.stat().st_mtime > newest:
        return
    _, count, *paths = _wheels()
    libraries, includes = paths[: int(count)], paths[int(count) :]
    includes.append(sysconfig.get_path("include"))
    _run(
        [
            _compiler(), "-std=c++17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-w",
            "-DPXR_PYTHON_SUPPORT_ENABLED=1",
            f"-I{_RESOLVER}",
            *(f"-isystem{include}" for include in includes),
            str(source), *libraries, "-pthread", "-o", str(library),
        ]
    )  # fmt: skip


def _wheels() -> list[str]:
    """Return what the plugin's own build takes: version, how many libraries, these, include folders."""
    script = _RESOLVER / "cmake" / "usd_wheels.py"
    return _run([sys.executable, str(script)]).strip().split(";")


def _compiler() -> str:
    wanted = os.environ.get("CXX")
    for name in (wanted,) if wanted else ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return found
    raise RuntimeError("the benchmarks need a C++ compiler: g++, clang++, or the one CXX names")


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    return done.stdout
