# SPDX-License-Identifier: Apache-2.0
"""Stages of entities: warmed, in a context, masked; what opens although something is wrong with it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import jwt
import pytest
from pxr import UsdUtils

from bifrost import bifrost_host
from bifrost.testing.show import Show, layer
from bifrost.usd import pinning

PRELUDE = """
import json, os, sys
from bifrost.context import Context
from bifrost.host.usd_layers import UsdLayerCalls
from bifrost.session import current
host = UsdLayerCalls()

def raised(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""

def round_trips():
    return current().stats()["manager"]["round_trips"]

def prims(stage):
    return [str(prim.GetPath()) for prim in stage.Traverse()]

def value(stage, path="/p0"):
    return stage.GetPrimAtPath(path).GetAttribute("v").Get()

def show(**values):
    print(json.dumps(values))
"""
CLI = (
    "import sys; from bifrost.cli.main import run; sys.exit(run(['usd', 'layers', *sys.argv[1:]]))"
)


@pytest.fixture
def run(run_shown):
    """Run source after the prelude; return what it showed."""
    return run_shown


@pytest.fixture
def shot(show: Show) -> str:
    """A shot whose leaf has two versions, and so has the shot."""
    leaf = show.publish("leaf.usda", layer(value="1"))
    show.publish("leaf.usda", layer(value="2"))
    show.publish("shot.usda", layer(value="first", references=(leaf,)), (leaf,))
    return show.publish("shot.usda", layer(value="second", references=(leaf,)), (leaf,))


def test_everything_is_asked_for_before_it_opens(shot: str, run) -> None:
    """
    Two round trips for the whole closure; the second process asks nobody, and neither does composing.
    """
    source = """
from bifrost.usd.stage import resolver_stats
stage = host.open_usd_stage(sys.argv[1])
current().tiers.flush()
show(round_trips=round_trips(), crossings=resolver_stats()["crossings"], value=value(stage))
"""
    first, second = run(source, shot), run(source, shot)

    assert ("2", "2") == (first["value"], second["value"])
    assert first["round_trips"] <= 3
    assert 0 == second["round_trips"]
    assert second["crossings"] <= 2


def test_a_stage_is_of_its_context_root_and_all(shot: str, run) -> None:
    """
    Given, active, or the environment's; two of them side by side.
    """
    seen = run(
        """
old = host.open_usd_stage(sys.argv[1], context=Context(version="1"))
new = host.open_usd_stage(sys.argv[1])
with Context(version="1").active():
    active = host.open_usd_stage(sys.argv[1])
os.environ["BIFROST_CONTEXT"] = "version=1"
environment = host.open_usd_stage(sys.argv[1])
over = host.open_usd_stage(sys.argv[1], context=Context(version="2"))
show(all=[[value(each, "/a"), value(each)] for each in (old, new, active, environment, over)])
""",
        shot,
    )

    first, second = ["first", "1"], ["second", "2"]
    assert [first, second, first, first, second] == seen["all"]


def test_a_context_may_have_a_number_and_a_time(shot: str, run) -> None:
    """
    As every other call takes them.
    """
    seen = run(
        """
from datetime import UTC, datetime
number = host.open_usd_stage(sys.argv[1], context=Context(version=1))
time = host.open_usd_stage(sys.argv[1], context=Context(as_of=datetime.now(UTC)))
show(values=[value(each, "/a") for each in (number, time)])
""",
        shot,
    )

    assert ["first", "second"] == seen["values"]


def test_a_bare_path_is_looked_for_beside_the_root_in_any_context(show: Show, run) -> None:
    """
    As opening it without a context does.
    """
    folder = show.root("root.usda").parent
    (folder / "parts").mkdir()
    (folder / "lib").mkdir()
    (folder / "lib" / "bare.usda").write_text(layer(value="found"))
    (folder / "parts" / "part.usda").write_text(layer(references=("lib/bare.usda",)))
    root = show.root("root.usda", "./parts/part.usda")
    root.write_text(root.read_text().replace('"p0" (references = @./parts/part.usda@)', '"x"'))
    root.write_text(layer(sublayers=("./parts/part.usda",)))

    seen = run(
        """
from pathlib import Path
plain = host.open_usd_stage(Path(sys.argv[1]))
given = host.open_usd_stage(sys.argv[1], context=Context(version="latest"))
show(values=[value(plain), value(given)])
""",
        root,
    )

    assert ["found", "found"] == seen["values"]


def test_payloads_load_or_dont(show: Show, run) -> None:
    """
    In words, or in USD's own; anything else is refused by name.
    """
    paid = show.publish("paid.usda", layer(value="heavy"))
    root = show.publish("root.usda", layer(references=(paid,)).replace("references", "payload"))

    seen = run(
        """
from pxr import Usd
loads = ["all", "none", Usd.Stage.LoadNone, Usd.Stage.LoadAll]
show(values=[value(host.open_usd_stage(sys.argv[1], load=each)) for each in loads],
     wrong=raised(lambda: host.open_usd_stage(sys.argv[1], load="some")))
""",
        root,
    )

    assert ["heavy", None, None, "heavy"] == seen["values"]
    assert "expected 'all', 'none'" in seen["wrong"]


def test_masks_name_prims_or_are_published(show: Show, run, tmp_path: Path) -> None:
    """
    What they name is there, or the error says what is near; what lies in a payload may come later.
    """
    (tmp_path / "set.usda").write_text(
        '#usda 1.0\n(defaultPrim = "World")\ndef "World" {\n    def "Hero" {\n        def "Hat" {\n'
        '        }\n    }\n    def "Villain" (payload = @./hat.usda@) {\n    }\n}\n'
    )
    (tmp_path / "hat.usda").write_text(
        '#usda 1.0\n(defaultPrim = "h")\ndef "h" {\n    def "Hat" {\n    }\n}\n'
    )
    reference = bifrost_host.register_asset(
        "set", "set", tmp_path / "set.usda", population_masks={"hero": ["/World/Hero"]}
    )

    seen = run(
        """
from pxr import Usd
def masked(mask, **options):
    return prims(host.open_usd_stage(sys.argv[1], mask=mask, **options))
paths = ["/World/Hero/Hat"]
show(
    good=[masked("hero"), masked("/World/Hero"), masked(paths), masked(Usd.StagePopulationMask(paths))],
    later=masked("/World/Villain/Hat", load="none"),
    wrong=[raised(lambda: masked(each)) for each in (
        "villain", "/World/Hera", "/World/Hero/Ha t", "/World.size", [], ["World"], "/Wurld/Hero",
    )],
)
""",
        reference,
    )

    hero = ["/World", "/World/Hero", "/World/Hero/Hat"]
    assert [hero] * 4 == seen["good"]
    assert ["/World"] == seen["later"]
    for expected, message in zip(
        (
            "neither an absolute prim path nor a mask that was published with the version: those are hero",
            "no prim </World/Hera>; did you mean /World/Hero?",
            "'/World/Hero/Ha t' is no prim path",
            "'/World.size' is no absolute path of a prim",
            "no prim paths in it",
            "'World' is no absolute path of a prim",
            "no prim </Wurld/Hero>; did you mean /World?",
        ),
        seen["wrong"],
        strict=True,
    ):
        assert message.startswith("InvalidTraitsException: mask: ")
        assert expected in message


def test_masks_are_told_to_who_may_read_the_asset(show: Show, run, tmp_path: Path) -> None:
    """
    Who may only resolve it, a farm, opens it, and learns no names of masks.
    """
    file = tmp_path / "set.usda"
    file.write_text(layer())
    reference = bifrost_host.register_asset("set", "set", file, population_masks={"secret": ["/a"]})
    key = tmp_path / "key"
    key.write_text("thirty-two bytes or more of secret")
    key.chmod(0o600)

    def token(role: str) -> str:
        claims = {"sub": role, "exp": time.time() + 600, "roles": [role]}
        return jwt.encode(claims, key.read_text(), "HS256")

    seen = run(
        """
def opened(token, mask):
    return host.open_usd_stage(sys.argv[1], mask=mask, context=Context(access_token=token))
viewer, farm = sys.argv[2:]
show(viewer=raised(lambda: opened(viewer, "none")), farm=raised(lambda: opened(farm, "secret")),
     farms=prims(opened(farm, ["/a"])))
""",
        reference,
        token("viewer"),
        token("resolve"),
        env={
            "BIFROST_ACCESS__TOKENS": "required",
            "BIFROST_ACCESS__ALGORITHMS": "HS256",
            "BIFROST_ACCESS__KEY_FILE": str(key),
        },
    )

    assert "those are secret" in seen["viewer"]
    assert seen["farm"].startswith("PermissionDeniedException")
    assert "'read'" in seen["farm"]
    assert ["/a"] == seen["farms"]


def test_remembered_selections_are_made_and_masks_may_name_what_they_bring(show: Show, run) -> None:
    """
    In the session layer, so nothing that is published changes; and what they load is locked, too.
    """
    brought = show.publish("brought.usda", layer(value="brought"))
    root = show.publish(
        "root.usda",
        f"""#usda 1.0
def "a" (variantSets = "look") {{
    variantSet "look" = {{
        "plain" {{
        }}
        "rich" {{
            def "b" (references = @{brought}@) {{
            }}
        }}
    }}
}}
""",
    )

    seen = run(
        """
from bifrost.usd import selections
selections.remember(current(), sys.argv[1], selections.Place("/a", "look"), "rich")
stage = host.open_usd_stage(sys.argv[1], mask="/a/b")
show(value=value(stage, "/a/b"), dirty=stage.GetRootLayer().dirty,
     editable=[each.editable for each in host.get_usd_layers(stage)])
""",
        root,
    )

    assert {"value": "brought", "dirty": False, "editable": [False, False]} == seen


@pytest.mark.parametrize("how", ["environment", "context", "both"])
def test_with_pins_a_stage_is_what_they_say_and_nobody_is_asked(
    shot: str, show: Show, run, tmp_path: Path, how: str
) -> None:
    """
    Not about the root either, which has a newer version by then.
    """
    pins = tmp_path / "shot.pins.json"
    pinning.pin(shot).save(pins)
    show.publish("shot.usda", layer(value="third"))
    show.publish("leaf.usda", layer(value="3"))

    seen = run(
        """
context = Context(pins=sys.argv[2]) if sys.argv[3] == "context" else None
if sys.argv[3] == "both":
    context = Context(user="ann")
stage = host.open_usd_stage(sys.argv[1], context=context)
asked = round_trips()
show(values=[value(stage, "/a"), value(stage)], asked=asked,
     editable=[each.editable for each in host.get_usd_layers(stage)])
""",
        shot,
        pins,
        how,
        env={} if how == "context" else {"BIFROST_PINS": str(pins)},
    )

    assert {"values": ["second", "2"], "asked": 0, "editable": [False, False]} == seen


def test_what_is_no_layer_is_no_stage(show: Show, run) -> None:
    """
    One error of one kind, for files and references alike.
    """
    broken = show.publish("broken.usda", '#usda 1.0\ndef "a" {\n')
    cut = show.publish("cut.usdc", "")
    show.path("cut.usdc", 1).write_bytes(b"PXR-USDC" + b"\0" * 8)

    seen = run(
        """
show(all=[raised(lambda: host.open_usd_stage(each)) for each in sys.argv[1:]])
""",
        broken,
        cut,
        show.path("broken.usda", 1),
        show.folder / "gone.usda",
        "bifrost:///assets/gone",
    )["all"]

    kinds = [each.partition(":")[0] for each in seen]
    assert [*["LayerException"] * 3, "LocationException", "AssetNotFoundException"] == kinds
    assert "Expected }" in seen[0]
    assert "cut off" in seen[1]


ODD = {
    "a default prim that is not there": '(defaultPrim = "gone")\ndef "kept" {\n}\n',
    "a sublayer of itself": '(subLayers = [@./root.usda@])\ndef "kept" {\n}\n',
    "sublayers in a circle": '(subLayers = [@./back.usda@])\ndef "kept" {\n}\n',
    "references in a circle": (
        'def "kept" {\n}\ndef "c" (references = @./round.usda@</c>) {\n}\n'
    ),
    "a broken sublayer": '(subLayers = [@./broken.usda@])\ndef "kept" {\n}\n',
    "a missing payload": 'def "kept" {\n}\ndef "p" (payload = @bifrost:///assets/gone@) {\n}\n',
    "an instance": (
        'def "kept" (instanceable = true\nreferences = </of>) {\n}\n'
        'class "of" {\n    def "x" {\n    }\n}\n'
    ),
    "relocates": (
        '(relocates = { </of/x>: </of/y> })\ndef "kept" {\n}\n'
        'def "of" (references = @./x.usda@</of>) {\n}\n'
    ),
}  # fmt: skip


@pytest.fixture
def odd(tmp_path: Path) -> dict[str, Path]:
    """A root of each odd kind in a folder of its own, with what they name."""
    made = {}
    beside = {
        "back.usda": '(subLayers = [@./root.usda@])\ndef "back" {\n}\n',
        "round.usda": 'def "c" (references = @./root.usda@</c>) {\n}\n',
        "broken.usda": 'def "a" {\n',
        "x.usda": 'def "of" {\n    def "x" {\n    }\n}\n',
    }
    for number, (name, text) in enumerate(ODD.items()):
        made[name] = tmp_path / str(number) / "root.usda"
        for file, content in {"root.usda": text, **beside}.items():
            path = made[name].with_name(file)
            path.parent.mkdir(exist_ok=True)
            path.write_text("#usda 1.0\n" + content)
    return made


def test_what_usd_opens_with_a_warning_opens(odd: dict[str, Path], run) -> None:
    """
    Nothing is lost of what does compose, all its layers are listed, and each opens within the time.
    """
    seen = run(
        """
found = {}
for root in sys.argv[1:]:
    stage = host.open_usd_stage(root)
    names = [os.path.basename(each.path) for each in host.get_usd_layers(stage)]
    found[root] = [bool(stage.GetPrimAtPath("/kept")), names]
show(**found)
""",
        *odd.values(),
    )

    assert {str(root): True for root in odd.values()} == {
        root: kept for root, (kept, _) in seen.items()
    }
    assert ["root.usda", "back.usda"] == seen[str(odd["sublayers in a circle"])][1]
    assert ["root.usda", "x.usda"] == seen[str(odd["relocates"])][1]


def test_packages_in_packages_open_and_are_locked(run, tmp_path: Path) -> None:
    """
    Each layer in them is listed by its place; the size is the package's.
    """
    (tmp_path / "inner.usda").write_text(layer(value="inner"))
    assert UsdUtils.CreateNewUsdzPackage(str(tmp_path / "inner.usda"), str(tmp_path / "inner.usdz"))
    (tmp_path / "outer.usda").write_text(layer(references=("./inner.usdz",)))
    assert UsdUtils.CreateNewUsdzPackage(str(tmp_path / "outer.usda"), str(tmp_path / "outer.usdz"))
    reference = bifrost_host.register_asset("model", "outer", tmp_path / "outer.usdz")

    seen = run(
        """
stage = host.open_usd_stage(sys.argv[1])
show(layers=[each.as_dict() for each in host.get_usd_layers(stage)], value=value(stage))
""",
        reference,
    )

    assert "inner" == seen["value"]
    assert {(False, (tmp_path / "outer.usdz").stat().st_size)} == {
        (each["editable"], each["size"]) for each in seen["layers"]
    }
    assert any("[inner.usdz" in each["path"] for each in seen["layers"])


def test_layers_are_listed_strongest_first_and_say_what_they_are(show: Show, run) -> None:
    """
    Muted ones last; those whose version was deleted under the stage say that they are gone.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    strong = show.publish("strong.usda", layer())
    weak = show.publish("weak.usda", layer())
    root = show.root("root.usda", leaf)
    root.write_text(layer(sublayers=(strong, weak), references=(leaf,)))

    seen = run(
        """
stage = host.open_usd_stage(sys.argv[1])
stage.MuteLayer("bifrost:///assets/weak.usda")
os.unlink(sys.argv[2])
stage.SetEditTarget(stage.GetSessionLayer())
stage.DefinePrim("/still_here")
show(layers=[each.as_dict() for each in host.get_usd_layers(stage)], value=value(stage))
""",
        root,
        show.path("leaf.usda", 1),
    )

    names = [each["path"].rpartition("/")[2] for each in seen["layers"]]
    by_name = dict(zip(names, seen["layers"], strict=True))
    assert ["root.usda", "strong.usda", "leaf.usda", "weak.usda"] == names
    assert "1" == seen["value"]
    assert (True, "", "", root.stat().st_size) == tuple(
        by_name["root.usda"][key] for key in ("editable", "reference", "version", "size")
    )
    assert (False, strong, "1", "org.bifrost.assetmanager") == tuple(
        by_name["strong.usda"][key] for key in ("editable", "reference", "version", "manager")
    )
    assert (True, weak) == (by_name["weak.usda"]["muted"], by_name["weak.usda"]["reference"])
    assert (None, "its file is not there any more") == (
        by_name["leaf.usda"]["size"],
        by_name["leaf.usda"]["problem"],
    )


def test_layers_have_the_names_that_the_stage_gives_them(show: Show, run) -> None:
    """
    Not those by which somebody else in the process opened their files before: a path, a version.
    """
    leaf, other = (show.publish(name, layer(value="1")) for name in ("leaf.usda", "other.usda"))
    root = show.publish("root.usda", layer(references=(leaf, other)))

    seen = run(
        """
from pxr import Sdf
somebodys = [Sdf.Layer.FindOrOpen(each) for each in sys.argv[2:]]
stage = host.open_usd_stage(sys.argv[1])
show(rows=[[each.reference, each.version, each.editable] for each in host.get_usd_layers(stage)])
""",
        root,
        show.path("leaf.usda", 1),
        f"{other}?version=1",
    )

    assert [[root, "1", False]] == seen["rows"][:1]
    assert [[leaf, "1", False], [other, "1", False]] == sorted(seen["rows"][1:])


def test_the_command_prints_a_table(shot: str, run_python) -> None:
    """
    One line for each layer: which version, whether it may be edited, how large, where.
    """
    done = run_python(CLI, shot)

    heads, *rows = [line.split() for line in done.stdout.splitlines()]
    assert ["layer", "version", "editable", "size", "file"] == heads
    assert [[shot, "2", "no"], ["bifrost:///assets/leaf.usda", "2", "no"]] == [
        row[:3] for row in rows
    ]
    assert all(row[4] == "B" and row[5].endswith(".usda") for row in rows)


def test_the_command_prints_json_and_fails_where_something_did(show: Show, run_python) -> None:
    """
    The trouble is on stderr, so what is on stdout stays a list.
    """
    root = show.root("root.usda", show.publish("leaf.usda", layer()), "bifrost:///assets/gone")

    done = run_python(CLI, root, "--json", check=False)
    listed = json.loads(done.stdout)
    missing = run_python(CLI, show.folder / "nothing.usda", check=False)

    assert 1 == done.returncode
    assert "bifrost:///assets/gone" in done.stderr
    assert [True, False] == [each["editable"] for each in listed]
    assert {"reference", "version", "editable", "size"} <= listed[0].keys()
    assert 1 == missing.returncode
    assert "nothing.usda" in missing.stderr
