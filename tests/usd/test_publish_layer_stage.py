# SPDX-License-Identifier: Apache-2.0
"""Stages of entity references are published with the plugin at work, and open as what was seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

PREPARE = """
import json, pathlib, sys, tempfile
import bifrost.usd
bifrost.usd.warm()
from pxr import Sdf, Usd
from bifrost import bifrost_host

LEAF, MID, SHOT = (f"bifrost:///assets/{name}" for name in ("leaf", "mid", "shot"))
folder = pathlib.Path(tempfile.mkdtemp())

def text(name, *references, sublayers=(), more=""):
    listed = ", ".join(f"@{each}@" for each in references)
    arcs = f"(prepend references = [{listed}])" if references else ""
    below = ", ".join(f"@{each}@" for each in sublayers)
    return ('#usda 1.0\\n(\\n defaultPrim = "A"\\n metersPerUnit = 1\\n upAxis = "Y"\\n'
            f' subLayers = [{below}]\\n)\\ndef Xform "A" {arcs}\\n{{\\n    double {name} = 1\\n{more}}}\\n')

def register(name, *references, **more):
    path = folder / name / f"{name}.usda"
    path.parent.mkdir()
    path.write_text(text(name, *references, **more))
    return bifrost_host.register_asset("prop", name, path)

def publish(source, asset_uri=None, **more):
    return bifrost_host.publish_layer(source, asset_uri, thumbnails=False, **more)

def names(made):
    return [each.reference.removeprefix("bifrost:///assets/") for each in made.published]

def layer(stage, name):
    [found] = [each for each in stage.GetUsedLayers() if f"/{name}/v" in each.realPath]
    return found

register("leaf")
register("mid", f"{LEAF}?version=1")
register("shot", f"{MID}?version=1", LEAF)
answer = {}
"""


@pytest.fixture
def ran(run_python: Callable[..., Any]) -> Callable[[str], dict[str, Any]]:
    """Run a script over a show of a shot, `mid` and `leaf`; return its `answer`."""

    def run(source: str) -> dict[str, Any]:
        done = run_python(PREPARE + source + "\nprint(json.dumps(answer))\n")
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_a_stage_opens_as_it_was_seen_when_it_was_published(ran) -> None:
    """
    In this process too, where nobody knew the new versions a moment before.
    """
    answer = ran("""
stage = Usd.Stage.Open(SHOT)
layer(stage, "leaf").GetAttributeAtPath("/A.leaf").default = 5.0
seen = stage.GetPrimAtPath("/A").GetAttribute("leaf").Get()
answer["made"] = names(publish(stage))
again = Usd.Stage.Open(SHOT + "?version=2")
answer["values"] = [seen, again.GetPrimAtPath("/A").GetAttribute("leaf").Get()]
answer["errors"] = [str(each) for each in again.GetCompositionErrors()]
answer["dirty"] = layer(stage, "leaf").dirty
""")

    assert {
        "made": ["leaf?version=2", "mid?version=2", "shot?version=2"],
        "values": [5.0, 5.0],
        "errors": [],
        "dirty": True,
    } == answer


def test_traits_are_of_what_comes_with_it(ran) -> None:
    """
    The root is read while the versions that it names are still to be registered.
    """
    answer = ran("""
stage = Usd.Stage.Open(SHOT)
edited = Usd.Stage.Open(layer(stage, "leaf"))
variants = edited.GetPrimAtPath("/A").GetVariantSets().AddVariantSet("look")
for name in ("red", "blue"):
    variants.AddVariant(name)
edited.DefinePrim("/A/Ball", "Sphere")
publish(stage)
[record] = bifrost_host.session.catalogue.resolve([("shot", "2")])
usd = record.properties["usd"]
answer = {"sets": list(usd["variant_sets"]["/A"]), "spheres": usd["schemas"].get("Sphere"),
          "unresolved": usd["unresolved"], "problems": usd["problems"]}
answer["found"] = [each["id"] for each in bifrost_host.query_assets({"variants": "look=red"})]
""")

    assert {
        "sets": ["look"],
        "spheres": 1,
        "unresolved": [],
        "problems": [],
        "found": ["leaf", "mid", "shot"],
    } == {**answer, "found": sorted(answer["found"])}


def test_locked_layers_are_edited_above_and_that_is_published(ran) -> None:
    """
    The way from a stage of `open_usd_stage`: the session layer's opinions become a layer over it.
    """
    answer = ran("""
