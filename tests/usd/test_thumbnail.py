# SPDX-License-Identifier: Apache-2.0
"""Every file has a thumbnail, of the size that was asked for and the same each time."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from pxr import Usd, UsdGeom

from bifrost.usd import picture as pictures
from bifrost.usd import thumbnail as thumbnails
from bifrost.usd.canvas import Canvas, packed
from bifrost.usd.card import card, silhouette
from bifrost.usd.opening import opened
from bifrost.usd.picture import picture
from bifrost.usd.shapes import shapes
from bifrost.usd.thumbnail import card_of, thumbnail

SAMPLES = Path(__file__).resolve().parents[2] / "usd_samples"
ROBOT = SAMPLES / "asset_with_variants" / "robot.usda"
ASSETS = SAMPLES.parents[1] / "shared" / "data" / "usd_wg" / "full_assets"
SIZE = {"width": 96, "height": 96}


def image(png):
    assert png.startswith(b"\x89PNG")
    return Image.open(io.BytesIO(png)).convert("RGB")


def of(path, **more):
    return thumbnail(path, name="asset", asset_type="model", **(SIZE | more))


def written(path, text):
    path.write_text("#usda 1.0\n" + text.replace(" }", "\n}"), encoding="utf-8")
    return path


def drawn(path, size=64):
    with opened(path) as stage:
        return picture(stage, size, size)


def colour_at(made, x, y):
    return made.getpixel((round(x * (made.width - 1)), round(y * (made.height - 1))))


def is_card(png):
    red, green, blue = image(png).getpixel((0, 0))
    return (red, green, blue) == (52, 57, 66)


@pytest.mark.parametrize("path", sorted(SAMPLES.rglob("*.*")), ids=lambda path: path.name)
def test_every_sample_has_a_thumbnail(path):
    assert (96, 96) == image(of(path)).size


def test_the_same_file_makes_the_same_bytes_in_another_process():
    source = (
        "import sys; from bifrost.usd.thumbnail import thumbnail;"
        "sys.stdout.buffer.write("
        "thumbnail(sys.argv[1], name='asset', asset_type='model', width=96, height=96))"
    )
    other = subprocess.run(
        [sys.executable, "-c", source, str(ROBOT)], capture_output=True, check=True, timeout=100
    ).stdout

    assert other == of(ROBOT) == of(ROBOT)


@pytest.mark.parametrize(
    ("asked", "made"), [((200, 50), (200, 50)), ((0, -5), (16, 16)), ((10**9, 16), (4096, 16))]
)
def test_a_thumbnail_has_the_size_asked_for_within_reason(asked, made):
    width, height = asked

    assert made == image(of(SAMPLES / "README.md", width=width, height=height)).size


def test_a_robot_is_red_where_it_stands_and_nothing_is_around_it():
    made = drawn(ROBOT)

    red, green, blue, _ = colour_at(made, 0.5, 0.7)
    assert red > 2 * max(green, blue)
    assert 0 == colour_at(made, 0.05, 0.5)[3]


def test_what_is_near_hides_what_is_far(tmp_path):
    """Also where the far one is drawn later, and where a floor reaches below both."""
    text = """(upAxis = "Y")
def Cube "Near" { color3f[] primvars:displayColor = [(1, 0, 0)]
double size = 2
double3 xformOp:translate = (0, 1, 4)
uniform token[] xformOpOrder = ["xformOp:translate"] }
def Cube "Far" { color3f[] primvars:displayColor = [(0, 0, 1)]
double size = 2
double3 xformOp:translate = (0, 1, -4)
uniform token[] xformOpOrder = ["xformOp:translate"] }
def Plane "Floor" { color3f[] primvars:displayColor = [(0, 1, 0)]
double width = 30
double length = 30
uniform token axis = "Y" }
"""
    made = drawn(written(tmp_path / "a.usda", text), 128)
    seen = {max(range(3), key=pixel[:3].__getitem__) for pixel in colours(made)}

    assert {0, 1, 2} == seen
    assert lowest_row_of(made, 0) > lowest_row_of(made, 2)


def colours(made):
    return [colour for _, colour in made.getcolors(1 << 20) if colour[3] == 255]


def lowest_row_of(made, channel):
    rows = [
        y
        for y in range(made.height)
        for x in range(made.width)
        if (pixel := made.getpixel((x, y)))[3] == 255
        and max(range(3), key=pixel[:3].__getitem__) == channel
    ]
    return max(rows)


@pytest.mark.parametrize(
    "prim",
    [
        "def Cube",
        "def Sphere",
        "def Cone",
        "def Cylinder",
        "def Capsule",
        "def Plane",
        (
            "def Mesh;point3f[] points = [(0,0,0),(1,0,0),(0,1,0)];int[] faceVertexCounts = [3];"
            "int[] faceVertexIndices = [0,1,2]"
        ),
        "def Points;point3f[] points = [(0,0,0),(1,0,0),(0,1,0)];float[] widths = [0.1]",
        "def BasisCurves;point3f[] points = [(0,0,0),(1,0,0),(0,1,0)];int[] curveVertexCounts = [3]",
        "def Volume;float3[] extent = [(0,0,0),(1,1,1)]",
        (
            "def NurbsPatch;point3f[] points = [(0,0,0),(1,0,0),(0,1,0),(1,1,0)];int uVertexCount = 2;"
            "int vVertexCount = 2"
        ),
    ],
    ids=lambda prim: prim.split(";")[0],
)
def test_every_kind_of_geometry_is_drawn(tmp_path, prim):
    kind, *attributes = prim.split(";")
    body = "\n".join(attributes)

    made = drawn(written(tmp_path / "a.usda", f'{kind} "A" {{ {body} }}\n'))

    assert made is not None
    assert colours(made)


def test_what_is_hidden_abstract_or_a_guide_is_not_drawn(tmp_path):
    text = """def Sphere "Hidden" { token visibility = "invisible" }
