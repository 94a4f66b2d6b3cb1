# SPDX-License-Identifier: Apache-2.0
"""A preview stands for its file, and needs nothing beside it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from pxr import Gf, Sdf, Usd, UsdGeom

from bifrost.errors import BifrostError, InvalidTraitsException
from bifrost.usd.arcs import asset_paths
from bifrost.usd.description import describe
from bifrost.usd.preview import preview

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
ROBOT = SAMPLES / "asset_with_variants" / "robot.usda"

PROXY = """(
    defaultPrim = "Asset"
    upAxis = "Z"
    metersPerUnit = 0.01
    startTimeCode = 1
    endTimeCode = 9
)
def Xform "Asset" (
    kind = "component"
    assetInfo = {
        asset identifier = @./asset.usda@
    }
    variants = {
        string v = "a"
    }
    prepend variantSets = "v"
)
{
    double3 xformOp:translate = (1, 2, 3)
    uniform token[] xformOpOrder = ["xformOp:translate"]

    def Mesh "Fine" (
        payload = @./gone.usda@
    )
    {
        uniform token purpose = "render"
    }

    def Sphere "Rough" (
        prepend apiSchemas = ["MaterialBindingAPI"]
    )
    {
        uniform token purpose = "proxy"
        asset texture = @./texture.png@
        double radius.timeSamples = {
            1: 1,
            9: 2,
        }
        rel material:binding = </Asset/Red>
        rel sheet = </Asset/Part> (
            customData = {
                asset of = @./sheet.png@
            }
        )
    }

    def Scope "Held" (
        instanceable = true
        references = </Asset/Part>
    )
    {
    }

    def Xform "Part"
    {
        def Cube "Inner"
        {
            uniform token purpose = "proxy"
        }
    }

    def Material "Red"
    {
        token outputs:surface.connect = </Asset/Red/S.outputs:surface>

        def Shader "S"
        {
            uniform token info:id = "UsdPreviewSurface"
            color3f inputs:diffuseColor = (1, 0, 0)
            token outputs:surface
        }
    }
    variantSet "v" = {
        "a" {
        }
    }
}
"""


@pytest.fixture
def with_proxies(tmp_path):
    """A file with proxy geometry, some of it in an instance, and paths to files."""
    path = tmp_path / "asset.usda"
    path.write_text("#usda 1.0\n" + PROXY)
    return path


def of(path, tmp_path, **more):
    (tmp_path / "out").mkdir(exist_ok=True)
    return preview(path, tmp_path / "out" / "preview.usda", **more)


def opened(path):
    return Usd.Stage.Open(Sdf.Layer.OpenAsAnonymous(str(path)))


def gprims(stage):
    walk = Usd.PrimRange(stage.GetPseudoRoot(), Usd.TraverseInstanceProxies())
    return {str(prim.GetPath()) for prim in walk if prim.IsA(UsdGeom.Gprim)}


def test_a_proxy_is_the_files_proxy_geometry(with_proxies, tmp_path):
    stage = opened(of(with_proxies, tmp_path))

    assert {"/Asset/Rough", "/Asset/Held/Inner", "/Asset/Part/Inner"} == gprims(stage)
    assert "/Asset" == str(stage.GetDefaultPrim().GetPath())
    assert "component" == Usd.ModelAPI(stage.GetDefaultPrim()).GetKind()


def test_a_proxy_keeps_place_time_and_colour(with_proxies, tmp_path):
    stage = opened(of(with_proxies, tmp_path))
    ball = UsdGeom.Sphere(stage.GetPrimAtPath("/Asset/Rough"))
    place = UsdGeom.XformCache().GetLocalToWorldTransform(ball.GetPrim())

    assert (1, 2, 3) == tuple(place.ExtractTranslation())
    assert (1, 2) == (ball.GetRadiusAttr().Get(1), ball.GetRadiusAttr().Get(9))
    assert [Gf.Vec3f(1, 0, 0)] == list(ball.GetDisplayColorAttr().Get())


@pytest.mark.parametrize("kind", ["proxy", "bounds"])
def test_a_preview_layer_needs_no_other_file(with_proxies, tmp_path, kind):
    layer = Sdf.Layer.OpenAsAnonymous(str(of(with_proxies, tmp_path, kind=kind)))

    assert [] == asset_paths(layer)
    assert [] == list(layer.GetCompositionAssetDependencies())
    assert [] == Usd.Stage.Open(layer).GetCompositionErrors()
    assert str(tmp_path) not in layer.ExportToString()


@pytest.mark.parametrize("kind", ["proxy", "bounds"])
def test_a_preview_layer_is_seen_as_its_file_is(with_proxies, tmp_path, kind):
    made, source = describe(of(with_proxies, tmp_path, kind=kind)), describe(with_proxies)
    keys = ("default_prim", "up_axis", "meters_per_unit", "start_time_code", "end_time_code")

    assert [source[key] for key in keys] == [made[key] for key in keys]


def test_making_a_proxy_leaves_the_file_alone(with_proxies, tmp_path):
    before = with_proxies.read_bytes()
    layer = Sdf.Layer.FindOrOpen(str(with_proxies))

    of(with_proxies, tmp_path)

    assert before == with_proxies.read_bytes()
    assert not layer.dirty


def test_what_has_no_proxy_has_a_box_of_its_size(tmp_path):
    stage = opened(of(ROBOT, tmp_path))

    assert {"/Robot/Bounds"} == gprims(stage)
    assert describe(ROBOT)["extent"] == [
        pytest.approx(end, abs=1e-6)
        for end in describe(tmp_path / "out" / "preview.usda")["extent"]
    ]
    colour = UsdGeom.Mesh(stage.GetPrimAtPath("/Robot/Bounds")).GetDisplayColorAttr().Get()[0]
    assert colour[0] > colour[1]


def test_a_box_can_be_referenced_in_the_files_place(with_proxies, tmp_path):
    box = of(with_proxies, tmp_path, kind="bounds")
    stage = Usd.Stage.CreateInMemory()
    for name, path in (("Real", with_proxies), ("Box", box)):
        stage.DefinePrim(f"/{name}").GetReferences().AddReference(str(path))
    bounds = UsdGeom.BBoxCache(1, [UsdGeom.Tokens.default_, UsdGeom.Tokens.proxy])

    real, stand_in = (
        bounds.ComputeWorldBound(stage.GetPrimAtPath(f"/{name}")).ComputeAlignedRange()
        for name in ("Real", "Box")
    )

    assert Gf.IsClose(real.GetMin(), stand_in.GetMin(), 1e-5)
    assert Gf.IsClose(real.GetMax(), stand_in.GetMax(), 1e-5)


def test_what_has_no_geometry_has_a_card(tmp_path):
    made = of(SAMPLES / "shot" / "lighting.usda", tmp_path, name="lights", asset_type="lighting")

    assert (".png", (1024, 1024)) == (made.suffix, Image.open(made).size)


@pytest.mark.parametrize("kind", ["image", "card"])
def test_a_preview_may_be_a_picture(tmp_path, kind):
    made = of(ROBOT, tmp_path, kind=kind)

    assert "PNG" == Image.open(io.BytesIO(made.read_bytes())).format


def test_a_texture_is_its_own_preview(tmp_path):
    made = of(SAMPLES / "shot" / "textures" / "sky.png", tmp_path)

    assert ".png" == made.suffix


def test_a_name_without_a_usable_extension_gets_one(tmp_path):
    assert "preview.usdc" == preview(ROBOT, tmp_path / "preview").name
    assert "preview.usdc" == preview(ROBOT, tmp_path / "preview.png").name


def test_what_cannot_be_read_has_a_card(tmp_path):
    (tmp_path / "a.usda").write_bytes(b"garbage")

    assert ".png" == of(tmp_path / "a.usda", tmp_path).suffix


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(InvalidTraitsException, match="proxy, bounds, image, card"):
        of(ROBOT, tmp_path, kind="movie")


@pytest.mark.parametrize("kind", ["bounds", "card"])
def test_a_preview_that_cannot_be_written_leaves_nothing(tmp_path, kind):
    (tmp_path / "taken.usda").mkdir()
    (tmp_path / "taken.png").mkdir()

    with pytest.raises(BifrostError, match="can't be written"):
        preview(ROBOT, tmp_path / "taken.usda", kind=kind)

    names = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert set() == names
