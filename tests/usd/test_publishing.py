# SPDX-License-Identifier: Apache-2.0
"""A USD file becomes a version: what comes along, what is read, what is made behind it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image
from pxr import Sdf, Usd

from bifrost import bifrost_host
from bifrost.errors import ConflictException, PublishRefusedException
from bifrost.publishing import Draft, Published, Publisher

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """A writable copy of a sample with variants, textures and sublayers beside it."""
    shutil.copytree(SAMPLES / "asset_with_variants", tmp_path / "robot")
    return tmp_path / "robot" / "robot.usda"


def register(path: Path, **values: object) -> str:
    return bifrost_host.register_asset("model", "Robot", path, **values)


def test_the_planned_example_runs_as_it_is_written(robot: Path) -> None:
    new_asset_uri = bifrost_host.register_asset(
        asset_type="model",
        asset_name="Character_Hero",
        file_path=str(robot),
        metadata={"tags": ["character", "hero"], "description": "Main character model"},
    )

    assert "bifrost:///assets/Character_Hero" == new_asset_uri
    assert 1 == bifrost_host.get_version(new_asset_uri)


def test_a_published_file_composes_as_it_did_with_what_lies_beside_it(robot: Path) -> None:
    before = Usd.Stage.Open(str(robot)).Flatten().ExportToString()
    uri = register(robot)
    published = bifrost_host.resolve_asset_path(uri)
    shutil.rmtree(robot.parent)

    after = Usd.Stage.Open(str(published)).Flatten().ExportToString()

    assert published.parent.name == "v0001"
    assert before.replace(str(robot.parent), "") == after.replace(str(published.parent), "")


def test_a_file_is_opened_once_wherever_it_lies_during_its_publish(
    robot: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    What reads it, checks it and draws it has one stage for all; each costs time, and memory for good.
    """
    opened: list[str] = []
    open_stage = Usd.Stage.Open

    def noted(layer: Sdf.Layer, *arguments: object) -> Usd.Stage:
        if not layer.anonymous:
            opened.append(layer.realPath)
        return open_stage(layer, *arguments)

    monkeypatch.setattr(Usd.Stage, "Open", noted)

    published = bifrost_host.resolve_asset_path(register(robot))

    assert {str(robot), str(published)} < set(opened)
    assert 3 == len(set(opened)) == len(opened)


def test_what_an_action_publishes_is_read_as_it_is_by_then(tmp_path: Path, catalogue) -> None:
    """
    It may write one file again and again, and publish it each time.
    """
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def publish_beside(published: Published) -> None:
        name = published.version.asset_id
        for file in scratch.iterdir():
            file.unlink()
        (scratch / f"{name}.png").write_bytes(b"")
        (scratch / "made.usda").write_text(
            f'#usda 1.0\n(defaultPrim = "{name}")\ndef "{name}" {{\nasset f = @./{name}.png@\n}}\n'
        )
        draft = Draft(f"{name}_made", name, "model", str(scratch / "made.usda"))
        Publisher(catalogue, actions={}).publish([draft])

    for name in ("first", "second"):
        (tmp_path / f"{name}.usda").write_text('#usda 1.0\n(defaultPrim = "a")\ndef "a" {\n}\n')
    drafts = [
        Draft(name, name, "model", str(tmp_path / f"{name}.usda")) for name in ("first", "second")
    ]

    made = Publisher(catalogue, actions={"beside": publish_beside}).publish(drafts)

    assert "" == made.actions["beside"].error
    for name in ("first", "second"):
        [version] = catalogue.versions(f"{name}_made")
        assert [f"{name}.png"] == [each["name"] for each in version.properties["files"]]
        assert name in str(version.properties["usd"])


def test_every_published_file_is_read_only(robot: Path) -> None:
    published = bifrost_host.resolve_asset_path(register(robot))

    modes = {path.stat().st_mode & 0o222 for path in published.parent.rglob("*") if path.is_file()}

    assert {0} == modes


