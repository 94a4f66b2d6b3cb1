# SPDX-License-Identifier: Apache-2.0
"""What the cases share: the shots, their rewritten copies, and the rows they hand in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import measure
import native
import rewritten
from measure import Estimate, Sample, Side
from rewritten import Rewritten
from shot import Shot, generate

Say = Callable[[str], None]

PLAIN: Final = "plain"
EMPTY: Final = "empty plugin"


@dataclass(frozen=True)
class Reach:
    """
    What a figure should be: data, beside the case that measures it, with what is known about missing it.

    Attributes:
        limit: What the median is compared with, in the row's unit.
        at_least: Whether more is better.
        why: What keeps us from it, as far as that is known: the report says it where the figure missed.
        rule: What to reach where no bound on the median says it; the row then knows by itself.
    """

    limit: float = 0.0
    at_least: bool = False
    why: str = ""
    rule: str = ""


@dataclass(frozen=True)
class Row:
    """
    One line of the report.

    Attributes:
        what: What was measured, on what.
        reach: What it should be; None where there is nothing to reach.
        estimate: What was measured.
        unit: Of the estimate and the limit: "x", "us", "ms", "s", "", "bytes".
        process: The same for whole processes: how many times the plain one, and how much more in s.
        details: Other numbers that help to understand this one.
        follows: Whether the reach's rule holds; None where the median decides.
    """

    what: str
    reach: Reach | None
    estimate: Estimate
    unit: str
    process: tuple[Estimate, Estimate] | None = None
    details: dict[str, Any] | None = None
    follows: bool | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the figure is what it should be; None where nothing is to be reached."""
        if self.reach is None:
            return None
        if self.reach.rule:
            return self.follows
        value, limit = self.estimate.median, self.reach.limit
        return value >= limit if self.reach.at_least else value <= limit


def compared(
    what: str,
    reach: Reach | None,
    ours: list[Sample],
    theirs: list[Sample],
    *,
    part: str = "took",
    details: Mapping[str, Any] | None = None,
) -> Row:
    """
    Return the row of how many times as long something took as something else.

    Args:
        what: What was measured, on what.
        reach: How many times it may be; None for any.
        ours: The samples of it, with `took_s` and `took_cpu_s`.
        theirs: Those of what it is compared with, with *part* `_s` and `_cpu_s`.
        part: What of theirs.
        details: Other numbers; the ratio of processor times and the milliseconds stand before them.
    """

    def ratio(kind: str) -> Estimate:
        return measure.ratio(
            measure.values(ours, f"took_{kind}"), measure.values(theirs, f"{part}_{kind}")
        )

    figures = {"CPU time, x": ratio("cpu_s").median, "ms": milliseconds(ours)}
    return Row(what, reach, ratio("s"), "x", details={**figures, **(details or {})})


def milliseconds(samples: list[Sample], part: str = "took_s") -> float:
    """Return the median of *part* of *samples*, in milliseconds."""
    return 1000 * Estimate.of(measure.values(samples, part)).median


class Subject:
    """
    A shot in its three variants; the rewritten ones are made when a case first asks.

    Of *among*, a catalogue in SQLite, our own is a copy to begin with, so that the shot has company.
    """

    def __init__(
        self, name: str, source: Path, root: str, work: Path, say: Say, *, among: Path | None = None
    ) -> None:
        self.name = name
        self._among = among
        self._source = source
        self._root = root
        self._work = work
        self._say = say

    @property
    def plain_root(self) -> Path:
        """The root layer of the files with plain relative paths."""
        return self._source / self._root

    @cached_property
    def own(self) -> Rewritten:
        """With references into our own catalogue."""
        self._say(f"{self.name}: bifrost ingest --rewrite")
        directory = self._work / "own"
        return rewritten.own_catalogue(self._source, self._root, directory, among=self._among)

    @cached_property
    def bal(self) -> Rewritten:
        """With references to a BAL library."""
        self._say(f"{self.name}: rewriting for BAL")
        return rewritten.bal_library(self._source, self._root, self._work / "bal")

    @cached_property
    def levels(self) -> int:
        """How many layers lie above one another, the root counted."""
        from pxr import Sdf

        seen = {str(self.plain_root)}
        level, count = list(seen), 0
        while level:
            count += 1
            readable = (path for path in level if Sdf.FileFormat.FindByExtension(path))
            layers = [layer for path in readable if (layer := Sdf.Layer.FindOrOpen(path))]
            below = {
                layer.ComputeAbsolutePath(path)
                for layer in layers
                for path in layer.GetCompositionAssetDependencies()
            }
            level = sorted(below - seen)
            seen |= below
        return count