class Sphere "Abstract" { }
def Sphere "Guide" { uniform token purpose = "guide" }
over Sphere "Over" { }
"""
    assert drawn(written(tmp_path / "a.usda", text)) is None


def test_proxies_are_drawn_where_there_is_nothing_else(tmp_path):
    proxy = 'def Sphere "P" { uniform token purpose = "proxy" }\n'
    render = 'def Cube "R" { uniform token purpose = "render" }\n'

    for text, count in ((proxy, 1), (proxy + render, 1), (render + render.replace("R", "S"), 2)):
        with opened(written(tmp_path / "a.usda", text)) as stage:
            assert count == len(shapes(stage))


def test_a_stage_with_z_upwards_looks_the_same(tmp_path):
    tall = """def Cube "A" { float3 xformOp:scale = SCALE
uniform token[] xformOpOrder = ["xformOp:scale"] }
"""
    y_up = written(tmp_path / "y.usda", '(upAxis = "Y")\n' + tall.replace("SCALE", "(1, 5, 2)"))
    z_up = written(tmp_path / "z.usda", '(upAxis = "Z")\n' + tall.replace("SCALE", "(1, 2, 5)"))

    assert drawn(y_up).tobytes() == drawn(z_up).tobytes()


def test_instances_of_point_instancers_are_drawn_where_they_are(tmp_path):
    text = """def PointInstancer "I" { int[] protoIndices = [0, 0, 0]
point3f[] positions = [(0, 0, 0), (10, 0, 0), (20, 0, 0)]
int64[] invisibleIds = [1]
rel prototypes = </I/P>
def Cube "P" { double size = 1 }
}
"""
    with opened(written(tmp_path / "a.usda", text)) as stage:
        places = [shape.to_world.ExtractTranslation()[0] for shape in shapes(stage)]

    assert [0, 20] == places


def test_a_texture_gives_its_average_colour():
    house = drawn(SAMPLES / "payload_and_udim" / "house.usda")

    red, green, blue, _ = colour_at(house, 0.25, 0.8)
    assert red > 1.5 * max(green, blue)


@pytest.mark.parametrize(
    "body",
    [
        (
            "point3f[] points = [(nan,0,0),(1,0,0),(0,1,0)]\nint[] faceVertexCounts = [3]\n"
            "int[] faceVertexIndices = [0,1,2]"
        ),
        "point3f[] points = [(0,0,0)]\nint[] faceVertexCounts = [3]\nint[] faceVertexIndices = [0,1,2]",
        "point3f[] points = [(0,0,0)]\nint[] faceVertexCounts = [-3]\nint[] faceVertexIndices = [0]",
        "point3f[] points = [(0,0,0)]\nint[] faceVertexCounts = [1]\nint[] faceVertexIndices = [-1]",
        "int[] faceVertexCounts = [3]",
        (
            "point3f[] points = [(0,0,0),(0,0,0),(0,0,0)]\nint[] faceVertexCounts = [3]\n"
            "int[] faceVertexIndices = [0,1,2]"
        ),
        (
            "point3f[] points = [(0,0,0),(3e38,0,0),(0,3e38,0)]\nint[] faceVertexCounts = [3]\n"
            "int[] faceVertexIndices = [0,1,2]"
        ),
        (
            "point3f[] points = [(0,0,0),(1,0,0),(0,1,0)]\nint[] faceVertexCounts = [3]\n"
            "int[] faceVertexIndices = [0,1,2]\ncolor3f[] primvars:displayColor = [(nan, inf, -1)]"
        ),
        (
            "point3f[] points = [(0,0,0),(1,0,0),(0,1,0)]\nint[] faceVertexCounts = [0, 1, 2, 0]\n"
            "int[] faceVertexIndices = [0,1,2]"
        ),
    ],
)
def test_malformed_geometry_still_has_a_thumbnail(tmp_path, body):
    path = written(tmp_path / "a.usda", f'def Mesh "A" {{ {body} }}\n')

    assert (96, 96) == image(of(path)).size


@pytest.mark.parametrize(
    "prim",
    [
        'def BasisCurves "A" { point3f[] points = [(0,0,0)]; int[] curveVertexCounts = [2000000000] }',
        'def BasisCurves "A" { point3f[] points = [(0,0,0)]; int[] curveVertexCounts = [-1, 2] }',
        (
            'def NurbsPatch "A" { point3f[] points = [(0,0,0)]; int uVertexCount = 2000000000; '
            "int vVertexCount = 2000000000 }"
        ),
    ],
)
def test_nobody_counts_to_more_points_than_there_are(tmp_path, prim):
    """Numbers that a file only claims are not worked through: its card is there at once."""
    path = written(
        tmp_path / "a.usda",
        prim.replace("; ", "\n").replace("{ ", "{\n").replace(" }", "\n}") + "\n",
    )

    assert (96, 96) == image(of(path)).size


def test_a_surface_finer_than_the_picture_is_drawn_as_a_choice_of_its_faces(tmp_path, monkeypatch):
    stage = Usd.Stage.CreateInMemory()
    ball = UsdGeom.Mesh.Define(stage, "/Ball")
    from bifrost.usd.surfaces import _arc, _revolved

    surface = _revolved(list(_arc(1.0, 0.0, -90, 90)), "Z")
    points = surface.points
    ball.CreatePointsAttr([points[at : at + 3] for at in range(0, len(points), 3)])
    ball.CreateFaceVertexCountsAttr(surface.counts)
    ball.CreateFaceVertexIndicesAttr(surface.corners)
    whole = picture(stage, 64, 64)
    monkeypatch.setattr(pictures, "MOST_FACES", 400)

    sampled = picture(stage, 64, 64)

    assert whole.tobytes() != sampled.tobytes()
    assert covered(whole) == pytest.approx(covered(sampled), rel=0.15)


def covered(made):
    return sum(count for count, colour in made.getcolors(1 << 20) if colour[3] > 127)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.usda", b"\x00garbage"),
        ("a.usdc", b"PXR-USDC garbage"),
        ("a.png", b"\x89PNG\r\n\x1a\n garbage"),
        ("a.jpg", b""),
        ("a", b"x"),
        ("a.usdz", b"PK\x03\x04"),
    ],
)
def test_what_cannot_be_read_gets_a_card(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    assert is_card(of(tmp_path / name))


@pytest.mark.parametrize(
    "name", ["", "x" * 1_000_000, "a\x00b\n\t\x1b[0m", "日本\u202e\ud800", "é"]
)
def test_any_name_fits_on_a_card(name):
    png = thumbnail("nothing.usda", name=name, asset_type=name, width=200, height=40)

    assert (200, 40) == image(png).size


def test_a_card_shows_name_type_and_outline():
    with opened(ROBOT) as stage:
        outline = silhouette(stage)

    cards = [
        card("robot", "model", 128, 128, outline),
        card("robot", "model", 128, 128),
        card("rabot", "model", 128, 128, outline),
        card("robot", "prop", 128, 128, outline),
    ]

    assert 4 == len({each.tobytes() for each in cards})
    assert all(0 <= part <= 1 for hull in outline.boxes for point in hull for part in point)


def test_what_only_says_its_extent_has_an_outline(tmp_path):
    text = """def Xform "A" (kind = "component"
prepend apiSchemas = ["GeomModelAPI"]
payload = @./gone.usda@)
{ float3[] extentsHint = [(0, 0, 0), (1, 2, 3)] }
"""
    path = written(tmp_path / "a.usda", text)

    with opened(path) as stage:
        assert 1 == len(silhouette(stage).boxes)
    assert is_card(of(path))
    assert card_of(path, "asset", "model", 96, 96) == of(path)


def test_a_picture_keeps_its_proportions(tmp_path):
    Image.new("RGB", (40, 10), (255, 0, 0)).save(tmp_path / "a.png")

    made = image(of(tmp_path / "a.png"))

    assert (255, 0, 0) == colour_at(made, 0.5, 0.5)
    assert (255, 0, 0) != colour_at(made, 0.5, 0.3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I", "I;16", "F", "CMYK", "YCbCr"])
def test_pictures_of_every_kind_are_shown(tmp_path, mode):
    name = tmp_path / ("a.tif" if mode not in ("LA", "P") else "a.png")
    Image.new(mode, (32, 32)).save(name)

    assert not is_card(of(name))


def test_the_first_tile_stands_for_all():
    pattern = SAMPLES / "payload_and_udim" / "textures" / "brick.<UDIM>.png"

    assert of(pattern) == of(pattern.with_name("brick.1001.png"))


def test_a_picture_says_nothing_of_its_machine(tmp_path):
    source = Image.new("RGB", (32, 32))
    source.save(tmp_path / "a.png", icc_profile=b"profile", dpi=(72, 72))

    assert {} == Image.open(io.BytesIO(of(tmp_path / "a.png"))).info


def test_generators_are_asked_in_order_until_one_makes_something(caplog):
    asked = []

    def nothing(path, asset_type, width, height):
        asked.append((path, asset_type, width, height))

    def broken(*_):
        raise RuntimeError("no display")

    def lying(*_):
        return b"no picture"

    def red(_, __, width, height):
        return Image.new("RGB", (width, height), (255, 0, 0))

    made = image(of(ROBOT, generators=[nothing, broken, lying, red, nothing]))

    assert (255, 0, 0) == colour_at(made, 0.5, 0.5)
    assert [(ROBOT, "model", 96, 96)] == asked
    assert "no display" in caplog.text


def test_a_generator_may_return_a_file():
    buffer = io.BytesIO()
    Image.new("RGB", (500, 500), (0, 0, 255)).save(buffer, "PNG")

    made = image(of(ROBOT, generators=[lambda *_: buffer.getvalue()]))

    assert ((96, 96), (0, 0, 255)) == (made.size, colour_at(made, 0.5, 0.5))


def test_packages_register_generators_by_entry_points(tmp_path, monkeypatch):
    folder = tmp_path / "studio-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: studio\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(
        "[bifrost.thumbnails]\ngone = studio_gone:make\ngreen = studio_green:make\n"
    )
    (tmp_path / "studio_green.py").write_text(
        "from PIL import Image\n"
        "def make(path, asset_type, width, height):\n"
        "    return Image.new('RGB', (width, height), (0, 255, 0))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    thumbnails.registered.cache_clear()
    try:
        made = image(of(ROBOT))
    finally:
        thumbnails.registered.cache_clear()

    assert (0, 255, 0) == colour_at(made, 0.5, 0.5)


def test_of_two_triangles_at_one_place_the_first_is_seen():
    canvas = Canvas(64, 64)
    corners = [(2.3, 2.1, 3.7), (60.2, 5.4, 91.3), (30.9, 60.8, 130.1)]
    first, second = packed(1.0, 0.0, 0.0), packed(0.0, 0.0, 1.0)

    canvas.triangle(corners, (0, 0, 0), [first])
    canvas.triangle(corners, (0, 0, 0), [second])

    colours = {pixel for _, pixel in canvas.image().getcolors()}
    assert {(0, 0, 0, 0), (255, 0, 0, 255)} == colours


@pytest.mark.parametrize(
    ("depths", "levels"),
    [
        ([], [0, 0, 0]),
        ([5.0], [1, 0, 0]),
        ([1e7 + 0.25], [1, 0, 0]),
        ([-3.0, 5.0], [1, 255, 0]),
        ([5.0, -3.0, 1.0], [255, 1, 128]),
    ],
)
def test_depths_are_from_the_farthest_to_the_nearest_thing(depths, levels):
    canvas = Canvas(3, 1)
    for place, depth in enumerate(depths):
        canvas.square((place + 0.5, 0.5, depth), 1, packed(1.0, 1.0, 1.0))

    assert bytes(levels) == canvas.depths().tobytes()


def test_a_canvas_keeps_to_its_borders():
    canvas = Canvas(8, 8)
    white = packed(1, 1, 1)

    canvas.triangle([(-100, -100, 0), (200, -50, 0), (-50, 300, 0)], (0, 0, 0), [white])
    canvas.square((7.9, 7.9, 1), 50, white)
    canvas.square((-90, 4, 1), 5, white)
    canvas.line((-5, -5, 2), (20, 20, 2), 3, white)

    assert [(64, (255, 255, 255, 255))] == canvas.image().getcolors()


@pytest.mark.parametrize("name", ["Teapot/Teapot.usd", "OpenChessSet/chess_set.usda"])
def test_assets_of_the_working_group_are_drawn(name):
    path = ASSETS / name
    if not path.exists():
        pytest.skip(f"the USD Working Group's assets are not at {ASSETS}")

    made = drawn(path, 128)

    assert 0.1 < covered(made) / (128 * 128) < 0.9
    assert 20 < len(colours(made))
