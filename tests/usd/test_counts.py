# SPDX-License-Identifier: Apache-2.0
"""How often an open crosses into Python and asks the manager. Counts, not times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bifrost.testing import bal
from bifrost.testing.show import Show, layer
from bifrost.usd import env

OPEN = """
import json, sys
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Ar, Usd
from bifrost.session import current
opened = Usd.Stage.Open(sys.argv[1])
prims = [prim for prim in opened.Traverse() if prim.HasAttribute("v")]
values = [prim.GetAttribute("v").Get() for prim in prims]
tiers = sorted({row["tier"] for row in bifrost_stage.resolutions(opened)})
counters = bifrost_stage.resolver_stats()
print(json.dumps({
    "values": len(values), "tiers": tiers, "crossings": counters["crossings"],
    "misses": counters["misses"],
    "layers": len(bifrost_stage.resolutions(opened)),
    "round_trips": current().stats()["manager"]["round_trips"],
    "openassetio": "openassetio" in sys.modules, "sqlalchemy": "sqlalchemy" in sys.modules,
}))
"""


@pytest.fixture
def opened(run_python):
    """Open a root in a process of its own and return what it counted."""

    def open_root(root: str | Path, source: str = OPEN, **options: Any) -> dict[str, Any]:
        counters: dict[str, Any] = json.loads(run_python(source, root, **options).stdout)
        return counters

    return open_root


@pytest.fixture
def deep(show: Show) -> Path:
    """A root over four levels of ten layers each."""
    return show.root("root.usda", *show.levels(4, 10))


def test_a_cold_open_asks_our_catalogue_twice(deep: Path, opened) -> None:
    """
    Once for what the open will ask for, once for where all of it is.
    """
    cold = opened(deep)

    assert (1, 2, 0, ["manager"]) == (
        cold["crossings"],
        cold["round_trips"],
        cold["misses"],
        cold["tiers"],
    )


def test_a_warm_open_crosses_once_and_never_imports_openassetio(deep: Path, opened) -> None:
    """
    The recorded closure answers for everything; neither OpenAssetIO nor SQLAlchemy is imported.
    """
    cold = opened(deep)

    warm = opened(deep)

    assert cold["values"] == warm["values"] > 0
    assert (1, 0, 0, ["lmdb"]) == (
        warm["crossings"],
        warm["round_trips"],
        warm["misses"],
        warm["tiers"],
    )
    assert not warm["openassetio"]
    assert not warm["sqlalchemy"]


def test_a_warm_open_by_reference_needs_no_manager_either(show: Show, deep: Path, opened) -> None:
    """
    The root is resolved with no context bound, the rest under its file's context: two crossings.
    """
    needs = tuple(f"bifrost:///assets/l3_{i}.usda" for i in range(10))
    top = show.publish("top.usda", layer(references=needs), needs)
    cold = opened(top)

    warm = opened(top)

    assert (2, 3) == (cold["crossings"], cold["round_trips"])
    assert (2, 0, ["lmdb"]) == (warm["crossings"], warm["round_trips"], warm["tiers"])


def test_references_below_a_plain_root_are_replayed_at_the_first_miss(
    show: Show, deep: Path, opened
) -> None:
    """
    A root that names no entity itself: nothing before composition, one crossing in all when warm.
    """
    plain = show.root("plain.usda")
    plain.write_text(layer(sublayers=(f"./{deep.name}",)))
    opened(plain)

    warm = opened(plain)

    assert (1, 0) == (warm["crossings"], warm["round_trips"])


def test_a_context_without_a_root_is_warm_the_second_time(deep: Path, opened) -> None:
    """
    Contexts made from strings: what followed the first reference is recorded with it.
    """
    source = OPEN.replace(
        "opened = Usd.Stage.Open(sys.argv[1])",
        "from pxr import Sdf\n"
        "from bifrost.usd import bridge\n"
        "bridge._SAME_OPENING_S = 60.0  # the machine may be busy for longer than two seconds\n"
        "context = Ar.GetResolver().CreateContextFromString('bifrost', 'user=me')\n"
        "opened = Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), context)",
    )
    opened(deep, source)

    warm = opened(deep, source)

    assert 0 == warm["round_trips"]
    assert warm["crossings"] <= 3


@pytest.mark.parametrize(("longest_s", "crossings"), [(3600.0, 1), (1.5, 2)])
def test_what_is_resolved_all_day_long_is_not_one_opening(
    deep: Path, run_python, longest_s: float, crossings: int
) -> None:
    """
    References that follow one another come together the next time; up to an opening's longest time.
    """
    source = """
