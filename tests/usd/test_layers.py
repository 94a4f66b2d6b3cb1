# SPDX-License-Identifier: Apache-2.0
"""Layers by entity reference: checked to be layers, and what they say without a stage."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest
from pxr import Sdf, UsdUtils

from bifrost.catalogue.access import Rule
from bifrost.context import Context, effective
from bifrost.errors import (
    AssetNotFoundException,
    Code,
    InvalidReferenceException,
    LayerException,
    LocationException,
    PermissionDeniedException,
)
from bifrost.host.publishing import PublishingCalls
from bifrost.host.usd_layers import UsdLayerCalls
from bifrost.model.permissions import Principal
from bifrost.session import current
from bifrost.testing import bal
from bifrost.testing.show import Show, layer
from bifrost.usd import layer_metadata, layers
from bifrost.usd.description import describe

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES = REPOSITORY / "usd_samples"
ASSETS = REPOSITORY.parent / "shared" / "data" / "usd_wg" / "full_assets"
SETTINGS = (
    "up_axis",
    "meters_per_unit",
    "time_codes_per_second",
    "frames_per_second",
)

RICH = """#usda 1.0
(
    "lit from the left"
    customLayerData = {
        string department = "lighting"
        double[] weights = [1, 2.5]
        asset source = @./plan.usda@
        dictionary nested = { bool ready = 1 }
        double far = inf
    }
    defaultPrim = "World"
    endTimeCode = 24
    framesPerSecond = 25
    metersPerUnit = 1
    startTimeCode = 1
    subLayers = [@./over.usda@ (offset = 10; scale = 2)]
    upAxis = "Z"
)
def Xform "World" (
    kind = "assembly"
    variantSets = "look"
    variants = { string look = "red" }
)
{
    def Mesh "Body" (prepend apiSchemas = ["MaterialBindingAPI"]) {
    }
    over "Elsewhere" {
    }
    variantSet "look" = {
        "red" {
            def Sphere "Ball" {
            }
        }
        "blue" {
            def Cube "Block" (kind = "component") {
            }
        }
    }
}
class "Template" {
}
"""


class Host(UsdLayerCalls, PublishingCalls):
    """The calls under test, and what publishes."""


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def published(show: Show):
    """Publish a text as the next version of an asset and return its reference."""

    def publish(text: str, asset_id: str = "thing.usda") -> str:
        return show.publish(asset_id, text)

    return publish


def round_trips() -> int:
    number: int = current().stats()["manager"]["round_trips"]
    return number


def test_a_layer_is_its_file(host: Host, show: Show, published) -> None:
    """
    The planned call, for a reference that floats and for one that doesn't.
    """
    published(layer(value="1"))
    reference = published(layer(value="2"))

    assert show.path("thing.usda", 2) == host.resolve_usd_layer(reference)
    assert show.path("thing.usda", 1) == host.resolve_usd_layer(f"{reference}?version=1")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("notes.txt", b"no layer", "no .txt files"),
        ("broken.usda", b'#usda 1.0\ndef "a" {\n', "broken.usda"),
        ("empty.usda", b"", "doesn't start as"),
        ("cut.usdc", b"PXR-USDC" + b"\0" * 8, "cut off"),
        ("cut.usdz", b"PK\x03\x04", "cut off"),
        ("odd.usda", b'#usda 1.0\n("\xff\xfe")\n', ""),
    ],
)
def test_what_is_no_layer_has_an_error_of_its_own(
    host: Host, show: Show, published, name: str, content: bytes, expected: str
) -> None:
    """
    It says why, and for which reference.
    """
    reference = published("", name)
    show.path(name, 1).write_bytes(content)

    for call in (host.resolve_usd_layer, host.get_usd_layer_metadata):
        with pytest.raises(LayerException) as raised:
            call(reference)
        assert Code.NOT_A_LAYER == raised.value.code
        assert reference == raised.value.asset_uri
        assert expected in raised.value.message
        assert "usdcat" in raised.value.remedy


def test_a_pattern_of_files_is_no_layer(host: Host, tmp_path: Path) -> None:
    """
    Tiles are textures.
    """
    for tile in (1001, 1002):
        (tmp_path / f"skin.{tile}.png").write_bytes(b"png")
    reference = host.register_asset("texture", "skin", tmp_path / "skin.<UDIM>.png")

    with pytest.raises(LayerException, match="pattern for several files"):
        host.resolve_usd_layer(reference)


def test_what_does_not_resolve_is_no_question_of_layers(host: Host, show: Show, published) -> None:
    """
    Each trouble has the exception that resolving has for it.
    """
    reference = published(layer())

    with pytest.raises(AssetNotFoundException):
        host.resolve_usd_layer("bifrost:///assets/nothing")
    with pytest.raises(InvalidReferenceException):
        host.get_usd_layer_metadata("bifrost:///assets/a/b")
    host.resolve_usd_layer(reference)
    show.path("thing.usda", 1).unlink()
    with pytest.raises(LocationException) as gone:  # known from before, and gone all the same
        host.resolve_usd_layer(f"{reference}?version=1")
    assert "thing.usda" in gone.value.message


def test_everything_that_a_layer_says_of_itself(host: Host, show: Show, published) -> None:
    """
    Of this one file: its sublayer is not there, and nobody minds.
    """
    said = host.get_usd_layer_metadata(published(RICH))

    assert {
        "reference": "bifrost:///assets/thing.usda?version=1",
        "path": str(show.path("thing.usda", 1)),
        "name": "thing",
        "version": "1",
        "encoding": "text",
        "size": len(RICH),
        "default_prim": "/World",
        "up_axis": "Z",
        "meters_per_unit": 1.0,
        "kilograms_per_unit": 1.0,
        "start_time_code": 1.0,
        "end_time_code": 24.0,
        "frames_per_second": 25.0,
        "time_codes_per_second": 25.0,  # as USD falls back
        "comment": "lit from the left",
        "custom_layer_data": {
            "department": "lighting",
            "weights": [1.0, 2.5],
            "source": "./plan.usda",
            "nested": {"ready": True},
            "far": "inf",
        },
        "sublayers": [{"path": "./over.usda", "offset": 10.0, "scale": 2.0}],
        "prims": 6,
        "specifiers": {"class": 1, "def": 4, "over": 1},
        "schemas": {"Cube": 1, "Mesh": 1, "Sphere": 1, "Xform": 1},
        "applied_schemas": {"MaterialBindingAPI": 1},
        "kinds": {"assembly": 1, "component": 1},
        "problems": [],
        "truncated": False,
    }.items() <= said.items()
    assert {"path": "/World", "type": "Xform", "kind": "assembly", "specifier": "def"} == said[
        "root_prims"
    ][0]
    assert {"default_prim", "comment", "custom_layer_data", "up_axis"} <= {*said["authored"]}
    assert "kilograms_per_unit" not in said["authored"]


def test_what_the_catalogue_knows_stands_beside_it(host: Host, published) -> None:
    """
    Facts of the version, and where it stands today.
    """
    reference = published(layer())

    said = host.get_usd_layer_metadata(reference)["catalogue"]
    host.set_status(reference, "review")
    after = host.get_usd_layer_metadata(reference)["catalogue"]

    assert ("thing.usda", 1, "layer", "wip", False) == (
        said["asset_id"],
        said["number"],
        said["asset_type"],
        said["status"],
        said["deprecated"],
    )
    assert {**said, "status": "review"} == after


def test_in_a_project_it_is_of_the_projects_own_asset(host: Host, published) -> None:
    """
    As the file is; and of the shared asset to everybody else, and where the project has none.
    """
    published(layer(value="1"))
    published(layer(value="1"), "another.usda")
    published(layer(value="2"))
    published(layer(value="3"), "show:thing.usda")
    context = Context(current_project="show")

    def told(asset_id: str, context: Context | None = None) -> tuple[str, str]:
        said = host.get_usd_layer_metadata(f"bifrost:///assets/{asset_id}", context=context)
        return said["reference"], said["catalogue"]["asset_id"]

    for _ in "told", "kept":
        assert ("bifrost:///assets/show:thing.usda?version=1", "show:thing.usda") == told(
            "thing.usda", context
        )
        assert ("bifrost:///assets/thing.usda?version=2", "thing.usda") == told("thing.usda")
        assert ("bifrost:///assets/another.usda?version=1", "another.usda") == told(
            "another.usda", context
        )


def test_who_may_not_open_an_asset_is_told_nothing(host: Host, show: Show, published) -> None:
    """
    Nor from what was kept for somebody who may.
    """
    reference = published(layer())
    show.catalogue.allow([Rule("thing.usda", "read", "ann")])

    assert host.get_usd_layer_metadata(reference, context=Context(user="ann"))["catalogue"]
    for call in (host.get_usd_layer_metadata, host.resolve_usd_layer):
        with pytest.raises(PermissionDeniedException):
            call(reference, context=Context(user="bob"))


def test_who_may_resolve_but_not_read_is_told_what_the_file_says(published) -> None:
    """
    The file is theirs to open; what the catalogue knows beside it is not theirs to see.
    """
    reference, session = published(layer()), current()
    [resolution] = session.resolve([reference]).outcomes

    def told(principal: Principal) -> dict:
        who = effective().verified(principal)
        return layers.metadata(session, reference, resolution, who, principal)

    seen = [told(Principal.of("vic", roles=[role])) for role in ("viewer", "resolve", "viewer")]

    assert [False, True, False] == [each["catalogue"] is None for each in seen]
    assert {"/a"} == {each["default_prim"] for each in seen}


def test_a_version_is_read_once(host: Host, show: Show, published) -> None:
    """
    The second answer reads no layer and asks nobody, in another session too; a file that changed is read.
    """
    reference = published(layer(value="1"))
    path = show.path("thing.usda", 1)
    first = host.get_usd_layer_metadata(reference)
    before, state = round_trips(), path.stat()

    path.write_text(layer(value="1").replace('"a"', '"b"'))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    kept = host.get_usd_layer_metadata(reference)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    changed = host.get_usd_layer_metadata(reference)

    assert first == kept
    assert ("/a", "/b") == (kept["default_prim"], changed["default_prim"])
    assert before == round_trips()


def test_an_answer_is_the_callers_own(host: Host, published) -> None:
    """
    What they do to it, nobody else sees.
    """
    reference = published(layer())
    for _ in range(2):
        host.get_usd_layer_metadata(reference)["custom_layer_data"]["mine"] = 1

    assert {} == host.get_usd_layer_metadata(reference)["custom_layer_data"]


def test_no_layer_stays_open_and_none_that_it_names_is_opened(host: Host, show: Show, published):
    """
    A look leaves no trace in the process.
    """
    below = published(layer(value="below"), "below.usda")
    reference = published(layer(sublayers=(str(show.path("below.usda", 1)), below)))
    before = {each.identifier for each in Sdf.Layer.GetLoadedLayers()}

    host.get_usd_layer_metadata(reference)

    assert before == {each.identifier for each in Sdf.Layer.GetLoadedLayers()}


def test_unsaved_edits_of_the_process_are_not_what_was_published(
    host: Host, show: Show, published
) -> None:
    """
    The file is read, not the layer that somebody has open.
    """
    reference = published(layer())
    edited = Sdf.Layer.FindOrOpen(str(show.path("thing.usda", 1)))
    edited.comment = "edited"

    assert "" == host.get_usd_layer_metadata(reference)["comment"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '#usda 1.0\n(defaultPrim = "gone")\ndef "a" {\n}\n',
            "its default prim </gone> is not there",
        ),
        ('#usda 1.0\n(subLayers = [@./thing.usda@])\ndef "a" {\n}\n', "it is its own sublayer"),
    ],
)
def test_what_is_wrong_with_a_layer_that_opens_is_said(
    host: Host, published, text: str, expected: str
) -> None:
    """
    It is a layer, so it is no error.
    """
    [problem] = host.get_usd_layer_metadata(published(text))["problems"]

    assert expected in problem


def test_a_default_prim_that_a_sublayer_may_bring_is_no_problem(host: Host, published) -> None:
    """
    Nobody looked there.
    """
    said = host.get_usd_layer_metadata(
        published('#usda 1.0\n(defaultPrim = "there"\nsubLayers = [@./x.usda@])\n')
    )

    assert ("/there", []) == (said["default_prim"], said["problems"])


def test_binary_layers_and_packages_say_the_same_as_text(tmp_path: Path) -> None:
    """
    However they are written; a package says what its first layer says.
    """
    text = tmp_path / "rich.usda"
    text.write_text(RICH.replace("subLayers = [@./over.usda@ (offset = 10; scale = 2)]", ""))
    written = [text]
    for suffix in (".usdc", ".usd"):
        written.append(tmp_path / f"rich{suffix}")
        assert Sdf.Layer.OpenAsAnonymous(str(text)).Export(str(written[-1]))
    package = tmp_path / "rich.usdz"
    assert UsdUtils.CreateNewUsdzPackage(str(written[1]), str(package))

    said = [layer_metadata.read(str(path)) for path in (*written, package)]
    encodings = [each.pop("encoding") for each in said]
    for each in said:
        del each["size"], each["custom_layer_data"]["source"], each["authored"]

    assert ["text", "binary", "binary", "package"] == encodings
    assert [said[0]] * 4 == said


def test_a_package_in_a_package_is_a_layer(host: Host, tmp_path: Path) -> None:
    """
    OpenUSD reads through both.
    """
    (tmp_path / "inner.usda").write_text(layer(value="inner"))
    assert UsdUtils.CreateNewUsdzPackage(str(tmp_path / "inner.usda"), str(tmp_path / "inner.usdz"))
    (tmp_path / "outer.usda").write_text(layer(references=("./inner.usdz",)))
    assert UsdUtils.CreateNewUsdzPackage(str(tmp_path / "outer.usda"), str(tmp_path / "outer.usdz"))

    said = layer_metadata.read(str(tmp_path / "outer.usdz"))

    assert ("package", 2) == (said["encoding"], said["prims"])


def test_a_large_layer_is_counted_up_to_a_bound(tmp_path: Path) -> None:
    """
    And says that it was more.
    """
    path = tmp_path / "large.usda"
    path.write_text("#usda 1.0\n" + "".join(f'def "p{i}" {{\n}}\n' for i in range(1_500)))

    said = layer_metadata.read(str(path), most_prims=1_400)

    assert (1_400, 1_000, True) == (said["prims"], len(said["root_prims"]), said["truncated"])


@pytest.mark.skipif(not ASSETS.is_dir(), reason="the assets of the USD working group aren't there")
@pytest.mark.parametrize(
    "path",
    [
        "OpenChessSet/chess_set.usda",
        "Teapot/Teapot.usd",
        "Vehicles/USD_Mini_Car_Kit/materials/red.usda",
    ],
)
def test_settings_are_those_of_the_composed_stage(path: str) -> None:
    """
    USD takes them from the root layer alone.
    """
    root = ASSETS / path
    said, composed = layer_metadata.read(str(root)), describe(root)

    assert {key: composed[key] for key in SETTINGS} == {key: said[key] for key in SETTINGS}
    assert composed["default_prim"] == said["default_prim"]
    assert math.isfinite(said["meters_per_unit"])


def test_other_managers_layers_are_layers(host: Host, tmp_path: Path, monkeypatch) -> None:
    """
    They say what they say; no catalogue of ours knows more.
    """
    pytest.importorskip("openassetio_manager_bal")
    (tmp_path / "hero.usda").write_text(RICH)
    for name, value in bal.install(tmp_path, {"hero": tmp_path / "hero.usda"}).items():
        monkeypatch.setenv(name, value)

    said = host.get_usd_layer_metadata("bal:///hero")

    assert tmp_path / "hero.usda" == host.resolve_usd_layer("bal:///hero")
    assert ("bal:///hero", bal.IDENTIFIER, "/World", None) == (
        said["reference"],
        said["manager"],
        said["default_prim"],
        said["catalogue"],
    )
