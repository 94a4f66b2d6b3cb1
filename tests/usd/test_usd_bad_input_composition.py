# SPDX-License-Identifier: Apache-2.0
"""
Layers that are layers and compose oddly: circles of entities, offsets, names, expressions, relocates,
packages in packages. Every call ends, says what is odd, and leaves the files alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pxr import Usd, UsdUtils

from bifrost import bifrost_host as host
from bifrost.testing.show import Show, layer

PRELUDE = """
import json, sys
from pathlib import Path
from bifrost import bifrost_host as host
from bifrost.errors import BifrostError

def outcome(call):
    try:
        return call()
    except BifrostError as error:
        return [str(error.code), error.message]

def values(stage):
    found = [prim.GetAttribute("v") for prim in stage.TraverseAll()]
    return sorted(str(each.Get()) for each in found if each)

def problems(root):
    return [arc.problem for arc in host.extract_arcs(root, closure=True) if arc.problem]

def pinned(root, **more):
    pins = host.pin_usd(root, **more)
    return [len(pins.pinned), [each.problem for each in pins.unresolved]]

def copied(root, out):
    return [each.why for each in host.localize_usd(root, out).left]
"""


@pytest.fixture
def run(run_python, tmp_path: Path):
    """Run source after the prelude; return what it printed last."""

    def run_source(source: str, *arguments: Any) -> Any:
        done = run_python(PRELUDE + source, tmp_path, *arguments)
        return json.loads(done.stdout.splitlines()[-1])

    return run_source


SELF, ONE, OTHER = (f"bifrost:///assets/{name}.usda" for name in ("self", "one", "other"))


@pytest.mark.parametrize("kind", ["references", "sublayers"])
def test_entities_in_a_circle_are_walked_once_by_every_call(show: Show, run, kind: str) -> None:
    """
    One that names itself, and two that name each other; closures say which way the circle goes.
    """
    show.publish("self.usda", layer(value="self", **{kind: (SELF,)}), (SELF,))  # type: ignore[arg-type]
    show.publish("one.usda", layer(value="one", **{kind: (OTHER,)}))  # type: ignore[arg-type]
    show.publish("other.usda", layer(value="other", **{kind: (ONE,)}), (ONE,))  # type: ignore[arg-type]
    before = {name: show.path(name, 1).read_bytes() for name in ("self.usda", "one.usda")}

    found = run(
        """
found = {}
for number, root in enumerate(sys.argv[2:]):
    found[root] = {
        "values": values(host.open_usd_stage(root)),
        "layers": len(host.get_usd_layers(root)),
        "circles": problems(root),
        "variants": outcome(lambda: host.find_usd_variants(root)),
        "pinned": pinned(root),
        "selected": pinned(root, selected_variants=True),
        "copied": copied(root, Path(sys.argv[1]) / str(number)),
        "synced": bool(host.sync_relationships(root, dry_run=True).removed),
        "metadata": host.get_usd_layer_metadata(root)["default_prim"],
    }
print(json.dumps(found))
""",
        SELF,
        ONE,
    )

    for root, layers in ((SELF, 1), (ONE, 2)):
        assert layers == found[root]["layers"]
        assert [layers, []] == found[root]["pinned"] == found[root]["selected"]
        assert ({}, [], "/a") == tuple(
            found[root][each] for each in ("variants", "copied", "metadata")
        )
        assert root.rpartition("/")[2].partition(".")[0] in found[root]["values"]
        [circle] = found[root]["circles"]
        assert circle.startswith("closes a circle of layers: ")
        assert layers == circle.count(" -> ")
    assert before == {name: show.path(name, 1).read_bytes() for name in before}


ODD = {
    "offsets": (
        '(defaultPrim = "a"\nsubLayers = [@./x.usda@ (offset = nan; scale = inf), @./y.usda@ (scale = 0)])\n'
        'def "a" (references = @./x.usda@</x> (offset = -inf; scale = -1)) {\n string v = "a"\n}\n'
    ),
    "no default prim": (
        '(defaultPrim = "a")\ndef "a" {\n string v = "a"\n}\n'
        'def "p" (references = @./x.usda@) {\n}\n'
    ),
    "a default prim that is no path": '(defaultPrim = "a b/..{")\ndef "a" {\n string v = "a"\n}\n',
    "expressions": (
        '(defaultPrim = "a"\nexpressionVariables = { string N = "x"\n string ME = "`${ME}`" }\n'
        'subLayers = [@`"./${N}.usda"`@, @`"./${NONE}.usda"`@, @`"${N`@, @`"${ME}"`@, @`if(true, 1, 2)`@])\n'
        'def "a" {\n string v = "a"\n}\n'
    ),
    "relocates": (
        '(defaultPrim = "a"\nrelocates = { </p/c>: </p/d>, </p>: </p/c/e>, </no>: </where> })\n'
        'def "a" {\n string v = "a"\n}\ndef "p" (references = @./x.usda@</x>) {\n}\n'
    ),
    "numbers that are none": (
        '(defaultPrim = "a"\nmetersPerUnit = nan\nstartTimeCode = -inf\n'
        'timeCodesPerSecond = 0\nupAxis = "W")\ndef "a" {\n string v = "a"\n}\n'
    ),
    "names": (
        '(defaultPrim = "größe")\n'
        'def "größe" (references = @./mit leer é %41;#.usda@</x>) {\n string v = "a"\n}\n'
    ),
}  # fmt: skip
BELOW = 'def "x" {\n string v = "x"\n def "c" {\n }\n double t.timeSamples = { 1: 1, 2: 2 }\n}\n'


@pytest.fixture
def odd(show: Show) -> dict[str, str]:
    """A root of each odd kind, in a folder of its own with what it names."""
    made = {}
    for number, (case, text) in enumerate(ODD.items()):
        folder = show.folder / str(number)
        folder.mkdir(parents=True)
        for name in ("x", "y", "mit leer é %41;#"):
            (folder / f"{name}.usda").write_text("#usda 1.0\n" + BELOW)
        (folder / "root.usda").write_text("#usda 1.0\n" + text)
        made[case] = str(folder / "root.usda")
    return made


def test_what_composes_oddly_goes_through_every_call(odd: dict[str, str], run) -> None:
    """
    It opens, is pinned and copied; what each call says of it JSON can say, without NaN.
    """
    before = {root: Path(root).read_bytes() for root in odd.values()}
    found = run(
        """
