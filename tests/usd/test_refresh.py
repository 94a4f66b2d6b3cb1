# SPDX-License-Identifier: Apache-2.0
"""`refresh` gives a stage what its references mean now, says what moved, and asks no more than it must."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pxr import Usd

from bifrost.testing import managers
from bifrost.testing.managers import Controls
from bifrost.testing.show import Show, layer
from bifrost.usd import env, recomposing

PRELUDE = """
import sys, time
from pathlib import Path
import bifrost.usd
from bifrost.usd import resolver_stats
bifrost.usd.warm()
from pxr import Ar, Sdf, Tf, Usd
from bifrost import bifrost_host as host
from bifrost.context import Context
from bifrost.session import current
from bifrost.settings import load
from bifrost.testing.show import Show, layer

def value(stage, path="/p0"):
    return stage.GetPrimAtPath(path).GetAttribute("v").Get()

def short(refreshed):
    return [(each.reference.rpartition("/")[2], each.version, each.new_version) for each in refreshed.moved]

def trips():
    return current().stats()["manager"]["round_trips"]

def asked():
    return current().stats()["cache"]["misses"]

class Notices:
    def __init__(self):
        self.sent = 0
        self._key = Tf.Notice.RegisterGlobally("ArNotice::ResolverChanged", self._heard)
    def _heard(self, notice, sender):
        self.sent += 1
"""


@pytest.fixture
def bifrost(run_python):
    """Run the command line and return what it printed."""
    source = "import sys; from bifrost.cli.main import run; sys.exit(run(sys.argv[1:]))"

    def run_command(*arguments: object) -> str:
        return run_python(source, *arguments).stdout

    return run_command


def test_what_moved_is_told_with_its_versions(show: Show, run) -> None:
    """
    From which version to which, with the files; what did not move is not in it, and the stage shows it.
    """
    leaves = [show.publish(f"leaf{i}.usda", layer(value="1")) for i in range(3)]
    root = show.root("root.usda", *leaves)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
print(value(stage), bool(host.refresh(stage)))
show = Show(Path(sys.argv[2]))
show.publish("leaf1.usda", layer(value="2"))
done = host.refresh(stage)
print(short(done), done.root_moved, value(stage, "/p0"), value(stage, "/p1"))
[moved] = done.moved
print(Path(moved.path).parent.name, Path(moved.new_path).parent.name)
print(bool(host.refresh(stage)))
""",
        root,
        show.folder,
    )

    assert ["1 False", "[('leaf1.usda', '1', '2')] False 1 2", "v1 v2", "False"] == lines


def test_what_did_not_resolve_is_composed_when_it_came(show: Show, run) -> None:
    """
    References, sublayers, those inside referenced layers, too: published after the stage was opened.

    The session layer is as it was, and a stage of another context too.
    """
    nested = layer(references=("bifrost:///assets/later.usda",)).replace('}\ndef "p0"', 'def "p0"')
    inner = show.publish("inner.usda", nested + "}\n")
    stacked = show.publish("stacked.usda", layer(sublayers=("bifrost:///assets/deep.usda",)))
    root = show.root("root.usda", inner, "bifrost:///assets/later.usda", stacked)
    root.write_text(
        root.read_text().replace("(", "(subLayers = [@bifrost:///assets/sub.usda@]\n", 1)
    )

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
other = Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), bifrost.usd.context(Context(user="b")))
before = stage.GetSessionLayer().ExportToString()
show = Show(Path(sys.argv[2]))
show.publish("later.usda", layer(value="2"))
show.publish("sub.usda", layer(value="3").replace('"a"', '"sub"'))
show.publish("deep.usda", layer().replace('v = ""', 'w = "4"'))
print(short(host.refresh(stage)))
print(value(stage, "/p0/p0"), value(stage, "/p1"), value(stage, "/sub"))
print(stage.GetAttributeAtPath("/p2.w").Get())
print(stage.GetSessionLayer().ExportToString() == before, bool(other.GetPrimAtPath("/sub")))
""",
        root,
        show.folder,
    )

    assert [
        "[('deep.usda', '', '1'), ('later.usda', '', '1'), ('sub.usda', '', '1')]",
        "2 2 3",
        "4",
        "True False",
    ] == lines


def test_where_nothing_moved_nobody_is_told_and_the_manager_is_not_asked(show: Show, run) -> None:
    """
    One question to the catalogue whether anything changed: no notice, no round trip to the manager.
    """
    references = show.levels(depth=4, width=10)
    root = show.root("root.usda", *references)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
follower = current()._caching.follower
notices, trips_before, looks = Notices(), trips(), follower.looks
print(host.refresh(stage).moved, notices.sent, trips() - trips_before, follower.looks - looks)
""",
        root,
    )

    assert ["() 0 0 1"] == lines