import sys
from bifrost.usd import bridge, stage as bifrost_stage
now = 1000.0
bridge._LONGEST_OPENING_S, bridge.monotonic = float(sys.argv[1]), lambda: now
bifrost_stage.warm()
from pxr import Ar
context = Ar.GetResolver().CreateContextFromString("bifrost", "user=me")
with Ar.ResolverContextBinder(context):
    for name in sys.argv[2:]:
        assert Ar.GetResolver().Resolve(f"bifrost:///assets/{name}.usda")
        now += 1.0
print(bifrost_stage.resolver_stats()["crossings"])
"""
    run_python(source, str(longest_s), "l0_0", "l0_1", "l0_2")

    again = run_python(source, str(longest_s), "l0_1", "l0_0", "l0_2")

    assert f"{crossings}\n" == again.stdout


def test_expired_answers_are_asked_again_in_one_batch(deep: Path, opened) -> None:
    """
    Past its lifetime a closure still says what to ask: one crossing, one question.
    """
    opened(deep, env={"BIFROST_CACHE__TTL_S": "0"})

    later = opened(deep)

    assert (1, 1, 0) == (later["crossings"], later["round_trips"], later["misses"])


def test_a_missing_reference_costs_one_question_for_all_of_them(show: Show, opened) -> None:
    """
    What is broken is asked again with each open that wants it, together, so that mending it shows.
    """
    leaf = show.publish("leaf.usda", layer(value="x"))
    root = show.root("root.usda", leaf, *(f"bifrost:///assets/none{i}" for i in range(20)))
    opened(root)

    again = opened(root)

    assert 1 == again["round_trips"]


def test_a_root_of_nothing_but_broken_references_opens_when_they_are_mended(
    show: Show, opened
) -> None:
    """
    A failure that was recorded is asked again by the next process that wants it.
    """
    root = show.root("root.usda", "bifrost:///assets/late.usda")
    assert 1 == opened(root)["values"]
    assert 1 == opened(root)["values"]
    show.publish("late.usda", layer(value="here"))

    assert 2 == opened(root)["values"]


def test_a_reference_in_a_comment_costs_nothing(show: Show, opened, run_python) -> None:
    """
    Reading ahead takes it for one; nobody asks for it, so nobody is warned and no manager is asked.
    """
    leaf = show.publish("leaf.usda", layer(value="x"))
    root = show.root("root.usda", leaf)
    root.write_text(root.read_text() + "# once it was @bifrost:///assets/none.usda@\n")
    assert "none.usda" not in run_python(OPEN, root).stderr

    again = opened(root)

    assert (1, 0, 0) == (again["crossings"], again["round_trips"], again["misses"])


def test_what_was_published_since_is_seen_by_the_next_open(show: Show, opened) -> None:
    """
    An invalidated answer in a recorded closure is asked again; the others are not.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    other = show.publish("other.usda", layer(value="1"))
    root = show.root("root.usda", leaf, other)
    source = OPEN.replace('"values": len(values)', '"values": values[1:]')
    assert ["1", "1"] == opened(root, source)["values"]
    show.publish("leaf.usda", layer(value="2"))
    from bifrost.session import current

    current().invalidate([leaf])

    again = opened(root, source)

    assert ["2", "1"] == again["values"]


def test_a_new_reference_in_the_root_is_asked_before_composition(show: Show, opened) -> None:
    """
    A root that changed since its closure was recorded is read again.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    new = show.publish("new.usda", layer(value="2"))
    root = show.root("root.usda", leaf)
    opened(root)
    root.write_text(layer(references=(leaf, new)))

    again = opened(root)

    assert 3 == again["values"]
    assert (1, 0) == (again["crossings"], again["misses"])


def test_another_manager_is_asked_as_often_as_there_are_levels(
    own_home: Path, tmp_path: Path, opened
) -> None:
    """
    BAL can't say what a shot needs: five levels under the root, five questions, text and crate alike.
    """
    root, environment = bal_show(tmp_path, levels=5, width=12)

    cold = opened(root, env=environment)
    warm = opened(root, env=environment)

    assert (5, 0, 5 * 12) == (cold["round_trips"], cold["misses"], cold["layers"])
    assert (1, 0, 0) == (warm["crossings"], warm["round_trips"], warm["misses"])


def inside(text: str) -> str:
    """Move the prim `/p0` of a layer's text into its default prim, where references reach it."""
    return text.replace('}\ndef "p0"', 'def "p0"') + "}\n"


