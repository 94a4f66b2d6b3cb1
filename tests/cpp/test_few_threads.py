# SPDX-License-Identifier: Apache-2.0
"""A machine that has no more threads to give: what would have been done on several is done on fewer."""

from __future__ import annotations

from pathlib import Path

import pytest

from bifrost.testing import bal
from bifrost.testing.show import layer
from bifrost.usd import env

# As many as are worth threads of their own.
LEAVES = 200
OPEN = """
import ctypes, sys
library, root, allowed = sys.argv[1:]
from bifrost.usd import stage
stage.warm()
from pxr import Ar, Usd
from bifrost.usd.stage import resolver_stats
Ar.GetResolver().Resolve(".")
threads = ctypes.CDLL(library)
threads.refuseThreadsAfter(int(allowed))
context = Ar.GetResolver().CreateDefaultContextForAsset(root)
threads.refuseThreadsAfter(-1)  # OpenUSD itself needs them
asked = resolver_stats()["crossings"]
opened = Usd.Stage.Open(root)
values = [prim.GetAttribute("v").Get() for prim in opened.Traverse()]
print(len(list(filter(None, values))), resolver_stats()["crossings"] - asked)
"""


@pytest.mark.parametrize("allowed", [0, 1])
def test_layers_are_looked_into_on_the_threads_that_can_be_had(
    cpp_build, own_home: Path, run_python, tmp_path: Path, allowed: int
) -> None:
    """
    The calling thread does what nobody else does: for a manager that can't say what an open needs.
    """
    folder = cpp_build("plain", "-DBIFROST_SANITIZE=", target="few_threads")
    library = folder / "libfew_threads.so"
    names = [f"leaf{number}.usda" for number in range(LEAVES)]
    for name in names:
        (tmp_path / name).write_text(layer(value="1"))
    below = "bal:///below.usda"
    (tmp_path / "below.usda").write_text(layer(value="1"))
    (tmp_path / names[-1]).write_text(layer(value="1", sublayers=(below,)))
    names.append("below.usda")
    root = tmp_path / "root.usda"
    root.write_text(layer(references=tuple(f"bal:///{name}" for name in names[:-1])))
    variables = {
        "PXR_PLUGINPATH_NAME": str(env.description(["bal"], output=tmp_path / "plug")),
        **bal.install(tmp_path, {name: tmp_path / name for name in names}),
        "LD_PRELOAD": str(library),
    }

    done = run_python(OPEN, library, root, str(allowed), env=variables, check=False)

    assert (0, f"{LEAVES} 0\n") == (done.returncode, done.stdout), done.stderr