from bifrost.usd import layer_metadata
cases = json.loads(sys.argv[2])
for number, (case, root) in enumerate(cases.items()):
    arcs = host.extract_arcs(root)
    cases[case] = found = {
        "values": values(host.open_usd_stage(root)),
        "arcs": len(arcs),
        "said": json.dumps([arc.as_dict() for arc in arcs], allow_nan=False)
                + json.dumps(layer_metadata.read(root), allow_nan=False),
        "problems": problems(root),
        "metadata": layer_metadata.read(root)["problems"],
        "variants": outcome(lambda: host.get_usd_variants(root)),
        "pinned": pinned(root)[1],
        "selected": pinned(root, selected_variants=True)[1],
        "copied": copied(root, Path(sys.argv[1]) / str(number)),
        "retargeted": len(host.retarget(root, "./none.usda", "./y.usda").moves),
        "published": outcome(lambda: host.register_asset("model", f"new {number}", root)),
    }
print(json.dumps(cases))
""",
        json.dumps(odd),
    )

    assert dict.fromkeys(ODD, True) == {case: "a" in each["values"] for case, each in found.items()}
    expressions = found.pop("expressions")
    for each in found.values():
        assert ([], [], [], [], 0) == tuple(
            each[call] for call in ("problems", "pinned", "selected", "copied", "retargeted")
        )
    assert 3 == len([each for each in expressions["pinned"] if "variable expression" in each])
    assert {"no such file", "a variable expression"} == {*expressions["copied"]}
    path = found["a default prim that is no path"]
    assert "no prim path" in path["metadata"][0]
    assert "no prim path" in path["variants"][1]
    refused = {
        case: each["published"] for case, each in found.items() if each["published"][0] == "refused"
    }
    assert {"offsets", "no default prim", "a default prim that is no path"} <= refused.keys()
    assert "Invalid sublayer offset" in refused["offsets"][1]
    assert "defaultPrim" in refused["no default prim"][1]
    assert before == {root: Path(root).read_bytes() for root in before}


@pytest.mark.parametrize("case", ["names", "relocates", "offsets"])
def test_a_copy_of_what_is_odd_composes_as_it_did(
    odd: dict[str, str], tmp_path: Path, case: str
) -> None:
    """
    In a folder and in a package.
    """
    host.localize_usd(odd[case], tmp_path / "copy")
    host.package_usd(odd[case], tmp_path / "copy.usdz")

    roots = (odd[case], tmp_path / "copy" / "root.usda", tmp_path / "copy.usdz")
    stages = [Usd.Stage.Open(str(root)) for root in roots]
    expected, *copies = ([str(prim.GetPath()) for prim in each.TraverseAll()] for each in stages)
    assert [expected, expected] == copies


def test_packages_in_packages_go_through_every_call(show: Show, run, tmp_path: Path) -> None:
    """
    A package is pinned and copied as one file; what is in it can't be edited, and says so.
    """
    (tmp_path / "inner.usda").write_text(layer(value="inner"))
    assert UsdUtils.CreateNewUsdzPackage(str(tmp_path / "inner.usda"), str(tmp_path / "inner.usdz"))
    (tmp_path / "outer.usda").write_text(layer(value="outer", references=("./inner.usdz",)))
    outer = tmp_path / "outer.usdz"
    assert UsdUtils.CreateNewUsdzPackage(str(tmp_path / "outer.usda"), str(outer))
    root = show.root("root.usda", str(outer), f"{outer}[inner.usdz]", f"{outer}[none.usda]")
    before = outer.read_bytes()

    found = run(
        """
root, package = sys.argv[2:]
print(json.dumps({
    "values": values(host.open_usd_stage(root)),
    "pinned": pinned(root),
    "copied": copied(root, Path(sys.argv[1]) / "copy"),
    "authored": outcome(lambda: len(host.author_arcs(package, [
        {"to": root, "type": "reference", "metadata": {"prim_path": "/a"}}]))),
    "packaged": outcome(lambda: host.package_usd(package, Path(sys.argv[1]) / "again.usdz").files),
}))
""",
        root,
        outer,
    )

    assert ["", "inner", "outer"] == found["values"]
    assert [2, []] == found["pinned"]
    assert [] == found["copied"]
    assert "package" in found["packaged"][1]
    assert isinstance(found["authored"], list)
    assert before == outer.read_bytes()
