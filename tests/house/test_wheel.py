# SPDX-License-Identifier: Apache-2.0
"""The wheel: what is in it, under which licences, and nothing of the machine that built it."""

import fcntl
import json
import re
import subprocess
import sys
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Where `make` builds too, so that there is nothing left to compile.
BUILD = ROOT / "build" / "venv"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `make wheel` builds, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    how = ["--no-deps", "--no-build-isolation", f"--config-settings=build-dir={BUILD}"]
    BUILD.parent.mkdir(exist_ok=True)
    with (BUILD.parent / "wheel.lock").open("w") as lock:  # other test processes build too
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [*command, *how, "--wheel-dir", str(folder), str(ROOT)],
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
    assert 0 == done.returncode, done.stdout[-4000:] + done.stderr[-4000:]
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture(scope="module")
def dist_info(wheel):
    (folder,) = wheel.glob("*.dist-info")
    return folder


def dynamic(library):
    """The entries of a library's dynamic section, as readelf shows them."""
    done = subprocess.run(
        ["readelf", "--dynamic", "--wide", str(library)], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_libraries_are_looked_for_beside_the_wheel_and_nowhere_else(wheel):
    """An absolute RPATH would bring in another OpenUSD, of whoever may write to that folder."""
    paths = {
        library.name: re.findall(r"\((?:RPATH|RUNPATH)\).*\[(.*)\]", dynamic(library))
        for library in (wheel / "bifrost" / "plugin").glob("*.so")
    }

    assert {"libbifrost.so": ["$ORIGIN/../../usd_core.libs"], "libbifrost_loader.so": []} == paths


def test_the_loader_needs_no_openusd(wheel):
    """It has to load in any, to say that the plugin does not."""
    needed = re.findall(
        r"\(NEEDED\).*\[(.*)\]", dynamic(wheel / "bifrost/plugin/libbifrost_loader.so")
    )

    assert [] == [name for name in needed if "usd" in name or "python" in name]


def test_nothing_names_the_folder_it_was_built_in(wheel):
    """Neither the libraries nor the texts."""
    here = str(ROOT).encode()
    files = [path for path in wheel.rglob("*") if path.is_file()]

    assert [] == [path.name for path in files if here in path.read_bytes()]


def test_it_holds_the_package_and_what_describes_it_only(wheel, dist_info):
    """No tests, no caches, no build files beside the package."""
    assert {"bifrost", dist_info.name} == {path.name for path in wheel.iterdir()}
    assert [] == [
        *wheel.rglob("__pycache__"),
        *wheel.rglob("*.cpp"),
        *wheel.rglob("CMakeLists.txt"),
    ]


def test_licences_are_in_it_and_named(dist_info):
    """Ours, and OpenUSD's, whose headers are compiled into the plugin."""
    described = Parser().parsestr((dist_info / "METADATA").read_text(encoding="utf-8"))

    assert "Apache-2.0" == described["License-Expression"]
    assert ["LICENSE", "LICENSES/OpenUSD.txt"] == described.get_all("License-File")
    for name in described.get_all("License-File"):
        assert (ROOT / name).read_bytes() == (dist_info / "licenses" / name).read_bytes()


def test_openusds_licence_is_the_one_of_the_openusd_that_is_built_against():
    """A new version may come under another, or bring more."""
    usd = metadata.distribution("usd-core")
    (licence,) = (path for path in usd.files if path.match("licenses/LICENSE.txt"))

    assert licence.locate().read_bytes() == (ROOT / "LICENSES" / "OpenUSD.txt").read_bytes()


def test_the_bill_of_materials_lists_what_it_needs_at_the_pinned_versions(dist_info):
    """CycloneDX, where PEP 770 looks, with a licence for each; readable by CycloneDX's own library."""
    from cyclonedx.model.bom import Bom

    text = (dist_info / "sboms" / "bifrost-usd.cdx.json").read_text(encoding="utf-8")
    bom = Bom.from_json(json.loads(text))
    locked = (ROOT / ".ci" / "requirements" / "run.txt").read_text(encoding="utf-8")
    wanted = set(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", locked, re.MULTILINE))

    listed = {(each.name, each.version) for each in bom.components}
    assert wanted <= listed
    assert {"pxr-ar-dev", "pxr-tf-dev"} <= {name for name, _ in listed}
    assert all(each.licenses and each.purl for each in bom.components)
    assert "bifrost-usd" == bom.metadata.component.name


def test_the_record_lists_every_file(wheel, dist_info):
    """What is not in RECORD is not removed by `pip uninstall`."""
    lines = (dist_info / "RECORD").read_text(encoding="utf-8").splitlines()
    recorded = {line.rsplit(",", 2)[0].strip('"') for line in lines}

    files = {path.relative_to(wheel).as_posix() for path in wheel.rglob("*") if path.is_file()}
    assert files == recorded
