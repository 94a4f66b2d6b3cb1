# SPDX-License-Identifier: Apache-2.0
"""
Write what the wheel is made of, as CycloneDX, into the file that is named: the build calls it, and
the wheel carries it where PEP 770 looks.

It lists what the wheel needs to run, at the versions that it is tested with, and the headers of
OpenUSD that are compiled into the plugin. The same sources give the same bytes.
"""

from __future__ import annotations

import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

HERE = Path(__file__).parent
# A time would differ from build to build, and the format wants one.
NO_TIME = datetime(1980, 1, 1, tzinfo=UTC)


def pinned() -> list[tuple[str, str, str, list[str]]]:
    """Return name, version, licence and uses of each package in licences.md."""
    lines = (HERE / "licences.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return [(name, version, named, uses.split(", ")) for name, version, named, uses in rows[2:]]


def component(name: str, version: str, licence: str, description: str = "") -> Component:
    """Return one package of PyPI."""
    purl = PackageURL(type="pypi", name=name, version=version)
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        purl=purl,
        bom_ref=str(purl),
        scope=ComponentScope.REQUIRED,
        description=description or None,
        licenses=[LicenseFactory().make_from_string(licence)],
    )


def bill() -> Bom:
    """Return the bill of materials."""
    text = (HERE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    bom = Bom()
    root = component(project["name"], project["version"], project["license"])
    root.scope = None
    bom.metadata.component = root
    bom.metadata.timestamp = NO_TIME
    for name, version, licence, uses in pinned():
        if "run" in uses:
            bom.components.add(component(name, version, licence))
        elif name.startswith("pxr-") and name != "pxr-tbb-dev":  # which the build keeps out
            bom.components.add(
                component(name, version, licence, "headers, compiled into the plugin")
            )
    bom.register_dependency(root, bom.components)
    content = ",".join(sorted(str(each.purl) for each in bom.components))
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{root.purl}:{content}")
    return bom


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(
        JsonV1Dot6(bill()).output_as_string(indent=2) + "\n", encoding="utf-8"
    )
