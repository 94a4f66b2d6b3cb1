# SPDX-License-Identifier: Apache-2.0
"""usdview's menu without Qt: what a selection means, what is shown of it, switching, the plugin's loading."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bifrost.testing import bal
from bifrost.testing.show import Show, layer
from bifrost.usd import env, usdview

CHESS = (
    Path(__file__).resolve().parents[3]
    / "shared"
    / "data"
    / "usd_wg"
    / "full_assets"
    / "OpenChessSet"
)
STAND_IN = Path(__file__).with_name("usdview_stand_in")
PRELUDE = """
import json, os, sys
from pxr import Sdf, Usd
from bifrost import bifrost_host as host, session
from bifrost.context import Context
from bifrost.errors import BifrostError
from bifrost.usd.usdview import graphs, panels, subjects, switching

def opened(*roots):
    return [Usd.Stage.Open(root) for root in roots][-1]

def value(stage, path="/p0"):
    return stage.GetPrimAtPath(path).GetAttribute("v").Get()

def refused(call, *arguments):
    try:
        call(*arguments)
    except BifrostError as error:
        return f"{type(error).__name__}: {error}"
    return ""

def table(panel):
    return dict(panel.rows)

def show(**values):
    print(json.dumps(values))
"""
VARIANTS = """#usda 1.0
(
    defaultPrim = "a"
)
def "a" (
    variants = {
        string look = "red"
    }
    prepend variantSets = "look"
)
{
    def "inner"
    {
    }
    variantSet "look" = {
        "blue" {
        }
        "red" {
        }
    }
}
"""


@pytest.fixture
def run(run_python):
    """Run source after the prelude; return what it showed."""

    def run_source(source: str, *arguments: Any, **options: Any) -> Any:
        done = run_python(PRELUDE + source, *arguments, **options)
        assert "Traceback" not in done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run_source


@pytest.fixture
def chair(show: Show) -> str:
    """A chair of three versions; returns its reference."""
    for number in ("1", "2", "3"):
        reference = show.publish("chair.usda", layer(value=number))
    return reference


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# What is selected


def test_a_prim_is_of_the_nearest_entity_the_outermost_first(show: Show, chair: str, run) -> None:
    """
    A set has a chair, a shot has the set: the set's prim is the set's, what is inside the chair's.
    """
    show.publish("set.usda", layer(value="set", references=(chair,)))
    body = layer(value="set").rstrip("}\n")
    show.publish(
        "set.usda", body + f'\n    def "seat" (references = @{chair}@)\n    {{\n    }}\n}}\n'
    )
    root = show.root("shot.usda", "bifrost:///assets/set.usda")

    seen = run(
        """
stage = opened(sys.argv[1])
told = {}
for path in ("/p0", "/p0/seat"):
    found = subjects.of_prim(stage.GetPrimAtPath(path))
    told[path] = [found.reference, found.version, found.prim_path]
show(**told)
""",
        root,
    )

    assert ["bifrost:///assets/set.usda", "2", "/p0"] == seen["/p0"]
    assert [chair, "3", "/p0/seat"] == seen["/p0/seat"]


def test_without_a_selection_it_is_the_stage_and_a_prim_of_no_asset_says_so(
    show: Show, chair: str, run
) -> None:
    """
    usdview selects the root where nothing is; a layer that is selected is told of beside the prim.
    """
    root = show.root("shot.usda", chair)

    seen = run(
        """
