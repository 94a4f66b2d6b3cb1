# SPDX-License-Identifier: Apache-2.0
"""A file comes with everything that it reaches below its own folder, and with nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pxr import Sdf

from bifrost.catalogue import Dependency
from bifrost.errors import InvalidTraitsException
from bifrost.usd.contents import Why, copies, dependencies, entity_references, files_beside
from bifrost.usd.description import describe

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
ASSETS = SAMPLES.parents[1] / "shared" / "data" / "usd_wg" / "full_assets"


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    # The format wants a line of its own for a closing brace.
    path.write_text("#usda 1.0\n" + text.replace(" }", "\n}"), encoding="utf-8")
    return path


def touched(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def losses(contents):
    return {(loose.path, loose.why) for loose in contents.loose}


@pytest.mark.parametrize(
    ("file", "beside"),
    [
        (
            "asset_with_variants/robot.usda",
            (
                "antenna_dish.usda robot_geometry.usda robot_looks.usda textures/blue.png textures/red.png "
                "textures/steel.png"
            ),
        ),
        (
            "payload_and_udim/house.usda",
            (
                "house_geometry.usda textures/brick.1001.png textures/brick.1002.png "
                "textures/brick.1011.png textures/door.png"
            ),
        ),
        (
            "value_clips/drone.usda",
            (
                "clips/flight.001.usda clips/flight.002.usda clips/flight.003.usda clips/flight.004.usda "
                "clips/flight_manifest.usda clips/lamp_manifest.usda clips/lamp_off.usda "
                "clips/lamp_on.usda"
            ),
        ),
    ],
)
def test_a_sample_comes_with_what_is_beside_it(file, beside):
    contents = files_beside(SAMPLES / file)

    assert tuple(beside.split()) == contents.beside
    assert contents.is_whole


def test_a_copy_means_what_the_original_does(tmp_path):
    contents = files_beside(SAMPLES / "asset_with_variants" / "robot.usda")

    for source, target in copies(contents, tmp_path / "v1"):
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)

    assert describe(SAMPLES / "asset_with_variants" / "robot.usda") == describe(
        tmp_path / "v1" / "robot.usda"
    )


def test_what_cannot_come_along_is_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("PXR_AR_DEFAULT_SEARCH_PATH", str(tmp_path / "library"))
    touched(tmp_path / "library" / "on_the_path.png")
    touched(tmp_path / "other.usda")
    (tmp_path / "asset" / "folder").mkdir(parents=True)
    paths = (
        *("../other.usda", "./missing.png", str(tmp_path / "other.usda"), "on_the_path.png"),
        *("./folder", "sub/../../other.usda"),
    )
    attributes = "".join(f"asset a{number} = @{path}@\n" for number, path in enumerate(paths))
    root = written(tmp_path / "asset" / "root.usda", f'def "A" {{\n{attributes}}}\n')

    contents = files_beside(root)

    assert {
        ("../other.usda", Why.ABOVE),
        ("./missing.png", Why.MISSING),
        (str(tmp_path / "other.usda"), Why.ABSOLUTE),
        ("on_the_path.png", Why.SEARCHED),
        ("./folder", Why.DIRECTORY),
        ("sub/../../other.usda", Why.ABOVE),
    } == losses(contents)
    assert () == contents.beside


def test_a_layer_below_may_name_what_is_beside_it_above(tmp_path):
    touched(tmp_path / "tex" / "a.png")
    written(tmp_path / "sub" / "layer.usda", 'def "A" { asset file = @../tex/a.png@ }\n')
    root = written(tmp_path / "root.usda", "(subLayers = [@./sub/layer.usda@])\n")

    contents = files_beside(root)

    assert ("sub/layer.usda", "tex/a.png") == contents.beside
    assert contents.is_whole


def test_layers_that_name_each_other_end(tmp_path):
    written(tmp_path / "b.usda", 'def "B" (references = @./a.usda@) {}\n')
    root = written(tmp_path / "a.usda", 'def "A" (references = @./b.usda@) {}\n')

    assert ("b.usda",) == files_beside(root).beside


def test_a_layer_beside_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "b.usda").write_bytes(b"garbage")
    root = written(tmp_path / "a.usda", "(subLayers = [@./b.usda@])\n")

    contents = files_beside(root)

    assert {("b.usda", Why.UNREADABLE)} == losses(contents)


def test_a_file_that_cannot_be_read_itself_is_refused(tmp_path):
    (tmp_path / "a.usda").write_bytes(b"garbage")

    with pytest.raises(InvalidTraitsException):
        files_beside(tmp_path / "a.usda")


def test_a_file_that_is_no_layer_reaches_nothing(tmp_path):
    contents = files_beside(touched(tmp_path / "a.png"))

    assert {"a.png": str(tmp_path / "a.png")} == contents.files


def test_a_package_holds_what_it_names(tmp_path):
    from pxr import UsdUtils

    assert UsdUtils.CreateNewUsdzPackage(
        str(SAMPLES / "asset_with_variants" / "robot.usda"), str(tmp_path / "robot.usdz")
    )
    root = written(tmp_path / "a.usda", 'def "A" (references = @./robot.usdz[robot.usda]@) {}\n')

    contents = files_beside(root)

    assert ("robot.usdz",) == contents.beside
    assert contents.is_whole


def test_the_pictures_of_a_materialx_document_come_along(tmp_path):
    touched(tmp_path / "look" / "tex" / "a.png")
    (tmp_path / "look" / "a.mtlx").write_text(
        '<materialx fileprefix="tex/"><image><input name="file" type="filename" value="a.png"/>'
        "</image></materialx>"
    )
    root = written(tmp_path / "a.usda", 'def "A" (references = @./look/a.mtlx@) {}\n')

    assert ("look/a.mtlx", "look/tex/a.png") == files_beside(root).beside


def test_unsaved_edits_of_the_process_are_not_followed(tmp_path):
    root = written(tmp_path / "a.usda", 'def "A" {}\n')
    layer = Sdf.Layer.FindOrOpen(str(root))
    layer.subLayerPaths.append("./unsaved.usda")

    assert files_beside(root).is_whole


REFERENCES = """(subLayers = [@bifrost:///assets/light?version=2@, @./b.usda@])
def "A" (
    references = [@bifrost:///assets/hero@</Hero>, @bifrost:///assets/gone@]
    payload = @bifrost:///assets/hero?version=latest@
)
{
    asset other = @other:///thing@
    asset bad = @bifrost:///assets/@
    asset again = @bifrost:///assets/hero@
    asset expression = @`"${WHAT}.usda"`@
}
"""


@pytest.fixture
def naming_assets(tmp_path):
    """A layer, and one beside it, that name assets."""
    written(tmp_path / "b.usda", 'def "B" { asset file = @bifrost:///assets/tex.<UDIM>.png@ }\n')
    return files_beside(written(tmp_path / "a.usda", REFERENCES))


def test_dependencies_are_what_the_files_name_once_for_each_kind(naming_assets):
    found = dependencies(naming_assets, lambda refs: ["gone" not in ref for ref in refs])

    assert {
        Dependency("light", "2", "sublayer"),
        Dependency("hero", None, "reference"),
        Dependency("hero", "latest", "payload"),
        Dependency("hero", None, "attribute"),
        Dependency("tex.<UDIM>.png", None, "attribute"),
    } == set(found)
    assert found == dependencies(naming_assets, lambda refs: ["gone" not in ref for ref in refs])


def test_the_catalogue_is_asked_once(naming_assets):
    asked = []

    dependencies(naming_assets, lambda refs: [asked.append(refs) is None for _ in refs])

    assert 1 == len({id(refs) for refs in asked})


def test_references_are_of_this_catalogue(naming_assets):
    assert "other:///thing" not in entity_references(naming_assets)
    assert ['`"${WHAT}.usda"`'] == [named.path for named in naming_assets.open_ended]


def test_a_chess_piece_comes_with_its_textures():
    path = ASSETS / "OpenChessSet" / "assets" / "Bishop" / "Bishop.usd"
    if not path.exists():
        pytest.skip(f"the USD Working Group's assets are not at {ASSETS}")

    contents = files_beside(path)

    assert contents.is_whole
    assert "tex/bishop_black_base_color.jpg" in contents.beside