def bal_show(folder: Path, levels: int, width: int) -> tuple[Path, dict[str, str]]:
    """A root over *levels* levels of *width* layers each, every other one crate, behind BAL."""
    from pxr import Sdf

    files = folder / "files"
    files.mkdir()
    paths, below = {}, ()
    for level in range(levels):
        names = [f"l{level}_{i}.usd{'ac'[i % 2]}" for i in range(width)]
        for i, name in enumerate(names):
            text = layer(value="x", references=below[i : i + 1])
            made = Sdf.Layer.CreateAnonymous(".usda")
            made.ImportFromString(inside(text) if below else text)
            made.Export(str(files / name))
            paths[name] = files / name
        below = tuple(bal.PREFIX + name for name in names)
    root = folder / "root.usda"
    root.write_text(layer(references=below))
    plug = env.description(["bal"], output=folder / "plug")
    return root, {"PXR_PLUGINPATH_NAME": str(plug), **bal.install(folder, paths)}


def test_a_plain_stage_never_starts_the_bridge(show: Show, run_python) -> None:
    """
    No entity reference in sight: no crossing, and the bridge is not even imported.
    """
    show.root("below.usda")
    plain = show.root("plain.usda", "./below.usda")
    source = """
import sys
from pxr import Usd
Usd.Stage.Open(sys.argv[1])
Usd.Stage.CreateInMemory()
print("bifrost" in sys.modules)
"""

    assert "False\n" == run_python(source, plain).stdout


def test_reopening_returns_the_memory(deep: Path, run_python) -> None:
    """
    Fifty opens and closes of one root: the table is as large as after the first.
    """
    source = """
import sys
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Usd
sizes = []
for _ in range(50):
    stage = Usd.Stage.Open(sys.argv[1])
    sizes.append(bifrost_stage.resolver_stats()["bytes"])
    del stage
print(sizes[-1] <= sizes[0] * 1.1, bifrost_stage.resolver_stats()["contexts"])
"""

    assert "True 0\n" == run_python(source, deep).stdout


LARGE = "bifrost:///assets/" + 100_000 * "x"


def test_resolves_without_a_context_return_the_memory(deep: Path, run_python) -> None:
    """
    Hundreds of megabytes of references, as a tool asks for in weeks: the table starts over, and answers.
    """
    source = """
import os, sys
from bifrost.usd import stage as bifrost_stage
bifrost_stage.warm()
from pxr import Ar
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20
known, most = str(Ar.GetResolver().Resolve(sys.argv[1])), 0
for i in range(1900):
    Ar.GetResolver().Resolve(sys.argv[2] + str(i))
    most = max(most, bifrost_stage.resolver_stats()["bytes"])
    if i == 600:
        before = resident_mb()
print(32 << 20 < most <= 65 << 20, resident_mb() - before < 64)
print(known != "" and str(Ar.GetResolver().Resolve(sys.argv[1])) == known)
"""

    assert "True True\nTrue\n" == run_python(source, "bifrost:///assets/l3_0.usda", LARGE).stdout


def test_the_table_may_start_over_inside_a_resolve(deep: Path, run_python) -> None:
    """
    What runs in Python for one resolve resolves more than the table holds; the one outside goes on.
    """
    source = """
import os, sys
from bifrost.usd import bridge, stage as bifrost_stage
bifrost_stage.warm()
from pxr import Ar
os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
inner, resolve = bridge.resolve, Ar.GetResolver().Resolve
def outer(policy, root, identifiers, known):
    if identifiers == sys.argv[1]:
        for i in range(1000):
            resolve(sys.argv[2] + str(i))
    return inner(policy, root, identifiers, known)
bridge.resolve = outer
print(str(resolve(sys.argv[1])).endswith(".usda"), bifrost_stage.resolver_stats()["entries"] < 1000)
"""
    freed = {"MALLOC_PERTURB_": "165", "MALLOC_MMAP_THRESHOLD_": "1000000000"}

    assert (
        "True True\n" == run_python(source, "bifrost:///assets/l3_0.usda", LARGE, env=freed).stdout
    )
