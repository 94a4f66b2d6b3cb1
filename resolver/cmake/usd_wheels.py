# SPDX-License-Identifier: Apache-2.0
"""Print what the build needs of the installed wheels: version;library;include folders."""

import importlib.metadata
import sys
from pathlib import Path

LIBRARIES = ("ar", "arch", "boost", "gf", "js", "plug", "tf", "trace", "vt", "work")


def main() -> int:
    """Print one CMake list, or return 1 when a wheel is missing or of another version."""
    usd = importlib.metadata.distribution("usd-core")
    includes = []
    for name in LIBRARIES:
        wheel = importlib.metadata.distribution(f"pxr-{name}-dev")
        if wheel.version != usd.version:
            print(f"pxr-{name}-dev is {wheel.version}, usd-core {usd.version}", file=sys.stderr)
            return 1
        includes.append(Path(str(wheel.locate_file(f"pxr-{name}/include"))).as_posix())
    folder = Path(str(usd.locate_file("usd_core.libs")))
    (library,) = folder.glob("libusd_ms-*.so")
    print(";".join([usd.version, library.as_posix(), *includes]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (importlib.metadata.PackageNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
