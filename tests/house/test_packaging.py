# SPDX-License-Identifier: Apache-2.0
"""pyproject.toml, the lock files and the plugin's description agree with each other."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bifrost.errors import ConfigurationError
from bifrost.usd import env

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = {
    "build": PROJECT["build-system"]["requires"],
    "run": PROJECT["project"]["dependencies"],
    "test": EXTRAS["test"],
    "bench": EXTRAS["bench"],
    "dev": EXTRAS["dev"],
    "docs": EXTRAS["docs"],
}


def pins(group):
    lines = (
        (ROOT / ".ci" / "requirements" / f"{group}.txt").read_text(encoding="utf-8").splitlines()
    )
    return dict(line.split("==") for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("group", GROUPS)
def test_what_the_project_asks_for_is_what_is_pinned(group):
    locked = pins(group)

    for requirement in map(Requirement, GROUPS[group]):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version, prereleases=True), requirement


def test_a_package_has_one_version_in_all_lock_files():
    versions = {}
    for group in GROUPS:
        for name, version in pins(group).items():
            versions.setdefault(name, set()).add(version)

    assert {} == {name: each for name, each in versions.items() if len(each) > 1}


def test_the_plugin_is_built_for_the_openusd_that_is_installed_with_it():
    required = {
        Requirement(each).name: str(Requirement(each).specifier) for each in GROUPS["build"]
    }
    runs_with = next(each for each in GROUPS["run"] if each.startswith("usd-core"))

    versions = {version for name, version in required.items() if re.match("usd-core|pxr-", name)}
    assert {runs_with.removeprefix("usd-core")} == versions


def test_the_shipped_description_is_what_would_be_generated():
    shipped = json.loads((ROOT / "plugInfo.json").read_text(encoding="utf-8"))

    assert env.plug_info(["bifrost"], "libbifrost.so") == shipped


def test_the_plugin_needs_no_python_to_be_loaded():
    """OpenUSD binds every symbol at once: a strong one of Python keeps the plugin from loading."""
    try:
        library = env.library({})
    except ConfigurationError:
        pytest.skip("the plugin is not installed")
    if not shutil.which("nm"):
        pytest.skip("nm is not installed")
    command = ["nm", "--dynamic", "--undefined-only", str(library)]

    output = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout

    assert [] == re.findall(r"^\s+U (_?Py\w+)", output, re.MULTILINE)
