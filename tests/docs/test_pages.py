# SPDX-License-Identifier: Apache-2.0
"""Every example on every page runs, or says why it can't."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bifrost.usd import env

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
LIMIT_S = 240.0

# What `examples.py` has an evaluator for. A block without a language is no example. Queries are tried by
# tests/unit/test_query_documentation.py.
LANGUAGES = {"python", "sh", "text", "toml", "usda"}
# Ports that a page names because people expect them there.
PORTS = {"docs/monitoring.md": 9090}
# What stands in the pages and can't run here. One more is a decision, not an accident.
SKIPPED = {
    "README.md": {"builds everything": 2, "needs an OpenUSD that is installed": 1},
    "docs/entry_points.md": {"settings of another package": 1},
    "docs/howto/freeze_for_the_farm.md": {"needs a renderer": 1},
    "docs/howto/open_a_shot.md": {"needs usdview": 1},
    "docs/howto/run_a_studio.md": {"needs a PostgreSQL server": 3},
    "docs/kits.md": {"needs Houdini": 1},
    "docs/monitoring.md": {"runs until it is stopped": 1},
    "docs/openusd.md": {
        "of other shells": 1,
        "needs an OpenUSD that is installed": 1,
        "needs the index, and an environment of its own": 1,
        "needs another OpenUSD": 1,
        "takes minutes, and the index": 1,
    },
    "docs/pins.md": {"needs a renderer": 1},
    "docs/tour.md": {"the tests have a home and the samples already": 1},
    "docs/usdview.md": {"needs usdview": 1},
}


def named(page):
    return page.relative_to(REPOSITORY).as_posix()


def is_of_the_site(language):
    """Whether a block is a directive: what the site shows in its place is no example."""
    return language.startswith("{")


def languages(page):
    """Yield the language of each fenced block."""
    fences = re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return [each for each in fences[::2] if not is_of_the_site(each)]


def examples(page):
    return [each for each in languages(page) if each in LANGUAGES]


WITH_EXAMPLES = [page for page in PAGES if examples(page)]


def environment(home):
    """The variables of a process that has the plugin and this package, and a home of its own."""
    package = Path(env.__file__).parents[2]
    return {
        **os.environ,
        "BIFROST_HOME": str(home / "bifrost"),
        "HOME": str(home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PXR_PLUGINPATH_NAME": str(env.description()),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")])),
    }


def run(page, tmp_path):
    """Run the examples of a page in a process of its own; return what became of each."""
    work, report = tmp_path / "work", tmp_path / "report.json"
    work.mkdir()
    completed = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("examples.py")), str(page), str(report)],
        cwd=work,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return json.loads(report.read_text(encoding="utf-8"))


def is_taken(port):
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in WITH_EXAMPLES])
def test_the_examples_of_a_page_run(page, tmp_path):
    if named(page) in PORTS and is_taken(PORTS[named(page)]):
        pytest.skip(f"something else listens to port {PORTS[named(page)]} of this machine")

    told = run(page, tmp_path)

    skipped = Counter(each["reason"] for each in told if "reason" in each)
    assert Counter(examples(page)) == Counter(each["language"] for each in told)
    assert SKIPPED.get(named(page), {}) == skipped


@pytest.mark.parametrize("page", [pytest.param(page, id=named(page)) for page in PAGES])
def test_every_block_is_of_a_language_that_is_tried(page):
    tried = LANGUAGES | {""} | ({"json"} if page.name == "queries.md" else set())

    assert set() == set(languages(page)) - tried


def test_every_page_whose_examples_are_skipped_is_there():
    assert set() == SKIPPED.keys() - set(map(named, WITH_EXAMPLES))