stage = opened(sys.argv[1])
pseudo, own = stage.GetPseudoRoot(), stage.GetPrimAtPath("/a")
layer = Sdf.Layer.Find(sys.argv[2])
show(
    nothing=[s.title for s in subjects.selected(stage, pseudo, None)],
    opened_from_it=subjects.of_root(opened(sys.argv[2])).version,
    plain=refused(subjects.selected, stage, own, None),
    layer=[(s.title, s.version) for s in subjects.selected(stage, own, layer)],
    both=[s.title for s in subjects.selected(stage, stage.GetPrimAtPath("/p0"), layer)],
)
""",
        root,
        chair,
    )

    assert ["the stage"] == seen["nothing"]
    assert "3" == seen["opened_from_it"]
    assert seen["plain"].startswith("AssetNotFoundException: /a comes from no asset")
    assert [["layer chair.usda", "3"]] == seen["layer"]
    assert ["prim /p0", "layer chair.usda"] == seen["both"]


def test_prims_in_instances_are_of_what_the_instance_brings_in(show: Show, chair: str, run) -> None:
    """
    There is nothing to switch inside; the instance itself can be.
    """
    body = layer(value="set").rstrip("}\n")
    inner = f'\n    def "seat" (references = @{chair}@)\n    {{\n    }}\n    def "own"\n    {{\n    }}\n}}\n'
    reference = show.publish("set.usda", body + inner)
    show.publish("set.usda", body + inner + "\n")
    root = show.root("shot.usda", reference, reference)
    root.write_text(root.read_text().replace("(references", "(instanceable = true\nreferences"))

    seen = run(
        """
stage = opened(sys.argv[1])
told = []
for path in ("/p0", "/p0/own", "/p0/seat"):
    prim = stage.GetPrimAtPath(path)
    found = subjects.of_prim(prim)
    told.append([prim.IsInstanceProxy(), found.reference, found.prim_path])
inside = refused(switching.switch, stage, "/p0/seat", sys.argv[2] + "?version=1")
switching.switch(stage, "/p0/own", sys.argv[3] + "?version=1")
versions = [subjects.of_prim(stage.GetPrimAtPath(path)).version for path in ("/p0", "/p1")]
show(told=told, inside=inside, versions=versions)
""",
        root,
        chair,
        reference,
    )

    expected = [[False, reference, "/p0"], [True, reference, "/p0"], [True, chair, "/p0/seat"]]
    assert expected == seen["told"]
    assert "a session layer can't reach in there" in seen["inside"]
    assert ["1", "2"] == seen["versions"]


def test_a_payload_that_isnt_loaded_says_so(show: Show, chair: str, run) -> None:
    """
    What it would bring in isn't there to be told of.
    """
    root = show.root("shot.usda", chair)
    root.write_text(root.read_text().replace("references", "payload"))

    seen = run(
        """
stage = Usd.Stage.Open(sys.argv[1], Usd.Stage.LoadNone)
prim = stage.GetPrimAtPath("/p0")
before = refused(subjects.of_prim, prim)
prim.Load()
show(before=before, after=subjects.of_prim(prim).version)
""",
        root,
    )

    assert "its payload isn't loaded" in seen["before"]
    assert "3" == seen["after"]


def test_a_prim_is_of_the_sublayer_that_defines_it(show: Show, run) -> None:
    """
    As in shots of a layer for each department; the strongest that only has opinions doesn't count.
    """
    layout = show.publish("layout.usda", layer(value="layout"))
    light = show.publish("light.usda", '#usda 1.0\nover "a"\n{\n}\ndef "lamp"\n{\n}\n')
    root = show.folder / "shot.usda"
    root.write_text(f"#usda 1.0\n(\n    subLayers = [@{light}@, @{layout}@]\n)\n")

    seen = run(
        """
stage = opened(sys.argv[1])
found = [subjects.of_prim(stage.GetPrimAtPath(path)) for path in ("/a", "/lamp")]
show(found=[each.reference for each in found],
     switch=refused(switching.switch, stage, found[0].prim_path, found[0].at("1")))
""",
        root,
    )

    assert [layout, light] == seen["found"]
    assert "a sublayer can't be taken away" in seen["switch"]


# Asset info


def test_asset_info_says_what_is_known_of_what_the_stage_shows(tmp_path: Path, run) -> None:
    """
    Of the version that the stage has, not of the newest.
    """
    source = tmp_path / "hero.usda"
    source.write_text(layer(value="1"))

    seen = run(
        """
ada = Context(user="ada")
host.register_asset("model", "Hero", sys.argv[1], {"tags": ["hero", "armour"], "description": "Ours"},
                    asset_id="hero", comment="the first", context=ada)