def test_what_moved_is_asked_for_in_one_round_trip(show: Show, run) -> None:
    """
    Three new versions among forty layers: one request to the manager, of three, and one notice.
    """
    references = show.levels(depth=4, width=10)
    root = show.root("root.usda", *references)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
show = Show(Path(sys.argv[2]))
for i in range(3):
    show.publish("l0_%d.usda" % i, layer(value="new"))
notices, trips_before, asked_before = Notices(), trips(), asked()
print(len(host.refresh(stage).moved), notices.sent, trips() - trips_before, asked() - asked_before)
""",
        root,
        show.folder,
    )

    assert ["3 1 1 3"] == lines


def test_a_change_that_came_before_the_answers_were_heard_of_is_not_lost(show: Show, run) -> None:
    """
    Published while the stage was opening, after its answers were made and before it was told of.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
from bifrost.settings import load
first = Usd.Stage.Open(sys.argv[1])  # the cache holds version 1 now
Show(Path(sys.argv[2])).publish("leaf.usda", layer(value="2"))
second = Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), bifrost.usd.context(Context(user="b")))
third = Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), bifrost.usd.context())
for stage in (second, third, first):
    host.refresh(stage)
print(value(first), value(second), value(third))
""",
        root,
        show.folder,
    )

    assert ["2 2 2"] == lines


def test_a_change_that_came_while_the_manager_answered_is_not_lost(show: Show, run) -> None:
    """
    What is recorded for the next process is as old as the question, not as the answer.
    """
    root = show.root(
        "root.usda", *(show.publish(f"leaf{i}.usda", layer(value="1")) for i in range(2))
    )

    run(
        """
from bifrost.usd import bridge
stage = Usd.Stage.Open(sys.argv[1])
show = Show(Path(sys.argv[2]))
show.publish("leaf0.usda", layer(value="2"))
the_bridge = bridge._bridge()
the_bridge.later.run_all()
ask = the_bridge._ask
def asked(*arguments, **options):
    reply = ask(*arguments, **options)
    current().invalidate([show.publish("leaf0.usda", layer(value="3"))])
    return reply
the_bridge._ask = asked
host.refresh(stage)
""",
        root,
        show.folder,
    )
    lines = run("print(value(Usd.Stage.Open(sys.argv[1])))", root)

    assert ["3"] == lines


def test_a_change_that_came_before_an_answer_was_in_the_table_is_not_lost(show: Show, run) -> None:
    """
    Another thread refreshes between the bridge's answer and the table's, and hears of a newer version.
    """
    references = [show.publish(name, layer(value="1")) for name in ("other.usda", "hero.usda")]
    root = show.root("root.usda", references[0])

    lines = run(
        """
import threading
from bifrost.usd import bridge
reference, (root, folder) = sys.argv[1], sys.argv[2:]
resolver = Ar.GetResolver()
context = resolver.CreateDefaultContextForAsset(root)
def resolved():
    with Ar.ResolverContextBinder(context):
        return resolver.Resolve(reference).GetPathString().split("/")[-2]
def refresh():
    current().invalidate([Show(Path(folder)).publish("hero.usda", layer(value="2"))])
    resolver.RefreshContext(context)
resolve = bridge.resolve
def answered(*arguments):
    reply = resolve(*arguments)
    thread = threading.Thread(target=refresh)
    thread.start()
    thread.join()
    return reply
bridge.resolve = answered
before = resolved()
bridge.resolve = resolve
resolver.RefreshContext(context)
print(before, resolved())
""",
        references[1],
        root,
        show.folder,
    )

    assert ["v1 v2"] == lines


def test_a_root_opened_by_reference_that_moved_wants_to_be_opened_again(show: Show, run) -> None:
    """
    OpenUSD gives a stage no other root; the result says so.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))

    lines = run(
        """
stage = host.open_usd_stage(sys.argv[1])
Show(Path(sys.argv[2])).publish("leaf.usda", layer(value="2"))
done = host.refresh(stage)
print(short(done), done.root_moved, value(stage, "/a"), value(host.open_usd_stage(sys.argv[1]), "/a"))
""",
        leaf,
        show.folder,
    )

    assert ["[('leaf.usda', '1', '2')] True 1 2"] == lines