from bifrost.errors import PermissionDeniedException
from bifrost.usd import permissions
stage = bifrost_host.open_usd_stage(SHOT)
try:
    with permissions.explained():
        stage.GetPrimAtPath("/A").GetAttribute("shot").Set(2.0)
except PermissionDeniedException as error:
    answer["told"] = "publish_layer" in error.message
stage.SetEditTarget(stage.GetSessionLayer())
stage.GetPrimAtPath("/A").GetAttribute("shot").Set(3.0)
answer["root"] = names(publish(stage))
over = Sdf.Layer.CreateAnonymous("over.usda")
over.TransferContent(stage.GetSessionLayer())
over.subLayerPaths.append(SHOT + "?version=1")
over.defaultPrim = "A"
answer["over"] = names(publish(over, "bifrost:///assets/light?type=lighting"))
opened = Usd.Stage.Open("bifrost:///assets/light")
answer["value"] = opened.GetPrimAtPath("/A").GetAttribute("shot").Get()
""")

    assert {
        "told": True,
        "root": ["shot?version=1"],
        "over": ["light?version=1"],
        "value": 3.0,
    } == answer


def test_a_working_copy_is_the_way_to_edit_a_shot(ran) -> None:
    answer = ran("""
path = bifrost_host.working_copy(SHOT, folder / "work")
stage = Usd.Stage.Open(str(path))
stage.GetPrimAtPath("/A").GetAttribute("shot").Set(2.0)
stage.DefinePrim("/A/Lamp", "SphereLight")
answer["made"] = names(publish(stage, comment="a lamp"))
opened = Usd.Stage.Open(SHOT)
answer["value"] = opened.GetPrimAtPath("/A").GetAttribute("shot").Get()
answer["lamp"] = bool(opened.GetPrimAtPath("/A/Lamp"))
""")

    assert {"made": ["shot?version=2"], "value": 2.0, "lamp": True} == answer


def test_edits_through_an_edit_target_in_a_variant_are_published(ran) -> None:
    answer = ran("""
path = bifrost_host.working_copy(SHOT, folder / "work")
stage = Usd.Stage.Open(str(path))
variants = stage.GetPrimAtPath("/A").GetVariantSets().AddVariantSet("set")
for name in ("day", "night"):
    variants.AddVariant(name)
variants.SetVariantSelection("night")
layer(stage, "leaf").GetAttributeAtPath("/A.leaf").default = 7.0
with variants.GetVariantEditContext():
    stage.DefinePrim("/A/Moon").GetReferences().AddReference(LEAF + "?version=1")
answer["made"] = names(publish(stage))
opened = Usd.Stage.Open(SHOT)
answer["moon"] = opened.GetPrimAtPath("/A/Moon").GetAttribute("leaf").Get()
answer["named"] = "leaf?version=1" in bifrost_host.resolve_asset_path(SHOT).read_text()
""")

    assert {
        "made": ["leaf?version=2", "mid?version=2", "shot?version=2"],
        "moon": 7.0,
        "named": False,
    } == answer


def test_the_stages_own_versions_are_what_was_edited(ran) -> None:
    """
    A stage whose context means an old version is a stage of that one: a newer one is a conflict.
    """
    answer = ran("""
from bifrost.errors import ConflictException
stage = Usd.Stage.Open(SHOT)
newer = folder / "newer.usda"
newer.write_text(text("leaf", more="    double newer = 1\\n"))
bifrost_host.register_version(LEAF, newer)
layer(stage, "leaf").GetAttributeAtPath("/A.leaf").default = 5.0
try:
    publish(stage)
except ConflictException as error:
    answer.update((key, error.details[key]) for key in ("expected_version", "newest_version"))
""")

    assert {"expected_version": 1, "newest_version": 2} == answer


def test_a_layer_that_the_stage_mutes_is_published_as_it_is(ran) -> None:
    """
    The stage lets go of it: whoever has edited it has to keep it.
    """
    answer = ran("""