def test_a_thumbnail_and_a_preview_are_made_behind_it(robot: Path) -> None:
    uri = register(robot)

    thumbnail = bifrost_host.resolve_asset_path(f"{uri}?representation=thumbnail")
    preview = bifrost_host.resolve_asset_path(f"{uri}?version=1&representation=preview")

    with Image.open(thumbnail) as picture:
        assert (512, 512) == picture.size
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 3
    assert Usd.Stage.Open(str(preview)).GetDefaultPrim()


def test_what_the_file_says_is_recorded_with_the_version(robot: Path) -> None:
    uri = register(robot, population_masks={"body": [f"/{default_prim(robot)}"]})

    [(asset_id, number)] = [("Robot", bifrost_host.get_version(uri))]
    [record] = bifrost_host.session.catalogue.resolve([(asset_id, str(number))])

    assert default_prim(robot) in str(record.properties["usd"])
    assert {"body": [f"/{default_prim(robot)}"]} == record.properties["populationMasks"]


def default_prim(path: Path) -> str:
    stage = Usd.Stage.Open(str(path))
    return str(stage.GetDefaultPrim().GetName())


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("#usda 1.0\n", "no-default-prim"),
        ('#usda 1.0\n(defaultPrim = "x"\nsubLayers = [@../up.usda@])\ndef "x" {}\n', "escapes"),
        (
            '#usda 1.0\n(defaultPrim = "x")\ndef "x" (references = @bifrost:///assets/none@) {}\n',
            "unknown-asset",
        ),
        ("no USD at all", "unreadable"),
    ],
)
def test_a_file_with_errors_is_not_published_and_every_finding_is_told(
    tmp_path: Path, text: str, code: str
) -> None:
    path = tmp_path / "bad.usda"
    path.write_text(text)

    with pytest.raises(PublishRefusedException) as refused:
        register(path)

    assert code in {finding.code for finding in refused.value.findings}
    assert {} == bifrost_host.session.catalogue.found(["Robot"])
    assert [] == list(bifrost_host.session.catalogue.store.root.rglob("*.usda"))


@pytest.mark.parametrize("path", ["{prim}", "../{prim}", "/{prim}.size", "."])
def test_a_population_mask_names_absolute_prim_paths(robot: Path, path: str) -> None:
    """
    OpenUSD calls `Robot` a prim path, too: a mask of it shows nothing, on every farm machine.
    """
    mask = path.format(prim=default_prim(robot))

    with pytest.raises(PublishRefusedException, match="no absolute path of a prim"):
        register(robot, population_masks={"body": [mask]})

    assert {} == bifrost_host.session.catalogue.found(["Robot"])


def test_dependencies_between_published_assets_are_relationships(
    robot: Path, tmp_path: Path
) -> None:
    uri = register(robot)
    shot = tmp_path / "shot.usda"
    shot.write_text(
        f'#usda 1.0\n(\n    defaultPrim = "s"\n    metersPerUnit = 1\n    upAxis = "Y"\n)\n'
        f'def Xform "s" (references = @{uri}?version=1@) {{}}\n'
    )

    bifrost_host.register_asset("shot", "Shot", shot)

    [edge] = bifrost_host.session.catalogue.dependencies("Shot", 1)
    assert ("Robot", "1", "reference") == edge


def test_a_second_asset_of_the_name_is_a_conflict(robot: Path) -> None:
    register(robot)

    with pytest.raises(ConflictException, match="version 1, not at 0"):
        register(robot)


def test_the_same_content_again_is_the_same_version(robot: Path) -> None:
    uri = register(robot)

    assert f"{uri}?version=1" == bifrost_host.register_version(uri, robot)


def test_other_content_is_the_next_version_and_both_stay(robot: Path) -> None:
    uri = register(robot)
    robot.chmod(0o644)
    robot.write_text(robot.read_text() + "\n# changed\n")

    again = bifrost_host.register_version(uri, robot, comment="changed")

    assert f"{uri}?version=2" == again
    assert "# changed" in bifrost_host.resolve_asset_path(uri).read_text()
    assert "# changed" not in bifrost_host.resolve_asset_path(f"{uri}?version=1").read_text()
