# SPDX-License-Identifier: Apache-2.0
"""
Lays the headers of the wheels out as an OpenUSD installation has them, with a pxrConfig.cmake.

No OpenUSD installation can be had from a package registry. This one differs from a real one in its
folders, its one namespace macro and its CMake package, which is what resolver/usd.h and CMakeLists.txt
must cope with; its libraries are the wheel's: one of usd-core, or those of usd-exchange.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "resolver" / "cmake"))
from usd_wheels import libraries, version_of

_FOLDERS = {
    "ar": "usd/ar", "arch": "base/arch", "gf": "base/gf", "js": "base/js", "plug": "base/plug",
    "tf": "base/tf", "trace": "base/trace", "vt": "base/vt", "work": "base/work",
    "boost": "external/boost",
}  # fmt: skip
_MACRO = re.compile(r"\b[A-Z]+_(NAMESPACE_(?:OPEN_SCOPE|CLOSE_SCOPE|USING_DIRECTIVE))\b")
_INCLUDE = re.compile(r'([<"])pxr/(' + "|".join(_FOLDERS) + r")/")
_OWN_HEADER = re.compile(r'#include\s*[<"]pxr/\w+(?:/\w+)?/pxr\.h[>"]')

_PXR_H = """#pragma once
#define PXR_MAJOR_VERSION 0
#define PXR_MINOR_VERSION {minor}
#define PXR_PATCH_VERSION {patch}
#define PXR_VERSION {minor:02}{patch:02}
#define PXR_NS pxr
#define PXR_INTERNAL_NS {namespace}
#define PXR_NS_GLOBAL ::PXR_NS
namespace PXR_INTERNAL_NS {{ }}
namespace PXR_NS {{ using namespace PXR_INTERNAL_NS; }}
#define PXR_NAMESPACE_OPEN_SCOPE namespace PXR_INTERNAL_NS {{
#define PXR_NAMESPACE_CLOSE_SCOPE }}
#define PXR_NAMESPACE_USING_DIRECTIVE using namespace PXR_NS;
{python}
"""

_LIBRARY = """add_library({target} SHARED IMPORTED)
set_target_properties({target} PROPERTIES
  IMPORTED_LOCATION "{library}"
  INTERFACE_INCLUDE_DIRECTORIES "${{CMAKE_CURRENT_LIST_DIR}}/include")
"""


def lay_out(folder: Path, *, with_python: bool = True, version: str = "") -> Path:
    """
    Write the installation into *folder* and return it: what `-Dpxr_DIR` wants.

    Args:
        folder: Where to.
        with_python: Whether this OpenUSD has Python.
        version: What it says it is, such as `26.11`; by default what it is. What is built against
            another version fits no OpenUSD that is here.
    """
    for name, place in _FOLDERS.items():
        wheel = importlib.metadata.distribution(f"pxr-{name}-dev")
        source = Path(str(wheel.locate_file(f"pxr-{name}/include/pxr/{name}")))
        for header in source.rglob("*"):
            if header.is_file():
                target = folder / "include" / "pxr" / place / header.relative_to(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(_moved(header.read_text()))
    linked = libraries()
    minor, patch = map(int, (version or version_of(linked[0])).split("."))
    namespace = f"pxrInternal_v0_{minor}_{patch}__pxrReserved__"
    python = "#define PXR_PYTHON_SUPPORT_ENABLED 1" if with_python else ""
    pxr = _PXR_H.format(minor=minor, patch=patch, namespace=namespace, python=python)
    (folder / "include" / "pxr" / "pxr.h").write_text(pxr)
    config = f'set(PXR_VERSION "{minor}.{patch}")\n' + "".join(map(_imported, linked))
    (folder / "pxrConfig.cmake").write_text(config)
    return folder


def _imported(library: Path) -> str:
    # libusd_ar.so is `ar`; usd-core's is libusd_ms-<hash>.so, and `usd_ms`.
    part = library.stem.removeprefix("libusd_").partition("-")[0]
    return _LIBRARY.format(target="usd_ms" if part == "ms" else part, library=library)


def _moved(text: str) -> str:
    text = _OWN_HEADER.sub('#include "pxr/pxr.h"', text)
    text = _INCLUDE.sub(lambda m: f"{m[1]}pxr/{_FOLDERS[m[2]]}/", text)
    return _MACRO.sub(r"PXR_\1", text)
