# SPDX-License-Identifier: Apache-2.0
"""
Every public operation of the host, from 8 and from 32 threads, in any order: no hang, no wrong answer.

What they are and what must come out is in `operations`; each round is a process with a hard limit.
`--rounds 200` makes it 200 for each; `--seed` is the first round's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bifrost import BifrostHostInterface

HERE = Path(__file__).parent
LIMIT_S = 280.0
# A machine that is busy with other things is slow, and no answer is wrong for that.
PATIENCE = {"BIFROST_CATALOGUE__LOCK_TIMEOUT_S": "200", "BIFROST_MANAGER__DEADLINE_S": "200"}
# What is no call of its own: the frame that other calls put round an edit of a layer.
NO_OPERATIONS = {"writing"}
RUN = f"""
import runpy, sys
sys.path.insert(0, {str(HERE)!r})
runpy.run_module("operations", run_name="__main__")
"""


def test_every_public_operation_is_done() -> None:
    """
    A new one that no thread does fails here.
    """
    source = "from operations import OPERATIONS; print(*OPERATIONS)"
    offered = {name for name in dir(BifrostHostInterface) if not name.startswith("_")}

    done = subprocess.run(
        [sys.executable, "-c", source], cwd=HERE, capture_output=True, text=True, check=True
    )

    assert offered - NO_OPERATIONS == set(done.stdout.split())


@pytest.mark.parametrize("threads", [8, 32])
def test_every_public_operation_answers_right_on_every_thread(
    threads: int, run_python, tmp_path: Path, rounds, seed: int
) -> None:
    """
    Over one host, each thread in an order of its own.
    """
    for number in range(seed, seed + rounds(1)):
        folder = tmp_path / f"round_{number}"
        folder.mkdir()

        done = run_python(
            RUN, folder, threads, number, home=folder / "home", env=PATIENCE, check=False,
            limit_s=LIMIT_S,
        )  # fmt: skip

        told = done.stdout + done.stderr
        assert (0, "ok\n") == (done.returncode, done.stdout), f"--seed {number}: {told}"