host.set_status("bifrost:///assets/hero", "review")
host.set_metadata("bifrost:///assets/hero", {"description": "Ours, still"})
stage = Usd.Stage.CreateInMemory()
stage.DefinePrim("/hero").GetReferences().AddReference("bifrost:///assets/hero?version=1")
with open(sys.argv[1], "a") as file:
    file.write('def "more"\\n{\\n}\\n')
host.register_version("bifrost:///assets/hero", sys.argv[1], comment="the second", context=ada)
panel = panels.asset_info(host, subjects.of_prim(stage.GetPrimAtPath("/hero")))
show(title=panel.title, note=panel.note, **table(panel))
""",
        source,
    )

    expected = {
        "title": "prim /hero",
        "note": "",
        "reference": "bifrost:///assets/hero?version=1",
        "version": "1",
        "name": "Hero",
        "type": "model",
        "status": "review",
        "published by": "ada",
        "comment": "the first",
        "tags": "hero, armour",
        "description": "Ours, still",
        "brought in by": "/hero",
    }
    assert expected == {key: seen.get(key) for key in expected}
    assert {"location", "manager", "answered by", "published"} <= seen.keys()


def test_asset_info_tells_what_the_stage_knows_while_the_manager_is_down(
    show: Show, chair: str, run, tmp_path: Path
) -> None:
    """
    With a note that says why there is no more.
    """
    seen = run(
        """
stage = opened(sys.argv[1])
subject = subjects.of_prim(stage.GetPrimAtPath("/p0"))
os.environ["BIFROST_HOME"] = sys.argv[2]
os.environ["BIFROST_CATALOGUE__URL"] = "postgresql://127.0.0.1:9/gone"
session.use(session.Session())
panel = panels.asset_info(host, subject)
show(note=panel.note, history=refused(panels.history, host, subject), **table(panel))
""",
        show.root("shot.usda", chair),
        tmp_path / "other_home",
    )

    assert ("3", chair) == (seen["version"], seen["reference"])
    assert seen["note"]
    assert seen["history"]


def test_a_plain_file_is_told_as_one(show: Show, run) -> None:
    """
    And has no history.
    """
    seen = run(
        """
subject = subjects.of_root(opened(sys.argv[1]))
show(history=refused(panels.history, host, subject), **table(panels.asset_info(host, subject)))
""",
        show.root("shot.usda"),
    )

    assert "none: a plain file" == seen["reference"]
    assert "no asset of the catalogue" in seen["history"]


# Versions


def test_the_history_has_the_newest_first_and_marks_what_the_stage_shows(
    show: Show, chair: str, run
) -> None:
    """
    Also where the stage pins an old one.
    """
    show.catalogue.set_status("chair.usda", "2", "review")

    seen = run(
        """
stage = opened(sys.argv[1])
panel = panels.history(host, subjects.of_prim(stage.GetPrimAtPath("/p0")))
show(rows=panel.rows, current=panel.rows[panel.current], columns=panel.columns)
""",
        show.root("shot.usda", f"{chair}?version=1"),
    )

    assert [["3", "wip"], ["2", "review"], ["1", "wip"]] == [row[:2] for row in seen["rows"]]
    assert "1" == seen["current"][0]
    assert ["version", "status", "by", "when", "comment"] == seen["columns"]


def test_switching_edits_the_session_layer_alone_and_can_be_taken_back(
    show: Show, chair: str, run
) -> None:
    """
    No file changes, no other layer is dirty; what was asked for first is what comes back.
    """
    root = show.root("shot.usda", chair)
    before = files(show.folder)

    seen = run(
        """
stage = opened(sys.argv[1])
seen = [value(stage)]
for version in ("1", "2"):
    subject = subjects.of_prim(stage.GetPrimAtPath("/p0"))
    made = switching.switch(stage, "/p0", subject.at(version))
    seen.append(value(stage))
    told = subjects.of_prim(stage.GetPrimAtPath("/p0"))
    seen.append(told.version)
dirty = [l.identifier for l in stage.GetUsedLayers() if l.dirty and l != stage.GetSessionLayer()]
back = switching.restore(stage, "/p0", sys.argv[2])
show(seen=seen, dirty=dirty, made=made, back=back, value=value(stage),
     again=refused(switching.restore, stage, "/p0", sys.argv[2]),
     left=[s.name for s in stage.GetSessionLayer().rootPrims])
