# SPDX-License-Identifier: Apache-2.0
"""Open stages with what trips up tools: session layers, instances and their prototypes, muted layers."""

from __future__ import annotations

import pytest
from pxr import Sdf, Usd

from bifrost import bifrost_host as host
from bifrost.testing.show import Show

CHAIR, STOOL = "./chair.usda", "./stool.usda"


@pytest.fixture
def shot(show: Show) -> Usd.Stage:
    """A stage over a sublayer, whose chairs are instances; its session layer adds one."""
    root = show.root("root.usda")
    root.write_text(
        "#usda 1.0\n(subLayers = [@./sub.usda@])\n"
        f'def "one" (instanceable = true\nreferences = @{CHAIR}@) {{\n}}\n'
        f'def "two" (instanceable = true\nreferences = @{CHAIR}@) {{\n}}\n'
    )
    root.with_name("sub.usda").write_text(
        f'#usda 1.0\ndef "three" (references = @{CHAIR}@) {{\n}}\n'
    )
    for name in ("chair", "stool"):
        root.with_name(f"{name}.usda").write_text(
            f'#usda 1.0\n(defaultPrim = "a")\ndef "a" {{\n def "{name}" {{\n }}\n}}\n'
        )
    stage = Usd.Stage.Open(str(root))
    with Usd.EditContext(stage, stage.GetSessionLayer()):
        stage.DefinePrim("/four").GetReferences().AddReference(CHAIR)
    return stage


def test_session_layers_are_read_and_moved_like_others(shot: Usd.Stage, show: Show) -> None:
    """
    What was added there moves too; no file is written.
    """
    before = {path: path.read_bytes() for path in show.folder.iterdir()}

    arcs = [arc for arc in host.extract_arcs(shot) if arc.target == CHAIR]
    moved = host.retarget(shot, CHAIR, STOOL)

    assert ["/four", "/one", "/three", "/two"] == sorted(arc.path for arc in arcs)
    assert (4, {""}) == (len(moved.moves), {move.problem for move in moved.moves})
    assert before == {path: path.read_bytes() for path in show.folder.iterdir()}


def test_what_is_in_a_prototype_moves_where_it_stands(shot: Usd.Stage) -> None:
    """
    Both instances compose anew, and share one prototype as before.
    """
    host.retarget(shot, CHAIR, STOOL)

    one, two = (shot.GetPrimAtPath(path) for path in ("/one", "/two"))
    assert one.GetPrototype() == two.GetPrototype()
    assert shot.GetPrimAtPath("/one/stool")
    assert not shot.GetPrimAtPath("/one/chair")


def test_a_muted_layer_keeps_what_it_says(shot: Usd.Stage, show: Show) -> None:
    """
    It is named, and neither read nor moved, until somebody unmutes it.
    """
    sub = show.folder / "sub.usda"
    shot.MuteLayer(str(sub))

    moved = host.retarget(shot, CHAIR, STOOL)
    listed = {each.path: each.muted for each in host.get_usd_layers(shot)}
    shot.UnmuteLayer(str(sub))

    assert ["/four", "/one", "/two"] == sorted(move.arc.path for move in moved.moves)
    assert listed[str(sub)]
    assert shot.GetPrimAtPath("/three/chair")
    assert not Sdf.Layer.Find(str(sub)).dirty
