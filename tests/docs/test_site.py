# SPDX-License-Identifier: Apache-2.0
"""The site has every page, every call of the host, and says what the code says."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bifrost

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
BUILD_LIMIT_S = 280.0


def maker(name):
    """Import one of the scripts in docs/."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def text_of(page):
    return (DOCS / page).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("errors_table", "errors.md"),
        ("faults_table", "faults.md"),
        ("command_line", "command_line.md"),
    ],
)
def test_what_is_made_from_the_code_is_what_would_be_made_now(name, page):
    assert maker(name).page() == text_of(page), "`make docs` writes it anew"


def test_the_pictures_are_what_would_be_drawn_now():
    pictures = maker("pictures")

    assert pictures.benchmark() == text_of("pictures/benchmark.svg"), "`make docs` draws it anew"
    assert pictures.shot() == text_of("pictures/shot.svg"), "`make docs` draws it anew"


def test_every_code_of_an_error_is_on_its_page():
    from bifrost.errors import Code

    documented = set(re.findall(r"^\| `(\w+)` \|", text_of("errors.md"), re.MULTILINE))

    assert set() == set(Code) - documented


def test_every_entry_point_is_on_its_page():
    from bifrost.publishing import plugins
    from bifrost.usd import thumbnail

    groups = {*plugins._SHIPPED, thumbnail.GROUP}
    shipped = {name for names in plugins._SHIPPED.values() for name in names}
    page = text_of("entry_points.md")

    assert groups == set(re.findall(r"^\| `(bifrost\.\w+)` \| (?:an|any)", page, re.MULTILINE))
    assert [] == [name for name in shipped if f"`{name}`" not in page]


def test_every_page_is_linked_from_the_index():
    navigation = maker("conf").navigation(text_of("index.md"))
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} - {"index.md"}

    assert set() == {page for page in pages if f"\n{page}\n" not in navigation} - decisions()


def decisions():
    return {f"decisions/{page.name}" for page in (DOCS / "decisions").glob("0*.md")}


def test_every_decision_is_linked_from_their_index():
    linked = re.findall(r"\]\((0\w[^)]*)\)", text_of("decisions/index.md"))

    assert decisions() == {f"decisions/{page}" for page in linked}


def calls():
    """Return the names of the host's own calls, mixins' included, OpenAssetIO's left out."""
    from openassetio.hostApi import HostInterface

    from bifrost.host import BifrostHostInterface

    return {
        name
        for name, value in inspect.getmembers(BifrostHostInterface)
        if not name.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property))
        and not hasattr(HostInterface, name)
    }


def test_the_site_is_built_without_a_warning_and_shows_every_call(tmp_path):
    pytest.importorskip("sphinx", reason="`make docs` and `make check` install it")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going"]
    package = str(Path(bifrost.__file__).parents[1])
    paths = filter(None, [package, os.environ.get("PYTHONPATH")])

    completed = subprocess.run(
        [*command, "-b", "html", str(DOCS), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=BUILD_LIMIT_S,
        check=False,
    )

    assert completed.returncode == 0, completed.stderr
    shown = (tmp_path / "api" / "host.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'id="bifrost\.host\.BifrostHostInterface\.(\w+)"', shown))
    assert set() == calls() - anchors
