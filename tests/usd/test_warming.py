# SPDX-License-Identifier: Apache-2.0
"""Warming fills the caches with what opening asks for: afterwards it asks nobody."""

from __future__ import annotations

import json

import pytest

from bifrost.cli.main import run
from bifrost.session import current
from bifrost.testing import bal
from bifrost.testing.show import Show, layer
from bifrost.usd.warming import warm_roots

OPEN = """
import json, sys
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Usd
from bifrost.session import current
opened = Usd.Stage.Open(sys.argv[1])
print(json.dumps({
    "crossings": bifrost_stage.resolver_stats()["crossings"],
    "round_trips": current().stats()["manager"]["round_trips"],
}))
"""


@pytest.fixture
def deep(show: Show):
    """A root over three levels of five layers each, and one that is not there."""
    return show.root("root.usda", *show.levels(3, 5))


def opened(run_python, root):
    return json.loads(run_python(OPEN, root).stdout)


def test_what_was_warmed_opens_without_a_question(deep, run_python):
    """
    One crossing into Python, no round trip: its closure is recorded, too.
    """
    warmed = warm_roots([str(deep)])
    current().tiers.flush()

    assert (1, 15, 0, []) == (warmed.roots, warmed.references, warmed.cached, warmed.problems)
    assert warmed.round_trips <= 4
    assert {"crossings": 1, "round_trips": 0} == opened(run_python, deep)


def test_a_root_that_is_an_entity_is_one_query_and_one_question(show: Show, deep, run_python):
    """
    The catalogue knows the relationships: no breadth after the other.
    """
    needs = tuple(f"bifrost:///assets/l2_{index}.usda" for index in range(5))
    root = show.publish("shot.usda", deep.read_text(), needs)

    warmed = warm_roots([root])
    current().tiers.flush()

    assert (16, 2) == (warmed.references, warmed.round_trips)
    assert 0 == opened(run_python, root)["round_trips"]


def test_the_second_time_everything_is_known(deep):
    """
    And costs nothing.
    """
    warm_roots([str(deep)])
    warmed = warm_roots([str(deep), str(deep)])

    assert (1, 15, 15, 0) == (
        warmed.roots,
        warmed.references,
        warmed.cached,
        warmed.round_trips,
    )


def test_what_is_published_while_a_root_is_warmed_is_not_recorded_as_it_was(show: Show, run_python):
    """
    Between an answer and the end of warming minutes may pass: opening asks for what changed in them.
    """
    leaf = show.publish("leaf.usda", layer(value="old"))
    root = show.root("root.usda", leaf)
    published: list[str] = []

    def publish(_done, _total):
        if not published:
            published.append(show.publish("leaf.usda", layer(value="new")))
            current().invalidate([leaf])

    warm_roots([str(root)], progress=publish)
    current().tiers.flush()

    assert 0 < opened(run_python, root)["round_trips"]


def test_what_is_wrong_is_told_and_the_rest_is_warmed(show: Show, run_python):
    """
    A missing asset, a missing file, a root that is none.
    """
    leaf = show.publish("leaf.usda", layer(value="x"))
    root = show.root("bad.usda", leaf, "bifrost:///assets/nobody.usda", "./lost.usda")

    warmed = warm_roots([str(root), str(root.parent / "none.usda")])

    assert {"bifrost:///assets/nobody.usda", "lost.usda", "none.usda"} == {
        each.reference.rpartition("/")[2] if "lost" in each.reference or "none" in each.reference
        else each.reference
        for each in warmed.problems
    }  # fmt: skip
    assert leaf in current().cache.peek([leaf], "")


def test_another_manager_is_asked_breadth_by_breadth(monkeypatch, tmp_path, run_python):
    """
    As many round trips as there are levels.
    """
    files = tmp_path / "files"
    files.mkdir()
    for name, text in {
        "leaf": layer(value="x"),
        "middle": layer(references=("bal:///leaf",)),
    }.items():
        (files / f"{name}.usda").write_text(text)
    variables = bal.install(
        tmp_path, {"leaf": files / "leaf.usda", "middle": files / "middle.usda"}
    )
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "root.usda"
    root.write_text(layer(references=("bal:///middle",)))

    warmed = warm_roots([str(root)])

    assert (2, 2, []) == (warmed.references, warmed.round_trips, warmed.problems)


def test_progress_grows(deep):
    """
    With how many references are answered; nobody knows of how many.
    """
    told = []
    warm_roots([str(deep)], progress=lambda *done: told.append(done))

    assert told == sorted(told)
    assert (15, None) == told[-1]


class TestCommand:
    """`bifrost warm`."""

    def test_roots_and_a_summary(self, deep, capsys):
        """
        What was asked for, and what it cost.
        """
        assert 0 == run(["warm", str(deep)])
        out = capsys.readouterr().out
        assert "warmed 1 roots" in out
        assert "references   15, 0 of them known before" in out

        assert 0 == run(["cache", "warm", str(deep), "--json"])
        assert 15 == json.loads(capsys.readouterr().out)["cached"]

    def test_what_a_query_finds(self, deep, capsys):
        """
        All of it, however many pages that is.
        """
        assert 0 == run(["warm", "--query", '{"types": ["layer"]}', "--json"])
        assert 15 == json.loads(capsys.readouterr().out)["roots"]

    @pytest.mark.parametrize(
        ("arguments", "code", "says"),
        [
            ([], 2, "expected a ROOT"),
            (["--query", "{"], 2, "no JSON"),
            (["--query", '{"tpyes": []}'], 1, "types"),
            (["--batch-size", "0", "x"], 2, "batch-size"),
            (["nobody.usda"], 1, "no such file"),
        ],
    )
    def test_what_cannot_be_warmed(self, own_home, capsys, arguments, code, says):
        """
        The message says what is wrong.
        """
        assert code == run(["warm", *arguments])
        assert says in capsys.readouterr().err
