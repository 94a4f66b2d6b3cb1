# SPDX-License-Identifier: Apache-2.0
"""
The C++ parsers, fuzzed under the address and undefined-behaviour sanitizers (resolver/fuzz).

Some thousands of inputs each; `--rounds 1000000` is `make fuzz`. `--seed` begins elsewhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "fuzz"))
import corpus

from bifrost.errors import Code
from bifrost.model.entity_reference import reference_for
from bifrost.model.reply import Failure
from bifrost.model.resolution import Resolution
from bifrost.testing.show import layer
from bifrost.usd import wire

TARGETS = ("reference", "json", "crate", "wire", "context", "layer", "pins")
SHORT_RUNS = 5_000
# Of a target's runs, however many were asked for. What is done until then counts, and is said.
LIMIT_S = 600
# The seed of a binary layer is 1,000 bytes long; longer inputs only take longer.
LONGEST = 2_000
HERO = reference_for("hero", 3)


def _binary_layer(folder: Path) -> bytes:
    from pxr import Sdf

    made = Sdf.Layer.CreateAnonymous(".usda")
    made.ImportFromString(layer(references=(HERO, "bal:///sky"), sublayers=(HERO,)))
    path = folder / "seed.usdc"
    made.Export(str(path))
    return path.read_bytes()


def _reply() -> bytes:
    found = Resolution(HERO, "/hero.usd", "Hero", "3", True, False, 12.5, "m", "lmdb", 99.0)
    return wire.encode([(HERO, found), ("x:a", Failure(Code.NOT_FOUND, "no such asset"))])


def _seeds(target: str, folder: Path) -> list[bytes]:
    """Return what is made by the writers of today, so that the seeds stay of their formats."""
    if target == "wire":
        return [_reply(), wire.served_by(_reply(), "redis", 2.0, is_complete=True)]
    return [_binary_layer(folder)] if target in {"layer", "crate"} else []


@pytest.fixture
def fuzzers(cpp_build: Callable[..., Path]) -> Path:
    """The folder of the fuzz targets, built."""
    return cpp_build("fuzz", "-DBIFROST_BUILD_FUZZERS=ON", target="fuzzers").parent / "fuzz"


@pytest.mark.timeout(LIMIT_S + 300)
@pytest.mark.parametrize("target", TARGETS)
def test_no_input_breaks_a_parser(
    fuzzers: Path, target: str, tmp_path: Path, rounds: Callable[[int], int], seed: int
) -> None:
    """
    No crash, no byte out of bounds, no hang, no broken promise, no memory that stays.
    """
    program = fuzzers / f"{target}_fuzz"
    if not program.exists():
        pytest.skip("this Python has no shared libpython to link USD's library with")
    runs = rounds(SHORT_RUNS)

    done = subprocess.run(
        [
            str(program),
            f"-runs={runs}",
            f"-seed={seed}",
            f"-max_total_time={LIMIT_S}",
            f"-max_len={LONGEST}",
            f"-dict={corpus.FOLDER / target}.dict",
            f"-artifact_prefix={tmp_path}/",
            str(corpus.written(target, tmp_path / "corpus", *_seeds(target, tmp_path))),
        ],
        env={k: v for k, v in os.environ.items() if k != "ASAN_OPTIONS"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=LIMIT_S + 200,
        check=False,
    )

    assert 0 == done.returncode, (
        f"--rounds {runs} --seed {seed}: {done.stderr[-6000:]}\n{_crash(tmp_path)}"
    )
    print(f"{target}: {_tried(done.stdout + done.stderr)}")


def _crash(folder: Path) -> str:
    """Return the input that broke it, as a line for the corpus."""
    return "".join(f"{path.read_bytes()!r}\n" for path in folder.glob("crash*"))


def _tried(output: str) -> str:
    """Return what the engine says that it did: ours, or libFuzzer."""
    said = re.findall(r"^(?:done: .*|Done \d+ runs.*)$", output, re.MULTILINE)
    return said[-1] if said else output[-500:]
