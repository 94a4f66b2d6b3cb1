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


LOCKS = ROOT / ".ci" / "requirements"
# `name==version`, for some a marker, and the hash of each of its files.
PIN = re.compile(
    r"^([a-z0-9-]+)==([^ ;]+)(?: ; ([^\\]+))?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$",
    re.MULTILINE,
)


def locked(group):
    return (LOCKS / f"{group}.txt").read_text(encoding="utf-8")


def pins(group):
    """Return the versions, by name and marker: another Python may take another version."""
    return {(name, marker): version for name, version, marker, _ in PIN.findall(locked(group))}


@pytest.mark.parametrize("group", GROUPS)
def test_what_the_project_asks_for_is_what_is_pinned(group):
    pinned = pins(group)

    for requirement in map(Requirement, GROUPS[group]):
        name = canonicalize_name(requirement.name)
        versions = [version for (of, _), version in pinned.items() if of == name]
        assert versions, requirement
        for version in versions:
            assert requirement.specifier.contains(version, prereleases=True), requirement


def test_a_package_has_one_version_in_all_lock_files():
    versions = {}
    for group in GROUPS:
        for name_and_marker, version in pins(group).items():
            versions.setdefault(name_and_marker, set()).add(version)

    assert {} == {name: each for name, each in versions.items() if len(each) > 1}


@pytest.mark.parametrize("group", GROUPS)
def test_every_pin_has_hashes_and_nothing_else_is_in_a_lock_file(group):
    """What pip is given hashes for, it installs from no other file, whatever an index serves."""
    rest = PIN.sub("", locked(group)).splitlines()

    assert [] == [line for line in rest if line and not line.startswith("#")]
    assert pins(group)


def test_every_pinned_package_is_listed_with_its_licence():
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))
        for line in (LOCKS / "licences.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| package ")
    ]

    pinned = {(name, version) for group in GROUPS for (name, _), version in pins(group).items()}
    assert pinned == {(name, version) for name, version, _, _ in rows}
    assert [] == [name for name, _, licence, _ in rows if not licence]


def test_the_plugin_is_built_for_the_openusd_that_is_installed_with_it():
    required = {
        Requirement(each).name: str(Requirement(each).specifier) for each in GROUPS["build"]
    }
    runs_with = next(each for each in GROUPS["run"] if each.startswith("usd-core"))

    versions = {version for name, version in required.items() if re.match("usd-core|pxr-", name)}
    assert {runs_with.removeprefix("usd-core")} == versions


def test_the_shipped_description_is_what_would_be_generated():
    shipped = json.loads((ROOT / "plugInfo.json").read_text(encoding="utf-8"))

    assert env.plug_info(["bifrost"], env.LOADER) == shipped


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