def test_a_root_whose_newest_version_is_unreadable_stays_as_it_is(show: Show, run) -> None:
    """
    A refresh reads no root that the stage can't have, each time; and what it asks is the stage's own.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))

    lines = run(
        """
from bifrost.usd import library
stage = host.open_usd_stage(sys.argv[1])
show = Show(Path(sys.argv[2]))
host.refresh(stage)
before = library.counters()["crossings"]
print(bool(host.refresh(stage)), library.counters()["crossings"] - before)
for text in ("no layer", layer(value="3")):
    show.publish("leaf.usda", text)
    print(short(host.refresh(stage)), short(host.refresh(stage)), value(stage, "/a"))
""",
        leaf,
        show.folder,
    )

    assert [
        "False 1",
        "[('leaf.usda', '1', '2')] [] 1",
        "[('leaf.usda', '2', '3')] [] 1",
    ] == lines


def test_what_is_deleted_under_an_open_stage_is_told_and_goes(show: Show, run) -> None:
    """
    Nothing happens to the stage before the refresh; then it composes without.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
host.delete_asset(sys.argv[2])
print(value(stage))
print(short(host.refresh(stage)), stage.GetPrimAtPath("/p0").HasAttribute("v"))
""",
        root,
        leaf,
    )

    assert ["1", "[('leaf.usda', '1', '')] False"] == lines


def test_only_the_prims_that_moved_recompose(show: Show, run) -> None:
    """
    Of two prims the one whose asset moved, told by USD's own notice.
    """
    leaves = [show.publish(f"leaf{i}.usda", layer(value="1")) for i in range(2)]
    root = show.root("root.usda", *leaves)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
resynced = []
key = Tf.Notice.Register(
    Usd.Notice.ObjectsChanged, lambda notice, _: resynced.extend(map(str, notice.GetResyncedPaths())), stage)
Show(Path(sys.argv[2])).publish("leaf1.usda", layer(value="2"))
host.refresh(stage)
print(resynced)
""",
        root,
        show.folder,
    )

    assert ["['/p1']"] == lines


def test_a_stage_of_another_context_reads_on_while_one_is_refreshed(show: Show, run) -> None:
    """
    T5, T7: two stages side by side, one refreshed a hundred times, the other read from threads.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
import threading
from concurrent.futures import ThreadPoolExecutor
moving = Usd.Stage.Open(sys.argv[1])
staying = Usd.Stage.Open(
    Sdf.Layer.FindOrOpen(sys.argv[1]), bifrost.usd.context(version_policy=1))
show, over = Show(Path(sys.argv[2])), threading.Event()
def read():
    seen = set()
    while not over.is_set():
        seen.add(value(staying))
    return seen
with ThreadPoolExecutor(3) as threads:
    reading = [threads.submit(read) for _ in range(3)]
    for number in range(2, 22):
        show.publish("leaf.usda", layer(value=str(number)))
        for _ in range(5):
            host.refresh(moving)
        assert value(moving) == str(number)
    over.set()
    print(set().union(*(each.result(timeout=30) for each in reading)), value(moving))
print(host.refresh(staying).moved)
""",
        root,
        show.folder,
    )

    assert ["{'1'} 21", "()"] == lines


@pytest.mark.parametrize("wrong", ["None", "'shot.usda'", "Sdf.Layer.CreateAnonymous()"])
def test_what_is_no_stage_is_refused(wrong: str, run) -> None:
    """
    With a message, not with what Boost says.
    """
    lines = run(
        f"""
from bifrost.errors import ConfigurationError
try:
    host.refresh({wrong})
except ConfigurationError as error:
    print(error)
"""
    )

    assert ["refresh: expected an open Usd.Stage"] == [line.partition(",")[0] for line in lines]


def test_a_stage_without_references_is_refreshed_to_nothing(run) -> None:
    """
    One in memory, whose context asks nobody.
    """
    assert ["()"] == run("print(host.refresh(Usd.Stage.CreateInMemory()).moved)")


