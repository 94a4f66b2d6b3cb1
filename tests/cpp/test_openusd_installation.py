# SPDX-License-Identifier: Apache-2.0
"""The same sources and CMakeLists.txt, built against the layout of an OpenUSD installation."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bifrost.testing.show import Show, layer

sys.path.insert(0, str(Path(__file__).parent))
from openusd_layout import lay_out

# Whether it builds and loads is the same, and it builds in half the time.
UNOPTIMIZED = ["-DCMAKE_CXX_FLAGS_RELEASE=-O0"]
OPEN = """
import sys
from pxr import Ar, Usd
stage = Usd.Stage.Open(sys.argv[1])
print(stage.GetPrimAtPath("/p0").GetAttribute("v").Get())
print(stage.GetPathResolverContext())
"""


def test_the_plugin_builds_for_an_installation_and_loads(
    cpp_build, own_home: Path, tmp_path: Path, run_python
) -> None:
    """
    `-Dpxr_DIR=…`, include paths <pxr/usd/ar/…>, one namespace macro: the result opens a stage.
    """
    show = Show(tmp_path / "show")
    root = show.root("root.usda", show.publish("leaf.usda", layer(value="good")))
    installation = lay_out(tmp_path / "openusd")
    programs = cpp_build("openusd", *UNOPTIMIZED, f"-Dpxr_DIR={installation}", target="bifrost")
    plugin = programs.parents[1]

    from bifrost.usd import env

    folder = env.description(environ={"BIFROST_PLUGIN_DIR": str(plugin)}, output=tmp_path / "plug")
    done = run_python(OPEN, root, env={"PXR_PLUGINPATH_NAME": str(folder)})

    assert "good" == done.stdout.splitlines()[0]
    assert str(root) in done.stdout.splitlines()[1]
    maps = subprocess.run(
        ["ldd", str(plugin / "libbifrost.so")], capture_output=True, text=True, check=True
    )
    assert "libpython" not in maps.stdout


def test_the_plugin_builds_for_an_openusd_without_python(cpp_build, tmp_path: Path) -> None:
    """
    A renderer's OpenUSD: the contexts' Python side is left out, and no symbol of Python is wanted.
    """
    installation = lay_out(tmp_path / "openusd", with_python=False)

    programs = cpp_build(
        "openusd-bare", *UNOPTIMIZED, f"-Dpxr_DIR={installation}", target="bifrost"
    )

    library = programs.parents[1] / "libbifrost.so"
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", str(library)], capture_output=True, text=True, check=True
    )
    assert not [line for line in symbols.stdout.splitlines() if line.split()[-1].startswith("Py")]
