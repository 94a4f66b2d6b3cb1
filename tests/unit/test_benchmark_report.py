# SPDX-License-Identifier: Apache-2.0
"""The benchmark's report is put together from parts, marks what missed its reach, and says why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def results(monkeypatch):
    """The module that writes parts and reads them."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import results

    yield results
    for name in ("results", "report", "bench", "measure", "native", "rewritten", "shot"):
        sys.modules.pop(name, None)


@pytest.fixture
def row(results):
    """Make a row with this median, and what it should be."""
    from bench import Reach, Row
    from measure import Estimate

    def row(what: str, median: float, limit: float = 1.0, **reach):
        return Row(what, Reach(limit, **reach), Estimate.of([median]), "x", details={"n": 1})

    return row


def test_a_part_is_read_as_it_was_written(results, row, tmp_path: Path) -> None:
    """
    Rows with their reaches, failures, text and pictures.
    """
    from bench import Row
    from measure import Estimate

    pair = (Estimate.of([1.0, 2.0]), Estimate.of([0.5]))
    rows = [row("a", 2.0, why="so"), Row("b", None, Estimate.of([1.0]), "ms", process=pair)]
    written = results.write(tmp_path, "warm", 0.0, rows, ["no"], text="more", plots=["p.png"])

    assert [written] == results.read(tmp_path)


def test_a_part_measured_anew_replaces_its_own_figures_alone(results, row, tmp_path: Path) -> None:
    """
    What another part has measured before stays in the report.
    """
    results.write(tmp_path, "warm", 0.0, [row("the warm one", 0.5)], [])
    results.write(tmp_path, "cold", 0.0, [row("the old cold one", 0.5)], [])
    results.write(tmp_path, "cold", 0.0, [row("the new cold one", 0.5)], [])

    text = results.put_together(tmp_path)

    assert [True, False, True] == [
        name in text for name in ("the warm one", "the old cold one", "the new cold one")
    ]


def test_what_missed_its_reach_is_marked_and_explained(results, row, tmp_path: Path) -> None:
    """
    On top of the report, with the reach and the figure; what reached it is not there.
    """
    rows = [row("slow", 1.5, why="there is a reason"), row("fast", 0.5, why="never told")]
    results.write(tmp_path, "warm", 0.0, rows, [])

    text = results.put_together(tmp_path)

    assert "**1 of 2 figures reach what they should.**" in text
    assert "| slow | <= 1x | 1.5x | there is a reason |" in text
    assert "never told" not in text


def test_more_is_better_where_the_reach_says_so(row) -> None:
    """
    A throughput below its reach has missed it, and one above has not.
    """
    found = [row("rate", median, 2.0, at_least=True).reached for median in (1.0, 2.0, 3.0)]

    assert [False, True, True] == found


def test_what_could_not_be_measured_is_told(results, tmp_path: Path) -> None:
    """
    A failure is no empty section.
    """
    results.write(tmp_path, "warm", 0.0, [], ["warm: the process ended\nwith a trace"])

    text = results.put_together(tmp_path)

    assert "Not measured: warm: the process ended" in text
    assert "**1 cases could not be measured**" in text


def test_every_part_that_can_be_measured_has_a_section(results) -> None:
    """
    Those of the soak besides; a part without one would stand at the end, by its bare name.
    """
    import report
    import run

    assert {*run.PARTS, "soak_sqlite", "soak_postgresql"} == set(report.TITLES)