def test_the_command_prints_what_moved(show: Show, run, bifrost) -> None:
    """
    As a table and as JSON, for what the caches of the host held; then there is nothing to say.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)
    run("Usd.Stage.Open(sys.argv[1])", root)
    moves = []
    for number in ("2", "3"):
        show.publish("leaf.usda", layer(value=number))
        arguments = ["--json"] if number == "3" else []
        moves.append(bifrost("usd", "refresh", root, *arguments))

    assert [["bifrost:///assets/leaf.usda", "1", "2"]] == [
        row.split()[:3] for row in moves[0].splitlines()[1:]
    ]
    assert [("2", "3")] == [(each["version"], each["new_version"]) for each in json.loads(moves[1])]
    assert f"{root}: nothing moved\n" == bifrost("usd", "refresh", root)


def test_what_failed_in_an_outage_is_there_when_the_catalogue_is_back(show: Show, run) -> None:
    """
    Nothing changed in the catalogue meanwhile: what failed is asked for nevertheless.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)
    show.catalogue.close()

    lines = run(
        """
database = Path(load().catalogue_url.removeprefix("sqlite:///"))
hidden = database.with_suffix(".hidden")
database.rename(hidden)
database.mkdir()
stage = Usd.Stage.Open(sys.argv[1])
print(stage.GetPrimAtPath("/p0").HasAttribute("v"), host.refresh(stage).moved)
database.rmdir()
hidden.rename(database)
end = time.monotonic() + 30
while not (done := host.refresh(stage)):
    assert time.monotonic() < end, "it never came back"
    time.sleep(0.05)
print(short(done), value(stage))
""",
        root,
        env={
            "BIFROST_BREAKER__COOLDOWN_S": "0.1",
            "BIFROST_CACHE__NEGATIVE_TTL_S": "0.1",
            "BIFROST_RETRY__ATTEMPTS": "1",
        },
    )

    assert ["False ()", "[('leaf.usda', '', '1')] 1"] == lines


def test_another_stage_of_the_context_composes_what_came_when_it_is_refreshed(
    show: Show, run
) -> None:
    """
    The first refresh has moved the answers of both: to the second one nothing moved.
    """
    root = show.root("root.usda", "bifrost:///assets/later.usda")

    lines = run(
        """
stages = [Usd.Stage.Open(sys.argv[1]) for _ in range(2)]
Show(Path(sys.argv[2])).publish("later.usda", layer(value="1"))
print([short(host.refresh(stage)) for stage in stages], [value(stage) for stage in stages])
""",
        root,
        show.folder,
    )

    assert ["[[('later.usda', '', '1')], []] ['1', '1']"] == lines


@pytest.mark.parametrize("how", ["without", "locked"])
def test_what_came_is_composed_without_an_editable_session_layer(how: str, show: Show, run) -> None:
    """
    On a stage that has none, and where somebody locked it, which it stays.
    """
    root = show.root("root.usda", "bifrost:///assets/later.usda")

    lines = run(
        """
if sys.argv[3] == "without":
    stage = Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), None, bifrost.usd.context())
else:
    stage = Usd.Stage.Open(sys.argv[1])
    stage.GetSessionLayer().SetPermissionToEdit(False)
Show(Path(sys.argv[2])).publish("later.usda", layer(value="1"))
host.refresh(stage)
print(value(stage), bool(stage.GetSessionLayer() and stage.GetSessionLayer().permissionToEdit))
""",
        root,
        show.folder,
        how,
    )

    assert ["1 False"] == lines


def test_unsaved_edits_outlast_a_sublayer_that_came(show: Show, run, tmp_path: Path) -> None:
    """
    Of the layer whose sublayer it is, and that nobody but the stage holds, and of what it has besides.
    """
    leaf = tmp_path / "leaf.usda"
    leaf.write_text(layer(value="old").replace("string v", "string w"))
    mid = tmp_path / "mid.usda"
    mid.write_text(layer(value="old", sublayers=("bifrost:///assets/late.usda", "./leaf.usda")))
    root = show.root("root.usda", str(mid))

    lines = run(
        """
import gc
root, mid, leaf, folder = sys.argv[1:]
stage = Usd.Stage.Open(root)
for path, name in ((mid, "v"), (leaf, "w")):
    Sdf.Layer.Find(path).GetAttributeAtPath("/a." + name).default = "edited"
gc.collect()
Show(Path(folder)).publish("late.usda", layer(value="late").replace("string v", "string x"))
host.refresh(stage)
prim = stage.GetPrimAtPath("/p0")
print([prim.GetAttribute(name).Get() for name in "vwx"])
print([Sdf.Layer.Find(path).dirty for path in (mid, leaf)])
""",
        root,
        mid,
        leaf,
        show.folder,
    )

    assert ["['edited', 'edited', 'late']", "[True, True]"] == lines


