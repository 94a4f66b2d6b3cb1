# SPDX-License-Identifier: Apache-2.0
"""
Write the lock files beside this script from pyproject.toml: `make lock`.

One resolution of everything gives one version of each package; each file then lists what its group
needs. Run with the oldest Python that the project supports: what it needs, newer ones may skip.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HEADER = "# SPDX-License-Identifier: Apache-2.0\n# Written by `make lock` from pyproject.toml.\n"
# Added by the build backend itself when the machine has none; without build isolation it can't.
BUILD_TOOLS = ["cmake>=3.24", "ninja>=1.11"]


def groups() -> dict[str, list[str]]:
    """Return the requirements of each lock file, by its name."""
    project: dict[str, Any] = tomllib.loads(
        (HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    )
    extras = project["project"]["optional-dependencies"]
    return {
        "build": project["build-system"]["requires"] + BUILD_TOOLS,
        "run": project["project"]["dependencies"],
        **{extra: extras[extra] for extra in ("test", "bench", "dev", "docs")},
    }


def resolve(requirements: list[str], pins: list[str]) -> list[str]:
    """Return `name==version` for *requirements* and all they need, held to *pins*."""
    with tempfile.TemporaryDirectory() as folder:
        constraints, report = Path(folder, "constraints.txt"), Path(folder, "report.json")
        constraints.write_text("\n".join(pins), encoding="utf-8")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run(
            [*pip, "--report", str(report), "--constraint", str(constraints), *requirements],
            check=True,
        )
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = (entry["metadata"] for entry in installed)
    names = {entry["name"].lower().replace("_", "-"): entry["version"] for entry in found}
    return [f"{name}=={version}" for name, version in sorted(names.items())]


def main() -> None:
    """Resolve everything once, then write one file for each group."""
    wanted = groups()
    pins = resolve([requirement for group in wanted.values() for requirement in group], [])
    for name, requirements in wanted.items():
        lines = resolve(requirements, pins)
        (HERE / f"{name}.txt").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
        print(f".ci/requirements/{name}.txt: {len(lines)} packages")


if __name__ == "__main__":
    main()