""",
        root,
        chair,
    )

    assert ["3", "1", "1", "2", "2"] == seen["seen"]
    assert [] == seen["dirty"]
    assert ["/p0", f"{chair}?version=1", f"{chair}?version=2"] == seen["made"]
    assert ["/p0", f"{chair}?version=2", chair] == seen["back"]
    assert "3" == seen["value"]
    assert "nothing was switched" in seen["again"]
    assert [] == seen["left"]
    assert before == files(show.folder)


def test_switching_keeps_order_offsets_target_prims_and_the_rest_of_the_list(
    show: Show, chair: str, run
) -> None:
    """
    Lists of several layers, a sublayer with an offset, a variant's reference, a payload.
    """
    show.publish("table.usda", layer(value="table"))
    sub = show.folder / "sub.usda"
    sub.write_text(
        f"""#usda 1.0
def "many" (
    references = [
        @bifrost:///assets/table.usda@,
        @{chair}@</a> (offset = 3),
        @./gone.usda@
    ]
)
{{
}}
def "loaded" (
    payload = @{chair}@
)
{{
}}
def "branch" (
    variants = {{
        string look = "red"
    }}
    prepend variantSets = "look"
)
{{
    variantSet "look" = {{
        "red" (
            references = @{chair}@
        ) {{
        }}
    }}
}}
"""
    )
    root = show.folder / "root.usda"
    root.write_text(
        """#usda 1.0
(
    subLayers = [
        @./sub.usda@ (offset = 10)
    ]
)
over "many" (
    append references = @bifrost:///assets/table.usda@</p9>
)
{
}
"""
    )

    seen = run(
        """
stage = opened(sys.argv[1])
new = sys.argv[2] + "?version=1"
many = stage.GetPrimAtPath("/many")

def arcs(prim):
    return [[name, str(arc.GetTargetPrimPath()), arc.GetTargetNode().mapToParent.timeOffset.offset]
            for found, name, arc in subjects.brought_in(prim) if found == prim]

before = arcs(many)
switching.switch(stage, "/many", before[0][0] + "?version=1")
first = arcs(many)
switching.restore(stage, "/many", before[0][0])
layer = stage.GetSessionLayer()
chair = [each for each in subjects.brought_in(many)][1]
place = switching._place(chair)
items = list(switching._with_new(chair, place, new))
for path in ("/loaded", "/branch"):
    switching.switch(stage, path, new)
show(before=before, first=first, after=arcs(many), loaded=value(stage, "/loaded"),
     branch=value(stage, "/branch"),
     items=[[i.assetPath, str(i.primPath), i.layerOffset.offset] for i in items])
""",
        root,
        chair,
    )

    table = "bifrost:///assets/table.usda"
    others = [[chair, "/a", 13.0], [table, "/p9", 0.0]]
    assert [[table, "/a", 10.0], *others] == seen["before"]
    assert [[f"{table}?version=1", "/a", 10.0], *others] == seen["first"]
    assert seen["before"] == seen["after"]
    assert ("1", "1") == (seen["loaded"], seen["branch"])
    expected = [
        [table, "", 10.0],
        [f"{chair}?version=1", "/a", 13.0],
        [str(show.folder / "gone.usda"), "", 10.0],
        [table, "/p9", 0.0],
    ]
    assert expected == seen["items"]


def test_switching_is_refused_where_a_session_layer_cant_reach(show: Show, chair: str, run) -> None:
    """
    Inside another asset, the root itself, and a version that has nothing to bring in.
    """
    body = layer(value="set").rstrip("}\n")
    show.publish(
        "set.usda",
        body + f'\n    def "seat" (references = @{chair}?version=3@)\n    {{\n    }}\n}}\n',
    )
    show.publish("chair.usda", '#usda 1.0\ndef "other"\n{\n}\n')
    root = show.root("shot.usda", "bifrost:///assets/set.usda", f"{chair}?version=3")
    before = files(show.folder)

    seen = run(
        """