def test_value_clips_that_moved_are_read_anew(show: Show, run) -> None:
    """
    Those that came, then those of a new version: by name and by template, in instances, too;
    and on another stage of the context, whose answers have moved by then. Whatever many other contexts
    there were meanwhile.
    """
    text = """#usda 1.0
(
    defaultPrim = "a"
)
def "a"
{
    def "b" (
        clips = {
            dictionary default = {
                double2[] active = [(0, 0)]
                CLIPS
                asset manifestAssetPath = @bifrost:///assets/manifest.usda@
                string primPath = "/a"
                double2[] times = [(0, 0), (9, 9)]
            }
        }
    )
    {
        double w
    }
}
"""
    named = "asset[] assetPaths = [@bifrost:///assets/clip.1.usda@]"
    template = (
        'string templateAssetPath = "bifrost:///assets/clip.#.usda"\n'
        "double templateStartTime = 1\ndouble templateEndTime = 1\ndouble templateStride = 1"
    )
    assets = [
        show.publish(f"{name}.usda", text.replace("CLIPS", clips))
        for name, clips in (("named", named), ("template", template))
    ]
    root = show.root("root.usda", *assets, assets[0], assets[0])
    plain, _, instanced = root.read_text().partition('def "p2"')
    root.write_text(
        plain + 'def "p2"' + instanced.replace("(references", "(instanceable = true\nreferences")
    )

    lines = run(
        """
from bifrost.usd import refreshing
refreshing._MOST_CONTEXTS = 2
stages, show = [Usd.Stage.Open(sys.argv[1]) for _ in range(2)], Show(Path(sys.argv[2]))
show.publish("manifest.usda", '#usda 1.0\\ndef "a"\\n{\\ndouble w\\n}\\n')
for number in (1, 2):
    show.publish(
        "clip.1.usda", '#usda 1.0\\ndef "a"\\n{\\ndouble w.timeSamples = {1: %d}\\n}\\n' % number)
    for stage in stages:
        host.refresh(stage)
        print([stage.GetAttributeAtPath(f"/p{each}/b.w").Get(1) for each in range(4)])
    for other in "abc":
        host.refresh(Usd.Stage.CreateInMemory(f"{other}.usda"))
""",
        root,
        show.folder,
    )

    assert ["[1.0, 1.0, 1.0, 1.0]"] * 2 + ["[2.0, 2.0, 2.0, 2.0]"] * 2 == lines


def test_refreshing_again_and_again_leaves_no_python_object_behind(show: Show, run) -> None:
    """
    OpenUSD keeps that of each layer and layer stack that Python met and never owned.
    """
    leaves = [show.publish(f"leaf{i}.usda", layer(value="1")) for i in range(40)]
    root = show.root("root.usda", *leaves)

    left, blocks = run(
        """
import gc
from pxr import Pcp, Sdf
def living():
    gc.collect()
    return sum(isinstance(each, (Sdf.Layer, Pcp.LayerStack)) for each in gc.get_objects())

def opened_and_refreshed(number):
    stage = Usd.Stage.Open(sys.argv[1])
    host.refresh(stage)
    show.publish("leaf0.usda", layer(value=str(number)))
    assert short(host.refresh(stage)) == [("leaf0.usda", str(number - 1), str(number))]

show = Show(Path(sys.argv[2]))
for number in range(2, 12):
    opened_and_refreshed(number)
before, blocks = living(), sys.getallocatedblocks()
for number in range(12, 32):
    opened_and_refreshed(number)
print(living() - before)
print((sys.getallocatedblocks() - blocks) // 20)
""",
        root,
        show.folder,
    )

    assert "0" == left
    assert int(blocks) < len(leaves), f"{blocks} blocks of Python's memory are kept by each refresh"


def test_value_clips_that_hold_anything_else_are_passed_over() -> None:
    """
    What a layer says of its clips may be of any type, which USD reads and makes nothing of.
    """
    stage = Usd.Stage.CreateInMemory()
    sets = (
        'string whole = "a"',
        'dictionary list = { string[] assetPaths = ["a"] }',
        'dictionary manifest = { string manifestAssetPath = "a" }',
        "dictionary template = { int templateAssetPath = 1 }",
    )
    clips = "\n".join(sets)
    stage.GetRootLayer().ImportFromString(
        f'#usda 1.0\ndef "A" (\nclips = {{\n{clips}\n}}\n) {{\n}}\n'
    )

    recomposing.read_clips_again(stage, ["bifrost:///assets/clip.1.usda"], [])

    assert stage.GetPrimAtPath("/A")


