# SPDX-License-Identifier: Apache-2.0
"""
Print what the build needs of the installed wheels, as one CMake list: OpenUSD's version, how many
libraries follow, these, and the include folders.

The headers are those of the pxr-*-dev wheels. The libraries are usd-core's, which has one, or where
there is no usd-core those of usd-exchange, which has one for each part of OpenUSD.
"""

import importlib.metadata
import mmap
import re
import sys
from pathlib import Path

HEADERS = ("ar", "arch", "boost", "gf", "js", "plug", "tf", "trace", "vt", "work")
# What the plugin calls, as CMakeLists.txt links an installation with split libraries.
SPLIT = ("ar", "vt", "js", "plug", "tf", "arch")
NAMESPACE = re.compile(rb"pxrInternal_v0_(\d+)_(\d+)__pxrReserved__")


def libraries() -> list[Path]:
    """Return the one library of usd-core, or those of usd-exchange."""
    try:
        usd = importlib.metadata.distribution("usd-core")
    except importlib.metadata.PackageNotFoundError:
        usd = importlib.metadata.distribution("usd-exchange")
        folder = Path(str(usd.locate_file("usd_exchange.libs")))
        return [folder / f"libusd_{name}.so" for name in SPLIT]
    (library,) = Path(str(usd.locate_file("usd_core.libs"))).glob("libusd_ms-*.so")
    return [library]


def version_of(library: Path) -> str:
    """Return the OpenUSD that *library* is, such as `26.8`: as its namespace says it."""
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        found = NAMESPACE.search(data)
        if found is None:
            raise ValueError(f"{library}: it names no version of OpenUSD")
        return f"{int(found[1])}.{int(found[2])}"


def includes(version: str) -> list[Path]:
    """Return the include folders of the headers, which must be of *version*."""
    folders = []
    for name in HEADERS:
        wheel = importlib.metadata.distribution(f"pxr-{name}-dev")
        if wheel.version.split(".")[:2] != version.split("."):
            raise ValueError(f"pxr-{name}-dev is {wheel.version}, OpenUSD {version}")
        folders.append(Path(str(wheel.locate_file(f"pxr-{name}/include"))))
    return folders


def main() -> None:
    """Print the list."""
    linked = libraries()
    version = version_of(linked[0])
    paths = (path.as_posix() for path in (*linked, *includes(version)))
    print(";".join([version, str(len(linked)), *paths]))


if __name__ == "__main__":
    try:
        main()
    except (importlib.metadata.PackageNotFoundError, OSError, ValueError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