stage = opened(sys.argv[1])
chair = sys.argv[2]
bare = Usd.Stage.Open(Sdf.Layer.FindOrOpen(sys.argv[1]), sessionLayer=None)
told = dict(
    inside=refused(switching.switch, stage, "/p0/seat", chair + "?version=1"),
    root=refused(switching.switch, stage, "", chair),
    no_default=refused(switching.switch, stage, "/p1", chair + "?version=4"),
    other=refused(switching.switch, stage, "/p0", chair + "?version=1"),
    gone=refused(switching.switch, stage, "/p1", chair + "?version=77"),
    no_session=refused(switching.switch, bare, "/p1", chair + "?version=1"),
)
show(value=value(stage, "/p1"), empty=not stage.GetSessionLayer().rootPrims, **told)
""",
        root,
        chair,
    )

    assert seen["inside"].startswith("AccessModeException")
    assert "retarget" in seen["inside"]
    assert "open another version instead" in seen["root"]
    for each in ("no_default", "gone"):
        assert "doesn't come in" in seen[each]
        assert "nothing was changed" in seen[each]
    assert "no reference or payload brings" in seen["other"]
    assert "no session layer" in seen["no_session"]
    assert ("3", True) == (seen["value"], seen["empty"])
    assert before == files(show.folder)


# Variants, refresh


def test_variants_are_those_of_the_nearest_prim_that_has_some(show: Show, run) -> None:
    """
    One row for each; whose opinion selects it; none at all is said.
    """
    reference = show.publish("robot.usda", VARIANTS)

    seen = run(
        """
stage = opened(sys.argv[1])
panel = panels.variants(host, stage, "/p0/inner")
host.select_usd_variant(sys.argv[1], panel.title, "look", "blue", stage=stage)
after = panels.variants(host, stage, "/p0/inner")
show(title=panel.title, rows=panel.rows, after=after.rows,
     none=refused(panels.variants, host, stage, "/a"), root=refused(panels.variants, host, stage, ""))
""",
        show.root("shot.usda", reference),
    )

    opinion = f"reference: {reference} (version 1)"
    assert "/p0" == seen["title"]
    assert [["look", "blue", "", ""], ["look", "red", "selected", opinion]] == seen["rows"]
    assert ["look", "blue", "selected"] == seen["after"][0][:3]
    assert seen["after"][0][3].startswith("session: ")
    assert "nor a prim above it has variants" in seen["none"]
    assert "neither the stage" in seen["root"]


def test_a_refresh_says_what_moved_from_which_version_to_which(show: Show, chair: str, run) -> None:
    """
    And that nothing did, the second time.
    """
    seen = run(
        """
from bifrost.testing import bal
from bifrost.testing.show import Show, layer
from pathlib import Path
stage = opened(sys.argv[1])
before = value(stage)
Show(Path(sys.argv[2])).publish("chair.usda", layer(value="4"))
first, second = panels.refreshed(host, stage), panels.refreshed(host, stage)
show(before=before, after=value(stage), first=first.rows, second=[second.rows, second.note])
""",
        show.root("shot.usda", chair),
        show.folder,
    )

    assert ("3", "4") == (seen["before"], seen["after"])
    assert [[chair, "3", "4"]] == seen["first"]
    assert [] == seen["second"][0]
    assert seen["second"][1].startswith("Nothing moved")


# The graph, pins


def test_the_graph_is_drawn_both_ways_and_cut_where_it_is_large(show: Show, run) -> None:
    """
    Of a shot over a set over a chair; with room for two, the nearest are drawn.
    """
    chair = show.publish("chair.usda", layer(value="1"))
    furnished = show.publish("set.usda", layer(references=(chair,)), (chair,))
    shot = show.publish("shot.usda", layer(references=(furnished,)), (furnished,))

    seen = run(
        """
def named(made):
    return [name for name in ("shot", "set", "chair") if f">{name}</text>" in made.svg]

