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
    """

    resolve_loop: Path
    everything_changed: Path
    empty_plugin: Path


def build(directory: Path) -> Native:
    """
    Return the libraries, compiled into *directory* where they are older than their source.

    Raises:
        RuntimeError: no compiler, or it failed; the message is what it said.
    """
    empty_plugin = directory / "empty_plugin"
    empty_plugin.mkdir(parents=True, exist_ok=True)
    _compile(_HERE / "empty_resolver.cpp", empty_plugin / "libempty.so")
    (empty_plugin / "plugInfo.json").write_text(json.dumps(_PLUG_INFO, indent=4))
    resolve_loop = directory / "libresolve_loop.so"
    _compile(_HERE / "resolve_loop.cpp", resolve_loop)
    everything_changed = directory / "libeverything_changed.so"
    _compile(_HERE / "everything_changed.cpp", everything_changed)
    return Native(resolve_loop, everything_changed, empty_plugin)


_PLUG_INFO: Final = {
    "Plugins": [
        {
            "Info": {
                "Types": {
                    "BifrostBenchEmptyResolver": {
                        "bases": ["ArResolver"],
                        "uriSchemes": [EMPTY_SCHEME],
                    }
                }
            },
            "LibraryPath": "libempty.so",
            "Name": "bifrostBenchEmpty",
            "ResourcePath": ".",
            "Root": ".",
            "Type": "library",
        }
    ]
}


def _compile(source: Path, library: Path) -> None:
    newest = max(path.stat().st_mtime for path in (source, _RESOLVER / "usd.h"))
    if library.is_file() and library.stat().st_mtime > newest:
        return
    _, usd_library, *includes = _wheels()
    includes.append(sysconfig.get_path("include"))
    _run(
        [
            _compiler(), "-std=c++17", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-w",
            "-DPXR_PYTHON_SUPPORT_ENABLED=1",
            f"-I{_RESOLVER}",
            *(f"-isystem{include}" for include in includes),
            str(source), usd_library, "-pthread", "-o", str(library),
        ]
    )  # fmt: skip


def _wheels() -> list[str]:
    """Return what the plugin's own build takes: version, library, include folders."""
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
