# SPDX-License-Identifier: Apache-2.0
"""A shot moves from one asset or version to another, wherever it uses it, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pxr import Sdf, Usd

from bifrost import bifrost_host
from bifrost.errors import (
    AssetNotFoundException,
    ConflictException,
    InvalidReferenceException,
)
from bifrost.host.usd_arcs import UsdArcCalls
from bifrost.testing.show import Show
from bifrost.usd.extraction import arcs_of

CHAIR, STOOL = "bifrost:///assets/chair.usda", "bifrost:///assets/stool.usda"
ROOM = f"""#usda 1.0
(
    subLayers = [@{CHAIR}?version=1@ (offset = 4)]
)
def "Room" (
    prepend references = [@{CHAIR}?version=1@</Chair> (offset = 2; scale = 3), @{STOOL}@</Stool>]
    prepend variantSets = "look"
)
{{
    asset file = @{CHAIR}@
    asset files.timeSamples = {{ 1: @{CHAIR}?version=1@, 2: @other.png@ }}
    variantSet "look" = {{
        "old" {{
            def "Old" (
                payload = @{CHAIR}?version=2@</Chair>
            )
            {{
            }}
        }}
    }}
}}
"""


@pytest.fixture(autouse=True)
def furniture(show: Show) -> None:
    show.publish("chair.usda", '#usda 1.0\ndef "Chair" {}\n')
    show.publish("chair.usda", '#usda 1.0\ndef "Chair" (kind = "component") {}\n')
    show.publish("stool.usda", '#usda 1.0\ndef "Stool" {}\n')


@pytest.fixture
def calls() -> UsdArcCalls:
    return UsdArcCalls()


@pytest.fixture
def room() -> Sdf.Layer:
    layer = Sdf.Layer.CreateAnonymous(".usda")
    layer.ImportFromString(ROOM)
    return layer


class TestLayers:
    def test_without_a_version_every_use_moves(self, calls: UsdArcCalls, room: Sdf.Layer) -> None:
        before = room.ExportToString()

        moved = calls.retarget(room, CHAIR, f"{STOOL}?version=1")

        assert 5 == len(moved.moves)
        assert [""] * 5 == [move.problem for move in moved.moves]
        expected = before
        for version in ("?version=1", "?version=2", ""):
            expected = expected.replace(f"@{CHAIR}{version}@", f"@{STOOL}?version=1@")
        assert expected == room.ExportToString()

    def test_with_a_version_only_that_one_moves(self, calls: UsdArcCalls, room: Sdf.Layer) -> None:
        moved = calls.retarget(room, f"{CHAIR}?version=2", f"{CHAIR}?version=1")

        [move] = moved.moves
        assert ("/Room{look=old}Old", f"{CHAIR}?version=1") == (move.arc.path, move.target)
        assert f"{CHAIR}?version=2" not in room.ExportToString()

    def test_a_dry_run_says_the_same_and_changes_nothing(
        self, calls: UsdArcCalls, room: Sdf.Layer
    ) -> None:
        before = room.ExportToString()

        planned = calls.retarget(room, CHAIR, f"{STOOL}?version=1", dry_run=True)

        assert before == room.ExportToString()
        assert planned == calls.retarget(room, CHAIR, f"{STOOL}?version=1")

    def test_what_follows_the_reference_stays(self, calls: UsdArcCalls) -> None:
        layer = Sdf.Layer.CreateAnonymous(".usda")
        target = f"{CHAIR}:SDF_FORMAT_ARGS:a=b"
        layer.ImportFromString(
            f'#usda 1.0\ndef "A" (references = @{target}@)\n{{\n asset t = @{CHAIR}[t/x.png]@\n}}\n'
        )

        calls.retarget(layer, CHAIR, STOOL)

        assert [f"{STOOL}:SDF_FORMAT_ARGS:a=b", f"{STOOL}[t/x.png]"] == [
            arc.target for arc in arcs_of(layer)
        ]

    def test_of_two_that_would_be_one_the_second_stays(self, calls: UsdArcCalls) -> None:
        layer = Sdf.Layer.CreateAnonymous(".usda")
        layer.ImportFromString(
            f"#usda 1.0\n(subLayers = [@{CHAIR}?version=1@, @{CHAIR}?version=2@])\n"
        )

        moved = calls.retarget(layer, CHAIR, STOOL)

        assert ["", "the same is there already"] == [move.problem for move in moved.moves]
        assert [STOOL, f"{CHAIR}?version=2"] == list(layer.subLayerPaths)

    def test_moving_to_what_is_there_moves_nothing(
        self, calls: UsdArcCalls, room: Sdf.Layer
    ) -> None:
        assert () == calls.retarget(room, f"{CHAIR}?version=2", f"{CHAIR}?version=2").moves

    def test_a_plain_path_moves_as_it_stands(self, calls: UsdArcCalls, room: Sdf.Layer) -> None:
        moved = calls.retarget(room, "other.png", "./new.png")

        assert [("other.png", "./new.png", 2.0)] == [
            (move.arc.target, move.target, move.arc.time) for move in moved.moves
        ]

    def test_a_file_is_saved(self, calls: UsdArcCalls, tmp_path: Path) -> None:
        path = tmp_path / "room.usda"
        path.write_text(ROOM)

        calls.retarget(path, CHAIR, STOOL)

        assert CHAIR not in path.read_text()


class TestStages:
    def test_every_layer_of_the_stage_moves_and_published_ones_stay(
        self, calls: UsdArcCalls, tmp_path: Path
    ) -> None:
        for name in ("own", "published"):
            (tmp_path / f"{name}.usda").write_text(
                f'#usda 1.0\ndef "{name}" (references = @{CHAIR}@</Chair>) {{}}\n'
            )
        (tmp_path / "published.usda").chmod(0o444)
        root = tmp_path / "root.usda"
        root.write_text("#usda 1.0\n(subLayers = [@./own.usda@, @./published.usda@])\n")
        stage = Usd.Stage.Open(str(root))

        moved = calls.retarget(stage, CHAIR, STOOL)

        problems = {Path(move.arc.layer).name: move.problem for move in moved.moves}
        assert "" == problems["own.usda"]
        assert "publish" in problems["published.usda"]
        own, published = (Sdf.Layer.Find(str(tmp_path / f"{n}.usda")) for n in ("own", "published"))
        assert (True, False) == (own.dirty, published.dirty)
        assert CHAIR in (tmp_path / "own.usda").read_text()  # the caller saves

    def test_a_stage_composes_anew_once(self, calls: UsdArcCalls, tmp_path: Path) -> None:
        from pxr import Tf

        text = "".join(f'def "P{i}" (references = @{CHAIR}@</Chair>) {{}}\n' for i in range(20))
        layer = Sdf.Layer.CreateAnonymous(".usda")
        layer.ImportFromString(f"#usda 1.0\n{text}")
        stage = Usd.Stage.Open(layer)
        notices: list[Any] = []
        heard: Callable[..., None] = lambda *_: notices.append(1)  # noqa: E731
        key = Tf.Notice.Register(Usd.Notice.StageContentsChanged, heard, stage)

        calls.retarget(stage, CHAIR, STOOL)

        assert 1 == len(notices)
        del key


class TestAssets:
    def register(self, path: Path, name: str) -> str:
        return bifrost_host.register_asset("layout", name, path)

    @pytest.fixture
    def shot(self, tmp_path: Path) -> str:
        folder = tmp_path / "made"
        folder.mkdir()
        (folder / "part.usda").write_text(
            f'#usda 1.0\ndef "Part" (references = @{CHAIR}@</Chair>) {{}}\n'
        )
        (folder / "shot.usda").write_text(
            '#usda 1.0\n(\n defaultPrim = "Shot"\n subLayers = [@./part.usda@]\n)\n'
            f'def "Shot" (references = @{CHAIR}?version=1@</Chair>) {{}}\n'
        )
        return self.register(folder / "shot.usda", "shot")

    @pytest.fixture
    def top(self, shot: str, tmp_path: Path) -> str:
        path = tmp_path / "top.usda"
        path.write_text(
            f'#usda 1.0\n(defaultPrim = "Top")\ndef "Top" (references = @{shot}@) {{}}\n'
        )
        return self.register(path, "top")

    def test_a_next_version_is_published_with_its_files(
        self, calls: UsdArcCalls, shot: str
    ) -> None:
        moved = calls.retarget(shot, CHAIR, f"{STOOL}?version=1")

        assert f"{shot}?version=2" == moved.asset_uri
        assert 2 == len(moved.moves)
        path = bifrost_host.resolve_asset_path(moved.asset_uri)
        assert f"@{STOOL}?version=1@" in path.read_text()
        assert f"@{STOOL}?version=1@" in (path.parent / "part.usda").read_text()
        targets = [each["to"] for each in bifrost_host.get_relationships_with_metadata(shot)]
        assert [f"{STOOL}?version=1"] == targets

    def test_the_version_before_stays_as_it_is(self, calls: UsdArcCalls, shot: str) -> None:
        path = bifrost_host.resolve_asset_path(f"{shot}?version=1")
        before = path.read_bytes()

        moved = calls.retarget(shot, CHAIR, STOOL)

        assert before == path.read_bytes()
        assert {path.parent} == {Path(move.arc.layer).parent for move in moved.moves}

    def test_a_dry_run_publishes_nothing(self, calls: UsdArcCalls, shot: str) -> None:
        planned = calls.retarget(shot, CHAIR, STOOL, dry_run=True)

        assert (2, "") == (len(planned.moves), planned.asset_uri)
        assert 1 == bifrost_host.get_version(shot)

    def test_where_nothing_moves_nothing_is_published(self, calls: UsdArcCalls, shot: str) -> None:
        assert ((), "") == calls.retarget(shot, f"{CHAIR}?version=2", STOOL)
        assert 1 == bifrost_host.get_version(shot)

    def test_other_assets_under_it_are_told_and_stay(self, calls: UsdArcCalls, top: str) -> None:
        moved = calls.retarget(top, CHAIR, STOOL)

        assert "" == moved.asset_uri
        assert 2 == len(moved.moves)
        assert all("another asset's" in move.problem for move in moved.moves)

    def test_a_target_that_is_not_there_is_refused(self, calls: UsdArcCalls, shot: str) -> None:
        with pytest.raises(AssetNotFoundException, match=r"no asset 'stol\.usda'") as raised:
            calls.retarget(shot, CHAIR, "bifrost:///assets/stol.usda")

        assert STOOL in raised.value.suggestions
        assert 1 == bifrost_host.get_version(shot)

    def test_an_asset_does_not_come_to_need_itself(
        self, calls: UsdArcCalls, shot: str, top: str
    ) -> None:
        with pytest.raises(ConflictException, match="would need itself"):
            calls.retarget(shot, CHAIR, top)

    @pytest.mark.parametrize("new", ["", "bifrost:///assets/", "a\nb", "a@b"])
    def test_a_target_that_is_no_path_is_refused(
        self, calls: UsdArcCalls, room: Sdf.Layer, new: str
    ) -> None:
        with pytest.raises(InvalidReferenceException):
            calls.retarget(room, CHAIR, new)