stage = opened(sys.argv[1])
shot = [subjects.of_root(stage)]
chair = [subjects.of_root(opened(sys.argv[2]))]
cut = graphs.picture(host, shot, most_nodes=2)
show(out=named(graphs.picture(host, shot)), into=named(graphs.picture(host, chair, direction="in")),
     cut=[named(cut), cut.note], every=named(graphs.picture(host, subjects.entities(stage))),
     none=refused(graphs.picture, host, [subjects.Subject("x", path="/x.usda")]))
""",
        shot,
        chair,
    )

    everything = ["shot", "set", "chair"]
    assert everything == seen["out"] == seen["into"] == seen["every"]
    assert [["shot", "set"], "1 more that are further away are left out."] == seen["cut"]
    assert "asset of the catalogue" in seen["none"]


def test_pins_are_written_and_verified(show: Show, chair: str, run, tmp_path: Path) -> None:
    """
    What doesn't resolve is listed; a file that changed is found; edits that aren't saved are told.
    """
    root = show.root("shot.usda", chair, "bifrost:///assets/nobody")

    seen = run(
        """
stage = opened(sys.argv[1])
out = sys.argv[2]
resolved = panels.resolved(stage)
pinned = panels.pinned(host, panels.root_of(stage), out)
fine = panels.verified(host, out)
stage.GetRootLayer().comment = "edited"
edited = panels.resolved(stage).note
with open(sys.argv[3], "a") as file:
    file.write("\\n")
memory = Usd.Stage.CreateInMemory()
show(resolved=[row[:2] for row in resolved.rows], pinned=pinned.rows, count=pinned.note,
     fine=[row[0] for row in fine.rows], edited=edited,
     changed=[row[0] for row in panels.verified(host, out).rows],
     missing=refused(panels.verified, host, out + "x"), memory=refused(panels.root_of, memory))
""",
        root,
        tmp_path / "out.json",
        show.path("chair.usda", 3),
    )

    assert [[chair, "3"]] == seen["resolved"]
    assert ["bifrost:///assets/nobody"] == [row[0] for row in seen["pinned"]]
    assert "1 references and 1 files" in seen["count"]
    assert ["unresolved"] == seen["fine"]
    assert "shot.usda" in seen["edited"]
    assert {"unresolved", "changed"} == set(seen["changed"])
    assert seen["missing"].startswith("ConfigurationError")
    assert "in memory alone" in seen["memory"]


# Other managers, real assets


def test_with_another_manager_what_only_a_catalogue_knows_says_so(
    tmp_path: Path, run, show: Show
) -> None:
    """
    The rest works: what the stage shows, its variants, pins.
    """
    pytest.importorskip("openassetio_manager_bal")
    (tmp_path / "robot.usda").write_text(VARIANTS)
    plug = env.description(["bal"], output=tmp_path / "plug")
    environment = {
        "PXR_PLUGINPATH_NAME": str(plug),
        **bal.install(tmp_path, {"robot": tmp_path / "robot.usda"}),
    }

    seen = run(
        """
stage = opened(sys.argv[1])
subject = subjects.of_prim(stage.GetPrimAtPath("/p0/inner"))
info = panels.asset_info(host, subject)
show(reference=subject.reference, location=table(info)["location"], note=info.note,
     variants=len(panels.variants(host, stage, "/p0").rows),
     pins=panels.pinned(host, panels.root_of(stage), sys.argv[2]).note,
     history=refused(panels.history, host, subject),
     graph=refused(graphs.picture, host, [subject]))
""",
        show.root("shot.usda", "bal:///robot"),
        tmp_path / "out.json",
        env=environment,
    )

    assert "bal:///robot" == seen["reference"]
    assert (str(tmp_path / "robot.usda"), "") == (seen["location"], seen["note"])
    assert 2 == seen["variants"]
    assert "1 references and 1 files" in seen["pins"]
    for each in ("history", "graph"):
        assert "catalogue" in seen[each]


@pytest.mark.skipif(not CHESS.is_dir(), reason=f"the working group's assets aren't at {CHESS}")
def test_a_piece_of_the_chess_set_is_told_of_and_switched(run, tmp_path: Path) -> None:
    """
    The real set, ingested: the pieces are payloads with variants, of instanceable prims.
    """
    seen = run(
        """
