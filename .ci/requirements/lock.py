# SPDX-License-Identifier: Apache-2.0
"""
Write the lock files beside this script from pyproject.toml: `make lock`.

One resolution of everything gives one version of each package; each file then lists what its group
needs, for every Python that the project supports, with the hashes of all its files, so that an index
can serve nothing else. Versions stay as they are where they fit; `--upgrade` takes the newest.
licences.md lists under which licence each of them is.

Run with the oldest Python that the project supports.
"""

from __future__ import annotations

import json
import re
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
PIN = re.compile(r"^([a-z0-9-]+)==([^ ;\\]+)", re.MULTILINE)
WITH_MARKER = re.compile(r"^[a-z0-9-]+==[^\\\n]*", re.MULTILINE)
OSI = "License :: OSI Approved :: "
LONG = 60  # a licence's name is shorter, its text is not
# By their licence files: their metadata names none.
READ = {"mongoquery": "Unlicense", "pysqlite3": "Zlib"}
OPENUSD = "LicenseRef-TOST-1.0"  # as usd-core names it; of pxr-*-dev, likewise


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


def resolve(requirements: list[str], preferred: str, *options: str) -> str:
    """Return the pins and hashes of *requirements* and all they need, at *preferred* versions."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, locked = Path(folder, "wanted.txt"), Path(folder, "locked.txt")
        wanted.write_text("\n".join(requirements), encoding="utf-8")
        locked.write_text(preferred, encoding="utf-8")  # uv keeps what it finds there
        # Without a patch release: the oldest is meant, which may need more than this one.
        version = ".".join(map(str, sys.version_info[:2]))
        compile_ = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--system-certs"]
        how = ["--universal", "--generate-hashes", "--no-header", "--no-annotate"]
        where = ["--python-version", version, "--output-file", str(locked), str(wanted)]
        subprocess.run([*compile_, *how, *options, *where], check=True)
        return locked.read_text(encoding="utf-8")


def licences(locked: str) -> dict[str, str]:
    """Return the licence of each package that *locked* installs here, as its metadata has it."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, report = Path(folder, "wanted.txt"), Path(folder, "report.json")
        wanted.write_text(locked, encoding="utf-8")
        # A pip that knows metadata 2.4, in which licences have a field of their own.
        pip = [sys.executable, "-m", "uv", "tool", "run", "--system-certs", "pip>=25.3", "install"]
        how = ["--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
        subprocess.run([*pip, *how, "--requirement", str(wanted)], check=True)
        installed = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = (entry["metadata"] for entry in installed)
    return {re.sub(r"[-_.]+", "-", each["name"]).lower(): licence(each) for each in found}


def licence(metadata: dict[str, Any]) -> str:
    """Return a package's licence: what its *metadata* names, else what was read; "" for neither."""
    named = str(metadata.get("license_expression") or metadata.get("license") or "")
    classifiers = [each for each in metadata.get("classifier", []) if each.startswith(OSI)]
    if named and len(named) <= LONG:
        return named
    if classifiers:
        return "; ".join(each.removeprefix(OSI) for each in classifiers)
    name = str(metadata["name"])
    return OPENUSD if re.fullmatch(r"pxr-\w+-dev", name) else READ.get(name.lower(), "")


def table(files: dict[str, str], licence_of: dict[str, str]) -> str:
    """Return licences.md: what is pinned in *files*, under which licence, and what it is for."""
    uses: dict[tuple[str, str], list[str]] = {}
    for name, text in files.items():
        for pin in PIN.findall(text):
            uses.setdefault(pin, []).append(name)
    rows = [
        f"| {name} | {version} | {licence_of.get(name, 'not installed here')} | {', '.join(used)} |"
        for (name, version), used in sorted(uses.items())
    ]
    head = "<!-- SPDX-License-Identifier: Apache-2.0 -->\n# What is pinned\n\nWritten by `make lock`.\n\n"
    return head + "\n".join(
        ["| package | version | licence | for |", "|---|---|---|---|", *rows, ""]
    )


def main() -> None:
    """Resolve everything once, then write one file for each group, and the licences."""
    upgrade = "--upgrade" in sys.argv[1:]
    wanted = groups()
    before = [HERE / f"{name}.txt" for name in wanted]
    # One pin for each package: uv takes the first it reads.
    known = "" if upgrade else "".join(path.read_text() for path in before if path.exists())
    everything = resolve([each for group in wanted.values() for each in group], known)
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder, "held.txt")
        # Markers and all: what the oldest Python takes may be an older version.
        held.write_text("\n".join(WITH_MARKER.findall(everything)), encoding="utf-8")
        files = {
            name: resolve(group, everything, "--constraint", str(held))
            for name, group in wanted.items()
        }
    for name, text in files.items():
        (HERE / f"{name}.txt").write_text(HEADER + text, encoding="utf-8")
        print(f".ci/requirements/{name}.txt: {len(PIN.findall(text))} packages")
    (HERE / "licences.md").write_text(table(files, licences(everything)), encoding="utf-8")


if __name__ == "__main__":
    main()
