# SPDX-License-Identifier: Apache-2.0
"""Selecting: in open stages, for later ones of a session, in layers. Of files, without a catalogue."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

import pytest
from pxr import Sdf, Tf, Usd, UsdUtils

from bifrost.errors import AccessModeException, InvalidTraitsException, StorageException
from bifrost.host.usd_variants import UsdVariantCalls
from bifrost.session import Session
from bifrost.usd import selections
from bifrost.usd.selections import Place

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
ROBOT = str(SAMPLES / "asset_with_variants" / "robot.usda")
HERO = "bifrost:///assets/hero"
COLOUR = Place("/Robot", "colour")
ANTENNA = Place("/Robot", "antenna")
SIZE = Place("/Robot", "size")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def host():
    return UsdVariantCalls()


def selected(stage, name="colour"):
    return stage.GetPrimAtPath("/Robot").GetVariantSet(name).GetVariantSelection()


# In an open stage


def test_a_selection_in_an_open_stage_is_in_its_session_layer(host):
    stage = Usd.Stage.Open(ROBOT)
    before = stage.GetRootLayer().ExportToString()

    made = host.select_usd_variant(ROBOT, "/Robot", "colour", "blue", stage=stage)

    assert "blue" == selected(stage)
    assert ("red", stage.GetSessionLayer().identifier) == (made.before, made.layer)
    assert before == stage.GetRootLayer().ExportToString()
    assert not stage.GetRootLayer().dirty


def test_a_selection_in_an_open_stage_is_that_stages_alone(host):
    stage, other = Usd.Stage.Open(ROBOT), Usd.Stage.Open(ROBOT)

    host.select_usd_variant(ROBOT, "/Robot", "colour", "blue", stage=stage)

    assert ("blue", "red") == (selected(stage), selected(other))
    assert "red" == host.get_usd_variants(ROBOT)["colour"]["selection"]


def test_none_takes_a_selection_back(host):
    stage = Usd.Stage.Open(ROBOT)
    host.select_usd_variant(ROBOT, None, "colour", "blue", stage=stage)

    host.select_usd_variant(ROBOT, None, "colour", None, stage=stage)

    assert "red" == selected(stage)


def test_a_stage_without_a_session_layer_can_take_none(host):
    stage = Usd.Stage.Open(Sdf.Layer.FindOrOpen(ROBOT), sessionLayer=None)

    with pytest.raises(AccessModeException, match="no session layer"):
        host.select_usd_variant(ROBOT, "/Robot", "colour", "blue", stage=stage)


def test_a_stages_edit_target_takes_a_selection_for_the_layer(host, tmp_path):
    shot = tmp_path / "shot.usda"
    shot.write_text(f"#usda 1.0\n(subLayers = [@{ROBOT}@])\n")
    stage = Usd.Stage.Open(str(shot))

    made = host.select_usd_variant(
        str(shot), "/Robot", "colour", "blue", stage=stage, target="layer"
    )

    assert ("blue", str(shot)) == (selected(stage), made.layer)
    assert {"colour": "blue"} == dict(
        stage.GetRootLayer().GetPrimAtPath("/Robot").variantSelections
    )
    assert "blue" not in shot.read_text()  # it is not saved


def test_an_edit_target_inside_a_variant_takes_it_there(host):
    layer = Sdf.Layer.FindOrOpen(ROBOT)
    stage = Usd.Stage.Open(layer)
    work = Sdf.Layer.CreateAnonymous("work.usda")
    stage.GetSessionLayer().subLayerPaths = [work.identifier]
    inside = stage.GetPrimAtPath("/Robot").GetVariantSet("antenna")
    stage.SetEditTarget(Usd.EditTarget(work))
    inside.SetVariantSelection("dish")
    stage.SetEditTarget(inside.GetVariantEditTarget(work))

    host.select_usd_variant(ROBOT, "/Robot", "size", "large", stage=stage, target="layer")

    assert "large" == selected(stage, "size")
    assert work.GetPrimAtPath("/Robot{antenna=dish}")


@pytest.fixture
def read_only(tmp_path):
    path = tmp_path / "published.usda"
    path.write_bytes(Path(ROBOT).read_bytes())
    path.chmod(0o444)
    return str(path)


def test_a_read_only_layer_is_not_edited_whoever_asks(host, read_only):
    """
    By the file's modes, as published ones have them: root may write whatever is read-only.
    """
    stage = Usd.Stage.Open(read_only)

    for asked in ({"stage": stage}, {"layer": read_only}, {"layer": stage.GetRootLayer()}):
        with pytest.raises(AccessModeException, match=r"working copy .* register_version"):
            host.select_usd_variant(read_only, "/Robot", "colour", "blue", target="layer", **asked)

    assert not stage.GetRootLayer().dirty
    assert "red" == selected(stage)


def test_a_layer_without_permission_to_edit_is_not_edited(host):
    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.TransferContent(Sdf.Layer.FindOrOpen(ROBOT))
    layer.SetPermissionToEdit(False)

    with pytest.raises(AccessModeException, match="permission to edit"):
        host.select_usd_variant(ROBOT, "/Robot", "colour", "blue", target="layer", layer=layer)


@pytest.fixture
def instances(tmp_path):
    path = tmp_path / "many.usda"
    kit = f'class "Kit" {{\n def "In" (references = @{ROBOT}@) {{\n}}\n}}\n'
    prims = "".join(
        f'def "I{n}" (instanceable = true\ninherits = </Kit>) {{\n}}\n' for n in range(2)
    )
    path.write_text(f"#usda 1.0\n{kit}{prims}")
    return str(path)


def test_inside_an_instance_nothing_is_selected(host, instances):
    stage = Usd.Stage.Open(instances)

    for where in ({"stage": stage}, {}):
        with pytest.raises(AccessModeException, match="inside the instance /I0"):
            host.select_usd_variant(instances, "/I0/In", "colour", "blue", **where)


def test_an_instance_itself_may_have_a_selection(host, tmp_path):
    path = tmp_path / "s.usda"
    path.write_text(f'#usda 1.0\ndef "R" (instanceable = true\nreferences = @{ROBOT}@) {{\n}}\n')
    stage = Usd.Stage.Open(str(path))

    host.select_usd_variant(str(path), "/R", "colour", "blue", stage=stage)

    assert "blue" == stage.GetPrimAtPath("/R").GetVariantSet("colour").GetVariantSelection()


# In a layer


def test_a_working_copy_is_made_with_what_lies_beside_it(host):
    before = Path(ROBOT).read_text()

    made = host.select_usd_variant(ROBOT, "/Robot", "colour", "blue", target="layer")

    copy = Path(made.layer)
    assert "robot.usda" == copy.name
    assert ("blue", "/Robot") == (selected(Usd.Stage.Open(str(copy))), made.prim_path)
    assert (copy.parent / "textures" / "blue.png").is_file()
    assert all(file.stat().st_mode & 0o200 for file in copy.parent.rglob("*"))
    assert before == Path(ROBOT).read_text()


def test_a_working_copy_goes_on_being_edited(host, tmp_path):
    work = tmp_path / "work" / "robot.usda"

    host.select_usd_variant(ROBOT, "/Robot", "colour", "blue", target="layer", layer=work)
    host.select_usd_variant(ROBOT, "/Robot", "antenna", "none", target="layer", layer=str(work))
    host.select_usd_variant(ROBOT, "/Robot", "colour", None, target="layer", layer=work)

    saved = Sdf.Layer.OpenAsAnonymous(str(work))
    assert {"antenna": "none"} == dict(saved.GetPrimAtPath("/Robot").variantSelections)


def test_a_working_copy_overwrites_nothing(host, tmp_path):
    (tmp_path / "robot_looks.usda").write_text("mine")

    with pytest.raises(StorageException, match="can't be written"):
        host.select_usd_variant(
            ROBOT, "/Robot", "colour", "blue", target="layer", layer=tmp_path / "robot.usda"
        )

    assert "mine" == (tmp_path / "robot_looks.usda").read_text()


def test_a_working_copy_has_the_assets_own_format(host, tmp_path):
    with pytest.raises(InvalidTraitsException, match=r"expected a \.usda file"):
        host.select_usd_variant(
            ROBOT, "/Robot", "colour", "blue", target="layer", layer=tmp_path / "robot.usdc"
        )


def test_a_crate_stays_a_crate(host, tmp_path):
    crate = tmp_path / "a.usdc"
    Sdf.Layer.FindOrOpen(ROBOT).Export(str(crate))
    before = crate.read_bytes()

    made = host.select_usd_variant(str(crate), "/Robot", "colour", "blue", target="layer")

    assert Path(made.layer).read_bytes().startswith(b"PXR-USDC")
    assert before == crate.read_bytes()


def test_a_package_is_looked_into_and_not_edited(host, tmp_path):
    package = str(tmp_path / "robot.usdz")
    UsdUtils.CreateNewUsdzPackage(ROBOT, package)

    assert "red" == host.get_usd_variants(package, Sdf.Path("/Robot"))["colour"]["selection"]
    for asked in ({}, {"layer": package}, {"layer": tmp_path / "other.usdz"}):
        with pytest.raises(AccessModeException, match="only reads"):
            host.select_usd_variant(package, "/Robot", "colour", "blue", target="layer", **asked)


@pytest.mark.parametrize(
    "wrong",
    [
        {"target": "sesion"},
        {"target": None},
        {"target": "session", "layer": "x.usda"},
        {"target": "layer", "layer": "x.usda", "stage": True},
    ],
)
def test_a_target_that_there_is_not_is_refused(host, wrong):
    if "stage" in wrong:
        wrong = {**wrong, "stage": Usd.Stage.Open(ROBOT)}

    with pytest.raises(InvalidTraitsException):
        host.select_usd_variant(ROBOT, "/Robot", "colour", "blue", **wrong)


# For later stages of the session


def test_what_is_remembered_shows_and_is_applied(host):
    host.select_usd_variant(ROBOT, "/Robot", "colour", "blue")
    stage = Usd.Stage.Open(ROBOT)

    applied = selections.apply(stage, ROBOT, host.session)

    assert {COLOUR: "blue"} == dict(applied)
    assert "blue" == selected(stage)
    found = host.get_usd_variants(ROBOT)["colour"]
    assert ("blue", "session") == (found["selection"], found["source"]["arc"])


def test_nested_selections_are_applied_from_the_outside_in(host):
    """
    Each level of nesting is one change of the stage, not each selection.
    """
    for place, variant in ((ANTENNA, "dish"), (SIZE, "large"), (COLOUR, "blue")):
        host.select_usd_variant(ROBOT, *place, variant)
    stage = Usd.Stage.Open(ROBOT)
    changes = []
    listener = Tf.Notice.Register(Usd.Notice.ObjectsChanged, lambda *_: changes.append(1), stage)

    selections.apply(stage, ROBOT, host.session)

    listener.Revoke()
    assert ("dish", "large", "blue") == tuple(
        selected(stage, n) for n in ("antenna", "size", "colour")
    )
    assert 2 == len(changes)


def test_what_is_taken_back_is_remembered_no_more(host):
    host.select_usd_variant(ROBOT, "/Robot", "colour", "blue")

    host.select_usd_variant(ROBOT, "/Robot", "colour", None)

    assert {} == dict(selections.remembered(host.session, ROBOT))
    assert "red" == host.get_usd_variants(ROBOT)["colour"]["selection"]


def test_what_a_stage_does_not_have_is_left_out_with_a_warning(host, caplog):
    session = host.session
    for place in (COLOUR, Place("/Gone", "colour"), Place("/Robot", "gone")):
        selections.remember(session, ROBOT, place, "blue")
    stage = Usd.Stage.Open(ROBOT)

    with caplog.at_level(logging.WARNING, "bifrost.usd"):
        applied = selections.apply(stage, ROBOT, session)

    assert [COLOUR] == list(applied)
    assert 2 == len(caplog.records)
    assert not stage.GetPrimAtPath("/Gone")


def test_what_a_payload_or_the_mask_hides_counts_once_it_is_there(host, tmp_path):
    path = tmp_path / "s.usda"
    kit = tmp_path / "kit.usda"
    kit.write_text(f'#usda 1.0\ndef "K" {{\n def "In" (references = @{ROBOT}@) {{\n}}\n}}\n')
    path.write_text(
        f'#usda 1.0\ndef "P" (payload = @{kit}@</K>) {{\n}}\ndef "M" (references = @{ROBOT}@) {{\n}}\n'
    )
    behind, outside = Place("/P/In", "colour"), Place("/M", "colour")
    for place in (behind, outside):
        selections.remember(host.session, str(path), place, "blue")
    mask = Usd.StagePopulationMask(["/P"])
    stage = Usd.Stage.OpenMasked(str(path), mask, Usd.Stage.LoadNone)

    assert {behind, outside} == set(selections.apply(stage, str(path), host.session))

    stage.Load()
    stage.SetPopulationMask(Usd.StagePopulationMask.All())
    for place in (behind, outside):
        prim = stage.GetPrimAtPath(place.prim_path)
        assert "blue" == prim.GetVariantSet("colour").GetVariantSelection()


def test_a_floating_references_selections_hold_for_every_version():
    session = Session()
    selections.remember(session, HERO, COLOUR, "blue")
    selections.remember(session, f"{HERO}?version=2", COLOUR, "red")
    selections.remember(session, f"{HERO}?version=2", SIZE, "large")

    assert {COLOUR: "blue"} == dict(selections.remembered(session, HERO))
    assert {COLOUR: "blue"} == dict(selections.remembered(session, f"{HERO}?version=1"))
    assert {COLOUR: "red", SIZE: "large"} == dict(
        selections.remembered(session, f"{HERO}?version=2:SDF_FORMAT_ARGS:a=b")
    )


def test_sessions_remember_apart_and_forget():
    one, two = Session(), Session()
    selections.remember(one, HERO, COLOUR, "blue")
    selections.remember(one, ROBOT, COLOUR, "blue")

    assert {} == dict(selections.remembered(two, HERO))
    selections.forget(one, HERO)
    assert {} == dict(selections.remembered(one, HERO))
    assert {COLOUR: "blue"} == dict(selections.remembered(one, os.path.relpath(ROBOT)))
    selections.forget(one)
    assert {} == dict(selections.remembered(one, ROBOT))