def test_what_a_publish_through_the_context_moved_is_told_by_the_refresh(show: Show, run) -> None:
    """
    The context has known it since; its stages have not.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    root = show.root("root.usda", leaf)

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
edited = Sdf.Layer.CreateAnonymous(".usda")
edited.ImportFromString(layer(value="2"))
with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
    edited.Export(sys.argv[2])
print(value(stage), short(host.refresh(stage)), value(stage), short(host.refresh(stage)))
""",
        root,
        leaf,
    )

    assert ["1 [('leaf.usda', '1', '2')] 2 []"] == lines


def test_what_failed_and_was_asked_for_again_meanwhile_is_told_by_the_refresh(
    show: Show, run
) -> None:
    """
    A failure expires: something else of the same context asked, and has the answer.
    """
    root = show.root("root.usda", "bifrost:///assets/later.usda")

    lines = run(
        """
stage = Usd.Stage.Open(sys.argv[1])
Show(Path(sys.argv[2])).publish("later.usda", layer(value="1"))
end = time.monotonic() + 30
with Ar.ResolverContextBinder(stage.GetPathResolverContext()):
    while not Ar.GetResolver().Resolve("bifrost:///assets/later.usda"):
        assert time.monotonic() < end, "the failure never expired"
        time.sleep(0.05)
print(short(host.refresh(stage)), value(stage))
""",
        root,
        show.folder,
        env={"BIFROST_CACHE__NEGATIVE_TTL_S": "0.1"},
    )

    assert ["[('later.usda', '', '1')] 1"] == lines


@pytest.mark.parametrize("fault", ["raise", "no_callback", "wrong_index"])
def test_a_manager_that_misbehaves_leaves_a_stage_as_it_was(
    fault: str, tmp_path: Path, run
) -> None:
    """
    What it did says nothing about the reference, no more than an outage does.
    """
    (tmp_path / "leaf.usda").write_text(layer(value="1"))
    root = tmp_path / "root.usda"
    root.write_text(layer(references=(f"{managers.PREFIX}leaf.usda",)))
    controls = Controls(tmp_path / "controls")
    variables = managers.install(tmp_path, files=tmp_path, controls=str(controls.directory))
    plug = env.description(["faulty"], output=tmp_path / "plug")

    lines = run(
        """
from bifrost.testing.managers import Controls
stage = Usd.Stage.Open(sys.argv[1])
Controls(Path(sys.argv[2])).set(fault=sys.argv[3])
print(host.refresh(stage).moved, value(stage))
""",
        root,
        controls.directory,
        fault,
        env={"PXR_PLUGINPATH_NAME": str(plug), **variables},
    )

    assert ["() 1"] == lines


def test_a_resolver_of_several_schemes_refreshes_once(tmp_path: Path, run) -> None:
    """
    Of another manager: one request for each refresh, and what moved is told. Ar calls once a scheme.
    """
    for number in (1, 2):
        (tmp_path / f"v{number}").mkdir()
        (tmp_path / f"v{number}" / "leaf.usda").write_text(layer(value=str(number)))
    root = tmp_path / "root.usda"
    root.write_text(layer(references=(f"{managers.PREFIX}leaf.usda",)))
    controls = Controls(tmp_path / "controls")
    variables = managers.install(tmp_path, files=tmp_path / "v1", controls=str(controls.directory))
    plug = env.description(["faulty", "other"], output=tmp_path / "plug")

    lines = run(
        """
from bifrost.testing.managers import Controls
stage, controls, asked = Usd.Stage.Open(sys.argv[1]), Controls(Path(sys.argv[2])), trips()
notices = Notices()
for folder in sys.argv[3:]:
    controls.set(files=folder)
    done = host.refresh(stage)
    files = [Path(each.new_path).parent.name for each in done.moved]
    print(files, value(stage), notices.sent, trips() - asked)
""",
        root,
        controls.directory,
        *(tmp_path / each for each in ("v2", "v2", "v1")),
        env={"PXR_PLUGINPATH_NAME": str(plug), **variables},
    )

    assert ["['v2'] 2 1 1", "[] 2 1 2", "['v1'] 1 2 3"] == lines