path = folder / "own.usda"
path.write_text(text("own", sublayers=(LEAF + "?version=1",)))
stage = Usd.Stage.Open(str(path))
leaf = Sdf.Layer.FindOrOpen(layer(stage, "leaf").identifier)
leaf.GetAttributeAtPath("/A.leaf").default = 5.0
stage.MuteLayer(leaf.identifier)
answer["made"] = names(publish(stage, "bifrost:///assets/own?type=layer"))
opened = Usd.Stage.Open("bifrost:///assets/own")
answer["value"] = opened.GetPrimAtPath("/A").GetAttribute("leaf").Get()
""")

    assert {"made": ["leaf?version=2", "own?version=1"], "value": 5.0} == answer


@pytest.mark.parametrize("query", ["?type=set%20piece", "?type=set%20piece&format=usda"])
def test_what_was_created_at_a_reference_is_published_before_and_after_it_is_saved(
    ran, query: str
) -> None:
    """
    It has no file, and its reference says what becomes of it: neither comes into the file's name.
    """
    found = ran(
        f"""
stage = Usd.Stage.CreateNew("bifrost:///assets/new{query}")
stage.DefinePrim("/A", "Xform").GetReferences().AddReference(LEAF)
stage.SetDefaultPrim(stage.GetPrimAtPath("/A"))
answer["roots"] = [publish(stage).root]
stage.GetRootLayer().Save()
stage.SetMetadata("comment", "edited")
answer["roots"].append(publish(stage).root)
catalogue = bifrost_host.session.catalogue
answer["type"] = catalogue.found(["new"])["new"].asset_type
answer["files"] = [each.location.rpartition("/")[2] for each in catalogue.versions("new")]
opened = Usd.Stage.Open(answer["roots"][-1])
answer["opens"] = opened.GetPrimAtPath("/A").HasAttribute("leaf")
"""
    )

    extension = "usda" if "usda" in query else "usd"
    assert "bifrost:///assets/new?version=1" == found["roots"][0]
    assert found["roots"][1] == f"bifrost:///assets/new?version={len(found['files'])}"
    assert {f"new.{extension}"} == set(found["files"])
    assert "set piece" == found["type"]
    assert found["opens"]


def test_of_two_who_publish_the_same_asset_at_once_one_is_told(ran) -> None:
    """
    From many threads, each with a working copy of the same version.
    """
    answer = ran("""
from concurrent.futures import ThreadPoolExecutor
from bifrost.errors import ConflictException

copies = [bifrost_host.working_copy(LEAF, folder / f"work{i}") for i in range(4)]
for number, path in enumerate(copies):
    path.write_text(text("leaf", more=f"    double mine{number} = 1\\n"))

def attempt(path):
    try:
        return publish(path).published[0].version
    except ConflictException:
        return 0

with ThreadPoolExecutor(4) as pool:
    answer["numbers"] = sorted(pool.map(attempt, copies))
answer["newest"] = bifrost_host.get_version(LEAF)
store = bifrost_host.session.catalogue.store.root
answer["staged"] = [str(each) for each in (store / ".staging").glob("*")]
answer["problems"] = [str(each) for each in bifrost_host.session.catalogue.check()]
""")

    assert {"numbers": [0, 0, 0, 2], "newest": 2, "staged": [], "problems": []} == answer


def test_a_hundred_edited_layers_are_one_publish(ran) -> None:
    answer = ran("""
from bifrost.publishing import Draft
ids = [f"prop{i}" for i in range(100)]
drafts = []
for each in ids:
    path = folder / f"{each}.usda"
    path.write_text(text(each))
    drafts.append(Draft(each, each, "layer", str(path)))
session = bifrost_host.session
from bifrost.publishing import Publisher
Publisher(session.own_catalogue("it"), actions={}).publish(drafts)
root = folder / "root.usda"
root.write_text(text("root", *(f"bifrost:///assets/{each}?version=1" for each in ids)))
stage = Usd.Stage.Open(str(root))
for each in ids:
    layer(stage, each).GetAttributeAtPath(f"/A.{each}").default = 5.0
before = len(bifrost_host.publishes())
made = publish(stage, "bifrost:///assets/root?type=layer")
answer["versions"] = sorted({each.version for each in made.published})
answer["count"] = len(made.published)
answer["publishes"] = len(bifrost_host.publishes()) - before
answer["needs"] = len(session.catalogue.dependencies("root", 1))
answer["unresolved"] = session.catalogue.resolve([("root", "1")])[0].properties["usd"]["unresolved"]
""")

    assert {
        "versions": [1, 2],
        "count": 101,
        "publishes": 1,
        "needs": 100,
        "unresolved": [],
    } == answer