@dataclass(frozen=True)
class Bench:
    """
    What a case gets.

    Attributes:
        work: Where generated files go.
        turns: How often the sides take turns.
        is_quick: Whether what is long should be kept short.
        say: Tells the person what is going on.
        shot: The generated one; None for cases that open nothing.
    """

    work: Path
    turns: int
    is_quick: bool
    say: Say
    shot: Shot | None = None
    subjects: tuple[Subject, ...] = ()

    @cached_property
    def native(self) -> native.Native:
        """The C++ libraries."""
        self.say("compiling the empty plugin and the loops")
        return native.build(self.work / "native")

    def take_turns(
        self, program: str | Mapping[str, str], sides: Sequence[Side], turns: int | None = None
    ) -> dict[str, list[Sample]]:
        """Return the sides' samples, by name; see `measure.take_turns`."""
        return measure.take_turns(program, sides, turns or self.turns, self.say)

    def opened_in_turns(
        self, subject: Subject, sides: Sequence[Side], turns: int | None = None
    ) -> dict[str, list[Sample]]:
        """
        Open *subject* in turns by plain paths and by each of *sides*.

        Raises:
            ChildFailed: a side's stage is not the plain one's: a stage that lost layers opens fast.
        """
        samples = self.take_turns("open_stage", (plain(subject), *sides), turns)
        expected = samples[PLAIN][0]
        for name, every in samples.items():
            for sample in every:
                for key in ("layers", "attributes"):
                    if sample[key] != expected[key]:
                        raise measure.ChildFailed(
                            f"{name}: {sample[key]} {key}, plain has {expected[key]}"
                        )
                if sample["resolved_attributes"] < expected["resolved_attributes"]:
                    raise measure.ChildFailed(f"{name}: fewer attributes resolve than plain")
        return samples


def plain(subject: Subject) -> Side:
    """The side that opens by plain relative paths, through ArDefaultResolver."""
    return Side(PLAIN, {"root": str(subject.plain_root), "side": "plain"})


def empty(bench: Bench, subject: Subject) -> Side:
    """The side that opens by plain paths with a plugin loaded that does nothing."""
    return Side(
        EMPTY,
        {"root": str(subject.plain_root), "side": "empty"},
        {"PXR_PLUGINPATH_NAME": str(bench.native.empty_plugin)},
    )


def bifrost(
    name: str, copy: Rewritten, environment: dict[str, str] | None = None, *, cold: bool = False
) -> Side:
    """
    A side that opens *copy* through Bifrost, with its persistent cache as it is, or removed.

    Cold sides start the manager before the open: start-up has rows of its own.
    """
    return Side(
        name,
        {"root": str(copy.root), "side": "bifrost", "manager": cold},
        copy.environment if environment is None else environment,
        *([copy.forget] if cold else []),
    )


def whole_process(ours: Sequence[Sample], theirs: Sequence[Sample]) -> tuple[Estimate, Estimate]:
    """Estimate ratio and difference of whole processes."""
    mine, plain_ones = measure.values(ours, "process_s"), measure.values(theirs, "process_s")
    return measure.ratio(mine, plain_ones), measure.difference(mine, plain_ones)


def open_figures(samples: dict[str, list[Sample]]) -> dict[str, Any]:
    """Return medians in milliseconds of each side's parts, for a row's details."""
    parts = (
        "import_s",
        "start_s",
        "manager_s",
        "open_s",
        "open_cpu_s",
        "attributes_s",
        "process_s",
    )
    return {
        f"{name}, ms": {
            part.removesuffix("_s"): round(
                1000 * Estimate.of(measure.values(every, part)).median, 2
            )
            for part in parts
        }
        for name, every in samples.items()
    }


@contextmanager
def the_bench(
    work: Path, *, layers: int, turns: int, is_quick: bool, chess: Path, say: Say
) -> Iterator[Bench]:
    """
    Make the shot in *work* and yield what cases need.

    The chess set's rewritten copies go to a temporary folder: it is never copied into the project.
    """
    import tempfile

    work.mkdir(parents=True, exist_ok=True)
    say(f"generating {layers} layers")
    shot = generate(work / f"shot_{layers}", layers)
    source = Path(shot.directory)
    subjects = [Subject(f"{layers} layers", source, shot.root.name, work / f"of_{layers}", say)]
    with tempfile.TemporaryDirectory(prefix="bifrost-bench-") as temporary:
        if (chess / "chess_set.usda").is_file():
            subjects.append(Subject("chess set", chess, "chess_set.usda", Path(temporary), say))
        else:
            say(f"no chess set: {chess} is not there")
        yield Bench(work, turns, is_quick, say, shot, tuple(subjects))
