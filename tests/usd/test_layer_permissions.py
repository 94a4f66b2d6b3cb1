# SPDX-License-Identifier: Apache-2.0
"""Layers that may not be edited aren't, and published files stay as they are: docs/layers.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from pxr import Sdf

from bifrost import bifrost_host
from bifrost.catalogue.access import Rule
from bifrost.testing.show import Show, layer

PRELUDE = """
import gc, json, sys
from bifrost.context import Context
from bifrost.host.usd_layers import UsdLayerCalls
host = UsdLayerCalls()

def editable(stage):
    return {each.path.rpartition("/")[2]: each.editable for each in host.get_usd_layers(stage)}

def raised(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""

def show(**values):
    print(json.dumps(values))
"""

# Every way in which USD writes to a file that is there. The last word is what it is given.
WRITES = """
import ctypes, os
from pathlib import Path
reference, path, who, held = sys.argv[1:]
stage = host.open_usd_stage(reference)
from pxr import Sdf, Usd
if held != "held":
    del stage
if who == "user":  # what root may do besides, may be taken from it
    class Header(ctypes.Structure):
        _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]
    nothing = (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(ctypes.byref(Header(0x20080522, 0)), ctypes.byref(nothing)) == 0

def saved(name):
    layer = Sdf.Layer.FindOrOpen(name)
    layer.comment = "edited"
    layer.Save(True)

def made(name):
    layer = Sdf.Layer.CreateNew(name)
    layer.comment = "new"
    layer.Save()

def composed(name):
    made = Usd.Stage.CreateNew(name)
    made.DefinePrim("/new")
    made.Save()

other = Sdf.Layer.CreateAnonymous()
other.comment = "over it"
memory = Usd.Stage.CreateInMemory()
ways = {
    "Save": saved,
    "Export": other.Export,
    "StageExport": memory.Export,
    "CreateNew": made,
    "StageCreateNew": composed,
}
changed, before = [], Path(path).read_bytes()
for name, way in ways.items():
    for kind, target in (("reference", reference), ("path", path)):
        raised(lambda: way(target))
        if Path(path).read_bytes() != before:
            changed.append(f"{name} {kind}")
            before = Path(path).read_bytes()
print(json.dumps(changed))
"""


@pytest.fixture
def run(run_shown):
    """Run source after the prelude; return what it showed."""
    return run_shown


def publish(folder: Path, name: str, *, in_place: bool = False) -> tuple[str, Path]:
    """Publish a layer; return its reference and its file."""
    written = Sdf.Layer.CreateAnonymous(".usda")
    written.ImportFromString(layer(value="published"))
    written.Export(str(folder / name))
    reference = bifrost_host.register_asset("model", name, folder / name, in_place=in_place)
    return reference, bifrost_host.resolve_asset_path(reference)


@pytest.mark.parametrize("name", ["text.usda", "crate.usdc"])
def test_published_files_stay_as_they_are_whatever_is_called(run, tmp_path: Path, name: str):
    """
    Save, Export, CreateNew, by reference or path, whether a stage has the layer open or none has.
    """
    reference, path = publish(tmp_path, name)

    assert [] == run(WRITES, reference, path, "user", "held")
    assert [] == run(WRITES, reference, path, "user", "gone")


@pytest.mark.parametrize("in_place", [True, False])
def test_where_file_modes_stop_nobody_an_open_stage_still_stops_save_and_create_new(
    run, tmp_path: Path, in_place: bool
) -> None:
    """
    In place, files keep their modes, and root minds none. An export over the path is all that may get
    through.
    """
    reference, path = publish(tmp_path, "text.usda", in_place=in_place)

    assert {"Export path", "StageExport path"} >= {*run(WRITES, reference, path, "any", "held")}


def test_by_reference_nothing_is_ever_written(run, tmp_path: Path) -> None:
    """
    Not even without a stage, whoever asks and whatever the modes: but for `Save` of a layer that was
    opened without one.
    """
    reference, path = publish(tmp_path, "text.usda", in_place=True)
    changed = run(WRITES, reference, path, "any", "gone")

    assert {"Save reference"} >= {each for each in changed if each.endswith("reference")}


def test_edits_of_a_published_layer_say_how_to_publish(show: Show, run) -> None:
    """
    USD's own words, and what to do instead; where they are caught, and where the layers are listed.
    """
    reference = show.publish("hero.usda", layer())

    seen = run(
        """
stage = host.open_usd_stage(sys.argv[1])
from bifrost.usd import permissions
def edit():
    with permissions.explained():
        stage.DefinePrim("/new")
def other():
    with permissions.explained():
        stage.DefinePrim("not a path")
root = stage.GetRootLayer()
def save():
    with permissions.explained():
        root.SetPermissionToEdit(True)
        root.comment = "edited"
        root.Save()
stage.SetEditTarget(stage.GetSessionLayer())
mine = bool(stage.DefinePrim("/mine"))
stage.SetEditTarget(root)
show(edit=raised(edit), other=raised(other), save=raised(save), mine=mine,
     why=host.get_usd_layers(stage)[0].why)
""",
        reference,
    )

    for message in (seen["edit"], seen["save"], seen["why"]):
        assert "bifrost:///assets/hero.usda is published" in message
        assert "publish_layer" in message
        assert "bifrost publish file" in message
    assert seen["edit"].startswith("PermissionDeniedException: Cannot create spec at </new>")
    assert "saving not allowed" in seen["save"]
    assert seen["other"].startswith("ErrorException")
    assert seen["mine"]


def test_layers_that_load_later_are_locked_too(show: Show, run) -> None:
    """
    By a payload (again, too), by a variant, by a reference that is added, by a refresh to another version.
    """
    leaf = show.publish("leaf.usda", layer(value="1"))
    for name in ("paid.usda", "red.usda", "added.usda"):
        show.publish(name, layer())
    root = show.publish(
        "shot.usda",
        """#usda 1.0
def "paid" (payload = @bifrost:///assets/paid.usda@) {
}
def "leaf" (references = @bifrost:///assets/leaf.usda@) {
}
def "looks" (variantSets = "look") {
    variantSet "look" = {
        "red" (references = @bifrost:///assets/red.usda@) {
        }
        "none" {
        }
    }
}
""",
        (leaf,),
    )

    seen = run(
        """
stage = host.open_usd_stage(sys.argv[1], load="none")
first = editable(stage)
stage.Load()
stage.Unload()
stage.Load()
stage.SetEditTarget(stage.GetSessionLayer())
stage.GetPrimAtPath("/looks").GetVariantSets().SetSelection("look", "red")
stage.DefinePrim("/added").GetReferences().AddReference("bifrost:///assets/added.usda")
from bifrost.testing.show import Show, layer
from pathlib import Path
from pxr import Ar
Show(Path(sys.argv[2])).publish("leaf.usda", layer(value="2"))
host.session.invalidate(["bifrost:///assets/leaf.usda"])
Ar.GetResolver().RefreshContext(stage.GetPathResolverContext())
value = stage.GetPrimAtPath("/leaf").GetAttribute("v").Get()
show(first=first, then=editable(stage), value=value)
""",
        root,
        show.folder,
    )

    assert {"shot.usda": False, "leaf.usda": False} == seen["first"]
    assert (
        dict.fromkeys(("shot.usda", "paid.usda", "red.usda", "added.usda", "leaf.usda"), False)
        == (seen["then"])
    )
    assert "2" == seen["value"]


def test_working_layers_may_be_edited(show: Show, run) -> None:
    """
    A root of one's own over what is published, and the sublayers beside it.
    """
    hero = show.publish("hero.usda", layer())
    work = show.folder / "work.usda"
    (show.folder / "beside.usda").write_text(layer(value="beside"))
    work.write_text(layer(sublayers=("./beside.usda",), references=(hero,)))

    seen = run(
        """
stage = host.open_usd_stage(sys.argv[1])
before = editable(stage)
stage.DefinePrim("/new")
stage.Save()
show(before=before)
""",
        work,
    )

    assert {"work.usda": True, "beside.usda": True, "hero.usda": False} == seen["before"]
    assert '"new"' in work.read_text()


@pytest.mark.parametrize("ttl_s", ["3600", "0"])
def test_what_is_published_is_known_under_any_name(show: Show, run, ttl_s: str) -> None:
    """
    A file opened by path that a layer names by reference, whether or not a cache still knows it; a
    read-only one; one in the store; and what a published layer names beside itself.
    """
    hero = show.publish("hero.usda", layer())
    sealed = show.folder / "sealed.usda"
    sealed.write_text(layer())
    sealed.chmod(0o444)
    (show.folder / "kit.usda").write_text(layer(value="kit"))
    stored = bifrost_host.resolve_asset_path(
        bifrost_host.register_asset("model", "kit", show.folder / "kit.usda")
    )
    stored.chmod(0o644)
    whole = show.publish("whole.usda", layer(sublayers=("./part.usda",)))
    part = show.path("whole.usda", 1).with_name("part.usda")
    part.write_text(layer(sublayers=("./deeper.usda",)))
    part.with_name("deeper.usda").write_text(layer())
    root = show.folder / "root.usda"
    root.write_text(
        layer(
            sublayers=(str(sealed), str(stored), str(show.path("hero.usda", 1))),
            references=(hero, whole),
        )
    )

    seen = run(
        "show(all=editable(host.open_usd_stage(sys.argv[1])))",
        root,
        env={"BIFROST_CACHE__TTL_S": ttl_s},
    )["all"]

    assert {"root.usda"} == {name for name, may in seen.items() if may}
    assert 7 == len(seen)


def test_who_may_not_publish_may_not_edit_either(show: Show, run) -> None:
    """
    Until somebody opens the stage who may: layers are the process's. What others locked stays locked.
    """
    work = show.folder / "work.usda"
    work.parent.mkdir(parents=True, exist_ok=True)
    work.write_text(layer())
    shot = show.publish("shot.usda", layer(sublayers=(str(work),)))
    show.publish("other.usda", layer())
    rules = [Rule("shot.usda", action, "ann") for action in ("publish", "write")]
    show.catalogue.allow(rules)

    seen = run(
        """
from pxr import Sdf
work = Sdf.Layer.FindOrOpen(sys.argv[2])
def opened(who):
    return host.open_usd_stage(sys.argv[1], context=Context(user=who))
bobs = opened("bob")
denied = host.get_usd_layers(bobs)[1]
anns = opened("ann")
bobs.SetEditTarget(bobs.GetSessionLayer())
bobs.DefinePrim("/new").GetReferences().AddReference("bifrost:///assets/other.usda")
after = editable(anns)
work.SetPermissionToSave(False)
opened("ann")
show(denied=[denied.editable, denied.why], after=after, foreign=work.permissionToSave)
""",
        shot,
        work,
    )

    assert [False, "bob may neither publish nor write"] == [
        seen["denied"][0],
        seen["denied"][1][: len("bob may neither publish nor write")],
    ]
    assert {"shot.usda": False, "work.usda": True} == seen["after"]
    assert not seen["foreign"]


def test_whose_roles_let_them_only_look_edits_nothing(show: Show, run) -> None:
    """
    Proved by a token; of a file that is no asset's it is the roles that say so.
    """
    work = show.folder / "work.usda"
    work.parent.mkdir(parents=True, exist_ok=True)
    work.write_text(layer())

    seen = run(
        """
from bifrost.context import effective
from bifrost.model.permissions import Principal
from bifrost.usd import permissions
from bifrost.usd.permissions import Asker
stage = host.open_usd_stage(sys.argv[1])
found = {}
for role in ("viewer", "artist"):
    principal = Principal.of("vic", roles=[role])
    asker = Asker(host.session, effective().verified(principal), principal, sys.argv[1])
    permissions.apply(stage, asker)
    found[role] = editable(stage)["work.usda"]
show(**found)
""",
        work,
    )

    assert {"viewer": False, "artist": True} == seen


def test_a_stage_that_was_opened_otherwise_can_be_locked(show: Show, run) -> None:
    """
    As an application opens its stages itself.
    """
    hero = show.publish("hero.usda", layer())

    seen = run(
        """
from bifrost.usd import stage as plugin
plugin.warm()
from pxr import Usd
stage = Usd.Stage.Open(sys.argv[1])
before = editable(stage)
host.lock_usd_layers(stage)
show(before=before, after=editable(stage))
""",
        hero,
    )

    assert [{"hero.usda": True}, {"hero.usda": False}] == [seen["before"], seen["after"]]


def test_nothing_is_kept_alive(show: Show, run) -> None:
    """
    Looking after a stage ends with it; its layers close as they do otherwise, unsaved edits and all.
    """
    work = show.root("work.usda", show.publish("hero.usda", layer()))

    seen = run(
        """
from bifrost.usd import permissions
from pxr import Sdf
for _ in range(20):
    held = Sdf.Layer.FindOrOpen(sys.argv[1])
    stage = host.open_usd_stage(sys.argv[1])
    stage.DefinePrim("/unsaved")
    prim = stage.GetPseudoRoot()
    del stage, held
gc.collect()
show(prim=prim.IsValid(), layers=[each.identifier for each in Sdf.Layer.GetLoadedLayers()],
     followed=len(permissions._followed) <= 2)
""",
        work,
    )

    assert {"prim": False, "layers": [], "followed": True} == seen