from pathlib import Path
from bifrost.usd.ingest import ingest
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
ingest(folder, session.current().catalogue, rewrite=out)
stage = opened(str(out / "chess_set.usda"))
king = stage.GetPrimAtPath("/ChessSet/Black/King")
subject = subjects.of_prim(king)
info = table(panels.asset_info(host, subject))
bare = out.parent / "king.usda"
Sdf.Layer.FindOrOpen(info["location"]).Export(str(bare))
layer = Sdf.Layer.FindOrOpen(str(bare))
layer.comment = "another"
layer.Save()
host.register_version(subject.reference, bare)
before = subject.version
switching.switch(stage, subject.prim_path, subject.at("2"))
after = subjects.of_prim(stage.GetPrimAtPath("/ChessSet/Black/King")).version
rows = panels.variants(host, stage, "/ChessSet/Black/King").rows
show(reference=subject.reference, prim=subject.prim_path, before=before, after=after,
     selected=[row[:2] for row in rows if row[2]], dirty=stage.GetRootLayer().dirty,
     versions=[row[0] for row in panels.history(host, subject).rows],
     svg=graphs.picture(host, [subjects.of_root(stage)] + subjects.entities(stage)).svg[:5])
""",
        CHESS,
        tmp_path / "copy",
    )

    assert "King" in seen["reference"]
    assert "/ChessSet/Black/King" == seen["prim"]
    assert ("1", "2") == (seen["before"], seen["after"])
    assert ["2", "1"] == seen["versions"]
    assert ["shadingVariant", "Black"] in seen["selected"]
    assert ("<?xml", False) == (seen["svg"], seen["dirty"])


# The plugin


def test_usdview_finds_and_loads_the_plugin_and_qt_waits_for_a_command(
    run_python, tmp_path: Path
) -> None:
    """
    By OpenUSD's own `Plug` and `Tf.Type`, from the plugInfo.json that is shipped.
    """
    done = run_python(
        """
import json, sys
import pxr
pxr.__path__.append(sys.argv[1])
from pxr import Plug
from pxr.Usdviewq import plugin
[found] = Plug.Registry().RegisterPlugins(sys.argv[2])
registry, builder = plugin.loadPlugins(None, None)
qt = [name for name in sys.modules if name.startswith("PySide") or name.endswith("usdview.qt")]
print(json.dumps([found.name, sorted(registry.commands), builder.menus["Bifrost"].items, qt]))
""",
        STAND_IN,
        Path(usdview.__file__).parent,
    )
    name, commands, items, qt = json.loads(done.stdout.splitlines()[-1])

    assert "bifrost.usd.usdview.menu" == name
    assert all(each.startswith("Bifrost.") for each in commands)
    expected = [
        "Asset info",
        "Version history…",
        "Variants…",
        "Refresh",
        "Dependency graph…",
        "Pins…",
    ]
    assert expected == items
    assert [] == qt


def test_the_plugin_is_harmless_where_there_is_no_usdview(
    show: Show, chair: str, run_python
) -> None:
    """
    `PXR_PLUGINPATH_NAME` is read by every program; those without usdview open stages as ever.
    """
    both = os.pathsep.join((str(env.description()), str(Path(usdview.__file__).parent)))
    done = run_python(
        "import sys; from pxr import Usd; stage = Usd.Stage.Open(sys.argv[1]); "
        "print(stage.GetPrimAtPath('/p0').GetAttribute('v').Get())",
        show.root("shot.usda", chair),
        env={"PXR_PLUGINPATH_NAME": both},
    )

    assert ("3", "") == (done.stdout.strip(), done.stderr.strip())


def test_without_any_qt_it_says_what_to_install(run) -> None:
    """
    The commands' own logic is there nevertheless.
    """
    seen = run(
        """
import importlib
sys.modules["PySide6"] = None
show(said=refused(importlib.import_module, "bifrost.usd.usdview.dialogs"))
"""
    )

    assert seen["said"].startswith("ConfigurationError: the dialogs need usdview's Qt, or PySide6")
    assert "pip install 'bifrost-usd[usdview]'" in seen["said"]
