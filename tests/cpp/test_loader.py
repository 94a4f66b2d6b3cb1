# SPDX-License-Identifier: Apache-2.0
"""A plugin in an OpenUSD that it isn't built for says so, and takes nothing down with it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from openusd_layout import lay_out

OPEN = """
import sys
from pxr import Tf, Usd
try:
    Usd.Stage.Open(sys.argv[1])
except Tf.ErrorException:
    pass  # OpenUSD's own, about a resolver that it could not make; it says so once
stage = Usd.Stage.Open(sys.argv[1])
print([str(prim.GetPath()) for prim in stage.Traverse()])
"""
WARM = """
import bifrost.usd
from bifrost.errors import ConfigurationError
try:
    bifrost.usd.warm()
except ConfigurationError as error:
    print(error)
print(bifrost.usd.resolver_stats()["hits"])
"""
SHOT = '#usda 1.0\ndef "plain" {}\ndef "ours" (references = @bifrost:///assets/x@) {}\n'


@pytest.fixture(scope="module")
def built(cpp_build, tmp_path_factory):
    """Build a loader for another OpenUSD, or another build of this one; return its folder."""

    @functools.cache
    def build(name: str, version: str = "", library: str = "") -> Path:
        installation = lay_out(tmp_path_factory.mktemp("openusd"), version=version)
        options = (f"-Dpxr_DIR={installation}", f"-DBIFROST_USD_LIBRARY={library}")
        folder = cpp_build(name, *options, target="bifrost_loader").parents[1]
        # Nothing may load what the loader refuses, and this would be a loud failure.
        (folder / "libbifrost.so").write_text("no library")
        return folder

    return build


@pytest.fixture
def seen(run_python, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Run source in a process that finds the plugin in a folder; return the process."""

    def see(plugin: Path, source: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("BIFROST_PLUGIN_DIR", str(plugin))
        (tmp_path / "shot.usda").write_text(SHOT)
        return run_python(source, tmp_path / "shot.usda")

    return see


def test_a_plugin_for_a_newer_openusd_says_both_versions_and_stages_open(built, seen) -> None:
    """
    Without a second OpenUSD in the process and without a crash; what isn't ours composes.
    """
    done = seen(built("newer", version="26.11"), OPEN)

    assert "built for OpenUSD 26.11, and this process has OpenUSD 26.8" in done.stderr
    assert "docs/openusd.md" in done.stderr
    assert "no library" not in done.stderr
    assert "['/plain', '/ours']" == done.stdout.strip()


def test_warming_a_plugin_for_another_openusd_raises(built, seen) -> None:
    """
    Before anything is loaded, by the versions alone; asking for counts stays harmless.
    """
    raised, hits = seen(built("newer", version="26.11"), WARM).stdout.splitlines()

    assert "is built for OpenUSD 26.11, and this is OpenUSD 26.8; build it" in raised
    assert "0" == hits


def test_doctor_names_both_versions_and_what_to_do(built, own_home: Path) -> None:
    """
    One finding for the versions, one for the loading, and exit code 1.
    """
    done = subprocess.run(
        [sys.executable, "-m", "bifrost.cli", "doctor", "--json"],
        env={**os.environ, "BIFROST_PLUGIN_DIR": str(built("newer", version="26.11"))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    findings = {each["part"]: each for each in json.loads(done.stdout)}
    assert 1 == done.returncode
    assert "built for OpenUSD 26.11, and this is 26.8" in findings["versions"]["text"]
    assert "build the plugin for this one" in findings["versions"]["fix"]
    assert (
        "built for OpenUSD 26.11, and this process has OpenUSD 26.8"
        in (findings["loading"]["text"])
    )


def test_another_build_of_the_same_version_is_refused_by_its_library(built, seen) -> None:
    """
    usd-core for each Python and usd-exchange are all 26.8; the plugin would bring its own along.
    """
    plugin = built("other-build", library="libusd_elsewhere.so")

    raised, hits = seen(plugin, WARM).stdout.splitlines()

    assert "another build of it, without libusd_elsewhere.so" in raised
    assert "0" == hits


def test_a_resolver_that_does_not_load_is_told_with_the_linkers_words(built, seen) -> None:
    """
    A damaged or incomplete installation: the file, and what is wrong with it.
    """
    plugin = built("damaged")

    raised, _ = seen(plugin, WARM).stdout.splitlines()

    assert f"the plugin does not load: {plugin / 'libbifrost.so'}: " in raised
